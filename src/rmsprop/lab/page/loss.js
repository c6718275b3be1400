/** The losses on one clock, and beside each run's mark how it does at the step that is shown. */

import { clockPlot } from "./clockplot.js";
import { at, h } from "./dom.js";
import { number } from "./format.js";
import { t } from "./i18n.js";
import { inkOf, markPicture } from "./marks.js";
import { changeView, chosenRun, shownStep } from "./state.js";

/** Show the losses. */
export function showLoss(store) {
  const legend = at("loss-legend");
  let cells = [];

  const plot = clockPlot(store, at("loss-plot"), ["trace", "theme", "lang"], ({ trace, theme }) => ({
    title: t("plot.steps"),
    first: 0,
    threshold: trace.unit,
    lines: trace.runs.map(({ height, look }) => ({ ys: height, ink: inkOf(look, theme), width: look.width, dash: look.dash, symbol: look.symbol })),
  }));

  const fill = () => {
    const state = store.get();
    const step = shownStep(state);
    cells.forEach((cell, k) => {
      const { loss, diverged_at: diverged, arrived_at: arrived } = state.trace.runs[k];
      const gone = diverged !== null && step >= diverged;
      cell.value.textContent = gone ? t("run.diverged", { step: diverged }) : number(loss[step], 4);
      cell.note.textContent = !gone && arrived !== null && step >= arrived ? t("run.arrived", { step: arrived }) : "";
      cell.row.classList.toggle("gone", gone);
    });
  };

  store.on(
    ["trace", "theme", "lang", "view"],
    (state) => {
      if (!state.trace) return;
      cells = state.trace.runs.map(({ label, look }, k) => {
        const value = h("span", { class: "value" });
        const note = h("span", { class: "note" });
        const chosen = k === chosenRun(state);
        const choose = h("button", { type: "button", class: "run-name", "aria-pressed": String(chosen), onclick: () => changeView(store, { run: k }) }, markPicture(look, state.theme), h("span", { text: label })); // prettier-ignore
        return { row: h("li", { class: chosen ? "chosen" : null }, choose, note, value), value, note };
      });
      const focused = [...legend.querySelectorAll("button")].indexOf(document.activeElement);
      legend.replaceChildren(...cells.map(({ row }) => row));
      if (focused >= 0) legend.querySelectorAll("button")[focused]?.focus();
      fill();
    },
    { now: false },
  );
  store.on(["step"], fill, { now: false });
  return plot;
}
