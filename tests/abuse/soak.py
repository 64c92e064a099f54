"""What only shows after a long time: `python -m tests.abuse.soak [steps] [panels] [together] [monkey]`.

- ``steps``: a panel trains a million steps, asked as the browser asks at full speed; what it holds must not grow.
- ``panels``: 200 panels are opened, played and closed in one kernel; the second half must leave nothing more.
- ``together``: ten panels play at once in one notebook in JupyterLab; each of them must move.
- ``monkey``: mouse and keys at random in JupyterLab for ten minutes (`--minutes`, `--seed`): no error on the console,
  none in the notebook, nothing stuck, memory bounded. Its last acts are printed if it finds something.

Without a name all four run. Each prints one line, and what fell short makes the exit code 1.
"""

import argparse
import random
import sys
import time
from collections import deque
from math import isfinite

import comm
import torch
from playwright.sync_api import Error

from gradlab import GradLab
from tests.bench.bench_memory import left_behind, megabytes
from tests.bench.browser import jupyterlab
from tests.browser.panel_page import open_panel, wait_for_step
from tests.helpers.panels import FrontEnd

GROWTH, PER_PANEL, MONKEY = 64, 0.25, 200  # MiB that a run, a panel and the monkey may leave
EARLY = 10_000  # steps after which the memory of a long run is first looked at
TICK = 55  # milliseconds
PATIENCE = 60  # seconds in which an idle panel answers on a busy machine


def steps(options):
    """Train a small network in a panel; return the line and whether it held."""
    front_end = FrontEnd()
    comm.create_comm = front_end.make_comm
    with front_end.cell():
        lab = GradLab(depth=4, width=2, batch_size=4, n_samples=64, lr=1e-4)
        lab.play()
    front_end.show(lab)
    early, start = 0.0, time.perf_counter()
    while lab.trainer.step_count < options.steps:
        front_end.tick(lab, None, TICK)
        del front_end.heard[:-5]
        early = early or (megabytes() if lab.trainer.step_count >= EARLY else 0.0)
    taken, kept, more = lab.trainer.step_count, len(lab.history), megabytes() - early
    true = isfinite(lab.history[-1].loss) and lab.history[-1].step == taken - 1
    lab.close()
    took = time.perf_counter() - start
    line = f"{taken} steps in a panel, {took:.0f} s: {more:+.0f} MiB since step {EARLY}, {kept} kept"
    return line, true and more < GROWTH


def panels(options):
    """Open, play and close panels in one kernel."""
    front_end = FrontEnd()
    comm.create_comm = front_end.make_comm
    half = options.panels // 2
    first, second = left_behind(front_end, half), left_behind(front_end, half)
    line = f"{2 * half} panels opened, played and closed: {first:+.1f} MiB, then {second:+.1f} MiB"
    return line, second < max(8.0, PER_PANEL * half)


def together(options):
    """Play ten panels at once."""
    names = [f"lab{i}" for i in range(10)]
    with jupyterlab() as lab:
        cells = [f"from gradlab import GradLab\n{n} = GradLab(depth={3 + i})\n{n}" for i, n in enumerate(names)]
        lab.open(lab.write("ten.ipynb", *cells))
        fine, before = lab.run_all(), lab.memory()
        lab.evaluate(f"[panel.play() for panel in ({', '.join(names)})] and None")
        end, counts = time.monotonic() + max(20.0, 60 * options.minutes / 5), []
        while time.monotonic() < end:
            lab.page.mouse.wheel(0, 700 * (-1) ** int(time.monotonic() / 8))
            lab.page.wait_for_timeout(500)
            counts = lab.evaluate(f"[panel.trainer.step_count for panel in ({', '.join(names)})]")
        line = f"ten panels at once: {counts} steps, {lab.memory() - before:+.0f} MiB, {complaints(lab)}"
        return line, fine and min(counts) > 0 and not lab.console_errors and not lab.errors()


def complaints(lab):
    found = [*lab.console_errors, *lab.errors()]
    return f"{len(found)} errors" + "".join(f"\n    {text[:300]}" for text in found[:5])


# ---------------------------------------------------------------------- the monkey
PANEL = ".jp-NotebookPanel:not(.lm-mod-hidden) .gradlab"
KEYS = (
    "Alt+p",
    "Alt+s",
    "Alt+r",
    "Alt+b",
    "Alt+k",
    "Alt+c",
    "Alt+m",
    "ArrowLeft",
    "ArrowRight",
    "ArrowUp",
    "ArrowDown",
)
KEYS += ("Enter", "Escape", "Tab", "Home", "End", "PageUp", "PageDown", "Space")
TEXTS = ("0", "-1", "nan", "1e9", "3", "0.01", "", "x" * 300, "1e-300", "12", "½", "None")


class Monkey:
    """Acts at random on the panel that is shown; the same seed draws the same numbers."""

    def __init__(self, lab, seed):
        self.lab, self.page, self.random = lab, lab.page, random.Random(seed)
        self.acts = deque(maxlen=30)
        self.count, self.computed = 0, 0.0  # acts, and seconds of the kernel's processor until they were answered

    def act(self):
        """Do one thing that a person could do."""
        does = self.random.choices((self.click, self.drag, self.key, self.type, self.choose), (5, 2, 3, 1, 1))[0]
        self.count += 1
        try:
            does()
        except Error as error:  # what it aimed at has gone: a menu that closed, a section that was folded
            self.note(f"missed ({str(error).splitlines()[0][:80]})")

    def note(self, what):
        self.acts.append(what)

    def one_of(self, selector):
        """Return one visible element of the panel, or None."""
        return self.page.evaluate_handle(
            "([panel, selector, at]) => { const seen = [...(document.querySelector(panel)?.querySelectorAll(selector)"
            " ?? [])].filter(e => e.checkVisibility()); return seen[Math.floor(at * seen.length)] ?? null; }",
            [PANEL, selector, self.random.random()],
        ).as_element()

    def is_panel(self, x, y):
        """Whether the mouse would meet the panel there, not JupyterLab."""
        return self.page.evaluate("([x, y]) => !!document.elementFromPoint(x, y)?.closest('.gradlab')", [x, y])

    def place(self):
        """Return some place of the panel on the screen."""
        box = self.page.locator(PANEL).first.bounding_box(timeout=1000)
        x = box["x"] + box["width"] * self.random.random()
        return x, box["y"] + box["height"] * self.random.random()

    def click(self):
        target = self.one_of("button, [role=menuitem], [role=radio], input[type=checkbox], a[role=button]")
        if target is None or self.random.random() < 0.2:
            x, y = self.place()
            if self.is_panel(x, y):
                self.note(f"click at {x:.0f}, {y:.0f}")
                self.page.mouse.click(x, y)
        else:
            self.note(f"click {(target.get_attribute('aria-label') or target.inner_text() or '?')[:40]!r}")
            target.click(timeout=800)

    def drag(self):
        slider = self.one_of("[role=slider]")
        box = slider.bounding_box() if slider and self.random.random() < 0.7 else None
        x, y = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2) if box else self.place()
        if not self.is_panel(x, y):
            return
        dx, dy = self.random.uniform(-150, 150), self.random.uniform(-20, 20)
        self.note(f"drag from {x:.0f}, {y:.0f} by {dx:.0f}")
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(x + dx, y + dy, steps=4)
        self.page.mouse.up()

    def key(self):
        inside = self.page.evaluate("() => !!document.activeElement?.closest('.gradlab')")
        if inside:
            name = self.random.choice(KEYS)
            self.note(f"key {name}")
            self.page.keyboard.press(name)
        elif target := self.one_of("canvas, .gl-picture, button"):
            self.note("focus")
            target.focus()

    def type(self):
        if target := self.one_of("input[type=text], input[type=number]"):
            text = self.random.choice(TEXTS)
            self.note(f"type {text[:20]!r}")
            target.fill(text, timeout=800)
            target.press("Enter", timeout=800)

    def choose(self):
        if target := self.one_of("select:not([disabled])"):
            labels = [option.inner_text() for option in target.query_selector_all("option")]
            label = self.random.choice(labels)
            self.note(f"choose {label!r}")
            target.select_option(label=label, timeout=800)

    def is_answered(self):
        """Whether the panel obeys, once what the acts asked for is done: paused and anew, Step takes one step.

        Acts that held the kernel's processor longer than a person waits are none that were answered.
        """
        self.page.keyboard.press("Escape")
        taken = 0
        try:
            self.lab.wait_idle(10 * PATIENCE)
            computed, before = self.lab.evaluate("__import__('time').process_time()"), self.computed
            self.computed = computed
            if computed - before > PATIENCE * 2:
                self.note(f"held up: {computed - before:.0f} s of the kernel's processor")
                return False
            end = time.monotonic() + PATIENCE
            while taken != 1 and time.monotonic() < end:
                self.lab.wait_idle(PATIENCE)
                taken = 0
                if trace := self.lab.evaluate("anew()"):
                    raise RuntimeError(trace)
                self.lab.button("Step").first.click(timeout=1000 * PATIENCE)
                for _ in range(10):  # a large network takes its time
                    self.page.wait_for_timeout(300)
                    taken = taken or self.lab.evaluate("len(lab.history)")  # one that diverged is recorded, too
        except (Error, RuntimeError) as error:
            self.note(f"no answer: {str(error)[:2000]}")
        self.note(f"after Reset and Step: {taken} steps")
        if taken != 1:
            self.note(self.lab.evaluate("repr((lab.alert, lab.config))"))
            self.lab.screenshot("monkey")
        return taken == 1


OPEN = """
import gc
import traceback
from gradlab import GradLab

def closed():
    lab.close()
    gc.collect()

def anew():
    try:
        lab.pause()
        lab.reset()
    except Exception:
        return traceback.format_exc(limit=-8)

lab = GradLab(depth=4)
lab
"""


def monkey(options):
    """Let the monkey at one panel."""
    with jupyterlab() as lab:
        lab.page.set_viewport_size({"width": 1366, "height": 768})
        open_panel(lab, OPEN)
        lab.button("Step").first.click()
        wait_for_step(lab, 0)
        one, before, end = Monkey(lab, options.seed), lab.memory(), time.monotonic() + 60 * options.minutes
        answered = True
        while time.monotonic() < end and answered and not lab.console_errors and not lab.errors():
            for _ in range(20):
                one.act()
            answered = one.is_answered()
        lab.evaluate("closed()")
        more = lab.memory() - before
        bad = not answered or lab.console_errors or lab.errors() or more > MONKEY
        line = (
            f"a monkey (seed {options.seed}), {one.count} acts: {more:+.0f} MiB, "
            f"{'answers' if answered else 'STUCK'}, {complaints(lab)}"
        )
        acts = "".join(f"\n    {act}" for act in one.acts)
        return (f"{line}\n  its last acts:{acts}" if bad else line), not bad


PARTS = {"steps": steps, "panels": panels, "together": together, "monkey": monkey}


def main(arguments=None):
    """Run the parts asked for; return 1 if one fell short."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"some of {', '.join(PARTS)}; all without a name")
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--panels", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"{', '.join(sorted(unknown))}; expected some of {', '.join(PARTS)}")
    torch.set_num_threads(1)
    held = True
    for name in options.parts or PARTS:
        line, fine = PARTS[name](options)
        print(f"{'ok   ' if fine else 'SHORT'} {line}", flush=True)
        held &= fine
    return int(not held)


if __name__ == "__main__":
    sys.exit(main())
