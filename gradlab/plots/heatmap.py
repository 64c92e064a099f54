"""Layers x steps as colours: the whole history of one measure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from gradlab.history import History
from gradlab.plots.cells_image import CellsImage
from gradlab.plots.marks import step_cursor
from gradlab.plots.stretches import Cells
from gradlab.plots.view import PLOTS, Update, View, last_step, step_limit

_COLUMNS = 300
COLOURS = colormaps["viridis"](np.linspace(0, 1, 256))
KIND_COLOURS = {"underflow": "#3b0f4f", "zero": "#000000", "nonfinite": "#d55e00", "missing": "#9e9e9e"}


@PLOTS.register("heatmap", "Layers x steps")
def heatmap(ax: Axes, history: History) -> Update:
    """The measure of every layer at every step, as a colour of the same fixed decades as the profile."""
    image = ax.add_image(CellsImage(ax, animated=True, zorder=1))
    cells = Cells(COLOURS, KIND_COLOURS, _COLUMNS)
    cursor = step_cursor(ax)
    shown: list[object] = [None]

    def update(history: History, view: View) -> Sequence[Artist]:
        layers = len(history.layer_names)
        limit = step_limit(last_step(history))
        if shown[0] != (limit, layers, view.text.lang):
            shown[0] = (limit, layers, view.text.lang)
            _axes(ax, limit, layers, view)
            image.set_extent((0, limit, 0.5, layers + 0.5))
        image.set_data(cells.update(view.visible(history), view.measure, limit))
        at = history.row("step", view.at) if view.at is not None and len(history) else None
        cursor.set_data([] if at is None else [at, at], [] if at is None else [0.5, layers + 0.5])
        cursor.set_color(view.theme.ink)
        return [image, cursor]

    return update


def colours(history: History, name: str, limit: float) -> np.ndarray:
    """Return RGBA of shape (layers, columns, 4): each column the largest value of its stretch of steps.

    Columns without a step are transparent. A value that is not finite outshines its stretch.
    """
    return Cells(COLOURS, KIND_COLOURS, _COLUMNS).update(history, name, limit)


def _axes(ax: Axes, limit: float, layers: int, view: View) -> None:
    ax.set_xlim(0, limit)
    ax.set_ylim(0.5, layers + 0.5)
    ticks = np.linspace(0, limit, 6)
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    shown = sorted({1, (layers + 1) // 2, layers})
    ax.set_yticks(shown, [str(n) for n in shown])
    ax.set_xlabel(view.text("axis.step"))
    ax.set_ylabel(view.text("axis.layer_short" if view.rival is None else "lanes.layer"))
