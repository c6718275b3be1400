/** What went wrong: said at the field that it belongs to and in the page's alert, while the last good picture stays. */

import { at, reveal } from "./dom.js";
import { t } from "./i18n.js";

/** Return the field's element for a path such as "runs[0].decay", or for what it is a part of; null where the page has none. */
function fieldOf(path) {
  for (let part = path; part; part = part.replace(/(\.[^.[\]]*|\[\d+\]|^[^.[\]]+)$/, "")) {
    const found = document.querySelector(`[data-field="${CSS.escape(part)}"]`);
    if (found) return found;
  }
  return null;
}

/** Show the store's fault. */
export function showFaults(store) {
  const alert = at("alert");
  const text = at("alert-text");
  const show = at("alert-show");
  let target = null;

  const mark = ({ fault }) => {
    for (const field of document.querySelectorAll("[data-field].wrong")) {
      field.classList.remove("wrong");
      for (const input of field.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
      const error = field.querySelector(":scope > .field-error");
      error.hidden = true;
      error.textContent = "";
    }
    target = fault?.field ? fieldOf(fault.field) : null;
    if (!target) return;
    target.classList.add("wrong");
    for (const input of target.querySelectorAll("input:not([type=range]), select, textarea")) input.setAttribute("aria-invalid", "true");
    const error = target.querySelector(":scope > .field-error");
    error.hidden = false;
    error.textContent = fault.message;
  };

  store.on(["fault", "online", "lang"], (state) => {
    mark(state);
    const message = !state.online ? t("alert.offline") : state.fault ? t("alert.refused", { message: state.fault.message }) : "";
    alert.classList.toggle("offline", !state.online);
    text.textContent = message;
    alert.hidden = !message;
    show.hidden = !state.online || !target;
  });
  show.addEventListener("click", () => target && reveal(target));
  at("alert-close").addEventListener("click", () => (alert.hidden = true));
  return { remark: () => mark(store.get()) };
}

/** Say something for a few seconds, to eyes and to screen readers. */
export function say(message) {
  const toast = at("toast");
  toast.textContent = message;
  toast.classList.add("shown");
  clearTimeout(Number(toast.dataset.timer));
  toast.dataset.timer = String(setTimeout(() => toast.classList.remove("shown"), 5000));
}
