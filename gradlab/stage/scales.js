// Numbers to places and to words: nothing here knows of a document. Values over the layers are log10, as in
// plots/stretches.py: -Infinity is exactly 0, Infinity is not finite, NaN is no gradient at all.

/** @typedef {{x: number, y: number, w: number, h: number}} Rect */

/**
 * Whether a growth over so many layers is about level from one to the next, as `Growth.even` in growth.py.
 * @param {{growth: number, spans: number}} row
 */
export const even = ({ growth, spans }) => Math.abs(growth) < Math.min(1, Math.log10(1.5) * spans);

/** Map [a, b] linearly onto [c, d]. @param {number} a @param {number} b @param {number} c @param {number} d */
export function linear(a, b, c, d) {
  const slope = b === a ? 0 : (d - c) / (b - a);
  return (/** @type {number} */ v) => c + (v - a) * slope;
}

/** @param {number} v @param {number} low @param {number} high */
export const clamp = (v, low, high) => Math.min(Math.max(v, low), high);

/** The first step of the stretch that a step lies in, as `stretch_of` in plots/stretches.py. @param {number} step */
export function stretchOf(step) {
  const width = 2 ** Math.max(0, Math.floor(Math.log2(Math.max(step, 1))) - 6);
  return Math.floor(step / width) * width;
}

/** Whole decades to label on an axis, at most about `most`. @param {number} low @param {number} high @param {number} most */
export function decadeTicks(low, high, most) {
  const every = [1, 2, 4, 5, 8, 10, 15, 20, 40, 50, 100].find((n) => (high - low) / n <= most) ?? 200;
  const ticks = [];
  for (let d = Math.ceil(low / every) * every; d <= high; d += every) ticks.push(d + 0); // -0 becomes 0
  return ticks;
}

/** The end of the time axis: 10, 20, 50, 100 ..., so that it rarely moves. @param {number} last */
export function stepLimit(last) {
  let limit = 10;
  for (let turn = 0; limit < last; turn += 1) limit *= [2, 2.5, 2][turn % 3];
  return limit;
}

/**
 * Where a step stands between x0 and x1.
 * @param {number} limit @param {boolean} logarithmic @param {number} x0 @param {number} x1
 */
export function timeScale(limit, logarithmic, x0, x1) {
  const full = Math.log1p(limit);
  const share = (/** @type {number} */ step) => (logarithmic ? Math.log1p(step) / full : step / limit);
  return {
    /** @param {number} step */
    at: (step) => x0 + share(step) * (x1 - x0),
    /** @param {number} x */
    step: (x) => {
      const t = clamp((x - x0) / (x1 - x0), 0, 1);
      return logarithmic ? Math.expm1(t * full) : t * limit;
    },
  };
}

/** Steps to label. @param {number} limit @param {boolean} logarithmic */
export function stepTicks(limit, logarithmic) {
  if (!logarithmic) return [0, 0.2, 0.4, 0.6, 0.8, 1].map((t) => Math.round(t * limit));
  const ticks = [0];
  for (let n = 1; n <= limit; n *= 10) ticks.push(n);
  if (ticks[ticks.length - 1] < limit / 1.9) ticks.push(limit);
  return ticks;
}

/** Numbers of the layers to label: the first, the last, and some between. @param {number} layers @param {number} room */
export function layerTicks(layers, room) {
  const every = [1, 2, 4, 5, 10, 20, 25, 50, 100].find((n) => layers / n <= room) ?? 200;
  const ticks = new Set([1, layers]);
  for (let n = every === 2 ? 1 : every; n < layers - every / 2; n += every) ticks.add(n);
  return [...ticks].sort((a, b) => a - b);
}

/**
 * The groups of layers whose names fit under their columns: the finest level of which most do, else what fits of the coarsest.
 * @param {[string, number, number][][]} levels @param {number} letters room for so many in a layer's column
 */
export function groupsToName(levels, letters) {
  const fits = (/** @type {[string, number, number]} */ [name, from, to]) => name.length + 1 <= (to - from) * letters;
  const level = levels.find((groups) => groups.filter(fits).length > 0.8 * groups.length) ?? levels[levels.length - 1] ?? [];
  const apart = (/** @type {[string, number, number][]} */ names) => {
    let end = -Infinity; // of the last name, in layers
    return names.every(([name, from, to]) => {
      const [half, middle, before] = [(name.length + 2) / 2 / letters, (from + to) / 2, end];
      end = middle + half;
      return middle - half >= before;
    });
  };
  const each = level.findIndex((_, i) => apart(level.filter((_, j) => j % (i + 1) === 0))) + 1;
  return level.filter((_, i) => i % each === 0); // at even distances
}

/** A number as the kernel writes it, `number_words` in growth.py. @param {number} value */
export function formatNumber(value) {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value < 0 ? "-inf" : "inf";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e4 || size < 1e-3) return value.toExponential(1).replace("e+", "e");
  return String(size >= 999.5 ? Math.round(value) : Number(value.toPrecision(3)));
}

/** A value given by its log10, in words of at most seven characters. @param {number} log @param {{none: string}} words */
export function formatLog(log, words) {
  if (Number.isNaN(log)) return words.none;
  if (log === -Infinity) return "0";
  if (log === Infinity) return "inf";
  if (Math.abs(log) < 300) return formatNumber(10 ** log);
  const exponent = Math.floor(log);
  return `${(10 ** (log - exponent)).toFixed(1)}e${exponent}`;
}

/** Decades relative to the last layer that has a finite value, as `ratios` in plots/stretches.py. @param {ArrayLike<number>} logs */
export function ratios(logs) {
  let base = 0;
  for (let i = logs.length - 1; i >= 0; i -= 1) {
    if (Number.isFinite(logs[i])) {
      base = logs[i];
      break;
    }
  }
  return Float32Array.from(logs, (v) => v - base);
}

/** A colour between those of a ramp, for t from -1 to 1. @param {number[][]} ramp @param {number} t */
export function rampColour(ramp, t) {
  const at = ((clamp(t, -1, 1) + 1) / 2) * (ramp.length - 1);
  const low = Math.min(Math.floor(at), ramp.length - 2);
  return ramp[low].map((a, k) => Math.round(a + (ramp[low + 1][k] - a) * (at - low)));
}

/** About how many pixels a line of small type takes at size 1. @param {string} text */
export const roughWidth = (text) => [...text].reduce((wide, sign) => wide + (sign > "\u2e7f" ? 12 : 6.3), 0);

/** @param {number[]} rgb */
export const css = (rgb) => `rgb(${rgb.join(",")})`;

/** The limits drawn while a person holds the decades of the profile; all others stay their own. @param {number[]} limits @param {number[] | null} held */
export const withHeld = (limits, held) => (held ? [...held, ...limits.slice(2)] : limits);

/** Which edge of an axis a value lies beyond: 1 above, -1 below, 0 none; what is no number has a place of its own. @param {number} log @param {number} low @param {number} high */
export function edgeOf(log, low, high) {
  if (!Number.isFinite(log)) return 0;
  return log > high ? 1 : log < low ? -1 : 0;
}

/** Move from one pair of limits to another while t goes from 0 to 1. @param {number[]} a @param {number[]} b @param {number} t */
export function between(a, b, t) {
  const eased = t >= 1 ? 1 : 1 - (1 - t) ** 3;
  return a.map((v, i) => v + (b[i] - v) * eased);
}
