/** Puts the page together. */

import { announce } from "./announce.js";
import { get } from "./api.js";
import { showArithmetic } from "./arithmetic.js";
import { showControls } from "./controls.js";
import { showCurve } from "./curve.js";
import { useDialogs } from "./dialogs.js";
import { at } from "./dom.js";
import { useExport } from "./export.js";
import { say, showFaults } from "./faults.js";
import { load, preferred, t, translate } from "./i18n.js";
import { useKeyboard } from "./keyboard.js";
import { showLand } from "./land.js";
import { showLandscape } from "./landscape.js";
import { showLearn } from "./learn.js";
import { showLoss } from "./loss.js";
import { showMemory } from "./memory.js";
import { runPlayer } from "./player.js";
import { showPresets, usePreset } from "./presets.js";
import { keepAnswers } from "./requests.js";
import { showRuns } from "./runs.js";
import { holdStart, zoom } from "./start.js";
import { changeView, initial } from "./state.js";
import { createStore } from "./store.js";
import { showSurface } from "./surface3d.js";
import { showTable } from "./table.js";
import { keepTheme, switchTheme } from "./theme.js";
import { decoded, keepAddress } from "./url.js";

/** Keep the page's language at the view's: its words, and the catalog's, which the server has in both. */
function keepLanguage(store) {
  const settle = async () => {
    const lang = store.get().view.lang ?? preferred();
    if (lang === store.get().lang && store.get().catalog) return;
    await load(lang);
    const catalog = await get(`/api/catalog?lang=${lang}`);
    translate();
    document.title = t("page.title");
    at("language").value = lang;
    store.set({ lang, catalog }, { history: "none" });
  };
  at("language").addEventListener("change", (event) => changeView(store, { lang: event.target.value }));
  // Where the server is away the words stay as they are until it is back.
  store.on(["view", "online"], () => void settle().catch(() => (at("language").value = store.get().lang)), { now: false });
  return settle;
}

/** Show one of the two views of the landscape. */
function keepMode(store) {
  const inputs = /** @type {NodeListOf<HTMLInputElement>} */ (document.querySelectorAll("input[name=mode]"));
  for (const input of inputs) input.addEventListener("change", () => changeView(store, { mode: input.value }));
  store.on(["view"], ({ view }) => {
    for (const input of inputs) input.checked = input.value === view.mode;
    at("flat").hidden = view.mode !== "2d";
    at("surface-plot").hidden = view.mode !== "3d";
  });
}

/** On a phone the controls are a sheet above the player. */
function keepSheet() {
  const button = at("sheet");
  const open = (yes) => {
    document.body.classList.toggle("sheet-open", yes);
    button.setAttribute("aria-expanded", String(yes));
    // What one changes is seen above the sheet.
    if (yes && button.checkVisibility()) at("landscape-figure").scrollIntoView({ block: "start" });
  };
  button.addEventListener("click", () => open(!document.body.classList.contains("sheet-open")));
  return open;
}

async function begin() {
  const store = createStore(initial());
  const found = await decoded(location.hash);
  if (found) store.set(found, { history: "none" });
  const settle = keepLanguage(store);
  keepTheme(store);
  await settle();
  const faults = showFaults(store);
  if (!found && location.hash.length > 1) say(t("url.unreadable"));
  if (!found) beginWithPreset(store);

  const answers = keepAnswers(store);
  const dialogs = useDialogs();
  keepMode(store);
  const landscape = showLandscape(store);
  showSurface(store);
  holdStart(store, landscape.overlay);
  const loss = showLoss(store);
  showMemory(store);
  showCurve(store);
  const player = runPlayer(store);
  showArithmetic(store);
  showTable(store, player);
  showRuns(store, faults.remark);
  showControls(store, faults.remark);
  const land = showLand(store, faults.remark);
  showPresets(store, dialogs);
  const sheet = keepSheet();
  land.data.dropped = () => {
    land.openPanel("data_land");
    sheet(true);
  };
  const openControls = (name) => {
    sheet(Boolean(document.querySelector(`#controls [data-control="${CSS.escape(name)}"]`)));
    land.openPanel(name);
  };
  const learn = showLearn(store, { faults: answers.failed, openControls });
  useExport(store, dialogs, { landscape, loss });
  announce(store);
  at("help").addEventListener("click", () => dialogs.open("help-dialog"));
  at("theme").addEventListener("click", () => switchTheme(store));
  useKeyboard(store, { player, learn: learn.toggle, zoom: (factor) => zoom(store, factor), busy: dialogs.isOpen });
  keepAddress(store, () => say(t("url.unreadable")));
  document.body.classList.add("ready");
}

/** The page opens with the first preset. */
function beginWithPreset(store) {
  const first = store.get().catalog.presets?.[0];
  if (first) usePreset(store, first.id);
}

begin();
