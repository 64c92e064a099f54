"""`PhaseView`: the panel's phase diagram, growth per layer at init over gain and depth."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from typing import Any

import ipywidgets as widgets
import numpy as np

from gradlab.config import Config
from gradlab.panel.cellgrid import CellGrid
from gradlab.panel.kit import Kit
from gradlab.panel.run import Run
from gradlab.panel.worker import Worker
from gradlab.plots.critical import critical_lines
from gradlab.plots.sweep_scale import GROWTH_TICKS, KINDS, growth_colours, kinds
from gradlab.sweep import Sweep, phase_diagram

_SEEDS, _LEVELS = 4, 3  # up to 17 x 13 cells: finer ones are too small to press
_SWEPT = {"gain", "depth"}
_ALIKE = {"accumulation", "carry_over", "optimizer", "weight_seed", "data_seed", "batch_seed"}  # of no effect at init
_CSS = """<style>
.gradlab .gradlab-phase-words {font-size: 14px; line-height: 1.4; white-space: normal; max-width: 900px;
  color: var(--jp-ui-font-color1, #222);}
.gradlab .gradlab-phase-key {display: inline-block; vertical-align: middle; width: 150px; height: 12px;
  margin: 0 4px !important;}
.gradlab .gradlab-phase-legend {max-width: none; font-size: 13px;}
.gradlab .gradlab-phase-legend span {margin-left: 12px;}
.gradlab .gradlab-phase-legend b {display: inline-block; width: 12px; height: 12px; margin-right: 4px;}
</style>"""


class PhaseView:
    """A foldable section that maps gain x depth around the current network, in a thread of its own.

    Only that thread writes the section's widgets; it ends with the panel.

    Parameters
    ----------
    run : Run
        The panel's run: a cell that is pressed moves its knobs.
    own : mapping
        The panel's own network, data and loss, None where it has none.
    kit : Kit
        Makes the widgets.

    Attributes
    ----------
    box : ipywidgets.Accordion
        What is displayed, closed at first.
    grid : CellGrid
        The cells.
    words : str
        What the section says of itself.
    critical : list of float or None
        Theory's critical gains within the map; None before it was asked.
    """

    def __init__(self, run: Run, own: Mapping[str, Any], kit: Kit) -> None:
        self._run, self._data, self._text = run, own["data"], kit.text
        self._sweeps: Iterator[Sweep] | None = None
        self._sweep: Sweep | None = None
        self.critical: list[float] | None = None
        self._config = run.trainer.config
        self.words = self._text("phase.about" if own["network"] is None else "phase.own")
        self.button = kit.button("phase.map", "phase.tip_map", layout={})
        self.button.disabled = own["network"] is not None
        self.button.on_click(lambda _: self.toggle())
        self.grid = CellGrid(kit, lambda gain, depth: run.post_knobs({"gain": gain, "depth": depth}))
        self._said, self._legend = kit.html(), kit.html()
        row = kit.row(self.button, self._said)
        page = kit(widgets.VBox, [kit.html(_CSS), row, self.grid.plane, self._legend])
        self.box = kit.folded("phase.title", page)
        self._worker = Worker(self._tick, lambda: self.mapping, self._failed)
        self._say(self.words)
        run.display.watchers.append(self._look)

    @property
    def mapping(self) -> bool:
        """Whether cells are being measured."""
        return self._sweeps is not None

    @property
    def settled(self) -> bool:
        """Whether cells and theory of the last map are all there, or none was asked for or it failed."""
        return not self.mapping and (self._sweep is None or self.critical is not None)

    def toggle(self) -> None:
        """Map, or stop and keep what is there, as the button says; from any thread."""
        if not self.mapping:
            self._worker.submit(self._begin)
            return
        self._halt()
        self._worker.submit(self._end)

    def _halt(self) -> None:
        if self._sweep is not None:  # it looks at the flag between two networks: Stop need not wait for a row
            self._sweep.stop()

    # ------------------------------------------------------------------ in the worker's thread
    def _begin(self) -> None:
        if self.mapping:
            return
        self._sweep = self.critical = None
        self._sweeps = phase_diagram(self._config, seeds=_SEEDS, data=self._data, levels=_LEVELS)
        self._show_button()
        self._say(self._text("phase.starts"))

    def _tick(self) -> None:
        """Measure the next row of cells and show it."""
        if self._sweeps is None:
            return
        sweep = next(self._sweeps, None)
        if sweep is None:
            self._end()
            return
        self._sweep = sweep
        self._show()

    def _end(self) -> None:
        """Stop measuring; theory is asked last, as it takes its time."""
        if not self.mapping:
            return
        self._sweeps = None
        self._show_button()
        if self._sweep is not None:
            self._show()
            lines = critical_lines(self._sweep, "gain", "depth")
            self.critical = sorted(float(line[0, 0]) for line in lines)
            self._show()

    def _look(self, config: Config) -> None:
        """Follow the panel's config, from the thread that owns the run."""
        if config is not self._config:
            self._config = config
            self._worker.submit(self._follow)

    def _follow(self) -> None:
        if self._sweep is not None:
            self._show()

    def _failed(self, error: BaseException) -> None:
        self._sweeps = None
        self._show_button()
        self._say(
            self._text("phase.failed", error=f"{type(error).__name__}: {self._text.say(error)}"), 'role="alert"'
        )

    # ------------------------------------------------------------------ showing
    def _show(self) -> None:
        if (sweep := self._sweep) is None:
            return
        self.grid.show(sweep, self._config)
        self.grid.draw_line(sweep, self.critical or [])
        self._show_legend(sweep)
        self._tell(sweep)

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
        if moved := self._moved(sweep):
            said.append(self._text("phase.stale", knobs=", ".join(moved)))
        self._say(" ".join(said), 'aria-live="polite"')

    def _moved(self, sweep: Sweep) -> list[str]:
        """Return the knobs, with the map's values, that would give another map by now."""
        there = self._config.differences(sweep.grid.config)
        knobs = Config.knobs()
        names = [name for name in there if not knobs[name].live and name not in _SWEPT | _ALIKE]
        return [f"{name} {there[name][1]}" for name in names]

    def _say(self, words: str, role: str = "") -> None:
        self.words = words
        self._said.value = f'<div class="gradlab-phase-words" {role}>{html.escape(words)}</div>'

    def _show_legend(self, sweep: Sweep) -> None:
        stops = ", ".join(growth_colours(np.array(GROWTH_TICKS)))
        key = f'<span class="gradlab-phase-key" style="background: linear-gradient(to right, {stops})"></span>'
        notes = [self._text("phase.marked")]
        if self.critical is not None:
            gains = ", ".join(f"{gain:.3g}" for gain in self.critical)
            notes.append(self._text("phase.theory", gains=gains) if gains else self._text("phase.no_theory"))
        found = kinds(sweep, "growth", ("gain", "depth"))
        present = [(name, colour) for i, (name, colour) in enumerate(KINDS.items()) if (found == i).any()]
        swatches = "".join(
            f'<span><b style="background: {colour}"></b>{self._text(f"sweep.kind.{name}")}</span>'
            for name, colour in present
        )
        said = "".join(f"<span>{html.escape(note)}</span>" for note in notes)
        scale = f"{GROWTH_TICKS[0]:g}{key}{GROWTH_TICKS[-1]:g} {html.escape(self._text('phase.scale'))}"
        line = f"{html.escape(self._text('phase.axes'))} {scale}{said}{swatches}"
        self._legend.value = f'<div class="gradlab-phase-words gradlab-phase-legend">{line}</div>'

    def _show_button(self) -> None:
        key = "stop" if self.mapping else "map"
        self.button.description, self.button.tooltip = self._text(f"phase.{key}"), self._text(f"phase.tip_{key}")

    def close(self) -> None:
        """Stop measuring, end the thread and close the cells."""
        self._halt()
        self._worker.close()
        self._sweeps = None
        self.grid.close()
