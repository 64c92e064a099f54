// Reads packets from stdin and tells what the browser then knows, for a test in Python to compare.

import { readFileSync } from "node:fs";
import { Store } from "../../gradlab/stage/store.js";

const { packets, step } = JSON.parse(readFileSync(0, "utf-8"));
const store = new Store();
const told = (/** @type {any} */ values) => (values ? Array.from(values, (v) => (Number.isFinite(v) ? v : String(v))) : null);
const widened = [];
for (const [head, buffer] of packets) {
  const bytes = Uint8Array.from(Buffer.from(buffer, "base64"));
  const found = store.take(head, bytes.buffer);
  if (found.missed) throw new Error("a packet was missed");
  widened.push(found.widened);
}
const lanes = store.lanes.map((lane) => {
  const row = lane.row(step ?? lane.steps - 1);
  const { steps, start, low, median, high, odd, marks, verdict, learned } = lane;
  return {
    steps, start, low: told(low), median: told(median), high: told(high), odd, marks, verdict,
    cells: lane.cells.map((c) => [...c]), clipped: [...lane.clipped], given: lane.given, names: lane.names,
    row: row === undefined ? null : { ...row, now: told(row.now), second: told(row.second), after: told(row.after), unable: [...row.unable], growth: String(row.growth) },
    first: told(lane.rows.get(0)?.now), finite: told(row && lane.finite(row.step)?.now), grid: told(learned.grid), learned: learned.rows,
  };
});
const fixed = Object.fromEntries(Object.entries(store.fixed).map(([name, values]) => [name, told(values)]));
console.log(JSON.stringify({ lanes, limits: store.limits, said: store.said, fixed, widened, titles: store.titles }));
