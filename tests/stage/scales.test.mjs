import assert from "node:assert/strict";
import test from "node:test";
import * as scales from "../../gradlab/stage/scales.js";

test("an axis names whole decades at regular distances, few enough to be read", () => {
  assert.deepEqual(scales.decadeTicks(-2, 2, 8), [-2, -1, 0, 1, 2]);
  assert.deepEqual(scales.decadeTicks(-1, 32, 4), [0, 10, 20, 30]);
  for (let high = 0; high < 400; high += 7) assert.ok(scales.decadeTicks(-high, high, 6).length <= 7);
});

test("level from layer to layer is within a decade in all and a factor 1.5 a layer", () => {
  const about = [[0.9, 20], [-0.9, 20], [0, 2], [0.3, 2], [0.4, 2], [0.96, 2], [1, 20], [-Infinity, 20], [NaN, 20]];
  const found = about.map(([growth, spans]) => scales.even({ growth, spans }));
  assert.deepEqual(found, [true, true, true, true, false, false, false, false, false]);
});

test("the time axis grows in round steps", () => {
  const limits = [0, 10, 11, 20, 21, 50, 51, 100, 101, 200, 500, 501].map(scales.stepLimit);
  assert.deepEqual(limits, [10, 10, 20, 20, 50, 50, 100, 100, 200, 200, 500, 1000]);
});

test("a place on the time axis is the step it was made from, on both axes", () => {
  for (const logarithmic of [false, true]) {
    const x = scales.timeScale(500, logarithmic, 40, 340);
    assert.equal(x.at(0), 40);
    assert.ok(Math.abs(x.at(500) - 340) < 1e-9);
    for (const step of [0, 1, 7, 63, 499]) assert.ok(Math.abs(x.step(x.at(step)) - step) < 1e-6);
  }
});

test("stretches hold one step each up to 128, then 64 to a doubling", () => {
  const found = [0, 1, 127, 128, 129, 130, 255, 256, 259, 260, 511, 512, 519, 520].map(scales.stretchOf);
  assert.deepEqual(found, [0, 1, 127, 128, 128, 130, 254, 256, 256, 260, 508, 512, 512, 520]);
});

test("the first and the last layer are always named, and no two stand close", () => {
  assert.deepEqual(scales.layerTicks(3, 10), [1, 2, 3]);
  const ticks = scales.layerTicks(61, 12);
  assert.equal(ticks[0], 1);
  assert.equal(ticks.at(-1), 61);
  for (let i = 1; i < ticks.length; i += 1) assert.ok(ticks[i] - ticks[i - 1] >= 2);
});

test("layers are named as finely as there is room, and no two names overlap", () => {
  const blocks = Array.from({ length: 50 }, (_, i) => [`h.${i}`, 4 * i, 4 * i + 4]);
  const layers = blocks.flatMap(([name, from]) => [0, 1, 2, 3].map((i) => [`${name}.${i}`, from + i, from + i + 1]));
  assert.equal(scales.groupsToName([layers, blocks], 8).length, 200);
  assert.deepEqual(scales.groupsToName([layers, blocks], 2).map(([name]) => name), blocks.map(([name]) => name));
  const few = scales.groupsToName([layers, blocks], 0.5);
  assert.ok(few.length > 5 && few.length < 30);
  for (let i = 1; i < few.length; i += 1) assert.ok((few[i][1] - few[i - 1][1]) * 0.5 >= few[i][0].length);
  assert.deepEqual(scales.groupsToName([], 9), []);
});

test("numbers are written as a person would", () => {
  assert.deepEqual([0, 1.4567, 123456, 2.27e32, 5.8e-8, Infinity, NaN].map(scales.formatNumber), ["0", "1.46", "1.2e5", "2.3e32", "5.8e-8", "inf", "NaN"]);
  const words = { none: "none" };
  assert.deepEqual([-Infinity, Infinity, NaN, 0, 2, 310.5].map((v) => scales.formatLog(v, words)), ["0", "inf", "none", "1", "100", "3.2e310"]);
});

test("ratios are taken to the last layer that has a value; what is no number stays what it is", () => {
  assert.deepEqual([...scales.ratios([3, -Infinity, 1, NaN])], [2, -Infinity, 0, NaN]);
  assert.deepEqual([...scales.ratios([-Infinity, -Infinity])], [-Infinity, -Infinity]);
});

test("colours run from one end of the ramp over its middle to the other, and no further", () => {
  const ramp = [[0, 0, 255], [255, 255, 255], [255, 0, 0]];
  assert.deepEqual([-9, -1, -0.5, 0, 1, 9].map((t) => scales.rampColour(ramp, t)), [[0, 0, 255], [0, 0, 255], [128, 128, 255], [255, 255, 255], [255, 0, 0], [255, 0, 0]]);
});

test("an axis that widens starts where it was and ends where it will be", () => {
  assert.deepEqual(scales.between([-1, 5], [-1, 32], 0), [-1, 5]);
  assert.deepEqual(scales.between([-1, 5], [-1, 32], 1), [-1, 32]);
  const half = scales.between([0], [10], 0.5)[0];
  assert.ok(half > 5 && half < 10); // it hurries first
});

test("a held axis keeps its decades while all else widens, and is as the run wants it once released", () => {
  const wide = [-9, 40, -2, 8, 12];
  assert.deepEqual(scales.withHeld(wide, [-2, 2]), [-2, 2, -2, 8, 12]);
  assert.deepEqual(scales.withHeld(wide, null), wide);
});

test("only a number beyond a held axis stands at its edge", () => {
  assert.deepEqual([-2.1, -2, 0, 2, 2.1, Infinity, -Infinity, NaN].map((log) => scales.edgeOf(log, -2, 2)), [-1, 0, 0, 0, 1, 0, 0, 0]);
});
