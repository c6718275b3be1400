/** The user's own data: pasted, chosen or dropped; refused by its size before it is read; with a model and two of its parameters. */

import { at, h } from "./dom.js";
import { t } from "./i18n.js";

const WORD = /^[A-Za-z_]\w*$/;

/** Return a size for people. */
function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  for (; bytes >= 1000 && unit < units.length - 1; unit++) bytes /= 1000;
  return `${bytes >= 100 || unit === 0 ? Math.round(bytes) : bytes.toFixed(1)} ${units[unit]}`;
}

/** Return a straight line over the first two columns of a table, as a model to begin with; "" where they have no plain names. */
function lineOver(csv) {
  const header = csv.slice(0, 2000).split(/\r?\n/, 1)[0];
  const names = header.split(/[,;\t]/).map((name) => name.trim().replace(/^"(.*)"$/, "$1"));
  if (names.length < 2 || !names.slice(0, 2).every((name) => WORD.test(name))) return "";
  const [x, y] = names.includes("x") && names.includes("y") ? ["x", "y"] : [names[0], names[1]];
  const free = ["a", "b", "c", "d"].filter((name) => !names.includes(name));
  return `${y} = ${free[0]}*${x} + ${free[1]}`;
}

/**
 * Hold the fields of the user's data.
 * @param {any} store
 * @param {(land: any) => void} put what is ready under the runs
 */
export function holdData(store, put) {
  const csv = at("data-csv");
  const model = at("data-model");
  const chooser = at("data-file");
  const note = at("data-note");
  const over = [at("over-0"), at("over-1")];
  const most = () => store.get().catalog?.limits.csv[1] ?? 1 << 20;
  const ready = () => csv.value.trim() !== "" && model.value.trim() !== "";

  const use = () => {
    const { land } = store.get().setup;
    const same = land.kind === "data" && land.model === model.value.trim();
    put({ kind: "data", csv: csv.value, model: model.value.trim(), over: same ? land.over : null });
  };
  const tell = (message, wrong = false) => {
    note.textContent = message;
    note.classList.toggle("wrong", wrong);
  };
  const take = async (file) => {
    if (!file) return;
    if (file.size > most()) return tell(t("data.large", { name: file.name, size: size(file.size), most: size(most()) }), true);
    let text;
    try {
      text = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
    } catch {
      return tell(t("data.unreadable", { name: file.name }), true);
    }
    csv.value = text.replace(/^\uFEFF/, "");
    const line = lineOver(csv.value);
    if (line && !ready()) model.value = line;
    tell(t("data.taken", { name: file.name, size: size(file.size) }));
    if (ready()) use();
    else model.focus();
  };

  chooser.addEventListener("change", () => {
    take(chooser.files[0]);
    chooser.value = "";
  });
  at("data-choose").addEventListener("click", () => chooser.click());
  at("data-fit").addEventListener("click", use);
  model.addEventListener("keydown", (event) => event.key === "Enter" && (event.preventDefault(), use()));
  csv.addEventListener("paste", (event) => {
    const text = event.clipboardData?.getData("text/plain") ?? "";
    if (text.length <= most()) return;
    event.preventDefault();
    tell(t("data.large", { name: t("data.pasted"), size: size(text.length), most: size(most()) }), true);
  });
  // While one pastes, not once one has gone on to the model: it must not change under who types there.
  csv.addEventListener("input", () => {
    if (!model.value.trim()) model.value = lineOver(csv.value);
  });
  const choose = () => {
    const { land } = store.get().setup;
    if (land.kind === "data") put({ ...land, over: [over[0].value, over[1].value] });
  };
  over.forEach((select, k) =>
    select.addEventListener("change", () => {
      // The two must differ: choosing the other's name swaps them.
      if (over[0].value === over[1].value) over[1 - k].value = store.get().trace.names[k];
      choose();
    }),
  );
  store.on(["trace"], ({ trace, setup }) => {
    at("over").hidden = !trace?.data || setup.land.kind !== "data";
    if (!trace?.data) return;
    const all = [...trace.names, ...Object.keys(trace.data.held ?? {})].sort();
    over.forEach((select, k) => {
      select.replaceChildren(...all.map((name) => h("option", { value: name, text: name })));
      select.value = trace.names[k];
    });
  });

  const carriesFile = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  addEventListener("dragover", (event) => {
    if (!carriesFile(event)) return;
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  addEventListener("dragleave", (event) => !event.relatedTarget && document.body.classList.remove("dropping"));
  const handle = {
    ready,
    use,
    take,
    dropped: (_event) => {},
    show: (land) => {
      csv.value = land.csv;
      model.value = land.model;
      if (!land.csv) tell(t("data.left_out"), true);
    },
  };
  addEventListener("drop", (event) => {
    document.body.classList.remove("dropping");
    if (!carriesFile(event)) return;
    event.preventDefault();
    handle.dropped(event);
    take(event.dataTransfer.files[0]);
  });
  return handle;
}
