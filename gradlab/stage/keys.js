// Keys of the whole panel: Alt and a letter presses the button that carries it, all others stay with what has the focus.

/** @typedef {import("./stage.js").Stage} Stage */

/** What a letter does on the stage itself. @type {Record<string, (stage: Stage) => void>} */
const OWN = {
  p: (stage) => stage.toggle(),
  s: (stage) => stage.stepOnce(),
  r: (stage) => stage.command("reset", null),
};

/** @param {HTMLElement} panel @param {Stage} stage @param {string} letter */
function pressButton(panel, stage, letter) {
  const button = /** @type {HTMLButtonElement | null} */ (panel.querySelector(`.gradlab-key-${letter}`));
  if (button) {
    if (button.disabled || button.offsetParent === null) return false;
    button.focus({ preventScroll: true });
    button.click();
    return true;
  }
  if (!OWN[letter] || (stage.store.said.hidden && letter !== "r")) return false;
  OWN[letter](stage);
  return true;
}

/** What the widgets leave without a name: a slider's handle, a number, a menu whose label is not shown. @param {HTMLElement} panel */
function nameControls(panel) {
  const words = (/** @type {Element | null | undefined} */ of, /** @type {string} */ place) => of?.querySelector(place)?.textContent ?? "";
  const nameless = ".noUi-handle:not([aria-label]), .gradlab-choice select:not([aria-label]), .widget-text input:not([aria-label])";
  for (const part of panel.querySelectorAll(nameless)) {
    const own = words(part.closest(".widget-inline-hbox"), ".widget-label") || part.getAttribute("title") || "";
    const rule = part.matches("select") ? words(part.closest(".gradlab-card"), ".gradlab-switch label") : "";
    part.setAttribute("aria-label", [rule, own].filter(Boolean).join(": "));
  }
}

/** Say which keys press a button. @param {HTMLElement} panel */
function nameKeys(panel) {
  for (const button of panel.querySelectorAll("[class*=gradlab-key-]")) {
    const letter = /gradlab-key-([a-z])\b/.exec(button.className)?.[1];
    if (letter) button.setAttribute("aria-keyshortcuts", `Alt+${letter.toUpperCase()}`);
  }
}

/**
 * Take the keys of the panel that a stage stands in; JupyterLab must not delete a cell because somebody presses D.
 * @param {Stage} stage @returns {() => void} gives them back
 */
export function guardKeys(stage) {
  const panelOf = () => /** @type {HTMLElement} */ (stage.root.closest(".gradlab") ?? stage.root);
  let last = /** @type {any} */ (null); // what had the focus may vanish or be greyed: then the panel takes it
  const onKey = (/** @type {KeyboardEvent} */ event) => {
    const panel = panelOf();
    const lost = document.activeElement === document.body && last && panel.contains(last) && (last.offsetParent === null || last.disabled);
    if (lost) panel.focus({ preventScroll: true });
    else if (!panel.contains(/** @type {Node} */ (event.target))) return;
    const command = event.ctrlKey || event.metaKey;
    document.activeElement?.toggleAttribute("data-lm-suppress-shortcuts", !command);
    const letter = /^Key([A-Z])$/.exec(event.code)?.[1].toLowerCase();
    if (event.altKey && !command && !event.shiftKey && letter && pressButton(panel, stage, letter)) {
      event.preventDefault();
      event.stopPropagation();
    }
  };
  const onFocus = (/** @type {FocusEvent} */ event) => {
    last = panelOf().contains(/** @type {Node} */ (event.target)) ? event.target : null;
  };
  document.addEventListener("keydown", onKey, true);
  document.addEventListener("focusin", onFocus);
  const name = () => {
    nameKeys(panelOf());
    nameControls(panelOf());
  };
  const named = new MutationObserver(name);
  const started = setTimeout(() => {
    const panel = panelOf();
    panel.tabIndex = -1; // a click anywhere in the panel gives it the keys
    name();
    named.observe(panel, { subtree: true, childList: true, attributeFilter: ["class"] });
  });
  return () => {
    clearTimeout(started);
    named.disconnect();
    document.removeEventListener("keydown", onKey, true);
    document.removeEventListener("focusin", onFocus);
  };
}
