"""What a stage shows at one moment: the runs, what they have learned, and the words around them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradlab.history import Array, History
from gradlab.plots.picture import View

GRID = 40
"""Cells on a side of the decision boundary's grid."""


@dataclass(frozen=True, eq=False)
class Learned:
    """What a network makes of its data.

    Attributes
    ----------
    grid : bytes or None
        ``GRID * GRID`` values in rows from the lowest y up. Two classes: the probability of class 1, 0 to 255;
        more classes: the number of the class.
    classes : int
        Number of classes; 0 for a regression, whose points are target and answer.
    extent : (float, float, float, float)
        Left, right, bottom and top of the grid.
    points, held : array (n, 3)
        x, y and class of what is trained on, and of what is held out.
    rows : sequence of (label, value)
        Words: accuracy and loss.
    samples : sequence of (image, target, output, right)
        For digits and sequences: an array of values from 0 to 1 of shape ``(height, width)`` or ``(T,)``, two
        words, and whether they agree.
    """

    grid: bytes | None = None
    classes: int = 2
    extent: tuple[float, float, float, float] = (0.0, 1.0, 0.0, 1.0)
    points: Array = field(default_factory=lambda: np.zeros((0, 3)))
    held: Array = field(default_factory=lambda: np.zeros((0, 3)))
    rows: tuple[tuple[str, str], ...] = ()
    samples: tuple[tuple[Array, str, str, bool], ...] = ()


@dataclass(frozen=True, eq=False)
class Lane:
    """One run on the stage.

    Attributes
    ----------
    history : History
        What was measured.
    label, knobs : str
        ``"A"`` or ``"B"`` and the settings in which the lanes differ; empty for a run alone.
    verdict : (str, str, str)
        Kind (``waiting``, ``level``, ``exploding``, ``vanishing``, ``diverged``, ``other``), headline, small print.
    learned : Learned or None
        What it makes of its data.
    cuts : sequence of int
        Time steps (0 the first) across whose start no gradient is sent back.
    """

    history: History
    label: str = ""
    knobs: str = ""
    verdict: tuple[str, str, str] = ("waiting", "", "")
    learned: Learned | None = None
    cuts: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class SlowStage:
    """One stage of a step in slow motion.

    Attributes
    ----------
    stage : str
        ``forward``, ``backward``, ``accumulate``, ``clip`` or ``update``.
    line : str
        Its line of PyTorch.
    words : str
        What happens.
    """

    stage: str
    line: str
    words: str


@dataclass(frozen=True, eq=False)
class Shown:
    """Everything a stage shows.

    Attributes
    ----------
    run : int
        Another number with each start: the browser then drops what it holds, and the axes start anew.
    lanes : sequence of Lane
        One run, or lane A and lane B.
    view : View
        How; its `rival` is not used, as the lanes are here.
    lesson, alert, status : str
        Sentences with places of their own.
    rate : float or None
        Steps a second.
    slow : SlowStage or None
        The stage at which a step in slow motion stands.
    at : int or None
        The step that code asks to look at; None to follow the run.
    knobs : mapping
        What the bar at the top shows of the settings: ``seed``.
    preset : str
        Name of the preset that was chosen.
    predict : mapping or None
        While a prediction is asked for or scored: ``question``, ``said``, ``score``.
    """

    run: int
    lanes: tuple[Lane, ...]
    view: View
    lesson: str = ""
    alert: str = ""
    status: str = ""
    rate: float | None = None
    slow: SlowStage | None = None
    at: int | None = None
    knobs: Mapping[str, Any] = field(default_factory=dict)
    preset: str = ""
    predict: Mapping[str, str] | None = None

    @property
    def history(self) -> History:
        """The history of the run, which is the last lane's."""
        return self.lanes[-1].history
