"""`Prediction`: the profile stays hidden until it was predicted; then both are shown and scored."""

from __future__ import annotations

import math

from gradlab.config import Config
from gradlab.engine import Trainer
from gradlab.engine.check import check_number
from gradlab.growth import Score, measured_decades, way
from gradlab.locale import Text


def factor(growth: float) -> str:
    """Return a growth as people say it: ``x 2``, or ``/ 2`` where it shrinks."""
    size = float(f"{max(growth, 1.0 / growth):.3g}")
    return f"{'x' if growth >= 1.0 else '/'} {size:g}"


def decades(number: float) -> str:
    """Return a growth given in decades as a factor, however large."""
    if math.isinf(number):
        return "x 0" if number < 0 else "x inf"
    return factor(10.0**number) if abs(number) < 4 else f"{'x' if number > 0 else '/'} 1e{abs(number):.0f}"


class Prediction:
    """What a student says of a network before seeing it.

    Attributes
    ----------
    growth : float or None
        The growth per layer that is predicted.
    hidden : bool
        Whether the profile is hidden.
    scores : list of Score
        One for each reveal.
    """

    def __init__(self, text: Text) -> None:
        self._text = text
        self.growth: float | None = None
        self.hidden = False
        self.scores: list[Score] = []
        self._score: Score | None = None
        self._seen: Config | None = None
        self._layers, self._measured = 0, math.nan  # hidden layers, and the decades over all of them

    def begin(self, trainer: Trainer) -> None:
        """Hide a network that was not seen yet, at its first step."""
        moved = self._seen.differences(trainer.config) if self._seen is not None else Config.knobs()
        if all(Config.knobs()[name].live for name in moved):  # the same network at step 0
            return
        self.growth, self._score = None, None
        signal = trainer.preview().delta_norm
        measured = measured_decades(signal)
        self.hidden = measured is not None
        self._layers, self._measured = len(signal) - 1, measured or 0.0

    def guess(self, growth: float) -> None:
        """Predict a growth of the backward signal per layer toward the input; below 1 it shrinks.

        Raises
        ------
        ValueError
            If `growth` is no finite number above 0.
        """
        check_number("growth", growth, 0)
        if self.hidden:
            self.growth = float(growth)

    def reveal(self, config: Config) -> None:
        """Show what was measured beside the prediction, and score it; nothing without a prediction."""
        if not self.hidden or self.growth is None:
            return
        self._score = Score(self._guessed, self._measured)
        self.scores.append(self._score)
        self.hidden, self._seen = False, config

    @property
    def _guessed(self) -> float:
        """The decades over all hidden layers that the predicted growth makes."""
        return (self._layers - 1) * math.log10(self.growth or 1.0)

    @property
    def question(self) -> str:
        """What is asked; empty once it was revealed."""
        return self._text("predict.question", last=self._layers) if self.hidden else ""

    @property
    def sentence(self) -> str:
        """The score in words; before there is one, what was predicted."""
        score, text = self._score, self._text
        if score is None:
            return self._said() if self.hidden else text("predict.shallow")
        missed = text("predict.missed", decades=f"{abs(score.guessed - score.measured):.1f}")
        if math.isinf(score.measured):
            missed = text("predict.reached_zero" if score.measured < 0 else "predict.not_finite")
        said = text(
            "predict.score",
            points=score.points,
            guessed_way=text(f"predict.way.{way(score.guessed)}"),
            guessed=decades(score.guessed),
            measured_way=text(f"predict.way.{way(score.measured)}"),
            measured=decades(score.measured),
            missed=missed,
        )
        if len(self.scores) > 1:
            mean = sum(s.points for s in self.scores) / len(self.scores)
            said += " " + text("predict.mean", count=len(self.scores), points=f"{mean:.0f}")
        return said

    def _said(self) -> str:
        if self.growth is None:
            return self._text("predict.none")
        words = {"per_layer": factor(self.growth), "total": decades(self._guessed), "layers": self._layers}
        return self._text("predict.said", way=self._text(f"predict.way.{way(self._guessed)}"), **words)
