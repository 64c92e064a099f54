// The stage: packets in, a picture and words out; what a person does with it goes to the kernel as messages.

import { drawHeat, drawLoss, time } from "./charts.js";
import { columnX, layout } from "./layout.js";
import { lensOf } from "./lens.js";
import { Labels } from "./labels.js";
import { PALETTES, themeOf } from "./palette.js";
import { listen } from "./pointing.js";
import { drawProfile } from "./profile.js";
import { between, clamp, even, formatNumber, stepLimit, withHeld } from "./scales.js";
import { build, make } from "./shell.js";
import { Store } from "./store.js";
import { drawStrips } from "./strip.js";
import { Transport } from "./transport.js";
import { showWords } from "./words.js";

/** @typedef {import("./store.js").Row} Row */
/** @typedef {{layer?: number, step?: number, lane?: number}} Place */
/** @typedef {{backward: boolean, x: (rect: any) => number}} Pulse */
/** @typedef {{heat: any[], tween: {from: number[], start: number} | null, corner?: number, said?: any}} Memory */
/**
 * What the drawing functions get.
 * @typedef {{g: CanvasRenderingContext2D, pal: import("./palette.js").Palette, dark: boolean, theme: string,
 *   lay: import("./layout.js").Layout, labels: Labels, store: Store, words: Record<string, string>, k: number,
 *   limits: number[], held: boolean, limit: number, logTime: boolean, layers: number, dpr: number, snap: (x: number) => number, through: boolean, signal: boolean, title: string,
 *   hover: Place | null, lens: import("./lens.js").Lens | null, pulse: Pulse | null, memory: Memory, shown: (lane: number) => Row | undefined,
 *   before: (lane: number) => Row | undefined, say: (key: string, values: any) => string,
 *   growthWords: (row: Row, short?: boolean) => string}} Scene
 */

const WIDEN = 450; // milliseconds in which an axis widens
const ANNOUNCED = 8000; // and for so long it is said
const WORDS = 250; // milliseconds between words of a run that plays as fast as it can
const FORWARD = 0.38; // share of a pulse that runs forward
const SLOWEST_PULSE = 700;
const FASTEST_PULSED = 14; // steps a second up to which a pulse can be followed

const LENSES = new Set(["both", "delta_norm", "grad_norm", "time_norm"]); // measures that a gradient's format limits

/** One stage in one place of a page. */
export class Stage {
  /**
   * @param {HTMLElement} el
   * @param {{look: any, send: (message: any) => void, setTrait?: (name: string, value: any) => void}} ways
   */
  constructor(el, { look, send, setTrait = () => {} }) {
    this.root = el.appendChild(make("div", { class: "gl-stage" }));
    this.setTrait = setTrait;
    this.store = new Store();
    this.memory = /** @type {Memory} */ ({ heat: [], tween: null });
    /** @type {Place | null} */
    this.hover = null;
    /** @type {Place | null} */
    this.pinned = null;
    /** @type {number | null} */
    this.at = null; // the step shown; null follows the run
    this.logTime = false;
    /** @type {number[] | null} */
    this.held = null; // the decades that a person keeps as they are
    /** @type {string | null} */
    this.lensName = null; // the format that a person chose to look through; null is that of the run
    this.depthMeasure = ""; // what was shown over the layers before time was
    this.controls = 0;
    this.waiting = new Set(); // steps whose rows were asked for
    /** @type {{from: number, long: number, old: (Row | undefined)[]} | null} */
    this.pulse = null;
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    this.transport = new Transport({ send, steps: () => this.store.last + (this.store.lanes.length ? 1 : 0), run: () => this.store.run, seen: () => this.seen });
    this.send = send;
    this.intersects = true;
    this.announced = "";
    this.news = false; // words that can wait
    this.worded = 0; // when words were last written
    this.frame = 0; // the one that was asked for
    this.moving = false; // whether slow motion stands where the picture moves
    this.closers = /** @type {(() => void)[]} */ ([]);
    this.parts = /** @type {ReturnType<typeof build>} */ ({}); // made with the look
    this.g = /** @type {CanvasRenderingContext2D} */ ({});
    this.pal = PALETTES.light;
    this.labels = /** @type {Labels} */ ({});
    this.theme = "";
    this.w = this.h = 0;
    this.dpr = this.k = 1;
    /** @type {import("./layout.js").Layout | null} */
    this.lay = null;
    this.setLook(look);
    this.watch();
  }

  get seen() {
    return this.intersects && !document.hidden;
  }

  // ---------------------------------------------------------------- look
  /** @param {any} look */
  setLook(look) {
    this.look = look;
    this.words = look.words;
    this.secondTitle = this.words["stage.second"];
    this.root.replaceChildren();
    this.root.classList.toggle("gl-lecture", Boolean(look.lecture));
    for (const part of ["top", "top-left", "lesson", "seen", "marks", "learned", "time", "rewind", "along"]) this.root.classList.toggle(`gl-no-${part}`, Boolean(look.hide?.includes(part)));
    this.root.lang = look.lang ?? "en";
    this.parts = build(/** @type {any} */ (this));
    this.g = this.parts.canvas.getContext("2d");
    this.labels = new Labels(this.parts.over);
    this.memory = /** @type {Memory} */ ({ heat: [], tween: null });
    for (const lane of this.store.lanes) lane.painted = 0;
    this.resized?.disconnect();
    this.resized = new ResizeObserver(() => this.size());
    this.resized.observe(this.parts.picture);
    listen(this);
    this.showSpeed();
    this.setTheme();
    this.size();
    this.tell();
  }

  setTheme() {
    const theme = themeOf(this.look.theme ?? "auto", document);
    if (this.theme !== theme) for (const lane of this.store.lanes) lane.painted = 0;
    this.theme = theme;
    this.pal = PALETTES[theme];
    for (const [name, value] of Object.entries(this.pal)) if (typeof value === "string") this.root.style.setProperty(`--gl-${name}`, value);
    this.root.style.setProperty("--gl-class0", this.pal.classes[0]);
    this.root.style.setProperty("--gl-class1", this.pal.classes[1]);
    this.root.dataset.theme = theme;
    this.tell();
  }

  /** @param {number} width of the place left free for the kernel's controls */
  setControls(width) {
    this.controls = width;
    this.root.style.setProperty("--gl-gutter", `${width}px`);
    this.root.classList.toggle("gl-alone", !width);
  }

  // ---------------------------------------------------------------- packets
  /** @param {any} head @param {DataView | ArrayBuffer} buffer */
  packet(head, buffer) {
    const old = this.store.lanes.map((_, i) => this.shown(i));
    const steps = this.store.last;
    const limits = this.limits;
    const { measure } = this.store;
    const { missed, fresh, widened } = this.store.take(head, buffer);
    if (this.store.measure !== measure) this.held = null; // another quantity has decades of its own
    for (const step of [...this.waiting]) if (this.store.main?.rows.has(step)) this.waiting.delete(step);
    if (missed) this.send({ kind: "all", id: this.transport.id(), run: this.store.run });
    else {
      const two = this.store.lanes.length > 1;
      if (this.root.classList.contains("gl-two") !== two) {
        this.root.classList.toggle("gl-two", two);
        this.size();
      }
      if (fresh) this.begin();
      else if (widened.length) this.widen(widened, limits);
      if ("at" in head) this.at = head.at;
      if (!fresh && this.at === null && this.store.last === steps + 1) this.startPulse(old);
      if (!fresh && this.transport.playing && this.transport.rate === Infinity) {
        this.news = true;
        this.wake();
      } else this.tell();
    }
    this.transport.answered(head.id, head.waited, head.left);
  }

  begin() {
    this.at = null;
    this.pulse = null;
    this.hover = this.pinned = null;
    this.memory.tween = null;
    this.memory.corner = undefined;
    this.held = null;
    this.announced = "";
    if (!this.logChosen) this.logTime = this.store.lanes.length > 1;
    this.parts.time.scale.setAttribute("aria-pressed", String(this.logTime));
  }

  /** @param {string[]} axes @param {number[]} limits */
  widen(axes, limits) {
    const [, , , , span] = this.store.limits;
    const said = [];
    if (axes.includes("profile") && !this.held) said.push(this.say("stage.axis_now", { low: `1e${this.store.limits[0]}`, high: `1e${this.store.limits[1]}` }));
    else if (axes.includes("loss")) said.push(this.say("stage.loss_axis_now", { low: `1e${this.store.limits[2]}`, high: `1e${this.store.limits[3]}` }));
    else if (axes.includes("span")) said.push(this.say("stage.colours_now", { span: `1e${span}` }));
    this.announced = said.join(" ");
    clearTimeout(this.announcing);
    this.announcing = setTimeout(() => {
      this.announced = "";
      this.tell();
    }, ANNOUNCED);
    if (!this.still.matches) this.memory.tween = { from: limits, start: performance.now() };
  }

  /** @param {(Row | undefined)[]} old */
  startPulse(old) {
    const rate = this.transport.playing ? this.transport.rate : 1;
    if (this.still.matches || rate > FASTEST_PULSED || !old.some(Boolean)) return;
    this.pulse = { from: performance.now(), long: Math.min(SLOWEST_PULSE, 920 / rate), old };
  }

  // ---------------------------------------------------------------- what is shown
  get limits() {
    const tween = this.memory.tween;
    const limits = withHeld(this.store.limits, this.held);
    if (!tween) return limits;
    const t = (performance.now() - tween.start) / WIDEN;
    if (t >= 1) this.memory.tween = null;
    return between(tween.from, limits, t);
  }

  /** The step that a lane shows: the run's last one, unless an earlier one is looked at. */
  get step() {
    return Math.min(this.at ?? this.store.last, this.store.last);
  }

  /** @param {number} lane @returns {Row | undefined} */
  shown(lane) {
    const of = this.store.lanes[lane];
    return of && of.steps ? of.row(Math.min(this.step, of.steps - 1)) : undefined;
  }

  /** Look at a step; null follows the run. @param {number | null} step */
  lookAt(step) {
    this.at = step === null || step >= this.store.last && this.transport.playing ? null : clamp(Math.round(step), 0, this.store.last);
    if (this.at !== null) {
      const missing = this.store.lanes.some((lane) => lane.steps > /** @type {number} */ (this.at) && !lane.rows.has(/** @type {number} */ (this.at)));
      if (missing && !this.waiting.has(this.at)) {
        this.waiting.add(this.at);
        this.send({ kind: "rows", id: this.transport.id(), run: this.store.run, steps: [this.at] });
      }
    }
    this.pulse = null;
    clearTimeout(this.settled);
    this.settled = setTimeout(() => this.command("look_at", this.at), 250);
    this.tell();
  }

  /** @param {boolean} on */
  setLog(on) {
    this.logTime = on;
    this.logChosen = true;
    this.parts.time.scale.setAttribute("aria-pressed", String(on));
    this.tell();
  }

  // ---------------------------------------------------------------- what a person does
  /** Keep the decades of the profile as they are, or let them widen again. */
  toggleHeld() {
    const from = this.limits;
    this.held = this.held ? null : this.store.limits.slice(0, 2);
    if (!this.still.matches) this.memory.tween = { from, start: performance.now() };
    this.tell();
  }

  /** The format looked through: of a run in half precision its own, until somebody chooses. */
  get lens() {
    const { store } = this;
    if (!this.lensable) return null;
    const own = store.precision.find((name) => name !== "full") ?? "";
    return lensOf(store.formats, this.lensName ?? own, this.shown(store.lanes.length - 1)?.scale || 1);
  }

  get lensable() {
    return LENSES.has(this.store.measure) && !this.store.said.hidden;
  }

  /** @param {string} name */
  setLens(name) {
    this.lensName = name;
    this.tell();
  }

  /** Show the signal over the time steps, or over the layers. @param {boolean} through */
  along(through) {
    const now = this.store.measure;
    if (through === (now === "time_norm")) return;
    if (through) this.depthMeasure = now;
    this.command("measure", through ? "time_norm" : this.depthMeasure || (this.look.lecture ? "delta_norm" : "both"));
  }

  /** @param {string} name @param {any} value */
  command(name, value) {
    this.send({ kind: "command", id: this.transport.id(), run: this.store.run, name, value });
  }

  toggle() {
    this.setPlaying(!this.transport.playing);
    this.setTrait("playing", this.transport.playing);
  }

  /** @param {boolean} on */
  setPlaying(on) {
    if (on) {
      this.at = null;
      this.transport.play();
    } else this.transport.pause();
    this.tell();
  }

  stepOnce() {
    if (this.transport.playing) this.toggle();
    this.at = null;
    this.command("step", 1);
  }

  rewind() {
    if (this.at !== null) this.command("rewind", this.at + 1); // the step shown is the last one then
  }

  /** @param {string} speed */
  setSpeed(speed) {
    this.transport.speed = speed;
    this.transport.fast = 0;
    if (this.transport.playing) this.transport.turn();
    this.showSpeed();
    this.setTrait("speed", speed);
  }

  showSpeed() {
    for (const node of this.parts.top.speeds.children) {
      const on = node.dataset.speed === this.transport.speed;
      node.setAttribute("aria-checked", String(on));
      node.tabIndex = on ? 0 : -1;
    }
  }

  /** An error of the kernel: a sentence, and the run stops. @param {string} sentence @param {number} id @param {string} [trace] */
  error(sentence, id, trace = "") {
    this.store.said.alert = sentence;
    this.parts.alert.title = trace;
    if (this.transport.playing) this.toggle();
    this.transport.answered(id);
    this.tell();
  }


  // ---------------------------------------------------------------- size, and who looks
  watch() {
    const seen = new IntersectionObserver(([entry]) => {
      this.intersects = entry.isIntersecting;
    });
    seen.observe(this.root);
    const themes = new MutationObserver(() => this.setTheme());
    themes.observe(document.body, { attributeFilter: ["data-jp-theme-light", "data-jp-theme-name", "data-theme", "class"] });
    themes.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    const changed = () => this.setTheme();
    scheme.addEventListener("change", changed);
    this.closers.push(
      () => cancelAnimationFrame(this.frame),
      () => this.resized?.disconnect(),
      () => seen.disconnect(),
      () => themes.disconnect(),
      () => scheme.removeEventListener("change", changed),
    );
  }

  size() {
    const { picture, canvas } = this.parts;
    const [w, h] = [picture.clientWidth, picture.clientHeight];
    if (!w || !h) return;
    this.dpr = Math.min(3, window.devicePixelRatio || 1);
    this.root.classList.toggle("gl-narrow", this.root.clientWidth - this.controls < 700);
    const room = this.root.clientWidth - this.controls; // what does not depend on the size of the type
    const two = this.store.lanes.length > 1;
    this.k = this.look.lecture ? clamp(room / (two ? 780 : 700), two ? 1.05 : 1.15, 1.5) : clamp(room / 890, 0.92, 1.2);
    this.root.style.setProperty("--gl-k", String(this.k));
    const { groups } = this.parts.top;
    this.root.classList.remove("gl-crowded");
    this.root.classList.toggle("gl-crowded", groups.scrollWidth > groups.clientWidth + 1);
    const panel = /** @type {HTMLElement | null} */ (this.root.closest(".gradlab")); // the kernel's controls hang below the lesson
    panel?.style.setProperty("--gl-top", `${this.parts.main.offsetTop}px`);
    const [cw, ch] = [Math.round(w * this.dpr), Math.round(h * this.dpr)];
    if (canvas.width !== cw || canvas.height !== ch) Object.assign(canvas, { width: cw, height: ch });
    this.w = w;
    this.h = h;
    this.boardSide = 0;
    this.parts.lesson.textContent = ""; // to be fitted anew
    this.parts.verdicts.replaceChildren();
    this.tell();
  }

  close() {
    this.transport.pause();
    for (const close of this.closers) close();
    this.root.remove();
  }

  // ---------------------------------------------------------------- painting
  get layers() {
    return Math.max(1, ...this.store.lanes.map((lane) => lane.names.length));
  }

  /** Something changed: words and picture with the next frame. */
  tell() {
    this.changed = true;
    this.wake();
  }

  /** Paint with the browser's next frame; while nothing changes or moves there are no frames. */
  wake() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      if (this.w) this.paint();
    });
  }

  paint() {
    const start = performance.now();
    const pulse = this.pulseNow(start);
    const { g, store } = this;
    const lanes = Math.max(1, store.lanes.length);
    this.lay = layout(this.w, this.h, lanes, this.k);
    g.setTransform(this.dpr, 0, 0, this.dpr, 0, 0);
    g.clearRect(0, 0, this.w, this.h);
    const signal = ["both", "delta_norm"].includes(store.measure);
    const scene = /** @type {Scene} */ ({
      g, pal: this.pal, dark: this.theme === "dark", theme: this.theme, lay: this.lay, labels: this.labels, store, words: this.words, k: this.k,
      limits: this.limits, held: this.held !== null, limit: stepLimit(store.last + 1), logTime: this.logTime, layers: this.layers,
      dpr: this.dpr, snap: (x) => Math.round(x * this.dpr) / this.dpr, through: store.measure === "time_norm", signal, title: signal ? this.words["stage.signal"] : store.titles[0],
      hover: this.pinned ?? this.hover, lens: this.lens, pulse, memory: this.memory,
      shown: (lane) => this.shown(lane), before: (lane) => this.pulse?.old[lane], say: (key, values) => this.say(key, values),
      growthWords: (row, short) => this.growthWords(row, short),
    });
    this.labels.begin();
    if (store.lanes.length) {
      drawStrips(scene);
      drawProfile(scene);
      if (!store.said.hidden) { // their place is the question's
        drawLoss(scene);
        drawHeat(scene);
      }
      this.drawCross(scene);
    }
    this.labels.end();
    if (this.changed || (this.news && start - this.worded > WORDS)) {
      showWords(this, scene);
      this.worded = start;
      this.changed = this.news = false;
    }
    if (this.pulse || this.moving || this.memory.tween) this.wake();
  }

  /** @param {number} now @returns {Pulse | null} */
  pulseNow(now) {
    this.moving = false;
    const slow = this.store.said.slow;
    if (slow && ["forward", "backward"].includes(slow[0])) {
      const t = this.still.matches ? 0.5 : (now / 1600) % 1;
      const backward = slow[0] === "backward";
      this.moving = !this.still.matches;
      if (!this.pulse) return { backward, x: (rect) => rect.x + rect.w * (backward ? 1 - t : t) };
    }
    if (!this.pulse) return null;
    const t = (now - this.pulse.from) / this.pulse.long;
    if (t >= 1 || this.at !== null) {
      this.pulse = null;
      return null;
    }
    const backward = t > FORWARD;
    const share = backward ? 1 - (t - FORWARD) / (1 - FORWARD) : t / FORWARD;
    return { backward, x: (rect) => rect.x + rect.w * share };
  }

  /** One cross-hair through strip, profile, loss and heat map. @param {Scene} s */
  drawCross(s) {
    const { g, lay, pal, hover } = s;
    g.strokeStyle = pal.ink;
    g.lineWidth = 1;
    const upright = (/** @type {number} */ x, /** @type {number} */ y, /** @type {number} */ h) => {
      g.beginPath();
      g.moveTo(Math.round(x) + 0.5, y);
      g.lineTo(Math.round(x) + 0.5, y + h);
      g.stroke();
    };
    if (this.at !== null || hover?.step !== undefined) {
      const step = hover?.step ?? this.step;
      for (const rect of [lay.loss, ...lay.heat]) upright(time(s, rect).at(step + (rect === lay.loss ? 0 : 0.5)), rect.y, rect.h);
    }
    if (hover?.layer === undefined) return;
    g.setLineDash([3, 3]);
    upright(columnX(lay.profile, s.layers, hover.layer), lay.strips[0].y - 4, lay.none - lay.strips[0].y + 4);
    for (const rect of lay.heat) {
      const y = rect.y + rect.h - ((hover.layer + 0.5) * rect.h) / s.layers;
      g.beginPath();
      g.moveTo(rect.x, y);
      g.lineTo(rect.x + rect.w, y);
      g.stroke();
    }
    g.setLineDash([]);
  }

  // ---------------------------------------------------------------- words
  /** @param {string} key @param {Record<string, any>} values */
  say(key, values) {
    return (this.words[key] ?? key).replace(/\{(\w+)\}/g, (/** @type {string} */ _, /** @type {string} */ name) => String(values[name] ?? ""));
  }

  /** @param {Row} row @param {boolean} [short] */
  growthWords(row, short = false) {
    const { growth, spans } = row;
    if (Number.isNaN(growth)) return "";
    const key = this.store.measure === "time_norm" ? "growth.time." : "growth.";
    if (!short && even(row)) return this.words[`${key}level`];
    if (!Number.isFinite(growth)) return this.words[key + (growth < 0 ? "to_zero" : "to_inf")];
    return this.say(key + (short ? "short" : growth > 0 ? "larger" : "smaller"), { factor: formatNumber(10 ** (growth / spans)) });
  }
}
