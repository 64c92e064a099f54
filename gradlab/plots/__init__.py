"""Pictures of a history: `PLOTS`, `draw`, and the `LiveFigure` a panel shows."""

from gradlab.plots import heatmap, loss, profile
from gradlab.plots.figure import LiveFigure, draw
from gradlab.plots.view import PLOTS, View

__all__ = ["PLOTS", "LiveFigure", "View", "draw", "heatmap", "loss", "profile"]
