"""Looks side by side: `draw_closeups`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from gradlab.inspect import Histogram, Noise, Sharpness
from gradlab.plots.closeup.histogram import draw_histogram
from gradlab.plots.closeup.noise import draw_noise
from gradlab.plots.closeup.sharpness import draw_sharpness
from gradlab.plots.fonts import drawable, set_font
from gradlab.plots.view import View


def draw_closeups(
    histogram: Histogram | None = None,
    noise: Noise | None = None,
    sharpness_points: Sequence[Sharpness] | None = None,
    view: View | None = None,
    size: tuple[float, float] = (1000, 300),
    scale: float = 2.0,
) -> Figure:
    """Draw whichever looks are given, side by side.

    Parameters
    ----------
    histogram : Histogram, optional
        Of `gradient_histogram`.
    noise : Noise, optional
        Of `gradient_noise`.
    sharpness_points : sequence of Sharpness, optional
        Of `sharpness`, one for each step at which it was measured, oldest first.
    view : View, optional
        Its theme and language.
    size : (float, float)
        Width and height in logical pixels.
    scale : float, default 2
        Pixels per logical pixel: 2 makes 200 dots per inch.

    Returns
    -------
    matplotlib.figure.Figure
        Not known to pyplot.
    """
    view = View() if view is None else dataclasses.replace(view, text=drawable(view.text))
    figure = Figure(figsize=(size[0] / 100, size[1] / 100), dpi=100 * scale, facecolor=view.theme.back)
    given: list[tuple[Any, Any]] = [
        (draw, look)
        for draw, look in ((draw_histogram, histogram), (draw_noise, noise), (draw_sharpness, sharpness_points))
        if look is not None
    ]
    width, margin, gap = 1.0 / max(1, len(given)), 52 / size[0], 22 / size[0]
    for i, (draw, look) in enumerate(given):
        ax = figure.add_axes((i * width + margin, 0.23, width - margin - gap, 0.615))
        draw(ax, look, view)
    set_font(figure, view.text)
    return figure
