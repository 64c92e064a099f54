"""Long runs in few columns: stretches of steps that never change but for the newest."""

from __future__ import annotations

import math
from itertools import cycle
from typing import NamedTuple

import numpy as np

from gradlab.history import Array, History
from gradlab.plots.axes import column_logs, columns_of, plain_log, ratios

_DETAILED = 128  # steps that have a stretch of their own
_HUNDREDTHS, _MOST = 100, 32_000  # cells travel as hundredths of a decade in 16 bits
CELL_ZERO, CELL_NONFINITE, CELL_MISSING = -32_768, 32_767, 32_766


def stretch_of(steps: Array) -> Array:
    """Return the first step of the stretch that each step lies in.

    The first 128 steps have a stretch each; from then on every doubling of the steps has 64. So a run of any
    length has few stretches, none ever changes but the newest, and the first steps stay visible on a logarithmic
    time axis.
    """
    exponent = np.frexp(np.maximum(steps, 1.0))[1] - 1
    width = np.exp2(np.maximum(exponent - round(math.log2(_DETAILED)) + 1, 0))
    return np.floor(steps / width) * width


def step_limit(last: float) -> float:
    """Return the end of the time axis: the next of 10, 20, 50, 100 ... so that it rarely moves."""
    limit, factors = 10.0, cycle((2.0, 2.5, 2.0))
    while limit < last:
        limit *= next(factors)
    return limit


class Stretches(NamedTuple):
    """A run in stretches of steps."""

    start: Array  # (stretches,): first step of each stretch
    # (stretches,): log10 of the loss; nan where no loss of the stretch has a logarithm
    low: Array
    median: Array
    high: Array
    # (stretches,): whether a loss was exactly 0, and whether one was not finite
    zero: np.ndarray
    nonfinite: np.ndarray
    # (stretches, layers): decades relative to the last layer at the same step, the largest of the stretch; what is
    # not finite outshines it, and 0 and no gradient show where all steps of the stretch have them
    cells: Array
    end: float  # the step after the last


def stretches(history: History, measure: str, since: int = 0, kept: tuple[int, Array] | None = None) -> Stretches:
    """Return the stretches of a history from row `since` on, which should begin one.

    `kept` is for who reads on: the cells that the first of them had when the history had so many rows.
    """
    steps, loss = history.column("step", since), history.column("loss", since)
    starts = stretch_of(steps)
    first = np.flatnonzero(np.diff(starts, prepend=-1.0))
    if not len(first):
        none, cells = np.zeros(0), np.zeros((0, len(columns_of(history, measure))))
        return Stretches(none, none, none, none, none > 0, none > 0, cells, 0.0)
    logs = plain_log(loss)
    plain = np.where(np.isfinite(logs), logs, np.nan)
    low, high = np.fmin.reduceat(plain, first), np.fmax.reduceat(plain, first)
    nonfinite = np.logical_or.reduceat(~np.isfinite(loss), first)
    zero = np.logical_or.reduceat(loss == 0, first)
    parts = [np.sort(part[np.isfinite(part)]) for part in np.split(logs, first[1:])]
    median = np.array([(p[len(p) // 2] + p[~(len(p) // 2)]) / 2 if len(p) else np.nan for p in parts])
    cells = _cells(history, measure, first + since, kept)
    return Stretches(starts[first], low, median, high, zero, nonfinite, cells, float(steps[-1]) + 1)


def _cells(history: History, measure: str, first: np.ndarray, kept: tuple[int, Array] | None) -> Array:
    """Return the cells of the stretches that begin at rows `first`."""
    start = int(first[0]) if kept is None else kept[0]
    read = ratios(column_logs(history, measure, start))
    if kept is not None:  # stands for all rows of the first stretch that were read before
        read, start = np.vstack([kept[1], read]), start - 1
    return np.fmax.reduceat(read, np.maximum(first - start, 0))  # inf above all, nan below all


def cell_codes(cells: Array) -> np.ndarray:
    """Return cells as int16: hundredths of a decade, and three codes for what is no number."""
    codes = np.clip(np.nan_to_num(cells, nan=0.0, posinf=0.0, neginf=0.0) * _HUNDREDTHS, -_MOST, _MOST).round()
    codes[np.isneginf(cells)] = CELL_ZERO
    codes[np.isposinf(cells)] = CELL_NONFINITE
    codes[np.isnan(cells)] = CELL_MISSING
    return codes.astype("<i2")
