/** The optimizers' marks: shapes around (0, 0), for canvas and for legends alike. */

const corners = (count, turned = 0, radius = 1) =>
  Array.from({ length: count }, (_, k) => {
    const angle = turned - Math.PI / 2 + (2 * Math.PI * k) / count;
    return [radius * Math.cos(angle), radius * Math.sin(angle)];
  });
const star = corners(10).map(([x, y], k) => (k % 2 ? [0.45 * x, 0.45 * y] : [1.15 * x, 1.15 * y]));
const plus = [[-0.35, -1], [0.35, -1], [0.35, -0.35], [1, -0.35], [1, 0.35], [0.35, 0.35], [0.35, 1], [-0.35, 1], [-0.35, 0.35], [-1, 0.35], [-1, -0.35], [-0.35, -0.35]]; // prettier-ignore
const turned = (points) => points.map(([x, y]) => [(x - y) * Math.SQRT1_2, (x + y) * Math.SQRT1_2]);
const quarter = (points, times) => points.map(([x, y]) => [[x, y], [-y, x], [-x, -y], [y, -x]][times]);

// By Plotly's names.
const SHAPES = {
  square: [[-0.85, -0.85], [0.85, -0.85], [0.85, 0.85], [-0.85, 0.85]], // prettier-ignore
  x: turned(plus),
  cross: plus,
  star,
  diamond: corners(4, 0, 1.1),
  "diamond-tall": corners(4, 0, 1.3).map(([x, y]) => [0.55 * x, y]),
  pentagon: corners(5),
  hexagon: corners(6),
  octagon: corners(8, Math.PI / 8),
  "triangle-up": corners(3, 0, 1.15),
  "triangle-right": quarter(corners(3, 0, 1.15), 1),
  "triangle-down": quarter(corners(3, 0, 1.15), 2),
  "triangle-left": quarter(corners(3, 0, 1.15), 3),
};
const ROUND = "M1,0A1,1,0,1,1,-1,0A1,1,0,1,1,1,0Z";

/** Return the path of a mark, in SVG's language. */
export function markPath(symbol) {
  const points = SHAPES[symbol];
  return points ? `M${points.map(([x, y]) => `${x.toFixed(3)},${y.toFixed(3)}`).join("L")}Z` : ROUND;
}

/** What Plotly's 3-D scatter knows of them. */
export const SOLID = { circle: "circle", square: "square", diamond: "diamond", cross: "cross", x: "x" };

const DASHES = { solid: [], dash: [7, 4], dot: [2, 3], dashdot: [7, 3, 2, 3] };

/** Return a dash pattern for canvas, by Plotly's name. */
export function dashes(name) {
  return DASHES[name] ?? [];
}

/** Return a look's colour on the ground of a theme. */
export function inkOf(look, theme) {
  return (theme === "dark" && look.dark) || look.color;
}

/** Return a mark as a small picture. */
export function markPicture(look, theme) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "-1.4 -1.4 2.8 2.8");
  svg.setAttribute("class", "mark");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", markPath(look.symbol));
  path.setAttribute("fill", inkOf(look, theme));
  svg.append(path);
  return svg;
}
