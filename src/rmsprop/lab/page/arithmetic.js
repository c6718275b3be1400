/** The step in numbers: each line of the rule as a formula, and under it with the numbers of the step that is shown. */

import { at, h } from "./dom.js";
import { number } from "./format.js";
import { t } from "./i18n.js";
import { filled, formula, math } from "./mathml.js";
import { changeView, chosenRun, shownStep } from "./state.js";

/** Return a quantity's number: of one parameter and step, of a step, or the same all along; undefined where there is none. */
function valueAt(quantity, parameter, step) {
  if (!quantity) return undefined;
  if (quantity.values) return quantity.values[parameter][step - 1];
  return quantity.each ? quantity.each[step - 1] : quantity.value;
}

/** Return a part of a formula without the element around it. */
function inner(text) {
  return math("mrow", ...formula(text).childNodes);
}

/** Show the arithmetic of the chosen run. */
export function showArithmetic(store) {
  const lines = at("arithmetic-lines");
  const summary = at("arithmetic-summary");
  const runs = at("arithmetic-run");
  const parameters = at("arithmetic-parameter");
  let shown = [];
  let cells = [];

  const fill = () => {
    const state = store.get();
    const { arithmetic, view, trace } = state;
    if (!arithmetic || !trace) return;
    const step = shownStep(state);
    at("arithmetic-none").hidden = step > 0;
    at("arithmetic-body").hidden = step === 0;
    at("arithmetic-step").textContent = t("arithmetic.step", { step });
    if (step === 0) return;
    for (const { left, right, place, key } of shown) {
      const valueOf = (name) => valueAt(arithmetic.quantities[name], view.parameter, step);
      const ends = [math("mo", "="), math("mn", number(valueOf(key)))];
      const begins = left ? [left.cloneNode(true), math("mo", "=")] : [];
      const whole = math("math", ...begins, filled(right, valueOf), ...ends);
      whole.setAttribute("display", "block");
      place.replaceChildren(whole);
    }
    for (const { cell, values } of cells) cell.textContent = number(values[step - 1]);
  };

  const build = () => {
    const { arithmetic, trace, view } = store.get();
    if (!arithmetic || !trace) return;
    shown = arithmetic.lines.map(({ key, left, right, mathml }) => {
      const place = h("div", { class: "with-numbers" });
      return { key, place, left: left && inner(left), right: inner(right), symbols: formula(mathml) };
    });
    lines.replaceChildren(...shown.map(({ symbols, place }) => h("div", { class: "equation" }, h("div", { class: "symbols" }, symbols), place)));
    at("arithmetic-text").hidden = shown.length > 0;
    at("arithmetic-text").textContent = arithmetic.text.replace(/^[^:←]*: /, "");
    cells = [];
    const header = h("tr", {}, h("td"), ...arithmetic.columns.map(({ mathml, label }) => h("th", { scope: "col", title: label }, mathml ? formula(mathml) : label)));
    const rows = trace.names.map((name, k) =>
      h(
        "tr",
        { class: k === view.parameter ? "chosen" : null },
        h("th", { scope: "row", text: name }),
        ...arithmetic.columns.map(({ values }) => {
          const cell = h("td");
          cells.push({ cell, values: values[k] });
          return cell;
        }),
      ),
    );
    summary.replaceChildren(h("thead", {}, header), h("tbody", {}, ...rows));
    fill();
  };

  store.on(["arithmetic", "lang", "view"], build, { now: false });
  store.on(["step", "trace"], fill, { now: false });
  store.on(
    ["trace", "view", "lang"],
    (state) => {
      if (!state.trace) return;
      runs.replaceChildren(...state.trace.runs.map(({ label }, k) => h("option", { value: k, text: label })));
      runs.value = String(chosenRun(state));
      const { names } = state.trace;
      const focused = parameters.contains(document.activeElement);
      parameters.replaceChildren(
        ...names.map((name, k) => {
          const input = h("input", { type: "radio", name: "parameter", value: k, checked: k === state.view.parameter, onchange: () => changeView(store, { parameter: k }) });
          return h("label", {}, input, h("span", { text: name }));
        }),
      );
      if (focused) parameters.querySelector("input:checked")?.focus();
    },
    { now: false },
  );
  runs.addEventListener("change", () => changeView(store, { run: Number(runs.value) }));
}
