/** Formulas from the server: taken in as MathML and nothing else, and filled with numbers. */

import { number } from "./format.js";

const MATHML = "http://www.w3.org/1998/Math/MathML";
const ELEMENTS = new Set("math mrow mi mn mo mtext mspace msub msup msubsup mfrac msqrt mroot mover munder mtable mtr mtd mstyle mpadded".split(" "));
const ATTRIBUTES = new Set("data-q display columnalign mathvariant stretchy fence separator form lspace rspace accent width".split(" "));
const TIMES = "\u2062"; // invisible

/** Return a MathML element around others. */
export function math(tag, ...children) {
  const made = document.createElementNS(MATHML, tag);
  made.append(...children);
  return made;
}

/**
 * Return the formula in a text, or a part of one, made anew of what MathML presents with; all else is left out.
 * @param {string} text
 */
export function formula(text) {
  const parsed = new DOMParser().parseFromString(text.startsWith("<math") ? text : `<math>${text}</math>`, "text/html");
  const found = parsed.querySelector("math");
  if (!found) throw new Error("a formula could not be read");
  return copied(found);
}

function copied(source) {
  const text = source.localName === "mo" ? source.textContent.trim() : "";
  if (text === "-") return math("mo", "−");
  if (text === "Δ") {
    // It belongs to the letter after it, without an operator's space.
    const made = math("mi", text);
    made.setAttribute("mathvariant", "normal");
    return made;
  }
  const made = math(ELEMENTS.has(source.localName) ? source.localName : "mrow");
  for (const { name, value } of source.attributes) if (ATTRIBUTES.has(name)) made.setAttribute(name, value);
  for (const child of source.childNodes) {
    if (child.nodeType === Node.TEXT_NODE) made.append(child.nodeValue.trim());
    else if (child.nodeType === Node.ELEMENT_NODE) made.append(copied(child));
  }
  return made;
}

/** Return a parenthesis of a number, as high as its digits. */
function fence(sign) {
  const made = math("mo", sign);
  made.setAttribute("stretchy", "false");
  return made;
}

/**
 * Return a copy of a formula in which each symbol that has a number shows it.
 * @param {Element} template
 * @param {(quantity: string) => number|null|undefined} valueOf undefined leaves the symbol
 */
export function filled(template, valueOf) {
  const copy = /** @type {Element} */ (template.cloneNode(true));
  for (const symbol of copy.querySelectorAll("[data-q]")) {
    const value = valueOf(symbol.getAttribute("data-q"));
    if (value === undefined) continue;
    const text = number(value);
    const shown = math("mn", text);
    // A sign or a power of ten would reach into what stands beside it.
    symbol.replaceWith(/[−×]/.test(text) ? math("mrow", fence("("), shown, fence(")")) : shown);
  }
  // Letters side by side are a product; numbers need its sign.
  for (const sign of copy.querySelectorAll("mo")) if (sign.textContent === TIMES) sign.textContent = "·";
  return copy;
}
