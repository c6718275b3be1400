/** The user's data, and each run's curve moving over them as it learns. */

import { at } from "./dom.js";
import { inkOf } from "./marks.js";
import { CONFIG, Overlay, axis, layout, onResize, oneAtATime, plotly } from "./plots.js";
import { chosenRun, shownStep } from "./state.js";
import { color } from "./theme.js";

/** Return the place of the last moment that is not after a step. */
function momentAt(moments, step) {
  let [low, high] = [0, moments.length - 1];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (moments[middle] <= step) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Show the curve where the landscape is a fit. */
export function showCurve(store) {
  const card = at("curve-card");
  const plot = at("curve-plot");
  const overlay = new Overlay(plot);

  const draw = () => {
    const state = store.get();
    const data = state.trace?.data;
    if (!data || !overlay.begin()) return;
    const moment = momentAt(data.moments, shownStep(state));
    const chosen = chosenRun(state);
    const order = [...data.curves.keys()].filter((k) => k !== chosen).concat(chosen);
    for (const k of order) {
      const look = state.trace.runs[k]?.look;
      const ys = data.curves[k]?.[moment];
      if (look && ys) overlay.line(data.grid, ys, 0, ys.length - 1, { ink: inkOf(look, state.theme), width: look.width, dash: look.dash });
    }
    overlay.end();
  };

  const redraw = oneAtATime(async () => {
    const data = store.get().trace?.data;
    card.hidden = !data;
    if (!data || !plot.clientWidth) return;
    const [xs, ys] = data.points;
    const held = ys.filter((y) => y !== null);
    const low = held.reduce((a, b) => Math.min(a, b), held[0]), high = held.reduce((a, b) => Math.max(a, b), held[0]); // prettier-ignore
    const room = 0.12 * (high - low) || 1;
    const points = { type: "scatter", x: xs, y: ys, mode: "markers", marker: { color: color("muted"), size: 7, opacity: 0.8 }, hoverinfo: "skip" };
    const look = layout({
      margin: { l: 52, r: 12, t: 6, b: 34 }, width: plot.clientWidth, height: plot.clientHeight,
      xaxis: axis({ title: { text: data.x, standoff: 4 }, nticks: 6 }),
      yaxis: axis({ title: { text: data.y, standoff: 4 }, range: [low - room, high + room], nticks: 5 }),
    }); // prettier-ignore
    await plotly().react(plot, [points], look, CONFIG);
    draw();
  });

  store.on(["trace", "theme"], redraw, { now: false });
  store.on(["step", "view"], draw, { now: false });
  onResize(plot, redraw);
  return { redraw };
}
