"""`Predictor`: the profile stays hidden until a prediction is made; then both are shown and scored."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping
from dataclasses import replace

import ipywidgets as widgets

from gradlab.config import Config
from gradlab.engine import Trainer
from gradlab.growth import way
from gradlab.guess import Score, measured_decades
from gradlab.history import Array
from gradlab.panel.bridge import Bridge, Pointer, key
from gradlab.panel.kit import Kit
from gradlab.panel.picture import Picture
from gradlab.panel.run import Run
from gradlab.plots import View
from gradlab.plots.guess import growth_at

_SIZES = (1.02, 1.05, 1.1, 1.15, 1.2, 1.3, 1.4, 1.6, 1.8, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0, 10.0, 20.0, 50.0, 100.0)
_FIRST = {"growing": 2.0, "flat": 1.0, "shrinking": 0.5}


def factor(growth: float) -> str:
    """Return a growth as people say it: ``x 2``, or ``/ 2`` where it shrinks."""
    size = float(f"{max(growth, 1.0 / growth):.3g}")
    return f"{'x' if growth >= 1.0 else '/'} {size:g}"


def decades(number: float) -> str:
    """Return a growth given in decades as a factor, however large."""
    if math.isinf(number):
        return "x 0" if number < 0 else "x inf"
    return factor(10.0**number) if abs(number) < 4 else f"{'x' if number > 0 else '/'} 1e{abs(number):.0f}"


class Predictor:
    """A box with the question; hides what was measured of the layers through the display's lens.

    Attributes
    ----------
    box : ipywidgets.VBox
        What is displayed.
    guess : float or None
        The growth per layer that is predicted.
    hidden : bool
        Whether the profile is hidden.
    scores : list of Score
        One for each reveal.
    """

    def __init__(self, run: Run, picture: Picture, bridge: Bridge, kit: Kit) -> None:
        self._run, self._picture, self._text = run, picture, (text := kit.text)
        self.guess: float | None = None
        self.hidden = False
        self.scores: list[Score] = []
        self._score: Score | None = None
        self._seen: Config | None = None
        self._following = False  # whether the slider is only put where a line was drawn
        self._question, self._said = kit.html(), kit.html()
        self.ways = {name: kit.button(f"predict.{name}", f"tip.{name}") for name in _FIRST}
        options = [(factor(f), f) for f in (*(1.0 / s for s in reversed(_SIZES)), 1.0, *_SIZES)]
        self.slider = kit(
            widgets.SelectionSlider,
            options=options,
            value=1.0,
            description=text("predict.per_layer"),
            tooltip=text("tip.per_layer"),
            layout={"width": "300px"},
        )
        self.reveal = kit.button("predict.reveal", "tip.reveal")
        key(self.reveal, "g")
        self._row = kit(
            widgets.HBox,
            [*self.ways.values(), self.slider, self.reveal],
            layout=widgets.Layout(),
        )
        self._row.add_class("gradlab-row")
        self.box = kit(widgets.VBox, [self._question, self._row, self._said], layout=widgets.Layout())
        self.box.add_class("gradlab-predict")
        self._wire(bridge)
        self._hide_again()

    def _wire(self, bridge: Bridge) -> None:
        run = self._run
        for name, button in self.ways.items():
            button.on_click(lambda _, growth=_FIRST[name]: run.post(lambda: self._choose(growth)))
        self.slider.observe(lambda change: self._following or run.post(lambda: self._slide(change["new"])), "value")
        self.reveal.on_click(lambda _: run.post(self._reveal))
        bridge.on_pointer.append(lambda pointer: run.post(lambda: self._draw(pointer)))
        run.hooks.replaced.append(self._hide_again)
        run.display.lenses.append(self._look)
        run.display.tellers.append(self._tell)

    # ------------------------------------------------------------------ under the run's lock
    def predict(self, growth: float) -> None:
        """Predict a growth of the backward signal per layer toward the input; below 1 it shrinks."""
        if not self.hidden:
            return
        self.guess = growth
        self._show()

    def _slide(self, growth: float) -> None:
        """Predict by the slider; it may only be following a line drawn between its notches."""
        if self.guess is None or growth != self._notch(self.guess):
            self._choose(growth)

    def _choose(self, growth: float) -> None:
        """Predict by a button or by drawing; the slider follows."""
        if self.hidden:
            self.predict(growth)
            self._following = True
            try:
                self.slider.value = self._notch(growth)
            finally:
                self._following = False
            self._run.refresh()

    def _notch(self, growth: float) -> float:
        """Return the slider's value nearest to a growth."""
        return min((value for _, value in self.slider.options), key=lambda value: abs(math.log(value / growth)))

    def _draw(self, pointer: Pointer) -> None:
        if not self.hidden:
            return
        history, measure = self._run.display.shown_history(self._run.trainer), self._run.display.measure
        growth = growth_at(self._picture.live.figure, pointer.x, pointer.y, history, measure)
        if growth is not None:
            self._choose(growth)

    def _reveal(self) -> None:
        if self.hidden and self.guess is not None:
            self.show_measured()

    def show_measured(self) -> None:
        """Show what was measured beside the prediction, and score it."""
        signal, measured = self._signal(), measured_decades(self._signal())
        if measured is None or self.guess is None:
            return
        layers = len(signal) - 1
        self._score = Score((layers - 1) * math.log10(self.guess), measured, layers)
        self.scores.append(self._score)
        self.hidden = False
        self._seen = self._run.trainer.config
        self._show()
        self._run.refresh()

    def _hide_again(self) -> None:
        """Hide a network that was not seen yet."""
        config = self._run.trainer.config
        if self._seen is not None and not _restarts(self._seen, config):
            return
        self.guess, self._score = None, None
        self.hidden = measured_decades(self._signal()) is not None
        self._show()

    def _signal(self) -> Array:
        return self._run.display.shown_history(self._run.trainer).column("delta_norm")[0]

    # ------------------------------------------------------------------ showing
    def _look(self, view: View, _: Trainer) -> View:
        if self.hidden:  # neither theory nor an earlier run may tell
            view = replace(view, theory=None, ghost=None, rival=None)
        return replace(view, guess=self.guess, hidden=self.hidden)

    def _tell(self, _: Trainer) -> Mapping[str, str]:
        return {self._text("predict.head"): self.sentence} if self._score is not None else {}

    @property
    def sentence(self) -> str:
        """The score in words; before there is one, what was predicted."""
        if self._score is None:
            return self._prediction() if self.hidden else self._text("predict.shallow")
        score, text = self._score, self._text
        said = text(
            "predict.score",
            points=score.points,
            guessed_way=text(f"predict.way.{way(score.guessed)}"),
            guessed=decades(score.guessed),
            measured_way=text(f"predict.way.{way(score.measured)}"),
            measured=decades(score.measured),
            missed=self._missed(score),
        )
        if len(self.scores) > 1:
            mean = sum(s.points for s in self.scores) / len(self.scores)
            said += " " + text("predict.mean", count=len(self.scores), points=f"{mean:.0f}")
        return said

    def _missed(self, score: Score) -> str:
        if math.isinf(score.measured):
            return self._text("predict.reached_zero" if score.measured < 0 else "predict.not_finite")
        return self._text("predict.missed", decades=f"{abs(score.guessed - score.measured):.1f}")

    def _prediction(self) -> str:
        if self.guess is None:
            return self._text("predict.none")
        layers = len(self._signal()) - 1
        total = (layers - 1) * math.log10(self.guess)
        words = self._text(f"predict.way.{way(total)}")
        return self._text(
            "predict.said", way=words, per_layer=factor(self.guess), total=decades(total), layers=layers
        )

    def _show(self) -> None:
        last = len(self._run.trainer.layer_names) - 1
        question = self._text("predict.question", last=last) if self.hidden else ""
        self._question.value = f'<div class="gradlab-info"><b>{html.escape(question)}</b></div>' if question else ""
        self._row.layout.display = "" if self.hidden else "none"
        self.box.layout.display = "" if self.hidden or self._score is None else "none"
        said = self.sentence if self.hidden or self._score is None else ""
        self._said.value = f'<div class="gradlab-info" aria-live="polite">{html.escape(said)}</div>' if said else ""
        self.reveal.disabled = self.guess is None
        self._run.lock_training(self._text("tip.predict_first") if self.hidden else "")


def _restarts(old: Config, new: Config) -> bool:
    """Return whether a config is another network at step 0."""
    return any(not Config.knobs()[name].live for name in old.differences(new))
