/** Numbers as text. */

const RAISED = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };

/** Where a number is not finite. */
export const NONE = "—";

/**
 * Return a number for people: some digits, powers of ten where they are needed, a true minus.
 * @param {number|null|undefined} value
 * @param {number} [digits]
 */
export function number(value, digits = 5) {
  if (value === null || value === undefined || !Number.isFinite(value)) return NONE;
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e-4 && size < 10 ** Math.max(digits, 5)) return trimmed(value.toPrecision(digits)).replace("-", "−");
  const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
  const raised = [...exponent.replace("+", "")].map((letter) => RAISED[letter]).join("");
  return `${trimmed(mantissa).replace("-", "−")}×10${raised}`;
}

/** Return a number as it is typed. */
export function typed(value) {
  if (typeof value !== "number") return value === null || value === undefined ? "" : String(value);
  const size = Math.abs(value);
  if (value !== 0 && (size < 1e-4 || size >= 1e7)) return value.toExponential().replace("e+", "e");
  return String(value);
}

/** Return what was typed: a number where it is one, else the text, which the server then refuses with its reason. */
export function read(text) {
  const bare = text.trim().replace("−", "-");
  return bare !== "" && Number.isFinite(Number(bare)) ? Number(bare) : bare;
}

function trimmed(text) {
  if (text.includes("e")) return String(Number(text));
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}
