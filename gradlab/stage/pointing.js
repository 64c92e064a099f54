// What a person does over the picture and on the time slider: by mouse, by touch and by keys.

import { time } from "./charts.js";
import { inside, layerAt } from "./layout.js";
import { clamp, stepLimit, timeScale } from "./scales.js";
import { cursorWords, hear } from "./words.js";

/** @typedef {import("./stage.js").Stage & Record<string, any>} Stage */
/** @typedef {import("./stage.js").Place} Place */

export function listen(/** @type {Stage} */ stage) {
  const { picture, time: bar } = stage.parts;
  picture.addEventListener("pointermove", (/** @type {PointerEvent} */ e) => point(stage, e));
  picture.addEventListener("pointerdown", (/** @type {PointerEvent} */ e) => press(stage, e));
  picture.addEventListener("pointerleave", () => leave(stage));
  picture.addEventListener("keydown", (/** @type {KeyboardEvent} */ e) => pictureKey(stage, e));
  bar.track.addEventListener("pointerdown", (/** @type {PointerEvent} */ e) => {
    bar.track.setPointerCapture(e.pointerId);
    bar.track.focus();
    drag(stage, e);
  });
  bar.track.addEventListener("pointermove", (/** @type {PointerEvent} */ e) => e.buttons && drag(stage, e));
  bar.track.addEventListener("keydown", (/** @type {KeyboardEvent} */ e) => timeKey(stage, e));
}

/** @param {PointerEvent} event */
function drag(/** @type {Stage} */ stage, event) {
  const box = stage.parts.time.track.getBoundingClientRect();
  stage.lookAt(timeScale(Math.max(1, stage.store.last), stage.logTime, box.left, box.right).step(event.clientX));
}

/** @param {KeyboardEvent} event */
function timeKey(/** @type {Stage} */ stage, event) {
  const { step, store } = stage;
  const far = Math.max(1, Math.round(store.last / 20));
  const to = { ArrowLeft: step - 1, ArrowDown: step - 1, ArrowRight: step + 1, ArrowUp: step + 1, PageDown: step - far, PageUp: step + far, Home: 0, End: store.last }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  event.stopPropagation();
  stage.lookAt(to);
}

/** What lies under a place of the picture. @param {number} x @param {number} y @returns {Place | null} */
function placeAt(/** @type {Stage} */ stage, x, y) {
  const { lay, store } = stage;
  if (!store.lanes.length || !lay || store.said.hidden) return null;
  for (let i = 0; i < lay.strips.length; i += 1) if (inside(lay.strips[i], x, y, 3)) return { layer: layerAt(lay.strips[i], stage.layers, x), lane: i };
  if (inside(lay.profile, x, y, 14)) return { layer: layerAt(lay.profile, stage.layers, x) };
  const scene = /** @type {any} */ ({ limit: stepLimit(store.last + 1), logTime: stage.logTime });
  for (let i = 0; i < lay.heat.length; i += 1) {
    const rect = lay.heat[i];
    if (!inside(rect, x, y)) continue;
    const layer = clamp(Math.floor(((rect.y + rect.h - y) / rect.h) * stage.layers), 0, stage.layers - 1);
    return { layer, step: Math.min(Math.floor(time(scene, rect).step(x)), store.last), lane: i };
  }
  if (inside(lay.loss, x, y, 4)) return { step: Math.min(Math.round(time(scene, lay.loss).step(x)), store.last) };
  return null;
}

/** @param {PointerEvent} event */
function point(/** @type {Stage} */ stage, event) {
  const box = stage.parts.canvas.getBoundingClientRect();
  const [x, y] = [event.clientX - box.left, event.clientY - box.top];
  if (stage.store.said.hidden && event.buttons) return guessAt(stage, x, y);
  if (stage.pinned) return undefined;
  stage.hover = placeAt(stage, x, y);
  return stage.tell();
}

/** @param {PointerEvent} event */
function press(/** @type {Stage} */ stage, event) {
  const box = stage.parts.canvas.getBoundingClientRect();
  const [x, y] = [event.clientX - box.left, event.clientY - box.top];
  if (/** @type {HTMLElement} */ (event.target).closest("button, select")) return undefined;
  if (stage.store.said.hidden) return guessAt(stage, x, y);
  const place = placeAt(stage, x, y);
  stage.pinned = stage.pinned ? null : place;
  stage.hover = place;
  if (place?.step !== undefined) stage.lookAt(place.step);
  return stage.tell();
}

function leave(/** @type {Stage} */ stage) {
  stage.hover = stage.pinned;
  stage.tell();
}

/** Draw a prediction: a line from the last hidden layer's dot through stage place. @param {number} x @param {number} y */
function guessAt(/** @type {Stage} */ stage, x, y) {
  const { lay, store } = stage;
  const given = store.main?.given;
  if (!lay || given === null || given === undefined || !inside(lay.profile, x, y, 6)) return;
  const last = stage.layers - 2;
  const layer = ((x - lay.profile.x) / lay.profile.w) * stage.layers - 0.5;
  if (last - layer < 0.5) return;
  const [low, high] = stage.limits;
  const decades = high - ((y - lay.profile.y) / lay.profile.h) * (high - low) - given;
  const growth = 10 ** (decades / (last - Math.max(layer, 0)));
  clearTimeout(stage.guessing);
  stage.guessing = setTimeout(() => stage.command("guess", growth), 40);
}

/** The same cross-hair by keys. @param {KeyboardEvent} event */
function pictureKey(/** @type {Stage} */ stage, event) {
  if (event.altKey || event.ctrlKey || event.metaKey || event.target !== stage.parts.picture) return;
  const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
  if (way && stage.store.said.hidden) {
    const guess = stage.store.fixed["guess.y"];
    const now = guess ? 10 ** (guess[0] - guess[1]) : 1;
    if (way[1]) stage.command("guess", now * 1.1 ** way[1]);
  } else if (way) {
    const at = stage.pinned ?? stage.hover ?? {};
    stage.hover = { ...at, layer: clamp((at.layer ?? (way[0] > 0 ? -1 : stage.layers)) + way[0], 0, stage.layers - 1) };
    if (stage.pinned) stage.pinned = stage.hover;
    if (way[1]) stage.lookAt(stage.step + way[1]);
    hear(stage, cursorWords(stage).join(", "));
  } else if (event.key === "Enter" || event.key === " ") stage.pinned = stage.pinned ? null : stage.hover;
  else if (event.key === "Escape") stage.pinned = stage.hover = null;
  else return;
  event.preventDefault();
  event.stopPropagation();
  stage.tell();
}
