"""`PhaseMap`: growth at init over gain and depth, or through time, as a plane of small buttons."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Sequence
from functools import partial

import ipywidgets as widgets
import numpy as np

from gradlab.config import SEEDS, Config
from gradlab.growth import way
from gradlab.panel.controller import Controller
from gradlab.panel.controls import nearest
from gradlab.panel.description import other_knobs
from gradlab.panel.layout import WidgetSet, in_words, marked
from gradlab.panel.start import check_size
from gradlab.plots.phase import GROWTH_TICKS, KINDS, critical_lines, growth_colours, kinds
from gradlab.sweep import Sweep, phase_axes, phase_diagram

Cell = tuple[float, int]  # gain and depth, or recurrent gain and sequence length

_SEEDS, _LEVELS = 4, 3  # up to 17 x 13 cells: finer ones are too small to press
_LARGEST, _ROW_OF = 32, 5 * _SEEDS  # depth of the map, time steps too, and networks in its first row
_ALIKE = {"optimizer", *SEEDS, *(name for name, knob in Config.knobs().items() if knob.live)}  # give the same map
_BARE = {"width": "auto", "height": "auto", "min_width": "0", "margin": "0", "padding": "0"}  # layout of a cell
_ROW = 22  # pixels: a cell is never smaller than a finger or an unsteady hand needs


class PhaseMap:
    """Maps gain x depth around the current network: the browser asks for row after row.

    Tab reaches the current network's cell and its four neighbours: pressing one makes it the current one, so that the
    keyboard walks over the plane without passing hundreds of buttons.
    """

    width = 448

    def __init__(self, controller: Controller, make: WidgetSet) -> None:
        self._of, self._make, self._text = controller, make, make.text
        self._sweeps: Iterator[Sweep] | None = None
        self._sweep: Sweep | None = None
        self._config = controller.trainer.config
        self._axes = phase_axes(self._config)
        self._critical: list[float] | None = None  # theory's gains within the map; None before it was asked
        self._cells: dict[Cell, widgets.Button] = {}
        own = controller.own["network"] is not None
        self._button = make.button("phase.map", "phase.tip_map", lambda: controller.act(self.toggle), "strong")
        self._button.disabled = own
        self._said, self._legend, self._line, self._gains, self._depths = (make.html() for _ in range(5))
        self._grid = make(widgets.GridBox, layout=widgets.Layout(), css="plane-grid")
        right, hidden = make.box("plane-right", self._grid, self._gains), widgets.Layout(display="none")
        self._plane = make.box("plane", self._depths, right, self._line, layout=hidden)
        self.page = make.box("page", make.box("row", self._button), self._said, self._plane, self._legend)
        self._say(self._text("phase.own" if own else self._key("about")))

    @property
    def mapping(self) -> bool:
        """Whether cells are being measured."""
        return self._sweeps is not None

    def _key(self, name: str) -> str:
        """Return the key of a sentence, which through time is another one."""
        return f"phase.{name}.time" if self._axes[1] == "sequence_length" else f"phase.{name}"

    # ------------------------------------------------------------------ under the run's lock
    def toggle(self) -> None:
        """Map, or stop and keep what is there, as the button says."""
        if self.mapping:
            self._end()
            return
        config = self._of.trainer.config
        _, size = axes = phase_axes(config)
        deepest = config.replace(**{size: max(_LARGEST, getattr(config, size))}, accumulation="none")
        check_size(deepest, self._of.own, networks=_ROW_OF)
        self._sweep = self._critical = None
        self._config, self._axes = config, axes
        self._sweeps = phase_diagram(self._config, seeds=_SEEDS, data=self._of.own["data"], levels=_LEVELS)
        self._show_button()
        self._say(self._text("phase.starts"))

    def work(self) -> None:
        """Measure the next row of cells; theory is asked last, as it takes its time."""
        if self._sweeps is None:
            return
        try:
            sweep = next(self._sweeps, None)
        except Exception as error:
            self._sweeps = None
            self._show_button()
            said = self._text("phase.failed", error=f"{type(error).__name__}: {self._text.say(error)}")
            self._say(said, 'role="alert"')
            return
        if sweep is None:
            self._end()
        else:
            self._sweep = sweep
            self._show_sweep(sweep)

    def _end(self) -> None:
        self._sweeps = None
        self._show_button()
        if self._sweep is not None:
            self._sweep.stop()
            lines = critical_lines(self._sweep, *self._axes)
            self._critical = sorted(float(line[0, 0]) for line in lines)
            self._show_sweep(self._sweep)

    def show(self) -> None:
        """Follow the panel's config."""
        if self._of.trainer.config is not self._config:
            self._config = self._of.trainer.config
            if self._sweep is not None:
                self._show_sweep(self._sweep)

    # ------------------------------------------------------------------ the plane
    def _show_sweep(self, sweep: Sweep) -> None:
        gains, depths = (sorted(sweep.grid.over[name]) for name in self._axes)
        gain, depth = (getattr(self._config, name) for name in self._axes)
        here = (nearest(gains, gain), nearest(depths, depth))
        self._make_cells([(gain, depth) for depth in depths for gain in gains])
        growth, kind = sweep.over_seeds("growth"), kinds(sweep, "growth", self._axes).T
        odd, names = kind >= 0, list(KINDS)
        colours = growth_colours(np.where(odd, 1.0, growth).ravel())
        for number, (i, j) in enumerate(np.ndindex(growth.shape)):
            cell = tuple(sweep.grid.over[name][k] for name, k in zip(self._axes, (i, j), strict=True))
            if odd[i, j]:
                what, colour = self._text(f"sweep.kind.{names[kind[i, j]]}"), KINDS[names[kind[i, j]]]
            else:
                what, colour = self._growth_words(float(growth[i, j]), cell[1]), colours[number]
            away = sum(abs(v.index(a) - v.index(b)) for v, a, b in zip((gains, depths), cell, here, strict=True))
            self._show_cell(cell, what, colour, away)
        if len(self._grid.children) != len(self._cells) or set(self._grid.children) != set(self._cells.values()):
            self._lay_out(gains, depths)
        self._draw_line(gains, self._critical or [])
        self._show_legend(sweep)
        self._tell(sweep)

    def _make_cells(self, wanted: Sequence[Cell]) -> None:
        for cell in wanted:
            if cell not in self._cells:
                self._cells[cell] = self._make(widgets.Button, css="cell", layout=_BARE, tabbable=False)
                self._make.pressed(self._cells[cell], partial(self._pressed, cell))
        for cell in self._cells.keys() - set(wanted):
            self._cells.pop(cell).close()

    def _pressed(self, cell: Cell) -> None:
        self._of.act(lambda: self._of.set(dict(zip(self._axes, cell, strict=True))))

    def _show_cell(self, cell: Cell, what: str, colour: str, away: int) -> None:
        """Show a cell so many steps away from the network's own, which is framed; Tab stops there and beside it."""
        words = self._text(self._key("cell"), gain=f"{cell[0]:g}", depth=cell[1], what=what)
        button = self._cells[cell]
        with button.hold_sync():
            button.style = self._make.look(widgets.ButtonStyle, button_color=colour)
            button.tooltip = words if away else self._text("phase.here", cell=words)
            button.tabbable = away <= 1
            marked(button, "here", not away)

    def _growth_words(self, growth: float, depth: int) -> str:
        """Return what a growth per layer amounts to over the `depth - 1` steps from the last hidden layer."""
        decades = (depth - 1) * math.log10(growth)
        total = f"{10**decades:.3g}" if abs(decades) < 300 else f"1e{decades:+.0f}"
        words = {"per_layer": f"{growth:.3g}", "regime": self._text(f"phase.{way(decades)}"), "total": total}
        return self._text(self._key("growth"), **words)

    def _lay_out(self, gains: Sequence[float], depths: Sequence[int]) -> None:
        layout = self._grid.layout
        layout.grid_template_columns = f"repeat({len(gains)}, minmax({_ROW}px, 1fr))"
        row = max(_ROW, min(2 * _ROW, 220 // len(depths)))
        layout.grid_template_rows = f"repeat({len(depths)}, {row}px)"
        self._grid.children = [self._cells[gain, depth] for depth in reversed(depths) for gain in gains]
        across = "".join(f"<span>{gain:.2g}</span>" for gain in gains)
        up = "".join(f"<span>{depth}</span>" for depth in reversed(depths))
        self._gains.value = f'<div class="gradlab-gains" aria-hidden="true">{across}</div>'
        style = f'style="height:{(row + 1) * len(depths)}px" aria-hidden="true"'
        self._depths.value = f'<div class="gradlab-depths" {style}>{up}</div>'
        self._plane.layout.display = ""

    def _draw_line(self, gains: Sequence[float], critical: Sequence[float]) -> None:
        """Draw theory's critical gains down the columns they fall into, each at its place on the log axis."""
        rules = []
        for column, share in filter(None, (place(gains, gain) for gain in critical)):
            at = f"{100 * share:.1f}%"
            rules.append(
                f".gradlab .gradlab-plane-grid > :nth-child({len(gains)}n + {column + 1}) {{background-image: "
                f"linear-gradient(to right, transparent calc({at} - 2px), #1a1a1a calc({at} - 2px), "
                f"#1a1a1a calc({at} + 1px), transparent calc({at} + 1px)) !important; "
                "background-size: 100% 60% !important; background-repeat: no-repeat !important;}"
            )
        self._line.value = f"<style>{''.join(rules)}</style>" if rules else ""

    # ------------------------------------------------------------------ words
    def _tell(self, sweep: Sweep) -> None:
        done = np.any(sweep.done, axis=-1)
        numbers = {"known": int(done.sum()), "cells": done.size}
        if self.mapping:
            self._say(self._text("phase.progress", **numbers))
            return
        said = [self._text("phase.done" if done.all() else "phase.stopped", **numbers)]
        if sweep.errors:
            error = next(iter(sweep.errors.values()))
            said.append(self._text("phase.errors", count=len(sweep.errors), error=error))
        if moved := other_knobs(sweep.grid.config, self._config, _ALIKE.union(self._axes)):
            said.append(self._text("phase.stale", knobs=", ".join(moved)))
        self._say(" ".join(said), 'aria-live="polite"')

    def _say(self, words: str, role: str = "") -> None:
        self._said.value = in_words(words, role)

    def _show_legend(self, sweep: Sweep) -> None:
        stops = ", ".join(growth_colours(np.array(GROWTH_TICKS)))
        key = f'<span class="gradlab-scale" style="background: linear-gradient(to right, {stops})"></span>'
        notes = [self._text("phase.marked")]
        if self._critical is not None:
            gains = ", ".join(f"{gain:.3g}" for gain in self._critical)
            notes.append(self._text("phase.theory", gains=gains) if gains else self._text("phase.no_theory"))
        found = kinds(sweep, "growth", self._axes)
        present = [(name, colour) for i, (name, colour) in enumerate(KINDS.items()) if (found == i).any()]
        swatches = "".join(
            f'<span><i style="background: {colour}"></i>{self._text(f"sweep.kind.{name}")}</span>'
            for name, colour in present
        )
        said = "".join(f"<span>{html.escape(note)}</span>" for note in notes)
        scale = f"{GROWTH_TICKS[0]:g}{key}{GROWTH_TICKS[-1]:g} {html.escape(self._text(self._key('scale')))}"
        line = f"<div>{html.escape(self._text(self._key('axes')))}</div><div>{scale}</div><div>{said}{swatches}</div>"
        self._legend.value = f'<div class="gradlab-words gradlab-legend">{line}</div>'

    def _show_button(self) -> None:
        key = "stop" if self.mapping else "map"
        self._button.description, self._button.tooltip = self._text(f"phase.{key}"), self._text(f"phase.tip_{key}")

    def close(self) -> None:
        """Stop mapping."""
        if self._sweep is not None:
            self._sweep.stop()
        self._sweeps = self._sweep = None


def place(gains: Sequence[float], gain: float) -> tuple[int, float] | None:
    """Return the column that a gain falls into, and where in it from 0 to 1 on the log axis; None outside."""
    logs = np.log(gains)
    middles = [2 * logs[0] - logs[1], *logs, 2 * logs[-1] - logs[-2]]
    at = float(np.interp(math.log(gain), middles, np.arange(-1, len(gains) + 1))) + 0.5
    return (int(at), at % 1) if 0 <= at < len(gains) else None
