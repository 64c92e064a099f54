"use strict";

const STOPS = ["440154", "482878", "3e4989", "31688e", "26828e", "1f9e89", "35b779", "6ece58", "b5de2b", "fde725"]
  .map((hex) => [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16)));
const ROWS = { nonfinite: 1.05, zero: -0.05, missing: -0.11 };  // outside the decades, named on the axis
const KINDS = ["underflow", "zero", "nonfinite", "missing"];

/* The colour of a position between 0 and 1 on the map viridis (van der Walt & Smith 2015). */
function heat(position) {
  const at = Math.min(Math.max(position, 0), 1) * (STOPS.length - 1);
  const i = Math.min(Math.floor(at), STOPS.length - 2);
  return STOPS[i].map((from, k) => Math.round(from + (at - i) * (STOPS[i + 1][k] - from)));
}

/* The axis of steps, with room for the last one. */
function stepAxis(left, right) {
  return straight(0, run.steps[run.steps.length - 1] + 1, left, right);
}

function stepTicks(x) {
  return wholeTicks(0, run.steps[run.steps.length - 1], 6).map((t) => [x(t), String(t)]);
}

function cursor(pen, x, box) {
  pen.setLineDash([3, 3]);
  pen.strokeStyle = colour("ink");
  pen.lineWidth = 1.5;
  stroke(pen, [[x, box.top], [x, box.bottom]]);
  pen.setLineDash([]);
}

/* ------------------------------------------------------------------ the loss */
function lossRange() {
  const logs = [...run.curve.loss].filter((v) => v > 0 && Number.isFinite(v)).map(Math.log10);
  return [Math.floor(Math.min(-2, ...logs)), Math.ceil(Math.max(1, ...logs))];
}

function drawLoss(frame) {
  const { pen, width, height } = penFor(byId("loss"));
  const box = { left: 52, right: width - 12, top: 8, bottom: height - 22 };
  const [low, high] = lossRange();
  const x = stepAxis(box.left, box.right), y = straight(low, high, box.bottom, box.top);
  drawAxes(pen, box, stepTicks(x), wholeTicks(low, high, 5).map((t) => [y(t), "1e" + t]));
  for (const mark of run.marks) {
    pen.strokeStyle = colour(mark.kind === "knob" ? "first" : "alarm");
    pen.setLineDash(mark.kind === "knob" ? [2, 3] : []);
    stroke(pen, [[x(mark.step), box.top], [x(mark.step), box.bottom]]);
  }
  pen.setLineDash([]);
  pen.strokeStyle = colour("now");
  pen.lineWidth = 1.6;
  const losses = [...run.curve.loss];
  stroke(pen, losses.map((v, i) => [x(run.curve.steps[i]), v > 0 ? y(Math.log10(v)) : NaN]));
  const few = losses.length < 40;
  losses.forEach((v, i) => {
    if (few && v > 0 && Number.isFinite(v)) drawMark(pen, "plain", x(run.curve.steps[i]), y(Math.log10(v)), 4);
    if (!Number.isFinite(v)) drawMark(pen, "nonfinite", x(run.curve.steps[i]), box.top + 12, 10);
    else if (v <= 0) drawMark(pen, "zero", x(run.curve.steps[i]), box.bottom - 8, 8);
  });
  cursor(pen, x(run.steps[frame]), box);
  if (run.loss[frame] > 0 && Number.isFinite(run.loss[frame])) {
    drawMark(pen, "plain", x(run.steps[frame]), y(Math.log10(run.loss[frame])), 8);
  }
}

/* ------------------------------------------------------------------ every layer at one step */
function row(values, frame) {
  return values.subarray(frame * run.layers.length, (frame + 1) * run.layers.length);
}

function drawProfile(frame, measure) {
  const { pen, width, height } = penFor(byId("profile"));
  const box = { left: 52, right: width - 12, top: 8, bottom: height - 40 };
  const layers = run.layers.length;
  const x = straight(0.4, layers + 0.6, box.left, box.right), y = straight(-0.15, 1.1, box.bottom, box.top);
  pen.fillStyle = colour("shade");
  for (const low of [0, 1 - measure.squeezed]) {
    pen.fillRect(box.left, y(low + measure.squeezed), box.right - box.left, y(low) - y(low + measure.squeezed));
  }
  const odd = Object.entries(ROWS).map(([kind, at]) => [y(at), run.words["row." + kind]]);
  const numbers = [...new Set([1, ...wholeTicks(1, layers, 9)])].map((n) => [x(n), String(n)]);
  drawAxes(pen, box, numbers, [...measure.ticks.map(([at, text]) => [y(at), text]), ...odd], run.words["axis.layer"]);
  const height_of = (log) => (Number.isFinite(log) ? y(position(measure, log)) : NaN);
  const line = (values) => stroke(pen, [...values].map((v, i) => [x(i + 1), height_of(v)]));
  const size = Math.max(3, Math.min(7, (box.right - box.left) / layers));
  pen.lineWidth = 1.6;
  pen.strokeStyle = colour("first");
  pen.setLineDash([6, 4]);
  line(row(measure.values, 0));
  pen.setLineDash([]);
  if (measure.after) {
    pen.strokeStyle = colour("after");
    line(row(measure.after, frame));
    row(measure.after, frame).forEach((v, i) => {
      if (Number.isFinite(v)) drawMark(pen, "after", x(i + 1), height_of(v), size + 3);
    });
  }
  pen.strokeStyle = colour("now");
  pen.lineWidth = 2;
  line(row(measure.values, frame));
  row(measure.values, frame).forEach((v, i) => {
    const kind = kindOf(v);
    const at = kind in ROWS ? y(ROWS[kind]) : height_of(v);
    drawMark(pen, kind, x(i + 1), at, kind === "plain" ? size : Math.max(size, 5) + 3);
  });
}

/* ------------------------------------------------------------------ layers x steps */
let painted = { measure: null, picture: null };

/* The heat map as a small canvas, one pixel a layer and frame; painted once a measure. */
function heatPicture(measure) {
  if (painted.measure === measure) return painted.picture;
  const frames = run.steps.length, layers = run.layers.length;
  const picture = document.createElement("canvas");
  picture.width = frames;
  picture.height = layers;
  const pen = picture.getContext("2d"), image = pen.createImageData(frames, layers);
  const odd = Object.fromEntries(KINDS.map((kind) => [kind, parseColour(colour(kind))]));
  measure.values.forEach((log, i) => {
    const kind = kindOf(log), layer = i % layers, frame = Math.floor(i / layers);
    const rgb = kind === "plain" ? heat(position(measure, log)) : odd[kind];
    image.data.set([...rgb, 255], 4 * ((layers - 1 - layer) * frames + frame));
  });
  pen.putImageData(image, 0, 0);
  painted = { measure, picture };
  return picture;
}

function parseColour(hex) {
  return [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
}

function drawHeatmap(frame, measure) {
  const { pen, width, height } = penFor(byId("heatmap"));
  const box = { left: 52, right: width - 90, top: 8, bottom: height - 40 };
  const layers = run.layers.length, x = stepAxis(box.left, box.right);
  const y = straight(0.5, layers + 0.5, box.bottom, box.top);
  const picture = heatPicture(measure);
  pen.imageSmoothingEnabled = false;
  run.steps.forEach((step, i) => {
    const from = x(step), to = i + 1 < run.steps.length ? x(run.steps[i + 1]) : box.right;
    pen.drawImage(picture, i, 0, 1, layers, from, box.top, Math.max(to - from, 1) + 0.5, box.bottom - box.top);
  });
  const numbers = [...new Set([1, ...wholeTicks(1, layers, 5)])].map((n) => [y(n), String(n)]);
  drawAxes(pen, box, stepTicks(x), numbers, run.words["axis.step"], false);
  cursor(pen, x(run.steps[frame] + 0.5), box);
  drawScale(pen, measure, { left: width - 76, right: width - 62, top: box.top, bottom: box.bottom });
}

function drawScale(pen, measure, box) {
  const y = straight(0, 1, box.bottom, box.top);
  for (let at = box.top; at < box.bottom; at++) {
    pen.fillStyle = `rgb(${heat(straight(box.bottom, box.top, 0, 1)(at))})`;
    pen.fillRect(box.left, at, box.right - box.left, 1.5);
  }
  pen.fillStyle = colour("soft");
  pen.textAlign = "left";
  pen.textBaseline = "middle";
  for (const [at, text] of measure.ticks) pen.fillText(text, box.right + 6, y(at));
}
