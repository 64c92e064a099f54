"""Axes of whole decades that only ever widen, and what is log10 of a value that is no number."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gradlab.history import Array, History
from gradlab.measures import kinds_of

FEWEST, JUMP = 4, 3  # decades of an axis at least, and by how many it widens at a time
SPAN = 3  # decades of colour on each side of the last layer's value, at least
_ROOM = 0.5  # decades left free beyond the first values


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
    found = [values[np.isfinite(values)] for values in logs]
    found = [values for values in found if values.size]
    if not found:
        return math.inf, -math.inf
    return float(min(v.min() for v in found)), float(max(v.max() for v in found))


def logs_of(history: History, name: str, rows: Array) -> Array:
    """Return log10 of the last rows of a column, or of one row; what is no number as this module says."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log10(rows)
    kinds = kinds_of(history, name, rows)
    logs[kinds.nonfinite] = np.inf
    logs[kinds.missing] = np.nan
    return logs


def row_logs(history: History, name: str, index: int) -> Array:
    """Return log10 of one row of a column."""
    values = history.row(name, index)
    logs = logs_of(history, name, values)
    if name != "activation_std":  # whether a layer had a gradient may differ from step to step
        missing = np.isnan(values) & (history.row("has_gradient", index) == 0)
        logs = np.where(np.isnan(values), np.where(missing, np.nan, np.inf), logs)
    return logs


class Limits(NamedTuple):
    """The axes of one picture: decades of the profile and of the loss, and of colour on either side of level."""

    profile: Decades
    loss: Decades
    span: int


@dataclass
class Axes:
    """The axes of a run; they start at what its first step needs and only ever widen.

    Attributes
    ----------
    limits : Limits
        As far as the histories have been taken in.
    """

    measures: tuple[str, ...]
    limits: Limits | None = None

    def take(self, histories: Iterable[tuple[History, int]], extra: Iterable[Array] = ()) -> Limits:
        """Take in the rows of each history from an index on, and other curves; return the limits."""
        histories = [(h, start) for h, start in histories if len(h)]
        if self.limits is None:
            firsts = [(h, 0, 1) for h, start in histories if start == 0]
            self.limits = self._first(*self._extents(firsts, ()))
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
            rows = [logs_of(history, name, history.column(name, start))[: stop - start] for name in self.measures]
            values += rows
            losses.append(plain_log(history.column("loss", start)[: stop - start]))
            ratio = ratios(rows[0])
            far.append(float(np.abs(ratio[np.isfinite(ratio)]).max(initial=0.0)))
        return extent(values), extent(losses), max(far)

    def _first(self, profile: tuple[float, float], loss: tuple[float, float], span: float) -> Limits:
        return Limits(Decades.first(*profile), Decades.first(*loss), max(SPAN, math.ceil(span)))


def plain_log(values: Array) -> Array:
    """Return log10, -inf at 0 and nan below."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log10(values)


def ratios(logs: Array) -> Array:
    """Return decades relative to the last layer that has a finite positive value, row by row.

    Parameters
    ----------
    logs : array (rows, layers)
        As `logs_of` returns them; what is no number stays what it is.
    """
    known = np.isfinite(logs)
    last = logs.shape[1] - 1 - known[:, ::-1].argmax(1)
    base = logs[np.arange(len(logs)), last]
    return logs - np.where(np.isfinite(base), base, 0.0)[:, None]
