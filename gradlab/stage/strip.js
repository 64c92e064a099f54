// The network: one column a layer, coloured and sized by its value relative to the last layer's.

import { columnX } from "./layout.js";
import { clamp, css, formatNumber, rampColour, ratios, roughWidth } from "./scales.js";

/** @typedef {import("./stage.js").Scene} Scene */
/** @typedef {import("./store.js").Row} Row */
/** @typedef {import("./scales.js").Rect} Rect */
/** @typedef {{value: number, shown: number, odd: boolean, zero: boolean, none: boolean, h: number}} Column */

/** Fill a rectangle with slanting lines: what is not finite. @param {CanvasRenderingContext2D} g @param {number} x @param {number} y @param {number} w @param {number} h @param {string} colour */
export function hatch(g, x, y, w, h, colour, gap = 5) {
  g.save();
  g.beginPath();
  g.rect(x, y, w, h);
  g.clip();
  g.strokeStyle = colour;
  g.lineWidth = 1.4;
  g.beginPath();
  for (let at = x - h - gap; at < x + w + gap; at += gap) {
    g.moveTo(at, y + h + 1);
    g.lineTo(at + h + 2, y - 1);
  }
  g.stroke();
  g.restore();
}

/** @param {CanvasRenderingContext2D} g @param {number} x @param {number} y @param {number} w @param {number} h @param {number} r */
function rounded(g, x, y, w, h, r) {
  g.beginPath();
  g.roundRect(x, y, w, h, Math.min(r, w / 2, h / 2));
}

/** What each column shows: decades relative to the last layer, and the height that they give it. */
function columnsOf(/** @type {Row} */ row, /** @type {Row | undefined} */ finite, /** @type {Rect} */ rect, /** @type {number} */ span) {
  const rel = ratios(row.now);
  const before = finite ? ratios(finite.now) : null;
  return Array.from(rel, (v, i) => {
    const odd = row.now[i] === Infinity;
    const shown = odd ? before?.[i] ?? 0 : v;
    const plain = Number.isFinite(shown);
    const share = plain ? clamp(0.5 + (0.5 * shown) / span, 0.09, 1) : v === -Infinity ? 0.2 : 0.5;
    return { value: v, shown, odd, zero: v === -Infinity, none: Number.isNaN(row.now[i]), h: share * rect.h };
  });
}

/** The river between the columns, which narrows or widens with the signal. */
function ribbon(/** @type {Scene} */ s, /** @type {Rect} */ rect, /** @type {Column[]} */ columns) {
  const { g, pal } = s;
  const middle = rect.y + rect.h / 2;
  const shade = g.createLinearGradient(rect.x, 0, rect.x + rect.w, 0);
  const n = columns.length;
  columns.forEach((c, i) => shade.addColorStop((i + 0.5) / n, css(rampColour(pal.ramp, Number.isFinite(c.shown) ? c.shown / s.limits[4] : 0))));
  g.beginPath();
  columns.forEach((c, i) => g.lineTo(columnX(rect, n, i), middle - c.h * 0.4));
  for (let i = n - 1; i >= 0; i -= 1) g.lineTo(columnX(rect, n, i), middle + columns[i].h * 0.4);
  g.closePath();
  g.globalAlpha = 0.4;
  g.fillStyle = shade;
  g.fill();
  g.globalAlpha = 1;
}

function column(/** @type {Scene} */ s, /** @type {Rect} */ rect, /** @type {Column} */ c, /** @type {number} */ i, /** @type {number} */ n, /** @type {number} */ unable, /** @type {boolean} */ lit) {
  const { g, pal } = s;
  const wide = rect.w / n;
  const gap = clamp(wide * 0.12, 0.5, 3);
  const [x, w] = [rect.x + i * wide + gap, wide - 2 * gap];
  const y = rect.y + (rect.h - c.h) / 2;
  rounded(g, x, y, w, c.h, 3);
  if (c.none) {
    g.setLineDash([3, 3]);
    g.strokeStyle = pal.dim;
    g.lineWidth = 1.2;
    g.stroke();
    g.setLineDash([]);
    return;
  }
  if (c.zero) {
    g.fillStyle = pal.bg;
    g.fill();
    g.strokeStyle = pal.ink;
    g.lineWidth = 1.6;
    g.stroke();
    return;
  }
  g.fillStyle = css(rampColour(pal.ramp, c.shown / s.limits[4]));
  g.fill();
  if (unable > 0.02) {
    g.save();
    g.clip();
    g.fillStyle = pal.shade;
    g.fillRect(x, y + c.h * (1 - unable), w, c.h * unable);
    g.restore();
    rounded(g, x, y, w, c.h, 3);
  }
  if (c.odd) {
    hatch(g, x, y, w, c.h, s.dark ? pal.bg : "#ffffff", 6);
    rounded(g, x, y, w, c.h, 3);
  }
  g.strokeStyle = lit ? pal.ink : s.dark ? "rgba(255,255,255,.16)" : "rgba(20,30,40,.22)";
  g.lineWidth = lit ? 2 : 1;
  g.stroke();
}

/** The bead that runs forward through the network and backward from the loss, and the light around it. */
function bead(/** @type {Scene} */ s, /** @type {Rect} */ rect, /** @type {number} */ x, /** @type {boolean} */ backward) {
  const { g, pal } = s;
  const wide = Math.max(26, rect.w / 14);
  const glow = g.createLinearGradient(x - wide, 0, x + wide, 0);
  for (const [at, alpha] of [[0, "00"], [0.5, "66"], [1, "00"]]) glow.addColorStop(/** @type {number} */ (at), pal.pulse + alpha);
  g.fillStyle = glow;
  g.fillRect(Math.max(rect.x - 4, x - wide), rect.y - 3, Math.min(2 * wide, rect.x + rect.w + 4 - x + wide), rect.h + 6);
  const y = rect.y + rect.h / 2;
  g.beginPath();
  g.arc(x, y, 6 * s.k, 0, 2 * Math.PI);
  g.fillStyle = pal.pulse;
  g.fill();
  g.strokeStyle = s.dark ? "#000" : "#fff";
  g.lineWidth = 2;
  g.stroke();
  const way = backward ? -1 : 1;
  g.beginPath();
  g.moveTo(x + way * 13 * s.k, y);
  g.lineTo(x + way * 8 * s.k, y - 4 * s.k);
  g.lineTo(x + way * 8 * s.k, y + 4 * s.k);
  g.fillStyle = pal.ink;
  g.fill();
}

/** The arrows under the strip: data in at the left, loss at the right, and which way the gradient goes. */
function ends(/** @type {Scene} */ s) {
  const first = s.lay.strips[0];
  s.labels.put("data", s.words["stage.data"], first.x - 8 * s.k, first.y + first.h / 2, { side: "right", kind: "dim" });
  if (s.lay.heads.profile < 0) return;
  const { g, pal, lay, labels, words, store } = s;
  const last = lay.strips[lay.strips.length - 1];
  const y = lay.heads.profile;
  g.strokeStyle = pal.first;
  g.fillStyle = pal.first;
  g.lineWidth = 1.4;
  const row = s.shown(store.lanes.length - 1);
  const loss = `${words["axis.loss"]} ${row && store.lanes.length === 1 ? formatNumber(row.loss) : ""}`.trim();
  const from = last.x + last.w - (14 + loss.length * 6.6) * s.k;
  g.beginPath();
  g.moveTo(from, y);
  g.lineTo(last.x + 6, y);
  g.stroke();
  g.beginPath();
  g.moveTo(last.x - 1, y);
  g.lineTo(last.x + 8, y - 4);
  g.lineTo(last.x + 8, y + 4);
  g.fill();
  if (store.said.slow) return; // its line of code stands here
  labels.put("loss", loss, last.x + last.w, y, { side: "right", kind: "strong" });
  const room = last.w / s.k - roughWidth(loss) - 24; // on a phone only its first word has it
  const [word] = words["stage.way_back"].split(words["info.colon"].trim());
  const back = roughWidth(words["stage.way_back"]) < room ? words["stage.way_back"] : word;
  labels.put("back", back, last.x + (last.w - s.k * roughWidth(loss)) / 2, y, { side: "center", kind: "paper" });
}

/** @param {Scene} s */
export function drawStrips(s) {
  const { lay, store, pal, labels, words } = s;
  labels.put("strip", s.title, lay.strips[0].x, lay.heads.strip, { kind: "head" });
  const how = (s.signal ? `|dL/dz|${words["info.colon"]}` : "") + words["stage.relative"];
  if (lay.strips[0].w > (1.1 * roughWidth(s.title) + 0.9 * roughWidth(how) + 24) * s.k && !store.time) labels.put("strip.how", how, lay.strips[0].x + lay.strips[0].w, lay.heads.strip, { side: "right", kind: "dim" });
  store.lanes.forEach((lane, number) => {
    const rect = lay.strips[number];
    const colour = number === 0 ? pal.laneA : pal.laneB;
    if (store.lanes.length > 1) labels.put(`lane${number}`, `${lane.label}  ${lane.knobs}`, rect.x, rect.y - 9 * s.k, { kind: "lane", colour });
    const row = s.shown(number);
    const n = lane.names.length;
    if (!row) return empty(s, rect, n, number);
    const finite = row.now.includes(Infinity) ? lane.finite(row.step) : undefined;
    const columns = columnsOf(row, finite, rect, s.limits[4]);
    const old = s.pulse ? s.before(number) : undefined;
    if (old && s.pulse) {
      const then = columnsOf(old, undefined, rect, s.limits[4]);
      columns.forEach((_, i) => {
        if (!s.pulse?.backward || columnX(rect, n, i) < s.pulse.x(rect)) columns[i] = then[i];
      });
    }
    ribbon(s, rect, columns);
    columns.forEach((c, i) => {
      const lit = s.hover?.layer === i && (s.hover.lane === number || store.lanes.length === 1 || s.hover.lane === undefined);
      column(s, rect, c, i, n, (finite ?? row).unable[i] / 255, lit);
    });
    if (s.pulse) bead(s, rect, s.pulse.x(rect), s.pulse.backward);
  });
  ends(s);
}

/** A network of which nothing may be seen yet. */
function empty(/** @type {Scene} */ s, /** @type {Rect} */ rect, /** @type {number} */ n, /** @type {number} */ number) {
  const { g, pal } = s;
  const wide = rect.w / n;
  const gap = clamp(wide * 0.12, 0.5, 3);
  g.fillStyle = pal.soft;
  g.strokeStyle = pal.edge;
  g.lineWidth = 1;
  for (let i = 0; i < n; i += 1) {
    rounded(g, rect.x + i * wide + gap, rect.y + rect.h / 4, wide - 2 * gap, rect.h / 2, 3);
    g.fill();
    g.stroke();
    if (wide > 14 && s.store.said.hidden) {
      s.labels.put(`hidden${number}.${i}`, "?", columnX(rect, n, i), rect.y + rect.h / 2, { side: "center", kind: "dim" });
    }
  }
}
