import assert from "node:assert/strict";
import test from "node:test";
import { PALETTES } from "../../gradlab/stage/palette.js";
import { drawStrips } from "../../gradlab/stage/strip.js";

/** A canvas that notes each rectangle it fills, with its colour. */
function noting(/** @type {any[]} */ filled) {
  const own = { fillRect: (/** @type {number[]} */ ...at) => filled.push([own.fillStyle, ...at]) };
  const set = (/** @type {any} */ _, /** @type {string} */ name, /** @type {any} */ value) => ((own[name] = value), true);
  return new Proxy(own, { set, get: (_, name) => own[name] ?? (() => ({ addColorStop() {} })) });
}

test("grey rises from the foot of a column to the share of units that are dead or saturated", () => {
  const filled = [];
  const rect = { x: 0, y: 10, w: 300, h: 100 };
  const row = { step: 0, now: Float32Array.of(0, 0, 0), unable: Uint8Array.of(0, 51, 255) };
  const lane = { names: ["1", "2", "3"], finite() {} };
  const store = { lanes: [lane], said: {}, layers: 3 };
  const lay = { strips: [rect], heads: { strip: 0 } };
  const words = new Proxy({}, { get: (_, name) => String(name) });
  drawStrips({ g: noting(filled), pal: PALETTES.light, store, lay, words, labels: { put() {} }, limits: [0, 0, 0, 0, 4], k: 1, title: "", shown: () => row, before() {} });
  const grey = filled.filter(([colour]) => colour === PALETTES.light.shade);
  assert.equal(grey.length, 2);
  const foot = grey.map(([, , y, , h]) => y + h);
  assert.equal(foot[0], foot[1]);
  assert.ok(Math.abs(grey[0][4] / grey[1][4] - 0.2) < 1e-9);
  assert.ok(grey[0][1] < grey[1][1]);
});
