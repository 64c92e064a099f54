"""`DeeperLook`: what theory and diagnosis say, and measurements that are made only if asked for."""

from __future__ import annotations

import html
import math
from collections import deque

import ipywidgets as widgets
import torch

from gradlab.engine import Trainer
from gradlab.inspect import (
    ClipCurve,
    Equality,
    Sharpness,
    accumulation_equality,
    clip_curve,
    gradient_histogram,
    gradient_noise,
    sharpness,
    through_time,
)
from gradlab.inspect.copied import Copied
from gradlab.locale import Said
from gradlab.panel.controller import Controller
from gradlab.panel.description import Description
from gradlab.panel.layout import WidgetSet, in_words
from gradlab.plots import draw_closeups, figure_png
from gradlab.stage.learned import Seldom

LOOKS = ("histogram", "noise", "sharpness", "clips", "time")
_SIZE = (460, 290)  # pixels of a picture
_PATIENCE = 5.0  # seconds that one look may take: so long the panel answers nothing
_BYTES = 256 * 2**20  # that the one large batch may hold, which accumulating is compared with
_POINTS = 200  # of the sharpness kept
_LIVE = 9  # times what a look takes, until there is another: the spectrum through time shall move, twice a second
_COLOURS = {"equal": "#009e73", "rounding": "#0072b2", "unequal": "#d55e00", "unknown": "#8c8c8c"}


class DeeperLook:
    """Sentences, the gradient check, whether accumulating is one large batch, and the pictures asked for."""

    width = 372

    def __init__(self, controller: Controller, description: Description, make: WidgetSet) -> None:
        act = controller.act
        self._of, self._description, self._text = controller, description, (text := make.text)
        names = ("units", *LOOKS)  # what the first shows stands on the stage
        alone = {"time": {"layout": widgets.Layout()}}  # not the one that all switches share: it is hidden alone
        self._switches = {
            name: make.switch(False, text(f"control.{name}"), text(f"tip.{name}"), **alone.get(name, {}))
            for name in names
        }
        check = make.button("button.check", "tip.check", lambda: act(description.check_gradients))
        self._said, self._badge, self._words = make.html(), make.html(), make.html()
        self._images = {
            name: make(widgets.Image, format="png", layout=widgets.Layout(display="none")) for name in LOOKS
        }
        looks = (part for name in LOOKS for part in (self._switches[name], self._images[name]))
        parts = (self._said, self._badge, make.box("row", check), self._switches["units"], *looks, self._words)
        self.page = make.box("page", *parts)
        self._points: deque[Sharpness] = deque(maxlen=_POINTS)
        self._sharp_of: int | None = None  # a number, as a trainer would be kept with all its snapshots
        self._of_step: object = None
        self._seldom = Seldom(0.48)
        for switch in self._switches.values():
            controller.hears(switch, lambda _: act(self._switched))
        self.show()

    def _switched(self) -> None:
        self._of.units, self._of_step = bool(self._switches["units"].value), None

    def show(self) -> None:
        """Follow the run: at once while it stands, now and then while it plays."""
        if self._of.playing and not self._seldom.due:
            return
        with self._seldom.spend(_LIVE) if self._switches["time"].value else self._seldom.spend():
            self._follow(self._of.trainer)

    def _follow(self, trainer: Trainer) -> None:
        said, colon = self._description.said.items(), self._text("info.colon")
        rows = (f"<div><b>{html.escape(head)}{colon}</b>{html.escape(words)}</div>" for head, words in said)
        self._said.value = in_words("", after="".join(rows))
        now = (self._of.run, trainer.config, trainer.step_count)
        if now != self._of_step:
            self._of_step = now
            self._show_badge(trainer)
            self._draw(trainer)

    # ------------------------------------------------------------------ pictures
    def _draw(self, trainer: Trainer) -> None:
        self._words.value = ""
        self._switches["time"].layout.display = "" if trainer.history.time_names else "none"
        for name, image in self._images.items():
            hidden = self._switches[name].layout.display == "none"
            if hidden or not self._switches[name].value or self._of.locked:
                image.layout.display = "none"
                continue
            try:
                image.value = self._picture(name, trainer)
                image.layout.display = ""
            except ValueError as error:  # the run left the finite numbers, say: the panel goes on without a look
                self._words.value = html.escape(self._text("closeup.failed", error=self._text.say(error)))

    def _picture(self, name: str, trainer: Trainer) -> bytes:
        """Return a look as a PNG as wide as the column."""
        figure = draw_closeups(
            gradient_histogram(trainer) if name == "histogram" else None,
            gradient_noise(trainer) if name == "noise" else None,
            self._sharpness(trainer) if name == "sharpness" else None,
            self._description.view,
            size=_SIZE,
            through_time=through_time(trainer) if name == "time" else None,
            clips=_clips(trainer) if name == "clips" else None,
        )
        return figure_png(figure, compression=1)

    def _sharpness(self, trainer: Trainer) -> list[Sharpness]:
        if self._of.run != self._sharp_of or (self._points and self._points[-1].step > trainer.step_count):
            self._sharp_of = self._of.run
            self._points.clear()
        if not self._points or self._points[-1].step != trainer.step_count:
            self._points.append(sharpness(trainer, seconds=_PATIENCE))
        return list(self._points)

    # ------------------------------------------------------------------ is accumulating one large batch?
    def _show_badge(self, trainer: Trainer) -> None:
        if trainer.config.accumulation == "none":
            self._badge.value = ""
            return
        kind, said = self._measure(trainer)
        tip = html.escape(self._text("tip.badge"), quote=True)
        style = f"border-color: {_COLOURS[kind]}"
        self._badge.value = f'<div class="gradlab-badge" title="{tip}" style="{style}">{html.escape(said)}</div>'

    def _measure(self, trainer: Trainer) -> tuple[str, str]:
        """Return which of the badge's four looks accumulating has, and whether it is one large batch in words."""
        rows = torch.cat(trainer.next_window().micro_batches)
        samples, copied = len(rows), Copied(trainer)
        try:
            if (size := samples * copied.held(lambda: copied.loss(rows[:2], 0)) // len(rows[:2])) > _BYTES:
                raise ValueError(Said("badge.large", size=size // 2**20))
            found = accumulation_equality(trainer)
        except (ValueError, RuntimeError) as error:  # an own network that takes no other batch size, say
            said = self._text("badge.unknown", samples=samples)
            return "unknown", self._text("badge.why", badge=said, reason=self._text.say(error))
        kind = kind_of(found)
        difference = f"{found.relative_difference:.2g}"
        said = self._text(f"badge.{kind}", samples=found.samples, difference=difference)
        reason = found.explain(self._text)
        return kind, self._text("badge.why", badge=said, reason=reason) if reason else said

    def close(self) -> None:
        """Let the trainer that was looked at go."""
        self._sharp_of = self._of_step = None
        self._points.clear()


def _clips(trainer: Trainer) -> ClipCurve:
    """Return what each threshold would have clipped, with the one in force."""
    config = trainer.config
    return clip_curve(trainer.history, present=config.clip_threshold if config.clip == "global_norm" else None)


def kind_of(found: Equality) -> str:
    """Return which of the badge's four looks a measurement has."""
    if math.isnan(found.relative_difference):
        return "unknown"
    if found.causes == ("rounding",):
        return "rounding"
    return "equal" if found.equal else "unequal"
