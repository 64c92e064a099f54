"use strict";

const run = JSON.parse(byId("run").textContent);
const words = run.words;
for (const name of ["steps", "loss", "epoch", "samples"]) run[name] = unpack(run[name], Float64Array);
for (const name of ["steps", "loss"]) run.curve[name] = unpack(run.curve[name], Float64Array);
for (const measure of run.measures) {
  measure.values = unpack(measure.values, Float32Array);
  measure.after = measure.after && unpack(measure.after, Float32Array);
}
const last = run.steps.length - 1;
const state = { frame: 0, measure: run.measures[0], timer: 0, talk: 0 };

function byId(id) {
  return document.getElementById(id);
}

function unpack(text, Kind) {
  return new Kind(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
}

function fill(key, values) {
  return words[key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

function number(v) {
  if (!Number.isFinite(v)) return String(v);
  return v === 0 ? "0" : Math.abs(v) < 1e-3 || Math.abs(v) >= 1e5 ? v.toExponential(2) : String(+v.toPrecision(4));
}

/* ------------------------------------------------------------------ words for those who do not see the pictures */
function sentence() {
  const f = state.frame;
  const said = fill("said", {
    step: run.steps[f], loss: number(run.loss[f]), epoch: run.epoch[f] + 1, samples: run.samples[f],
  });
  const before = f ? run.steps[f - 1] : -1;
  const marks = run.marks.filter((m) => m.step > before && (m.step <= run.steps[f] || f === last));
  // what is no move of a knob is a sentence already
  return [said, ...marks.map((m) => (m.kind === "knob" ? `${words["mark.knob"]}: ${m.text}.` : m.text))].join(" ");
}

function profileWords() {
  const values = [...row(state.measure.values, state.frame)];
  const finite = values.map((log, i) => [log, i + 1]).filter(([log]) => Number.isFinite(log));
  const odd = KINDS.map((kind) => [kind, values.filter((v) => kindOf(v) === kind).length]).filter(([, n]) => n);
  const about = odd.map(([kind, count]) => fill("alt.odd", { count, kind: words["kind." + kind] }));
  if (!finite.length) return [`${state.measure.label}: ${words["alt.nothing"]}.`, ...about].join(" ");
  const sorted = [...finite].sort((a, b) => a[0] - b[0]);
  const [small, large] = [sorted[0], sorted[sorted.length - 1]];
  const [first, end] = [finite[0], finite[finite.length - 1]];
  const said = fill("alt.profile", {
    measure: state.measure.label, largest: large[1], largest_value: number(10 ** large[0]),
    smallest: small[1], smallest_value: number(10 ** small[0]), first: first[1], last: end[1],
    decades: Math.abs(first[0] - end[0]).toFixed(1), direction: words[first[0] >= end[0] ? "alt.above" : "alt.below"],
  });
  return [said, ...about].join(" ");
}

/* ------------------------------------------------------------------ showing */
function draw() {
  drawLoss(state.frame);
  drawProfile(state.frame, state.measure);
  drawHeatmap(state.frame, state.measure);
}

function show(frame) {
  state.frame = Math.min(Math.max(frame, 0), last);
  const step = fill("step_of", { step: run.steps[state.frame] });
  byId("scrub").value = state.frame;
  byId("scrub").setAttribute("aria-valuetext", step);
  byId("now").textContent = step;
  byId("loss").setAttribute("aria-label", fill("alt.loss", { said: sentence() }));
  byId("profile").setAttribute("aria-label", profileWords());
  draw();
  clearTimeout(state.talk);  // the live region speaks when the picture rests, not fifteen times a second
  if (!state.timer) state.talk = setTimeout(() => { byId("said").textContent = sentence(); }, 250);
}

function choose(number) {
  state.measure = run.measures[number];
  const measure = state.measure.label;
  byId("profile-title").textContent = fill("profile", { measure });
  byId("heatmap-title").textContent = fill("heatmap", { measure });
  byId("heatmap").setAttribute(
    "aria-label", fill("alt.heatmap", { measure, layers: run.layers.length, frames: run.steps.length }));
  const kinds = KINDS.filter((kind) => [...state.measure.values].some((v) => kindOf(v) === kind));
  const after = state.measure.after ? ["after"] : [];
  legend("profile-legend", ["plain", "first", ...after, ...kinds].map((kind) => [kind, words["kind." + kind]]));
  legend("heatmap-legend", kinds.map((kind) => [kind, words["kind." + kind]]), true);
  show(state.frame);
}

/* A list of marks and their names; `block` shows the colour of the heat map instead of the mark. */
function legend(id, entries, block) {
  byId(id).replaceChildren(...entries.map(([kind, name]) => {
    const item = document.createElement("li"), sample = document.createElement("canvas");
    sample.setAttribute("aria-hidden", "true");
    item.append(sample, name);
    requestAnimationFrame(() => drawSample(sample, kind, block));
    return item;
  }));
}

function drawSample(canvas, kind, block) {
  const { pen, width, height } = penFor(canvas);
  if (block) {
    pen.fillStyle = colour(kind);
    pen.fillRect(6, 1, 14, height - 2);
    pen.strokeStyle = colour("soft");
    pen.strokeRect(6, 1, 14, height - 2);
    return;
  }
  const lines = { plain: "now", first: "first", after: "after", knob: "first", skipped: "alarm", diverged: "alarm" };
  if (kind in lines) {
    pen.strokeStyle = colour(lines[kind]);
    pen.lineWidth = 2;
    pen.setLineDash(kind === "first" ? [6, 4] : kind === "knob" ? [2, 3] : []);
    const upright = !["plain", "first", "after"].includes(kind);
    stroke(pen, upright ? [[13, 0], [13, height]] : [[0, height / 2], [width, height / 2]]);
    pen.setLineDash([]);
    if (upright || kind === "first") return;
  }
  drawMark(pen, kind, width / 2, height / 2, 8);
}

/* ------------------------------------------------------------------ playing */
function pause() {
  clearInterval(state.timer);
  state.timer = 0;
  byId("play").textContent = words["button.play"];
  show(state.frame);
}

function play() {
  if (state.frame === last) show(0);
  clearInterval(state.timer);
  state.timer = setInterval(() => {
    if (state.frame < last) show(state.frame + 1);
    if (state.frame === last) pause();
  }, 1000 / Number(byId("speed").value));
  byId("play").textContent = words["button.pause"];
}

function move(frame) {
  if (state.timer) pause();
  show(frame);
}

const KEYS = {
  " ": () => (state.timer ? pause() : play()),
  ArrowLeft: () => move(state.frame - 1),
  ArrowRight: () => move(state.frame + 1),
  Home: () => move(0),
  End: () => move(last),
};

byId("play").addEventListener("click", KEYS[" "]);
byId("back").addEventListener("click", KEYS.ArrowLeft);
byId("forward").addEventListener("click", KEYS.ArrowRight);
byId("scrub").max = last;
byId("scrub").addEventListener("input", () => move(Number(byId("scrub").value)));
byId("speed").addEventListener("change", () => { if (state.timer) play(); });
byId("measure").append(...run.measures.map((m, i) => new Option(m.label, i)));
byId("measure").addEventListener("change", () => choose(Number(byId("measure").value)));
document.addEventListener("keydown", (event) => {
  const free = event.target === document.body || (event.target === byId("scrub") && event.key === " ");
  if (!free || event.ctrlKey || event.metaKey || event.altKey || !(event.key in KEYS)) return;
  event.preventDefault();  // the space bar would scroll
  KEYS[event.key]();
});
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  painted = { measure: null, picture: null };
  choose(run.measures.indexOf(state.measure));
  legendOfLoss();
});
new ResizeObserver(draw).observe(document.querySelector(".pictures"));

function legendOfLoss() {
  const kinds = [...new Set(run.marks.map((m) => m.kind))].filter((kind) => "mark." + kind in words);
  const bad = [...run.loss].some((v) => !Number.isFinite(v)) ? [["nonfinite", words["kind.nonfinite"]]] : [];
  legend("loss-legend", [...kinds.map((kind) => [kind, words["mark." + kind]]), ...bad]);
}

const counts = { frames: last + 1, steps: run.recorded };
byId("shown").textContent = fill(counts.frames < counts.steps ? "shown" : "shown_all", counts);
legendOfLoss();
choose(0);
