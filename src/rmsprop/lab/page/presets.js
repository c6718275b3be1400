/** Experiments that are worth a look, good and bad, with a sentence each. */

import { at, h } from "./dom.js";
import { FIRST } from "./state.js";

function setupOf(preset) {
  return { ...FIRST, ...structuredClone(preset.setup) };
}

/** Put a preset's experiment on the page. */
export function usePreset(store, id) {
  const { catalog, view } = store.get();
  const preset = catalog?.presets.find((one) => one.id === id);
  if (!preset) return;
  const setup = setupOf(preset);
  const shown = { ...view, run: 0, window: null, camera: null, preset: id };
  store.set({ setup, view: shown, step: null, playing: false }, { history: "push" });
}

/** Show the presets' dialog, and the sentence of the one that is on the page. */
export function showPresets(store, dialogs) {
  const list = at("preset-list");
  at("presets").addEventListener("click", () => dialogs.open("presets-dialog"));
  at("preset-back").addEventListener("click", () => usePreset(store, store.get().view.preset));
  const pick = (id) => {
    usePreset(store, id);
    dialogs.close();
  };
  let shown = null;
  store.on(["catalog", "view", "setup"], ({ catalog, view, setup }) => {
    if (!catalog) return;
    if (catalog !== shown) {
      shown = catalog;
      list.replaceChildren(
        ...catalog.presets.flatMap(({ id, group, title, sentence }, k, all) => [
          ...(group === all[k - 1]?.group ? [] : [h("li", { class: "group" }, h("h3", { text: group }))]),
          h(
            "li",
            {},
            h(
              "button",
              { type: "button", class: "preset", "data-preset": id, onclick: () => pick(id) },
              h("strong", { text: title }),
              h("span", { text: sentence }),
            ),
          ),
        ]),
      );
    }
    for (const button of list.querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.dataset.preset === view.preset));
    const now = catalog.presets.find(({ id }) => id === view.preset);
    at("preset-now").hidden = !now;
    at("preset-title").textContent = now?.title ?? "";
    at("preset-sentence").textContent = now?.sentence ?? "";
    // Its place is kept: the page must not move under who drags the start.
    at("preset-back").classList.toggle("off", !now || JSON.stringify(setupOf(now)) === JSON.stringify(setup));
  });
}
