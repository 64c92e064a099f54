"""Pictures of a sweep: a heat map over two knobs with theory's critical line, lines over one knob."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap, LogNorm, Normalize, to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy.typing import NDArray

from gradlab.config import Config
from gradlab.history import Array
from gradlab.locale import Text
from gradlab.plots.critical import critical_lines
from gradlab.plots.fonts import drawable, set_font
from gradlab.plots.style import LIGHT, Theme
from gradlab.registry import brief
from gradlab.sweep import MEASURES, Sweep
from gradlab.sweep.networks import PICTURES

# ------------------------------------------------------------------ a swept knob as an axis
_FEW_DECADES = 10.0  # a positive axis that spans more than this factor is logarithmic
_MOST_DECADES = 100.0  # past it matplotlib's own margins overflow: the values stand side by side, as words do


@dataclass(frozen=True)
class KnobAxis:
    """A swept knob as an axis."""

    name: str  # the knob
    at: Array  # where each value stands: the value itself, or its number if it is shown as a word
    labels: list[str] | None  # names of the places where the values are shown as words
    log: bool  # whether the axis is logarithmic
    ranked: bool = False  # whether numbers are shown as words, in their order: theory's line has no place among them

    def edges(self) -> Array:
        """Return the borders between cells in ascending order, half-way between neighbours on the axis."""
        at = np.sort(np.log(self.at) if self.log else self.at)
        if len(at) == 1:
            borders = np.array([at[0] - 0.5, at[0] + 0.5])
        else:
            middle = (at[1:] + at[:-1]) / 2
            borders = np.concatenate([[2 * at[0] - middle[0]], middle, [2 * at[-1] - middle[-1]]])
        return np.exp(borders) if self.log else borders

    def place_of(self, value: Any) -> float:
        """Return where a value of the knob stands; a word that is not swept stands beside the last."""
        if self.labels is None:
            return float(value)
        return float(self.at[self.labels.index(_text(value))] if _text(value) in self.labels else len(self.at))


def _text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def knob_axis(sweep: Sweep, name: str) -> KnobAxis:
    """Return a swept knob as an axis; raise ValueError if it is not swept."""
    if name not in sweep.grid.over:
        raise ValueError(f"axis {brief(name)}; expected one of the swept knobs {', '.join(sweep.grid.over)}")
    values = sweep.grid.over[name]
    if isinstance(values[0], str | bool):
        return KnobAxis(name, np.arange(len(values), dtype=float), [_text(v) for v in values], False)
    at = np.array(values, dtype=float)
    size = np.abs(at[at != 0])
    if len(size) and np.ptp(np.log10(size)) > _MOST_DECADES:
        return KnobAxis(name, np.argsort(np.argsort(at)).astype(float), [_text(v) for v in values], False, True)
    log = bool(at.min() > 0 and (name == "gain" or at.max() / at.min() >= _FEW_DECADES))
    return KnobAxis(name, at, None, log)


def choose_axes(sweep: Sweep, x: str | None, y: str | None) -> list[KnobAxis]:
    """Return the knobs to draw over: those asked for, else the first two that are swept."""
    free = iter([name for name in sweep.grid.over if name not in (x, y)])
    chosen = (next(free, None) if name is None else name for name in (x, y))
    return [knob_axis(sweep, name) for name in chosen if name is not None]


def plane(
    sweep: Sweep, values: NDArray[Any], axes: Sequence[str], at: Mapping[str, int] | None = None
) -> NDArray[Any]:
    """Return the part of `values` ``(*values per knob,)`` that lies over `axes`, the last of them first.

    `at` is the number of the value at which each other knob is held; default its first.
    """
    names = list(sweep.grid.over)
    held = tuple(slice(None) if name in axes else (at or {}).get(name, 0) for name in names)
    order = [name for name in names if name in axes]
    return values[held].transpose([order.index(name) for name in reversed(axes)])


# ------------------------------------------------------------------ colours and kinds
GROWTH_TICKS = [0.25, 0.5, 0.71, 1.0, 1.41, 2.0, 4.0]
KINDS = {"not finite": "#d55e00", "exactly 0": "#000000", "failed": "#9e9e9e", "not yet run": "#ececec"}
_SHARES = ("survived", "learned", "accuracy", "clipped")
_COUNTS = ("steps", "diverged_at")


def scale_of(measure: str, values: Array) -> Normalize:
    """Return the scale of a measure's colours, fixed for growth and shares so that pictures can be compared.

    Growth is centred on 1, shares run from 0 to 1, counts of steps from 0, the others are logarithmic.
    """
    if measure == "growth":
        return LogNorm(GROWTH_TICKS[0], GROWTH_TICKS[-1])
    if measure in _SHARES:
        return Normalize(0.0, 1.0)
    plain = values[np.isfinite(values) & (values > 0)]
    low, high = (plain.min(), plain.max()) if len(plain) else (0.1, 1.0)
    return Normalize(0.0, max(high, 1.0)) if measure in _COUNTS else LogNorm(low, max(high, low * 1.001))


def growth_colours(growth: Array) -> list[str]:
    """Return the heat map's colours of positive growths per layer, each as ``"#rrggbb"``."""
    return [to_hex(colour) for colour in colormaps["RdBu_r"](scale_of("growth", growth)(growth))]


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
    found[(values == 0) & (measure not in (*_SHARES, *_COUNTS))] = 1
    found[all_failed] = 2
    found[~some_done] = 3
    return found


# ------------------------------------------------------------------ what an axis says
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


def set_axes(ax: Axes, axes: Sequence[KnobAxis], text: Text) -> None:
    """Name the knobs and their values on the axes."""
    for axis, knob in zip((ax.xaxis, ax.yaxis), axes, strict=False):
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


# ------------------------------------------------------------------ the pictures
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
    """Draw a sweep, finished or not, once: a heat map over two knobs, lines with the seeds' spread over one.

    Parameters
    ----------
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
        raise ValueError(f"measure {brief(measure)}; expected one of {', '.join(MEASURES)}")
    if not sweep.grid.over:
        raise ValueError("over={}: nothing is swept; expected at least one knob to draw over")
    figure = Figure(figsize=(size[0] / 100, size[1] / 100), dpi=200, layout="constrained", facecolor=theme.back)
    FigureCanvasAgg(figure)
    ax = figure.add_subplot()
    axes = choose_axes(sweep, x, y)
    names = [axis.name for axis in axes]
    values = plane(sweep, sweep.over_seeds(measure), names, at)
    lines = critical_lines(sweep, *names, at=at) if theory and not any(axis.ranked for axis in axes) else []
    if len(axes) == 1:
        spread = [plane(sweep, bound, names, at) for bound in sweep.spread(measure)]
        draw_lines(ax, axes[0], measure, values, spread, theme, text)
        draw_theory(ax, lines, theme, text)
        note_not_finite(ax, axes[0].at, values, text)
        ax.legend(fontsize=8, frameon=False)
    else:
        handles = draw_heatmap(ax, axes, measure, values, kinds(sweep, measure, names, at), theme, text)
        handles += draw_theory(ax, lines, theme, text)
        handles += _draw_mark(ax, axes, mark, theme, text) if mark is not None else []
        if handles:
            ax.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=4, fontsize=8, frameon=False)
    set_font(figure, text)
    return figure


PICTURES["sweep"] = draw_sweep


def draw_heatmap(
    ax: Axes, axes: Sequence[KnobAxis], measure: str, values: Array, found: NDArray[np.intp], theme: Theme, text: Text
) -> list[Any]:
    """Draw a measure over two knobs; a cell without a number says by its colour why. Return handles for a legend."""
    across, up = axes
    order, edges = np.ix_(np.argsort(up.at), np.argsort(across.at)), (across.edges(), up.edges())
    growth = measure == "growth"
    shown = np.ma.masked_where(~np.isfinite(values) | (growth & (values <= 0)), values)[order]
    colours = colormaps["RdBu_r" if growth else "viridis"]
    picture = ax.pcolormesh(*edges, shown, cmap=colours, norm=scale_of(measure, values))
    label_bar(ax.figure.colorbar(picture, ax=ax, extend="both" if growth else "neither"), measure, theme, text)
    set_axes(ax, axes, text)
    return _draw_kinds(ax, edges, found[order], text)


def _draw_kinds(ax: Axes, edges: tuple[Array, Array], found: NDArray[np.intp], text: Text) -> list[Any]:
    """Colour the cells without a number by what they are; return handles for a legend."""
    shown = np.ma.masked_where(found < 0, found)
    colours = ListedColormap(list(KINDS.values()))
    ax.pcolormesh(*edges, shown, cmap=colours, norm=Normalize(-0.5, len(KINDS) - 0.5))
    present = [list(KINDS)[i] for i in sorted(set(found[found >= 0].tolist()))]
    return [Patch(facecolor=KINDS[name], label=text(f"sweep.kind.{name}")) for name in present]


def _draw_mark(ax: Axes, axes: Sequence[KnobAxis], mark: Config, theme: Theme, text: Text) -> list[Any]:
    at = [axis.place_of(getattr(mark, axis.name)) for axis in axes]
    style: dict[str, Any] = {"marker": "*", "ms": 14, "mfc": theme.after, "mec": theme.ink, "ls": "none"}
    fixed: dict[str, Any] = {"clip_on": False, "scalex": False, "scaley": False, "zorder": 5}
    return ax.plot([at[0]], [at[1]], **style, **fixed, label=text("sweep.this"))


def draw_lines(
    ax: Axes, across: KnobAxis, measure: str, values: Array, spread: Sequence[Array], theme: Theme, text: Text
) -> None:
    """Draw a measure over one knob: a line over the seeds' mean or median, a band from the least to the most."""
    order = np.argsort(across.at)
    middle, low, high = (np.where(np.isfinite(v), v, np.nan)[order] for v in (values, *spread))
    ax.fill_between(across.at[order], low, high, color=theme.now, alpha=0.25, lw=0, label=text("sweep.seeds"))
    ax.plot(across.at[order], middle, color=theme.now, marker="o", ms=4, label=text(f"sweep.{measure}"))
    set_axes(ax, (across,), text)
    ax.set_ylabel(text(f"sweep.{measure}"), color=theme.ink)
    if measure == "growth" or isinstance(scale_of(measure, middle), LogNorm):
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.yaxis.set_minor_locator(NullLocator())
    if measure == "growth":
        ax.axhline(1.0, color=theme.faint, lw=1)
