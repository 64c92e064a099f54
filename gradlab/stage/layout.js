// Where everything on the flow's canvas lies, in logical pixels.

import { clamp } from "./scales.js";

/** @typedef {import("./scales.js").Rect} Rect */
/** @typedef {{strips: Rect[], profile: Rect, inf: number, zero: number, none: number, loss: Rect, heat: Rect[], bar: Rect, heads: {strip: number, profile: number, foot: number}, k: number}} Layout */

/**
 * @param {number} w @param {number} h @param {number} lanes @param {number} k size of the type, 1 for a notebook
 * @returns {Layout}
 */
export function layout(w, h, lanes, k) {
  const left = Math.round(48 * k);
  const right = w - Math.round(8 * k);
  const head = Math.round(19 * k);
  const lane = lanes > 1 ? Math.round(17 * k) : 0; // its name
  const strip = Math.round(lanes > 1 ? clamp(h * 0.08, 26, 62) : clamp(h * 0.135, 48, 100));
  const strips = [];
  let y = head;
  for (let i = 0; i < lanes; i += 1) {
    y += lane;
    strips.push({ x: left, y, w: right - left, h: strip });
    y += strip + (i + 1 < lanes ? Math.round(4 * k) : 0);
  }
  const tight = lanes > 1 && h < 460 * k; // no room for the arrow of the backward pass
  const arrow = tight ? -99 : y + Math.round(9 * k);
  const foot = Math.round(clamp(h * (tight ? 0.19 : 0.215), 72, 190));
  const axis = Math.round(15 * k);
  const footY = h - axis - foot - Math.round(3 * k);
  const top = (tight ? y : arrow) + Math.round((tight ? 15 : 26) * k);
  const bottom = footY - head - Math.round((tight ? 59 : 60) * k);
  const profile = { x: left, y: top, w: right - left, h: Math.max(40, bottom - top) };
  const under = profile.y + profile.h;
  const split = Math.round(left + (right - left) * (w < 440 * k ? 0.36 : 0.445)); // on a phone the map needs it more
  const heatX = split + Math.round(46 * k);
  const heatW = right - Math.round(49 * k) - heatX;
  const gap = lanes > 1 ? 5 : 0;
  const each = (foot - gap * (lanes - 1)) / lanes;
  const heat = [];
  for (let i = 0; i < lanes; i += 1) heat.push({ x: heatX, y: footY + i * (each + gap), w: heatW, h: each });
  return {
    strips,
    profile,
    inf: top - Math.round((tight ? 10 : 12) * k),
    zero: under + Math.round((tight ? 12 : 13) * k),
    none: under + Math.round((tight ? 22 : 25) * k),
    loss: { x: left, y: footY, w: split - left, h: foot },
    heat,
    bar: { x: right - Math.round(41 * k), y: footY, w: Math.round(9 * k), h: foot },
    heads: { strip: head - Math.round(11 * k), profile: arrow, foot: footY - Math.round(10 * k) },
    k,
  };
}

/** Which layer (0 next to the input) a place belongs to. @param {Rect} rect @param {number} layers @param {number} x */
export function layerAt(rect, layers, x) {
  return clamp(Math.floor(((x - rect.x) / rect.w) * layers), 0, layers - 1);
}

/** The middle of a layer's column. @param {Rect} rect @param {number} layers @param {number} i */
export const columnX = (rect, layers, i) => rect.x + ((i + 0.5) * rect.w) / layers;

/** @param {Rect} r @param {number} x @param {number} y @param {number} [room] */
export const inside = (r, x, y, room = 0) => x >= r.x - room && x <= r.x + r.w + room && y >= r.y - room && y <= r.y + r.h + room;
