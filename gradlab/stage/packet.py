"""`PacketEncoder`: what a stage shows, as a small JSON head and one buffer of numbers, new things only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gradlab.blocks import groups_of
from gradlab.engine.precision import FORMATS
from gradlab.history import Array, History
from gradlab.locale import Text
from gradlab.plots.axes import JUMP, TIME, Axes, Decades, Limits, columns_of, row_growth, row_logs, row_of
from gradlab.plots.picture import View, after_clipping, clipped_stretches, fixed_series, last_finite, measures_for
from gradlab.plots.stretches import cell_codes, stretch_of, stretches
from gradlab.stage.shown import Lane, Learned, Shown

_EACH = 4  # new rows that travel one by one; of more, the last
_HELD_WIDE = 8  # decades on either side of the given dot, while the rest waits for a prediction
_TYPES = ("<f4", "<i2", "u1")  # in this order in the buffer, so that each begins at a multiple of its size
_SAID = ("lesson", "alert", "status", "at", "knobs", "preset", "predict", "slow")  # sent when they change

Packet = tuple[dict[str, Any], list[bytes]]


class _Parts:
    """The arrays of one packet."""

    def __init__(self) -> None:
        self._arrays: list[tuple[int, int, str, np.ndarray]] = []

    def add(self, lane: int, name: str, values: Any, kind: str = "<f4") -> None:
        self._arrays.append((_TYPES.index(kind), lane, name, np.asarray(values).astype(kind, copy=False)))

    def packed(self) -> tuple[list[list[Any]], list[bytes]]:
        """Return where each array lies, as (lane, name, type, count), and the bytes."""
        ordered = sorted(self._arrays, key=lambda part: part[0])
        table = [[lane, name, kind, int(values.size)] for kind, lane, name, values in ordered]
        return table, [b"".join(values.tobytes() for *_, values in ordered)]


@dataclass
class _Sent:
    """How far one lane has been sent."""

    rows: int = 0
    stretch_row: int = 0  # where the newest stretch begins
    newest: tuple[int, Array] | None = None  # rows read, and the cells of the newest stretch
    marks: object = None
    learned: dict[str, Any] = field(default_factory=dict)


class PacketEncoder:
    """Encodes what one stage shows; every packet has a number, and one that was missed is asked for by number."""

    def __init__(self) -> None:
        self.number = 0  # of the last packet
        self._run: object = None
        self._of: object = None
        self._lanes: list[_Sent] = []
        self._axes = Axes(())
        self._words: dict[str, Any] = {}
        self._fixed: tuple[object, ...] = ()

    def everything(self, shown: Shown) -> Packet:
        """Return a packet that needs none before it."""
        measures = measures_for(shown.history, shown.view.measure)
        if self._run != shown.run or self._axes.measures != measures or shown.view.hidden:
            self._axes = Axes(measures)
        self._run, self._of = shown.run, self._key(shown)
        self._lanes = [_Sent() for _ in shown.lanes]
        self._words, self._fixed = {}, ()
        return self._encode(shown, full=True)

    def new(self, shown: Shown) -> Packet:
        """Return what is new since the last packet."""
        if self._run != shown.run or self._of != self._key(shown):
            return self.everything(shown)
        return self._encode(shown, full=False)

    def rows(self, shown: Shown, steps: Sequence[int]) -> Packet:
        """Return the rows of recorded steps, for a browser that wants to look at them."""
        parts = _Parts()
        for number, lane in enumerate(shown.lanes):
            recorded = lane.history.column("step")
            found = np.searchsorted(recorded, [s for s in steps if len(recorded)], side="right") - 1
            _add_rows(parts, number, lane.history, shown.view, sorted({int(i) for i in found if i >= 0}))
        table, buffers = parts.packed()
        return {"run": shown.run, "number": self.number, "parts": table, "lanes": [{} for _ in shown.lanes]}, buffers

    @staticmethod
    def _key(shown: Shown) -> object:
        view, names = shown.view, measures_for(shown.history, shown.view.measure)
        look = (view.measure, view.clip, view.units, view.hidden, view.text.lang)
        # kept themselves, so that no other can take the place of one; rows are only added until they are rewritten
        histories = [(lane.history, lane.history.rewritten) for lane in shown.lanes]
        return look, histories, names, len(columns_of(shown.history, names[0])), _has_time(shown)

    def _encode(self, shown: Shown, full: bool) -> Packet:
        self.number += 1
        parts, view = _Parts(), shown.view
        limits = self._limits(shown)
        self._add_fixed(parts, shown)
        lanes = [self._lane(parts, n, lane, view, full) for n, lane in enumerate(shown.lanes)]
        said = {name: getattr(shown, name) for name in _SAID} | {"hidden": view.hidden}
        head = {
            "run": shown.run,
            "number": self.number,
            "rate": None if shown.rate is None else round(shown.rate, 1),
            "lanes": lanes,
            **self._changed("", said | {"limits": [*limits.profile, *limits.loss, limits.span]}),
        }
        if full:
            head |= {"full": True, **_frame(shown)}
        head["parts"], buffers = parts.packed()
        return head, buffers

    def _limits(self, shown: Shown) -> Limits:
        view, history = shown.view, shown.history
        fixed = [s.logs for s in fixed_series(history, view) if s.role in ("ghost", "theory", "guess")]
        if not view.hidden or not len(history):
            starts = [(lane.history, sent.rows) for lane, sent in zip(shown.lanes, self._lanes, strict=True)]
            return self._axes.take(starts, fixed)
        if self._axes.limits is None:
            given = float(row_logs(history, "delta_norm", 0)[-2])
            around = Decades(int(np.floor(given)) - _HELD_WIDE, int(np.ceil(given)) + _HELD_WIDE)
            self._axes.limits = Limits(around, Decades.first(np.inf, -np.inf), JUMP)
        return self._axes.take((), fixed)

    def _add_fixed(self, parts: _Parts, shown: Shown) -> None:
        """Add the curves that stay, when one of them is another one."""
        view = shown.view
        ghost = (id(view.ghost), len(view.ghost)) if view.ghost is not None else None
        fixed = (ghost, id(view.theory), view.guess, view.hidden, len(shown.history) > 0)
        if fixed == self._fixed:
            return
        self._fixed = fixed
        for series in fixed_series(shown.history, view):
            parts.add(-1, f"{series.role}.x", series.layers)
            parts.add(-1, f"{series.role}.y", series.logs)
        parts.add(-1, "fixed", [1], "u1")

    def _lane(self, parts: _Parts, number: int, lane: Lane, view: View, full: bool) -> dict[str, Any]:
        sent, history = self._lanes[number], lane.history
        self._add_steps(parts, number, history, view, sent, full)
        said: dict[str, Any] = {"steps": int(history.row("step", -1)) + 1 if len(history) else 0}
        diverged = history.diverged
        words = {
            "verdict": list(lane.verdict),
            "diverged": None if diverged is None else [diverged.step, diverged.layer],
        }
        said |= self._changed(f"{number}", words)
        newest = (len(history.marks), history.marks[-1] if history.marks else None)
        if newest != sent.marks:
            sent.marks = newest
            said["marks"] = [[m.step, m.kind, view.text.say(m.text)] for m in history.marks]
        if lane.learned is not None:
            said |= _add_learned(parts, number, lane.learned, sent, view.hidden)
        return said

    def _add_steps(self, parts: _Parts, number: int, history: History, view: View, sent: _Sent, full: bool) -> None:
        if len(history) == sent.rows and not full:
            return
        measure = measures_for(history, view.measure)[0]
        if view.hidden:
            if len(history):
                parts.add(number, "given", row_logs(history, "delta_norm", 0)[-2:-1])
            return
        found = stretches(history, measure, sent.stretch_row, sent.newest)
        for name in ("start", "low", "median", "high"):
            parts.add(number, name, getattr(found, name))
        parts.add(number, "odd", found.zero + 2 * found.nonfinite.astype(int), "u1")
        parts.add(number, "cells", cell_codes(found.cells), "<i2")
        clipped = clipped_stretches(history, sent.stretch_row)
        if len(clipped):
            parts.add(number, "clipped", clipped)
        _add_rows(parts, number, history, view, _rows_to_send(history, measure, sent.rows, full))
        sent.rows = len(history)
        if len(history):
            steps = history.column("step", sent.stretch_row)
            newest = stretch_of(steps)
            sent.stretch_row += int(np.searchsorted(newest, newest[-1]))
            sent.newest = (len(history), found.cells[-1])

    def _changed(self, where: str, words: dict[str, Any]) -> dict[str, Any]:
        """Return those words that are not what was sent last."""
        changed = {k: v for k, v in words.items() if (where + k) not in self._words or self._words[where + k] != v}
        self._words |= {where + k: v for k, v in changed.items()}
        return changed


def _rows_to_send(history: History, measure: str, since: int, full: bool) -> list[int]:
    n = len(history)
    rows = list(range(since, n)) if n - since <= _EACH else [n - 1]
    if n and not np.isfinite(row_of(history, measure, -1)).any() and (finite := last_finite(history, measure, n - 1)):
        rows.append(finite)
    return sorted({0, *rows} if full and n else set(rows))


def _add_rows(parts: _Parts, lane: int, history: History, view: View, rows: list[int]) -> None:
    """Add what is known of some steps: one row after the other in arrays of their own."""
    if not rows:
        return
    names = measures_for(history, view.measure)
    first = names[0]
    parts.add(lane, "step", [history.row("step", i) for i in rows])
    parts.add(lane, "loss", [history.row("loss", i) for i in rows])
    if history.precision != "full" or history.row("loss_scale", rows[-1]) != 1.0:
        parts.add(lane, "scale", [history.row("loss_scale", i) for i in rows])
    found = [row_growth(history, first, i) for i in rows]
    parts.add(lane, "growth", [np.nan if g is None else g.decades for g in found])
    parts.add(lane, "spans", [1 if g is None else g.layers - 1 for g in found])
    parts.add(lane, "now", np.stack([row_logs(history, first, i) for i in rows]))
    if len(names) > 1:
        parts.add(lane, "second", np.stack([row_logs(history, names[1], i) for i in rows]))
    if view.clip and (after := after_clipping(names)):
        parts.add(lane, "after", np.stack([row_logs(history, after, i) for i in rows]))
    if first == TIME:
        shares = np.zeros((len(rows), len(columns_of(history, TIME))))
    else:
        shares = np.array([np.maximum(row_of(history, "dead", i), row_of(history, "saturated", i)) for i in rows])
    parts.add(lane, "unable", np.nan_to_num(shares * 255).round(), "u1")


def _add_learned(parts: _Parts, number: int, learned: Learned, sent: _Sent, hidden: bool) -> dict[str, Any]:
    """Add what a network has learned, as far as it changed."""
    old, said = sent.learned, {}
    if hidden:  # the data may be seen, what the network makes of them may not
        learned = replace(learned, grid=None, rows=(), samples=())
    if learned.grid is not None and old.get("grid") != learned.grid:
        parts.add(number, "grid", np.frombuffer(learned.grid, np.uint8), "u1")
    if old.get("points") is not learned.points and len(learned.points) + len(learned.held):
        parts.add(number, "points", learned.points)
        parts.add(number, "held", learned.held)
        said |= {"extent": list(learned.extent), "classes": learned.classes}
    if old.get("rows") != learned.rows:
        said["learned"] = [list(row) for row in learned.rows]
    if old.get("samples") is not learned.samples:
        said["samples"] = [[list(np.shape(s[0])), s[1], s[2], bool(s[3])] for s in learned.samples]
        images = [np.clip(np.asarray(s[0], float).ravel() * 255, 0, 255) for s in learned.samples]
        parts.add(number, "images", np.concatenate(images) if images else np.zeros(0), "u1")
    sent.learned = {name: getattr(learned, name) for name in ("grid", "points", "rows", "samples")}
    return said


def _has_time(shown: Shown) -> bool:
    """Whether the run has a signal through time."""
    return bool(columns_of(shown.history, TIME))


_RANGES = {
    form.name: [float(np.log10(value)) for value in (form.smallest / 2, form.normal, form.largest)]
    for form in FORMATS.values()
}
"""log10 of where a format rounds to 0, of its smallest normal and of its largest number; a loss scale slides them."""


def _frame(shown: Shown) -> dict[str, Any]:
    """Return what only a full packet says: the layers, what is measured, and how the lanes are called."""
    view, names = shown.view, measures_for(shown.history, shown.view.measure)
    text: Text = view.text
    return {
        "layers": [list(columns_of(lane.history, names[0])) for lane in shown.lanes],
        "groups": groups_of(columns_of(shown.history, names[0])) if names[0] != TIME else [],
        "labels": [[lane.label, lane.knobs] for lane in shown.lanes],
        "time": _has_time(shown),
        "measure": view.measure if names[0] != TIME else TIME,
        "titles": [text(f"measure.{name}") for name in names],
        "units": view.units,
        "ghost": view.ghost_name,
        "tiny": [float(np.log10(lane.history.tiny)) for lane in shown.lanes],
        "precision": [lane.history.precision for lane in shown.lanes],
        "formats": _RANGES,
        "cuts": [list(lane.cuts) for lane in shown.lanes],
    }
