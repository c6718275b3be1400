/** The page's keys; none is taken from a field, a dialog or a control that means something by it. */

import { at } from "./dom.js";
import { changeView } from "./state.js";

/** Return whether the key belongs to what has the focus. */
function belongsTo(element, key) {
  if (!(element instanceof HTMLElement)) return false;
  if (element.isContentEditable || element.matches("textarea, select, input:not([type=checkbox], [type=radio], [type=range], [type=button])")) return true;
  const arrows = key.startsWith("Arrow") || key === "Home" || key === "End" || key.startsWith("Page");
  if (arrows && element.matches("input[type=range], input[type=radio], [role=tab], [role=table], #start-handle")) return true;
  return (key === " " || key === "Enter") && element.matches("button, a, summary, input, label, [role=tab], .cards");
}

/**
 * Let the keyboard do everything.
 * @param {any} store
 * @param {any} does what the keys do
 */
export function useKeyboard(store, does) {
  const { player } = does;
  const keys = {
    " ": player.toggle,
    k: player.toggle,
    ArrowRight: (event) => player.by(event.shiftKey ? 10 : 1),
    ArrowLeft: (event) => player.by(event.shiftKey ? -10 : -1),
    Home: () => player.go(0),
    End: () => player.go(Infinity),
    ".": () => player.faster(1),
    ",": () => player.faster(-1),
    d: () => changeView(store, { mode: store.get().view.mode === "2d" ? "3d" : "2d" }),
    x: () => changeView(store, { parameter: 1 - store.get().view.parameter }),
    "+": () => does.zoom(1 / 1.6),
    "-": () => does.zoom(1.6),
    0: () => changeView(store, { window: null, camera: null }),
    l: does.learn,
    p: () => at("presets").click(),
    e: () => at("export").click(),
    s: () => at("share").click(),
    t: () => at("theme").click(),
    "?": () => at("help").click(),
  };
  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || does.busy() || belongsTo(document.activeElement, event.key)) return;
    const act = keys[event.key] ?? keys[event.key.toLowerCase()];
    const run = Number(event.key) - 1;
    if (!act && !(run >= 0 && run < store.get().setup.runs.length)) return;
    event.preventDefault();
    if (act) act(event);
    else changeView(store, { run });
  });
}
