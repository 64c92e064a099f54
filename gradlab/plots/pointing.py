"""From a place in a live picture to a step."""

from __future__ import annotations

from gradlab.plots.figure import LiveFigure

_OVER_STEPS = ("loss", "heatmap")


def step_at(live: LiveFigure, x: float, y: float, inside: bool = True) -> float | None:
    """Return the step under a point of the picture; None if no axis over the steps is there.

    Parameters
    ----------
    live : LiveFigure
        The figure, drawn at least once.
    x, y : float
        From 0 to 1, rightward and downward.
    inside : bool, default True
        Whether the point must lie in an axis. False takes any point, as while a mouse button is held down:
        what lies left or right of the axis is its first or last step.
    """
    over = [name for name in live.plots if name != "profile"]  # the order in which the axes were made
    for name, ax in zip(over, live.figure.axes, strict=False):
        box = ax.get_position()
        if name in _OVER_STEPS and (not inside or box.contains(x, 1.0 - y)):
            low, high = ax.get_xlim()
            return low + min(max((x - box.x0) / box.width, 0.0), 1.0) * (high - low)
    return None
