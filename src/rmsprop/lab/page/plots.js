/** What the page's plots share: how Plotly is set up, axes in the theme's colours, and a canvas above for what moves. */

import { at } from "./dom.js";
import { color } from "./theme.js";
import { dashes, markPath } from "./marks.js";

export const CONFIG = { displayModeBar: false, displaylogo: false, responsive: false, doubleClick: false, scrollZoom: false, showTips: false };

/** Return Plotly, whose script, the largest by far, comes beside the page's own. */
export function plotly() {
  return /** @type {any} */ (globalThis).Plotly;
}

const arrived = new Promise((done) => (plotly() ? done(null) : at("plotly").addEventListener("load", done)));

/** Return an axis in the theme's colours. */
export function axis(more = {}) {
  return {
    gridcolor: color("grid"), linecolor: color("line"), zerolinecolor: color("grid"), color: color("muted"),
    fixedrange: true, automargin: false, ticks: "", zeroline: false, tickfont: { size: 11 }, ...more,
  }; // prettier-ignore
}

/** Return a layout in the theme's colours. */
export function layout(more = {}) {
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false, dragmode: false, hovermode: false,
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: color("muted") }, ...more,
  }; // prettier-ignore
}

/** Return a function that draws again and again, but never while it draws: Plotly must not be called twice at once. */
export function oneAtATime(draw) {
  let busy = false;
  let again = false;
  return async () => {
    again = true;
    if (busy) return;
    busy = true;
    await arrived;
    try {
      while (again) {
        again = false;
        await draw();
      }
    } finally {
      busy = false;
    }
  };
}

/** Call a function when an element has got another size. */
export function onResize(element, call) {
  let size = "";
  new ResizeObserver(() => {
    const { width, height } = element.getBoundingClientRect();
    const now = `${Math.round(width)}×${Math.round(height)}`;
    if (now !== size && width > 0 && height > 0) {
      size = now;
      call();
    }
  }).observe(element);
}

/** A canvas above a plot, drawn in the plot's own coordinates. */
export class Overlay {
  /** @param {any} plot Plotly's element */
  constructor(plot) {
    this.plot = plot;
    this.canvas = document.createElement("canvas");
    this.canvas.className = "overlay";
    this.canvas.setAttribute("aria-hidden", "true");
    plot.parentElement.append(this.canvas);
    this.pen = this.canvas.getContext("2d");
  }

  get axes() {
    const full = this.plot._fullLayout;
    return full?.xaxis?._length ? { x: full.xaxis, y: full.yaxis } : null;
  }

  /** Return the place of a point on the canvas, in CSS pixels. */
  place(x, y) {
    const { x: across, y: up } = this.axes;
    const held = (value) => Math.max(-1e5, Math.min(1e5, value));
    return [held(across._offset + across.d2p(x)), held(up._offset + up.d2p(y))];
  }

  /** Return the point at a place of the window. */
  point(event) {
    const { x: across, y: up } = this.axes;
    const box = this.canvas.getBoundingClientRect();
    return [across.p2d(event.clientX - box.left - across._offset), up.p2d(event.clientY - box.top - up._offset)];
  }

  /** Clear the canvas and hold what is drawn inside the axes; false where there is nothing to draw on. */
  begin() {
    if (!this.axes) return false;
    const { clientWidth: width, clientHeight: height } = this.plot;
    const ratio = devicePixelRatio || 1;
    if (this.canvas.width !== Math.round(width * ratio) || this.canvas.height !== Math.round(height * ratio)) {
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(height * ratio);
    }
    const { x, y } = this.axes;
    this.pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.pen.clearRect(0, 0, width, height);
    this.pen.save();
    this.pen.beginPath();
    this.pen.rect(x._offset, y._offset, x._length, y._length);
    this.pen.clip();
    return true;
  }

  end() {
    this.pen.restore();
  }

  /** Draw a line through points; one that is not finite parts it. */
  line(xs, ys, from, to, { ink, width = 2, dash = "solid", alpha = 1, halo = null }) {
    const path = new Path2D();
    let down = false;
    for (let k = from; k <= to; k++) {
      if (xs[k] === null || ys[k] === null || xs[k] === undefined || ys[k] === undefined) {
        down = false;
        continue;
      }
      const [x, y] = this.place(xs[k], ys[k]);
      if (down) path.lineTo(x, y);
      else path.moveTo(x, y);
      down = true;
    }
    this.pen.globalAlpha = alpha;
    this.pen.lineJoin = "round";
    if (halo) {
      this.pen.setLineDash([]);
      this.pen.strokeStyle = halo;
      this.pen.lineWidth = width + 2.5;
      this.pen.stroke(path);
    }
    this.pen.setLineDash(dashes(dash));
    this.pen.strokeStyle = ink;
    this.pen.lineWidth = width;
    this.pen.stroke(path);
    this.pen.setLineDash([]);
    this.pen.globalAlpha = 1;
  }

  /** Draw a mark at a point. */
  mark(x, y, symbol, { ink, size = 6, edge, edgeWidth = 1.5 }) {
    if (x === null || y === null || x === undefined || y === undefined) return;
    const [left, top] = this.place(x, y);
    this.pen.save();
    this.pen.translate(left, top);
    this.pen.scale(size, size);
    const path = new Path2D(markPath(symbol));
    this.pen.lineWidth = (2 * edgeWidth) / size;
    this.pen.strokeStyle = edge;
    this.pen.stroke(path);
    this.pen.fillStyle = ink;
    this.pen.fill(path);
    this.pen.restore();
  }

  /** Draw the clock's hand. */
  hand(step, ink) {
    const { y } = this.axes;
    const [left] = this.place(step, 1);
    this.pen.strokeStyle = ink;
    this.pen.lineWidth = 1;
    this.pen.beginPath();
    this.pen.moveTo(left, y._offset);
    this.pen.lineTo(left, y._offset + y._length);
    this.pen.stroke();
  }
}
