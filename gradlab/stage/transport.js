// Who keeps the time: the browser asks for steps, at most twice before an answer comes (over a long line, at full speed,
// three times), and stops asking to pause.

const UNDER_WAY = 2; // questions; one more at full speed while the kernel waits for them, as over a long line
const FRAME = 1000 / 30; // milliseconds between questions, at most so often
const BUSY = 60; // milliseconds of training that one question asks for at full speed
const WAITS = 95; // milliseconds between answers from which on the kernel waits for questions
const KEEPS_UP = 70; // and below which it has enough of them
const SLOW = 10; // steps a second of the first 50
const FIRST = 50;
const DOUBLES = 900; // milliseconds in which the pace doubles after them
const FULL = 3000; // steps a second from which on it is not paced at all
const HIDDEN = 1000; // milliseconds between questions of a panel that nobody sees

/**
 * How many steps a second are wanted; Infinity for as many as there can be.
 * @param {string} speed @param {number} steps taken so far @param {number} since milliseconds since the paced ones were over
 */
export function wantedRate(speed, steps, since) {
  if (speed === "max") return Infinity;
  if (speed !== "paced") return Number(speed);
  if (steps < FIRST) return SLOW;
  const rate = SLOW * 2 ** (since / DOUBLES);
  return rate > FULL ? Infinity : rate;
}

/** Asks for steps at a pace; `send` gets `{kind: "tick", id, run, steps, ms}`. */
export class Transport {
  /**
   * @param {{send: (message: any) => void, now?: () => number, later?: (f: () => void, ms: number) => any, cancel?: (timer: any) => void, steps: () => number, run: () => number, seen?: () => boolean}} ways
   */
  constructor({ send, now = () => performance.now(), later = setTimeout.bind(globalThis), cancel = clearTimeout.bind(globalThis), steps, run, seen = () => true }) {
    Object.assign(this, { send, now, later, cancel });
    this.send = send;
    this.now = now;
    this.later = later;
    this.cancel = cancel;
    this.steps = steps;
    this.run = run;
    this.seen = seen;
    this.playing = false;
    this.speed = "paced";
    this.ids = 0;
    /** @type {Set<number>} */
    this.underWay = new Set();
    this.owed = 0; // steps that the pace has earned and nobody asked for yet
    this.asked = 0; // when the last question was sent
    this.fast = 0; // when the paced steps were over
    this.heard = 0; // when the last answer came
    this.gap = BUSY; // milliseconds between answers, smoothed
    this.more = 0; // questions under way beyond the two
    /** @type {any} */
    this.timer = null;
  }

  /** A number for a message that will be answered. */
  id() {
    this.ids += 1;
    return this.ids;
  }

  play() {
    if (this.playing) return;
    this.playing = true;
    this.owed = 1;
    this.asked = this.heard = this.now();
    this.gap = BUSY;
    this.more = 0;
    this.fast = 0;
    this.turn();
  }

  pause() {
    this.playing = false;
    this.cancel(this.timer);
    this.timer = null;
  }

  /** An answer came: there is room for another question. @param {number | undefined} id */
  answered(id) {
    if (id === undefined || !this.underWay.delete(id)) return;
    const now = this.now();
    this.gap += (Math.min(now - this.heard, 500) - this.gap) / 4;
    this.heard = now;
    if (this.gap > WAITS) this.more = 1;
    else if (this.gap < KEEPS_UP) this.more = 0;
    if (this.playing && !this.timer) this.turn();
  }

  /** Steps a second that are wanted now. */
  get rate() {
    if (this.steps() >= FIRST && !this.fast) this.fast = this.now();
    if (this.steps() < FIRST) this.fast = 0;
    return wantedRate(this.speed, this.steps(), this.fast ? this.now() - this.fast : 0);
  }

  turn() {
    this.cancel(this.timer);
    this.timer = null;
    if (!this.playing) return;
    const now = this.now();
    const rate = this.rate;
    const passed = now - this.asked;
    if (!this.seen()) return this.turnUnseen(now, passed, rate);
    const most = UNDER_WAY + (rate === Infinity ? this.more : 0);
    if (this.underWay.size >= most) return; // the answer takes the next turn
    if (rate === Infinity) {
      this.ask({ steps: null, ms: BUSY }, now);
      return this.wait(this.underWay.size < most ? 0 : FRAME);
    }
    this.owed = Math.min(this.owed + (passed * rate) / 1000, Math.max(1, rate / 4)); // what was missed is not made up for
    this.asked = now;
    if (this.owed >= 0.999) {
      const steps = Math.floor(this.owed + 0.001);
      this.owed -= steps;
      this.ask({ steps, ms: null }, now);
    }
    return this.wait(Math.max(FRAME, ((1 - this.owed) * 1000) / rate));
  }

  turnUnseen(/** @type {number} */ now, /** @type {number} */ passed, /** @type {number} */ rate) {
    if (passed >= HIDDEN - 1 && this.underWay.size === 0) {
      this.owed = 0;
      this.ask(rate === Infinity ? { steps: null, ms: BUSY } : { steps: Math.max(1, Math.round(Math.min(rate, 100))), ms: null }, now);
    }
    this.wait(HIDDEN);
  }

  /** @param {{steps: number | null, ms: number | null}} what @param {number} now */
  ask(what, now) {
    const id = this.id();
    this.underWay.add(id);
    this.asked = now;
    this.send({ kind: "tick", id, run: this.run(), ...what });
  }

  /** @param {number} ms */
  wait(ms) {
    this.timer = this.later(() => {
      this.timer = null;
      this.turn();
    }, ms);
  }
}
