"""Photograph the panel in every state that somebody may meet, to be looked at one by one; and say what is cut.

    python tests/browser/looks.py DIR [--only exploding predict] [--looks light dark lecture zh] [--sizes 1280x720]

Each scene is one cell in a real JupyterLab. Below the name of a picture stands what a person cannot read whole in it:
text that its box cuts off, and a panel that does not fit the notebook.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from lab_page import LabPage
from lab_server import CHROMIUM_OPTIONS, end_kernels, require_chromium, running, serve
from playwright.sync_api import sync_playwright
from test_watch_stage import LOOP

SIZES, LOOKS = ("1280x720", "1366x768", "1440x900"), ("light", "dark", "lecture", "zh")


def section(name: str) -> Callable[[LabPage], None]:
    """Return what opens the section of that place in the menu, whatever the language."""

    def opened(lab: LabPage) -> None:
        buttons = lab.notebook.locator(".gradlab-menu button")
        if buttons.count() == len(PAGES):
            buttons.nth(PAGES.index(name)).click()
        elif name == "slow":  # a lecture has no other one
            buttons.first.click()

    return opened


def slow(lab: LabPage) -> None:
    """Open slow motion and go to the middle of a step."""
    section("slow")(lab)
    for _ in range(2):
        lab.notebook.locator(".gradlab-page button").first.click()
        lab.page.wait_for_timeout(400)


def guess(lab: LabPage) -> None:
    """Predict, and be told."""
    lab.notebook.locator(".gl-question .gl-small").first.click()
    lab.notebook.locator(".gl-reveal:enabled").click()


def hover(lab: LabPage) -> None:
    """Point at a layer and keep it."""
    box = lab.notebook.locator(".gl-picture").bounding_box()
    assert box is not None
    lab.page.mouse.click(box["x"] + 0.4 * box["width"], box["y"] + 60)


def nothing(lab: LabPage) -> None:
    """Leave it as the cell shows it."""


PAGES = ("more", "exercise", "slow", "closeup", "phase", "home")
PANEL = "import torch\nfrom gradlab import GradLab\nlab = GradLab({}, {})\n"
MODULE = (
    "torch.nn.Sequential(torch.nn.Linear(4, 16), torch.nn.ReLU(), torch.nn.Linear(16, 16), torch.nn.Linear(16, 3))"
)
OWN = f"network={MODULE}, data=(torch.randn(64, 4), torch.randint(0, 3, (64,)))"

# name: the panel's arguments, the steps that are taken, what a person then does
SCENES: dict[str, tuple[str, int, Callable[[LabPage], None]]] = {
    "healthy": ("preset='healthy'", 150, nothing),
    "fresh": ("", 0, nothing),
    "first_step": ("depth=20, gain=1.5", 1, nothing),
    "exploding": ("depth=20, gain=1.5", 2, nothing),
    "vanishing": ("preset='vanishing_sigmoid'", 60, hover),
    "diverged": ("depth=20, gain=1.5", 9, nothing),
    "compare": ("preset='clipping_rescues'", 40, nothing),
    "predict": ("preset='exploding_relu', predict=True", 0, nothing),
    "predicted": ("preset='exploding_relu', predict=True", 0, guess),
    "slow": ("depth=8", 3, slow),
    "more": ("depth=8", 20, section("more")),
    "exercise": ("depth=20, gain=1.5", 3, section("exercise")),
    "deeper": ("depth=8", 20, section("closeup")),
    "phase": ("depth=8", 20, section("phase")),
    "home": ("depth=8", 20, section("home")),
    "lstm": ("preset='lstm_forget_0'", 30, nothing),
    "transformer": ("preset='post_ln'", 20, nothing),
    "half": ("preset='fp16_underflow'", 30, nothing),
    "digits": ("dataset='digits', depth=4", 60, nothing),
    "own": (OWN, 30, nothing),
    "watch": ("", 0, nothing),
}

CUT = """() => [...document.querySelectorAll('.gradlab *, .gl-stage *')].filter(e => {
  const style = getComputedStyle(e);
  if (!e.checkVisibility({visibilityProperty: true}) || !e.textContent.trim()) return false;
  if (e.closest('.gl-hear, .gradlab-hidden') || e.children.length && !e.matches('.gl-verdict')) return false;
  const over = e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 2;
  return over && (style.overflowX === 'hidden' || style.overflowY === 'hidden');
}).map(e => `${e.className}: ${e.textContent.trim()}`)"""
SCROLLS = """() => [...document.querySelectorAll('.gradlab, .gradlab-knobs, .gradlab-column, .gl-stage, .gl-seen')]
  .filter(e => e.scrollHeight > e.clientHeight + 1 || e.scrollWidth > e.clientWidth + 1)
  .map(e => `${e.className}: ${e.scrollWidth} x ${e.scrollHeight} in ${e.clientWidth} x ${e.clientHeight}`)"""
LAPS = """() => {
  const shown = [...document.querySelectorAll('.gl-label')].filter(e => e.textContent);
  const all = shown.map(e => [e.textContent, e.getBoundingClientRect()]);
  const high = (a, b) => Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 2;
  const wide = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 2;
  return all.flatMap(([e, a], i) =>
    all.slice(i + 1).filter(([, b]) => wide(a, b) && high(a, b)).map(([f]) => `"${e}" lies upon "${f}"`));
}"""


def code(name: str, look: str) -> str:
    """Return the cell of a scene."""
    if name == "watch":
        return LOOP.replace("< 6", "< 2")
    arguments, steps, _ = SCENES[name]
    more = {"lecture": "lecture=True", "zh": "lang='zh'"}.get(look, "")
    call = PANEL.format(arguments or "depth=8", more).replace(", )", ")")
    return f"{call}lab.run({steps})\nlab" if steps else f"{call}lab"


def complaints(lab: LabPage, name: str) -> Iterator[str]:
    """Yield what cannot be read whole, or does not fit."""
    for kind, script in (("cut", CUT), ("scrolls", SCROLLS), ("overlap", LAPS)):
        yield from (f"{kind}: {found}" for found in lab.page.evaluate(script))
    panel = lab.notebook.locator(".gradlab, .gl-stage").first.bounding_box()
    view = lab.notebook.locator(".jp-WindowedPanel-outer").bounding_box()
    if name != "watch" and panel and view and panel["height"] > view["height"]:
        yield f"the panel is {panel['height']:.0f} pixels high, the notebook {view['height']:.0f}"


def photograph(lab: LabPage, name: str, look: str, sizes: list[str]) -> None:
    """Run a scene in one look and save a picture of each size."""
    lab.open(lab.write("looks.ipynb", code(name, look)))
    lab.command("apputils:change-theme", theme=f"JupyterLab {'Dark' if look == 'dark' else 'Light'}")
    lab.command("application:toggle-left-area")
    if not lab.run_all():
        print(f"{name}-{look}: {lab.errors()}")
        return
    lab.notebook.locator(".gl-stage").wait_for()
    lab.page.wait_for_timeout(300)
    SCENES[name][2](lab)
    for size in sizes:
        width, height = map(int, size.split("x"))
        lab.page.set_viewport_size({"width": width, "height": height})
        lab.page.wait_for_timeout(300)
        lab.notebook.locator(".gradlab, .gl-stage").first.scroll_into_view_if_needed()
        lab.page.wait_for_timeout(900)
        path = lab.screenshot(f"{name}-{look}-{size}")
        print(path.name, *complaints(lab, name), sep="\n    ")


def main() -> None:
    """Photograph the scenes, looks and sizes that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--only", nargs="+", choices=SCENES, default=list(SCENES))
    parser.add_argument("--looks", nargs="+", choices=LOOKS, default=list(LOOKS))
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    wanted = parser.parse_args()
    chromium = require_chromium(os.environ)
    with tempfile.TemporaryDirectory() as root, sync_playwright() as playwright:
        command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={root}"]
        with serve(command) as url:
            browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_OPTIONS)
            page = browser.new_page()
            lab = LabPage(page, url, Path(root), wanted.directory.resolve())
            for name in wanted.only:
                for look in wanted.looks:
                    photograph(lab, name, look, wanted.sizes)
                    end_kernels(url, running(url))
            print(*lab.console_errors, sep="\n")
            browser.close()


if __name__ == "__main__":
    main()
