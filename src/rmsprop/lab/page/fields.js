/** The kinds of controls: a number with its slider, a choice and a switch. Each has a name, a place for its error, and tells what was set. */

import { h, newId } from "./dom.js";
import { number, read, typed } from "./format.js";

const NOTCHES = 1000;

/** From a slider's place in [0, 1] to a number and back, by scale: where a number lies, not what is done with it. */
const SCALES = {
  linear: {
    value: (share, low, high) => low + share * (high - low),
    share: (value, low, high) => (value - low) / (high - low),
  },
  log: {
    value: (share, low, high) => low * (high / low) ** share,
    share: (value, low, high) => Math.log(value / low) / Math.log(high / low),
  },
  complement: {
    value: (share, low, high) => 1 - (1 - low) * ((1 - high) / (1 - low)) ** share,
    share: (value, low, high) => Math.log((1 - value) / (1 - low)) / Math.log((1 - high) / (1 - low)),
  },
};

/** Return a number with no more digits than a slider can mean. */
function plain(value, scale, integer) {
  if (integer) return Math.round(value);
  if (scale === "complement") return Number((1 - Number((1 - value).toPrecision(2))).toFixed(6));
  return Number(value.toPrecision(2));
}

/**
 * What a control is: its element, how to show a value, and the path of the setup that its errors name.
 * @typedef {{element: any, show: (value: any) => void, path: string}} Control
 */

function frame(kind, { name, label, path, hint }, inputs, id) {
  const error = h("p", { class: "field-error", id: `${id}-error`, hidden: true });
  const caption = h("label", { for: id, text: label });
  const element = h("div", { class: `field ${kind}`, "data-control": name, "data-field": path, title: hint ?? null }, caption, ...inputs, error);
  for (const input of inputs) input.setAttribute?.("aria-describedby", `${id}-error`);
  return element;
}

/**
 * Return a number field, with a slider where `low` and `high` are given.
 * @returns {Control}
 */
export function numberField(options, set) {
  const { label, low, high, scale = "linear", integer = false, path } = options;
  const rule = SCALES[scale];
  const id = newId("field");
  const box = h("input", { id, class: "number", type: "text", inputmode: "decimal", autocomplete: "off", spellcheck: "false" });
  const ranged = low !== undefined && high !== undefined && low < high;
  const zero = scale === "log" && options.zero; // the leftmost notch of a log slider is 0
  const slider = ranged ? h("input", { type: "range", min: 0, max: NOTCHES, step: 1, "aria-label": options.sliderLabel ?? label }) : null;

  const at = (place) => (zero && place === 0 ? 0 : plain(rule.value(place / NOTCHES, low, high), scale, integer));
  const placeOf = (value) => {
    if (zero && value <= 0) return 0;
    const share = rule.share(value, low, high);
    return Math.round(NOTCHES * Math.max(0, Math.min(1, Number.isNaN(share) ? 0 : share)));
  };
  const mark = (value) => {
    if (!slider) return;
    const place = typeof value === "number" ? placeOf(value) : 0;
    slider.value = String(place);
    slider.style.setProperty("--done", `${(100 * place) / NOTCHES}%`);
    slider.setAttribute("aria-valuetext", typeof value === "number" ? number(value) : "");
  };
  let dragging = false;
  slider?.addEventListener("input", () => {
    const value = at(Number(slider.value));
    box.value = typed(value);
    slider.style.setProperty("--done", `${(100 * Number(slider.value)) / NOTCHES}%`);
    slider.setAttribute("aria-valuetext", number(value));
    set(value, dragging ? "replace" : "push");
    dragging = true;
  });
  slider?.addEventListener("change", () => (dragging = false));
  let told = ""; // what the box held when it was last heard or shown: leaving it after Enter tells nothing new
  box.addEventListener("change", () => {
    if (box.value === told) return;
    told = box.value;
    set(box.value.trim() === "" ? undefined : read(box.value), "push");
  });
  box.addEventListener("keydown", (event) => {
    if (event.key === "Enter") box.dispatchEvent(new Event("change"));
    const turn = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    if (!turn || !slider) return;
    event.preventDefault();
    slider.value = String(Number(slider.value) + turn * 10);
    slider.dispatchEvent(new Event("input"));
    dragging = false;
  });
  const show = (value) => {
    if (document.activeElement !== box || read(box.value) !== value) box.value = typed(value);
    told = box.value;
    if (document.activeElement !== slider || !dragging) mark(value);
  };
  return { element: frame(ranged ? "ranged" : "single", options, slider ? [box, slider] : [box], id), show, path };
}

/**
 * Return a choice of a few values.
 * @returns {Control}
 */
export function choiceField(options, set) {
  const id = newId("field");
  const select = h("select", { id });
  for (const { value, text } of options.choices) select.append(h("option", { value, text }));
  select.addEventListener("change", () => set(select.value, "push"));
  return { element: frame("choice", options, [select], id), show: (value) => void (select.value = String(value)), path: options.path };
}

/**
 * Return a switch.
 * @returns {Control}
 */
export function switchField(options, set) {
  const id = newId("field");
  const box = h("input", { id, type: "checkbox", role: "switch" });
  box.addEventListener("change", () => set(box.checked, "push"));
  return { element: frame("switch", options, [box], id), show: (value) => void (box.checked = Boolean(value)), path: options.path };
}
