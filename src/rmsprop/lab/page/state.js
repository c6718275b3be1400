/** The page's state: the experiment, which the server checks, and the view of it, which is the page's own. */

export const SPEEDS = [1, 5, 15, 30, 60, 120, 300, 1000];

/** What the page shows first: the first preset's experiment takes its place once the catalog is there. */
export const FIRST = {
  v: 1,
  land: { kind: "named", name: "ravine" },
  start: null,
  runs: [{ optimizer: "rmsprop" }, { optimizer: "adagrad" }],
  steps: 300,
  schedule: "constant",
  noise: "none",
  seed: 0,
};

export const VIEW = {
  lang: null, // null: the browser's
  theme: null, // null: the system's
  run: 0,
  parameter: 0,
  mode: "2d",
  window: null, // null: the landscape's own
  camera: null,
  speed: 60,
  learn: null, // null: closed; else the tab that is open
  preset: null,
};

/** Return a view with what is known of another one and of the right kind. */
export function checkedView(given) {
  const is = {
    lang: (v) => v === "en" || v === "zh",
    theme: (v) => v === "light" || v === "dark",
    run: (v) => Number.isInteger(v) && v >= 0 && v < 64,
    parameter: (v) => v === 0 || v === 1,
    mode: (v) => v === "2d" || v === "3d",
    window: (v) => Array.isArray(v) && v.length === 4 && v.every(Number.isFinite) && v[0] < v[1] && v[2] < v[3],
    camera: (v) => isCamera(v),
    speed: (v) => SPEEDS.includes(v),
    learn: (v) => ["short", "standard", "detailed", "glossary", "cards"].includes(v),
    preset: (v) => typeof v === "string",
  };
  const view = { ...VIEW };
  for (const key of Object.keys(VIEW)) if (given?.[key] !== undefined && is[key](given[key])) view[key] = given[key];
  return view;
}

function isCamera(value) {
  const point = (p) => p && ["x", "y", "z"].every((axis) => Number.isFinite(p[axis]));
  return Boolean(value && point(value.eye) && point(value.center) && point(value.up));
}

/** What the page knows before anything has arrived. */
export function initial() {
  return {
    setup: FIRST,
    view: VIEW,
    step: null, // null: the last one
    playing: false,
    catalog: null,
    trace: null,
    surface: null,
    arithmetic: null,
    fault: null, // what the server refused: {message, field}
    online: true,
    lang: "en",
    theme: "light",
  };
}

/** Return the number of the step that is shown. */
export function shownStep(state) {
  const last = lastStep(state);
  return state.step === null ? last : Math.min(state.step, last);
}

/** Return the number of the last step. */
export function lastStep(state) {
  return state.trace ? state.trace.runs[0].loss.length - 1 : 0;
}

/** Return the chosen run's place. */
export function chosenRun(state) {
  return Math.min(state.view.run, state.setup.runs.length - 1);
}

/** Change the view. */
export function changeView(store, patch, how = { history: "replace" }) {
  store.set({ view: { ...store.get().view, ...patch } }, how);
}

/**
 * Change the experiment.
 * @param {any} store
 * @param {(setup: any) => void} change what to do to a copy
 * @param {"push"|"replace"} [history] whether Back leads to how it was before
 * @param {object} [view] what to change of the view along with it
 */
export function changeSetup(store, change, history = "push", view = {}) {
  const setup = structuredClone(store.get().setup);
  change(setup);
  store.set({ setup, view: { ...store.get().view, ...view } }, { history });
}
