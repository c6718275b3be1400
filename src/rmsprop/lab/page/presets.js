/** Experiments that are worth a look, good and bad, with a sentence each. */

import { at, h } from "./dom.js";
import { FIRST } from "./state.js";

/** Put a preset's experiment on the page. */
export function usePreset(store, id) {
  const { catalog, view } = store.get();
  const preset = catalog?.presets.find((one) => one.id === id);
  if (!preset) return;
  const setup = { ...FIRST, ...structuredClone(preset.setup) };
  const shown = { ...view, run: 0, window: null, camera: null, preset: id };
  store.set({ setup, view: shown, step: null, playing: false }, { history: "push" });
}

/** Show the presets' dialog, and the sentence of the one that is on the page. */
export function showPresets(store, dialogs) {
  const list = at("preset-list");
  at("presets").addEventListener("click", () => dialogs.open("presets-dialog"));
  const pick = (id) => {
    usePreset(store, id);
    dialogs.close();
  };
  store.on(["catalog", "view"], ({ catalog, view }) => {
    if (!catalog) return;
    list.replaceChildren(
      ...catalog.presets.map(({ id, title, sentence }) =>
        h(
          "li",
          {},
          h(
            "button",
            { type: "button", class: "preset", "data-preset": id, "aria-pressed": String(view.preset === id), onclick: () => pick(id) },
            h("strong", { text: title }),
            h("span", { text: sentence }),
          ),
        ),
      ),
    );
    const now = catalog.presets.find(({ id }) => id === view.preset);
    at("preset-now").hidden = !now;
    at("preset-title").textContent = now?.title ?? "";
    at("preset-sentence").textContent = now?.sentence ?? "";
  });
}
