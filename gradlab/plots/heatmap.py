"""Layers x steps as colours: the whole history of one measure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba

from gradlab.history import History
from gradlab.measures import MEASURES, kinds_of
from gradlab.plots.loss import step_cursor
from gradlab.plots.view import PLOTS, Update, View, step_limit

_COLUMNS = 300
COLOURS = colormaps["viridis"](np.linspace(0, 1, 256))
KIND_COLOURS = {"underflow": "#3b0f4f", "zero": "#000000", "nonfinite": "#d55e00", "missing": "#9e9e9e"}


@PLOTS.register("heatmap", "Layers x steps")
def heatmap(ax: Axes, history: History) -> Update:
    """The measure of every layer at every step, as a colour of the same fixed decades as the profile."""
    image = ax.imshow(np.zeros((1, 1, 4)), aspect="auto", origin="lower", interpolation="nearest", animated=True)
    cursor = step_cursor(ax)
    shown: list[object] = [None]

    def update(history: History, view: View) -> Sequence[Artist]:
        steps = history.column("step")
        layers = len(history.layer_names)
        limit = step_limit(steps[-1] if len(steps) else 0)
        if shown[0] != (limit, layers, view.text.lang):
            shown[0] = (limit, layers, view.text.lang)
            _axes(ax, limit, layers, view)
            image.set_extent((0, limit, 0.5, layers + 0.5))
        image.set_data(colours(view.visible(history), view.measure, limit))
        at = steps[view.at] if view.at is not None and len(steps) else None
        cursor.set_data([] if at is None else [at, at], [] if at is None else [0.5, layers + 0.5])
        cursor.set_color(view.theme.ink)
        return [image, cursor]

    return update


def colours(history: History, name: str, limit: float) -> np.ndarray:
    """Return RGBA of shape (layers, columns, 4): each column the largest value of its stretch of steps.

    Columns without a step are transparent. A value that is not finite outshines its stretch.
    """
    layers = len(history.layer_names)
    columns = int(min(_COLUMNS, limit))
    picture = np.zeros((layers, columns, 4))
    if not len(history):
        return picture
    values, steps = history.column(name), history.column("step")
    column_of = np.minimum((steps * columns / limit).astype(int), columns - 1)
    starts = np.flatnonzero(np.diff(column_of, prepend=-1))
    kinds = kinds_of(history, name, values)
    measured = np.where(kinds.plain | kinds.underflow, values, 0.0)
    largest = np.maximum.reduceat(measured, starts)
    filled = COLOURS[(MEASURES[name].position(largest) * 255).astype(int)]
    for kind, every in (("underflow", True), ("zero", True), ("missing", True), ("nonfinite", False)):
        flags = getattr(kinds, kind)
        reduce = np.logical_and.reduceat if every else np.logical_or.reduceat
        filled[reduce(flags, starts)] = to_rgba(KIND_COLOURS[kind])
    known = column_of[starts]
    for column, start, end in zip(known, known, [*known[1:], column_of[-1] + 1], strict=True):
        picture[:, start:end] = filled[np.searchsorted(known, column)][:, None]
    return picture


def _axes(ax: Axes, limit: float, layers: int, view: View) -> None:
    ax.set_xlim(0, limit)
    ax.set_ylim(0.5, layers + 0.5)
    ticks = np.linspace(0, limit, 6)
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    shown = sorted({1, (layers + 1) // 2, layers})
    ax.set_yticks(shown, [str(n) for n in shown])
    ax.set_xlabel(view.text("axis.step"))
    ax.set_ylabel(view.text("axis.layer_short" if view.rival is None else "lanes.layer"))
