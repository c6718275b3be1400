/** The optimizers of the experiment: which run, the chosen one's hyper-parameters; added, copied and removed. */

import { at, h, icon } from "./dom.js";
import { choiceField, numberField, switchField } from "./fields.js";
import { has, t } from "./i18n.js";
import { inkOf, markPath } from "./marks.js";
import { changeSetup, changeView, chosenRun } from "./state.js";

/** What of RMSprop's rule is shown at once; the rest is one click away. */
const FIRST = ["lr", "decay", "eps", "eps_place", "momentum", "nesterov", "centered"];
const COPY = "M8 8V4h12v12h-4M4 8h12v12H4z";
const CROSS = "M6 6l12 12M18 6L6 18";

/** Return a hyper-parameter as the run has it: set by the user, else as the server took it, else as its dialect has it. */
function valueOf(state, k, field) {
  const run = state.setup.runs[k];
  if (run[field.name] !== undefined) return run[field.name];
  const used = state.trace?.of === state.setup ? state.trace.setup?.runs[k] : null;
  if (used && used[field.name] !== undefined) return used[field.name];
  if (run.optimizer !== "rmsprop") return field.default;
  const dialect = state.catalog.dialects.find(({ name }) => name === (run.dialect ?? "article"));
  return dialect?.axes[field.name] ?? field.default;
}

/** Return the words for a run's field: its optimizer's own, where it means something else there. */
function nameOf(optimizer, name) {
  return has(`field.${optimizer}.${name}`) ? t(`field.${optimizer}.${name}`) : t(`field.${name}`);
}

/** Show the runs and let the user change them. */
export function showRuns(store, remark) {
  const list = at("run-list");
  const fields = at("run-fields");
  const more = at("run-more");
  const add = at("run-add");
  let built = "";
  let controls = [];

  const change = (k, name, value, how) =>
    changeSetup(
      store,
      ({ runs }) => {
        if (value === undefined) delete runs[k][name];
        else runs[k][name] = value;
      },
      how,
    );
  const setOptimizer = (k, optimizer) => changeSetup(store, ({ runs }) => void (runs[k] = { optimizer }));
  // Another dialect is another rule with the same learning rate, which belongs to the landscape.
  const setDialect = (k, dialect) =>
    changeSetup(store, ({ runs }) => void (runs[k] = { optimizer: "rmsprop", dialect, ...(runs[k].lr !== undefined && { lr: runs[k].lr }) }));

  const control = (state, k, field) => {
    const { optimizer } = state.setup.runs[k];
    const options = { ...field.slider, name: field.name, path: `runs[${k}].${field.name}`, label: nameOf(optimizer, field.name), hint: has(`hint.${field.name}`) ? t(`hint.${field.name}`) : null }; // prettier-ignore
    const set = (value, how) => change(k, field.name, value, how);
    if (field.kind === "switch") return switchField(options, set);
    if (field.kind === "choice") return choiceField({ ...options, choices: field.choices.map((value) => ({ value, text: t(`choice.${field.name}.${value}`) })) }, set);
    return numberField(options, set);
  };

  const build = (state) => {
    const k = chosenRun(state);
    const { optimizer, dialect } = state.setup.runs[k];
    const known = state.catalog.optimizers.find(({ name }) => name === optimizer) ?? { fields: [] };
    const chooser = choiceField(
      { name: "optimizer", path: `runs[${k}].optimizer`, label: t("field.optimizer"), choices: state.catalog.optimizers.map(({ name }) => ({ value: name, text: t(`optimizer.${name}`) })) },
      (value) => setOptimizer(k, value),
    ); // prettier-ignore
    chooser.show(optimizer);
    const top = [chooser];
    if (optimizer === "rmsprop") {
      const choices = state.catalog.dialects.map(({ name }) => ({ value: name, text: name }));
      const picked = choiceField({ name: "dialect", path: `runs[${k}].dialect`, label: t("field.dialect"), hint: t("hint.dialect"), choices }, (value) => setDialect(k, value));
      picked.show(dialect ?? "article");
      top.push(picked);
    }
    controls = known.fields.map((field) => ({ field, ...control(state, k, field) }));
    const first = controls.filter(({ field }) => optimizer !== "rmsprop" || FIRST.includes(field.name));
    const rest = controls.filter((one) => !first.includes(one));
    fields.replaceChildren(...top.map(({ element }) => element), ...first.map(({ element }) => element));
    at("run-more-fields").replaceChildren(...rest.map(({ element }) => element));
    more.hidden = !rest.length;
  };

  const row = (state, run, k, chosen) => {
    const traced = state.trace?.runs[k];
    const label = traced?.optimizer === run.optimizer ? traced.label : t(`optimizer.${run.optimizer}`);
    const mark = icon(markPath(traced?.look.symbol ?? "circle"), { viewBox: "-1.4 -1.4 2.8 2.8", class: "mark" });
    mark.style.fill = traced ? inkOf(traced.look, state.theme) : "currentColor";
    const full = state.setup.runs.length >= state.catalog.limits.runs[1];
    const copy = (event) => {
      event.stopPropagation();
      changeSetup(store, ({ runs }) => void runs.splice(k + 1, 0, structuredClone(runs[k])), "push", { run: k + 1 });
    };
    const remove = (event) => {
      event.stopPropagation();
      const { run: now } = store.get().view;
      changeSetup(store, ({ runs }) => void runs.splice(k, 1), "push", { run: now > k || now === state.setup.runs.length - 1 ? Math.max(0, now - 1) : now });
    };
    return h(
      "li",
      { class: k === chosen ? "chosen" : null, "data-field": `runs[${k}]` },
      h("button", { type: "button", class: "run-name", "aria-pressed": String(k === chosen), onclick: () => changeView(store, { run: k }) }, mark, h("span", { text: label })),
      h("button", { type: "button", class: "bare", "aria-label": t("run.copy", { label }), title: t("run.copy", { label }), disabled: full, onclick: copy }, icon(COPY)),
      h("button", { type: "button", class: "bare", "aria-label": t("run.remove", { label }), title: t("run.remove", { label }), disabled: state.setup.runs.length === 1, onclick: remove }, icon(CROSS)),
      h("p", { class: "field-error", hidden: true }),
    ); // prettier-ignore
  };

  const redraw = (state) => {
    if (!state.catalog) return;
    const chosen = chosenRun(state);
    const now = JSON.stringify([state.lang, chosen, state.setup.runs[chosen].optimizer, state.setup.runs[chosen].dialect]);
    const active = document.activeElement;
    const index = list.contains(active) ? [...list.querySelectorAll("button")].indexOf(active) : -1;
    list.replaceChildren(...state.setup.runs.map((run, k) => row(state, run, k, chosen)));
    if (index >= 0) (list.querySelectorAll("button")[index] ?? list.querySelector("button")).focus();
    if (now !== built) {
      const focused = /** @type {any} */ (active?.closest?.("#run-fields [data-control]"))?.dataset.control;
      built = now;
      build(state);
      if (focused) /** @type {any} */ (fields.querySelector(`[data-control="${focused}"] :is(select, input)`))?.focus();
    }
    for (const { field, show } of controls) show(valueOf(state, chosen, field));
    remark();
  };

  store.on(["catalog", "lang", "setup", "trace", "view", "theme"], redraw);
  store.on(["catalog", "lang"], ({ catalog }) => {
    if (!catalog) return;
    const options = catalog.optimizers.map(({ name }) => h("option", { value: name, text: t(`optimizer.${name}`) }));
    add.replaceChildren(h("option", { value: "", text: t("run.add") }), ...options);
  });
  store.on(["setup", "catalog"], ({ setup, catalog }) => (add.disabled = !catalog || setup.runs.length >= catalog.limits.runs[1]));
  add.addEventListener("change", () => {
    const optimizer = add.value;
    add.value = "";
    const place = store.get().setup.runs.length;
    if (optimizer) changeSetup(store, ({ runs }) => void runs.push({ optimizer }), "push", { run: place });
  });
}
