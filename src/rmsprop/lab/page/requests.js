/** What the page asks the server for: the trace, the surface and the arithmetic of the setup as it is now. */

import { get, latest, send } from "./api.js";
import { chosenRun } from "./state.js";

// After the server was lost, it is looked for this often.
const LOOK_MS = 1200;
const SLOW_MS = 300;

/** Keep trace, surface and arithmetic at the setup; what fails leaves the last good picture. */
export function keepAnswers(store) {
  const failed = (error) => {
    if (error.status === 0) lost();
    else store.set({ fault: { message: error.message, field: error.field } });
  };

  // What takes long is seen to be under way; what does not, must not flicker.
  let asking = 0;
  const busy = async (answer) => {
    asking += 1;
    const slow = setTimeout(() => document.body.setAttribute("aria-busy", "true"), SLOW_MS);
    try {
      return await answer;
    } finally {
      clearTimeout(slow);
      asking -= 1;
      if (!asking) document.body.removeAttribute("aria-busy");
    }
  };

  const askTrace = latest(
    (setup, signal) => busy(send("/api/trace", setup, signal)),
    (trace, setup) => {
      // Whoever was at the end stays there; a step in the middle stays where it is.
      const { step } = store.get();
      const last = trace.runs[0].loss.length - 1;
      store.set({ trace: { ...trace, of: setup }, fault: null, step: step !== null && step >= last ? null : step }, { history: "none" });
    },
    failed,
  );
  const askSurface = latest(
    (body, signal) => send("/api/surface", body, signal),
    (surface) => store.set({ surface: { ...surface, window: [surface.x[0], surface.x.at(-1), surface.y[0], surface.y.at(-1)] } }, { history: "none" }),
    failed,
  );
  const askArithmetic = latest(
    (body, signal) => send("/api/arithmetic", body, signal),
    (arithmetic, { setup, run }) => store.set({ arithmetic: { ...arithmetic, of: setup, run } }, { history: "none" }),
    failed,
  );

  let asked = "";
  const surface = ({ setup, view }) => {
    const body = { land: setup.land, start: numbers(setup.start), ...(view.window && { window: view.window }) };
    const text = JSON.stringify(body);
    if (text === asked) return;
    asked = text;
    askSurface(body);
  };
  const everything = (state) => {
    askTrace(state.setup);
    surface(state);
  };
  const arithmetic = ({ trace, view, arithmetic: had }) => {
    if (!trace) return;
    const run = Math.min(view.run, trace.runs.length - 1);
    if (had?.of === trace.of && had?.run === run) return;
    askArithmetic({ setup: trace.of, run });
  };

  const lost = () => {
    asked = "";
    if (!store.get().online) return;
    store.set({ online: false });
    const look = async () => {
      try {
        await get("/api/catalog");
      } catch (error) {
        if (error.status === 0) return void setTimeout(look, LOOK_MS);
      }
      store.set({ online: true });
      everything(store.get());
    };
    setTimeout(look, LOOK_MS);
  };

  store.on(["setup"], everything);
  store.on(["view"], surface, { now: false });
  store.on(["trace", "view"], arithmetic, { now: false });
  return { chosen: () => chosenRun(store.get()), failed };
}

/** A start that is not two numbers yet is the trace's to refuse. */
function numbers(start) {
  return Array.isArray(start) && start.every(Number.isFinite) ? start : null;
}
