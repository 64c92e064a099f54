import assert from "node:assert/strict";
import test from "node:test";
import { layerAt, layout } from "../../gradlab/stage/layout.js";
import { unpack } from "../../gradlab/stage/packet.js";
import { Store } from "../../gradlab/stage/store.js";

/** A packet of one lane with two layers, as stage/packet.py writes it. */
function packet({ number, run = 1, full = false, steps, limits }) {
  const n = steps.length;
  const floats = [];
  const parts = [];
  const add = (name, values) => {
    parts.push([0, name, 0, values.length]);
    floats.push(...values);
  };
  for (const name of ["start", "low", "median", "high"]) add(name, steps);
  add("step", steps);
  add("loss", steps.map(() => 0.5));
  add("growth", steps.map(() => 1));
  add("spans", steps.map(() => 1));
  add("now", steps.flatMap((s) => [s, -s]));
  parts.push([0, "cells", 1, 2 * n], [0, "odd", 2, n], [0, "unable", 2, 2 * n]);
  const bytes = new Uint8Array(floats.length * 4 + 4 * n + 3 * n);
  bytes.set(new Uint8Array(Float32Array.from(floats).buffer));
  const head = { run, number, parts, lanes: [{ steps: steps.at(-1) + 1 }] };
  if (limits) head.limits = limits;
  if (full) Object.assign(head, { full, layers: [["layer 1", "layer 2"]], labels: [["", ""]], tiny: [-38], titles: [""], measure: "delta_norm", units: false, ghost: "" });
  return [head, bytes.buffer];
}

test("arrays are cut out of the buffer wherever it begins", () => {
  const table = { parts: [[0, "a", 0, 2], [-1, "b", 1, 1], [0, "c", 2, 1]] };
  const body = new Uint8Array([...new Uint8Array(Float32Array.of(1.5, -2).buffer), ...new Uint8Array(Int16Array.of(-7).buffer), 9]);
  for (const shift of [0, 1, 4]) {
    const whole = new Uint8Array(shift + body.length);
    whole.set(body, shift);
    const found = unpack(table, new DataView(whole.buffer, shift, body.length));
    assert.deepEqual([...found.get(0).a, ...found.get(-1).b, ...found.get(0).c], [1.5, -2, -7, 9]);
  }
});

test("a packet that follows adds to the run, one that was missed is not taken in", () => {
  const store = new Store();
  assert.deepEqual(store.take(...packet({ number: 1, full: true, steps: [0], limits: [-2, 2, -2, 2, 3] })), { missed: false, fresh: true, widened: [] });
  assert.deepEqual(store.take(...packet({ number: 2, steps: [1, 2], limits: [-2, 5, -2, 2, 3] })), { missed: false, fresh: false, widened: ["profile"] });
  assert.equal(store.take(...packet({ number: 4, steps: [3] })).missed, true);
  assert.equal(store.last, 2);
  assert.deepEqual(store.main.start, [0, 1, 2]);
  assert.equal(store.take(...packet({ number: 9, full: true, steps: [0, 1, 2, 3, 4] })).missed, false);
  assert.equal(store.last, 4);
});

test("the newest stretch is replaced, the others stay", () => {
  const store = new Store();
  store.take(...packet({ number: 1, full: true, steps: [0, 1, 2] }));
  store.take(...packet({ number: 2, steps: [2, 3] }));
  assert.deepEqual(store.main.start, [0, 1, 2, 3]);
  assert.equal(store.main.cells.length, 4);
});

test("another run drops what was held", () => {
  const store = new Store();
  store.take(...packet({ number: 1, full: true, steps: [0, 1, 2] }));
  const { fresh } = store.take(...packet({ number: 2, run: 2, full: true, steps: [0] }));
  assert.equal(fresh, true);
  assert.deepEqual([...store.main.rows.keys()], [0]);
});

test("a step that is not held shows the newest row before it, and the last finite one is found", () => {
  const store = new Store();
  store.take(...packet({ number: 1, full: true, steps: [0, 5, 9] }));
  assert.equal(store.main.row(7).step, 5);
  store.main.rows.get(9).now[0] = Infinity;
  assert.equal(store.main.finite(9).step, 5);
});

test("nothing on the stage overlaps, in the notebook's sizes and in a lecture, for one lane and two", () => {
  for (const [w, h, k] of [[672, 445, 1], [760, 500, 1.1], [500, 430, 1.3], [1000, 640, 1.2]]) {
    for (const lanes of [1, 2]) {
      const lay = layout(w, h, lanes, k);
      const rows = [...lay.strips, lay.profile, lay.loss];
      assert.ok(lay.profile.h >= 60, `a profile of ${lay.profile.h} at ${w} x ${h}, ${lanes}`);
      for (let i = 1; i < rows.length; i += 1) assert.ok(rows[i].y >= rows[i - 1].y + rows[i - 1].h, `row ${i} at ${w} x ${h}`);
      assert.ok(lay.none + 25 * k < lay.heads.foot, "the layer axis stays clear of the charts below");
      assert.ok(lay.heat[0].x > lay.loss.x + lay.loss.w && lay.bar.x + lay.bar.w < w);
      assert.ok(lay.loss.y + lay.loss.h < h);
    }
  }
});

test("every place in a row of columns belongs to one layer", () => {
  const rect = { x: 10, y: 0, w: 100, h: 10 };
  assert.deepEqual([9, 10, 34.9, 35.1, 109, 120].map((x) => layerAt(rect, 4, x)), [0, 0, 0, 1, 3, 3]);
});
