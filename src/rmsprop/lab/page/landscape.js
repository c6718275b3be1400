/** The landscape from above: its heights by Plotly, and above them the ways, their heads, the start and the minima. */

import { at } from "./dom.js";
import { inkOf } from "./marks.js";
import { CONFIG, Overlay, axis, layout, onResize, oneAtATime, plotly } from "./plots.js";
import { chosenRun, shownStep } from "./state.js";
import { color } from "./theme.js";

const SHADES = 5;

/** Return the theme's colours of the land, seen from above or as a relief, from the lowest place up, as Plotly takes them. */
export function shades(seen) {
  return Array.from({ length: SHADES }, (_, k) => [k / (SHADES - 1), color(`${seen}-${k}`)]);
}

/**
 * Show the landscape.
 * @returns {{overlay: Overlay}}
 */
export function showLandscape(store) {
  const plot = at("landscape-plot");
  const overlay = new Overlay(plot);
  let inks = null;
  let named = ""; // what the axes are called
  let revision = 0; // Plotly loses a contour's levels where only the layout is new

  const draw = () => {
    const state = store.get();
    const { trace } = state;
    if (!trace || !overlay.begin()) return;
    inks ??= { ground: color("panel"), ink: color("ink"), halo: color("halo") };
    const step = shownStep(state);
    const chosen = chosenRun(state);
    const order = trace.runs.map((_, k) => k).filter((k) => k !== chosen);
    if (trace.runs[chosen]) order.push(chosen); // it lies on top
    for (const k of order) {
      const { p, look } = trace.runs[k];
      const ink = inkOf(look, state.theme);
      overlay.line(p[0], p[1], step, p[0].length - 1, { ink, width: 1, dash: look.dash, alpha: 0.35 });
      overlay.line(p[0], p[1], 0, step, { ink, width: look.width, dash: look.dash, halo: inks.halo });
    }
    for (const [x, y] of trace.minima ?? []) overlay.mark(x, y, "star", { ink: inks.ground, size: 7, edge: inks.ink, edgeWidth: 1 });
    overlay.mark(...trace.start, "circle", { ink: inks.ground, size: 6, edge: inks.ink, edgeWidth: 1.2 });
    for (const k of order) {
      const { p, look } = trace.runs[k];
      overlay.mark(p[0][step], p[1][step], look.symbol, { ink: inkOf(look, state.theme), size: k === chosen ? 7 : 5.5, edge: inks.ground });
    }
    overlay.end();
    placeHandle(overlay, trace.start);
  };

  const redraw = oneAtATime(async () => {
    const { surface, trace, view } = store.get();
    if (!surface || view.mode !== "2d" || !plot.clientWidth) return;
    inks = null;
    const [left, right, bottom, top] = surface.window;
    const names = trace?.names ?? ["", ""];
    named = String(names);
    const contour = {
      type: "contour", x: surface.x, y: surface.y, z: surface.z, colorscale: shades("land"), ncontours: 24, showscale: false,
      hoverinfo: "skip", line: { color: color("contour"), width: 0.7 }, contours: { coloring: "fill" },
    }; // prettier-ignore
    const look = layout({
      margin: { l: 52, r: 10, t: 8, b: 40 }, width: plot.clientWidth, height: plot.clientHeight, datarevision: ++revision,
      xaxis: axis({ range: [left, right], title: { text: names[0], standoff: 6 }, showgrid: false, nticks: 8 }),
      yaxis: axis({ range: [bottom, top], title: { text: names[1], standoff: 4 }, showgrid: false, nticks: 8 }),
    }); // prettier-ignore
    await plotly().react(plot, [contour], look, CONFIG);
    draw();
  });

  store.on(["surface", "theme", "view"], (_, changed) => (!changed.includes("view") || changed.length > 1) && redraw(), { now: false });
  // A landscape often comes before the names of its parameters.
  store.on(["trace"], ({ trace }) => trace && String(trace.names) !== named && redraw(), { now: false });
  store.on(["trace", "step", "view"], draw, { now: false });
  onResize(plot, redraw);
  return { overlay };
}

/** Put the start's handle, which the pointer and the keyboard take hold of, where the start is. */
function placeHandle(overlay, [x, y]) {
  const handle = at("start-handle");
  const [left, top] = overlay.place(x, y);
  const { x: across, y: up } = overlay.axes;
  const inside = left >= across._offset && left <= across._offset + across._length && top >= up._offset && top <= up._offset + up._length;
  handle.hidden = !inside;
  handle.style.transform = `translate(${left}px, ${top}px)`;
}
