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
from gradlab.locale import Text
from gradlab.plots.critical import critical_lines
from gradlab.plots.fonts import drawable, set_font
from gradlab.plots.knob_axis import KnobAxis, choose_axes, knob_axis, plane
from gradlab.plots.sweep_axes import draw_theory, label_bar, note_not_finite, set_axes
from gradlab.plots.sweep_scale import KINDS, kinds, scale_of
from gradlab.plots.view import LIGHT, Theme
from gradlab.sweep import MEASURES, Sweep


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
    lang: str = "en",
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
    lang : str, default "en"
        Language of the words; English where no installed font has its glyphs.

    Returns
    -------
    matplotlib.figure.Figure
        Not known to pyplot.

    Raises
    ------
    ValueError
        If the measure or an axis is not known, or nothing is swept.
    """
    measure, text = measure or "growth", drawable(Text(lang))
    if measure not in MEASURES:
        raise ValueError(f"measure {measure!r}; expected one of {', '.join(MEASURES)}")
    if not sweep.grid.over:
        raise ValueError("over={}: nothing is swept; expected at least one knob to draw over")
    figure = Figure(figsize=(size[0] / 100, size[1] / 100), dpi=200, layout="constrained", facecolor=theme.back)
    FigureCanvasAgg(figure)
    ax = figure.add_subplot()
    axes = choose_axes(sweep, x, y)
    if len(axes) == 1:
        draw_lines(ax, sweep, measure, axes[0], at, theory, theme, text)
    else:
        draw_heatmap(ax, sweep, measure, (axes[0], axes[1]), at, theory, mark, theme, text)
    set_font(figure, text)
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
    text: Text | None = None,
) -> None:
    """Draw one measure over two knobs; cells without a number say why by their colour.

    Parameters
    ----------
    theory : bool or list of ndarray, default True
        Whether to draw theory's critical line, or the lines that `critical_lines` returned: a panel that draws
        them again need not ask theory again.
    """
    text = Text() if text is None else text
    across, up = (knob_axis(sweep, name) for name in axes)
    values = plane(sweep, sweep.over_seeds(measure), axes, at)
    x, y = np.argsort(across.at), np.argsort(up.at)
    edges = across.edges(), up.edges()
    shown = np.ma.masked_where(~(np.isfinite(values) & ((values > 0) | (measure != "growth"))), values)[y][:, x]
    scale = scale_of(measure, values)
    picture = ax.pcolormesh(*edges, shown, cmap=scale.colours, norm=scale.norm)
    bar = ax.figure.colorbar(picture, ax=ax, extend=scale.extend)
    label_bar(bar, measure, theme, text)
    handles = _draw_kinds(ax, edges, kinds(sweep, measure, axes, at)[y][:, x], text)
    set_axes(ax, across, up, text)
    if theory is not False and not (across.ranked or up.ranked):
        handles += draw_theory(ax, critical_lines(sweep, *axes, at) if theory is True else theory, theme, text)
    if mark is not None:
        handles += _draw_mark(ax, (across, up), mark, theme, text)
    if handles:
        ax.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=4, fontsize=8, frameon=False)


def _draw_kinds(ax: Axes, edges: tuple[Array, Array], found: NDArray[np.intp], text: Text) -> list[Any]:
    """Colour the cells without a number by what they are; return handles for a legend."""
    shown = np.ma.masked_where(found < 0, found)
    colours = ListedColormap(list(KINDS.values()))
    ax.pcolormesh(*edges, shown, cmap=colours, norm=Normalize(-0.5, len(KINDS) - 0.5))
    present = [list(KINDS)[i] for i in sorted(set(found[found >= 0].tolist()))]
    return [Patch(facecolor=KINDS[name], label=text(f"sweep.kind.{name}")) for name in present]


def _draw_mark(ax: Axes, axes: tuple[KnobAxis, KnobAxis], mark: Config, theme: Theme, text: Text) -> list[Any]:
    at = [axis.place_of(getattr(mark, axis.name)) for axis in axes]
    style: dict[str, Any] = {
        "marker": "*",
        "ms": 14,
        "mfc": theme.after,
        "mec": theme.ink,
        "ls": "none",
        "clip_on": False,
    }
    return ax.plot([at[0]], [at[1]], **style, label=text("sweep.this"), scalex=False, scaley=False, zorder=5)


def draw_lines(
    ax: Axes,
    sweep: Sweep,
    measure: str,
    knob: str,
    at: Mapping[str, int] | None = None,
    theory: bool = True,
    theme: Theme = LIGHT,
    text: Text | None = None,
) -> None:
    """Draw one measure over one knob: a line over the seeds' mean or median, a band from the least to the most."""
    text = Text() if text is None else text
    across = knob_axis(sweep, knob)
    order = np.argsort(across.at)
    low, high = (plane(sweep, bound, [knob], at)[order] for bound in sweep.spread(measure))
    middle = plane(sweep, sweep.over_seeds(measure), [knob], at)[order]
    middle, low, high = (np.where(np.isfinite(v), v, np.nan) for v in (middle, low, high))
    ax.fill_between(across.at[order], low, high, color=theme.now, alpha=0.25, lw=0, label=text("sweep.seeds"))
    ax.plot(across.at[order], middle, color=theme.now, marker="o", ms=4, label=text(f"sweep.{measure}"))
    set_axes(ax, across, None, text)
    if measure == "growth" or isinstance(scale_of(measure, middle).norm, LogNorm):
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.yaxis.set_minor_locator(NullLocator())
    if measure == "growth":
        ax.axhline(1.0, color=theme.faint, lw=1)
    if theory and not across.ranked:
        draw_theory(ax, critical_lines(sweep, knob, None, at), theme, text)
    note_not_finite(ax, across.at[order], plane(sweep, sweep.over_seeds(measure), [knob], at)[order], text)
    ax.set_ylabel(text(f"sweep.{measure}"), color=theme.ink)
    ax.legend(fontsize=8, frameon=False)


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
