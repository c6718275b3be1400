/** Dark and light: by the system, or as the user says; and the page's colours for who draws. */

import { changeView } from "./state.js";

const system = matchMedia("(prefers-color-scheme: dark)");

/** Keep the page's theme at the view's, and the state at the theme. */
export function keepTheme(store) {
  const settle = () => {
    const theme = store.get().view.theme ?? (system.matches ? "dark" : "light");
    document.documentElement.dataset.theme = theme;
    store.set({ theme }, { history: "none" });
  };
  store.on(["view"], settle);
  system.addEventListener("change", settle);
}

/** Change from dark to light and back. */
export function switchTheme(store) {
  const other = store.get().theme === "dark" ? "light" : "dark";
  changeView(store, { theme: other === (system.matches ? "dark" : "light") ? null : other });
}

/** Return the value of one of the stylesheet's colours, as it is in this theme. */
export function color(name) {
  const probe = document.createElement("span");
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}
