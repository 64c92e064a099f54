"""Pictures of a history: `PLOTS`, `draw`, and the `LiveFigure` a panel shows."""

from gradlab.plots import heatmap, loss, profile
from gradlab.plots.figure import LiveFigure, anchored, draw
from gradlab.plots.view import PLOTS, View

__all__ = ["PLOTS", "LiveFigure", "View", "anchored", "draw", "heatmap", "loss", "profile"]
