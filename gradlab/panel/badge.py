"""`Badge`: whether accumulating is one large batch, measured, beside the rule that decides it."""

from __future__ import annotations

import html
import math
import time

from gradlab.engine import Trainer
from gradlab.inspect import Equality, accumulation_equality
from gradlab.panel.kit import Kit
from gradlab.panel.run import Run
from gradlab.plots import View

_EVERY = 1.0  # seconds between two measurements while training plays, and twenty times what one costs
_COLOURS = {"equal": "#009e73", "rounding": "#0072b2", "unequal": "#d55e00", "unknown": "#8c8c8c"}


class Badge:
    """A line with a sign, a number and a reason; empty while nothing is accumulated.

    Parameters
    ----------
    run : Run
        The panel's run.
    kit : Kit
        Makes the widgets.

    Attributes
    ----------
    box : ipywidgets.HTML
        What is displayed.
    found : Equality or None
        What was measured last; None while nothing is accumulated.
    words : str
        What it says.
    """

    def __init__(self, run: Run, kit: Kit) -> None:
        self._run, self._text = run, kit.text
        self.found: Equality | None = None
        self.words = ""
        self.box = kit.html()
        self._of: object = None
        self._last = self._cost = 0.0
        run.display.lenses.append(self._look)

    def _look(self, view: View, trainer: Trainer) -> View:
        """Measure if it is time; the view stays as it is."""
        if trainer.config.accumulation == "none":
            self._forget()
            return view
        of, now = (trainer, trainer.config, trainer.step_count), time.monotonic()
        rested = now - self._last > max(_EVERY, 20 * self._cost)
        if of != self._of and (rested or not self._run.playing):
            self._of = of
            self._measure(trainer)
            self._last = time.monotonic()
            self._cost = self._last - now
        return view

    def _measure(self, trainer: Trainer) -> None:
        try:
            found = accumulation_equality(trainer)
        except (ValueError, RuntimeError) as error:  # an own network that takes no other batch size, say
            self.found = None
            samples = sum(len(rows) for rows in trainer.next_window().micro_batches)
            self._say("unknown", self._text("badge.unknown", samples=samples), str(error))
            return
        self.found, kind = found, kind_of(found)
        difference = f"{found.relative_difference:.2g}"
        said = self._text(f"badge.{kind}", samples=found.samples, difference=difference)
        self._say(kind, said, found.explain(self._text))

    def _forget(self) -> None:
        self._of = self.found = None
        self.words = self.box.value = ""

    def _say(self, kind: str, said: str, reason: str) -> None:
        self.words = self._text("badge.why", badge=said, reason=reason) if reason else said
        tip = html.escape(self._text("tip.badge"), quote=True)
        style = f"border-left: 5px solid {_COLOURS[kind]}"
        self.box.value = f'<div class="gradlab-badge" title="{tip}" style="{style}">{html.escape(self.words)}</div>'


def kind_of(found: Equality) -> str:
    """Return which of the badge's four looks a measurement has."""
    if math.isnan(found.relative_difference):
        return "unknown"
    if found.causes == ("rounding",):
        return "rounding"
    return "equal" if found.equal else "unequal"
