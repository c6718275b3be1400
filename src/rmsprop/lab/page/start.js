/** Where the runs start: set by a click on the landscape, by a drag of the start or with its arrow keys; and the part that is seen. */

import { at } from "./dom.js";
import { changeSetup, changeView } from "./state.js";

// A pointer that went no farther than this, in pixels, has clicked.
const STILL = 4;
// Of the window, how far an arrow key goes; with Shift, ten times as far.
const NUDGE = 0.01;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

/** Return a point with no more digits than the window can tell apart. */
function rounded([x, y], [left, right, bottom, top]) {
  const digits = (size) => Math.max(0, Math.min(12, 3 - Math.floor(Math.log10(size))));
  return [Number(x.toFixed(digits(right - left))), Number(y.toFixed(digits(top - bottom)))];
}

/** Let the pointer and the keyboard set the start, move the window and zoom. */
export function holdStart(store, overlay) {
  const handle = at("start-handle");
  const plot = at("landscape-plot");
  const shown = () => store.get().surface?.window;
  // The window stays as it is while the start is moved in it.
  const setStart = ([x, y], how) => {
    const window = shown();
    const [left, right, bottom, top] = window;
    const start = rounded([Math.max(left, Math.min(right, x)), Math.max(bottom, Math.min(top, y))], window);
    changeSetup(store, (setup) => void (setup.start = start), how, { window });
  };

  let drag = null;
  const begin = (event, what) => {
    if (event.button || !shown() || !overlay.axes) return;
    drag = { what, from: [event.clientX, event.clientY], window: shown(), moved: false, pushed: false };
    event.currentTarget.setPointerCapture(event.pointerId);
    if (what === "start") event.preventDefault();
  };
  const move = (event) => {
    if (!drag) return;
    const [right, down] = [event.clientX - drag.from[0], event.clientY - drag.from[1]];
    if (!drag.moved && Math.hypot(right, down) <= STILL) return;
    drag.moved = true;
    if (drag.what === "start") {
      setStart(overlay.point(event), drag.pushed ? "replace" : "push");
      drag.pushed = true;
    } else if (event.pointerType === "mouse") {
      const [l, r, b, t] = drag.window;
      const { x, y } = overlay.axes;
      const [across, up] = [(-right * (r - l)) / x._length, (down * (t - b)) / y._length];
      changeView(store, { window: [l + across, r + across, b + up, t + up] });
    }
  };
  const end = (event) => {
    if (drag && !drag.moved && drag.what === "window" && event.type === "pointerup") setStart(overlay.point(event), "push");
    drag = null;
  };
  for (const [element, what] of [[handle, "start"], [plot, "window"]]) {
    element.addEventListener("pointerdown", (event) => begin(event, what));
    element.addEventListener("pointermove", move);
    element.addEventListener("pointerup", end);
    element.addEventListener("pointercancel", end);
  }
  handle.addEventListener("keydown", (event) => {
    const arrow = ARROWS[event.key];
    if (!arrow || event.ctrlKey || event.metaKey || event.altKey || !store.get().trace) return;
    event.preventDefault();
    event.stopPropagation();
    const [left, right, bottom, top] = shown();
    const far = NUDGE * (event.shiftKey ? 10 : 1);
    const [x, y] = store.get().trace.start;
    setStart([x + arrow[0] * far * (right - left), y + arrow[1] * far * (top - bottom)], event.repeat ? "replace" : "push");
  });
  plot.addEventListener(
    "wheel",
    (event) => {
      if (!shown() || !(event.ctrlKey || event.altKey || document.activeElement === at("landscape-plot"))) return;
      event.preventDefault();
      zoom(store, event.deltaY > 0 ? 1.15 : 1 / 1.15, overlay.point(event));
    },
    { passive: false },
  );
  at("zoom-in").addEventListener("click", () => zoom(store, 1 / 1.6));
  at("zoom-out").addEventListener("click", () => zoom(store, 1.6));
  at("zoom-fit").addEventListener("click", () => changeView(store, { window: null, camera: null }));
}

/** Show a larger or smaller part of the landscape around a point, by default where the chosen run is. */
export function zoom(store, factor, around) {
  const shown = store.get().surface?.window;
  if (!shown) return;
  const [left, right, bottom, top] = shown;
  const [x, y] = around ?? [(left + right) / 2, (bottom + top) / 2];
  const size = (right - left) * factor;
  if (!(size > 1e-9 && size < 1e9)) return;
  changeView(store, { window: [x - (x - left) * factor, x + (right - x) * factor, y - (y - bottom) * factor, y + (top - y) * factor] });
}
