"use strict";

/* A canvas ready to draw on in CSS pixels, in the colours of the page. */
function penFor(canvas) {
  const box = canvas.getBoundingClientRect();
  const ratio = window.devicePixelRatio || 1;
  const width = Math.round(box.width), height = Math.round(box.height);
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.font = "12px system-ui, sans-serif";
  return { pen, width, height };
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
}

/* Map [a, b] to [c, d] in a straight line. */
function straight(a, b, c, d) {
  return (v) => (b === a ? (c + d) / 2 : c + ((v - a) / (b - a)) * (d - c));
}

/* Position of a logarithm on the fixed axis of a measure: 0 at the bottom, 1 at the top. */
function position(measure, log) {
  const at = measure.knots, s = measure.squeezed;
  if (log <= at[1]) return straight(at[0], at[1], 0, s)(Math.max(log, at[0]));
  if (log <= at[2]) return straight(at[1], at[2], s, 1 - s)(log);
  return straight(at[2], at[3], 1 - s, 1)(Math.min(log, at[3]));
}

/* What a number of a layer is. */
function kindOf(log) {
  if (Number.isNaN(log)) return "missing";
  if (log === Infinity) return "nonfinite";
  if (log === -Infinity) return "zero";
  return log < run.logTiny - 1e-6 ? "underflow" : "plain";
}

/* Round steps for about `count` ticks of whole numbers from a to b. */
function wholeTicks(a, b, count) {
  const raw = Math.max(1, (b - a) / count);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = Math.max(1, [1, 2, 5, 10].map((f) => f * power).find((s) => s >= raw));
  const ticks = [];
  for (let t = Math.ceil(a / step) * step; t <= b; t += step) ticks.push(t);
  return ticks;
}

/* Draw a frame, ticks and labels, and grid lines unless there is a picture inside; ticks are [pixel, text]. */
function drawAxes(pen, box, xTicks, yTicks, xLabel, grid = true) {
  pen.strokeStyle = colour("faint");
  pen.fillStyle = colour("soft");
  pen.lineWidth = 1;
  pen.textBaseline = "middle";
  pen.textAlign = "right";
  for (const [y, text] of yTicks) {
    stroke(pen, [[box.left - 3, y], [grid ? box.right : box.left, y]]);
    pen.fillText(text, box.left - 6, y);
  }
  pen.textAlign = "center";
  pen.textBaseline = "top";
  for (const [x, text] of xTicks) {
    stroke(pen, [[x, box.bottom], [x, box.bottom + 3]]);
    pen.fillText(text, x, box.bottom + 5);
  }
  if (xLabel) pen.fillText(xLabel, (box.left + box.right) / 2, box.bottom + 20);
  pen.strokeRect(box.left, box.top, box.right - box.left, box.bottom - box.top);
}

/* A line through points; a point without a number interrupts it. */
function stroke(pen, points) {
  pen.beginPath();
  let open = false;
  for (const [x, y] of points) {
    if (!Number.isFinite(y)) { open = false; continue; }
    if (open) pen.lineTo(x, y); else pen.moveTo(x, y);
    open = true;
  }
  pen.stroke();
}

/* The mark of a kind of value at (x, y): each has a shape of its own, for those who see no colours. */
function drawMark(pen, kind, x, y, size) {
  const r = size / 2;
  pen.strokeStyle = pen.fillStyle = colour({ plain: "now", after: "after", first: "first" }[kind] || "alarm");
  pen.lineWidth = 2;
  if (kind === "plain") {
    pen.beginPath(); pen.arc(x, y, r, 0, 7); pen.fill();
  } else if (kind === "after") {
    pen.strokeRect(x - r, y - r, size, size);
  } else if (kind === "zero") {
    stroke(pen, [[x - r, y - r], [x + r, y + r]]);
    stroke(pen, [[x - r, y + r], [x + r, y - r]]);
  } else if (kind === "nonfinite") {
    for (let i = 0; i < 3; i++) {
      const dx = r * Math.cos((i * Math.PI) / 3), dy = r * Math.sin((i * Math.PI) / 3);
      stroke(pen, [[x - dx, y - dy], [x + dx, y + dy]]);
    }
  } else if (kind === "underflow") {
    pen.beginPath(); pen.moveTo(x - r, y - r); pen.lineTo(x + r, y - r); pen.lineTo(x, y + r); pen.fill();
  } else {
    stroke(pen, [[x - r, y], [x + r, y]]);
  }
}
