"""The table `PLOTS`, and limits of the time axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from matplotlib.artist import Artist

from gradlab.history import History
from gradlab.plots.picture import BOTH, CONTRAST, DARK, LIGHT, Theme, View, measures_of, row_beside
from gradlab.registry import Registry

__all__ = ["BOTH", "CONTRAST", "DARK", "LIGHT", "PLOTS", "Theme", "Update", "View", "measures_of", "row_beside"]

PLOTS = Registry("plot")
"""Each entry is ``(ax, history) -> update``: it makes persistent artists once and returns
``update(history, view)``, which changes them and returns those to draw. An entry that returns None is
simply called again on a cleared axis."""

Update = Callable[[History, View], Sequence[Artist]]


def last_step(history: History) -> float:
    """Return the number of the last step, 0 before the first."""
    return float(history.row("step", -1)) if len(history) else 0.0


def step_limit(last_step: float) -> float:
    """Return the end of the time axis: the next of 50, 100, 200, 500, 1000 ... so that it rarely moves."""
    limit = 50.0
    factors = (2.0, 2.0, 2.5)
    turn = 0
    while limit <= last_step:
        limit *= factors[turn % 3]
        turn += 1
    return limit
