// What the browser knows of a run: packets go in, pictures read out.

import { unpack } from "./packet.js";

/** @typedef {{step: number, loss: number, growth: number, spans: number, now: Float32Array, second?: Float32Array, after?: Float32Array, unable: Uint8Array, scale?: number}} Row */

const HELD = 6000; // rows kept for the time slider; others are asked for again

export const CELL_ZERO = -32768;
export const CELL_NONFINITE = 32767;
export const CELL_MISSING = 32766;

/** One run: its rows by step, its stretches, its marks, and what it has learned. */
export class Lane {
  constructor() {
    this.steps = 0;
    /** @type {Map<number, Row>} */
    this.rows = new Map();
    /** @type {number[]} */
    this.start = [];
    /** @type {number[]} */
    this.low = [];
    /** @type {number[]} */
    this.median = [];
    /** @type {number[]} */
    this.high = [];
    /** @type {number[]} */
    this.odd = [];
    /** @type {Int16Array[]} */
    this.cells = [];
    /** @type {Set<number>} */
    this.clipped = new Set();
    /** @type {[number, string, string][]} */
    this.marks = [];
    this.verdict = ["waiting", "", ""];
    /** @type {[number, number | null] | null} */
    this.diverged = null;
    /** @type {Record<string, any>} */
    this.learned = { rows: [], samples: [] };
    /** @type {number | null} */
    this.given = null;
    this.names = /** @type {string[]} */ ([]);
    this.cuts = /** @type {number[]} */ ([]); // time steps across whose start no gradient goes back
    this.label = "";
    this.knobs = "";
    this.tiny = -37.9;
    this.painted = 0; // stretches from here on are not yet in the heat map
  }

  /** The row of a step, or of the newest one held before it. @param {number} step */
  row(step) {
    const exact = this.rows.get(step);
    if (exact) return exact;
    let best = /** @type {Row | undefined} */ (undefined);
    for (const row of this.rows.values()) if (row.step <= step && (!best || row.step > best.step)) best = row;
    return best;
  }

  /** The newest row up to a step in which every layer with a gradient has a finite value. @param {number} step */
  finite(step) {
    let best = /** @type {Row | undefined} */ (undefined);
    for (const row of this.rows.values()) {
      if (row.step <= step && (!best || row.step > best.step) && !row.now.includes(Infinity)) best = row;
    }
    return best;
  }

  /** @param {Record<string, any>} said @param {Record<string, any>} data @param {number} layers */
  take(said, data, layers) {
    for (const key of ["steps", "verdict", "diverged", "marks"]) {
      if (key in said) (/** @type {any} */ (this))[key] = said[key];
    }
    if ("learned" in said) this.learned.rows = said.learned;
    if ("extent" in said) Object.assign(this.learned, { extent: said.extent, classes: said.classes });
    for (const key of ["grid", "points", "held"]) if (data[key]) this.learned[key] = data[key];
    if ("samples" in said) this.learned.samples = cut(said.samples, data.images);
    if (data.given) this.given = data.given[0];
    if (data.start) this.takeStretches(data, layers);
    if (data.step) this.takeRows(data, layers);
    for (const step of data.clipped ?? []) this.clipped.add(step);
  }

  /** @param {Record<string, any>} data @param {number} layers */
  takeStretches(data, layers) {
    const first = data.start[0];
    let from = this.start.length;
    while (from > 0 && this.start[from - 1] >= first) from -= 1;
    for (const key of ["start", "low", "median", "high", "odd"]) {
      const kept = (/** @type {any} */ (this))[key];
      kept.length = from;
      kept.push(...data[key]);
    }
    this.cells.length = from;
    for (let i = 0; i < data.start.length; i += 1) this.cells.push(data.cells.slice(i * layers, (i + 1) * layers));
    this.painted = Math.min(this.painted, from);
  }

  /** @param {Record<string, any>} data @param {number} layers */
  takeRows(data, layers) {
    for (let i = 0; i < data.step.length; i += 1) {
      const part = (/** @type {any} */ values) => values?.slice(i * layers, (i + 1) * layers);
      const { step, loss, growth, spans, now, second, after, unable } = data;
      this.rows.set(step[i], {
        step: step[i],
        loss: loss[i],
        growth: growth[i], // decades from the last hidden layer to the first
        spans: spans[i], // layers that they spread over
        now: part(now),
        second: part(second),
        after: part(after),
        unable: part(unable),
        ...(data.scale ? { scale: data.scale[i] } : {}), // of the loss
      });
    }
    for (const step of this.rows.keys()) {
      if (this.rows.size <= HELD) break;
      if (step > 0) this.rows.delete(step);
    }
  }
}

/** @param {[number[], string, string, boolean][]} samples @param {Uint8Array} images */
function cut(samples, images) {
  let place = 0;
  return samples.map(([shape, target, output, right]) => {
    const size = shape.reduce((a, b) => a * b, 1);
    const image = images.slice(place, place + size);
    place += size;
    return { shape, target, output, right, image };
  });
}

/** Everything that packets have told. */
export class Store {
  constructor() {
    this.run = -1;
    this.number = 0;
    /** @type {Lane[]} */
    this.lanes = [];
    this.limits = [-2, 2, -2, 2, 3];
    this.measure = "delta_norm";
    this.time = false; // whether there is a signal through time
    this.titles = [""];
    this.units = false;
    this.ghost = "";
    /** @type {Record<string, number[]>} */
    this.formats = {}; // log10 of where each number format rounds to 0, of its smallest normal and its largest number
    this.precision = /** @type {string[]} */ ([]); // the format that each lane computes in, or "full"
    /** @type {[string, number, number][][]} */
    this.groups = []; // how the layers can be labelled, the finest first
    /** @type {Record<string, any>} */
    this.fixed = {};
    /** @type {Record<string, any>} */
    this.said = { lesson: "", alert: "", status: "", at: null, knobs: {}, preset: "", predict: null, slow: null, hidden: false };
    /** @type {number | null} */
    this.rate = null;
  }

  /** The lane of the run itself; the other one is lane A. */
  get main() {
    return this.lanes[this.lanes.length - 1];
  }

  get last() {
    return Math.max(0, ...this.lanes.map((lane) => lane.steps - 1));
  }

  /**
   * Take in a packet.
   * @param {Record<string, any>} head @param {DataView | ArrayBuffer} buffer
   * @returns {{missed: boolean, fresh: boolean, widened: string[]}}
   *   whether a packet was missed (nothing was taken in), whether this is another run, and which axes were widened
   */
  take(head, buffer) {
    const answerOnly = head.number === this.number && head.run === this.run; // rows that were asked for
    if (!head.full && !answerOnly && (head.run !== this.run || head.number !== this.number + 1)) {
      return { missed: true, fresh: false, widened: [] };
    }
    const data = unpack(/** @type {any} */ (head), buffer);
    const fresh = head.run !== this.run;
    if (head.full) this.begin(head);
    this.run = head.run;
    this.number = head.number;
    if ("rate" in head) this.rate = head.rate;
    for (const key of Object.keys(this.said)) if (key in head) this.said[key] = head[key];
    if (data.get(-1)?.fixed) this.fixed = /** @type {Record<string, any>} */ (data.get(-1));
    head.lanes.forEach((/** @type {any} */ said, /** @type {number} */ i) => {
      this.lanes[i]?.take(said, data.get(i) ?? {}, this.lanes[i].names.length);
    });
    return { missed: false, fresh, widened: this.widen(head.limits, fresh) };
  }

  /** @param {Record<string, any>} head */
  begin(head) {
    this.lanes = head.layers.map((/** @type {string[]} */ names, /** @type {number} */ i) => {
      const lane = new Lane();
      Object.assign(lane, { names, label: head.labels[i][0], knobs: head.labels[i][1], tiny: head.tiny[i], cuts: head.cuts?.[i] ?? [] });
      return lane;
    });
    Object.assign(this, { measure: head.measure, time: Boolean(head.time), titles: head.titles, units: head.units, ghost: head.ghost, groups: head.groups ?? [], formats: head.formats ?? {}, precision: head.precision ?? [], fixed: {} });
  }

  /** @param {number[] | undefined} limits @param {boolean} fresh */
  widen(limits, fresh) {
    if (!limits) return [];
    const names = ["profile", "profile", "loss", "loss", "span"];
    const changed = fresh ? [] : names.filter((_, i) => limits[i] !== this.limits[i]);
    this.limits = limits;
    return [...new Set(changed)];
  }
}
