"""The loss over the steps, with marks where something happened."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from gradlab.history import Array, History
from gradlab.plots.lanes import DASHED
from gradlab.plots.view import PLOTS, Update, View, step_limit

_POINTS = 800  # more than a picture has columns for
_TICKS = 250  # marks of clipped steps that the axis has room for
_MARKS: dict[str, dict[str, Any]] = {
    "knob": {"linewidths": 1.2, "linestyles": "dotted"},
    "clipped": {"linewidths": 1.0},
    "skipped": {"linewidths": 1.4},
    "diverged": {"linewidths": 2.6},
}
_SPANS = {"knob": (0, 1), "clipped": (0, 0.07), "skipped": (0, 0.4), "diverged": (0, 1)}  # shares of the height


def thin(x: Array, y: Array, most: int = _POINTS) -> tuple[Array, Array]:
    """Keep the lowest and the highest point of each of `most`/2 stretches, so that no spike is lost."""
    if len(x) <= most:
        return x, y
    edges = np.linspace(0, len(x), most // 2 + 1).astype(int)
    filled = np.where(np.isfinite(y), y, -np.inf)
    keep = {0, len(x) - 1}
    for a, b in pairwise(edges):
        keep |= {a + int(np.argmin(filled[a:b])), a + int(np.argmax(filled[a:b]))}
    rows = np.array(sorted(keep))
    return x[rows], y[rows]


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
    (line,) = ax.plot([], [], lw=1.6, animated=True)
    (bad,) = ax.plot([], [], ls="none", marker="*", ms=9, animated=True)
    cursor = step_cursor(ax)
    marks = {kind: LineCollection([], animated=True, **look) for kind, look in _MARKS.items()}
    for lines in marks.values():
        ax.add_collection(lines, autolim=False)

    def update(history: History, view: View) -> Sequence[Artist]:
        steps, logs = _curve(history)
        moved = decades.include(logs)
        if view.rival is not None:
            moved = _show_rival(view.rival, decades, rival, rival_bad) or moved
        limit = step_limit(steps[-1] if len(steps) else 0)
        if moved or ax.get_xlim()[1] != limit or ax.get_ylim() != (decades.low, decades.high):
            _axes(ax, decades, limit, view)
        line.set_data(*thin(steps, logs))
        failed = steps[~np.isfinite(logs)]
        bad.set_data(failed, np.full(len(failed), decades.high - 0.12 * (decades.high - decades.low)))
        ghost.set_data(*thin(*_curve(view.ghost)) if view.ghost else ([], []))
        at = steps[view.at] if view.at is not None and len(steps) else None
        cursor.set_data([] if at is None else [at, at], [] if at is None else [decades.low, decades.high])
        _show_marks(marks, history, limit, decades)
        theme = view.theme
        for artist, colour in ((line, theme.now), (ghost, theme.first), (bad, theme.alarm), (cursor, theme.ink)):
            artist.set_color(colour)
        beside = [] if view.rival is None else [rival, rival_bad]
        for artist in beside:
            artist.set_color(theme.ink)
        for kind, lines in marks.items():
            lines.set_color(_colour(kind, view))
        return [*marks.values(), ghost, *beside, line, bad, cursor]

    return update


def _show_rival(rival: History, decades: _Decades, line: Line2D, bad: Line2D) -> bool:
    """Put lane A's curve on a line, and a star low on the axis where it failed; return whether a limit moved."""
    steps, logs = _curve(rival)
    moved = decades.include(logs)
    line.set_data(*thin(steps, logs))
    failed = steps[~np.isfinite(logs)]
    if rival.diverged is not None:
        failed = np.union1d(failed, [rival.diverged.step])
    bad.set_data(failed, np.full(len(failed), decades.low + 0.12 * (decades.high - decades.low)))
    return moved


def step_cursor(ax: Axes) -> Line2D:
    """Return an upright line for the step shown, dark on a light rim: to be seen on any colour."""
    (cursor,) = ax.plot([], [], lw=1.4, animated=True, path_effects=[withStroke(linewidth=3, foreground="white")])
    return cursor


def _show_marks(marks: dict[str, LineCollection], history: History, limit: float, decades: _Decades) -> None:
    """Stand a line at each marked step, over the share of the axis that its kind has."""
    height = decades.high - decades.low
    for kind, lines in marks.items():
        low, high = (decades.low + share * height for share in _SPANS[kind])
        where = _clipped(history, limit) if kind == "clipped" else _marked(history, kind)
        lines.set_segments([[(s, low), (s, high)] for s in where])


def _marked(history: History, kind: str) -> list[int]:
    return [mark.step for mark in history.marks if mark.kind == kind][-_POINTS:]


def _clipped(history: History, limit: float) -> list[float]:
    """Return the steps whose gradient was clipped, one for each stretch that a tick covers."""
    steps = history.column("step")[history.column("clip_coef") < 1]
    _, first = np.unique((steps * _TICKS / limit).astype(int), return_index=True)
    return steps[first].tolist()


def _colour(kind: str, view: View) -> str:
    theme = view.theme
    return {"knob": theme.first, "clipped": theme.after}.get(kind, theme.alarm)


def _legend(ax: Axes, view: View) -> None:
    """Name the marks in a line above the axis."""
    style: dict[str, Any] = {"ls": "none", "marker": "|", "ms": 9}
    handles = [
        Line2D([], [], label=view.text(f"mark.{kind}"), color=_colour(kind, view), mew=look["linewidths"], **style)
        for kind, look in _MARKS.items()
    ]
    ax.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=len(handles),
        fontsize=9,
        frameon=False,
        labelcolor=view.theme.ink,
        handletextpad=0.1,
        columnspacing=1.0,
        borderaxespad=0.1,
        handlelength=1.0,
    )


def _curve(history: History) -> tuple[Array, Array]:
    steps, losses = history.column("step"), history.column("loss")
    with np.errstate(divide="ignore", invalid="ignore"):
        return steps, np.log10(losses)


def _axes(ax: Axes, decades: _Decades, limit: float, view: View) -> None:
    ax.set_xlim(0, limit)
    ax.set_ylim(decades.low, decades.high)
    every = max(1, (decades.high - decades.low) // 5)
    ticks = list(range(decades.low, decades.high + 1, every))
    ax.set_yticks(ticks, [f"1e{t}" for t in ticks])
    ax.set_xticks([])
    _legend(ax, view)
    ax.set_ylabel(view.text("axis.loss"))
