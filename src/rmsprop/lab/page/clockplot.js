/** A plot over the steps, on the page's clock: lines that fill up to the step that is shown, and a hand to take hold of. */

import { CONFIG, Overlay, axis, layout, onResize, oneAtATime, plotly } from "./plots.js";
import { lastStep, shownStep } from "./state.js";
import { color } from "./theme.js";

/**
 * @typedef {{ys: (number|null)[], ink: string, width: number, dash: string, symbol: string}} Line
 * @param {any} store
 * @param {any} plot Plotly's element
 * @param {string[]} keys of the store, at whose change the plot is another one
 * @param {(state: any) => {lines: Line[], title: string, first: number, threshold?: number|null}|null} content what there is to show
 */
export function clockPlot(store, plot, keys, content) {
  const overlay = new Overlay(plot);
  let shown = null;
  let inks = null;

  const draw = () => {
    const state = store.get();
    if (!shown || !overlay.begin()) return;
    inks ??= { hand: color("accent"), ground: color("panel"), halo: color("halo") };
    const step = shownStep(state);
    overlay.hand(step, inks.hand);
    for (const { xs, ys, ink, width, dash } of shown.lines) {
      const end = step - shown.first;
      overlay.line(xs, ys, Math.max(end, 0), ys.length - 1, { ink, width: 1, dash, alpha: 0.35 });
      overlay.line(xs, ys, 0, end, { ink, width, dash });
    }
    for (const { xs, ys, ink, symbol } of shown.lines) {
      const end = step - shown.first;
      overlay.mark(xs[end], ys[end], symbol, { ink, size: 5, edge: inks.ground });
    }
    overlay.end();
  };

  const redraw = oneAtATime(async () => {
    const state = store.get();
    const found = state.trace && content(state);
    shown = found && { ...found, lines: found.lines.map((line) => ({ ...line, xs: line.ys.map((_, k) => k + found.first) })) };
    if (!shown || !plot.clientWidth) return;
    inks = null;
    const values = shown.lines.flatMap(({ ys }) => ys).filter((y) => y > 0);
    const low = Math.min(...ends(values, Math.min)), high = Math.max(...ends(values, Math.max)); // prettier-ignore
    const range = values.length ? [Math.log10(low) - 0.15, Math.log10(high) + 0.15] : [-1, 1];
    const mark = shown.threshold > 0 ? [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: shown.threshold, y1: shown.threshold, line: { color: color("muted"), width: 1, dash: "dash" } }] : []; // prettier-ignore
    const look = layout({
      margin: { l: 52, r: 12, t: 6, b: 34 }, width: plot.clientWidth, height: plot.clientHeight, shapes: mark,
      xaxis: axis({ range: [0, Math.max(lastStep(state), 1)], nticks: 6, title: { text: shown.title, standoff: 4 } }),
      yaxis: axis({ type: "log", range, exponentformat: "power", nticks: 5, minor: { nticks: 0 } }),
    }); // prettier-ignore
    await plotly().react(plot, [{ type: "scatter", x: [], y: [] }], look, CONFIG);
    draw();
  });

  let held = false;
  const scrub = (event) => {
    const step = Math.round(overlay.point(event)[0]);
    store.set({ step: Math.max(0, Math.min(lastStep(store.get()), step)), playing: false }, { history: "replace" });
  };
  plot.addEventListener("pointerdown", (event) => {
    if (event.button || !overlay.axes) return;
    held = true;
    plot.setPointerCapture(event.pointerId);
    scrub(event);
  });
  plot.addEventListener("pointermove", (event) => held && scrub(event));
  for (const end of ["pointerup", "pointercancel"]) plot.addEventListener(end, () => (held = false));

  store.on(keys, redraw, { now: false });
  store.on(["step"], draw, { now: false });
  onResize(plot, redraw);
  return { overlay, redraw };
}

/** Return the least or the largest of long lists without handing all of it over as arguments. */
function ends(values, pick) {
  return [values.reduce((a, b) => pick(a, b), values[0])];
}
