/** The page's words, in two languages. */

import { h } from "./dom.js";

const known = { en: {}, zh: {} };
let current = "en";

/** Load the words of a language. */
export async function load(lang) {
  if (!Object.keys(known[lang]).length) {
    const answer = await fetch(`/page/text/${lang}.json`);
    if (!answer.ok) throw new Error(`the page's words are missing: ${answer.status}`);
    known[lang] = await answer.json();
  }
  current = lang;
  document.documentElement.lang = lang === "zh" ? "zh-Hans" : "en";
}

/**
 * Return the words for a key, with {names} filled in.
 * @param {string} key
 * @param {Record<string, string|number>} [values]
 */
export function t(key, values = {}) {
  const text = known[current][key];
  if (text === undefined) {
    console.error(`no words for ${key} in ${current}`);
    return key;
  }
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/** Return whether there are words for a key. */
export function has(key) {
  return known[current][key] !== undefined;
}

/** Put the words into all that says `data-t` (its text), `data-t-label` (its name for screen readers) or `data-t-title`. */
export function translate(root = document) {
  for (const element of root.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t);
  for (const element of root.querySelectorAll("[data-t-label]")) element.setAttribute("aria-label", t(element.dataset.tLabel));
  for (const element of root.querySelectorAll("[data-t-title]")) element.setAttribute("title", t(element.dataset.tTitle));
  for (const element of root.querySelectorAll("[data-t-hint]")) element.setAttribute("placeholder", t(element.dataset.tHint));
}

/** Return the language that the user's browser asks for. */
export function preferred() {
  return navigator.languages.some((tag) => tag.toLowerCase().startsWith("zh")) && !navigator.language.toLowerCase().startsWith("en") ? "zh" : "en";
}

/** Return an option of a choice. */
export function option(value, text, selected) {
  return h("option", { value, text, selected });
}
