// What only the browser can do: keys, the clipboard, downloads, and where the picture is touched.
// The kernel writes no trait of this widget and the browser none either: both only send messages.

function press(panel, letter) {
  const button = panel.querySelector(`.gradlab-key-${letter}`);
  if (!button || button.disabled || button.offsetParent === null) return false;
  button.focus({ preventScroll: true });
  button.click();
  return true;
}

// What had the focus may vanish or be greyed out, like the button that was just pressed: the browser then forgets
// where the keys went.
const lastFocused = new WeakMap();

function lostFocus(panel) {
  const last = lastFocused.get(panel);
  return document.activeElement === document.body && last && (last.offsetParent === null || last.disabled);
}

function noteFocus(panel, event) {
  if (panel.contains(event.target)) lastFocused.set(panel, event.target);
  else lastFocused.delete(panel);
}

// Alt and a letter press the button that carries it. All other keys stay with the widget that has the focus:
// JupyterLab must not delete a cell because somebody presses D on a button of the panel.
function onKey(panel, event) {
  if (lostFocus(panel)) panel.focus({ preventScroll: true });
  else if (!panel.contains(event.target)) return;
  const command = event.ctrlKey || event.metaKey;
  document.activeElement.toggleAttribute("data-lm-suppress-shortcuts", !command); // only what has the focus is asked for it
  const letter = /^Key([A-Z])$/.exec(event.code)?.[1].toLowerCase();
  if (event.altKey && !command && !event.shiftKey && letter && press(panel, letter)) {
    event.preventDefault();
    event.stopPropagation();
  }
}

function nameKeys(panel) {
  for (const button of panel.querySelectorAll("[class*=gradlab-key-]")) {
    const letter = /gradlab-key-([a-z])\b/.exec(button.className)[1].toUpperCase();
    button.setAttribute("aria-keyshortcuts", `Alt+${letter}`);
  }
}

// A button that is disabled or hidden once it was pressed would take the focus, and with it the keys, out of the panel.
function keepFocus(panel) {
  let focused = null;
  panel.addEventListener("focusin", (event) => { focused = event.target; });
  const watch = new MutationObserver(() => {
    const lost = [document.body, focused].includes(document.activeElement);
    if (focused && lost && (focused.disabled || focused.offsetParent === null)) panel.focus({ preventScroll: true });
  });
  watch.observe(panel, { subtree: true, attributeFilter: ["disabled", "style"] });
  return watch;
}

// The headings of folded sections are made for the mouse only: Tab shall reach them, Enter and Space shall open them.
function openByKey(panel) {
  const name = () => {
    for (const heading of panel.querySelectorAll(".jupyter-widget-Collapse-header")) {
      const open = heading.parentElement.classList.contains("jupyter-widget-Collapse-open");
      Object.assign(heading, { tabIndex: 0, role: "button", ariaExpanded: String(open) });
    }
  };
  panel.addEventListener("keydown", (event) => {
    if (!["Enter", " "].includes(event.key) || !event.target.matches(".jupyter-widget-Collapse-header")) return;
    event.preventDefault(); // Space scrolls
    event.target.click();
  });
  const watch = new MutationObserver(name);
  watch.observe(panel, { subtree: true, childList: true, attributeFilter: ["class"] });
  name();
  return watch;
}

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

function download(name, type, buffer) {
  const url = URL.createObjectURL(new Blob([buffer], { type }));
  const link = Object.assign(document.createElement("a"), { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

// Where in the picture, from 0 to 1 rightward and downward; object-fit leaves no margin at its natural ratio.
function onPointer(model, event) {
  const picture = event.target.closest?.(".gradlab-picture");
  if (!picture || (event.type === "pointermove" && !event.buttons)) return;
  const box = picture.getBoundingClientRect();
  const x = (event.clientX - box.left) / box.width;
  const y = (event.clientY - box.top) / box.height;
  model.send({ kind: "pointer", what: event.type.replace("pointer", ""), x, y });
}

// How many pixels of the screen the picture is wide: it is then drawn with as many. Told again when that changes.
function watchWidth(picture, tell) {
  let told = 0;
  let timer = 0;
  const look = () => {
    const { clientWidth: wide, clientHeight: high, naturalWidth, naturalHeight } = picture;
    const shown = naturalHeight ? Math.min(wide, (high * naturalWidth) / naturalHeight) : wide; // object-fit: contain
    const width = Math.round(shown * window.devicePixelRatio);
    if (width > 0 && Math.abs(width - told) > 1) tell((told = width));
  };
  const observer = new ResizeObserver(() => {
    clearTimeout(timer);
    timer = setTimeout(look, 150);
  });
  observer.observe(picture);
  return () => {
    clearTimeout(timer);
    observer.disconnect();
  };
}

let last = ""; // a panel shown twice hears every message twice

function render({ model, el }) {
  el.style.display = "none";
  const panel = () => el.closest(".gradlab");
  const keys = (event) => panel() && onKey(panel(), event);
  const focus = (event) => panel() && noteFocus(panel(), event);
  const pointer = (event) => onPointer(model, event);
  const kinds = ["pointerdown", "pointermove", "pointerup"];
  let watches = [];
  const started = setTimeout(() => {
    const root = panel();
    if (!root) return;
    root.tabIndex = -1; // a click anywhere in the panel gives it the keys
    nameKeys(root);
    watches = [keepFocus(root), openByKey(root)];
    for (const kind of kinds) root.addEventListener(kind, pointer);
    root.addEventListener("dragstart", (event) => event.target.closest(".gradlab-picture") && event.preventDefault());
  });
  let unwatch = () => {};
  const waiting = setInterval(() => {
    const picture = panel()?.querySelector(".gradlab-picture");
    if (!picture) return;
    clearInterval(waiting);
    unwatch = watchWidth(picture, (width) => model.send({ kind: "width", width }));
  }, 50);
  const heard = async (message, buffers) => {
    if (message.id === last) return;
    last = message.id;
    if (message.kind === "copy") model.send({ kind: "copied", error: await copy(message.text) });
    if (message.kind === "download") download(message.name, message.type, buffers[0]);
  };
  window.addEventListener("keydown", keys, true);
  window.addEventListener("focusin", focus, true);
  model.on("msg:custom", heard);
  return () => {
    clearTimeout(started);
    clearInterval(waiting);
    unwatch();
    for (const watch of watches) watch.disconnect();
    window.removeEventListener("keydown", keys, true);
    window.removeEventListener("focusin", focus, true);
    model.off("msg:custom", heard);
  };
}

export default { render };
