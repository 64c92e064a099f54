"""What the pictures of a closer look share: the layers, the fixed decades, words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from gradlab.measures import SQUEEZED, Measure
from gradlab.plots.figure import colour_axes
from gradlab.plots.profile import LIMITS, ROWS, layer_ticks
from gradlab.plots.view import View

BELOW = -0.2  # of the axis: where the words under it stand


def layer_axis(ax: Axes, layers: int, measure: Measure, view: View, rows: Sequence[str], every: int) -> None:
    """Number the layers, name each `every`-th decade and the rows outside of them, shade what is squeezed."""
    for low, high in ((0.0, SQUEEZED), (1.0 - SQUEEZED, 1.0)):
        ax.axhspan(low, high, color="#808080", alpha=0.14, lw=0, zorder=0)
    ax.set_xlim(0.3, layers + 0.7)
    ax.set_ylim(*LIMITS)
    decades = [-40, *range(int(measure.low), int(measure.high) + 1, every)]
    heights = [*measure.position(10.0 ** np.array(decades, dtype=float)), *(ROWS[row] for row in rows)]
    ax.set_yticks(heights, [*(f"1e{d}" for d in decades), *(view.text(f"row.{row}") for row in rows)])
    numbers = layer_ticks(layers)
    ax.set_xticks(numbers, [str(n) for n in numbers])
    ax.set_xlabel(view.text("axis.layer"))


def finish(ax: Axes, title: str, note: str, view: View) -> None:
    """Dress an axis: colours, its title, and a note in small letters under the title."""
    ax.set_title(title, pad=18)
    colour_axes(ax, view.theme)
    ax.tick_params(labelsize=8)
    ax.text(
        0.5, 1.015, note, transform=ax.transAxes, ha="center", va="bottom",
        fontsize=8, color=view.theme.ink,
    )  # fmt: skip


def legend(ax: Axes, view: View) -> None:
    """Name what is drawn, below the axis where it hides nothing."""
    ax.legend(
        loc="upper center", bbox_to_anchor=(0.5, BELOW), ncols=3, fontsize=8, frameon=False, handlelength=1.2,
        labelcolor=view.theme.ink, columnspacing=1.0, handletextpad=0.4, borderaxespad=0.0,
    )  # fmt: skip
