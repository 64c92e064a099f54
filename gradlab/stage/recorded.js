// A stage without a kernel: recorded packets answer what a kernel would.

import { Stage } from "./stage.js";
import { addStyle } from "./style.js";

/** @param {string} text base64 @returns {ArrayBuffer} */
function bytes(text) {
  const raw = atob(text);
  return Uint8Array.from(raw, (c) => c.charCodeAt(0)).buffer;
}

/** Answers ticks and commands from a record, as the kernel does: every message gets one answer. */
class Record {
  /** @param {[any, string][]} packets heads and buffers in base64, the first a full one */
  constructor(packets) {
    this.packets = packets;
    this.next = 0;
    this.runs = 0;
    /** @type {Stage | null} */
    this.stage = null;
  }

  /** @param {any} message */
  take(message) {
    setTimeout(() => this.answer(message), 0);
  }

  /** @param {any} message */
  answer(message) {
    const stage = /** @type {Stage} */ (this.stage);
    if (message.kind === "all" || (message.kind === "command" && message.name === "reset")) {
      this.next = 0;
      this.runs += 1;
      this.give(1, message.id);
    } else if (message.kind === "tick" && this.next >= this.packets.length && stage.transport.playing) {
      this.next = 0; // Play at the end: once more
      this.runs += 1;
      this.give(1, message.id);
    } else if (message.kind === "tick") this.give(message.steps ?? 2, message.id);
    else if (message.kind === "command" && message.name === "step") this.give(1, message.id);
    else stage.transport.answered(message.id);
  }

  /** Show another record of the same run, as far as this one was shown. @param {[any, string][]} packets */
  change(packets) {
    const at = /** @type {Stage} */ (this.stage).at;
    const shown = this.next;
    this.packets = packets;
    this.next = 0;
    this.runs += 1;
    this.give(shown, 0);
    if (at !== null) /** @type {Stage} */ (this.stage).lookAt(at);
  }

  /** Give the next packets; at the end of the record the run pauses. @param {number} count @param {number} id */
  give(count, id) {
    const stage = /** @type {Stage} */ (this.stage);
    for (let i = 0; i < count && this.next < this.packets.length; i += 1) {
      const [head, buffer] = this.packets[this.next];
      this.next += 1;
      stage.packet({ ...head, run: this.runs, id: undefined }, bytes(buffer));
    }
    if (this.next >= this.packets.length && stage.transport.playing) stage.setPlaying(false); // before the answer asks on
    stage.transport.answered(id);
  }
}

/**
 * Show a record.
 * @param {HTMLElement} el @param {{look: any, packets: [any, string][], controls?: number, speed?: string}} run
 */
function showRecord(el, { look, packets, controls = 0, speed = "10" }) {
  addStyle(document.body);
  const record = new Record(packets);
  const stage = new Stage(el, { look, send: (message) => record.take(message) });
  record.stage = stage;
  stage.setControls(controls);
  stage.setSpeed(speed);
  record.answer({ kind: "all", id: 0 });
  return { stage, record };
}

export { showRecord };
