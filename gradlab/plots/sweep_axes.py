"""Axes, colour bar, theory's line and marks of a picture of a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.ticker import NullLocator

from gradlab.history import Array
from gradlab.locale import Text
from gradlab.plots.knob_axis import KnobAxis
from gradlab.plots.sweep_scale import GROWTH_TICKS, KINDS
from gradlab.plots.view import Theme

_MOST_TICKS = 9


def draw_theory(ax: Axes, lines: Sequence[Array], theme: Theme, text: Text) -> list[Any]:
    """Draw the critical lines; one that stands straight goes from edge to edge."""
    style: dict[str, Any] = {"color": theme.ink, "lw": 2, "ls": "--", "label": text("sweep.theory")}
    drawn = []
    for line in lines:
        if len(set(line[:, 0])) == 1:
            drawn.append(ax.axvline(line[0, 0], **style))
        elif len(set(line[:, 1])) == 1:
            drawn.append(ax.axhline(line[0, 1], **style))
        else:
            drawn += ax.plot(*line.T, scalex=False, scaley=False, **style)
    return drawn[:1]


def label_bar(bar: Any, measure: str, theme: Theme, text: Text) -> None:
    """Name what the colours mean, in plain numbers."""
    if isinstance(bar.norm, LogNorm):  # plain numbers: mathtext shares state with whatever else is being drawn
        ticks = GROWTH_TICKS if measure == "growth" else np.geomspace(bar.vmin, bar.vmax, 5).tolist()
        bar.set_ticks(ticks, labels=[f"{t:.3g}" for t in ticks])
        bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.set_label(text(f"sweep.{measure}"), color=theme.ink)


def set_axes(ax: Axes, across: KnobAxis, up: KnobAxis | None, text: Text) -> None:
    """Name the knobs and their values on the axes."""
    for axis, knob in ((ax.xaxis, across), (ax.yaxis, up)):
        if knob is None:
            continue
        axis.set_label_text(text.name(f"knob.{knob.name}.label", knob.name))
        if knob.log:
            (ax.set_xscale if axis is ax.xaxis else ax.set_yscale)("log")
        every = -(-len(knob.at) // _MOST_TICKS)
        labels = knob.labels or [f"{v:.3g}" for v in knob.at]
        axis.set_ticks(knob.at[::every], labels=labels[::every])
        axis.set_minor_locator(NullLocator())


def note_not_finite(ax: Axes, places: Array, values: Array, text: Text) -> None:
    """Mark at the upper edge where the measure is infinite: a line cannot show it."""
    infinite = places[np.isinf(values)]
    if len(infinite):
        top = ax.get_xaxis_transform()
        said = text("sweep.kind.not finite")
        ax.plot(infinite, np.ones(len(infinite)), "^", color=KINDS["not finite"], transform=top, label=said)
