"""A student's prediction in the profile, and what is hidden until it is made."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gradlab.guess import line, measured_decades
from gradlab.history import History
from gradlab.measures import MEASURES
from gradlab.plots.view import View, measures_of


class GuessLine:
    """The prediction as a line, and, while all else is hidden, the one dot that is given: the last hidden layer."""

    def __init__(self, ax: Axes) -> None:
        self.line = Line2D([], [], lw=2.6, ls=(0, (5, 2)), animated=True, clip_on=False)
        self.dot = Line2D([], [], ls="none", marker="o", ms=8, animated=True, clip_on=False)
        for artist in (self.line, self.dot):
            ax.add_line(artist)

    @property
    def artists(self) -> tuple[Line2D, Line2D]:
        """What is to be drawn."""
        return self.line, self.dot

    def show(self, history: History, view: View) -> None:
        """Follow a view; empty for other measures than the backward signal."""
        self.line.set_color(view.theme.guess)
        self.dot.set_color(view.theme.now)
        self.line.set_data([], [])
        self.dot.set_data([], [])
        if view.measure != "delta_norm" or view.guess is None or not len(history):
            return
        signal = history.row("delta_norm", 0)
        if measured_decades(signal) is None:
            return
        heights = MEASURES["delta_norm"].position(line(signal, view.guess))
        self.line.set_data(np.arange(1, len(heights) + 1), heights)
        if view.hidden:
            self.dot.set_data([len(heights)], heights[-1:])


def growth_at(figure: Figure, x: float, y: float, history: History, measure: str) -> float | None:
    """Return the growth per layer of a line through the last hidden layer's value and a point of the picture.

    Parameters
    ----------
    figure : Figure
        A live figure, drawn at least once: its last axes are the profiles.
    x, y : float
        The point, from 0 to 1, rightward and downward.
    history : History
        Its first row gives the last hidden layer's value.
    measure : str
        The measure shown; the point must lie in the profile of the backward signal.

    Returns
    -------
    float or None
        None for a point elsewhere, or too near to the last hidden layer for a slope.
    """
    if "delta_norm" not in measures_of(measure) or not len(history):
        return None
    profiles = len(measures_of(measure))
    ax = figure.axes[len(figure.axes) - profiles + measures_of(measure).index("delta_norm")]
    signal = history.row("delta_norm", 0)
    box = ax.get_position()
    if not box.contains(x, 1.0 - y) or measured_decades(signal) is None:
        return None
    layer, height = ax.transData.inverted().transform(figure.transFigure.transform((x, 1.0 - y)))
    last = len(signal) - 1
    if last - layer < 0.5:
        return None
    decades = np.log10(MEASURES["delta_norm"].value(height)) - np.log10(signal[last - 1])
    return float(10.0 ** (decades / (last - max(layer, 1.0))))
