"""Axes of whole decades that only ever widen, and what is log10 of a value that is no number."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gradlab.growth import Growth, growth
from gradlab.history import Array, History

FEWEST, JUMP = 4, 3  # decades of an axis at least, and by how many it widens at a time
SPAN = 3  # decades of colour on each side of the last layer's value, at least
_ROOM = 0.5  # decades left free beyond the first values
TIME = "time_norm"
"""The measure whose columns are time steps."""

_EVERYWHERE = ("activation_std", TIME)  # measures that no frozen layer lacks


class Decades(NamedTuple):
    """The limits of a logarithmic axis in whole decades; they widen in jumps and never narrow."""

    low: int
    high: int

    @classmethod
    def first(cls, low: float, high: float) -> Decades:
        """Return the axis that the first values need: at least four decades, the values in its middle."""
        if not low <= high:
            return cls(-FEWEST // 2, FEWEST // 2)
        bottom, top = math.floor(low - _ROOM), math.ceil(high + _ROOM)
        spare = max(0, FEWEST - (top - bottom))
        return cls(bottom - (spare + 1) // 2, top + spare // 2)

    def holding(self, low: float, high: float) -> Decades:
        """Return this axis, widened by whole jumps until it holds the values from `low` to `high`."""
        down = math.ceil(max(0.0, self.low - low) / JUMP) if math.isfinite(low) else 0
        up = math.ceil(max(0.0, high - self.high) / JUMP) if math.isfinite(high) else 0
        return Decades(self.low - JUMP * down, self.high + JUMP * up)


def extent(logs: Iterable[Array]) -> tuple[float, float]:
    """Return the least and the largest finite value of some arrays; (inf, -inf) if there is none."""
    found = np.concatenate([[], *(values[np.isfinite(values)] for values in logs)])
    return float(found.min(initial=math.inf)), float(found.max(initial=-math.inf))


def measure_of(history: History, name: str) -> str:
    """Return the measure that can be shown: the backward signal where there is no signal through time."""
    return name if name != TIME or columns_of(history, TIME) else "delta_norm"


def columns_of(history: History, name: str) -> tuple[str, ...]:
    """Return the names of a picture's columns: the layers' weights, or the time steps of the last recurrent layer."""
    if name != TIME:
        return history.layer_names[: history.kinds.count("weight")]
    shape = history.row(TIME, 0).shape if len(history) else (0, 0)
    return tuple(f"t{i + 1}" for i in range(shape[1] if shape[0] else 0))


def values_of(history: History, name: str, start: int = 0) -> Array:
    """Return a measure over the steps, shape ``(steps, columns)``; no columns without a signal through time."""
    values = history.column(name, start)
    if name == TIME:
        return values[:, -1] if values.shape[1] else np.empty((len(values), 0))
    return values[:, : history.kinds.count("weight")]


def row_of(history: History, name: str, index: int) -> Array:
    """Return a measure at one step, shape ``(columns,)``; no columns without a signal through time."""
    values = history.row(name, index)
    if name == TIME:
        return values[-1] if len(values) else np.empty(0)
    return values[: history.kinds.count("weight")]


def column_logs(history: History, name: str, start: int = 0) -> Array:
    """Return log10 of a measure over the steps; what is no number as this module says."""
    missing = None if name in _EVERYWHERE else values_of(history, "has_gradient", start) == 0
    return sorted_logs(values_of(history, name, start), missing)


def row_logs(history: History, name: str, index: int) -> Array:
    """Return log10 of a measure at one step."""
    missing = None if name in _EVERYWHERE else row_of(history, "has_gradient", index) == 0
    return sorted_logs(row_of(history, name, index), missing)


def row_growth(history: History, name: str, index: int) -> Growth | None:
    """Return how much a measure grows toward the input, or toward the first time step."""
    values = row_of(history, name, index)
    return growth(np.append(values, np.nan) if name == TIME else values)  # no output layer among time steps


def sorted_logs(values: Array, without: np.ndarray | None) -> Array:
    """Return log10 of norms: -inf at 0, inf for what is not finite, nan where a layer is `without` a gradient."""
    logs = plain_log(values)
    logs[~np.isfinite(values)] = np.inf
    if without is not None:
        logs[np.isnan(values) & without] = np.nan
    return logs


class Limits(NamedTuple):
    """The axes of one picture: decades of the profile and of the loss, and of colour on either side of level."""

    profile: Decades
    loss: Decades
    span: int


@dataclass
class Axes:
    """The axes of a run; they start at what its first step needs and only ever widen."""

    measures: tuple[str, ...]
    limits: Limits | None = None  # as far as the histories have been taken in

    def take(self, histories: Iterable[tuple[History, int]], extra: Iterable[Array] = ()) -> Limits:
        """Take in the rows of each history from an index on, and other curves; return the limits."""
        histories = [(h, start) for h, start in histories if len(h)]
        if self.limits is None:
            profile, loss, span = self._extents([(h, 0, 1) for h, start in histories if start == 0], ())
            self.limits = Limits(Decades.first(*profile), Decades.first(*loss), max(SPAN, math.ceil(span)))
        profile, loss, span = self._extents([(h, start, len(h)) for h, start in histories], extra)
        old = self.limits
        wider = old.span + JUMP * math.ceil(max(0.0, span - old.span) / JUMP)
        self.limits = Limits(old.profile.holding(*profile), old.loss.holding(*loss), wider)
        return self.limits

    def _extents(
        self, parts: Iterable[tuple[History, int, int]], extra: Iterable[Array]
    ) -> tuple[tuple[float, float], tuple[float, float], float]:
        values, losses, far = list(extra), [], [0.0]
        for history, start, stop in parts:
            rows = [column_logs(history, measure_of(history, name), start)[: stop - start] for name in self.measures]
            values += rows
            losses.append(plain_log(history.column("loss", start)[: stop - start]))
            ratio = ratios(rows[0])
            far.append(float(np.abs(ratio[np.isfinite(ratio)]).max(initial=0.0)))
        return extent(values), extent(losses), max(far)


def plain_log(values: Array) -> Array:
    """Return log10, -inf at 0 and nan below."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log10(values)


def ratios(logs: Array) -> Array:
    """Return decades ``(rows, layers)`` relative to the last layer that has a finite positive value, row by row."""
    if not logs.shape[1]:
        return logs
    known = np.isfinite(logs)
    last = logs.shape[1] - 1 - known[:, ::-1].argmax(1)
    base = logs[np.arange(len(logs)), last]
    return logs - np.where(np.isfinite(base), base, 0.0)[:, None]
