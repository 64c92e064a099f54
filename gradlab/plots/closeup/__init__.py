"""Pictures of a closer look: entries of the gradient, its noise, the sharpness against the edge of stability."""

from gradlab.plots.closeup.histogram import draw_histogram
from gradlab.plots.closeup.noise import draw_noise
from gradlab.plots.closeup.row import draw_closeups
from gradlab.plots.closeup.sharpness import draw_sharpness

__all__ = ["draw_closeups", "draw_histogram", "draw_noise", "draw_sharpness"]
