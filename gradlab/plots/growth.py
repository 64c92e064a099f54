"""The words in a profile: how much the measure grows from the last hidden layer to the first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from gradlab.growth import FEWEST, growth, times
from gradlab.history import Array, History
from gradlab.measures import Measure
from gradlab.plots.note import Note, add_note
from gradlab.plots.view import View, row_beside

_PLACES = ((0.845, 0.785), (0.335, 0.275))  # of the axis: where the two lines may stand, preferred first
_ROOM = (0.09, 0.03)  # of the axis: what they need below the lower and above the upper
_LEFT = 1 / 3  # of the layers: where the longest line begins


class GrowthNotes:
    """Two lines at the right of a profile, at the top or lower down: where fewer curves are in their way.

    All steps so far count, so that the lines do not follow the curve of each frame.
    """

    def __init__(self, ax: Axes) -> None:
        self._ax = ax
        self.artists: list[Note] = [add_note(ax, 0.98, height) for height in _PLACES[0]]
        self._of: tuple[object, ...] = ()
        self._rows, self._met = 0, np.zeros(len(_PLACES))

    def show(self, history: History, measure: Measure, row: int, view: View, beside: Sequence[Line2D]) -> None:
        """Follow a view; `beside` are the curves in it that stay as they are while the run goes on."""
        self._count(history, measure)
        met = self._met + max(self._rows, 1) * np.sum([self._in_the_way(curve) for curve in beside], axis=0)
        heights = _PLACES[int(met.argmin())]
        lines = growth_notes(history, measure, row, view)
        colours = (view.theme.now, view.theme.ink)
        for note, height, line, colour in zip(self.artists, heights, lines, colours, strict=True):
            note.set_text(line)
            note.set_y(height)
            note.set_color(colour)

    def _count(self, history: History, measure: Measure) -> None:
        """Count the steps in which a layer's dot lies at each place; only new steps are looked at."""
        of = (id(history), history.rewritten, measure)
        if of != self._of or len(history) < self._rows:
            self._of, self._rows, self._met = of, 0, np.zeros(len(_PLACES))
        new = history.column(measure.name, self._rows)[:, round(_LEFT * len(history.layer_names)) :]
        heights = measure.position(np.where(new > 0, new, np.nan))
        self._met += [within.any(1).sum() for within in self._within(heights)]
        self._rows = len(history)

    def _in_the_way(self, curve: Line2D) -> list[bool]:
        """Return for each place whether a curve passes through it."""
        x, y = map(np.asarray, curve.get_data(orig=True))
        if not len(x):
            return [False] * len(_PLACES)
        right = np.linspace(x[0] + _LEFT * (x[-1] - x[0]), x[-1], 3 * len(x))
        return [bool(within.any()) for within in self._within(np.interp(right, x, y))]

    def _within(self, heights: Array) -> list[NDArray[np.bool_]]:
        """Return for each place whether a height lies in it; nan, where a layer has no mark, does not."""
        bottom, top = self._ax.get_ylim()
        shares = (heights - bottom) / (top - bottom)
        return [(low - _ROOM[0] < shares) & (shares < high + _ROOM[1]) for high, low in _PLACES]


def growth_notes(history: History, measure: Measure, row: int, view: View) -> list[str]:
    """Say how the measure grows from the last hidden layer to the first: now and at step 0, or in both lanes."""
    lines = []
    said = [("growth.now" if view.at is None else "growth.at", history, row), ("growth.first", history, 0)]
    if view.rival is not None:
        rival = view.visible(view.rival)
        said = [("growth.b", history, row), ("growth.a", rival, row_beside(history, view.at, rival))]
    for key, of, index in said:
        found = growth(of.row(measure.name, index)) if len(of) else None
        if found is None or found.layers < FEWEST or (key == "growth.first" and len(history) == 1):
            lines.append("")
            continue
        lines.append(view.text(key, total=times(found.decades), per_layer=f"{found.per_layer:.3g}"))
    return lines
