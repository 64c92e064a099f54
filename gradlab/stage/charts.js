// Over the steps: the loss as median and range, and every layer at every step, with the bar that reads its colours.

import { CELL_MISSING, CELL_NONFINITE, CELL_ZERO } from "./store.js";
import { clamp, css, decadeTicks, formatNumber, linear, rampColour, roughWidth, stepTicks, timeScale } from "./scales.js";
import { hatch } from "./strip.js";

/** @typedef {import("./stage.js").Scene} Scene */
/** @typedef {import("./store.js").Lane} Lane */
/** @typedef {import("./scales.js").Rect} Rect */
/** @typedef {ReturnType<typeof timeScale>} Axis */

/** @param {Scene} s @param {{x: number, w: number}} rect */
export const time = (s, rect) => timeScale(s.limit, s.logTime, rect.x, rect.x + rect.w);

/** Where a stretch is drawn: at its middle. @param {Lane} lane @param {number} i */
const middle = (lane, i) => (i + 1 < lane.start.length ? (lane.start[i] + lane.start[i + 1] - 1) / 2 : (lane.start[i] + lane.steps - 1) / 2);

function band(/** @type {Scene} */ s, /** @type {Lane} */ lane, /** @type {(v: number) => number} */ y, /** @type {Axis} */ x, /** @type {string} */ colour) {
  const { g } = s;
  g.fillStyle = colour;
  g.globalAlpha = 0.18;
  g.beginPath();
  for (let i = 0; i < lane.start.length; i += 1) if (!Number.isNaN(lane.high[i])) g.lineTo(x.at(middle(lane, i)), y(lane.high[i]));
  for (let i = lane.start.length - 1; i >= 0; i -= 1) if (!Number.isNaN(lane.low[i])) g.lineTo(x.at(middle(lane, i)), y(lane.low[i]));
  g.fill();
  g.globalAlpha = 1;
}

/** What a loss without a logarithm looks like: 0 is a hollow ring at the foot, not finite is hatched at the top. */
function oddLosses(/** @type {Scene} */ s, /** @type {Lane} */ lane, /** @type {Axis} */ x) {
  const { g, lay, pal } = s;
  const { loss } = lay;
  for (let i = 0; i < lane.start.length; i += 1) {
    const at = x.at(middle(lane, i));
    if (lane.odd[i] & 2) hatch(g, at - 5, loss.y, 10, 10, pal.alarm, 4);
    if (lane.odd[i] & 1) {
      g.strokeStyle = pal.ink;
      g.lineWidth = 1.5;
      g.beginPath();
      g.arc(at, loss.y + loss.h - 3, 3, 0, 7);
      g.stroke();
    }
  }
}

/** Upright lines where something happened. */
function marks(/** @type {Scene} */ s, /** @type {Lane} */ lane, /** @type {Axis} */ x) {
  const { g, pal } = s;
  const { loss } = s.lay;
  const foot = loss.y + loss.h;
  g.strokeStyle = pal.after;
  g.lineWidth = 1;
  g.beginPath();
  for (const step of lane.clipped) {
    const at = Math.round(x.at(step)) + 0.5;
    g.moveTo(at, foot);
    g.lineTo(at, foot - 5);
  }
  g.stroke();
  for (const [step, kind] of lane.marks) {
    const at = x.at(step);
    g.strokeStyle = kind === "knob" ? pal.dim : pal.alarm;
    g.lineWidth = kind === "diverged" ? 2.4 : 1.2;
    g.setLineDash(kind === "knob" ? [2, 3] : []);
    g.beginPath();
    g.moveTo(at, foot);
    g.lineTo(at, kind === "skipped" ? foot - loss.h * 0.35 : loss.y);
    g.stroke();
  }
  g.setLineDash([]);
}

/** The loss scale as steps over the upper third of the chart, and its value now. */
function lossScales(/** @type {Scene} */ s, /** @type {Lane} */ lane, /** @type {Axis} */ x) {
  const { loss } = s.lay;
  const rows = [...lane.rows.values()].filter((row) => row.scale).sort((a, b) => a.step - b.step);
  if (rows.every((row) => row.scale === 1)) return;
  const scale = (/** @type {import("./store.js").Row} */ row) => row.scale ?? 1;
  const logs = rows.map((row) => Math.log2(scale(row)));
  const [low, high] = [Math.min(...logs), Math.max(...logs)];
  const y = linear(low - 1, high + 1, loss.y + loss.h * 0.36, loss.y + 4);
  s.g.strokeStyle = s.pal.after;
  s.g.lineWidth = 1.6;
  s.g.beginPath();
  rows.forEach((row, i) => {
    if (i) s.g.lineTo(x.at(row.step), y(logs[i - 1]));
    s.g.lineTo(x.at(row.step), y(logs[i]));
  });
  s.g.lineTo(x.at(lane.steps), y(logs[logs.length - 1]));
  s.g.stroke();
  const now = [...rows].reverse().find((row) => row.step <= (s.shown(s.store.lanes.indexOf(lane))?.step ?? 0)) ?? rows[0];
  s.labels.put("loss.scale", s.say("stage.loss_scale", { scale: scale(now) < 1e6 ? String(Number(scale(now).toPrecision(6))) : formatNumber(scale(now)) }), loss.x + loss.w, s.lay.heads.foot, { side: "right", kind: "strong", colour: s.pal.after });
}

/** @param {Scene} s */
export function drawLoss(s) {
  const { g, lay, pal, labels, words, store } = s;
  const { loss } = lay;
  const y = linear(s.limits[2], s.limits[3], loss.y + loss.h, loss.y);
  const x = time(s, loss);
  labels.put("loss.head", words["stage.loss"], loss.x, lay.heads.foot, { kind: "head" });
  const scaled = store.lanes.some((lane) => (lane.rows.get(lane.steps - 1)?.scale ?? 1) !== 1);
  if (!scaled && loss.w > (roughWidth(words["stage.loss"] + words["stage.median"]) + 24) * s.k) labels.put("loss.how", words["stage.median"], loss.x + loss.w, lay.heads.foot, { side: "right", kind: "dim" });
  g.strokeStyle = pal.line;
  g.lineWidth = 1;
  for (const d of decadeTicks(s.limits[2], s.limits[3], Math.max(2, loss.h / (24 * s.k)))) {
    if (y(d) < loss.y - 1 || y(d) > loss.y + loss.h + 1) continue;
    g.beginPath();
    g.moveTo(loss.x, Math.round(y(d)) + 0.5);
    g.lineTo(loss.x + loss.w, Math.round(y(d)) + 0.5);
    g.stroke();
    labels.put(`l${d}`, `1e${d}`, loss.x - 6, y(d), { side: "right", kind: "tick" });
  }
  g.save();
  g.beginPath();
  g.rect(loss.x - 5, loss.y - 5, loss.w + 10, loss.h + 10); // while the axis widens, curves lie beyond it
  g.clip();
  store.lanes.forEach((lane, number) => {
    const colour = store.lanes.length > 1 ? (number ? pal.laneB : pal.laneA) : pal.accent;
    if (!lane.start.length) return;
    marks(s, lane, x);
    band(s, lane, y, x, colour);
    g.strokeStyle = colour;
    g.lineWidth = 2;
    g.lineJoin = "round";
    g.beginPath();
    let on = false;
    for (let i = 0; i < lane.start.length; i += 1) {
      const known = !Number.isNaN(lane.median[i]);
      if (known) g[on ? "lineTo" : "moveTo"](x.at(middle(lane, i)), y(lane.median[i]));
      on = known;
    }
    g.stroke();
    if (lane.start.length <= 24) {
      g.fillStyle = colour;
      for (let i = 0; i < lane.start.length; i += 1) {
        if (Number.isNaN(lane.median[i])) continue;
        g.beginPath();
        g.arc(x.at(lane.start[i]), y(lane.median[i]), 3, 0, 7);
        g.fill();
      }
    }
    oddLosses(s, lane, x);
    lossScales(s, lane, x);
  });
  g.restore();
  timeLabels(s, loss, "lt");
}

function timeLabels(/** @type {Scene} */ s, /** @type {Rect} */ rect, /** @type {string} */ key) {
  const x = time(s, rect);
  const y = s.lay.loss.y + s.lay.loss.h + 9 * s.k;
  let free = -Infinity;
  const ticks = stepTicks(s.limit, s.logTime);
  ticks.forEach((step, i) => {
    const text = step >= 10000 ? `${step / 1000}k` : String(step);
    const half = text.length * 3.4 * s.k;
    const side = i === 0 ? "left" : i === ticks.length - 1 && x.at(step) > rect.x + rect.w - half ? "right" : "center";
    const start = x.at(step) - (side === "left" ? 0 : side === "right" ? 2 * half : half);
    if (start < free) return;
    free = start + 2 * half + 5;
    s.labels.put(`${key}${step}`, text, x.at(step), y, { side: /** @type {any} */ (side), kind: "tick" });
  });
}

/** The colour of a cell as one 32-bit word, little-endian. */
function words32(/** @type {Scene} */ s, /** @type {number} */ span) {
  const { pal } = s;
  const table = new Uint32Array(513);
  for (let i = 0; i <= 512; i += 1) {
    const [r, g, b] = rampColour(pal.ramp, i / 256 - 1);
    table[i] = (255 << 24) | (b << 16) | (g << 8) | r;
  }
  const hex = (/** @type {string} */ c) => {
    const v = parseInt(c.slice(1), 16);
    return ((255 << 24) | ((v & 255) << 16) | (v & 0xff00) | (v >> 16)) >>> 0;
  };
  /** @type {Record<number, number>} */
  const special = { [CELL_ZERO]: hex(pal.bg), [CELL_NONFINITE]: hex(pal.inf), [CELL_MISSING]: hex(pal.edge) };
  return (/** @type {number} */ code) => special[code] ?? table[Math.round((clamp(code / 100 / span, -1, 1) + 1) * 256)];
}

/** One pixel a cell, kept, so that only new stretches are painted; returns from which on they are. */
function cells(/** @type {Scene} */ s, /** @type {Lane} */ lane, /** @type {number} */ number) {
  const layers = lane.names.length;
  const key = `${s.limits[4]}|${s.theme}|${layers}|${s.store.run}`;
  let held = s.memory.heat[number];
  if (!held || held.key !== key || held.canvas.width < lane.start.length) {
    const canvas = held?.canvas ?? document.createElement("canvas");
    canvas.width = Math.max(512, 2 ** Math.ceil(Math.log2(lane.start.length + 1)));
    canvas.height = layers;
    held = s.memory.heat[number] = { key, canvas };
    lane.painted = 0;
  }
  const from = Math.min(lane.painted, lane.start.length);
  if (from < lane.start.length) {
    const g = held.canvas.getContext("2d");
    const image = g.createImageData(lane.start.length - from, layers);
    const out = new Uint32Array(image.data.buffer);
    const colour = words32(s, s.limits[4]);
    for (let i = from; i < lane.start.length; i += 1) {
      for (let l = 0; l < layers; l += 1) out[(layers - 1 - l) * image.width + i - from] = colour(lane.cells[i][l]);
    }
    g.putImageData(image, from, 0);
    lane.painted = Math.max(0, lane.start.length - 1); // the newest may still change
  }
  return from;
}

/** The map as large as it is shown, kept as well: a run of hundreds of stretches costs no more than one of a few. */
function heatMap(/** @type {Scene} */ s, /** @type {Lane} */ lane, /** @type {number} */ number, /** @type {Rect} */ rect, /** @type {Axis} */ x) {
  let from = cells(s, lane, number);
  const held = s.memory.heat[number];
  const [left, right] = [s.snap(rect.x), s.snap(rect.x + rect.w)];
  const [w, h] = [right - left, rect.h].map((side) => Math.max(1, Math.round(side * s.dpr)));
  const shown = [held.key, w, h, left, s.limit, s.logTime].join();
  if (held.shown !== shown) {
    held.shown = shown;
    held.large = Object.assign(held.large ?? document.createElement("canvas"), { width: w, height: h });
    from = 0;
  }
  const g = held.large.getContext("2d");
  const at = (/** @type {number} */ i) => Math.round((x.at(i < lane.start.length ? lane.start[i] : Math.max(lane.steps, lane.start[i - 1] + 1)) - left) * s.dpr);
  Object.assign(g, { imageSmoothingEnabled: lane.names.length > h, imageSmoothingQuality: "high" }); // of more layers than pixels none is left out
  g.clearRect(at(from), 0, w, h);
  for (let i = from; i < lane.start.length; i += 1) g.drawImage(held.canvas, i, 0, 1, lane.names.length, at(i), 0, Math.max(at(i + 1) - at(i), 1), h);
  s.g.drawImage(held.large, left, rect.y, right - left, rect.h);
}

/** @param {Scene} s */
export function drawHeat(s) {
  const { g, lay, pal, labels, words, store } = s;
  const head = s.through ? s.title : words["stage.heat"];
  const right = lay.profile.x + lay.profile.w; // of a phone, too, whose map is narrower than its name
  const fits = lay.heat[0].x + 1.1 * roughWidth(head) * s.k < right;
  labels.put("heat.head", head, fits ? lay.heat[0].x : right, lay.heads.foot, { side: fits ? "left" : "right", kind: "head" });
  const span = s.limits[4];
  store.lanes.forEach((lane, number) => {
    const rect = lay.heat[number];
    const x = time(s, rect);
    const layers = lane.names.length;
    g.fillStyle = pal.soft;
    g.fillRect(rect.x, rect.y, rect.w, rect.h);
    if (lane.cells.length && layers) { // beside a network through time, one without has no rows
      heatMap(s, lane, number, rect, x);
      for (let i = 0; i < lane.start.length; i += 1) {
        const from = s.snap(x.at(lane.start[i]));
        const to = s.snap(x.at(i + 1 < lane.start.length ? lane.start[i + 1] : Math.max(lane.steps, lane.start[i] + 1)));
        if (to - from > 5 && lane.cells[i].includes(CELL_NONFINITE)) hatchCells(s, lane.cells[i], rect, from, to, layers);
      }
    }
    g.strokeStyle = pal.edge;
    g.lineWidth = 1;
    g.strokeRect(rect.x - 0.5, rect.y - 0.5, rect.w + 1, rect.h + 1);
    if (store.lanes.length > 1) labels.put(`heat${number}`, lane.label, rect.x - 6, rect.y + rect.h / 2, { side: "right", kind: "lane", colour: number ? pal.laneB : pal.laneA });
    else {
      if (!store.said.hidden) labels.put("heat.top", String(layers), rect.x - 5, rect.y + 5 * s.k, { side: "right", kind: "tick" });
      if (!s.through && !store.said.hidden) labels.put("heat.name", words["axis.layer_short"], rect.x - 5, rect.y + rect.h / 2, { side: "right", kind: "tick faint" });
      labels.put("heat.foot", "1", rect.x - 5, rect.y + rect.h - 5 * s.k, { side: "right", kind: "tick" });
    }
  });
  timeLabels(s, lay.heat[0], "ht");
  bar(s, span);
}

function hatchCells(/** @type {Scene} */ s, /** @type {Int16Array} */ codes, /** @type {Rect} */ rect, /** @type {number} */ from, /** @type {number} */ to, /** @type {number} */ layers) {
  const each = rect.h / layers;
  let run = 0;
  for (let l = 0; l <= layers; l += 1) {
    if (l < layers && codes[l] === CELL_NONFINITE) run += 1;
    else if (run) {
      hatch(s.g, from, rect.y + rect.h - l * each, to - from, run * each, "rgba(255,255,255,.75)", 5);
      run = 0;
    }
  }
}

function bar(/** @type {Scene} */ s, /** @type {number} */ span) {
  const { g, lay, pal, labels } = s;
  const { bar: b } = lay;
  const shade = g.createLinearGradient(0, b.y, 0, b.y + b.h);
  for (let i = 0; i <= 16; i += 1) shade.addColorStop(i / 16, css(rampColour(pal.ramp, 1 - i / 8)));
  g.fillStyle = shade;
  g.fillRect(b.x, b.y, b.w, b.h);
  g.strokeStyle = pal.edge;
  g.strokeRect(b.x - 0.5, b.y - 0.5, b.w + 1, b.h + 1);
  const wide = Math.round(span);
  [`1e${wide}`, "\u00d71", `1e-${wide}`].forEach((text, i) => {
    labels.put(`bar${i}`, text, b.x + b.w + 3, b.y + 5 * s.k + ((b.h - 10 * s.k) * i) / 2, { kind: "tick" });
  });
}

/** The loss at the step shown, beside its curve's head. @param {Scene} s */
export function lossNow(s) {
  const row = s.shown(s.store.lanes.length - 1);
  return row ? formatNumber(row.loss) : "";
}
