/** The state in the address: deflated JSON in the fragment, so that a link reproduces the picture. */

import { FIRST, VIEW, checkedView } from "./state.js";

/** A longer address is cut off by some programs: it then goes without the user's data. */
export const LONGEST = 30000;
const LARGEST = 4 << 20; // of what an address may unpack to

async function through(bytes, transform, most = Infinity) {
  const reader = new Blob([bytes]).stream().pipeThrough(transform).getReader();
  const chunks = [];
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return new Uint8Array(await new Blob(chunks).arrayBuffer());
    size += value.length;
    if (size > most) throw new Error("too large");
    chunks.push(value);
  }
}

/** Return bytes as text that may stand in an address. */
function toBase64(bytes) {
  let text = "";
  for (let k = 0; k < bytes.length; k += 8192) text += String.fromCharCode(...bytes.subarray(k, k + 8192));
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function fromBase64(text) {
  return Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
}

/** Return what differs from the usual, as what is usual need not be sent. */
function differing(value, usual) {
  return Object.fromEntries(Object.entries(value).filter(([key, own]) => JSON.stringify(own) !== JSON.stringify(usual[key])));
}

/**
 * Return the fragment for a state, and whether the user's data had to be left out.
 * @returns {Promise<{text: string, without: boolean}>}
 */
export async function encoded({ setup, view, step }) {
  const pack = async (land) => {
    const { preset, ...kept } = view; // a preset's own experiment is in the setup
    const all = { s: differing({ ...setup, land }, { ...FIRST, land: null }), w: differing({ ...kept, step }, { ...VIEW, step: null }) };
    if (preset) all.w.preset = preset;
    return `#${toBase64(await through(new TextEncoder().encode(JSON.stringify(all)), new CompressionStream("deflate-raw")))}`;
  };
  const text = await pack(setup.land);
  if (text.length <= LONGEST || setup.land.kind !== "data") return { text, without: false };
  return { text: await pack({ ...setup.land, csv: "" }), without: true };
}

/** Return the state of a fragment, or null where it holds none. */
export async function decoded(fragment) {
  const text = fragment.replace(/^#/, "");
  if (!text) return null;
  try {
    const bytes = await through(fromBase64(text), new DecompressionStream("deflate-raw"), LARGEST);
    const { s, w } = JSON.parse(new TextDecoder().decode(bytes));
    const setup = { ...FIRST, ...s };
    if (!Array.isArray(setup.runs) || !setup.runs.length || setup.runs.some((run) => typeof run !== "object" || !run)) return null;
    if (typeof setup.land !== "object" || !setup.land) return null;
    return { setup, view: checkedView(w), step: Number.isInteger(w?.step) && w.step >= 0 ? w.step : null };
  } catch {
    return null;
  }
}

/** Keep the address at the state, and the state at the address when the user goes back and forward. */
export function keepAddress(store, unreadable) {
  let queue = Promise.resolve();
  let waiting = 0;
  const write = (push) => {
    const state = store.get();
    queue = queue.then(async () => {
      const { text } = await encoded(state);
      if (text === location.hash) return;
      history[push ? "pushState" : "replaceState"](null, "", text);
    });
  };
  store.on(
    ["setup", "view", "step"],
    (state, changed, { history: how = "replace" }) => {
      if (how === "none") return;
      clearTimeout(waiting);
      if (how === "push") write(true);
      else waiting = setTimeout(() => !store.get().playing && write(false), 200);
    },
    { now: false },
  );
  // Now, too: the first change must leave an address behind that Back can lead to.
  store.on(["playing"], (state) => !state.playing && write(false));
  addEventListener("popstate", async () => {
    clearTimeout(waiting);
    const found = await decoded(location.hash);
    if (found) store.set({ ...found, playing: false }, { history: "none" });
    else if (location.hash.length > 1) unreadable();
  });
}
