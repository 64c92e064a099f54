"""One figure of several plots: drawn once by `draw`, or again and again by `LiveFigure`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gradlab.history import History
from gradlab.locale import Text
from gradlab.plots.empty import is_empty
from gradlab.plots.fonts import drawable, set_font
from gradlab.plots.lanes import name_lanes
from gradlab.plots.legend import add_legend, legend_rows
from gradlab.plots.notebook import NotebookFigure
from gradlab.plots.png import Encoder
from gradlab.plots.view import BOTH, PLOTS, Theme, Update, View, measures_of
from gradlab.theory import Band, Prediction

DEFAULT = ("loss", "heatmap", "profile")
LECTURE = (620, 400)  # logical pixels of a lecture's figure
_SPLIT = (0.985, 0.46, 0.42)  # of the width, left of the profiles, by their number
_LEGEND_ROW = 22
_ONE_LINE, _TWO_LINES = 30, 46  # logical pixels above the loss: the marks' names, and above them the lanes'
_SCALES = (0.6, 3.0)  # pixels per logical pixel, at least and at most


@dataclasses.dataclass
class _Panel:
    """One axis of the figure and what keeps it current."""

    name: str
    ax: Axes
    update: Update | None
    measure: str | None = None


def _layout(
    figure: Figure, names: Sequence[str], measures: Sequence[str], head: float
) -> list[tuple[str, Axes, str | None]]:
    """Stack the plots over time at the left, set the profiles side by side at the right.

    The margins hold type, so they are counted in logical pixels, whatever the size of the figure; `head` is left
    free above the plots over time.
    """
    wide, high = 100 * figure.get_figwidth(), 100 * figure.get_figheight()
    left = [name for name in names if name != "profile"]
    right = measures if "profile" in names else []
    split = _SPLIT[len(right)] * wide if left and right else (wide - 15 if left else 0.0)
    axes: list[tuple[str, Axes, str | None]] = []

    def add(name: str, measure: str | None, x: float, y: float, width: float, height: float) -> None:
        box = (x / wide, y / high, width / wide, height / high)
        axes.append((name, figure.add_axes(box), measure))

    top, bottom, gap = high - head, 58, 21
    height = (top - bottom - gap * (len(left) - 1)) / max(1, len(left))
    for i, name in enumerate(left):
        add(name, None, 62, top - (i + 1) * height - i * gap, split - 72, height)
    width = (wide - 10 - split) / max(1, len(right))
    foot = 70 + _LEGEND_ROW * legend_rows(figure)
    for i, measure in enumerate(right):
        add("profile", measure, split + i * width + 58, foot, width - 66, high - 34 - foot)
    return axes


class LiveFigure:
    """A figure that lives as long as a panel: only what changed is drawn again.

    Parameters
    ----------
    plots : sequence of str
        Names from `PLOTS`.
    size : (float, float)
        Width and height in logical pixels.
    scale : float, default 2
        Pixels per logical pixel.

    Notes
    -----
    No pyplot and no mathtext: both share state with whatever the notebook draws in another thread.
    """

    def __init__(
        self, plots: Sequence[str] = DEFAULT, size: tuple[float, float] = (1000, 430), scale: float = 2.0
    ) -> None:
        for name in plots:
            PLOTS[name]
        self.plots = tuple(plots)
        self.figure = NotebookFigure(figsize=(size[0] / 100, size[1] / 100), dpi=100 * scale)
        self.canvas = FigureCanvasAgg(self.figure)
        self._encoder = Encoder()
        self._panels: list[_Panel] = []
        self._built: Any = None
        self._background: Any = None
        self._state: Any = None

    def fit(self, width: float) -> bool:
        """Draw from now on `width` pixels wide, within reason; return whether that is another size.

        A picture that is shown pixel by pixel is sharper than a larger one made to fit, and quicker at every turn.
        """
        low, high = (limit * 100 * self.figure.get_figwidth() for limit in _SCALES)
        dpi = (min(max(round(width), low), high) + 0.5) / self.figure.get_figwidth()  # pixels are rounded down
        if int(dpi * self.figure.get_figwidth()) == int(self.figure.bbox.width):
            return False
        self.figure.set_dpi(dpi)
        self._built = None
        return True

    def render(self, history: History, view: View) -> bytes:
        """Draw a history and return the picture as PNG bytes."""
        self.update(history, view)
        return self._encoder.encode(np.asarray(self.canvas.buffer_rgba()), view.theme)

    def update(self, history: History, view: View) -> None:
        """Bring the canvas up to date."""
        view = dataclasses.replace(view, text=drawable(view.text))
        measures = measures_of(view.measure)
        drawn = (view.clip, view.units, view.theory is not None, view.guess is not None)
        lanes = (view.ghost is not None, view.ghost_name, view.rival is not None)
        kind = (measures, view.theme, view.text.lang, *drawn, *lanes)
        if self._built != kind:
            self._build(history, measures, view)
            self._built = kind
        artists: list[tuple[Axes, Sequence[Artist]]] = []
        for panel in self._panels:
            shown = dataclasses.replace(view, measure=panel.measure or measures[0])
            artists.append((panel.ax, self._update_panel(panel, history, shown)))
        state = [
            (p.ax.get_xlim(), p.ax.get_ylim(), p.ax.get_legend(), p.update is None and len(history))
            for p in self._panels
        ]
        if self._background is None or state != self._state:
            set_font(self.figure, view.text)  # an axis may have written new labels
            self.canvas.draw()
            self._background = self.canvas.copy_from_bbox(self.figure.bbox)
            self._state = state
        else:
            self.canvas.restore_region(self._background)
        for ax, changed in artists:
            for artist in changed:
                if not is_empty(artist):
                    ax.draw_artist(artist)

    def _update_panel(self, panel: _Panel, history: History, view: View) -> Sequence[Artist]:
        if panel.update is not None:
            return panel.update(history, view)
        panel.ax.clear()
        PLOTS[panel.name](panel.ax, history)
        colour_axes(panel.ax, view.theme)
        return []

    def _build(self, history: History, measures: Sequence[str], view: View) -> None:
        self.figure.clear()
        self.figure.set_facecolor(view.theme.back)
        self._background = None
        self._panels = []
        head = _TWO_LINES if view.rival is not None or view.ghost is not None else _ONE_LINE
        for name, ax, measure in _layout(self.figure, self.plots, measures, head):
            colour_axes(ax, view.theme)
            self._panels.append(_Panel(name, ax, PLOTS[name](ax, history), measure))
        if "profile" in self.plots:
            add_legend(self.figure, view)
        name_lanes(self.figure, view)


def lecture_figure(plots: Sequence[str] = DEFAULT) -> LiveFigure:
    """Return a figure for a projector: few logical pixels on many real ones make type and lines large."""
    return LiveFigure(plots, size=LECTURE, scale=2.6)


def anchored(prediction: Prediction | None, history: History) -> Band | None:
    """Return the predicted profile in measured units: through the last hidden layer's value at step 0."""
    profile = prediction.delta_profile() if prediction is not None else None
    if profile is None or not len(history) or profile.anchor < 1:
        return None
    value = float(history.row("delta_norm", 0)[profile.anchor - 1])
    return profile.anchored(value) if np.isfinite(value) and value > 0 else None


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
        A key of `MEASURES`, or ``"both"`` for backward signal and gradient norm side by side.
    clip : bool, optional
        Whether to show gradients after clipping too. Default: if anything was clipped.
    lang : str, default "en"
        Language of the words; English where no installed font has its glyphs.

    Returns
    -------
    matplotlib.figure.Figure
        Not known to pyplot; a notebook shows it, ``savefig`` writes it.
    """
    if clip is None:
        clip = len(history) > 0 and bool(np.any(history.column("clip_coef") < 1))
    band = anchored(theory, history)
    view = View(measure=measure, clip=clip, ghost=ghost, theory=band, text=Text(lang))
    return draw_view(history, view, tuple(plots) if plots is not None else DEFAULT)


def draw_view(history: History, view: View, plots: Sequence[str] = DEFAULT) -> Figure:
    """Draw a history once, as a panel with this view shows it."""
    live = LiveFigure(plots)
    live.update(history, view)
    for ax in live.figure.axes:
        for artist in ax.get_children():
            artist.set_animated(False)
    return live.figure
