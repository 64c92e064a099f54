// What the network has learned: the decision boundary under the points, or a row of samples, and four numbers.


import { rampColour } from "./scales.js";

/** @typedef {import("./palette.js").Palette} Palette */

const GRID = 40;

/** The boundary as an image of one pixel a cell. @param {Record<string, any>} learned @param {Palette} pal */
function ground(learned, pal) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = GRID;
  const g = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const image = g.createImageData(GRID, GRID);
  const soil = pal.soil;
  const pale = pal.classes.map((c) => [1, 3, 5].map((i) => Math.round(0.45 * parseInt(c.slice(i, i + 2), 16) + 0.55 * (pal.bg === "#111418" ? 20 : 255))));
  for (let i = 0; i < GRID * GRID; i += 1) {
    const v = learned.grid[i];
    const rgb = learned.classes > 2 ? pale[v % pale.length] : rampColour(soil, v / 127.5 - 1);
    const at = ((GRID - 1 - Math.floor(i / GRID)) * GRID + (i % GRID)) * 4;
    image.data.set([...rgb, 255], at);
  }
  g.putImageData(image, 0, 0);
  return canvas;
}

/**
 * Draw one lane's boundary and points on a square canvas.
 * @param {HTMLCanvasElement} canvas @param {Record<string, any>} learned @param {Palette} pal @param {number} side
 */
export function drawBoundary(canvas, learned, pal, side) {
  const dpr = Math.min(3, window.devicePixelRatio || 1) * (side < 120 ? 1.5 : 1);
  const size = Math.round(side * dpr);
  if (canvas.width !== size) canvas.width = canvas.height = size;
  const g = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  g.setTransform(dpr, 0, 0, dpr, 0, 0);
  g.fillStyle = pal.soft;
  g.fillRect(0, 0, side, side);
  if (learned.grid) {
    g.imageSmoothingEnabled = learned.classes === 2;
    g.drawImage(ground(learned, pal), 0, 0, side, side);
  }
  if (!learned.extent) return;
  const [x0, x1, y0, y1] = learned.extent;
  if (learned.classes === 0) {
    g.setLineDash([4, 4]);
    g.strokeStyle = pal.dim;
    g.beginPath();
    g.moveTo(0, side);
    g.lineTo(side, 0); // an answer that is the target
    g.stroke();
    g.setLineDash([]);
  }
  const draw = (/** @type {Float32Array | undefined} */ points, /** @type {boolean} */ ring) => {
    if (!points) return;
    const radius = Math.max(2, side / 62);
    for (let i = 0; i < points.length; i += 3) {
      const colour = pal.classes[points[i + 2] % pal.classes.length];
      g.beginPath();
      g.arc(((points[i] - x0) / (x1 - x0)) * side, side - ((points[i + 1] - y0) / (y1 - y0)) * side, ring ? radius * 0.95 : radius, 0, 7);
      g.lineWidth = ring ? 1.4 : 1;
      g.fillStyle = ring ? pal.bg : colour;
      g.strokeStyle = ring ? colour : pal.bg;
      if (ring) {
        g.globalAlpha = 0.75;
        g.fill();
        g.globalAlpha = 1;
      } else g.fill();
      g.stroke();
    }
  };
  draw(learned.held, true);
  draw(learned.points, false);
}

/** Draw one sample: an image, or a sequence as bars. @param {HTMLCanvasElement} canvas @param {any} sample @param {Palette} pal */
export function drawSample(canvas, sample, pal) {
  const [h, w] = sample.shape.length > 1 ? sample.shape : [1, sample.shape[0]];
  const g = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  if (h > 1) {
    canvas.width = w;
    canvas.height = h;
    const image = g.createImageData(w, h);
    sample.image.forEach((/** @type {number} */ v, /** @type {number} */ i) => {
      image.data.set([...rampColour([pal.bg, pal.ink].map((c) => [1, 3, 5].map((k) => parseInt(c.slice(k, k + 2), 16))), v / 127.5 - 1), 255], i * 4);
    });
    g.putImageData(image, 0, 0);
    return;
  }
  canvas.width = 320;
  canvas.height = 100;
  const wide = 320 / w;
  sample.image.forEach((/** @type {number} */ v, /** @type {number} */ i) => {
    const up = (v / 127.5 - 1) * 46;
    g.fillStyle = pal.classes[up < 0 ? 0 : 1];
    g.fillRect(i * wide + 0.14 * wide, 50 - Math.max(up, 0), 0.72 * wide, Math.max(Math.abs(up), 2));
  });
}

