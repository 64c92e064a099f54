"""`draw`: the picture of a history by matplotlib, for papers, notebooks and saved panels."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text as Label

from gradlab.blocks import groups_of
from gradlab.history import History
from gradlab.locale import Text
from gradlab.plots.axes import TIME, columns_of
from gradlab.plots.fonts import any_weight, drawable, set_font
from gradlab.plots.picture import BOTH, Picture, Series, View, describe, kinds_of, measures_of
from gradlab.plots.stretches import step_limit
from gradlab.plots.style import MARKERS, RAMP, ROWS, Theme, cell_colours, colour_axes, decades_axis, layer_ticks
from gradlab.registry import Registry
from gradlab.theory import Band, Prediction

PLOTS = Registry(
    "plot",
    "ax, history",
    gives="a function update(history, view), or None where it has drawn",
    fits=lambda made, *_: made is None or callable(made),
)
"""Each entry is ``(ax, history) -> update``: ``update(history, view)`` then draws on the axis. An entry that
returns None has drawn already."""

Update = Callable[[History, View], None]

DEFAULT = ("loss", "heatmap", "profile")
SIZE = (1000, 430)  # logical pixels
_DPI = 200
_LETTERS = 55  # that fit below the profile
_LOOKS: dict[str, dict[str, Any]] = {
    "first": {"lw": 1.6},
    "last": {"lw": 1.8, "marker": "o", "ms": 3.5},
    "ghost": {"lw": 1.4, "ls": "-."},
    "rival": {"lw": 1.8, "ls": (0, (4, 1.2)), "marker": "D", "ms": 4.5, "mfc": "none"},
    "theory": {"lw": 2.0, "ls": "--"},
    "guess": {"lw": 2.6, "ls": (0, (5, 2))},
    "second": {"lw": 1.2, "marker": "s", "ms": 3.5, "mfc": "none"},
    "after": {"lw": 1.4, "ls": ":", "marker": "s", "ms": 4.5, "mfc": "none"},
    "now": {"lw": 1.8, "marker": "o", "ms": 5},
}


def _look(role: str, theme: Theme) -> dict[str, Any]:
    special = {"ghost": theme.first, "rival": theme.ink, "last": theme.alarm, "second": "#8250a4"}
    return {**_LOOKS[role], "color": special.get(role) or getattr(theme, role)}


# ------------------------------------------------------------------ the plots
@PLOTS.register("profile", "Layers now")
def profile(ax: Axes, history: History) -> Update:
    """Every layer's value now, its value at step 0 as a ghost, before and after clipping.

    Zero, underflow, non-finite and no gradient have marks of their own.
    """
    return lambda history, view: _draw_profile(ax, describe(history, view), history, view)


@PLOTS.register("loss", "Loss")
def loss(ax: Axes, history: History) -> Update:
    """Median and range of the loss; marks where a knob moved, a step was clipped or failed."""
    return lambda history, view: _draw_loss(ax, describe(history, view), history, view)


@PLOTS.register("heatmap", "Layers x steps")
def heatmap(ax: Axes, history: History) -> Update:
    """The measure of every layer at every step relative to the last layer, with a bar that reads the colours."""
    return lambda history, view: _draw_heatmap(ax, describe(history, view), history, view)


def _draw_profile(ax: Axes, picture: Picture, history: History, view: View) -> None:
    low, high = picture.limits.profile
    rows = decades_axis(ax, low, high, {kind: view.text(f"row.{kind}") for kind in ROWS})
    band = {s.role: s for s in picture.series if s.role in ("low", "high")}
    if band:
        edges = (band["low"].layers, band["low"].logs, band["high"].logs)
        ax.fill_between(*edges, color=view.theme.theory, alpha=0.2, lw=0)
    for series in picture.series:
        if series.role in band:
            continue
        style = {**_look(series.role, view.theme), "label": series.role, "clip_on": series.role == "theory"}
        ax.plot(series.layers, np.where(np.isfinite(series.logs), series.logs, np.nan), **style)
        if series.role in ("now", "rival"):
            _mark_odd(ax, series, rows, history.tiny, view.theme)
    _stand_units(ax, picture, view, low, high - low)
    layers = max((int(s.layers[-1]) for s in picture.series), default=len(columns_of(history, picture.measure)))
    ax.set_xlim(0.3, layers + 0.7)
    _name_layers(ax, layers, history.layer_names[:layers] if picture.measure != TIME else ())
    ax.set_xlabel(view.text("axis.time" if picture.measure == TIME else "axis.layer"))
    ax.set_title(view.text(f"measure.{BOTH if view.measure == BOTH else picture.measure}"))
    if picture.slope:
        x, y, across, up = _free_corner(picture)
        style: dict[str, Any] = {"ha": across, "va": up, "fontsize": 9, "weight": "bold", "color": view.theme.ink}
        ax.text(x, y, picture.slope, transform=ax.transAxes, **style)


def _name_layers(ax: Axes, layers: int, names: Sequence[str]) -> None:
    """Name the layers below the profile, or the modules and blocks they stand in; numbers where names say no more."""
    levels = groups_of(names)
    if not levels:
        numbers = layer_ticks(layers)
        ax.set_xticks(numbers, [str(n) for n in numbers])
        return
    letters = [sum(len(group.label) + 2 for group in level) for level in levels]
    fits = next((i for i, count in enumerate(letters) if count <= _LETTERS), len(levels) - 1)
    groups = levels[fits][:: -(-letters[fits] // _LETTERS)]
    ax.set_xticks([(group.start + 1 + group.stop) / 2 for group in groups], [group.label for group in groups])


def _mark_odd(ax: Axes, series: Series, rows: dict[str, float], tiny: float, theme: Theme) -> None:
    """Give every layer without a plain number its mark, in a place of its own."""
    for kind, where in kinds_of(series.logs, tiny).items():
        heights = series.logs[where] if kind == "underflow" else np.full(where.sum(), rows[kind])
        look: dict[str, Any] = {"marker": MARKERS[kind], "mfc": "none" if kind == "zero" else None, "ms": 8, "mew": 2}
        look |= {"color": theme.alarm, "label": f"{series.role} {kind}"}
        ax.plot(series.layers[where], heights, ls="none", clip_on=False, **look)


def _stand_units(ax: Axes, picture: Picture, view: View, low: int, span: int) -> None:
    """Stand bars under the dots, dead units left and saturated ones right; a full one is a tenth of the axis."""
    if not view.units:
        return
    for side, shares, colour in ((-0.15, picture.dead, view.theme.ink), (0.15, picture.saturated, view.theme.after)):
        tall = [(n + side, low + 0.1 * span * share) for n, share in enumerate(shares, 1) if share > 0]
        segments = [[(x, low), (x, top)] for x, top in tall]
        ax.add_collection(LineCollection(segments, linewidths=3, colors=colour), autolim=False)


def _free_corner(picture: Picture) -> tuple[float, float, str, str]:
    """Return the corner of the profile in which the fewest points lie."""
    low, high = picture.limits.profile
    corners = {(x, y): 0 for y in (0.93, 0.12) for x in (0.98, 0.02)}
    for series in picture.series:
        right = series.layers > series.layers.max() / 3
        heights = np.clip((series.logs - low) / (high - low), 0, 1)  # an infinity stands at the top
        for x, y in corners:
            beside = right if x > 0.5 else ~right | (series.layers < series.layers.max() * 2 / 3)
            corners[x, y] += int((beside & (np.abs(heights - y) < 0.1)).sum())
    x, y = min(corners, key=lambda corner: corners[corner])
    return x, y, "right" if x > 0.5 else "left", "center"


def _draw_loss(ax: Axes, picture: Picture, history: History, view: View) -> None:
    low, high = picture.limits.loss
    rival: tuple[Any, ...] = (picture.rival_stretches, view.theme.ink, (0, (4, 1.2)))
    for found, colour, dashes in (rival, (picture.stretches, view.theme.now, "-")):
        if found is None:
            continue
        at = (found.start + np.append(found.start, found.end)[1:] - 1) / 2  # the middle of each stretch
        ax.fill_between(at, found.low, found.high, color=colour, alpha=0.2, lw=0)
        ax.plot(at, found.median, color=colour, lw=1.6, ls=dashes, label="median")
        odd: tuple[tuple[str, Any, int, dict[str, Any]], ...] = (
            ("zero", found.zero, low, {"mfc": "none", "color": view.theme.ink}),
            ("nonfinite", found.nonfinite, high, {"ms": 9, "color": view.theme.alarm}),
        )
        for kind, where, height, look in odd:
            places = at[where], np.full(where.sum(), height)
            ax.plot(*places, ls="none", marker=MARKERS[kind], clip_on=False, label=kind, **look)
    _draw_marks(ax, picture, view, low, high)
    _cursor(ax, history, view, (low, high))
    ax.set_xlim(0, step_limit(picture.last_step + 1))
    ax.set_ylim(low, high)
    ticks = list(range(low, high + 1, max(1, (high - low) // 5)))
    ax.set_yticks(ticks, [f"1e{t}" for t in ticks])
    ax.set_xticks([])
    ax.set_ylabel(view.text("axis.loss"))


_SPANS = {"knob": (0, 1), "clipped": (0, 0.07), "skipped": (0, 0.4), "diverged": (0, 1)}  # shares of the height


def _draw_marks(ax: Axes, picture: Picture, view: View, low: int, high: int) -> None:
    """Draw upright lines where something happened, and name those that there are above the axis."""
    theme, handles = view.theme, []
    for kind, (bottom, top) in _SPANS.items():
        steps = picture.marks[kind]
        colour = {"knob": theme.first, "clipped": theme.after}.get(kind, theme.alarm)
        width, dashes = (2.6 if kind == "diverged" else 1.2), ("dotted" if kind == "knob" else "solid")
        span = [low + share * (high - low) for share in (bottom, top)]
        lines, look = [[(s, span[0]), (s, span[1])] for s in steps], {"linewidths": width, "linestyles": dashes}
        ax.add_collection(LineCollection(lines, colors=colour, label=kind, **look), autolim=False)
        if len(steps):
            label = view.text(f"mark.{kind}")
            handles.append(Line2D([], [], label=label, color=colour, ls="none", marker="|", ms=9, mew=width))
    if handles:
        place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (-0.1, 1.0), "ncols": len(handles)}
        place |= {"handletextpad": 0.1, "columnspacing": 0.4, "borderaxespad": 0.1, "handlelength": 0.5}
        ax.legend(handles=handles, fontsize=9, frameon=False, labelcolor=theme.ink, **place)


def _cursor(ax: Axes, history: History, view: View, span: tuple[float, float]) -> None:
    if view.at is not None and len(history):
        ax.plot([history.row("step", view.at)] * 2, span, color=view.theme.ink, lw=1.4)


def _draw_heatmap(ax: Axes, picture: Picture, history: History, view: View) -> None:
    found, layers = picture.stretches, len(columns_of(history, picture.measure))
    limit = step_limit(picture.last_step + 1)
    if len(found.start) and not view.hidden:
        borders = np.append(found.start, found.end), np.arange(layers + 1) + 0.5
        ax.pcolormesh(*borders, cell_colours(found.cells, picture.limits.span).swapaxes(0, 1))
    _cursor(ax, history, view, (0.5, layers + 0.5))
    ax.set_xlim(0, limit)
    ax.set_ylim(0.5, layers + 0.5)
    ticks = np.linspace(0, limit, 6)
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    shown = sorted({1, (layers + 1) // 2, layers})
    ax.set_yticks(shown, [str(n) for n in shown])
    ax.set_xlabel(view.text("axis.step"))
    ax.set_ylabel(view.text("axis.time_short" if picture.measure == TIME else "axis.layer_short"))
    ax.grid(False)
    _colour_bar(ax, picture.limits.span, view)


def _colour_bar(ax: Axes, span: int, view: View) -> None:
    bar = ax.inset_axes((1.012, 0.0, 0.014, 1.0))
    bar.imshow(RAMP(np.linspace(0, 1, 64))[:, None], origin="lower", aspect="auto", extent=(0, 1, -span, span))
    bar.set_xticks([])
    bar.yaxis.tick_right()
    bar.set_yticks([-span, 0, span], [f"1e-{span}", "x1", f"1e{span}"])
    bar.tick_params(colors=view.theme.ink, labelsize=7, length=0, pad=1)


# ------------------------------------------------------------------ the figure
class NotebookFigure(Figure):
    """A Figure that a notebook shows as a picture, whether or not pyplot's inline backend was switched on."""

    def _repr_png_(self) -> bytes:
        return figure_png(self)

    def __repr__(self) -> str:
        return super().__repr__().replace(type(self).__name__, "Figure")


def figure_png(figure: Figure, compression: int = 6) -> bytes:
    """Return a figure as PNG bytes; at a compression of 1 they are a sixth more, and made in less time."""
    canvas, out = FigureCanvasAgg(figure), io.BytesIO()
    with any_weight():
        canvas.print_png(out, pil_kwargs={"compress_level": compression})
    for text in figure.findobj(Label):  # each keeps the renderer, megabytes of pixels, until garbage is collected
        text._renderer = None  # pyright: ignore[reportAttributeAccessIssue]
    FigureCanvasAgg(figure)  # and so does the canvas: another takes its place
    return out.getvalue()


def anchored(prediction: Prediction | None, history: History) -> Band | None:
    """Return the predicted profile in measured units: through the last hidden layer's value at step 0."""
    found = prediction.delta_profile() if prediction is not None else None
    if found is None or not len(history) or found.anchor < 1:
        return None
    value = float(history.row("delta_norm", 0)[found.anchor - 1])
    return found.anchored(value) if np.isfinite(value) and value > 0 else None


def draw(
    history: History,
    plots: Sequence[str] | None = None,
    ghost: History | None = None,
    theory: Prediction | None = None,
    *,
    measure: str = BOTH,
    clip: bool | None = None,
    lang: str = "en",
) -> Figure:
    """Draw a history once and return the matplotlib Figure.

    Parameters
    ----------
    history : History
        What to draw.
    plots : sequence of str, optional
        Names from `PLOTS`. Default: loss, heat map and profile.
    ghost : History, optional
        Another run, drawn faintly behind.
    theory : Prediction, optional
        From `theory.predict`: its profile is drawn over the backward signal, anchored at step 0.
    measure : str
        A key of `MEASURES`, or ``"both"`` for backward signal and gradient norm on one axis.
    clip : bool, optional
        Whether to show gradients after clipping too. Default: if anything was clipped.
    lang : str, default "en"
        Language of the words; English where no installed font has its glyphs.

    Returns
    -------
    matplotlib.figure.Figure
        Not known to pyplot; a notebook shows it, ``savefig`` writes it.
    """
    history = history.of_weights()
    if clip is None:
        clip = len(history) > 0 and bool(np.any(history.column("clip_coef") < 1))
    view = View(measure=measure, clip=clip, ghost=ghost, theory=anchored(theory, history), text=Text(lang))
    return draw_view(history, view, tuple(plots) if plots is not None else DEFAULT)


def draw_view(history: History, view: View, plots: Sequence[str] = DEFAULT) -> Figure:
    """Draw a history once, as a panel with this view shows it. No pyplot and no mathtext: both share state."""
    for name in plots:
        PLOTS[name]
    measures_of(view.measure)
    view = dataclasses.replace(view, text=drawable(view.text))
    figure = NotebookFigure(figsize=(SIZE[0] / 100, SIZE[1] / 100), dpi=_DPI, facecolor=view.theme.back)
    for name, box in _layout(plots):
        ax = figure.add_axes(box)
        colour_axes(ax, view.theme)
        update = PLOTS[name](ax, history)
        if update is not None:
            update(history, view)
        colour_axes(ax, view.theme)
    _add_legend(figure, view, "profile" in plots)
    set_font(figure, view.text)
    return figure


def _layout(plots: Sequence[str]) -> list[tuple[str, tuple[float, float, float, float]]]:
    """Stack the plots over time at the left, set the profile at the right; margins in logical pixels hold type."""
    wide, high = SIZE
    left = [name for name in plots if name != "profile"]
    split = 0.54 * wide if left and "profile" in plots else (wide - 15 if left else 0.0)
    top, bottom, gap = high - 46, 58, 21
    height = (top - bottom - gap * (len(left) - 1)) / max(1, len(left))
    boxes = [
        (name, (62 / wide, (top - (i + 1) * height - i * gap) / high, (split - 112) / wide, height / high))
        for i, name in enumerate(left)
    ]
    if "profile" in plots:
        boxes.append(("profile", ((split + 58) / wide, 92 / high, (wide - split - 76) / wide, (high - 126) / high)))
    return boxes


def _add_legend(figure: Figure, view: View, marks: bool) -> None:
    """Explain the lines and marks of the profile at the bottom, and name lanes and ghost at the top."""
    theme = view.theme
    style: dict[str, Any] = {"labelcolor": theme.ink, "fontsize": 9, "frameon": False}
    style |= {"handletextpad": 0.3, "columnspacing": 1.0, "borderaxespad": 0.2}
    if marks:
        there = {"now": True, "first": True, "second": view.measure == BOTH}
        there |= {"guess": view.guess is not None, "theory": view.theory is not None, "after": view.clip}
        words = {"now": "kind.plain", "second": "stage.second"}
        roles = [role for role, shown in there.items() if shown]
        handles = [_handle(role, view.text(words.get(role, f"kind.{role}")), theme) for role in roles]
        if view.units:
            bars = (("dead", theme.ink), ("saturated", theme.after))
            handles += [Line2D([], [], color=colour, lw=3, label=view.text(f"kind.{kind}")) for kind, colour in bars]
        dot: dict[str, Any] = {"color": theme.alarm, "ls": "none", "ms": 7}
        handles += [Line2D([], [], marker=m, label=view.text(f"kind.{kind}"), **dot) for kind, m in MARKERS.items()]
        figure.legend(handles=handles, loc="lower right", ncols=-(-len(handles) // 2), handlelength=1.6, **style)
    lanes = []
    if view.rival is not None:
        lanes = [_handle("rival", view.text("lanes.a"), theme), _handle("now", view.text("lanes.b"), theme)]
    if view.ghost is not None:
        name = view.text("kind.ghost_of", knobs=view.ghost_name) if view.ghost_name else view.text("kind.ghost")
        lanes.append(_handle("ghost", name, theme))
    if lanes:
        place = {"loc": "upper left", "bbox_to_anchor": (0.05, 1.0), "ncols": len(lanes), "handlelength": 2.6}
        figure.legend(handles=lanes, **place, **style)


def _handle(role: str, label: str, theme: Theme) -> Line2D:
    return Line2D([], [], label=label, **_look(role, theme))
