/** One place for what the page knows; whoever shows a part of it subscribes to that part. */

/**
 * @template {Record<string, any>} T
 * @param {T} initial
 */
export function createStore(initial) {
  let state = initial;
  /** @type {{keys: Set<string>, call: Function}[]} */
  const subscribers = [];
  return {
    /** @returns {T} */
    get: () => state,
    /**
     * Change some keys and tell those who asked for them.
     * @param {Partial<T>} patch
     * @param {{history?: "push"|"replace"|"none"}} [how] what the change means for Back
     */
    set(patch, how = {}) {
      const changed = Object.keys(patch).filter((key) => patch[key] !== state[key]);
      if (!changed.length) return;
      state = { ...state, ...patch };
      for (const { keys, call } of subscribers) if (changed.some((key) => keys.has(key))) call(state, changed, how);
    },
    /** Call a function now and then whenever one of the keys changes. */
    on(keys, call, { now = true } = {}) {
      subscribers.push({ keys: new Set(keys), call });
      if (now) call(state, keys, {});
    },
  };
}
