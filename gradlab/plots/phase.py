"""Pictures of a sweep: a heat map over two knobs with theory's critical line, lines over one knob."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy.typing import NDArray

from gradlab.config import Config
from gradlab.history import Array
from gradlab.plots.critical import critical_lines
from gradlab.plots.knob_axis import KnobAxis, choose_axes, knob_axis, plane
from gradlab.plots.sweep_scale import GROWTH_TICKS, KINDS, LABELS, kinds, scale_of
from gradlab.plots.view import LIGHT, Theme
from gradlab.sweep import MEASURES, Sweep

_MOST_TICKS = 9


def draw_sweep(
    sweep: Sweep,
    measure: str | None = None,
    *,
    x: str | None = None,
    y: str | None = None,
    at: Mapping[str, int] | None = None,
    theory: bool = True,
    mark: Config | None = None,
    size: tuple[float, float] = (620, 430),
    theme: Theme = LIGHT,
) -> Figure:
    """Draw a sweep once: a heat map over two knobs, lines with the seeds' spread over one.

    Parameters
    ----------
    sweep : Sweep
        Finished or not.
    measure : str, optional
        One of `MEASURES`. Default: growth per layer at init.
    x, y : str, optional
        The knobs of the axes. Default: the first two that are swept.
    at : mapping of str to int, optional
        Number of the value at which each other knob is held; default its first.
    theory : bool, default True
        Whether to draw theory's critical line, where chi = 1.
    mark : Config, optional
        Where to put a mark, e.g. the network at hand.
    size : (float, float)
        Width and height in logical pixels.

    Returns
    -------
    matplotlib.figure.Figure
        Not known to pyplot.

    Raises
    ------
    ValueError
        If the measure or an axis is not known, or nothing is swept.
    """
    measure = measure or "growth"
    if measure not in MEASURES:
        raise ValueError(f"measure {measure!r}; expected one of {', '.join(MEASURES)}")
    if not sweep.grid.over:
        raise ValueError("over={}: nothing is swept; expected at least one knob to draw over")
    figure = Figure(figsize=(size[0] / 100, size[1] / 100), dpi=200, layout="constrained", facecolor=theme.back)
    FigureCanvasAgg(figure)
    ax = figure.add_subplot()
    axes = choose_axes(sweep, x, y)
    if len(axes) == 1:
        draw_lines(ax, sweep, measure, axes[0], at, theory, theme)
    else:
        draw_heatmap(ax, sweep, measure, (axes[0], axes[1]), at, theory, mark, theme)
    return figure


def draw_heatmap(
    ax: Axes,
    sweep: Sweep,
    measure: str,
    axes: tuple[str, str],
    at: Mapping[str, int] | None = None,
    theory: bool | Sequence[Array] = True,
    mark: Config | None = None,
    theme: Theme = LIGHT,
) -> None:
    """Draw one measure over two knobs; cells without a number say why by their colour.

    Parameters
    ----------
    theory : bool or list of ndarray, default True
        Whether to draw theory's critical line, or the lines that `critical_lines` returned: a panel that draws
        them again need not ask theory again.
    """
    across, up = (knob_axis(sweep, name) for name in axes)
    values = plane(sweep, sweep.over_seeds(measure), axes, at)
    x, y = np.argsort(across.at), np.argsort(up.at)
    edges = across.edges(), up.edges()
    shown = np.ma.masked_where(~(np.isfinite(values) & ((values > 0) | (measure != "growth"))), values)[y][:, x]
    scale = scale_of(measure, values)
    picture = ax.pcolormesh(*edges, shown, cmap=scale.colours, norm=scale.norm)
    bar = ax.figure.colorbar(picture, ax=ax, extend=scale.extend)
    _label_bar(bar, measure, theme)
    handles = _draw_kinds(ax, edges, kinds(sweep, measure, axes, at)[y][:, x])
    _set_axes(ax, across, up)
    if theory is not False and not (across.ranked or up.ranked):
        handles += _draw_theory(ax, critical_lines(sweep, *axes, at) if theory is True else theory, theme)
    if mark is not None:
        handles += _draw_mark(ax, (across, up), mark, theme)
    if handles:
        ax.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=4, fontsize=8, frameon=False)


def _draw_kinds(ax: Axes, edges: tuple[Array, Array], found: NDArray[np.intp]) -> list[Any]:
    """Colour the cells without a number by what they are; return handles for a legend."""
    shown = np.ma.masked_where(found < 0, found)
    colours = ListedColormap(list(KINDS.values()))
    ax.pcolormesh(*edges, shown, cmap=colours, norm=Normalize(-0.5, len(KINDS) - 0.5))
    present = [list(KINDS)[i] for i in sorted(set(found[found >= 0].tolist()))]
    return [Patch(facecolor=KINDS[name], label=name) for name in present]


def _draw_theory(ax: Axes, lines: Sequence[Array], theme: Theme) -> list[Any]:
    """Draw the critical lines; one that stands straight goes from edge to edge."""
    style: dict[str, Any] = {"color": theme.ink, "lw": 2, "ls": "--", "label": "theory: chi = 1"}
    drawn = []
    for line in lines:
        if len(set(line[:, 0])) == 1:
            drawn.append(ax.axvline(line[0, 0], **style))
        elif len(set(line[:, 1])) == 1:
            drawn.append(ax.axhline(line[0, 1], **style))
        else:
            drawn += ax.plot(*line.T, scalex=False, scaley=False, **style)
    return drawn[:1]


def _draw_mark(ax: Axes, axes: tuple[KnobAxis, KnobAxis], mark: Config, theme: Theme) -> list[Any]:
    at = [axis.place_of(getattr(mark, axis.name)) for axis in axes]
    style: dict[str, Any] = {
        "marker": "*",
        "ms": 14,
        "mfc": theme.after,
        "mec": theme.ink,
        "ls": "none",
        "clip_on": False,
    }
    return ax.plot([at[0]], [at[1]], **style, label="this network", scalex=False, scaley=False, zorder=5)


def _label_bar(bar: Any, measure: str, theme: Theme) -> None:
    if isinstance(bar.norm, LogNorm):  # plain numbers: mathtext shares state with whatever else is being drawn
        ticks = GROWTH_TICKS if measure == "growth" else np.geomspace(bar.vmin, bar.vmax, 5).tolist()
        bar.set_ticks(ticks, labels=[f"{t:.3g}" for t in ticks])
        bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.set_label(LABELS.get(measure, measure), color=theme.ink)


def _set_axes(ax: Axes, across: KnobAxis, up: KnobAxis | None) -> None:
    for axis, knob in ((ax.xaxis, across), (ax.yaxis, up)):
        if knob is None:
            continue
        axis.set_label_text(knob.name)
        if knob.log:
            (ax.set_xscale if axis is ax.xaxis else ax.set_yscale)("log")
        every = -(-len(knob.at) // _MOST_TICKS)
        labels = knob.labels or [f"{v:.3g}" for v in knob.at]
        axis.set_ticks(knob.at[::every], labels=labels[::every])
        axis.set_minor_locator(NullLocator())


def draw_lines(
    ax: Axes,
    sweep: Sweep,
    measure: str,
    knob: str,
    at: Mapping[str, int] | None = None,
    theory: bool = True,
    theme: Theme = LIGHT,
) -> None:
    """Draw one measure over one knob: a line over the seeds' mean or median, a band from the least to the most."""
    across = knob_axis(sweep, knob)
    order = np.argsort(across.at)
    low, high = (plane(sweep, bound, [knob], at)[order] for bound in sweep.spread(measure))
    middle = plane(sweep, sweep.over_seeds(measure), [knob], at)[order]
    middle, low, high = (np.where(np.isfinite(v), v, np.nan) for v in (middle, low, high))
    ax.fill_between(across.at[order], low, high, color=theme.now, alpha=0.25, lw=0, label="all seeds")
    ax.plot(across.at[order], middle, color=theme.now, marker="o", ms=4, label=LABELS.get(measure, measure))
    _set_axes(ax, across, None)
    if measure == "growth" or isinstance(scale_of(measure, middle).norm, LogNorm):
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.yaxis.set_minor_locator(NullLocator())
    if measure == "growth":
        ax.axhline(1.0, color=theme.faint, lw=1)
    if theory and not across.ranked:
        _draw_theory(ax, critical_lines(sweep, knob, None, at), theme)
    _note_not_finite(ax, across.at[order], plane(sweep, sweep.over_seeds(measure), [knob], at)[order])
    ax.set_ylabel(LABELS.get(measure, measure), color=theme.ink)
    ax.legend(fontsize=8, frameon=False)


def _note_not_finite(ax: Axes, places: Array, values: Array) -> None:
    """Mark at the upper edge where the measure is infinite: a line cannot show it."""
    infinite = places[np.isinf(values)]
    if len(infinite):
        top = ax.get_xaxis_transform()
        ax.plot(infinite, np.ones(len(infinite)), "^", color=KINDS["not finite"], transform=top, label="not finite")


def cell_at(ax: Axes, sweep: Sweep, pixel: tuple[float, float], axes: tuple[str, str]) -> dict[str, Any] | None:
    """Return the swept knobs' values of the cell under a point of the picture, None outside the axes.

    Parameters
    ----------
    ax : Axes
        The axes of a heat map that has been drawn.
    pixel : (float, float)
        Columns from the left and rows from the top of the picture.
    axes : (str, str)
        The knobs of the heat map.
    """
    x, y = pixel[0], ax.figure.bbox.height - pixel[1]
    if not ax.bbox.contains(x, y):
        return None
    place = ax.transData.inverted().transform((x, y))
    found = {}
    for name, position in zip(axes, place, strict=True):
        found[name] = sweep.grid.over[name][knob_axis(sweep, name).nearest(float(position))]
    return found
