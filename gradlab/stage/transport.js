// Who keeps the time: the browser asks for steps and stops asking to pause. At full speed one question is answered by
// several pictures, and ends early for whatever else the kernel is told: the next one leaves just so early that it need not
// wait for it.

const UNDER_WAY = 2; // questions at most
const FRAME = 1000 / 30; // milliseconds between questions, at most so often
const BUSY = 60; // milliseconds of training that one picture shows at full speed
const PICTURES = 4; // that one question then asks for
const LEAD = 16; // milliseconds before the last of them is due in which the next question leaves, at first
const PROMPT = 5; // milliseconds that a kernel takes from an answer to the next question, should that be there
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

/** Asks for steps at a pace; `send` gets `{kind: "tick", id, run, steps, ms, pictures}`. */
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
    this.free = 0; // from when on the next one may be sent at full speed
    this.heard = 0; // when the last picture came
    this.due = PICTURES; // that are still to come of the question that the kernel works on
    this.lead = LEAD;
    this.first = 0; // the first question since Play: the kernel had nothing to wait for
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
    this.asked = this.now();
    this.free = this.fast = 0;
    this.first = this.ids + 1;
    this.turn();
  }

  pause() {
    this.playing = false;
    this.cancel(this.timer);
    this.timer = null;
  }

  /**
   * An answer came; after the last to a question there is room for another one.
   * @param {number | undefined} id @param {number} [waited] milliseconds for which the kernel waited for it @param {number} [left] pictures that are to come
   */
  answered(id, waited = 0, left = 0) {
    if (id === undefined || !this.underWay.has(id)) return;
    this.heard = this.now();
    this.due = left || PICTURES;
    if (!left) {
      this.underWay.delete(id);
      if (id !== this.first) this.lead = waited > PROMPT ? Math.min(this.lead + Math.max(waited / 2, PROMPT), (PICTURES - 1) * BUSY) : Math.max(0, this.lead - Math.max(1, this.lead / 8));
    }
    if (this.playing && (!this.timer || this.rate === Infinity)) this.turn();
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
    if (rate === Infinity) return this.turnFull(now);
    if (this.underWay.size >= UNDER_WAY) return; // the answer takes the next turn
    this.owed = Math.min(this.owed + (passed * rate) / 1000, Math.max(1, rate / 4)); // what was missed is not made up for
    this.asked = now;
    if (this.owed >= 0.999) {
      const steps = Math.floor(this.owed + 0.001);
      this.owed -= steps;
      this.ask({ steps, ms: null }, now);
    }
    return this.wait(Math.max(FRAME, ((1 - this.owed) * 1000) / rate));
  }

  /** Ask now, or when the question under way will be answered but for the lead. */
  turnFull(/** @type {number} */ now) {
    if (this.underWay.size >= UNDER_WAY) return; // the answer takes the next turn
    const left = this.underWay.size ? this.heard + this.due * BUSY - this.lead : 0;
    const wait = Math.max(left, this.free) - now;
    if (wait > 0) return this.wait(wait);
    if (!this.underWay.size) this.heard = now;
    this.free = now + FRAME;
    this.ask({ steps: null, ms: BUSY, pictures: PICTURES }, now);
    this.turnFull(now);
  }

  turnUnseen(/** @type {number} */ now, /** @type {number} */ passed, /** @type {number} */ rate) {
    if (passed >= HIDDEN - 1 && this.underWay.size === 0) {
      this.owed = 0;
      this.ask(rate === Infinity ? { steps: null, ms: BUSY } : { steps: Math.max(1, Math.round(Math.min(rate, 100))), ms: null }, now);
    }
    this.wait(HIDDEN);
  }

  /** @param {{steps: number | null, ms: number | null, pictures?: number}} what @param {number} now */
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
