/** The controls of the whole experiment: how long, which schedule, what noise, which seed. */

import { at, h, icon } from "./dom.js";
import { choiceField, numberField } from "./fields.js";
import { t } from "./i18n.js";
import { changeSetup } from "./state.js";

const DICE = "M5 5h14v14H5zM9 9h.01M15 15h.01M15 9h.01M9 15h.01";

/** Return a noise's kind and strength, from text as the setup has it. */
function parted(noise) {
  const [kind, strength] = noise.split("=");
  return { kind, strength: strength === undefined ? undefined : Number.isFinite(Number(strength)) ? Number(strength) : strength };
}

/** Show them, and keep them at the setup. */
export function showControls(store, remark) {
  const place = at("experiment-fields");
  let controls = [];

  const set = (name) => (value, how) =>
    changeSetup(
      store,
      (setup) => {
        if (value === undefined) delete setup[name];
        else setup[name] = value;
      },
      how,
    );

  const build = ({ catalog }) => {
    const [, most] = catalog.limits.steps;
    const steps = numberField({ name: "steps", path: "steps", label: t("field.steps"), low: 10, high: most, scale: "log", integer: true }, set("steps"));
    const schedule = choiceField({ name: "schedule", path: "schedule", label: t("field.schedule"), hint: t("hint.schedule"), choices: catalog.schedules.map((value) => ({ value, text: t(`choice.schedule.${value}`) })) }, set("schedule")); // prettier-ignore
    const noise = choiceField({ name: "noise", path: "noise", label: t("field.noise"), hint: t("hint.noise"), choices: catalog.noises.map(({ kind }) => ({ value: kind, text: t(`choice.noise.${kind}`) })) }, set("noise")); // prettier-ignore
    const strength = numberField({ name: "noise_strength", path: "noise", label: t("field.strength"), low: 0.001, high: 1, scale: "log", zero: true }, (value, how) => {
      const { kind } = parted(store.get().setup.noise);
      set("noise")(value === undefined ? kind : `${kind}=${value}`, how);
    }); // prettier-ignore
    const seed = numberField({ name: "seed", path: "seed", label: t("field.seed"), hint: t("hint.seed") }, set("seed"));
    const another = h("button", { type: "button", class: "bare", "aria-label": t("seed.another"), title: t("seed.another"), onclick: () => set("seed")(Number(store.get().setup.seed) + 1 || 0, "push") }, icon(DICE)); // prettier-ignore
    seed.element.insertBefore(another, seed.element.querySelector(".field-error"));
    controls = [
      { show: (setup) => steps.show(setup.steps ?? 300), element: steps.element },
      { show: (setup) => schedule.show(setup.schedule ?? "constant"), element: schedule.element },
      { show: (setup) => noise.show(parted(setup.noise ?? "none").kind), element: noise.element },
      { show: (setup) => showStrength(strength, setup, catalog), element: strength.element },
      { show: (setup) => seed.show(setup.seed ?? 0), element: seed.element },
    ];
    place.replaceChildren(...controls.map(({ element }) => element));
  };

  const fill = ({ setup, catalog }) => {
    if (!catalog) return;
    for (const { show } of controls) show(setup);
    remark();
  };
  store.on(["catalog", "lang"], (state) => {
    if (!state.catalog) return;
    build(state);
    fill(state);
  });
  store.on(["setup"], fill, { now: false });
}

function showStrength(control, setup, catalog) {
  const { kind, strength } = parted(setup.noise ?? "none");
  const known = catalog.noises.find((noise) => noise.kind === kind);
  control.element.hidden = kind === "none";
  control.show(strength ?? known?.default ?? 0);
}
