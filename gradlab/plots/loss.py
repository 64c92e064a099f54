"""The loss over the steps, with marks where something happened."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from gradlab.history import Array, History
from gradlab.plots.lanes import DASHED
from gradlab.plots.marks import Marks, step_cursor
from gradlab.plots.stretches import Curve
from gradlab.plots.view import PLOTS, Update, View, last_step, step_limit

_STRETCHES = 250  # of the curve, two points each: as many as the axis has logical pixels to show


class _Decades:
    """Limits in whole decades that only ever grow, so that the curve does not jump."""

    def __init__(self, low: int, high: int) -> None:
        self.low, self.high = low, high

    def include(self, logs: Array) -> bool:
        """Widen to hold the finite values; return whether that moved a limit."""
        logs = logs[np.isfinite(logs)]
        if not len(logs):
            return False
        low, high = math.floor(min(logs.min(), self.low)), math.ceil(max(logs.max(), self.high))
        moved = (low, high) != (self.low, self.high)
        self.low, self.high = low, high
        return moved


@PLOTS.register("loss", "Loss")
def loss(ax: Axes, history: History) -> Update:
    """Mean loss of each step on a logarithmic axis; marks where a knob moved, a step was clipped or failed."""
    decades = _Decades(-2, 1)
    (ghost,) = ax.plot([], [], lw=1.2, ls="-.", animated=True)
    (rival,) = ax.plot([], [], **DASHED, animated=True)
    (rival_bad,) = ax.plot([], [], ls="none", marker="*", ms=9, animated=True)
    (line,) = ax.plot([], [], lw=1.6, solid_joinstyle="bevel", animated=True)
    (bad,) = ax.plot([], [], ls="none", marker="*", ms=9, animated=True)
    cursor = step_cursor(ax)
    marks = Marks(ax)
    curve, behind, beside = Curve(_STRETCHES), Curve(_STRETCHES), Curve(_STRETCHES)

    def update(history: History, view: View) -> Sequence[Artist]:
        limit = step_limit(last_step(history))
        curve.update(history, limit)
        moved = decades.include(curve.y)
        if view.ghost:
            _reach(behind, view.ghost, limit)
            moved = decades.include(behind.y) or moved
        if view.rival is not None:
            _reach(beside, view.rival, limit)
            moved = decades.include(beside.y) or moved
            _show_rival(view.rival, beside, decades, rival, rival_bad)
        if moved or ax.get_xlim()[1] != limit or ax.get_ylim() != (decades.low, decades.high):
            _axes(ax, decades, limit, view)
        line.set_data(curve.x, curve.y)
        bad.set_data(curve.odd, np.full(len(curve.odd), decades.high - 0.12 * (decades.high - decades.low)))
        ghost.set_data(*(behind.x, behind.y) if view.ghost else ([], []))
        at = history.row("step", view.at) if view.at is not None and len(history) else None
        cursor.set_data([] if at is None else [at, at], [] if at is None else [decades.low, decades.high])
        theme = view.theme
        for artist, colour in ((line, theme.now), (ghost, theme.first), (bad, theme.alarm), (cursor, theme.ink)):
            artist.set_color(colour)
        lane = [] if view.rival is None else [rival, rival_bad]
        for artist in lane:
            artist.set_color(theme.ink)
        return [*marks.show(history, view), ghost, *lane, line, bad, cursor]

    return update


def _reach(curve: Curve, history: History, limit: float) -> None:
    """Bring another run's curve up to date, beyond the end of the axis if that run is longer."""
    curve.update(history, max(limit, step_limit(last_step(history))))


def _show_rival(rival: History, curve: Curve, decades: _Decades, line: Line2D, bad: Line2D) -> None:
    """Put lane A's curve on a line, and a star low on the axis where it failed."""
    line.set_data(curve.x, curve.y)
    failed = curve.odd
    if rival.diverged is not None:
        failed = np.union1d(failed, [rival.diverged.step])
    bad.set_data(failed, np.full(len(failed), decades.low + 0.12 * (decades.high - decades.low)))


def _axes(ax: Axes, decades: _Decades, limit: float, view: View) -> None:
    ax.set_xlim(0, limit)
    ax.set_ylim(decades.low, decades.high)
    every = max(1, (decades.high - decades.low) // 5)
    ticks = list(range(decades.low, decades.high + 1, every))
    ax.set_yticks(ticks, [f"1e{t}" for t in ticks])
    ax.set_xticks([])
    ax.set_ylabel(view.text("axis.loss"))
