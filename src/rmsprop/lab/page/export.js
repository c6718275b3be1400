/** What can be taken along: pictures, numbers, the experiment, Python code, and a link to all of it. */

import { file } from "./api.js";
import { at } from "./dom.js";
import { say } from "./faults.js";
import { t } from "./i18n.js";
import { picture } from "./png.js";
import { chosenRun } from "./state.js";
import { encoded } from "./url.js";

/** Hand a file to the user. */
function save(blob, name) {
  const address = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

/** Let the user export and share. */
export function useExport(store, dialogs, overlays) {
  at("export").addEventListener("click", () => dialogs.open("export-dialog"));

  const make = async (kind) => {
    if (kind === "png") return save(await picture(store.get(), overlays), "rmsprop-lab.png");
    const { setup, lang } = store.get();
    const { blob, name } = await file(`/api/export/${kind}`, { setup, run: chosenRun(store.get()), lang });
    save(blob, name);
  };
  const exported = async (button, kind) => {
    if (button.getAttribute("aria-busy")) return;
    button.setAttribute("aria-busy", "true");
    at("export-note").textContent = t("export.busy");
    try {
      await make(kind);
      at("export-note").textContent = t("export.done");
    } catch (error) {
      at("export-note").textContent = error.status === 0 ? t("alert.offline") : error.message;
    }
    button.removeAttribute("aria-busy");
  };
  for (const button of document.querySelectorAll("[data-export]"))
    button.addEventListener("click", () => exported(button, /** @type {HTMLElement} */ (button).dataset.export));

  at("share").addEventListener("click", async () => {
    const { text, without } = await encoded(store.get());
    const link = `${location.origin}${location.pathname}${text}`;
    history.replaceState(null, "", text);
    try {
      await navigator.clipboard.writeText(link);
      say(t(without ? "share.without" : "share.copied"));
    } catch {
      // Where the clipboard is closed to pages, the user copies it by hand.
      at("share-link").value = link;
      dialogs.open("share-dialog");
      at("share-link").select();
    }
  });
}
