/** Flash cards: a question, its answer when one asks for it, and whether one knew it; what was not known comes again. */

import { h } from "./dom.js";
import { t } from "./i18n.js";

/** Return the places of a deck in random order. */
function shuffled(places) {
  const deck = [...places];
  for (let k = deck.length - 1; k > 0; k--) {
    const other = Math.floor(Math.random() * (k + 1));
    [deck[k], deck[other]] = [deck[other], deck[k]];
  }
  return deck;
}

/**
 * Return the panel of the cards.
 * @param {any[]} cards
 * @param {(pieces: any[]) => Node[]} pieces makes a text's nodes
 * @param {(id: string) => void} goToTerm
 */
export function showCards(cards, pieces, goToTerm) {
  let deck = cards.map((_, k) => k);
  const known = new Set();
  let open = false;

  const progress = h("p", { class: "card-progress", role: "status" });
  const face = h("div", { class: "card-face", "aria-live": "polite" });
  const button = (name, act, kind = "") => h("button", { type: "button", class: kind, "data-card": name, text: t(`cards.${name}`), onclick: act });
  const actions = h("div", { class: "card-actions" });
  const root = h("div", { class: "cards", tabindex: 0, role: "group", "aria-label": t("cards.label"), "aria-keyshortcuts": "Enter 1 2" }, progress, face, actions, h("p", { class: "hint", text: t("cards.keys") })); // prettier-ignore

  const reveal = () => {
    open = true;
    show();
  };
  const judge = (knew) => {
    const card = deck.shift();
    if (knew) known.add(card);
    else deck.push(card);
    open = false;
    show();
  };
  const again = () => {
    deck = shuffled(cards.map((_, k) => k));
    known.clear();
    open = false;
    show();
  };
  const mix = () => {
    deck = shuffled(deck);
    open = false;
    show();
  };

  const show = () => {
    const held = root.contains(document.activeElement);
    progress.textContent = t("cards.progress", { known: known.size, all: cards.length });
    const card = cards[deck[0]];
    if (!card) {
      face.replaceChildren(h("p", { class: "question", text: t("cards.done") }));
      actions.replaceChildren(button("again", again, "primary"));
    } else {
      const answer = open ? h("div", { class: "answer" }, h("p", {}, ...pieces(card.answer))) : null;
      face.replaceChildren(...[h("p", { class: "question" }, ...pieces(card.question)), answer].filter((node) => node !== null));
      const judged = [button("known", () => judge(true), "primary"), button("unknown", () => judge(false)), button("term", () => goToTerm(card.term), "link")];
      actions.replaceChildren(...(open ? judged : [button("reveal", reveal, "primary"), button("shuffle", mix)]));
    }
    if (held) /** @type {any} */ (actions.firstElementChild).focus();
  };

  root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const onButton = event.target instanceof HTMLButtonElement;
    if (event.key === "Enter" && !onButton && !open && deck.length) reveal();
    else if (event.key === "1" && open) judge(true);
    else if (event.key === "2" && open) judge(false);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  show();
  return root;
}
