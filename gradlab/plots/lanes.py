"""Lane A beside the run of a figure, and the legend that says which line is which run."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gradlab.plots.view import View

DASHED: dict[str, Any] = {"ls": (0, (4, 1.2)), "lw": 1.8}
DIAMONDS: dict[str, Any] = {"marker": "D", "ms": 4.5, "mfc": "none"}
LEGEND: dict[str, Any] = {
    "fontsize": 9,
    "frameon": False,
    "handletextpad": 0.3,
    "columnspacing": 1.0,
    "borderaxespad": 0.2,
}
"""What the legends at a figure's edges have in common."""


def name_lanes(figure: Figure, view: View) -> None:
    """Name lanes and ghost, if any, at the top left, where no plot has a title."""
    theme, handles = view.theme, []
    if view.rival is not None:
        handles.append(Line2D([], [], label=view.text("lanes.a"), color=theme.ink, **DASHED, **DIAMONDS))
        handles.append(Line2D([], [], label=view.text("lanes.b"), color=theme.now, lw=1.8, marker="o", ms=5))
    if view.ghost is not None:
        name = view.text("kind.ghost_of", knobs=view.ghost_name) if view.ghost_name else view.text("kind.ghost")
        handles.append(Line2D([], [], label=name, color=theme.first, ls="-.", lw=1.4))
    if handles:
        figure.legend(
            handles=handles,
            loc="upper left",
            bbox_to_anchor=(0.05, 1.0),
            ncols=len(handles),
            labelcolor=theme.ink,
            handlelength=2.6,
            **LEGEND,
        )
