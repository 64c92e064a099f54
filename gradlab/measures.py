"""`MEASURES`: what can be shown of every layer, and the kinds of values there are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradlab.history import Array, History


@dataclass(frozen=True)
class Measure:
    """One measure of every layer."""

    name: str  # column of the history
    key: str  # key of its label in the table of strings
    after: str | None = None  # column of the same measure after clipping


MEASURES: dict[str, Measure] = {
    m.name: m
    for m in (
        Measure("delta_norm", "measure.delta_norm"),
        Measure("grad_norm", "measure.grad_norm", after="clipped_norm"),
        Measure("update_ratio", "measure.update_ratio"),
        Measure("activation_std", "measure.activation_std"),
        Measure("time_norm", "measure.time_norm"),
    )
}


@dataclass(frozen=True)
class Kinds:
    """Values sorted by what they are, as boolean arrays of the same shape; each value is exactly one kind."""

    plain: np.ndarray  # ordinary positive numbers
    underflow: np.ndarray  # positive, below the smallest normal number of the network's dtype
    zero: np.ndarray  # exactly zero
    nonfinite: np.ndarray  # infinite or not a number
    missing: np.ndarray  # no gradient at all: a frozen or unused layer


def sort_kinds(values: Array, tiny: float, has_gradient: Array | None = None) -> Kinds:
    """Sort norms into `Kinds`; `tiny` is a history's, `has_gradient` None if the measure does not need one."""
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
