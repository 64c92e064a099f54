// The elements around the canvas: bar at the top, lesson and verdicts, time slider, what was learned, legend, readout.


/** @typedef {import("./stage.js").Stage} Stage */

/**
 * Make an element.
 * @param {string} tag @param {Record<string, any>} [how] attributes; `class`, `text` and listeners `on...` among them
 * @param {(Node | null)[]} [children]
 * @returns {any}
 */
export function make(tag, how = {}, children = []) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(how)) {
    if (key === "text") node.textContent = value;
    else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

const ICONS = {
  play: "M4 2.5v11l9-5.5z",
  pause: "M4 2.5h3v11H4zM9 2.5h3v11H9z",
  step: "M3 2.5v11l7-5.5zM11 2.5h2.2v11H11z",
  hold: "M5.4 1.5h5.2v1.3l-.9.6.4 3.4 1.9 1.8v1.3H8.7v3.8L8 15.2l-.7-1.5V9.9H4V8.6l1.9-1.8.4-3.4-.9-.6z",
  reset: "M8 3a5 5 0 1 0 4.9 6h-1.8A3.2 3.2 0 1 1 8 4.8c.8 0 1.5.3 2.1.8L8.5 7.2H13V2.7l-1.6 1.6A5 5 0 0 0 8 3z",
};

/** @param {keyof typeof ICONS} name */
function icon(name) {
  const page = document.createElement("template");
  page.innerHTML = `<svg viewBox="0 0 16 16" aria-hidden="true"><path d="${ICONS[name]}"/></svg>`;
  return page.content.firstChild;
}

/** A button with an icon, and a name that is exactly its word. */
function button(/** @type {string} */ word, /** @type {keyof typeof ICONS} */ sign, /** @type {string} */ kind, /** @type {string} */ tip, /** @type {() => void} */ act) {
  return make("button", { class: `gl-button ${kind}`, type: "button", "aria-label": word, title: tip, onclick: act }, [
    icon(sign),
    make("span", { text: word }),
  ]);
}

/** A lesson group, or all of them: a button that opens a menu of their presets. */
function group(/** @type {Stage} */ stage, /** @type {string} */ label, /** @type {any[]} */ groups, all = false) {
  const menu = make("div", { class: "gl-menu", role: "menu", hidden: true });
  const items = () => [...menu.querySelectorAll("button")];
  const chip = make("button", { class: "gl-chip", type: "button", "aria-haspopup": "menu", "aria-expanded": "false", text: label });
  const box = make("div", { class: all ? "gl-group gl-all" : "gl-group" }, [chip, menu]);
  const open = (/** @type {boolean} */ on) => {
    for (const other of stage.root.querySelectorAll(".gl-menu")) if (other !== menu) other.hidden = true;
    menu.hidden = !on;
    chip.setAttribute("aria-expanded", String(on));
    const right = on ? menu.getBoundingClientRect().right - stage.root.getBoundingClientRect().right : 0;
    menu.style.left = right > 0 ? `${-right - 8}px` : "";
  };
  const item = (/** @type {any} */ preset) => {
    const choose = () => {
      open(false);
      chip.focus();
      stage.command("preset", preset.name);
    };
    return make("button", { role: "menuitem", type: "button", tabindex: "-1", "data-preset": preset.name, text: preset.label, onclick: choose });
  };
  const list = all ? menu.appendChild(make("div", { class: "gl-columns", role: "presentation" })) : menu;
  for (const of of groups) list.append(make("div", { role: "group", "aria-label": of.label }, [all ? make("div", { "aria-hidden": "true", text: of.label }) : null, ...of.presets.map(item)]));
  items()[0]?.setAttribute("tabindex", "0");
  chip.addEventListener("click", () => {
    open(menu.hidden);
    if (!menu.hidden) items()[0]?.focus();
  });
  box.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const all = items();
    const at = all.indexOf(/** @type {any} */ (document.activeElement));
    if (event.key === "Escape" && !menu.hidden) open(false), chip.focus();
    else if (event.key === "ArrowDown" && menu.hidden) open(true), all[0]?.focus();
    else if (event.key === "ArrowDown") all[(at + 1) % all.length].focus();
    else if (event.key === "ArrowUp" && !menu.hidden) all[(at + all.length - 1) % all.length].focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  box.addEventListener("focusout", (/** @type {FocusEvent} */ event) => {
    if (!box.contains(/** @type {Node} */ (event.relatedTarget))) open(false);
  });
  return box;
}

/** @param {Stage} stage */
function topBar(stage) {
  const w = stage.look.words;
  const lessons = stage.look.groups ?? [];
  const all = lessons.length > 1 ? group(stage, w["stage.lessons"], lessons, true) : null; // where the bar is too short for the groups
  const groups = make("div", { class: "gl-groups", role: "toolbar", "aria-label": w["stage.lessons"] }, [...lessons.map((/** @type {any} */ g) => group(stage, g.label, [g])), all]);
  const play = button(w["button.play"], "play", "gl-play", w["stage.tip_play"], () => stage.toggle());
  const step = button(w["button.step"], "step", "", w["stage.tip_step"], () => stage.stepOnce());
  const reset = button(w["button.reset"], "reset", "", w["stage.tip_reset"], () => stage.command("reset", null));
  const speeds = make("div", { class: "gl-speeds", role: "radiogroup", "aria-label": w["stage.speed"] });
  for (const speed of ["paced", "1", "10", "100", "max"]) {
    speeds.append(make("button", {
      type: "button", role: "radio", "data-speed": speed, "aria-checked": "false", tabindex: speed === "paced" ? "0" : "-1",
      text: speed === "paced" || speed === "max" ? w[`stage.speed_${speed}`] : speed,
      title: w[`stage.tip_${speed === "paced" ? "paced" : "rate"}`], onclick: () => stage.setSpeed(speed),
    }));
  }
  speeds.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const way = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!way) return;
    const all = [...speeds.children];
    const next = all[(all.indexOf(document.activeElement) + way + all.length) % all.length];
    next.focus();
    next.click();
    event.preventDefault();
  });
  const seed = make("input", { class: "gl-seed", type: "number", min: "0", step: "1", value: "0", "aria-label": w["stage.seed"], onkeydown: (/** @type {any} */ e) => e.key === "Enter" && e.target.blur(), onchange: (/** @type {any} */ e) => e.target.value !== "" && stage.command("seed", Number(e.target.value)) });
  const right = make("div", { class: "gl-right" }, [
    play, step, reset, speeds, make("span", { class: "gl-unit", text: w["stage.rate"] }),
    make("label", { class: "gl-seedbox" }, [make("span", { text: w["stage.seed"] }), seed]),
  ]);
  return { node: make("div", { class: "gl-top" }, [groups, right]), groups, play, step, reset, speeds, seed };
}

/** @param {Stage} stage */
function timeBar(stage) {
  const w = stage.look.words;
  const thumb = make("div", { class: "gl-thumb" });
  const fill = make("div", { class: "gl-fill" });
  const track = make("div", {
    class: "gl-track", role: "slider", tabindex: "0", "aria-label": w["stage.time"], "aria-valuemin": "0", "aria-valuemax": "0", "aria-valuenow": "0",
  }, [make("div", { class: "gl-rail" }), fill, thumb]);
  const step = make("span", { class: "gl-step" });
  const scale = make("button", { class: "gl-small", type: "button", "aria-pressed": "false", title: w["stage.tip_log"], text: w["stage.log"], onclick: () => stage.setLog(!stage.logTime) });
  const live = make("button", { class: "gl-small", type: "button", title: w["stage.tip_live"], text: w["stage.live"], onclick: () => stage.lookAt(null) });
  const rewind = make("button", { class: "gl-small gl-rewind", type: "button", title: w["stage.tip_rewind"], text: w["stage.rewind"], onclick: () => stage.rewind() });
  return { node: make("div", { class: "gl-time" }, [track, step, scale, live, rewind]), track, thumb, fill, step, scale, live, rewind };
}

/** The marks, each drawn as it is in the picture. */
function legend(/** @type {Stage} */ stage) {
  const w = stage.look.words;
  const rows = [
    ["now", w["kind.plain"]], ["first", w["kind.first"]], ["second", stage.secondTitle], ["after", w["stage.mark_clipped"]],
    ["theory", w["kind.theory"]], ["ghost", w["kind.ghost"]], ["guess", w["kind.guess"]], ["unable", w["stage.unable"]],
    ["nonfinite", w["kind.nonfinite"]], ["zero", w["kind.zero"]], ["underflow", w["kind.underflow"]], ["missing", w["kind.missing"]],
    ["train", w["stage.trained_on"]], ["held", w["stage.held_out"]],
  ];
  const node = make("ul", { class: "gl-marks" });
  for (const [kind, text] of rows) node.append(make("li", { "data-kind": kind }, [make("i", { class: `gl-mark gl-${kind}`, "aria-hidden": "true" }), make("span", { text })]));
  return node;
}

/** @param {Stage} stage */
function side(stage) {
  const w = stage.look.words;
  const boards = make("div", { class: "gl-boards" });
  const numbers = make("dl", { class: "gl-numbers" });
  const samples = make("div", { class: "gl-samples" });
  const marks = legend(stage);
  const cursor = make("div", { class: "gl-cursor", "aria-hidden": "true" });
  const seen = make("section", { class: "gl-seen", "aria-label": w["stage.learned"] }, [
    make("h3", { class: "gl-learned", text: w["stage.learned"] }), boards, samples, numbers, make("h3", { class: "gl-marks-head", text: w["stage.marks"] }), marks, make("h3", { text: w["stage.cursor"] }), cursor,
  ]);
  return { node: seen, boards, numbers, samples, marks, cursor };
}

/** The question of a prediction, over the empty profile. */
function question(/** @type {Stage} */ stage) {
  const w = stage.look.words;
  const said = make("span", { class: "gl-question-said" });
  const ways = ["growing", "flat", "shrinking"].map((way, i) => make("button", { type: "button", class: "gl-small", text: w[`predict.${way}`], onclick: () => stage.command("guess", [2, 1, 0.5][i]) }));
  const reveal = make("button", { type: "button", class: "gl-button gl-reveal", text: w["predict.reveal"], onclick: () => stage.command("reveal", null) });
  return { node: make("div", { class: "gl-question", hidden: true }, [said, make("div", {}, [...ways, reveal])]), said, reveal };
}

/** At the profile's axis: keep its decades. @param {Stage} stage */
function holdButton(stage) {
  const word = stage.look.words["stage.hold_axis"];
  return make("button", { type: "button", class: "gl-hold gradlab-key-h", "aria-pressed": "false", "aria-label": word, title: word, onclick: () => stage.toggleHeld() }, [icon("hold")]);
}

/** Below the profile: the number format whose range is laid over it. @param {Stage} stage */
function lensMenu(stage) {
  const w = stage.look.words;
  return make("select", { class: "gl-lens", title: w["stage.tip_lens"], "aria-label": w["stage.lens"], hidden: true, onchange: (/** @type {any} */ e) => stage.setLens(e.target.value) });
}

/** Above the strip of a recurrent network: over its layers, or over the time steps. @param {Stage} stage */
function alongSwitch(stage) {
  const w = stage.look.words;
  const ways = [false, true].map((through) => make("button", { type: "button", text: w[through ? "stage.along_time" : "stage.along_depth"], "aria-pressed": "false", onclick: () => stage.along(through) }));
  return make("div", { class: "gl-along", role: "group", "aria-label": w["stage.along"], hidden: true }, ways);
}

/** Build all elements of a stage. @param {Stage} stage */
export function build(stage) {
  const w = stage.look.words;
  const top = topBar(stage);
  const lesson = make("p", { class: "gl-lesson" });
  const verdicts = make("div", { class: "gl-verdicts" });
  const say = make("div", { class: "gl-say" }, [lesson, verdicts]);
  const canvas = make("canvas", { "aria-hidden": "true" });
  const over = make("div", { class: "gl-labels" });
  const tag = make("div", { class: "gl-tag", hidden: true });
  const guess = question(stage);
  const [hold, along, lens] = [holdButton(stage), alongSwitch(stage), lensMenu(stage)];
  const slow = make("div", { class: "gl-slow", hidden: true }, [make("code")]);
  const picture = make("div", { class: "gl-picture", tabindex: "0", role: "group", "aria-roledescription": w["stage.picture"], "aria-label": w["stage.picture_keys"] }, [canvas, over, tag, hold, along, lens, guess.node, slow]);
  const time = timeBar(stage);
  const status = make("span", { class: "gl-status" });
  const alert = make("span", { class: "gl-alert", role: "status" });
  const flow = make("section", { class: "gl-flow" }, [picture, time.node, make("div", { class: "gl-foot" }, [alert, status])]);
  const seen = side(stage);
  const live = make("div", { class: "gl-hear", "aria-live": "polite", role: "status" });
  const main = make("div", { class: "gl-main" }, [make("div", { class: "gl-gutter" }), flow, seen.node]);
  stage.root.append(top.node, say, main, live);
  return { top, lesson, verdicts, canvas, over, tag, hold, along, lens, guess, slow, picture, time, status, alert, flow, seen, live, main };
}

/** Put words into an element only when they are others. @param {HTMLElement} node @param {string} text */
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Show the numbers of what was learned. @param {HTMLElement} list @param {[string, string][]} rows */
export function writeNumbers(list, rows) {
  while (list.children.length > 2 * rows.length) list.lastChild?.remove();
  rows.forEach(([label, value], i) => {
    if (list.children.length < 2 * (i + 1)) list.append(make("dt"), make("dd"));
    write(/** @type {HTMLElement} */ (list.children[2 * i]), label);
    write(/** @type {HTMLElement} */ (list.children[2 * i + 1]), value);
  });
}

