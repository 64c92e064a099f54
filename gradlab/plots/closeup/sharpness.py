"""The sharpness over the steps, against the edge of stability."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from gradlab.history import Array
from gradlab.inspect import Sharpness
from gradlab.plots.closeup.axes import finish, legend
from gradlab.plots.profile import MARKERS
from gradlab.plots.view import View, step_limit


def draw_sharpness(ax: Axes, points: Sequence[Sharpness], view: View) -> None:
    """Draw the eigenvalue that counts at each step it was measured, against the edge of stability.

    The axis is logarithmic, in whole decades around the points and the edge; an eigenvalue of 0 or below lies on a
    row at the bottom, one that is not finite on a row at the top. The words say why there is no edge. Points with
    and without a preconditioner have no common edge: those of the last one's kind are drawn.
    """
    theme, key = view.theme, "closeup.value"
    if points and points[-1].preconditioned is not None:
        key = "closeup.preconditioned"
    points = [p for p in points if (p.preconditioned is None) == (points[-1].preconditioned is None)]
    steps = np.array([p.step for p in points], dtype=float)
    values = np.array([p.compared for p in points], dtype=float)
    limits = _logs(np.array([math.nan if p.limit is None else p.limit for p in points], dtype=float))
    logs = _logs(values)
    low, high = _decades(np.concatenate([logs, limits]))
    end = step_limit(steps[-1] if len(steps) else 0)
    ax.plot(steps, logs, color=theme.now, lw=1.4, marker="o", ms=3.5, label=view.text(key), clip_on=False, zorder=3)
    if np.isfinite(limits).any():  # the last limit holds until a knob moves
        dashed: dict[str, Any] = {"color": theme.alarm, "lw": 1.6, "ls": "--", "label": view.text("closeup.edge")}
        ax.step([*steps, end], [*limits, limits[-1]], where="post", **dashed)
    rows = _rows(low, high)
    for kind, where in (("zero", values <= 0), ("nonfinite", ~np.isfinite(values))):
        style: dict[str, Any] = {"marker": MARKERS[kind], "color": theme.alarm}
        ax.plot(steps[where], np.full(where.sum(), rows[kind]), ls="none", ms=7, mew=2, clip_on=False, **style)
    _axis(ax, low, high, end, view)
    finish(ax, view.text("closeup.sharpness"), view.text.say(points[-1].reason) if points else "", view)
    legend(ax, view)


def _logs(values: Array) -> Array:
    return np.log10(np.where(np.isfinite(values) & (values > 0), values, np.nan))


def _decades(logs: Array) -> tuple[int, int]:
    """Return whole decades that hold the values, at least two; from 0.1 to 100 without any."""
    logs = logs[np.isfinite(logs)]
    if not len(logs):
        return -1, 2
    low, high = math.floor(logs.min()), math.ceil(logs.max())
    return (low, high) if high - low >= 2 else (low - 1, max(high, low + 1))


def _rows(low: int, high: int) -> dict[str, float]:
    return {"zero": low - 0.1 * (high - low), "nonfinite": high + 0.1 * (high - low)}


def _axis(ax: Axes, low: int, high: int, end: float, view: View) -> None:
    span, rows = high - low, _rows(low, high)
    ax.set_xlim(0, end)
    ax.set_ylim(low - 0.18 * span, high + 0.18 * span)
    decades = list(range(low, high + 1, max(1, -(-span // 6))))
    words = [view.text("closeup.row.negative"), view.text("row.nonfinite")]
    ax.set_yticks([*decades, *rows.values()], [*(f"1e{d}" for d in decades), *words])
    ticks = np.linspace(0, end, 6)
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    ax.set_xlabel(view.text("axis.step"))
