"""Pictures of a closer look: entries of the gradient, its noise, the sharpness against the edge of stability."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from gradlab.history import Array
from gradlab.inspect import ClipCurve, CoordinateCheck, Histogram, Noise, Sharpness, ThroughTime
from gradlab.plots.axes import Decades, extent, sorted_logs
from gradlab.plots.fonts import drawable, set_font
from gradlab.plots.picture import View, kinds_of
from gradlab.plots.stretches import step_limit
from gradlab.plots.style import KIND_COLOURS, MARKERS, colour_axes, decades_axis, layer_ticks

COLOURS = colormaps["viridis"](np.linspace(0, 1, 256))
_BELOW = -0.2  # of the axis: where the words under it stand
_FAINTEST = -4.0  # log10 of the share that has the first colour
_HALF = 0.025  # half the height of the rows of zeros and of entries that are not finite, as a share of the axis
_SMALLEST = float(np.nextafter(0.0, 1.0))  # underflow has no mark of its own here: these are float64 norms


def draw_closeups(
    histogram: Histogram | None = None,
    noise: Noise | None = None,
    sharpness_points: Sequence[Sharpness] | None = None,
    view: View | None = None,
    size: tuple[float, float] = (1000, 300),
    through_time: ThroughTime | None = None,
    clips: ClipCurve | None = None,
    coordinates: CoordinateCheck | None = None,
) -> Figure:
    """Draw whichever looks are given, side by side; return a Figure that pyplot does not know.

    Of the sharpness one point for each step at which it was measured, oldest first; `view` gives theme and language,
    `size` is in logical pixels, of which each has two.
    """
    view = View() if view is None else dataclasses.replace(view, text=drawable(view.text))
    figure = Figure(figsize=(size[0] / 100, size[1] / 100), dpi=200, facecolor=view.theme.back)
    looks: list[tuple[Callable[..., tuple[str, str]], Any]] = [  # drawn on an axis, each returns a title and a note
        (draw_histogram, histogram),
        (draw_noise, noise),
        (draw_sharpness, sharpness_points),
        (draw_spectrum, through_time),
        (draw_gates, through_time if through_time and through_time.gates else None),
        (draw_clip_curve, clips),
        (draw_coordinates, coordinates),
    ]
    given = [(draw, look) for draw, look in looks if look is not None]
    width, margin, gap = 1.0 / max(1, len(given)), 52 / size[0], 22 / size[0]
    for i, (draw, look) in enumerate(given):
        ax = figure.add_axes((i * width + margin, 0.23, width - margin - gap, 0.615))
        colour_axes(ax, view.theme)
        ax.tick_params(labelsize=8)
        _name(ax, *draw(ax, look, view), view)
    set_font(figure, view.text)
    return figure


# ------------------------------------------------------------------ the entries of every layer
def draw_histogram(ax: Axes, histogram: Histogram, view: View) -> tuple[str, str]:
    """Draw layers x decades: colour is the share of the layer's entries, from 0.01 % to all, on a log scale.

    Exact zeros and entries that are not finite have rows of their own, below and above; a layer without a
    gradient is grey.
    """
    shares, layers = histogram.shares(), len(histogram.layer_names)
    columns = np.arange(layers + 1) + 0.5
    filled = np.flatnonzero(histogram.counts.any(0))
    edges = histogram.edges[[filled[0], filled[-1] + 1]] if len(filled) else np.zeros(0)
    decades = Decades.first(*extent([edges]))
    heights = _layer_axis(ax, layers, decades, view, ("zero", "nonfinite"))
    half = _HALF * (decades.high - decades.low) * np.array([-1, 1])
    entries = np.where(histogram.entries, histogram.entries, np.nan)
    for rows, borders in (
        (shares.T, histogram.edges),
        ((histogram.zeros / entries)[None], heights["zero"] + half),
        ((histogram.nonfinite / entries)[None], heights["nonfinite"] + half),
    ):
        ax.pcolormesh(columns, borders, _colours(rows), zorder=1)
    ax.grid(False)
    _colour_key(ax, view)
    return view.text("closeup.histogram"), ""


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
    middle = _BELOW - 0.05
    key = ax.inset_axes((0.3, middle - 0.02, 0.3, 0.04))
    key.imshow(COLOURS[None], aspect="auto", extent=(0, 1, 0, 1))
    key.set_axis_off()
    style: dict[str, Any] = {"transform": ax.transAxes, "va": "center", "fontsize": 8, "color": view.theme.ink}
    ax.text(0.28, middle, "0.01 %", ha="right", **style)
    ax.text(0.62, middle, f"100 % {view.text('closeup.share')}", ha="left", **style)


# ------------------------------------------------------------------ signal and noise
def draw_noise(ax: Axes, noise: Noise, view: View) -> tuple[str, str]:
    """Draw the norm of each layer's mean gradient beside the spread of a micro-batch and what is left of it.

    Zero, non-finite and no gradient have the marks of the profile.
    """
    theme, k = view.theme, noise.micro_batches
    curves = {
        view.text("closeup.mean", k=k): (noise.mean_norm, theme.now, "o"),
        view.text("closeup.spread", size=noise.batch_size): (noise.spread, theme.after, "s"),
        view.text("closeup.left", k=k): (noise.accumulated(k), theme.theory, "_"),
    }
    without = noise.has_gradient == 0
    kinds = [kinds_of(sorted_logs(values, without), _SMALLEST) for values in (noise.mean_norm, noise.spread)]
    rows = ("zero", "nonfinite", "missing") if kinds[0]["missing"].any() else ("zero", "nonfinite")
    logs = {label: _logs(values) for label, (values, _, _) in curves.items()}
    heights = _layer_axis(ax, len(noise.layer_names), Decades.first(*extent(logs.values())), view, rows)
    numbers = np.arange(1, len(noise.layer_names) + 1)
    mean, spread = list(logs.values())[:2]
    both = np.isfinite(mean) & np.isfinite(spread)
    ax.vlines(numbers[both], mean[both], spread[both], color=theme.first, lw=1.2, zorder=2)
    for label, (_, colour, marker) in curves.items():
        style: dict[str, Any] = {"color": colour, "marker": marker, "label": label, "mfc": "none"}
        ax.plot(numbers, logs[label], ls="none", ms=4.5, clip_on=False, zorder=3, **style)
    for kind in rows:
        where = numbers[kinds[0][kind] | kinds[1][kind]]
        _mark(ax, kind, where, heights[kind], view)
    return view.text("closeup.noise"), _note(noise, view)


def _note(noise: Noise, view: View) -> str:
    """Say how signal and noise compare over all parameters; nothing where they are not finite."""
    ratio, scale = noise.total_signal_to_noise, noise.noise_scale
    if noise.total_spread == 0:
        return view.text("closeup.note.none")
    if math.isnan(ratio):
        return ""
    shown = f"{ratio:.2g}"
    if not math.isfinite(scale):
        return view.text("closeup.note.drowned", ratio=shown)
    return view.text("closeup.note.scale", ratio=shown, scale=f"{scale:.0f}" if 9.5 < scale < 1e6 else f"{scale:.2g}")


# ------------------------------------------------------------------ sharpness
def draw_sharpness(ax: Axes, points: Sequence[Sharpness], view: View) -> tuple[str, str]:
    """Draw the eigenvalue that counts at each step it was measured, against the edge of stability.

    The axis is logarithmic, in whole decades around the points and the edge; an eigenvalue of 0 or below lies on a
    row at the bottom, one that is not finite on a row at the top. The words say why there is no edge. Points with
    and without a preconditioner have no common edge: those of the last one's kind are drawn.
    """
    theme, key = view.theme, "closeup.value"
    if points and points[-1].preconditioned is not None:
        key = "closeup.preconditioned"
    points = [p for p in points if (p.preconditioned is None) == (points[-1].preconditioned is None)]
    steps = np.array([p.step for p in points], dtype=float)
    values = np.array([p.compared for p in points], dtype=float)
    limits = _logs(np.array([math.nan if p.limit is None else p.limit for p in points], dtype=float))
    logs = _logs(values)
    decades = Decades.first(*extent([logs, limits]))
    end = step_limit(steps[-1] if len(steps) else 0)
    ax.plot(steps, logs, color=theme.now, lw=1.4, marker="o", ms=3.5, label=view.text(key), clip_on=False, zorder=3)
    if np.isfinite(limits).any():  # the last limit holds until a knob moves
        dashed: dict[str, Any] = {"color": theme.alarm, "lw": 1.6, "ls": "--", "label": view.text("closeup.edge")}
        ax.step([*steps, end], [*limits, limits[-1]], where="post", **dashed)
    rows = {"zero": view.text("closeup.row.negative"), "nonfinite": view.text("row.nonfinite")}
    heights = decades_axis(ax, *decades, rows)
    for kind, where in (("zero", values <= 0), ("nonfinite", ~np.isfinite(values))):
        _mark(ax, kind, steps[where], heights[kind], view)
    ax.set_xlim(0, end)
    ticks = np.linspace(0, end, 6)
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    ax.set_xlabel(view.text("axis.step"))
    return view.text("closeup.sharpness"), view.text.say(points[-1].reason) if points else ""


# ------------------------------------------------------------------ through time
def draw_spectrum(ax: Axes, look: ThroughTime, view: View) -> tuple[str, str]:
    """Draw the singular values of the Jacobian over the whole sequence, largest first, against 1, which keeps."""
    values = look.singular_values
    logs, ranks = _logs(values), np.arange(1, len(values) + 1)
    rows = {kind: view.text(f"row.{kind}") for kind in ("zero", "nonfinite")}
    heights = decades_axis(ax, *Decades.first(*extent([logs, np.zeros(1)])), rows)
    ax.axhline(0.0, color=view.theme.theory, lw=1.2, ls="--")
    ax.plot(ranks, logs, color=view.theme.now, marker="o", ms=3.5, lw=1.4, clip_on=False, zorder=3)
    for kind, where in (("zero", values == 0), ("nonfinite", ~np.isfinite(values))):
        _mark(ax, kind, ranks[where], heights[kind], view)
    ax.set_xlim(0.3, len(values) + 0.7)
    ax.set_xlabel(view.text("closeup.rank"))
    last = look.matrices[-1]
    note = view.text("closeup.note.recurrent", name=last.name, norm=f"{last.norm:.3g}", radius=f"{last.radius:.3g}")
    return view.text("closeup.jacobian"), note


def draw_gates(ax: Axes, look: ThroughTime, view: View) -> tuple[str, str]:
    """Draw how far each gate of the last layer stands open at each time step, from 0 to 1."""
    theme = view.theme
    last = list(look.gates)[-1].rsplit(" ", 1)[0]
    own = {name.rsplit(" ", 1)[1]: means for name, means in look.gates.items() if name.startswith(f"{last} ")}
    for (gate, means), colour in zip(own.items(), (theme.now, theme.alarm, theme.theory), strict=False):
        ax.plot(np.arange(1, len(means) + 1), means, color=colour, lw=1.6, label=gate)
    ax.set_ylim(0, 1)
    ax.set_xlabel(view.text("axis.time"))
    return view.text("closeup.gates", name=last), ""


# ------------------------------------------------------------------ what they share
def _logs(values: Array) -> Array:
    return np.log10(np.where(np.isfinite(values) & (values > 0), values, np.nan))


def _mark(ax: Axes, kind: str, places: np.ndarray, height: float, view: View) -> None:
    style: dict[str, Any] = {"marker": MARKERS[kind], "color": view.theme.alarm, "mfc": "none"}
    ax.plot(places, np.full(len(places), height), ls="none", ms=7, mew=2, clip_on=False, **style)


def _layer_axis(ax: Axes, layers: int, decades: Decades, view: View, rows: Sequence[str]) -> dict[str, float]:
    """Number the layers, name the decades and the rows beyond them; return where each row lies."""
    ax.set_xlim(0.3, layers + 0.7)
    numbers = layer_ticks(layers)
    ax.set_xticks(numbers, [str(n) for n in numbers])
    ax.set_xlabel(view.text("axis.layer"))
    return decades_axis(ax, *decades, {row: view.text(f"row.{row}") for row in rows})


def _name(ax: Axes, title: str, note: str, view: View) -> None:
    """Put the title above, a note in small letters under it, and what is drawn below, where it hides nothing."""
    ink = view.theme.ink
    ax.set_title(title, pad=18, y=1.0, fontsize=11, color=ink)  # a place of its own: to look for one takes a tenth
    ax.text(0.5, 1.015, note, transform=ax.transAxes, ha="center", va="bottom", fontsize=8, color=ink)
    if ax.get_legend_handles_labels()[0]:
        narrow: dict[str, Any] = {"handlelength": 1.2, "columnspacing": 1.0, "handletextpad": 0.4}
        place: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, _BELOW), "ncols": 3}
        ax.legend(fontsize=8, frameon=False, labelcolor=ink, borderaxespad=0.0, **place, **narrow)


# ------------------------------------------------------------------ clipping thresholds
def draw_clip_curve(ax: Axes, curve: ClipCurve, view: View) -> tuple[str, str]:
    """Draw which share of the steps each threshold would have clipped, and what it would have left of their norm.

    The present threshold is a dashed line, its share and factor stand under the title.
    """
    theme, logs = view.theme, np.log10(curve.thresholds)
    ax.plot(logs, curve.share, color=theme.now, lw=1.6, label=view.text("closeup.clip.share"))
    ax.plot(logs, curve.factor, color=theme.after, lw=1.4, label=view.text("closeup.clip.factor"))
    ax.plot(logs, curve.hardest, color=theme.after, lw=1.0, ls=":", label=view.text("closeup.clip.hardest"))
    note = ""
    if curve.present is not None:
        share, factor = curve.at(curve.present)
        place = float(np.clip(math.log10(curve.present), logs[0], logs[-1]))
        ax.axvline(place, color=theme.alarm, lw=1.4, ls="--", label=view.text("closeup.clip.present"))
        shown = {"threshold": f"{curve.present:.3g}", "share": f"{100 * share:.0f} %", "factor": f"{factor:.2g}"}
        note = view.text("closeup.clip.note", **shown)
    low, high = math.floor(logs[0]), math.ceil(logs[-1])
    ticks = range(low, high + 1, max(1, (high - low) // 6))
    ax.set_xticks(ticks, [f"1e{d}" for d in ticks])
    ax.set_xlim(logs[0], logs[-1])
    ax.set_ylim(-0.02, 1.02)
    ax.set_xlabel(view.text("closeup.clip.threshold"))
    return view.text("closeup.clip"), note


# ------------------------------------------------------------------ widths
def draw_coordinates(ax: Axes, check: CoordinateCheck, view: View) -> tuple[str, str]:
    """Draw how far a few steps move each layer's activations, width by width; with muP's scaling the lines are level.

    First, middle and last layer: full lines in the standard parametrization, dashed ones in muP.
    """
    theme, widths = view.theme, np.log2(check.widths)
    layers = sorted({0, len(check.layer_names) // 2, len(check.layer_names) - 1})
    colours = (theme.first, theme.now, theme.after)
    for name, style in (("standard", "-"), ("mup", "--")):
        for layer, colour in zip(layers, colours, strict=False):
            slope = check.slopes[name][layer]
            label = f"{view.text(f'closeup.widths.{name}')}, {check.layer_names[layer]}: {slope:+.2f}"
            changes = _logs(check.change[name][:, layer])
            ax.plot(widths, changes, ls=style, color=colour, marker="o", ms=3, label=label)
    low, high = Decades.first(*extent([_logs(c) for c in check.change.values()]))
    ax.set_yticks(range(low, high + 1), [f"1e{d}" for d in range(low, high + 1)])
    ax.set_ylim(low, high)
    ax.set_xticks(widths, [str(w) for w in check.widths])
    ax.set_xlabel(view.text("closeup.widths.width"))
    return view.text("closeup.widths"), view.text("closeup.widths.note")
