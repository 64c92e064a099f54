// The stage as an anywidget: traits, messages, keys of the panel around it, clipboard and downloads.

import { guardKeys } from "./keys.js";
import { Stage } from "./stage.js";
import { addStyle } from "./style.js";

/** @param {string} text @returns {Promise<string>} what went wrong, empty if nothing */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return "";
  } catch (refused) {
    const area = Object.assign(document.createElement("textarea"), { value: text });
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done ? "" : String(refused);
  }
}

/** @param {string} name @param {string} type @param {any} buffer */
function download(name, type, buffer) {
  const url = URL.createObjectURL(new Blob([buffer], { type }));
  const link = Object.assign(document.createElement("a"), { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

let lastTaken = ""; // a panel shown twice hears every message twice

/** @param {any} model @param {any} message @param {any[]} buffers */
async function serve(model, message, buffers) {
  if (message.id === lastTaken) return;
  lastTaken = message.id;
  if (message.kind === "copy") model.send({ kind: "copied", id: message.id, error: await copy(message.text) });
  if (message.kind === "download") download(message.name, message.type, buffers[0]);
}

/** Ask for a piece of work at a time, the next when the last was done, while the kernel says that there is some. */
class Work {
  /** @param {{send: (message: any) => void, id: () => number, seen: () => boolean, there: () => boolean}} ways */
  constructor(ways) {
    this.ways = ways;
    this.id = 0;
    /** @type {any} */
    this.timer = null;
  }

  ask() {
    if (!this.ways.there() || this.id || this.timer) return;
    const send = () => {
      this.timer = null;
      this.id = this.ways.id();
      this.ways.send({ kind: "work", id: this.id });
    };
    if (this.ways.seen()) send();
    else this.timer = setTimeout(send, 1000);
  }

  /** @param {number} id */
  done(id) {
    if (id !== this.id) return;
    this.id = 0;
    this.ask();
  }

  close() {
    clearTimeout(this.timer);
  }
}

/** @param {{model: any, el: HTMLElement}} view */
function render({ model, el }) {
  addStyle(el.isConnected ? el : document.body); // in a shadow tree, too
  const setTrait = (/** @type {string} */ name, /** @type {any} */ value) => {
    model.set(name, value);
    model.save_changes();
  };
  const stage = new Stage(el, { look: model.get("look"), send: (message) => model.send(message), setTrait });
  const mine = String(Math.random()).slice(2); // two views of one panel count their questions apart
  const send = stage.transport.send;
  stage.transport.send = stage.send = (message) => send({ ...message, view: mine });
  const work = new Work({ send: (message) => stage.send(message), id: () => stage.transport.id(), seen: () => stage.seen, there: () => model.get("working") });
  const alone = setTimeout(() => stage.error(stage.words["stage.no_kernel"], 0), 8000); // a page that was saved, or a long cell
  const heard = (/** @type {any} */ message, /** @type {any[]} */ buffers) => {
    clearTimeout(alone);
    const id = message.view === undefined || message.view === mine ? message.id : undefined;
    if (id !== undefined) work.done(id);
    if (message.kind === "packet") stage.packet({ ...message, id }, buffers[0]);
    else if (message.kind === "error" && id !== undefined) stage.error(message.sentence, id, message.trace);
    else if (message.kind === "copy" || message.kind === "download") serve(model, message, buffers);
  };
  /** @type {Record<string, () => void>} */
  const traits = {
    playing: () => model.get("playing") !== stage.transport.playing && stage.setPlaying(model.get("playing")),
    speed: () => model.get("speed") !== stage.transport.speed && stage.setSpeed(model.get("speed")),
    look: () => stage.setLook(model.get("look")),
    working: () => work.ask(),
    controls_width: () => stage.setControls(model.get("controls_width")),
  };
  model.on("msg:custom", heard);
  for (const [name, act] of Object.entries(traits)) {
    model.on(`change:${name}`, act);
    if (name !== "look") act();
  }
  const free = guardKeys(stage);
  stage.send({ kind: "all", id: stage.transport.id(), run: -1 });
  return () => {
    free();
    work.close();
    clearTimeout(alone);
    model.off("msg:custom", heard);
    for (const [name, act] of Object.entries(traits)) model.off(`change:${name}`, act);
    stage.close();
  };
}

export { render };
