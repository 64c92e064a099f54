"""`Timeline`: looking back at the recorded steps, and going back to one of them."""

from __future__ import annotations

import dataclasses
import html
import time
from collections import deque

import ipywidgets as widgets
import numpy as np

from gradlab.engine import Trainer
from gradlab.history import Array, History
from gradlab.panel.bridge import Bridge, Pointer, key
from gradlab.panel.kit import Kit
from gradlab.panel.picture import Picture
from gradlab.panel.run import Run
from gradlab.panel.scrubber import Scrubber
from gradlab.panel.words import happened
from gradlab.plots import View
from gradlab.plots.pointing import step_at

_TELL_EVERY = 0.25  # seconds between two tellings of the latest step while it plays
_NAP = 0.01  # seconds between two looks whether the browser has taken the last frame


class Timeline:
    """A slider over the recorded steps that moves every picture, and the way back to the step shown.

    Parameters
    ----------
    run : Run
        The panel's run; the network stays where it is while older steps are shown.
    picture : Picture
        The panel's picture: pressing in its loss or heat map moves the slider too.
    bridge : Bridge
        Tells where the picture is pressed.
    kit : Kit
        Makes the widgets.

    Attributes
    ----------
    box : ipywidgets.VBox
        What is displayed.
    scrubber : Scrubber
        The slider, over the rows of the history.
    live, latest : ipywidgets.Button
        Back to the state of the step shown; back to showing the latest step.
    words : str
        What is said of the step shown.
    """

    def __init__(self, run: Run, picture: Picture, bridge: Bridge, kit: Kit) -> None:
        self._run, self._picture, self._text = run, picture, (text := kit.text)
        self._at: int | None = None  # the number of the step shown; None follows the latest
        self._asked: deque[tuple[tuple[int, bool] | Pointer, bool]] = deque()  # and whether it was playing then
        self._held = self._stale = False
        self._said = self.words = ""
        self._told = 0.0
        self.scrubber = kit(Scrubber, text("time.slider"), text("tip.slider"))
        buttons = (kit.button(f"time.{name}", f"tip.{name}", disabled=True) for name in ("live", "latest"))
        self.live, self.latest = buttons
        key(self.live, "t")
        self._words = kit.html()
        self.box = kit(widgets.VBox, [kit.row(self.scrubber, self.live, self.latest), self._words])
        self.scrubber.on_moved.append(lambda row, done: self._ask((row, done)))
        bridge.on_pointer.append(self._ask)
        self.live.on_click(lambda _: run.post(self._make_live))
        self.latest.on_click(lambda _: run.post(lambda: self._show_step(None)))
        run.hooks.stepped.append(lambda _: self._follow())
        run.hooks.replaced.append(self._follow)
        run.hooks.rewound.append(lambda _: self._follow())
        run.display.lenses.append(self._look)

    # ------------------------------------------------------------------ from code
    @property
    def shown_step(self) -> int | None:
        """Number of the recorded step that the pictures show; None while they follow the latest."""
        return self._at

    def show_step(self, step: int | None) -> None:
        """Show a recorded step in every picture, training paused; None for the latest.

        A step that is no longer kept gives way to the last one kept before it.

        Raises
        ------
        ValueError
            If no such step was taken.
        """
        taken = self._run.trainer.step_count
        if step is not None and (isinstance(step, bool) or not isinstance(step, int) or not 0 <= step <= taken):
            raise ValueError(f"step={step!r}; expected None or a whole number from 0 to {taken}, the steps taken")
        self._run.pause()
        self._run.call(lambda: self._show_step(step))

    # ------------------------------------------------------------------ under the run's lock
    def _ask(self, what: tuple[int, bool] | Pointer) -> None:
        """Let the worker deal with a touch; touches that pile up while it draws become one picture."""
        self._asked.append((what, self._run.playing))
        self._run.post(self._answer)

    def _answer(self) -> None:
        done = touched = False
        while self._asked:
            what, playing = self._asked.popleft()
            done |= self._point(what) if isinstance(what, Pointer) else self._move(*what)
            touched |= playing
        if self._run.playing and (self._stale or done):
            if not touched:  # Play was pressed after the touch: there is nothing to look back at any more
                self._at, self._stale = None, False
                return
            self._pause()
        if done:
            self._stale = False
            self._run.refresh()
        elif self._stale and self._picture.due():
            self._stale = False
            self._run.display.draw(self._run.trainer, playing=False)
        elif self._stale:
            time.sleep(_NAP)
            self._run.post(self._answer)

    def _pause(self) -> None:
        self._run.playing = False
        self._said = self._text("time.paused", latest=self._run.trainer.step_count)
        self._run.refresh(self._said)

    def _move(self, row: int, done: bool) -> bool:
        """Put a row of the history before the pictures; the newest one means following again."""
        steps = self._run.trainer.history.column("step")
        if len(steps):
            self._at = int(steps[row]) if 0 <= row < len(steps) - 1 else None
            self._stale = True
        return done

    def _point(self, pointer: Pointer) -> bool:
        """Follow the mouse from a press in an axis over the steps until it is let go."""
        step = step_at(self._picture.live, pointer.x, pointer.y, inside=pointer.what == "down")
        if pointer.what == "down":
            self._held = step is not None
        held, self._held = self._held, self._held and pointer.what != "up"
        steps = self._run.trainer.history.column("step")
        if held and step is not None and len(steps):
            self._move(int(np.abs(steps - step).argmin()), False)
        return held and pointer.what == "up" and len(steps) > 0

    def _show_step(self, step: int | None) -> None:
        steps = self._run.trainer.history.column("step")
        row = len(steps) if step is None else _row_of(steps, step)
        self._move(row, True)
        self._run.refresh()

    def _make_live(self) -> None:
        if self._at is not None:
            self._run.playing = False
            self._run.rewind(self._at)

    def _follow(self) -> None:
        """Show the latest step again: the run has moved."""
        self._at = None
        if self._said and self._run.display.alert == self._said:
            self._run.display.alert = ""
        self._said = ""

    def _look(self, view: View, trainer: Trainer) -> View:
        """Let the pictures show the row chosen, and say which one that is."""
        history = trainer.history
        steps = history.column("step")
        if self._at is None or not len(steps):
            self._tell(history, len(steps) - 1, None)
            return view
        row = _row_of(steps, self._at)
        self._tell(history, row, trainer.step_count)
        return dataclasses.replace(view, at=row)

    def _tell(self, history: History, row: int, latest: int | None) -> None:
        now = time.monotonic()
        if self._run.playing and now - self._told < _TELL_EVERY:  # each telling takes steps from the training
            return
        self._told = now
        said = happened(history, row, self._text) if row >= 0 else self._text("time.none")
        self.scrubber.show(len(history), max(row, 0), said)
        for button in (self.live, self.latest):
            button.disabled = latest is None
        lines = [said]
        if latest is not None:
            lines.append(self._text("time.stays", step=history[row].step, latest=latest))
        self.words = " ".join(lines)
        shown = "".join(f"<div>{html.escape(line)}</div>" for line in lines)
        none = "" if row >= 0 else " gradlab-time-none"  # a lecture has no room for a slider over nothing
        self._words.value = f'<div class="gradlab-time{none}">{shown}</div>'


def _row_of(steps: Array, step: int) -> int:
    """Return the row of a step, or of the last one kept before it."""
    return int(np.searchsorted(steps, step, "right")) - 1
