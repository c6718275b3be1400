/** What is walked on: a landscape by name, a formula, or the loss of a model on the user's data; and where the walk starts. */

import { at, h } from "./dom.js";
import { read, typed } from "./format.js";
import { has, t } from "./i18n.js";
import { changeSetup } from "./state.js";
import { holdData } from "./data.js";

const EXAMPLE = "(1-x)**2 + 100*(y-x**2)**2";

/** Put another landscape under the runs: with its own start and its own window. */
export function putLand(store, land) {
  changeSetup(
    store,
    (setup) => {
      setup.land = land;
      setup.start = null;
    },
    "push",
    { window: null, camera: null, preset: null },
  );
}

/** Show what is walked on, and let the user choose. */
export function showLand(store, remark) {
  const named = at("land-name");
  const formula = at("land-formula");
  const starts = [at("start-x"), at("start-y")];
  const kinds = /** @type {NodeListOf<HTMLInputElement>} */ (document.querySelectorAll("input[name=land-kind]"));
  let kind = "named"; // which panel is open; the picture follows once there is something to draw
  const data = holdData(store, (land) => putLand(store, land));

  const open = (which) => {
    kind = which;
    for (const input of kinds) input.checked = input.value === which;
    for (const name of ["named", "formula", "data"]) at(`land-${name}-panel`).hidden = name !== which;
  };
  for (const input of kinds)
    input.addEventListener("change", () => {
      open(input.value);
      if (kind === "named") putLand(store, { kind, name: named.value });
      if (kind === "formula") putLand(store, { kind, text: formula.value.trim() || EXAMPLE });
      if (kind === "data" && data.ready()) data.use();
    });
  named.addEventListener("change", () => putLand(store, { kind: "named", name: named.value }));
  const draw = () => {
    const { land } = store.get().setup;
    if (land.kind !== "formula" || land.text !== formula.value.trim()) putLand(store, { kind: "formula", text: formula.value.trim() });
  };
  formula.addEventListener("change", draw);
  formula.addEventListener("keydown", (event) => event.key === "Enter" && (event.preventDefault(), draw()));
  at("land-draw").addEventListener("click", draw);

  starts.forEach((box, k) =>
    box.addEventListener("change", () => {
      const { trace, setup } = store.get();
      const start = [...(setup.start ?? trace?.start ?? [0, 0])];
      start[k] = read(box.value);
      changeSetup(store, (changed) => void (changed.start = box.value.trim() === "" ? null : start));
    }),
  );
  at("start-reset").addEventListener("click", () => changeSetup(store, (setup) => void (setup.start = null)));

  store.on(["catalog", "lang"], ({ catalog, setup }) => {
    if (!catalog) return;
    named.replaceChildren(...catalog.landscapes.map(({ name }) => h("option", { value: name, text: t(`land.${name}`) })));
    if (setup.land.kind === "named") named.value = setup.land.name;
  });
  let shown = null;
  store.on(["setup"], ({ setup: { land } }) => {
    if (land === shown) return;
    shown = land;
    open(["named", "formula", "data"].includes(land.kind) ? land.kind : "named");
    if (land.kind === "named") named.value = land.name;
    if (land.kind === "formula") formula.value = land.text;
    if (land.kind === "data") data.show(land);
    remark();
  });
  store.on(["setup", "trace", "lang"], ({ setup, trace }) => {
    const start = setup.start ?? trace?.start ?? [];
    const names = trace?.names ?? ["x", "y"];
    starts.forEach((box, k) => {
      if (document.activeElement !== box) box.value = typed(start[k]);
      box.setAttribute("aria-label", t("start.of", { name: names[k] }));
      at(`start-name-${k}`).textContent = names[k];
    });
    at("start-reset").hidden = !setup.start;
  });
  store.on(["trace", "lang"], ({ trace }) => {
    if (!trace) return;
    const { land } = trace.of;
    at("land-title").textContent = trace.title;
    at("land-title").title = trace.title;
    const key = `story.${land.name}`;
    at("land-story").textContent = land.kind === "named" ? (has(key) ? t(key) : trace.story) : "";
    at("landscape-figure").setAttribute("aria-label", t("landscape.label", { title: trace.title }));
  });
  return { data, openPanel: (name) => (name === "formula_land" || name === "data_land" || name === "land") && open({ formula_land: "formula", data_land: "data", land: "named" }[name]) };
}
