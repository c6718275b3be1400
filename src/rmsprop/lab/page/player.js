/** The clock: plays, pauses, goes to a step; everything that moves on the page follows `step`. */

import { at, h } from "./dom.js";
import { t } from "./i18n.js";
import { SPEEDS, changeView, lastStep, shownStep } from "./state.js";

/** Run the clock and its buttons. */
export function runPlayer(store) {
  const scrub = at("scrub");
  const speed = at("speed");
  let began = 0;
  let from = 0;

  const tick = (now) => {
    const state = store.get();
    if (!state.playing) return;
    const step = from + Math.floor(((now - began) / 1000) * state.view.speed);
    if (step >= lastStep(state)) return store.set({ step: null, playing: false });
    if (step !== state.step) store.set({ step }, { history: "none" });
    requestAnimationFrame(tick);
  };
  const start = () => {
    const state = store.get();
    from = shownStep(state) >= lastStep(state) ? 0 : shownStep(state);
    began = performance.now();
    store.set({ playing: true, step: from }, { history: "none" });
    requestAnimationFrame(tick);
  };

  const player = {
    toggle: () => (store.get().playing ? store.set({ playing: false }) : start()),
    go: (step) => {
      const last = lastStep(store.get());
      const held = Math.max(0, Math.min(last, step));
      store.set({ step: held === last ? null : held, playing: false });
    },
    by: (steps) => player.go(shownStep(store.get()) + steps),
    faster: (places) => {
      const place = SPEEDS.indexOf(store.get().view.speed) + places;
      if (SPEEDS[place]) changeView(store, { speed: SPEEDS[place] });
    },
  };

  at("play").addEventListener("click", player.toggle);
  at("step-back").addEventListener("click", () => player.by(-1));
  at("step-forward").addEventListener("click", () => player.by(1));
  at("to-start").addEventListener("click", () => player.go(0));
  at("to-end").addEventListener("click", () => player.go(lastStep(store.get())));
  scrub.addEventListener("input", () => player.go(Number(scrub.value)));
  speed.addEventListener("change", () => changeView(store, { speed: Number(speed.value) }));

  store.on(["view"], (state, changed) => {
    speed.value = String(state.view.speed);
    if (state.playing && changed.includes("view")) {
      from = shownStep(state);
      began = performance.now();
    }
  });
  store.on(["lang"], () => {
    speed.replaceChildren(...SPEEDS.map((value) => h("option", { value, text: t("player.rate", { value }) })));
    speed.value = String(store.get().view.speed);
  });
  store.on(["playing", "lang"], ({ playing }) => {
    const name = t(playing ? "player.pause" : "player.play");
    at("play").setAttribute("aria-label", name);
    at("play").title = name;
    at("play").classList.toggle("playing", playing);
  });
  store.on(["step", "trace", "lang"], (state) => {
    const last = lastStep(state);
    const step = shownStep(state);
    scrub.max = String(last);
    scrub.value = String(step);
    scrub.style.setProperty("--done", last ? `${(100 * step) / last}%` : "0%");
    scrub.setAttribute("aria-valuetext", t("player.at", { step, last }));
    at("step-now").textContent = String(step);
    at("step-last").textContent = String(last);
  });
  return player;
}
