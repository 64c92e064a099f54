// The words and numbers around the picture: told when something changed, never with every frame.

import { columnX } from "./layout.js";
import { rangeWords } from "./lens.js";
import { drawBoundary, drawSample } from "./learned.js";
import { profileScale } from "./profile.js";
import { clamp, formatLog, formatNumber, timeScale } from "./scales.js";
import { make, write, writeNumbers } from "./shell.js";

/** @typedef {import("./stage.js").Scene} Scene */
/** @typedef {import("./stage.js").Stage & Record<string, any>} Stage */

/** The lane that is pointed at: the run's own unless another is, as long as there are two. @returns {number} */
const laneAt = (/** @type {Stage} */ stage, /** @type {any} */ place) => Math.min(place.lane ?? Infinity, stage.store.lanes.length - 1);

/** The cross-hair in words: layer, value, ratio to the next layer, step. */
export function cursorWords(/** @type {Stage} */ stage) {
  const place = stage.pinned ?? stage.hover;
  const { store } = stage;
  if (!place || !store.lanes.length) return [];
  const number = laneAt(stage, place);
  const lane = store.lanes[number];
  const row = place.step === undefined ? stage.shown(number) : lane.row(Math.min(place.step, lane.steps - 1));
  const said = [];
  const words = { none: stage.words["row.missing"] };
  if (place.layer !== undefined && place.layer < lane.names.length) {
    const i = place.layer;
    const name = lane.names[i];
    const plain = name === `layer ${i + 1}` || name === `t${i + 1}` || !name;
    said.push(`${lane.label ? `${lane.label}, ` : ""}${stage.say(store.measure === "time_norm" ? "stage.time_step" : "stage.layer", { number: i + 1 })}${plain ? "" : ` (${name})`}${stage.words["info.colon"]}${row ? formatLog(row.now[i], words) : ""}`);
    if (row && i + 1 < row.now.length && Number.isFinite(row.now[i] - row.now[i + 1])) said.push(stage.say("stage.of_next", { factor: formatNumber(10 ** (row.now[i] - row.now[i + 1])) }));
    if (row?.second) said.push(`${stage.secondTitle}${stage.words["info.colon"]}${formatLog(row.second[i], words)}`);
    if (row && row.unable[i] > 2) said.push(stage.say("stage.unable_share", { share: Math.round(row.unable[i] / 2.55) }));
  }
  if (row) said.push(`${stage.say("stage.step", { step: row.step })}, ${stage.words["axis.loss"]} ${formatNumber(row.loss)}`);
  return said;
}

/** Factors in the kernel's plain text, as they are printed here. @param {string} text */
const times = (text) => text.replace(/\bx ?(?=\d)/g, "\u00d7");

/** Write words into a place that stays as large as it is: too many are set smaller. @param {HTMLElement} box @param {HTMLElement} node @param {string} text */
function fit(box, node, text) {
  const width = () => `${box.parentElement?.clientWidth} ${box.clientWidth}`; // what stands beside it takes more or less
  if (node.textContent === text && box.dataset.width === width()) return;
  write(node, text);
  box.classList.remove("gl-long", "gl-longer");
  const over = () => node.scrollHeight > node.clientHeight + 1 || node.scrollWidth > node.clientWidth + 1;
  for (const smaller of ["gl-long", "gl-longer"]) if (over()) box.classList.add(smaller);
  box.dataset.width = width();
}

/** @param {Scene} s */
export function showWords(/** @type {Stage} */ stage, s) {
  const { parts, store, words } = stage;
  const said = store.said;
  const predict = said.predict;
  const question = said.hidden ? predict?.question : predict?.score;
  showVerdicts(stage);
  parts.lesson.classList.toggle("gl-asked", Boolean(question));
  const lesson = times(question || said.lesson || "");
  fit(parts.lesson, parts.lesson, lesson);
  const playing = stage.transport.playing;
  const play = parts.top.play;
  const word = words[playing ? "button.pause" : "button.play"];
  if (play.getAttribute("aria-label") !== word) {
    play.setAttribute("aria-label", word);
    write(play.lastChild, word);
    play.firstChild.firstChild.setAttribute("d", playing ? "M4 2.5h3v11H4zM9 2.5h3v11H9z" : "M4 2.5v11l9-5.5z");
    play.classList.toggle("gl-on", playing);
  }
  for (const node of [play, parts.top.step]) node.disabled = Boolean(said.hidden);
  if (document.activeElement !== parts.top.seed && said.knobs.seed !== undefined) parts.top.seed.value = said.knobs.seed;
  for (const item of stage.root.querySelectorAll("[data-preset]")) item.toggleAttribute("data-on", item.dataset.preset === said.preset);
  for (const chip of stage.root.querySelectorAll(".gl-group")) chip.toggleAttribute("data-on", Boolean(chip.querySelector("[data-on]")));
  showTime(stage);
  showSeen(stage);
  stage.root.classList.toggle("gl-hidden", Boolean(said.hidden));
  parts.guess.node.hidden = !said.hidden;
  write(parts.guess.said, times(predict?.said ?? ""));
  parts.guess.reveal.disabled = !store.fixed["guess.y"];
  parts.slow.hidden = !said.slow;
  if (said.slow) {
    write(parts.slow.firstChild, said.slow[1]);
    parts.slow.style.top = `${s.lay.heads.profile > 0 ? s.lay.heads.profile : s.lay.inf}px`;
  }
  parts.hold.setAttribute("aria-pressed", String(stage.held !== null));
  parts.hold.style.top = `${s.lay.none + 6 * s.k}px`;
  showLens(stage, s);
  parts.along.hidden = !store.time || Boolean(said.hidden);
  for (const [i, way] of [...parts.along.children].entries()) way.setAttribute("aria-pressed", String(s.through === Boolean(i)));
  const alert = times(said.alert || stage.announced);
  parts.alert.classList.toggle("gl-quiet", !said.alert);
  fit(parts.alert, parts.alert, alert);
  const rate = playing && store.rate ? ` \u00b7 ${stage.say("stage.per_second", { rate: formatNumber(Math.round(store.rate)) })}` : "";
  const pointed = /gl-narrow|gl-no-seen/.test(stage.root.className) ? cursorWords(stage).join(" \u00b7 ") : ""; // no room at the right
  write(parts.status, pointed || `${said.status || stage.say("stage.step", { step: stage.step })}${rate}`);
  showCursor(stage, s);
  hearSoon(stage);
}

/** @param {Scene} s */
function showLens(/** @type {Stage} */ stage, s) {
  const { lens } = stage.parts;
  const names = Object.keys(stage.store.formats);
  lens.hidden = !names.length || !stage.lensable;
  lens.style.top = `${s.lay.none + 19 * s.k}px`;
  if (lens.dataset.names !== names.join()) {
    lens.dataset.names = names.join();
    lens.replaceChildren(...["", ...names].map((name) => make("option", { value: name })));
  }
  const short = (/** @type {string} */ name) => ({ float8_e5m2: "E5M2", float8_e4m3fn: "E4M3" })[name] ?? name;
  for (const option of lens.options) write(option, s.lens && option.value === s.lens.name ? `${short(option.value)}: ${rangeWords(s.lens)}` : short(option.value) || stage.words["stage.lens_none"]);
  if (document.activeElement !== lens) lens.value = s.lens?.name ?? "";
}

function showVerdicts(/** @type {Stage} */ stage) {
  const { store, parts } = stage;
  const lanes = store.said.hidden ? [] : store.lanes.filter((lane) => lane.verdict[1]);
  while (parts.verdicts.children.length > lanes.length) parts.verdicts.lastChild.remove();
  lanes.forEach((lane, i) => {
    if (!parts.verdicts.children[i]) parts.verdicts.append(make("div", {}, [make("b"), make("small")]));
    const pill = parts.verdicts.children[i];
    const long = pill.classList.contains("gl-long");
    pill.className = `gl-verdict gl-${lane.verdict[0]}`;
    const head = times(`${lane.label ? `${lane.label}  ` : ""}${lane.verdict[1]}`);
    if (pill.children[0].textContent !== head) fit(pill.children[0], pill.children[0], head);
    const small = times(lane.verdict[2]);
    if (pill.children[1].textContent !== small) fit(pill, pill.children[1], small);
    else if (long) pill.classList.add("gl-long");
  });
}

function showTime(/** @type {Stage} */ stage) {
  const { time: bar } = stage.parts;
  const share = timeScale(Math.max(1, stage.store.last), stage.logTime, 0, 100).at(stage.step);
  bar.thumb.style.left = bar.fill.style.width = `${share}%`;
  bar.track.setAttribute("aria-valuemax", String(stage.store.last));
  bar.track.dataset.steps = String(Math.max(0, ...stage.store.lanes.map((lane) => lane.steps)));
  bar.track.setAttribute("aria-valuenow", String(stage.step));
  const text = stage.say("stage.step", { step: stage.step });
  bar.track.setAttribute("aria-valuetext", text);
  write(bar.step, text);
  bar.live.disabled = stage.at === null;
  bar.rewind.disabled = stage.at === null || stage.at >= stage.store.last;
}

function showSeen(/** @type {Stage} */ stage) {
  const { seen } = stage.parts;
  const { store } = stage;
  const many = store.lanes.length > 1;
  const plane = store.lanes.filter((lane) => lane.learned.extent);
  const key = store.lanes.map((lane) => `${Boolean(lane.learned.extent)}${lane.label}`).join();
  if (seen.boards.dataset.key !== key) {
    seen.boards.dataset.key = key;
    seen.boards.replaceChildren(...plane.map((lane, i) => make("figure", {}, [make("canvas", { "aria-hidden": "true" }), make("figcaption", { class: many ? `gl-lane${i}` : null })])));
    stage.boardSide = 0;
  }
  plane.forEach((lane, i) => {
    const figure = seen.boards.children[i];
    const side = figure.firstChild.clientWidth;
    const stamp = `${side}|${stage.theme}`;
    if (figure.dataset.stamp !== stamp || figure.grid !== lane.learned.grid || figure.points !== lane.learned.points) {
      Object.assign(figure, { grid: lane.learned.grid, points: lane.learned.points });
      figure.dataset.stamp = stamp;
      if (side) drawBoundary(figure.firstChild, lane.learned, stage.pal, side);
    }
    write(figure.lastChild, many ? [lane.label, ...lane.learned.rows.map((/** @type {string[]} */ r) => r[1]).slice(0, 2)].join("\n") : lane.learned.classes === 0 ? stage.words["stage.target_answer"] : "");
  });
  writeNumbers(seen.numbers, many ? [] : store.main?.learned.rows ?? []);
  showSamples(stage);
  for (const item of seen.marks.children) item.hidden = !marksShown(stage).has(item.dataset.kind);
}

function showSamples(/** @type {Stage} */ stage) {
  const box = stage.parts.seen.samples;
  const samples = stage.store.main?.learned.samples ?? [];
  if (box.samples === samples && box.dataset.theme === stage.theme) return;
  box.samples = samples;
  box.dataset.theme = stage.theme;
  box.classList.toggle("gl-series", samples.some((/** @type {any} */ s) => s.shape.length < 2));
  box.classList.toggle("gl-wordy", samples.some((/** @type {any} */ s) => s.target.length > 4));
  box.replaceChildren(...samples.map((/** @type {any} */ sample) => {
    const canvas = make("canvas", { "aria-hidden": "true" });
    drawSample(canvas, sample, stage.pal);
    return make("figure", { class: sample.right ? "gl-right-one" : "gl-wrong-one" }, [canvas, make("figcaption", { text: `${sample.target} \u2192 ${sample.output}` })]);
  }), ...(samples.length ? [make("p", { text: stage.words["stage.sample"] })] : []));
}

/** Which marks the legend explains: those that the picture may hold now. */
function marksShown(/** @type {Stage} */ stage) {
  const { store } = stage;
  const found = new Set(["now", "first", "nonfinite", "zero", "underflow", "missing"]);
  const row = stage.shown(store.lanes.length - 1);
  if (row?.second && store.lanes.length === 1) found.add("second");
  if (row?.after && store.lanes.length === 1) found.add("after");
  for (const role of ["theory", "ghost", "guess"]) if (store.fixed[`${role}.y`]) found.add(role);
  if (row?.unable.some((v) => v > 5)) found.add("unable");
  if (store.main?.learned.points?.length) found.add("train");
  if (store.main?.learned.held?.length) found.add("held");
  return found;
}

/** @param {Scene} s */
function showCursor(/** @type {Stage} */ stage, s) {
  const { seen, tag } = stage.parts;
  const said = cursorWords(stage);
  const text = said.length ? said.join("\n") : stage.words["stage.hover"];
  write(seen.cursor, text);
  seen.cursor.classList.toggle("gl-quiet", !said.length);
  const place = stage.pinned ?? stage.hover;
  const row = place?.layer === undefined ? undefined : stage.shown(laneAt(stage, place));
  const there = row && place?.layer !== undefined && place.step === undefined && Number.isFinite(row.now[place.layer]);
  tag.hidden = !there;
  if (!there || !row || place?.layer === undefined || !stage.lay) return;
  write(tag, formatLog(row.now[place.layer], { none: "" }));
  const { profile } = stage.lay;
  const x = columnX(profile, s.layers, place.layer);
  const rises = row.now[place.layer + 1] > row.now[place.layer]; // and the next dot lies where the number would
  const before = x > profile.x + (rises ? 70 : profile.w - 70);
  tag.style.transform = `translate(${x + (before ? -9 : 9)}px,${profileScale(s)(clamp(row.now[place.layer], s.limits[0], s.limits[1])) - 12}px) translate(${before ? "-100%" : "0"},-50%)`;
  tag.classList.toggle("gl-pinned", Boolean(stage.pinned));
}

/** @param {string} text */
export function hear(/** @type {Stage} */ stage, text) {
  write(stage.parts.live, text);
}

/** Tell a screen reader what is shown: at most once a second, and not while the run plays fast. */
function hearSoon(/** @type {Stage} */ stage) {
  if (stage.hearing) return;
  stage.hearing = setTimeout(() => {
    stage.hearing = 0;
    const row = stage.shown(stage.store.lanes.length - 1);
    if (!row || (stage.transport.playing && stage.transport.rate > 2) || stage.hover) return;
    const { store } = stage;
    const verdicts = store.lanes.map((lane) => lane.verdict.slice(1).join(", ")).filter(Boolean);
    hear(stage, [stage.say("stage.step", { step: row.step }), `${stage.words["axis.loss"]} ${formatNumber(row.loss)}`, stage.growthWords(row), ...verdicts].join(". "));
  }, 1000);
}
