/** One picture of what is on the page: landscape, losses, and whose marks are whose. */

import { at } from "./dom.js";
import { number } from "./format.js";
import { t } from "./i18n.js";
import { inkOf, markPath } from "./marks.js";
import { plotly } from "./plots.js";
import { lastStep, shownStep } from "./state.js";
import { color } from "./theme.js";

const SCALE = 2;
const EDGE = 16;
const LINE = 22;

async function loaded(address) {
  const image = new Image();
  image.src = address;
  await image.decode();
  return image;
}

/** Return a plot with what moves above it, as it is now. */
async function plotPicture(plot, overlay) {
  const { clientWidth: width, clientHeight: height } = plot;
  const image = await loaded(await plotly().toImage(plot, { format: "png", width, height, scale: SCALE }));
  return { width, height, layers: overlay ? [image, overlay.canvas] : [image] };
}

/** Return a PNG of the landscape and the losses. */
export async function picture(state, { landscape, loss }) {
  const flat = state.view.mode === "2d";
  const land = await plotPicture(flat ? at("landscape-plot") : at("surface-plot"), flat ? landscape.overlay : null);
  const curves = await plotPicture(at("loss-plot"), loss.overlay);
  const { runs, title } = state.trace;
  const step = shownStep(state);
  const side = Math.max(land.height, curves.height + LINE * (runs.length + 1));
  const canvas = document.createElement("canvas");
  canvas.width = SCALE * (3 * EDGE + land.width + curves.width);
  canvas.height = SCALE * (2 * EDGE + 2 * LINE + side);
  const pen = canvas.getContext("2d");
  pen.scale(SCALE, SCALE);
  pen.fillStyle = color("panel");
  pen.fillRect(0, 0, canvas.width, canvas.height);
  const font = getComputedStyle(document.body).fontFamily;
  const write = (text, x, y, size, ink, weight = 400) => {
    pen.font = `${weight} ${size}px ${font}`;
    pen.fillStyle = ink;
    pen.fillText(text, x, y);
  };
  write(title, EDGE, EDGE + 14, 15, color("ink"), 600);
  write(t("player.at", { step, last: lastStep(state) }), EDGE, EDGE + 14 + LINE - 2, 12, color("muted"));
  const top = EDGE + 2 * LINE;
  const put = ({ width, height, layers }, x) => layers.forEach((layer) => pen.drawImage(layer, x, top, width, height));
  put(land, EDGE);
  const right = 2 * EDGE + land.width;
  put(curves, right);
  runs.forEach(({ label, loss: losses, look }, k) => {
    const y = top + curves.height + LINE * (k + 1);
    pen.save();
    pen.translate(right + 8, y - 5);
    pen.scale(5, 5);
    pen.fillStyle = inkOf(look, state.theme);
    pen.fill(new Path2D(markPath(look.symbol)));
    pen.restore();
    write(`${label}: ${number(losses[step], 4)}`, right + 22, y, 13, color("ink"));
  });
  return new Promise((done, failed) => canvas.toBlob((blob) => (blob ? done(blob) : failed(new Error(t("export.no_picture")))), "image/png"));
}
