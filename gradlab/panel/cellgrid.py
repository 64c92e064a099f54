"""A plane of small buttons, one a cell of a sweep over gain and depth, coloured like the heat map."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

import ipywidgets as widgets
import numpy as np

from gradlab.config import Config
from gradlab.growth import times, way
from gradlab.panel.kit import Kit
from gradlab.plots.sweep_scale import KINDS, growth_colours, kinds
from gradlab.sweep import Sweep

Cell = tuple[float, int]  # gain, depth

_AXES = ("gain", "depth")
_UNKNOWN = KINDS["not yet run"]
_ROW = 24  # pixels: a cell is never smaller than a finger or an unsteady hand needs
_HEIGHT = 13 * _ROW
_CSS = """<style>
.gradlab .gradlab-phase-plane {width: 100%; max-width: 900px; overflow: visible;}
.gradlab .gradlab-phase-grid {flex: 1 1 auto; overflow: visible;}
.gradlab .gradlab-phase-cell:empty::before {content: none;} /* else a blank hides the tooltip as the name */
.gradlab .gradlab-phase-cell {border: 0; border-radius: 0; position: relative; line-height: 1;}
.gradlab .gradlab-phase-cell:hover {box-shadow: inset 0 0 0 2px #1a1a1a; z-index: 2;}
.gradlab .gradlab-phase-cell:focus-visible {z-index: 3;}
.gradlab .gradlab-phase-here {z-index: 1; box-shadow: inset 0 0 0 2px #1a1a1a, inset 0 0 0 4px #ffffff;}
/* !important: the front end frames a button that was just pressed in its own way */
.gradlab .gradlab-phase-here:not(:focus-visible) {outline: 3px solid #1a1a1a !important;
  outline-offset: -1px !important; box-shadow: inset 0 0 0 4px #ffffff !important;}
.gradlab .gradlab-phase-gains, .gradlab .gradlab-phase-depths {display: flex; gap: 1px; font-size: 12px;
  line-height: 1.5; font-variant-numeric: tabular-nums; color: var(--jp-ui-font-color1, #222);}
.gradlab .gradlab-phase-gains span, .gradlab .gradlab-phase-depths span {flex: 1 1 0; min-width: 0;
  min-height: 0; line-height: 1;
  display: flex; align-items: center; justify-content: center;}
.gradlab .gradlab-phase-depths {flex-direction: column; padding-right: 6px;}
.gradlab .gradlab-phase-depths span {justify-content: flex-end;}
</style>"""


class CellGrid:
    """Shows a sweep over gain (across) and depth (up) as buttons; written by one thread only.

    The cell of the current network and its four neighbours can be reached with Tab: pressing one makes it the
    current one, so that the keyboard walks over the plane without passing hundreds of buttons.

    Parameters
    ----------
    kit : Kit
        Makes the widgets.
    chosen : callable
        ``chosen(gain, depth)``, called when a cell is pressed, in whatever thread the message arrives.

    Attributes
    ----------
    plane : ipywidgets.HBox
        What is displayed.
    cells : dict
        ``(gain, depth)`` -> Button.
    """

    def __init__(self, kit: Kit, chosen: Callable[[float, int], None]) -> None:
        self._text, self._chosen = kit.text, chosen
        self.cells: dict[Cell, widgets.Button] = {}
        self._layout = widgets.Layout(width="auto", height="auto", min_width="0", margin="0", padding="0")
        self._colours: dict[str, widgets.ButtonStyle] = {}
        self._here: Cell | None = None
        self._line, self._gains = kit.html(), kit.html()
        self._depths = kit(widgets.HTML, layout=widgets.Layout(height=f"{_HEIGHT}px"))
        self._grid = kit(widgets.GridBox, layout=widgets.Layout(height=f"{_HEIGHT}px", grid_gap="1px"))
        self._grid.add_class("gradlab-phase-grid")
        right = kit(widgets.VBox, [self._grid, self._gains], layout={"flex": "1 1 auto", "overflow": "visible"})
        hidden = widgets.Layout(display="none")
        self.plane = kit(widgets.HBox, [self._depths, right, kit.html(_CSS), self._line], layout=hidden)
        self.plane.add_class("gradlab-phase-plane")

    def show(self, sweep: Sweep, config: Config) -> None:
        """Show what a sweep knows so far, and mark the cell nearest to a config."""
        gains, depths = (sorted(sweep.grid.over[name]) for name in _AXES)
        here = nearest(gains, depths, config)
        self._make_cells([(gain, depth) for depth in depths for gain in gains])
        growth, kind = sweep.over_seeds("growth"), kinds(sweep, "growth", _AXES).T
        odd, names = kind >= 0, list(KINDS)
        colours = growth_colours(np.where(odd, 1.0, growth).ravel())
        for number, (i, j) in enumerate(np.ndindex(growth.shape)):
            cell = (sweep.grid.over["gain"][i], sweep.grid.over["depth"][j])
            if odd[i, j]:
                what, colour = self._text(f"sweep.kind.{names[kind[i, j]]}"), KINDS[names[kind[i, j]]]
            else:
                what, colour = self._growth_words(float(growth[i, j]), cell[1]), colours[number]
            self._show_cell(cell, what, colour, cell == here)
        self._mark(gains, depths, here)
        if len(self._grid.children) != len(self.cells) or set(self._grid.children) != set(self.cells.values()):
            self._lay_out(gains, depths)

    def _make_cells(self, wanted: Sequence[Cell]) -> None:
        for cell in wanted:
            if cell not in self.cells:
                button = widgets.Button(layout=self._layout, style=self._coloured(_UNKNOWN), tabbable=False)
                button.add_class("gradlab-phase-cell")
                button.on_click(partial(self._pressed, cell))
                self.cells[cell] = button
        for cell in self.cells.keys() - set(wanted):
            self._here = None if cell == self._here else self._here
            self.cells.pop(cell).close()

    def _pressed(self, cell: Cell, _: widgets.Button) -> None:
        self._chosen(*cell)

    def _coloured(self, colour: str) -> widgets.ButtonStyle:
        if colour not in self._colours:
            self._colours[colour] = widgets.ButtonStyle(button_color=colour)
        return self._colours[colour]

    def _show_cell(self, cell: Cell, what: str, colour: str, here: bool) -> None:
        words = self._text("phase.cell", gain=f"{cell[0]:g}", depth=cell[1], what=what)
        button = self.cells[cell]
        with button.hold_sync():
            button.style = self._coloured(colour)
            button.tooltip = self._text("phase.here", cell=words) if here else words

    def _growth_words(self, growth: float, depth: int) -> str:
        """Return what a growth per layer amounts to over the `depth - 1` steps from the last hidden layer."""
        decades = (depth - 1) * math.log10(growth)
        regime = {"flat": "steady", "growing": "exploding", "shrinking": "vanishing"}[way(decades)]
        return self._text(
            "phase.growth", per_layer=f"{growth:.3g}", regime=self._text(f"phase.{regime}"), total=times(decades)
        )

    def _mark(self, gains: Sequence[float], depths: Sequence[int], here: Cell) -> None:
        """Frame one cell, and let Tab stop there and at its neighbours."""
        if here != self._here:
            if self._here is not None:
                self.cells[self._here].remove_class("gradlab-phase-here")
            self.cells[here].add_class("gradlab-phase-here")
            self._here = here
        x, y = gains.index(here[0]), depths.index(here[1])
        for i, gain in enumerate(gains):
            for j, depth in enumerate(depths):
                self.cells[gain, depth].tabbable = abs(i - x) + abs(j - y) <= 1

    def _lay_out(self, gains: Sequence[float], depths: Sequence[int]) -> None:
        layout = self._grid.layout
        layout.grid_template_columns = f"repeat({len(gains)}, minmax({_ROW}px, 1fr))"
        layout.grid_template_rows = f"repeat({len(depths)}, minmax({_ROW}px, 1fr))"
        self._grid.children = [self.cells[gain, depth] for depth in reversed(depths) for gain in gains]
        across = "".join(f"<span>{gain:.3g}</span>" for gain in gains)
        up = "".join(f"<span>{depth}</span>" for depth in reversed(depths))
        self._gains.value = f'<div class="gradlab-phase-gains" aria-hidden="true">{across}</div>'
        height = max(_HEIGHT, (_ROW + 1) * len(depths))
        layout.height = self._depths.layout.height = f"{height}px"
        style = f'style="height:{height}px" aria-hidden="true"'
        self._depths.value = f'<div class="gradlab-phase-depths" {style}>{up}</div>'
        self.plane.layout.display = ""

    def draw_line(self, sweep: Sweep, critical: Sequence[float]) -> None:
        """Draw theory's critical gains down the columns they fall into, each at its place on the log axis."""
        gains = sorted(sweep.grid.over["gain"])
        rules = []
        for column, share in filter(None, (place(gains, gain) for gain in critical)):
            at = f"{100 * share:.1f}%"
            rules.append(
                f".gradlab .gradlab-phase-grid > :nth-child({len(gains)}n + {column + 1}) {{background-image: "
                f"linear-gradient(to right, transparent calc({at} - 2px), #1a1a1a calc({at} - 2px), "
                f"#1a1a1a calc({at} + 1px), transparent calc({at} + 1px)) !important; "
                "background-size: 100% 60% !important; background-repeat: no-repeat !important;}"
            )
        self._line.value = f"<style>{''.join(rules)}</style>" if rules else ""

    def close(self) -> None:
        """Close the cells."""
        for widget in (*self.cells.values(), *self._colours.values(), self._layout):
            widget.close()


def nearest(gains: Sequence[float], depths: Sequence[int], config: Config) -> Cell:
    """Return the (gain, depth) nearest to a config's, by their ratios; a gain of 0 is nearest to the least."""
    gain = min(gains, key=lambda g: abs(math.log(g / config.gain)) if config.gain > 0 else g)
    return gain, min(depths, key=lambda d: abs(math.log(d / config.depth)))


def place(gains: Sequence[float], gain: float) -> tuple[int, float] | None:
    """Return the column that a gain falls into, and where in it from 0 to 1 on the log axis; None outside."""
    logs = [math.log(g) for g in gains]
    middles = [(a + b) / 2 for a, b in pairwise(logs)]
    edges = [2 * logs[0] - middles[0], *middles, 2 * logs[-1] - middles[-1]]
    for column, (low, high) in enumerate(pairwise(edges)):
        if low <= math.log(gain) < high:
            return column, (math.log(gain) - low) / (high - low)
    return None
