"""Layers x decades: how large the entries of every layer's gradient are."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba

from gradlab.history import Array
from gradlab.inspect import Histogram
from gradlab.measures import Measure
from gradlab.plots.closeup.axes import BELOW, finish, layer_axis
from gradlab.plots.heatmap import COLOURS, KIND_COLOURS
from gradlab.plots.profile import ROWS
from gradlab.plots.view import View

ENTRIES = Measure("entries", "closeup.histogram", -20, 4)  # single entries lie below the norm of a layer
_FAINTEST = -4.0  # log10 of the share that has the first colour
_HALF = 0.03  # half the height of the rows of zeros and of entries that are not finite


def draw_histogram(ax: Axes, histogram: Histogram, view: View) -> None:
    """Draw layers x decades: colour is the share of the layer's entries, from 0.01 % to all, on a log scale.

    Exact zeros and entries that are not finite have rows of their own, below and above; a layer without a
    gradient is grey.
    """
    shares, layers = histogram.shares(), len(histogram.layer_names)
    columns = np.arange(layers + 1) + 0.5
    heights = ENTRIES.position(10.0**histogram.edges)
    layer_axis(ax, layers, ENTRIES, view, ("zero", "nonfinite"), every=4)
    for low, high, rows in (
        (heights, None, shares.T),
        (ROWS["zero"], _HALF, _of(histogram.zeros, histogram)[None]),
        (ROWS["nonfinite"], _HALF, _of(histogram.nonfinite, histogram)[None]),
    ):
        edges = low if high is None else np.array([low - high, low + high])
        ax.pcolormesh(columns, edges, _colours(rows), zorder=1)
    finish(ax, view.text(ENTRIES.key), "", view)
    ax.grid(False)
    _colour_key(ax, view)


def _of(counts: np.ndarray, histogram: Histogram) -> Array:
    return counts / np.where(histogram.entries, histogram.entries, np.nan)


def _colours(shares: Array) -> Array:
    """Return RGBA of shares: transparent at 0, grey where there is no gradient."""
    with np.errstate(divide="ignore"):
        depth = np.clip(1 - np.log10(shares) / _FAINTEST, 0, 1)
    picture = COLOURS[(np.nan_to_num(depth) * 255).astype(int)]
    picture[shares == 0] = 0.0
    picture[np.isnan(shares)] = to_rgba(KIND_COLOURS["missing"])
    return picture


def _colour_key(ax: Axes, view: View) -> None:
    """Put a small scale of the colours under the axis, with its ends in words."""
    middle = BELOW - 0.05
    key = ax.inset_axes((0.3, middle - 0.02, 0.3, 0.04))
    key.imshow(COLOURS[None], aspect="auto", extent=(0, 1, 0, 1))
    key.set_axis_off()
    style: dict[str, Any] = {"transform": ax.transAxes, "va": "center", "fontsize": 8, "color": view.theme.ink}
    ax.text(0.28, middle, "0.01 %", ha="right", **style)
    ax.text(0.62, middle, f"100 % {view.text('closeup.share')}", ha="left", **style)
