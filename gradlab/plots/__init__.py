"""Pictures of a history: `PLOTS`, `draw`, and the description that the browser's stage draws from as well."""

from gradlab.plots.closeup import draw_closeups
from gradlab.plots.draw import PLOTS, anchored, draw, draw_view, figure_png
from gradlab.plots.picture import BOTH, MEASURES, View, describe, measures_of, picture_in_words, row_beside
from gradlab.plots.style import CONTRAST, DARK, LIGHT, Theme

__all__ = ["BOTH", "CONTRAST", "DARK", "LIGHT", "MEASURES", "PLOTS"]
__all__ += ["Theme", "View"]
__all__ += ["anchored", "describe", "draw", "draw_closeups", "draw_view", "figure_png", "measures_of"]
__all__ += ["picture_in_words", "row_beside"]
