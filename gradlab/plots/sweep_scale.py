"""Colours, labels and kinds of what a sweep measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import Colormap, LogNorm, Normalize, to_hex
from numpy.typing import NDArray

from gradlab.history import Array
from gradlab.plots.knob_axis import plane
from gradlab.sweep import Sweep

GROWTH_TICKS = [0.25, 0.5, 0.71, 1.0, 1.41, 2.0, 4.0]
KINDS = {"not finite": "#d55e00", "exactly 0": "#000000", "failed": "#9e9e9e", "not yet run": "#ececec"}
_SHARES = ("survived", "learned", "accuracy", "clipped")


@dataclass(frozen=True)
class Scale:
    """How a measure is coloured: fixed for growth and shares, so that pictures can be compared."""

    colours: Colormap
    norm: Normalize
    extend: str


def scale_of(measure: str, values: Array) -> Scale:
    """Return the colours of a measure; growth is centred on 1, shares run from 0 to 1, the others are logarithmic."""
    if measure == "growth":
        return Scale(colormaps["RdBu_r"], LogNorm(GROWTH_TICKS[0], GROWTH_TICKS[-1]), "both")
    if measure in _SHARES:
        return Scale(colormaps["viridis"], Normalize(0.0, 1.0), "neither")
    plain = values[np.isfinite(values) & (values > 0)]
    low, high = (plain.min(), plain.max()) if len(plain) else (0.1, 1.0)
    if measure in ("steps", "diverged_at"):
        return Scale(colormaps["viridis"], Normalize(0.0, max(high, 1.0)), "neither")
    return Scale(colormaps["viridis"], LogNorm(low, max(high, low * 1.001)), "neither")


def growth_colours(growth: Array) -> list[str]:
    """Return the heat map's colours of positive growths per layer, each as ``"#rrggbb"``."""
    scale = scale_of("growth", growth)
    return [to_hex(colour) for colour in scale.colours(scale.norm(growth))]


def kinds(sweep: Sweep, measure: str, axes: Sequence[str], at: Mapping[str, int] | None = None) -> NDArray[np.intp]:
    """Return what each cell without a drawable number is: an index into the legend's kinds, -1 where it has one."""
    values = plane(sweep, sweep.over_seeds(measure), axes, at)
    failed = np.zeros(sweep.grid.size, dtype=bool)
    failed[list(sweep.errors)] = True
    all_failed = plane(sweep, np.all(failed.reshape(sweep.grid.shape), axis=-1), axes, at)
    some_done = plane(sweep, np.any(sweep.done, axis=-1), axes, at)
    found = np.full(values.shape, -1)
    found[~np.isfinite(values)] = 0
    if measure == "growth":  # 0 / 0 where no signal comes back at all
        found[np.isnan(values) & (plane(sweep, sweep.over_seeds("first_delta"), axes, at) == 0)] = 1
    found[(values == 0) & (measure not in (*_SHARES, "steps", "diverged_at"))] = 1
    found[all_failed] = 2
    found[~some_done] = 3
    return found
