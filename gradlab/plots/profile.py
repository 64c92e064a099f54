"""The chosen measure of every layer at one step, on a logarithmic axis of fixed decades."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon

from gradlab.history import Array, History
from gradlab.measures import MEASURES, SQUEEZED, Kinds, Measure, kinds_of
from gradlab.plots.growth import GrowthNotes
from gradlab.plots.guess import GuessLine
from gradlab.plots.lanes import DASHED, DIAMONDS
from gradlab.plots.view import PLOTS, Update, View, row_beside

ROWS = {"nonfinite": 1.05, "zero": -0.05, "missing": -0.11}  # outside the decades, labelled on the axis
LIMITS = (-0.15, 1.10)
MARKERS = {"underflow": "v", "zero": "x", "nonfinite": "*", "missing": "_"}


@PLOTS.register("profile", "Layers now")
def profile(ax: Axes, history: History) -> Update:
    """Every layer's value now, its value at step 0 as a ghost, before and after clipping.

    Zero, underflow, non-finite and no gradient have marks of their own.
    """
    for low, high in ((0.0, SQUEEZED), (1.0 - SQUEEZED, 1.0)):
        ax.axhspan(low, high, color="#808080", alpha=0.14, lw=0, zorder=0)
    style: dict[str, Any] = {"animated": True, "clip_on": False}
    band = Polygon(np.zeros((3, 2)), closed=True, alpha=0.22, lw=0, animated=True)
    ax.add_patch(band)
    shares = {name: LineCollection([], linewidths=3, animated=True) for name in ("dead", "saturated")}
    for bars in shares.values():
        ax.add_collection(bars, autolim=False)
    (theory,) = ax.plot([], [], lw=2.0, ls="--", **style)
    (ghost,) = ax.plot([], [], lw=1.4, ls="-.", **style)
    (first,) = ax.plot([], [], lw=1.6, **style)
    (after,) = ax.plot([], [], lw=1.4, marker="s", ms=4.5, mfc="none", **style)
    (now,) = ax.plot([], [], lw=1.8, marker="o", ms=5, **style)
    odd = _odd_marks(ax, style)
    rival: dict[str, Line2D] = {}
    notes = GrowthNotes(ax)
    guess = GuessLine(ax)
    shown: list[object] = [None]

    def update(history: History, view: View) -> Sequence[Artist]:
        guess.show(history, view)
        history = view.visible(history)
        measure, layers = MEASURES[view.measure], _most_layers(history, view)
        if shown[0] != (measure, layers, view.text.lang):
            shown[0] = (measure, layers, view.text.lang)
            _axes(ax, measure, layers, view)
        row = -1 if view.at is None else view.at
        kinds = _show(now, measure, history, measure.name, row)
        for kind, artist in odd.items():
            _place(artist, kind, kinds, history, measure, row)
        _show(first, measure, history, measure.name, 0)
        _show(ghost, measure, view.ghost, measure.name, -1)
        beside = _show_rival(ax, rival, measure, history, view) if view.rival is not None else []
        _show(after, measure, history if view.clip and measure.after else None, measure.after or "", row)
        _show_units(shares, history if view.units else None, row)
        _show_theory(theory, band, measure, view)
        notes.show(history, measure, row, view, [first, ghost, theory, guess.line])
        theme = view.theme
        for artist, colour in (
            (now, theme.now),
            (after, theme.after),
            (first, theme.first),
            (ghost, theme.first),
            (theory, theme.theory),
            (band, theme.theory),
            (shares["dead"], theme.ink),
            (shares["saturated"], theme.after),
            *((artist, theme.alarm) for artist in odd.values()),
        ):
            artist.set_color(colour)
        after.set_markeredgecolor(theme.after)
        back = [band, *shares.values(), theory, ghost, first, *beside]
        return [*back, after, now, *odd.values(), *guess.artists, *notes.artists]

    return update


def _odd_marks(ax: Axes, style: dict[str, Any]) -> dict[str, Line2D]:
    return {kind: ax.plot([], [], ls="none", marker=m, ms=8, mew=2, **style)[0] for kind, m in MARKERS.items()}


def _most_layers(history: History, view: View) -> int:
    return max(len(h.layer_names) for h in (history, view.ghost, view.rival) if h is not None)


def _show_rival(
    ax: Axes, artists: dict[str, Line2D], measure: Measure, history: History, view: View
) -> Sequence[Artist]:
    """Put lane A's layers at the step shown on a line and marks of its own, made at the first time."""
    if view.rival is None:
        return []
    if not artists:
        style: dict[str, Any] = {"animated": True, "clip_on": False, "color": view.theme.ink}
        artists |= {"plain": ax.plot([], [], **DASHED, **DIAMONDS, **style)[0], **_odd_marks(ax, style)}
    rival, row = view.visible(view.rival), row_beside(history, view.at, view.rival)
    kinds = _show(artists["plain"], measure, rival, measure.name, row)
    for kind in MARKERS:
        _place(artists[kind], kind, kinds, rival, measure, row)
    return list(artists.values())


def _show(artist: Line2D, measure: Measure, history: History | None, name: str, row: int) -> Kinds | None:
    """Put one row of a column on a line; return its kinds, None without a row."""
    if history is None or not len(history):
        artist.set_data([], [])
        return None
    values = history.row(name, row)
    kinds = kinds_of(history, name, values)
    numbers = np.arange(1, len(values) + 1)
    artist.set_data(numbers, np.where(kinds.plain | kinds.underflow, measure.position(values), np.nan))
    return kinds


def _show_units(bars: dict[str, LineCollection], history: History | None, row: int) -> None:
    """Stand bars under the dots, dead units left and saturated ones right; a full one reaches the first decade."""
    for side, (name, lines) in zip((-0.15, 0.15), bars.items(), strict=True):
        values = history.row(name, row) if history is not None and len(history) else np.zeros(0)
        lines.set_segments(
            [[(n + side, 0), (n + side, SQUEEZED * v)] for n, v in enumerate(values, start=1) if v > 0]
        )


def _show_theory(line: Line2D, band: Polygon, measure: Measure, view: View) -> None:
    """Put the predicted backward signal on a line and its finite-width band."""
    if view.theory is None or measure.name != "delta_norm":
        line.set_data([], [])
        band.set_xy(np.zeros((3, 2)))
        return
    layers, low, expected, high = view.theory
    line.set_data(layers, measure.position(expected))
    known = np.isfinite(low) & np.isfinite(high)
    below = np.stack([layers[known], measure.position(low[known])], 1)
    above = np.stack([layers[known], measure.position(high[known])], 1)
    band.set_xy(np.concatenate([below, above[::-1]]) if known.any() else np.zeros((3, 2)))


def _place(artist: Line2D, kind: str, kinds: Kinds | None, history: History, measure: Measure, row: int) -> None:
    if kinds is None:
        artist.set_data([], [])
        return
    where = np.flatnonzero(getattr(kinds, kind))
    if kind == "underflow":
        heights: Array = measure.position(history.row(measure.name, row)[where])
    else:
        heights = np.full(len(where), ROWS[kind])
    artist.set_data(where + 1, heights)


def layer_ticks(layers: int) -> list[int]:
    """Return the numbers of the layers named on an axis: the first, and about eight at regular distances."""
    every = max(1, -(-layers // 8))
    return sorted({1, *range(every, layers + 1, every)})


def _axes(ax: Axes, measure: Measure, layers: int, view: View) -> None:
    ax.set_xlim(0.3, layers + 0.7)
    ax.set_ylim(*LIMITS)
    ticks, labels = measure.ticks()
    extra = [(ROWS[kind], view.text(f"row.{kind}")) for kind in ROWS]
    ax.set_yticks([*ticks, *(t for t, _ in extra)], [*labels, *(label for _, label in extra)])
    numbers = layer_ticks(layers)
    ax.set_xticks(numbers, [str(n) for n in numbers])
    ax.set_xlabel(view.text("axis.layer"))
    ax.set_title(view.text(measure.key))
