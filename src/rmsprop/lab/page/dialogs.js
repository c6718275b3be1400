/** Dialogs: opened and closed, one at a time, by button, Escape and a click beside them. */

import { at } from "./dom.js";

/** Let the page's dialogs be opened by id. */
export function useDialogs() {
  const all = [...document.querySelectorAll("dialog")];
  for (const dialog of all) {
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    for (const button of dialog.querySelectorAll("[data-close]")) button.addEventListener("click", () => dialog.close());
  }
  const close = () => all.forEach((dialog) => dialog.open && dialog.close());
  return {
    close,
    open: (id) => {
      close();
      at(id).showModal();
    },
    isOpen: () => all.some((dialog) => dialog.open),
  };
}
