"""Colours, marks and sizes that the drawn pictures share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgba

from gradlab.history import Array

RAMP = LinearSegmentedColormap.from_list(
    "gradlab", ["#17549e", "#3882be", "#82bbda", "#cce2ee", "#f0f0ee", "#fcd8c4", "#f19c7a", "#d15444", "#aa1026"]
)
"""Blue where the signal is smaller than at the last layer, red where it is larger: the stage's colours."""

ROWS = {"nonfinite": 0.07, "zero": -0.07, "missing": -0.14}
"""Where what is no number is drawn: shares of an axis of decades, beyond its ends."""

KIND_COLOURS = {"nonfinite": "#7f0a1e", "zero": "#ffffff", "missing": "#cfd6dd"}
MARKERS = {"underflow": "v", "zero": "o", "nonfinite": "*", "missing": "_"}


@dataclass(frozen=True)
class Theme:
    """Colours of a drawn picture; the data colours are Okabe & Ito's (2008), which survive colour blindness."""

    back: str
    ink: str
    faint: str
    now: str
    after: str
    theory: str
    alarm: str
    first: str
    guess: str


LIGHT = Theme("#ffffff", "#1a1a1a", "#d9d9d9", "#0072b2", "#e69f00", "#009e73", "#d55e00", "#8c8c8c", "#b0508a")
CONTRAST = Theme("#ffffff", "#000000", "#bdbdbd", "#0060a0", "#c47700", "#00795a", "#c44500", "#6b6b6b", "#8e2f6b")
DARK = Theme("#111111", "#f2f2f2", "#3d3d3d", "#56b4e9", "#e69f00", "#2fd6a3", "#ff7f3f", "#a6a6a6", "#e79bc7")


def cell_colours(cells: Array, span: float) -> Array:
    """Return RGBA of cells: red above the last layer's value, blue below, and what is no number."""
    with np.errstate(invalid="ignore"):
        colours = RAMP((np.nan_to_num(cells, posinf=0.0, neginf=0.0) / span + 1) / 2)
    for kind, is_it in (("nonfinite", np.isposinf), ("zero", np.isneginf), ("missing", np.isnan)):
        colours[is_it(cells)] = to_rgba(KIND_COLOURS[kind])
    return colours


def layer_ticks(layers: int) -> list[int]:
    """Return the numbers of the layers named on an axis: the first, and about eight at regular distances."""
    every = max(1, -(-layers // 8))
    return sorted({1, *range(every, layers + 1, every)})


def decades_axis(ax: Axes, low: int, high: int, words: Mapping[str, str]) -> dict[str, float]:
    """Name the decades of the upright axis and the rows beyond them, kind -> word; return where each row lies."""
    span = high - low
    heights = {kind: (high if ROWS[kind] > 0 else low) + ROWS[kind] * span for kind in words}
    ticks = list(range(low, high + 1, max(1, -(-span // 6))))
    ax.set_yticks([*ticks, *heights.values()], [*(f"1e{d}" for d in ticks), *words.values()])
    ax.set_ylim(min(heights.values()) - 0.06 * span, max(heights.values()) + 0.06 * span)
    return heights


def colour_axes(ax: Axes, theme: Theme) -> None:
    """Give an axis the colours and sizes of a theme."""
    ax.set_facecolor(theme.back)
    ax.tick_params(colors=theme.ink, labelsize=9, length=2, pad=2)
    for spine in ax.spines.values():
        spine.set_color(theme.faint)
    ax.grid(True, color=theme.faint, lw=0.6)
    ax.set_axisbelow(True)
    for label in (ax.xaxis.label, ax.yaxis.label, ax.title):
        label.set_color(theme.ink)
        label.set_fontsize(10)
    ax.title.set_fontsize(11)
