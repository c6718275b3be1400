/** Talk with the server: what it refuses becomes an error that names the field; of many questions the latest wins. */

export class Refused extends Error {
  /**
   * @param {string} message
   * @param {string|null} field the path of what to change
   * @param {number} status 0 where the server did not answer
   */
  constructor(message, field, status) {
    super(message);
    this.field = field;
    this.status = status;
  }
}

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused("", null, 0);
  }
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => ({}));
  throw new Refused(told.error ?? `${answer.status} ${answer.statusText}`, told.field ?? null, answer.status);
}

/** Return the answer to a question without a body. */
export async function get(path, signal) {
  return (await ask(path, { signal })).json();
}

function post(body, signal) {
  return { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal };
}

/** Return the answer to a question with a body. */
export async function send(path, body, signal) {
  return (await ask(path, post(body, signal))).json();
}

/** Return a file that the server makes, and what it is called. */
export async function file(path, body) {
  const answer = await ask(path, post(body));
  const name = /filename="?([^";]+)"?/.exec(answer.headers.get("Content-Disposition") ?? "")?.[1];
  return { blob: await answer.blob(), name: name ?? path.split("/").pop() };
}

// While a question is under way, the next waits for it, but for no longer than this.
const PATIENCE_MS = 400;

/**
 * Return a function that asks, where only the newest question gets through: one that came up meanwhile replaces the one that waits.
 * @param {(question: any, signal: AbortSignal) => Promise<any>} question
 * @param {(answer: any, question: any) => void} done
 * @param {(error: any) => void} failed
 */
export function latest(question, done, failed) {
  let running = null;
  let waiting = null;
  let timer = 0;
  const begin = async (asked) => {
    const own = new AbortController();
    running = own;
    try {
      const answer = await question(asked, own.signal);
      if (running === own && !own.signal.aborted) done(answer, asked);
    } catch (error) {
      if (running === own && error.name !== "AbortError") failed(error);
    }
    if (running === own) next();
  };
  const next = () => {
    clearTimeout(timer);
    running = null;
    const asked = waiting;
    waiting = null;
    if (asked) begin(asked.value);
  };
  return (value) => {
    if (!running) return void begin(value);
    waiting = { value };
    clearTimeout(timer);
    const hasty = running;
    timer = setTimeout(() => {
      hasty.abort();
      if (running === hasty) next();
    }, PATIENCE_MS);
  };
}
