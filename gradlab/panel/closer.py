"""Looking deeper: a second picture, drawn now and then and only if asked for."""

from __future__ import annotations

import html
import time
from collections import deque

import ipywidgets as widgets

from gradlab.engine import Trainer
from gradlab.inspect import Sharpness, gradient_histogram, gradient_noise, sharpness
from gradlab.panel.kit import Kit
from gradlab.plots import View, draw_closeups, figure_png

LOOKS = ("units", "histogram", "noise", "sharpness")
_EVERY = 1.0  # seconds between two looks while training runs, and ten times what a look costs
_POINTS = 200  # of the sharpness kept


class CloserLook:
    """Measures and draws what the boxes of the section ask for.

    Attributes
    ----------
    boxes : dict of str to Checkbox
        One for each of `LOOKS`; ``"units"`` belongs to the main picture.
    page : ipywidgets.VBox
        Boxes and picture.
    """

    def __init__(self, kit: Kit) -> None:
        self._text = text = kit.text
        self.boxes = {
            name: kit(
                widgets.Checkbox,
                False,
                description=text(f"control.{name}"),
                tooltip=text(f"tip.{name}"),
                indent=False,
                layout={"width": "210px"},
            )
            for name in LOOKS
        }
        self._image = kit(widgets.Image, format="png", layout=widgets.Layout(display="none"))
        self._image.add_class("gradlab-closeup")
        self._words = kit.html()
        self.page = kit(widgets.VBox, [kit.row(*self.boxes.values()), self._words, self._image])
        self._points: deque[Sharpness] = deque(maxlen=_POINTS)
        self._of: Trainer | None = None
        self._last = self._cost = 0.0

    def on(self, name: str) -> bool:
        """Whether a look is asked for."""
        return bool(self.boxes[name].value)

    def update(self, trainer: Trainer, view: View, now: bool) -> None:
        """Look and draw if anything is asked for and it is time, or at once."""
        started = time.monotonic()
        if not any(self.on(name) for name in LOOKS[1:]):
            self._image.layout.display = "none"
            self._words.value = ""
            return
        if now or started - self._last > max(_EVERY, 10 * self._cost):
            self._look(trainer, view)
            self._last = time.monotonic()
            self._cost = self._last - started

    def _look(self, trainer: Trainer, view: View) -> None:
        try:
            figure = draw_closeups(
                gradient_histogram(trainer) if self.on("histogram") else None,
                gradient_noise(trainer) if self.on("noise") else None,
                self._sharpness(trainer) if self.on("sharpness") else None,
                view,
            )
        except ValueError as error:  # the run left the finite numbers, say: the panel goes on without a look
            self._words.value = html.escape(self._text("closeup.failed", error=self._text.say(error)))
            return
        self._words.value = ""
        self._image.value = figure_png(figure, view.theme)
        self._image.layout.display = ""

    def _sharpness(self, trainer: Trainer) -> list[Sharpness]:
        if trainer is not self._of or (self._points and self._points[-1].step > trainer.step_count):
            self._of = trainer
            self._points.clear()
        if not self._points or self._points[-1].step != trainer.step_count:
            self._points.append(sharpness(trainer))
        return list(self._points)
