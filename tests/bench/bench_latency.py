"""How soon the panel answers while it trains, in JupyterLab: `python -m tests.bench.bench_latency`."""

import statistics
import time

from playwright.sync_api import expect

from tests.bench.browser import jupyterlab
from tests.bench.report import options, save
from tests.browser.panel_page import handle

PREPARE = """
import time, torch
torch.set_num_threads(1)
from gradlab import Config, GradLab, Trainer

CONFIG = Config(depth=10, width=32, batch_size=32, lr=0.01)
shown, steps = [], []

def watch(lab):
    stage = next(part for part in lab.children if hasattr(part, "controls_width"))
    send, step = stage.send, Trainer.step

    def told(content, buffers=None):
        send(content, buffers)
        shown.append((time.time(), lab.config.lr, lab.trainer.step_count))

    def timed(trainer):
        record = step(trainer)
        steps.append(time.time())
        return record

    stage.send, Trainer.step = told, timed
"""
WANTED = {"pause": 0.08, "slider": 0.15, "visible": 0.4, "first visible": 0.5}
CELL = "lab = GradLab(CONFIG)\nlab"
CLICKED = (
    "window.clicked = 0; document.addEventListener('click', () => { window.clicked = Date.now() / 1000; }, true);"
)
PICTURE = "document.querySelector('.gl-picture canvas')"
# the moment a key reached the slider, and the first picture whose bytes left the kernel after the knob had moved
PRESSED = "document.addEventListener('keydown', () => { window.pressed = Date.now() / 1000; }, true);"
PAINTED = """window.loaded = [];
const clear = CanvasRenderingContext2D.prototype.clearRect;
CanvasRenderingContext2D.prototype.clearRect = function (...box) {
  if (this.canvas.parentElement?.classList.contains("gl-picture")) window.loaded.push(Date.now() / 1000);
  return clear.apply(this, box);
};"""


def pause(lab):
    """Return the seconds from the click on Pause to the end of the last step."""
    lab.button("Play").click()
    lab.page.wait_for_timeout(400)
    lab.button("Pause").click()
    expect(lab.button("Play")).to_be_visible()
    return max(0.0, lab.evaluate("steps[-1]") - lab.page.evaluate("window.clicked"))


def slider(lab, key):
    """Return the seconds from a key on the learning rate's slider to the first picture painted that shows it."""
    lab.page.evaluate("window.loaded = []")
    lr = lab.evaluate("lab.config.lr")
    handle(lab, "Learning rate").press(key)
    pressed = lab.page.evaluate("window.pressed")
    lab.page.wait_for_timeout(150)
    moved = f"next((t for t, lr, _ in shown if t > {pressed} and lr != {lr!r}), None)"
    while (sent := lab.evaluate(moved)) is None:
        lab.page.wait_for_timeout(50)
    lab.page.wait_for_function(f"window.loaded.some(t => t >= {sent})")
    return min(t for t in lab.page.evaluate("window.loaded") if t >= sent) - pressed


def visible(lab):
    """Return the seconds from running the cell to a stage that is there."""
    lab.page.evaluate(f"window.old = {PICTURE}")  # undefined before the first
    start = time.perf_counter()
    lab.page.evaluate("() => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = 1; }")
    lab.page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-cell'); }")
    lab.page.wait_for_function(f"() => {{ const p = {PICTURE}; return p && p !== window.old && p.width > 0; }}")
    took = time.perf_counter() - start
    lab.wait_idle()
    return took


def first_visible(lab, number):
    """Return the same for the first panel of a kernel and of a page; gradlab was imported by the cell before."""
    lab.open(lab.write(f"latency{number}.ipynb", PREPARE, CELL))
    assert lab.run_cell(0), lab.errors()
    lab.page.wait_for_timeout(1000)
    return visible(lab)


def row(name, times):
    times = sorted(times)
    late = times[min(len(times) - 1, round(0.95 * len(times)))]
    return {
        "what": name,
        "median": statistics.median(times),
        "p95": late,
        "tries": len(times),
        "wanted": WANTED[name],
    }


def main(arguments=None):
    found = options(__doc__, arguments, tries=20)
    with jupyterlab() as lab:
        first = [first_visible(lab, number) for number in range(max(2, found.tries // 10))]
        expect(lab.notebook.locator(".gl-stage")).to_be_visible()
        lab.notebook.get_by_role("radio", name="max", exact=True).click()
        lab.page.wait_for_timeout(3000)  # torch loads the rest of itself once a kernel's first panel is seen
        opened = [visible(lab) for _ in range(max(2, found.tries // 5))]
        lab.page.wait_for_timeout(1500)
        lab.evaluate("watch(lab)")
        lab.notebook.get_by_role("radio", name="max", exact=True).click()
        for script in (CLICKED, PRESSED, PAINTED):
            lab.page.evaluate(f"() => {{ {script} }}")
        paused = [pause(lab) for _ in range(found.tries)]
        lab.button("Play").click()
        lab.page.wait_for_timeout(1000)
        keys = ("ArrowRight", "ArrowLeft")
        moved = [slider(lab, keys[number % 2]) for number in range(found.tries)]
        lab.button("Pause").click()
    rows = [
        row("pause", paused),
        row("slider", moved),
        row("visible", opened),
        row("first visible", first),
    ]
    for measured in rows:
        print(
            f"{measured['what']}: median {1e3 * measured['median']:.0f} ms, 95th percentile "
            f"{1e3 * measured['p95']:.0f} ms of {measured['tries']}, wanted {1e3 * measured['wanted']:.0f} ms"
        )
    save("latency", rows)


if __name__ == "__main__":
    main()
