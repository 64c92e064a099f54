// The lens: what a number format can hold, as a band over the profile; what falls out of it is grey.

import { formatLog } from "./scales.js";

/** @typedef {import("./stage.js").Scene} Scene */
/** The log10 of where a format rounds to 0, of its smallest normal and of its largest number. @typedef {{name: string, zero: number, normal: number, most: number}} Lens */

/**
 * A format's range where gradients stand: a loss scale slides it down.
 * @param {Record<string, number[]>} formats @param {string} name @param {number} [scale] @returns {Lens | null}
 */
export function lensOf(formats, name, scale = 1) {
  const range = formats[name];
  if (!range) return null;
  const [zero, normal, most] = range.map((edge) => edge - Math.log10(scale));
  return { name, zero, normal, most };
}

/** Whether a layer's norm leaves no entry in the format's range: below it every entry rounds to 0. @param {Lens | null} lens @param {number} log */
export const fallsOut = (lens, log) => Boolean(lens) && Number.isFinite(log) && (log <= /** @type {Lens} */ (lens).zero || log > /** @type {Lens} */ (lens).most);

/** The range in numbers. @param {Lens} lens */
export const rangeWords = (lens) => `${formatLog(lens.zero, { none: "" })} \u2026 ${formatLog(lens.most, { none: "" })}`;

/** Grey what the format cannot hold, paler where it keeps fewer digits. @param {Scene} s @param {(log: number) => number} y */
export function drawLens(s, y) {
  const { g, lay, pal, lens } = s;
  if (!lens) return;
  const { profile } = lay;
  const foot = profile.y + profile.h;
  const at = (/** @type {number} */ log) => Math.min(Math.max(y(log), profile.y), foot);
  const [most, normal, zero] = [at(lens.most), at(lens.normal), at(lens.zero)];
  const shade = (/** @type {number} */ from, /** @type {number} */ to, /** @type {number} */ alpha) => {
    g.globalAlpha = alpha;
    g.fillStyle = pal.dim;
    g.fillRect(profile.x, from, profile.w, Math.max(0, to - from));
    g.globalAlpha = 1;
  };
  shade(profile.y, most, 0.26);
  shade(normal, zero, 0.1);
  shade(zero, foot, 0.26);
  g.strokeStyle = pal.dim;
  g.lineWidth = 1.2;
  g.setLineDash([2, 3]);
  for (const edge of [most, normal, zero]) {
    if (edge <= profile.y || edge >= foot) continue;
    g.beginPath();
    g.moveTo(profile.x, edge);
    g.lineTo(profile.x + profile.w, edge);
    g.stroke();
  }
  g.setLineDash([]);
}

/** Say what becomes of a gradient in each part of the band, where nothing is covered. @param {Scene} s @param {(log: number) => number} y @param {(box: import("./scales.js").Rect) => boolean} free */
export function nameLens(s, y, free) {
  const { lay, lens, labels, words } = s;
  if (!lens) return;
  const { profile } = lay;
  const foot = profile.y + profile.h;
  const at = (/** @type {number} */ log) => Math.min(Math.max(y(log), profile.y), foot);
  const parts = [["over", profile.y, at(lens.most)], ["subnormal", at(lens.normal), at(lens.zero)], ["zero", at(lens.zero), foot]];
  for (const [key, from, to] of /** @type {[string, number, number][]} */ (parts)) {
    const text = words[`stage.lens_${key}`];
    const [w, h] = [text.length * 7 * s.k, 13 * s.k];
    if (to - from <= h) continue;
    const middle = (from + to) / 2;
    const places = [profile.x + 6, profile.x + profile.w - w - 6, profile.x + (profile.w - w) / 2];
    const x = places.find((left) => free({ x: left - 4, y: middle - h / 2, w: w + 8, h }));
    if (x !== undefined) labels.put(`lens.${key}`, text, x, middle, { kind: "strong" });
  }
}
