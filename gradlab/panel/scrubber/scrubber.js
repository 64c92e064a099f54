// A slider over the recorded steps. No trait is written by either side: kernel and browser send messages.

const QUIET = 500; // milliseconds after a touch in which the handle is the person's: what the kernel says is older

function render({ model, el }) {
  const label = document.createElement("label");
  const name = document.createElement("span");
  const slider = Object.assign(document.createElement("input"), { type: "range", min: 0, max: 0, step: 1 });
  label.append(name, slider);
  el.append(label);
  let held = false;
  let timer = 0;
  let row = 0;

  const settle = () => {
    timer = 0;
    if (!held) slider.value = row;
  };
  const touched = () => {
    clearTimeout(timer);
    timer = setTimeout(settle, QUIET);
  };
  const shown = (message) => {
    if (message.kind !== "show") return;
    name.textContent = message.label;
    slider.title = message.tip;
    slider.disabled = message.rows < 2;
    slider.max = Math.max(message.rows - 1, 0);
    slider.setAttribute("aria-valuetext", message.says);
    row = message.row;
    if (!timer) settle();
  };
  const tell = (done) => {
    touched();
    model.send({ kind: "moved", row: Number(slider.value), done });
  };
  slider.addEventListener("pointerdown", () => { held = true; });
  for (const kind of ["pointerup", "pointercancel", "blur"]) slider.addEventListener(kind, () => { held = false; });
  slider.addEventListener("input", () => tell(false));
  slider.addEventListener("change", () => tell(true));
  model.on("msg:custom", shown);
  model.send({ kind: "hello" });
  return () => {
    clearTimeout(timer);
    model.off("msg:custom", shown);
  };
}

export default { render };
