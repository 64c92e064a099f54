"""The legend of a figure: what the lines and marks of the profiles mean."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gradlab.plots.lanes import LEGEND
from gradlab.plots.profile import MARKERS
from gradlab.plots.view import View

_WIDE = 8.0  # hundreds of logical pixels that the legend needs in one row


def legend_rows(figure: Figure) -> int:
    """Return how many rows the legend of a figure takes."""
    return 1 if figure.get_figwidth() >= _WIDE else 2


def add_legend(figure: Figure, view: View) -> None:
    """Explain the lines and marks of the profiles at the bottom."""
    theme = view.theme
    styles: list[tuple[str, dict[str, Any]]] = [
        ("plain", {"color": theme.now, "marker": "o", "ms": 5}),
        ("first", {"color": theme.first}),
    ]
    if view.guess is not None:
        styles.append(("guess", {"color": theme.guess, "ls": "--", "lw": 2.4}))
    if view.theory is not None:
        styles.append(("theory", {"color": theme.theory, "ls": "--", "lw": 2}))
    if view.clip:
        styles.append(("after", {"color": theme.after, "marker": "s", "mfc": "none", "ms": 5}))
    if view.units:
        styles += [("dead", {"color": theme.ink, "lw": 3}), ("saturated", {"color": theme.after, "lw": 3})]
    styles += [(kind, {"color": theme.alarm, "ls": "none", "marker": m, "ms": 7}) for kind, m in MARKERS.items()]
    handles = [Line2D([], [], label=view.text(f"kind.{kind}"), **style) for kind, style in styles]
    figure.legend(
        handles=handles,
        loc="lower right",
        ncols=-(-len(handles) // legend_rows(figure)),
        labelcolor=theme.ink,
        handlelength=1.4,
        **LEGEND,
    )
