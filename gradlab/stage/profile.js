// Every layer's value now, under its column of the strip, on linear decades that only ever widen.

import { columnX } from "./layout.js";
import { drawLens, fallsOut, nameLens } from "./lens.js";
import { clamp, css, decadeTicks, edgeOf, even, groupsToName, layerTicks, linear, rampColour, ratios, roughWidth } from "./scales.js";
import { hatch } from "./strip.js";

/** @typedef {import("./stage.js").Scene} Scene */
/** @typedef {import("./store.js").Row} Row */
/** @typedef {ArrayLike<number>} Logs */

const LOUD = 3; // decades from the last layer to the first from which words are set large

/** @param {Scene} s */
export function profileScale(s) {
  const { profile } = s.lay;
  return linear(s.limits[0], s.limits[1], profile.y + profile.h, profile.y);
}

/** A curve that breaks where there is no number; x is the number of a layer. */
function curve(/** @type {Scene} */ s, /** @type {Logs} */ logs, /** @type {string} */ colour, /** @type {number} */ width, { dash = /** @type {number[]} */ ([]), x = (/** @type {number} */ i) => i + 1, clip = true } = {}) {
  const { g, lay } = s;
  const n = s.layers;
  const y = profileScale(s);
  g.save();
  if (clip) {
    g.beginPath();
    g.rect(lay.profile.x - 4, lay.profile.y - 6, lay.profile.w + 8, lay.profile.h + 12);
    g.clip();
  }
  g.strokeStyle = colour;
  g.lineWidth = width;
  g.lineJoin = "round";
  g.setLineDash(dash);
  g.beginPath();
  let on = false;
  for (let i = 0; i < logs.length; i += 1) {
    const known = Number.isFinite(logs[i]);
    if (known) g[on ? "lineTo" : "moveTo"](columnX(lay.profile, n, x(i) - 1), y(logs[i]));
    on = known;
  }
  g.stroke();
  g.restore();
}

/** The grid of decades and the places of what is no number. */
function axes(/** @type {Scene} */ s) {
  const { g, lay, pal, labels, words } = s;
  const { profile } = lay;
  const y = profileScale(s);
  g.strokeStyle = pal.line;
  g.lineWidth = 1;
  const ticks = decadeTicks(s.limits[0], s.limits[1], Math.max(2, profile.h / (26 * s.k)));
  for (const d of ticks) {
    if (y(d) < profile.y - 1 || y(d) > profile.y + profile.h + 1) continue;
    g.beginPath();
    g.moveTo(profile.x, Math.round(y(d)) + 0.5);
    g.lineTo(profile.x + profile.w, Math.round(y(d)) + 0.5);
    g.stroke();
    labels.put(`p${d}`, `1e${d}`, profile.x - 6, y(d), { side: "right", kind: "tick" });
  }
  if (profile.y - lay.inf > 8) {
    labels.put("p.inf", "inf", profile.x - 6, lay.inf - 1, { side: "right", kind: "tick faint" });
    labels.put("p.zero", "0", profile.x - 6, lay.zero, { side: "right", kind: "tick faint" });
    labels.put("p.none", words["row.missing"], profile.x - 6, lay.none, { side: "right", kind: "tick faint" });
  }
  const wide = profile.w / s.layers;
  const named = groupsToName(s.store.groups, wide / (6.4 * s.k));
  for (const [name, from, to] of named) {
    const [left, right] = [profile.x + from * wide, profile.x + to * wide];
    const half = 0.45 * roughWidth(name) * s.k;
    labels.put(`group${from}`, name, clamp((left + right) / 2, profile.x - 8 + half, profile.x + profile.w + 8 - half), lay.none + 13 * s.k, { side: "center", kind: "tick" });
    g.fillStyle = pal.edge;
    if (to - from > 1) g.fillRect(left + 2, lay.none + 6 * s.k, right - left - 4, 1);
  }
  const numbers = named.length ? [] : layerTicks(s.layers, profile.w / (42 * s.k));
  for (const n of numbers) labels.put(`layer${n}`, String(n), columnX(profile, s.layers, n - 1), lay.none + 13 * s.k, { side: "center", kind: "tick" });
  labels.put("axis.layer", words[s.through ? "axis.time" : "axis.layer"], profile.x + profile.w * (s.lens ? 0.34 : 0.5), lay.none + 25 * s.k, { side: "center", kind: "dim" });
}

/** What lies between a signal and its last layer's level, in the colours of the columns: a wedge that grows with the explosion. */
function wedge(/** @type {Scene} */ s, /** @type {Logs} */ logs) {
  const { g, lay, pal } = s;
  const { profile } = lay;
  const rel = ratios(logs);
  const y = profileScale(s);
  const last = logs.length - 1;
  if (last < 1 || !Number.isFinite(logs[last])) return;
  const shade = g.createLinearGradient(profile.x, 0, profile.x + profile.w, 0);
  g.beginPath();
  g.moveTo(columnX(profile, s.layers, last), y(logs[last]));
  for (let i = last; i >= 0; i -= 1) {
    if (!Number.isFinite(rel[i])) break;
    shade.addColorStop((i + 0.5) / s.layers, css(rampColour(pal.ramp, rel[i] / s.limits[4])));
    g.lineTo(columnX(profile, s.layers, i), clamp(y(logs[i]), profile.y, profile.y + profile.h));
    if (i === 0 || !Number.isFinite(rel[i - 1])) g.lineTo(columnX(profile, s.layers, i), y(logs[last]));
  }
  g.closePath();
  g.globalAlpha = s.dark ? 0.5 : 0.42;
  g.fillStyle = shade;
  g.fill();
  g.globalAlpha = 1;
}

/** The marks of what is no plain number: hatched, hollow, dashed, an open triangle. */
function odd(/** @type {Scene} */ s, /** @type {Logs} */ logs, /** @type {number} */ tiny, /** @type {string} */ colour) {
  const { g, lay, pal } = s;
  const y = profileScale(s);
  const wide = lay.profile.w / s.layers;
  for (let i = 0; i < logs.length; i += 1) {
    const x = columnX(lay.profile, s.layers, i);
    const half = Math.min(wide / 2 - 1.5, 14);
    g.strokeStyle = colour;
    g.lineWidth = 1.8;
    if (logs[i] === Infinity) hatch(g, x - half, lay.inf - 6 * s.k, 2 * half, 10 * s.k, pal.alarm, 4);
    else if (logs[i] === -Infinity) {
      g.beginPath();
      g.arc(x, lay.zero, 3.6 * s.k, 0, 7);
      g.stroke();
    } else if (Number.isNaN(logs[i])) {
      g.setLineDash([3, 2]);
      g.beginPath();
      g.moveTo(x - half, lay.none);
      g.lineTo(x + half, lay.none);
      g.stroke();
      g.setLineDash([]);
    } else if (logs[i] < tiny && logs[i] >= s.limits[0]) {
      g.beginPath();
      g.moveTo(x - 5, y(logs[i]) - 4);
      g.lineTo(x + 5, y(logs[i]) - 4);
      g.lineTo(x, y(logs[i]) + 5);
      g.closePath();
      g.stroke();
    }
  }
}

/** An arrow at the edge of a held axis: a value lies beyond. @param {number} x @param {number} y @param {number} way 1 up, -1 down @param {number} size */
function arrow(/** @type {Scene} */ s, x, y, way, size) {
  s.g.moveTo(x, y - way * size * 1.7);
  s.g.lineTo(x + size * 1.15, y + way * size * 0.5);
  s.g.lineTo(x - size * 1.15, y + way * size * 0.5);
  s.g.closePath();
}

/** Dots in the colours of the columns above them. */
function dots(/** @type {Scene} */ s, /** @type {Logs} */ logs, /** @type {string} */ rim, /** @type {string} */ shape, hollow = false) {
  const { g, lay, pal } = s;
  const y = profileScale(s);
  const rel = ratios(logs);
  const size = Math.min(4.2 * s.k, (lay.profile.w / s.layers) * 0.36);
  g.lineWidth = 1.5;
  for (let i = 0; i < logs.length; i += 1) {
    if (!Number.isFinite(logs[i])) continue;
    const beyond = s.held ? edgeOf(logs[i], s.limits[0], s.limits[1]) : 0;
    const [x, at] = [columnX(lay.profile, s.layers, i), y(beyond ? s.limits[beyond > 0 ? 1 : 0] : logs[i])];
    if (at < lay.profile.y - 8 || at > lay.profile.y + lay.profile.h + 8) continue; // while the axis widens
    const lit = s.hover?.layer === i ? 1.5 : 1;
    g.beginPath();
    if (beyond) arrow(s, x, at, beyond, size * lit);
    else if (shape === "dot") g.arc(x, at, size * lit, 0, 7);
    else if (shape === "square") g.rect(x - size * 0.75, at - size * 0.75, size * 1.5, size * 1.5);
    else {
      g.moveTo(x, at - size * 1.25);
      g.lineTo(x + size * 1.25, at);
      g.lineTo(x, at + size * 1.25);
      g.lineTo(x - size * 1.25, at);
      g.closePath();
    }
    const out = !hollow && fallsOut(s.lens, logs[i]);
    g.fillStyle = hollow ? pal.bg : out ? pal.first : css(rampColour(pal.ramp, rel[i] / s.limits[4]));
    g.fill();
    g.strokeStyle = out ? pal.dim : rim;
    g.stroke();
  }
}

/** Theory with its band, a pinned run, a prediction: what stays while the run goes on. */
function fixed(/** @type {Scene} */ s) {
  const { g, lay, pal } = s;
  const f = s.store.fixed;
  const at = (/** @type {any} */ xs) => (/** @type {number} */ i) => xs[i];
  if (f["low.y"]) {
    const y = profileScale(s);
    g.save();
    g.beginPath();
    g.rect(lay.profile.x, lay.profile.y, lay.profile.w, lay.profile.h);
    g.clip();
    g.beginPath();
    const low = f["low.y"];
    const high = f["high.y"];
    for (let i = 0; i < low.length; i += 1) if (Number.isFinite(high[i])) g.lineTo(columnX(lay.profile, s.layers, f["low.x"][i] - 1), y(high[i]));
    for (let i = low.length - 1; i >= 0; i -= 1) if (Number.isFinite(low[i])) g.lineTo(columnX(lay.profile, s.layers, f["low.x"][i] - 1), y(low[i]));
    g.fillStyle = pal.theory;
    g.globalAlpha = 0.14;
    g.fill();
    g.restore();
  }
  if (f["theory.y"]) curve(s, f["theory.y"], pal.theory, 2, { dash: [7, 4], x: at(f["theory.x"]) });
  if (f["ghost.y"]) curve(s, f["ghost.y"], pal.ghost, 1.6, { dash: [8, 3, 2, 3], x: at(f["ghost.x"]) });
  if (f["guess.y"]) curve(s, f["guess.y"], pal.guess, 3, { dash: [9, 4], x: at(f["guess.x"]) });
}

/** Along how many pixels curves run through a rectangle. @param {Scene} s @param {ArrayLike<number>[]} curves @param {import("./scales.js").Rect} box */
function met(s, curves, box) {
  const y = profileScale(s);
  const { profile } = s.lay;
  const place = (/** @type {number} */ x) => clamp(((x - profile.x) / profile.w) * s.layers - 0.5, 0, s.layers - 1);
  let pixels = 0;
  for (let x = Math.max(box.x, columnX(profile, s.layers, 0)); x <= Math.min(box.x + box.w, columnX(profile, s.layers, s.layers - 1)); x += 3) {
    const at = place(x);
    const [low, high] = [Math.floor(at), Math.ceil(at)];
    for (const logs of curves) {
      const there = y(logs[low] + (logs[high] - logs[low]) * (at - low));
      if (there > box.y && there < box.y + box.h) pixels += 3;
    }
  }
  return pixels;
}

/** Where the words on the slope disturb no curve: a corner of the plot, the same one as long as it can be. */
function freeCorner(/** @type {Scene} */ s, /** @type {Logs[]} */ curves, /** @type {number} */ wide, /** @type {number} */ loud) {
  const { profile } = s.lay;
  const high = (loud > 1 ? 22 : 18) * s.k;
  const left = profile.x + 10;
  const right = profile.x + profile.w - 10;
  const corners = [
    { side: "right", x: right, y: profile.y + high * 0.75 },
    { side: "left", x: left, y: profile.y + high * 0.75 },
    { side: "left", x: left, y: profile.y + profile.h - high * 0.45 },
    { side: "right", x: right, y: profile.y + profile.h - high * 0.45 },
    { side: "right", x: right, y: profile.y + high * 2.1 },
    { side: "left", x: left, y: profile.y + high * 2.1 },
    { side: "left", x: left, y: profile.y + profile.h * 0.62 },
    { side: "right", x: right, y: profile.y + profile.h * 0.62 },
    { side: "left", x: left, y: profile.y + profile.h * 0.45 },
    { side: "right", x: right, y: profile.y + profile.h * 0.45 },
  ];
  const hits = corners.map((c) => {
    const x0 = c.side === "right" ? c.x - wide : c.x;
    return met(s, curves, { x: x0 - 12, y: c.y - high * 0.8, w: wide + 24, h: high * 1.6 });
  });
  const kept = s.memory.corner;
  const best = kept !== undefined && hits[kept] === 0 ? kept : hits.indexOf(Math.min(...hits));
  return { ...corners[best], number: best, free: hits[best] === 0 };
}

/** Beside its own curve, where no other one passes, or else in a free corner. */
function beside(/** @type {Scene} */ s, /** @type {Row} */ row, /** @type {Logs[]} */ curves, /** @type {number} */ wide, /** @type {{x: number, y: number}[]} */ taken) {
  const { profile } = s.lay;
  const y = profileScale(s);
  const n = row.now.length;
  const tried = [0.62, 0.78, 0.45, 0.3, 0.88].flatMap((at) => [-16, 16, -32, 32].map((off) => {
    const i = Math.round(at * (n - 1));
    return { x: clamp(columnX(profile, s.layers, i), profile.x + wide / 2, profile.x + profile.w - wide / 2), y: y(row.now[i]) + off * s.k };
  }));
  for (const far of [-1, 1]) for (const at of [profile.x + wide / 2 + 10, profile.x + profile.w - wide / 2 - 10]) tried.push({ x: at, y: profile.y + (far < 0 ? profile.h - 10 * s.k : 12 * s.k) });
  const hits = tried.map((p) => {
    let bad = p.y >= profile.y + 6 && p.y <= profile.y + profile.h - 6 ? 0 : 500;
    for (const t of taken) if (Math.abs(t.y - p.y) < 18 * s.k && Math.abs(t.x - p.x) < wide) bad += 500;
    return bad + met(s, curves, { x: p.x - wide / 2 - 6, y: p.y - 11 * s.k, w: wide + 12, h: 22 * s.k });
  });
  return tried[hits.indexOf(Math.min(...hits))];
}

/** Say the growth in words on the slope: one number, that of verdict and lesson. */
function slope(/** @type {Scene} */ s, /** @type {Logs[]} */ curves) {
  const { store, pal, labels } = s;
  const lanes = store.lanes.length > 1;
  const taken = /** @type {{x: number, y: number}[]} */ ([]);
  store.lanes.forEach((lane, number) => {
    let row = s.shown(number);
    const odd = row && Number.isNaN(row.growth);
    if (row && odd) row = lane.finite(row.step);
    if (!row || Number.isNaN(row.growth)) return;
    const when = odd ? `${s.say("stage.step", { step: row.step })}${s.words["info.colon"]}` : "";
    const text = (lanes ? `${lane.label}  ` : "") + when + s.growthWords(row, lanes);
    const level = even(row);
    const loud = lanes || !(Math.abs(row.growth) >= LOUD) ? 1 : 1.35; // read from the back row
    const wide = 1.3 * roughWidth(text) * s.k;
    if (lanes) {
      const place = beside(s, row, curves, wide, taken);
      taken.push(place);
      s.memory.said.push({ x: place.x - wide / 2, y: place.y - 12 * s.k, w: wide, h: 24 * s.k });
      labels.put(`slope${number}`, text, place.x, place.y, { side: "center", kind: "slope", colour: number ? pal.laneB : pal.laneA });
      return;
    }
    const mild = Math.abs(row.growth) < 1;
    const colour = level ? pal.good : mild ? pal.ink : row.growth > 0 ? pal.alarm : pal.cold;
    const short = when + s.growthWords(row, true);
    const ways = [...(level ? [text] : [text, s.through ? short : `${short} ${s.words["growth.toward"]}`, short]).map((words) => ({ words, loud })), { words: level ? text : short, loud: 1 }];
    const places = ways.map((way) => {
      const room = 1.3 * roughWidth(way.words) * way.loud * s.k;
      return { ...way, room, corner: freeCorner(s, curves, room, way.loud) };
    });
    const { words, loud: as, room, corner } = places.find((place) => place.corner.free && place.room < s.lay.profile.w - 20) ?? places[places.length - 1];
    s.memory.corner = corner.number;
    s.memory.said.push({ x: corner.side === "right" ? corner.x - room : corner.x, y: corner.y - 12 * s.k, w: room, h: 24 * s.k });
    labels.put("slope", words, corner.x, corner.y, { side: /** @type {any} */ (corner.side), kind: as > 1 ? "slope loud" : "slope", colour });
  });
}

/** Where a truncated network sends no gradient back. @param {Scene} s */
function cuts(s) {
  const { g, pal, labels, words, lay, store } = s;
  const lane = store.main;
  if (!s.through || !lane) return;
  const rect = lay.profile;
  g.strokeStyle = pal.dim;
  g.lineWidth = 1.2;
  g.setLineDash([4, 4]);
  lane.cuts.forEach((t) => {
    const x = rect.x + (rect.w * t) / lane.names.length;
    g.beginPath();
    g.moveTo(x, rect.y);
    g.lineTo(x, rect.y + rect.h);
    g.stroke();
  });
  g.setLineDash([]);
  const last = lane.cuts[lane.cuts.length - 1];
  if (last) labels.put("cut", words["stage.cut"], rect.x + (rect.w * last) / lane.names.length - 5 * s.k, rect.y + rect.h * 0.62, { side: "right", kind: "paper" });
}

/** @param {Scene} s */
export function drawProfile(s) {
  const { store, pal, g } = s;
  drawLens(s, profileScale(s));
  axes(s);
  cuts(s);
  fixed(s);
  const curves = ["theory.y", "ghost.y", "guess.y"].flatMap((key) => (store.fixed[key] ? [store.fixed[key]] : []));
  const lanes = store.lanes.length > 1;
  store.lanes.forEach((lane, number) => {
    const row = s.shown(number);
    if (!row) return;
    const finite = row.now.includes(Infinity) ? lane.finite(row.step) : undefined;
    if (!lanes) wedge(s, (finite ?? row).now);
    const first = lane.rows.get(0);
    if (first && first !== row) {
      curve(s, first.now, lanes ? (number ? pal.laneB : pal.laneA) : pal.first, lanes ? 1 : 1.8, lanes ? { dash: [2, 3] } : {});
      curves.push(first.now);
    }
    if (finite?.second && !lanes) {
      curve(s, finite.second, pal.second, 1.3);
      dots(s, finite.second, pal.second, "square", true);
      curves.push(finite.second);
    }
    if (row.second && !lanes) {
      curve(s, row.second, pal.second, 1.3);
      dots(s, row.second, pal.second, "square", true);
      curves.push(row.second);
    }
    if (row.after && !lanes) {
      curve(s, row.after, pal.after, 1.3, { dash: [2, 2] });
      dots(s, row.after, pal.after, "square", true);
      curves.push(row.after);
    }
    const colour = lanes ? (number ? pal.laneB : pal.laneA) : pal.ink;
    if (finite) {
      curve(s, finite.now, colour, 2.4);
      dots(s, finite.now, pal.alarm, number || !lanes ? "dot" : "diamond");
      curves.push(finite.now);
    }
    curve(s, row.now, colour, 2.4);
    dots(s, row.now, colour, number || !lanes ? "dot" : "diamond");
    odd(s, row.now, lane.tiny, colour);
    curves.push(row.now);
    if (!lanes) curves.push(Array.from(row.now).fill((finite ?? row).now[row.now.length - 1])); // the wedge's edge
  });
  if (store.said.hidden && store.main?.given !== null) given(s);
  s.memory.said = []; // where words on slopes stand
  slope(s, curves);
  const apart = (/** @type {any} */ a, /** @type {any} */ b) => a.x > b.x + b.w || b.x > a.x + a.w || a.y > b.y + b.h || b.y > a.y + a.h;
  nameLens(s, profileScale(s), (box) => met(s, curves, box) === 0 && s.memory.said.every((/** @type {any} */ other) => apart(box, other)));
  g.lineWidth = 1;
}

/** The one dot that a prediction starts from: the last hidden layer. */
function given(/** @type {Scene} */ s) {
  const { g, lay, pal } = s;
  const [x, y] = [columnX(lay.profile, s.layers, s.layers - 2), profileScale(s)(/** @type {number} */ (s.store.main.given))];
  g.beginPath();
  g.arc(x, y, 6 * s.k, 0, 7);
  g.fillStyle = pal.ink;
  g.fill();
  if (!s.store.fixed["guess.y"]) {
    g.setLineDash([4, 5]);
    g.strokeStyle = pal.guess;
    g.lineWidth = 1.6;
    for (const tilt of [-0.6, 0, 0.6]) {
      g.beginPath();
      g.moveTo(x - 10, y - tilt * 6);
      g.lineTo(lay.profile.x + 14, y - (tilt / 0.6) * lay.profile.h * 0.4);
      g.stroke();
    }
    g.setLineDash([]);
  }
}
