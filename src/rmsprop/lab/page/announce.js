/** What a screen reader hears of the clock: the step and the chosen run's loss, once it has come to rest. */

import { at } from "./dom.js";
import { number } from "./format.js";
import { t } from "./i18n.js";
import { chosenRun, lastStep, shownStep } from "./state.js";

const REST_MS = 600;

/** Say politely where the clock is. */
export function announce(store) {
  const live = at("live");
  let timer = 0;
  store.on(
    ["step", "trace", "playing", "view"],
    () => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        const state = store.get();
        const run = state.trace?.runs[chosenRun(state)];
        if (!run || state.playing) return;
        const step = shownStep(state);
        const text = t("live.step", { step, last: lastStep(state), label: run.label, loss: number(run.loss[step], 4) });
        if (live.textContent !== text) live.textContent = text;
      }, REST_MS);
    },
    { now: false },
  );
}
