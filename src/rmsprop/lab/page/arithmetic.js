/** The step in numbers: each line of the rule as a formula, and under it with the numbers of the step that is shown. */

import { at, h } from "./dom.js";
import { number } from "./format.js";
import { t } from "./i18n.js";
import { filled, formula } from "./mathml.js";
import { changeView, chosenRun, shownStep } from "./state.js";

/** Return a quantity's number: of one parameter and step, of a step, or the same all along; undefined where there is none. */
function valueAt(quantity, parameter, step) {
  if (!quantity) return undefined;
  if (quantity.values) return quantity.values[parameter][step - 1];
  return quantity.each ? quantity.each[step - 1] : quantity.value;
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
    for (const { template, place, quantities } of shown) {
      place.replaceChildren(filled(template, (name) => valueAt(quantities[name], view.parameter, step)));
    }
    for (const { cell, values } of cells) cell.textContent = number(values[step - 1]);
  };

  const build = () => {
    const { arithmetic, trace, view } = store.get();
    if (!arithmetic || !trace) return;
    shown = arithmetic.lines.map(({ mathml }) => {
      const template = formula(mathml);
      return { template, quantities: arithmetic.quantities ?? {}, place: h("div", { class: "with-numbers" }) };
    });
    lines.replaceChildren(...shown.map(({ template, place }) => h("div", { class: "equation" }, h("div", { class: "symbols" }, template.cloneNode(true)), place)));
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
