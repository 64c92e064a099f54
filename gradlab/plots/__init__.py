"""Pictures of a history: `PLOTS`, `draw`, and the `LiveFigure` a panel shows."""

from gradlab.plots import heatmap, loss, profile
from gradlab.plots.closeup import draw_closeups
from gradlab.plots.figure import LiveFigure, anchored, draw, draw_view, lecture_figure
from gradlab.plots.png import figure_png
from gradlab.plots.view import PLOTS, View

__all__ = [
    "PLOTS",
    "LiveFigure",
    "View",
    "anchored",
    "draw",
    "draw_closeups",
    "draw_view",
    "figure_png",
    "heatmap",
    "lecture_figure",
    "loss",
    "profile",
]
