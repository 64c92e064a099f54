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
    """What a network makes of its data."""

    # `GRID` rows from the lowest y up, a byte a cell: of two classes the probability of class 1, 0 to 255, of more
    # the number of the class; None where there is no plane
    grid: bytes | None = None
    classes: int = 2  # 0 for a regression, whose points are target and answer
    extent: tuple[float, float, float, float] = (0.0, 1.0, 0.0, 1.0)  # left, right, bottom and top of the grid
    # (n, 3): x, y and class of what is trained on, and of what is held out
    points: Array = field(default_factory=lambda: np.zeros((0, 3)))
    held: Array = field(default_factory=lambda: np.zeros((0, 3)))
    rows: tuple[tuple[str, str], ...] = ()  # (label, value) in words: accuracy and loss
    # of digits and sequences: an image (height, width) or a series (T,) from 0 to 1, target and output in words, and
    # whether they agree
    samples: tuple[tuple[Array, str, str, bool], ...] = ()


@dataclass(frozen=True, eq=False)
class Lane:
    """One run on the stage."""

    history: History
    label: str = ""  # ``"A"`` or ``"B"``, and the settings in which the lanes differ; empty for a run alone
    knobs: str = ""
    # kind (``waiting``, ``level``, ``exploding``, ``vanishing``, ``diverged``, ``other``), headline, small print
    verdict: tuple[str, str, str] = ("waiting", "", "")
    learned: Learned | None = None
    cuts: tuple[int, ...] = ()  # time steps (0 the first) across whose start no gradient is sent back


@dataclass(frozen=True, eq=False)
class Shown:
    """Everything a stage shows."""

    run: int  # another number with each start: the browser then drops what it holds, and the axes start anew
    lanes: tuple[Lane, ...]  # one run, or lane A and lane B
    view: View  # its `rival` is not used, as the lanes are here
    lesson: str = ""  # three sentences with places of their own
    alert: str = ""
    status: str = ""
    rate: float | None = None  # steps a second
    slow: tuple[str, str] | None = None  # where a step in slow motion stands: the stage's name, its lines of PyTorch
    at: int | None = None  # the step that code asks to look at; None to follow the run
    knobs: Mapping[str, Any] = field(default_factory=dict)  # what the bar at the top shows of the settings: ``seed``
    preset: str = ""  # the name of the one that was chosen
    predict: Mapping[str, str] | None = None  # while a prediction is asked for or scored: `question`, `said`, `score`

    @property
    def history(self) -> History:
        """The history of the run, which is the last lane's."""
        return self.lanes[-1].history
