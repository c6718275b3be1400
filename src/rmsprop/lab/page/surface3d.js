/** The landscape as a surface, with the ways on it. */

import { at } from "./dom.js";
import { shades } from "./landscape.js";
import { SOLID, inkOf } from "./marks.js";
import { CONFIG, axis, layout, onResize, oneAtATime, plotly } from "./plots.js";
import { changeView, shownStep } from "./state.js";
import { color } from "./theme.js";

const CAMERA = { eye: { x: 1.1, y: -1.35, z: 0.95 }, center: { x: 0, y: 0, z: -0.15 }, up: { x: 0, y: 0, z: 1 } };
// Of the highest place.
const LIFT = 0.015;

/** Return the window of a surface, and how far above it a way is drawn. */
function groundOf({ window, z }) {
  const heights = z.flat().filter((height) => height !== null);
  return { window, lift: LIFT * heights.reduce((a, b) => Math.max(a, b), 0) };
}

/** Show the surface while the view is in 3-D. */
export function showSurface(store) {
  const plot = at("surface-plot");
  let drawn = false;

  /** Return a way's part that lies in the window, a little above the ground, which would hide it. */
  const wayOf = ({ p, level }, from, to, { window: [left, right, bottom, top], lift }) => {
    const inside = (k) => p[0][k] >= left && p[0][k] <= right && p[1][k] >= bottom && p[1][k] <= top && p[0][k] !== null && p[1][k] !== null;
    const way = { x: [], y: [], z: [] };
    for (let k = from; k <= to; k++) {
      way.x.push(inside(k) ? p[0][k] : null);
      way.y.push(inside(k) ? p[1][k] : null);
      way.z.push(inside(k) && level[k] !== null ? level[k] + lift : null);
    }
    return way;
  };

  const redraw = oneAtATime(async () => {
    const { surface, trace, view, theme } = store.get();
    if (view.mode !== "3d" || !surface || !trace || !plot.clientWidth) return;
    const step = shownStep(store.get());
    const land = {
      type: "surface", x: surface.x, y: surface.y, z: surface.z, colorscale: shades("relief"), showscale: false, hoverinfo: "skip",
      contours: { x: { highlight: false }, y: { highlight: false }, z: { highlight: false, show: true, usecolormap: false, color: color("edge"), width: 1 } },
      lighting: { ambient: 0.85, diffuse: 0.35, specular: 0.02, roughness: 0.9 },
    }; // prettier-ignore
    const ground = groundOf(surface);
    const ways = trace.runs.flatMap((run) => {
      const ink = inkOf(run.look, theme);
      const common = { type: "scatter3d", hoverinfo: "skip" };
      const line = { color: ink, width: 2 * run.look.width, dash: run.look.dash === "dashdot" ? "dash" : run.look.dash };
      const marker = { symbol: SOLID[run.look.symbol] ?? "circle", size: 6, color: ink, line: { color: "white", width: 1 } };
      return [
        { ...common, mode: "lines", line, ...wayOf(run, 0, step, ground) },
        { ...common, mode: "markers", marker, ...wayOf(run, step, step, ground) },
      ];
    });
    const names = trace.names;
    const title = (text) => ({ title: { text }, fixedrange: false, backgroundcolor: "rgba(0,0,0,0)", showspikes: false });
    const scene = {
      xaxis: axis(title(names[0])), yaxis: axis(title(names[1])), zaxis: axis({ ...title(""), showticklabels: false }),
      camera: view.camera ?? CAMERA, aspectmode: "manual", aspectratio: { x: 1.15, y: 1.15, z: 0.6 }, dragmode: "orbit",
    }; // prettier-ignore
    const look = layout({ margin: { l: 0, r: 0, t: 0, b: 0 }, width: plot.clientWidth, height: plot.clientHeight, scene, dragmode: "orbit" });
    await plotly().react(plot, [land, ...ways], look, { ...CONFIG, scrollZoom: false });
    if (!drawn) plot.on("plotly_relayout", (change) => change["scene.camera"] && keepCamera(change["scene.camera"]));
    drawn = true;
  });

  const keepCamera = ({ eye, center, up }) => {
    const bare = ({ x, y, z }) => ({ x: Number(x.toFixed(3)), y: Number(y.toFixed(3)), z: Number(z.toFixed(3)) });
    changeView(store, { camera: { eye: bare(eye), center: bare(center), up: bare(up) } });
  };

  // A camera that the user turns meanwhile stays: only the ways are new.
  const follow = oneAtATime(async () => {
    const { surface, trace, view } = store.get();
    if (view.mode !== "3d" || !drawn || !surface || !trace) return;
    if (plot.data.length !== 1 + 2 * trace.runs.length) return;
    const step = shownStep(store.get());
    const ground = groundOf(surface);
    const parts = trace.runs.flatMap((run) => [wayOf(run, 0, step, ground), wayOf(run, step, step, ground)]);
    const places = parts.map((_, k) => k + 1);
    await plotly().restyle(plot, { x: parts.map((w) => w.x), y: parts.map((w) => w.y), z: parts.map((w) => w.z) }, places);
  });

  store.on(["surface", "trace", "theme", "view"], (state, changed) => {
    const mode = state.view.mode;
    const turned = mode !== plot.dataset.mode;
    plot.dataset.mode = mode;
    if (turned || changed.some((key) => key !== "view") || state.view.camera === null) redraw();
  }); // prettier-ignore
  store.on(["step"], follow, { now: false });
  onResize(plot, redraw);
  return { redraw };
}
