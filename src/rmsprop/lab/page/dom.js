/** Elements: made and found. Text always goes in as text, never as markup. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Return a new element.
 * @param {string} tag
 * @param {Record<string, any>} [props] attributes; `on…` are listeners, `text` is its text, null and false leave an attribute out
 * @param {...(Node|string|null)} children
 * @returns {any}
 */
export function h(tag, props = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "text") made.textContent = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** Return the element of that id, which must be there. */
export function at(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return /** @type {any} */ (found);
}

/** Return a small picture of paths on a 24 × 24 grid, hidden from screen readers. */
export function icon(path, props = {}) {
  const svg = document.createElementNS(SVG, "svg");
  const all = { viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true", ...props };
  for (const [name, value] of Object.entries(all)) svg.setAttribute(name, value);
  const drawn = document.createElementNS(SVG, "path");
  drawn.setAttribute("d", path);
  svg.append(drawn);
  return svg;
}

let numbered = 0;

/** Return an id that nothing on the page has yet. */
export function newId(prefix) {
  numbered += 1;
  return `${prefix}-${numbered}`;
}

/** Show what a term or a message speaks of: open what it is in, go there, light it up and give it the keyboard. */
export function reveal(target) {
  for (let up = target.parentElement; up; up = up.parentElement) if (up instanceof HTMLDetailsElement) up.open = true;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  target.scrollIntoView({ block: "center", behavior: still ? "auto" : "smooth" });
  const inner = target.matches("button, input, select, textarea, [tabindex]") ? target : target.querySelector("button, input, select, textarea, [tabindex]");
  if (!inner) target.tabIndex = -1; // a picture, say: nothing in it takes the keyboard
  (inner ?? target).focus({ preventScroll: true });
  target.classList.remove("lit");
  void target.offsetWidth; // starts the highlight anew where it is still running
  target.classList.add("lit");
  setTimeout(() => target.classList.remove("lit"), 2400);
}
