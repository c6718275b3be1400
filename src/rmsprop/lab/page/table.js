/** The table of all steps: only the rows that are seen are there, so that thousands cost nothing. */

import { at, h } from "./dom.js";
import { number } from "./format.js";
import { t } from "./i18n.js";
import { shownStep } from "./state.js";
import { formula } from "./mathml.js";

const ROW = 28; // pixels, as in the stylesheet
const SPARE = 6; // rows above and below those that are seen

/** Show the table. */
export function showTable(store, player) {
  const scroller = at("table-scroll");
  const head = at("table-head");
  const body = at("table-body");
  const space = at("table-space");
  let columns = [];
  let rows = 0;
  let from = -1;
  let to = -1;

  const line = (step, shown) =>
    h(
      "div",
      { class: step === shown ? "row now" : "row", role: "row", "aria-rowindex": step + 1, "aria-current": step === shown ? "step" : null, style: `top:${(step - 1) * ROW}px`, "data-step": step }, // prettier-ignore
      h("span", { role: "rowheader", text: String(step) }),
      ...columns.map(({ values }) => h("span", { role: "cell", text: number(values[step - 1]) })),
    );

  const fill = (force = false) => {
    const first = Math.max(1, Math.floor(scroller.scrollTop / ROW) - SPARE);
    const last = Math.min(rows, Math.ceil((scroller.scrollTop + scroller.clientHeight) / ROW) + SPARE);
    if (!force && first === from && last === to) return;
    [from, to] = [first, last];
    const shown = shownStep(store.get());
    body.replaceChildren(...Array.from({ length: Math.max(0, last - first + 1) }, (_, k) => line(first + k, shown)));
  };

  const follow = () => {
    if (!rows) return;
    const step = Math.max(1, shownStep(store.get()));
    const top = (step - 1) * ROW;
    const room = scroller.clientHeight - head.offsetHeight;
    if (top < scroller.scrollTop) scroller.scrollTop = top;
    else if (top + ROW > scroller.scrollTop + room) scroller.scrollTop = top + ROW - room;
    fill(true);
  };

  store.on(
    ["arithmetic", "lang"],
    ({ arithmetic, trace }) => {
      if (!arithmetic || !trace) return;
      const names = trace.names;
      columns = arithmetic.columns.flatMap(({ mathml, label, values }) => values.map((own, k) => ({ mathml, label, name: names[k], values: own })));
      rows = columns[0]?.values.length ?? 0;
      const cell = ({ mathml, label, name }) => {
        const made = h("span", { role: "columnheader", title: `${label}, ${name}` });
        if (mathml) made.append(formula(mathml));
        else made.append(h("span", { text: label }));
        made.append(h("small", { text: name }));
        return made;
      };
      head.replaceChildren(h("span", { role: "columnheader", text: t("table.step") }), ...columns.map(cell));
      space.style.height = `${rows * ROW}px`;
      const wide = `4.5rem repeat(${columns.length}, minmax(7.2rem, 1fr))`;
      scroller.style.setProperty("--columns", wide);
      scroller.setAttribute("aria-rowcount", String(rows + 1));
      follow();
    },
    { now: false },
  );
  store.on(["step"], follow, { now: false });
  scroller.addEventListener("scroll", () => fill());
  new ResizeObserver(() => fill(true)).observe(scroller);
  body.addEventListener("click", (event) => {
    const row = /** @type {HTMLElement} */ (event.target).closest("[data-step]");
    if (row) player.go(Number(row.getAttribute("data-step")));
  });
  scroller.addEventListener("keydown", (event) => {
    const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 };
    if (!(event.key in moves) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    player.by(moves[event.key]);
  });
}
