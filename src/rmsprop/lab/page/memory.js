/** The picture of memory: over the same gradients, RMSprop's average forgets and Adagrad's sum only grows. */

import { clockPlot } from "./clockplot.js";
import { at, h } from "./dom.js";
import { number } from "./format.js";
import { t } from "./i18n.js";
import { inkOf, markPicture } from "./marks.js";
import { shownStep } from "./state.js";

/** Show the average beside the sum, for the chosen parameter. */
export function showMemory(store) {
  const legend = at("memory-legend");
  const values = [];

  const kept = ({ trace, view }) => (trace?.memory ? ["average", "sum"].map((name) => ({ name, ys: trace.memory[name][view.parameter], look: trace.memory.looks[name] })) : []);
  const plot = clockPlot(store, at("memory-plot"), ["trace", "theme", "lang", "view"], (state) => {
    const lines = kept(state).map(({ ys, look }) => ({ ys, ink: inkOf(look, state.theme), width: look.width, dash: "solid", symbol: look.symbol }));
    return lines.length ? { title: t("plot.steps"), first: state.trace.runs[0].loss.length - lines[0].ys.length, lines } : null;
  });

  const fill = () => {
    const state = store.get();
    kept(state).forEach(({ ys }, k) => {
      const first = state.trace.runs[0].loss.length - ys.length;
      values[k].textContent = number(ys[shownStep(state) - first], 4);
    });
  };

  store.on(
    ["trace", "theme", "lang", "view"],
    (state) => {
      const lines = kept(state);
      at("memory-card").hidden = !lines.length;
      if (!lines.length) return;
      at("memory-of").textContent = t("memory.of", { parameter: state.trace.names[state.view.parameter] });
      legend.replaceChildren(
        ...lines.map(({ name, look }, k) => {
          values[k] = h("span", { class: "value" });
          return h("li", {}, h("span", { class: "run-name" }, markPicture(look, state.theme), h("span", { text: t(`memory.${name}`) })), values[k]);
        }),
      );
      fill();
    },
    { now: false },
  );
  store.on(["step"], fill, { now: false });
  return plot;
}
