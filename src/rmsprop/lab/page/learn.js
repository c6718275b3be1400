/** The lessons: three lengths, a glossary whose terms lead to the controls that show them, and flash cards. */

import { get } from "./api.js";
import { showCards } from "./cards.js";
import { at, h, reveal } from "./dom.js";
import { t } from "./i18n.js";
import { formula } from "./mathml.js";
import { usePreset } from "./presets.js";
import { changeView } from "./state.js";

const TABS = ["short", "standard", "detailed", "glossary", "cards"];

/** Return the element of a control by its name, in a panel that is open. */
function controlOf(name) {
  return document.querySelector(`[data-control="${CSS.escape(name)}"]`);
}

/** Show the panel of lessons, and let it be opened and closed. */
export function showLearn(store, { faults, openControls }) {
  const panel = at("learn");
  const content = at("learn-content");
  const tabs = at("learn-tabs");
  const lessons = {};

  // Where the lessons lie over the page, they make room for what they lead to.
  const makeRoom = () => matchMedia("(max-width: 1279px)").matches && changeView(store, { learn: null });
  const goTo = (name) => {
    makeRoom();
    openControls(name);
    const target = controlOf(name);
    if (target) reveal(target);
  };
  const tryOut = (preset) => {
    makeRoom();
    usePreset(store, preset);
  };
  const goToTerm = (id) => {
    changeView(store, { learn: "glossary" });
    const term = document.getElementById(`term-${id}`);
    if (term) reveal(term);
  };
  const link = (text, act) => h("a", { href: "#", text, onclick: (event) => (event.preventDefault(), act()) });
  const piece = ({ kind, text, to }) => {
    if (kind === "strong") return h("strong", { text });
    if (kind === "math") return h("span", { class: "math", text });
    if (kind === "term") return link(text, () => goToTerm(to));
    if (kind === "control") return link(text, () => goTo(to));
    if (kind === "preset") return link(text, () => tryOut(to));
    return document.createTextNode(text);
  };
  const pieces = (all) => all.map(piece);
  const block = (one) => {
    if (one.kind === "list") return h("ul", {}, ...one.items.map((item) => h("li", {}, ...pieces(item))));
    if (one.kind === "formula") return h("div", { class: "lesson-formula" }, formula(one.mathml), h("small", { text: one.dialect }));
    return h("p", {}, ...pieces(one.pieces));
  };

  const lesson = (told) =>
    h(
      "article",
      {},
      h("h3", { text: told.title }),
      ...told.sections.map(({ title, blocks }) => h("section", {}, title ? h("h4", { text: title }) : null, ...blocks.map(block))),
    );
  const glossary = (terms) =>
    h(
      "dl",
      { class: "glossary" },
      ...terms.map(({ id, name, pieces: words, control, preset }) =>
        h(
          "div",
          { id: `term-${id}`, class: "term", tabindex: -1 },
          h("dt", { text: name }),
          h("dd", {}, ...pieces(words)),
          h("dd", { class: "term-links" }, link(t("learn.show"), () => goTo(control)), preset ? link(t("learn.try"), () => tryOut(preset)) : null),
        ),
      ),
    );

  const show = ({ lang, view }) => {
    panel.hidden = !view.learn;
    document.body.classList.toggle("learning", Boolean(view.learn));
    at("learn-open").setAttribute("aria-expanded", String(Boolean(view.learn)));
    const told = lessons[lang];
    if (!view.learn || !told) return;
    for (const tab of tabs.children) {
      const chosen = tab.dataset.tab === view.learn;
      tab.setAttribute("aria-selected", String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
      if (chosen) content.setAttribute("aria-labelledby", tab.id);
    }
    const key = `${lang} ${view.learn}`;
    if (content.dataset.shown === key) return;
    content.dataset.shown = key;
    content.scrollTop = 0;
    if (view.learn === "glossary") content.replaceChildren(glossary(told.glossary));
    else if (view.learn === "cards") content.replaceChildren(showCards(told.cards, pieces, goToTerm));
    else content.replaceChildren(lesson(told.lessons[view.learn]));
  };

  const choose = (tab) => changeView(store, { learn: tab });
  store.on(["lang"], () => {
    const held = tabs.contains(document.activeElement);
    tabs.replaceChildren(
      ...TABS.map((tab) => h("button", { type: "button", role: "tab", id: `tab-${tab}`, "aria-controls": "learn-content", "data-tab": tab, text: t(`learn.${tab}`), onclick: () => choose(tab) })),
    ); // prettier-ignore
    if (held) tabs.querySelector("[aria-selected=true]")?.focus();
  });
  tabs.addEventListener("keydown", (event) => {
    const turn = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!turn) return;
    event.preventDefault();
    const place = TABS.indexOf(store.get().view.learn);
    choose(TABS[(place + turn + TABS.length) % TABS.length]);
    tabs.querySelector("[aria-selected=true]")?.focus();
  });
  const load = async (state) => {
    const { lang, view } = state;
    if (view.learn && !lessons[lang]) {
      try {
        lessons[lang] = await get(`/api/learn?lang=${lang}`);
      } catch (error) {
        return faults(error);
      }
    }
    show(store.get());
  };
  store.on(["lang", "view"], load);

  const toggle = () => {
    const open = store.get().view.learn;
    changeView(store, { learn: open ? null : "short" });
    if (open) at("learn-open").focus();
    else at("learn-close").focus();
  };
  at("learn-open").addEventListener("click", toggle);
  at("learn-close").addEventListener("click", toggle);
  panel.addEventListener("keydown", (event) => event.key === "Escape" && toggle());
  return { toggle };
}
