"""Marks over the steps: where knobs moved, and which steps were clipped, skipped or diverged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from gradlab.history import History
from gradlab.plots.stretches import Known, stretch_of
from gradlab.plots.view import View

_TICKS = 250  # marks of clipped steps that the axis has room for
_MOST = 800  # marks of any other kind, the newest
_LOOKS: dict[str, dict[str, Any]] = {
    "knob": {"linewidths": 1.2, "linestyles": "dotted"},
    "clipped": {"linewidths": 1.0},
    "skipped": {"linewidths": 1.4},
    "diverged": {"linewidths": 2.6},
}
_SPANS = {"knob": (0, 1), "clipped": (0, 0.07), "skipped": (0, 0.4), "diverged": (0, 1)}  # shares of the height


def step_cursor(ax: Axes) -> Line2D:
    """Return an upright line for the step shown, dark on a light rim: to be seen on any colour."""
    (cursor,) = ax.plot([], [], lw=1.4, animated=True, path_effects=[withStroke(linewidth=3, foreground="white")])
    return cursor


class Marks:
    """Upright lines in an axis over the steps, each kind over its own share of the height."""

    def __init__(self, ax: Axes) -> None:
        self._ax = ax
        self._lines = {kind: LineCollection([], animated=True, **look) for kind, look in _LOOKS.items()}
        for lines in self._lines.values():
            ax.add_collection(lines, autolim=False)
        self._named: tuple[str, ...] | None = None
        self._shown: dict[str, tuple[float, ...]] = {}
        self._known = Known()
        self._clipped = np.full(_TICKS, np.inf)

    def show(self, history: History, view: View) -> Sequence[Artist]:
        """Follow a history within the axis' limits; return what is to be drawn."""
        limit, (bottom, top) = self._ax.get_xlim()[1], self._ax.get_ylim()
        self._note_clipped(history, limit)
        there: list[str] = []
        for kind, lines in self._lines.items():
            low, high = (bottom + share * (top - bottom) for share in _SPANS[kind])
            where = self._clipped[np.isfinite(self._clipped)] if kind == "clipped" else _marked(history, kind)
            upright = (low, high, *where)
            if self._shown.get(kind) != upright:
                self._shown[kind] = upright
                lines.set_segments([[(s, low), (s, high)] for s in where])
            lines.set_color(_colour(kind, view))
            there += [kind] * (len(where) > 0)
        self._name(tuple(there), view)
        return list(self._lines.values())

    def _note_clipped(self, history: History, limit: float) -> None:
        """Keep the first clipped step of each stretch that a tick covers."""
        start = self._known.start(history, limit)
        if start == 0:
            self._clipped = np.full(_TICKS, np.inf)
        steps = history.column("step", start)[history.column("clip_coef", start) < 1]
        np.minimum.at(self._clipped, stretch_of(steps, _TICKS, limit), steps)

    def _name(self, kinds: tuple[str, ...], view: View) -> None:
        """Name the kinds of marks that there are, in a line above the axis."""
        if kinds == self._named:
            return
        self._named = kinds
        if (old := self._ax.get_legend()) is not None:
            old.remove()
        if not kinds:
            return
        style: dict[str, Any] = {"ls": "none", "marker": "|", "ms": 9}
        words = {kind: view.text(f"mark.{kind}") for kind in kinds}
        widths = {kind: _LOOKS[kind]["linewidths"] for kind in kinds}
        handles = [
            Line2D([], [], label=words[kind], color=_colour(kind, view), mew=widths[kind], **style) for kind in kinds
        ]
        self._ax.legend(
            handles=handles,
            loc="lower left",
            bbox_to_anchor=(-0.1, 1.0),  # a lecture's axis is hardly as wide as the four names
            ncols=len(handles),
            fontsize=9,
            frameon=False,
            labelcolor=view.theme.ink,
            handletextpad=0.1,
            columnspacing=0.4,
            borderaxespad=0.1,
            handlelength=0.5,
        )


def _marked(history: History, kind: str) -> list[int]:
    return [mark.step for mark in history.marks if mark.kind == kind][-_MOST:]


def _colour(kind: str, view: View) -> str:
    theme = view.theme
    return {"knob": theme.first, "clipped": theme.after}.get(kind, theme.alarm)
