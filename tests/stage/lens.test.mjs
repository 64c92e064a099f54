import assert from "node:assert/strict";
import test from "node:test";
import { fallsOut, lensOf } from "../../gradlab/stage/lens.js";

const float16 = { float16: [2 ** -25, 2 ** -14, 65504].map(Math.log10) };

test("a loss scale slides a format's range down by its own size", () => {
  const [plain, scaled] = [lensOf(float16, "float16"), lensOf(float16, "float16", 1024)];
  for (const edge of ["zero", "normal", "most"]) assert.ok(Math.abs(plain[edge] - scaled[edge] - Math.log10(1024)) < 1e-12);
  assert.equal(lensOf(float16, ""), null);
});

test("float16 rounds 2^-25 to zero and holds all that lies between it and 65504", () => {
  const lens = lensOf(float16, "float16");
  for (const [value, out] of [[2 ** -25, true], [2 ** -24, false], [1, false], [65504, false], [7e4, true]]) {
    assert.equal(fallsOut(lens, Math.log10(value)), out, String(value));
  }
  for (const odd of [NaN, Infinity, -Infinity]) assert.equal(fallsOut(lens, odd), false);
  assert.equal(fallsOut(null, -40), false);
});
