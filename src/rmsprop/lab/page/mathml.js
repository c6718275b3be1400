/** Formulas from the server: taken in as MathML and nothing else, and filled with numbers. */

import { number } from "./format.js";

const MATHML = "http://www.w3.org/1998/Math/MathML";
const ELEMENTS = new Set("math mrow mi mn mo mtext mspace msub msup msubsup mfrac msqrt mroot mfenced mover munder mtable mtr mtd mstyle mpadded".split(" "));
const ATTRIBUTES = new Set("data-q display columnalign mathvariant stretchy fence separator form lspace rspace accent open close width".split(" "));

/**
 * Return the element of a formula, made anew of what MathML presents with; all else is left out.
 * @param {string} text
 */
export function formula(text) {
  const parsed = new DOMParser().parseFromString(text, "application/xml");
  if (parsed.querySelector("parsererror")) throw new Error("a formula could not be read");
  return copied(parsed.documentElement);
}

function copied(source) {
  const made = document.createElementNS(MATHML, ELEMENTS.has(source.localName) ? source.localName : "mrow");
  for (const { name, value } of source.attributes) if (ATTRIBUTES.has(name)) made.setAttribute(name, value);
  for (const child of source.childNodes) {
    if (child.nodeType === Node.TEXT_NODE) made.append(child.nodeValue.trim());
    else if (child.nodeType === Node.ELEMENT_NODE) made.append(copied(child));
  }
  return made;
}

/** Return a node of MathML with text. */
function leaf(tag, text) {
  const made = document.createElementNS(MATHML, tag);
  made.textContent = text;
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
    const shown = leaf("mn", text);
    if (!/[−×]/.test(text) || standsAlone(symbol)) {
      symbol.replaceWith(shown);
      continue;
    }
    const row = document.createElementNS(MATHML, "mrow");
    row.append(leaf("mo", "("), shown, leaf("mo", ")"));
    symbol.replaceWith(row);
  }
  // Letters side by side are a product; numbers need its sign.
  for (const sign of copy.querySelectorAll("mo")) if (sign.textContent === "\u2062") sign.textContent = "·";
  return copy;
}

/** Return whether a symbol is a side of the equation by itself, where a sign needs no parentheses. */
function standsAlone(symbol) {
  const around = [symbol.previousElementSibling, symbol.nextElementSibling].filter((node) => node);
  return around.length === 1 && around[0].localName === "mo" && around[0].textContent.trim() === "=";
}
