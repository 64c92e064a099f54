"""`MEASURES`: what can be shown of every layer, each with its axis of fixed decades."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradlab.history import Array, History

LOWEST, HIGHEST = -46.0, 40.0  # decades on every axis: float32 ends near 1e-45 and 1e38
SQUEEZED = 0.1  # share of the axis given to the decades below, and again above, the middle


@dataclass(frozen=True)
class Measure:
    """One measure of every layer.

    Attributes
    ----------
    name : str
        Column of the history.
    key : str
        Key of its label in the table of strings.
    low, high : float
        The decades of the middle of the axis, log10; those outside are squeezed, never cut off.
    after : str or None
        Column of the same measure after clipping.
    """

    name: str
    key: str
    low: float
    high: float
    after: str | None = None

    def position(self, values: Array) -> Array:
        """Map positive values to axis units: 0 at 1e-46, 1 at 1e40, three straight pieces in log10 between.

        The map is fixed, so that no picture ever rescales an explosion away.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.log10(values)
        return np.interp(logs, *self._knots)

    def value(self, position: float) -> float:
        """Return the value at a place on the axis: the inverse of `position`."""
        decades, places = self._knots
        return float(10.0 ** np.interp(position, places, decades))

    @property
    def _knots(self) -> tuple[list[float], list[float]]:
        return [LOWEST, self.low, self.high, HIGHEST], [0.0, SQUEEZED, 1.0 - SQUEEZED, 1.0]

    def ticks(self) -> tuple[list[float], list[str]]:
        """Return positions and plain-text labels of the ticks."""
        decades = [-40, *range(int(self.low), int(self.high) + 1, 2), 38]
        return list(self.position(10.0 ** np.array(decades, dtype=float))), [f"1e{d}" for d in decades]


MEASURES: dict[str, Measure] = {
    m.name: m
    for m in (
        Measure("delta_norm", "measure.delta_norm", -9, 3),
        Measure("grad_norm", "measure.grad_norm", -9, 3, after="clipped_norm"),
        Measure("update_ratio", "measure.update_ratio", -9, 1),
        Measure("activation_std", "measure.activation_std", -7, 3),
    )
}


@dataclass(frozen=True)
class Kinds:
    """Values sorted by what they are, as boolean arrays of the same shape; each value is exactly one kind.

    Attributes
    ----------
    plain : array of bool
        Ordinary positive numbers.
    underflow : array of bool
        Positive, below the smallest normal number of the network's dtype.
    zero : array of bool
        Exactly zero.
    nonfinite : array of bool
        Infinite or not a number.
    missing : array of bool
        No gradient at all: a frozen or unused layer.
    """

    plain: np.ndarray
    underflow: np.ndarray
    zero: np.ndarray
    nonfinite: np.ndarray
    missing: np.ndarray


def sort_kinds(values: Array, tiny: float, has_gradient: Array | None = None) -> Kinds:
    """Sort values into `Kinds`.

    Parameters
    ----------
    values : array
        Norms, at least 0, or inf or nan.
    tiny : float
        ``History.tiny``.
    has_gradient : array or None
        0 where the layer had no gradient; None if the measure does not need one.
    """
    missing = np.isnan(values) & (has_gradient == 0) if has_gradient is not None else np.zeros(values.shape, bool)
    nonfinite = ~np.isfinite(values) & ~missing
    zero = values == 0
    underflow = (values > 0) & (values < tiny)
    return Kinds(np.isfinite(values) & (values >= tiny), underflow, zero, nonfinite, missing)


def kinds_of(history: History, name: str, rows: Array) -> Kinds:
    """Sort the last rows of one column of a history (or any single row), taking `has_gradient` into account."""
    if name == "activation_std":
        return sort_kinds(rows, history.tiny)
    if rows.ndim == 1:
        return sort_kinds(rows, history.tiny, history.row("has_gradient", -1))
    return sort_kinds(rows, history.tiny, history.column("has_gradient", len(history) - len(rows)))
