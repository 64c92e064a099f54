"""`Results`: what a sweep has found so far, as arrays over its grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gradlab.config import Config
from gradlab.history import Array
from gradlab.sweep.grid import Grid
from gradlab.sweep.outcome import MEASURES, Outcome
from gradlab.sweep.table import Table

if TYPE_CHECKING:
    import pandas as pd

_LOG_MEAN = ("growth", "first_norm", "final_norm", "first_delta", "final_delta")
_MEDIAN = ("first_loss", "final_loss", "eval_loss")
_HIGH_IS_GOOD = ("accuracy", "survived", "learned")
_SHOWN = ("growth", "eval_loss", "accuracy", "survived", "learned", "diverged_at", "clipped")


class Results:
    """Outcomes of the networks of a grid, filled in as they come.

    Parameters
    ----------
    grid : Grid
        The networks.

    Attributes
    ----------
    errors : dict of int to str
        Number of a network -> the exception that ended it.
    how : dict of int to str
        Number of a network -> ``"stacked"``, or ``"alone: "`` and why.
    notes : list of str
        What went wrong on the way without costing a result, such as a worker that was lost.
    """

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.errors: dict[int, str] = {}
        self.how: dict[int, str] = {}
        self.notes: list[str] = []
        self._values = np.full((len(MEASURES), grid.size), np.nan)
        self._done = np.zeros(grid.size, dtype=bool)

    # ------------------------------------------------------------------ writing, by the owner
    def put(self, numbers: Sequence[int], outcomes: Sequence[Outcome]) -> None:
        """Keep the outcomes of the networks with these numbers."""
        for number, outcome in zip(numbers, outcomes, strict=True):
            self._values[:, number] = [getattr(outcome, name) for name in MEASURES]
            self._done[number] = True
            self.how[number] = outcome.how
            self.errors.pop(number, None)
            if outcome.error:
                self.errors[number] = outcome.error

    # ------------------------------------------------------------------ reading
    @property
    def done(self) -> NDArray[np.bool_]:
        """Which networks are finished, of shape ``(*values per knob, seeds)``; a copy."""
        return self._done.reshape(self.grid.shape).copy()

    @property
    def finished(self) -> bool:
        """Whether every network is."""
        return bool(self._done.all())

    def column(self, name: str) -> Array:
        """Return one measure of every network; nan where it is not known (yet).

        Returns
        -------
        ndarray
            float64, a copy, of shape ``(*values per knob, seeds)``.

        Raises
        ------
        ValueError
            If there is no such measure; the message lists them.
        """
        if name not in MEASURES:
            raise ValueError(f"measure {name!r}; expected one of {', '.join(MEASURES)}")
        return self._values[MEASURES.index(name)].reshape(self.grid.shape).copy()

    def outcome(self, number: int) -> Outcome:
        """Return the outcome of one network."""
        if not self._done[number]:
            raise ValueError(f"number={number!r}: this network is not finished; expected one that is")
        values = dict(zip(MEASURES, self._values[:, number].tolist(), strict=True))
        return Outcome(**values, how=self.how[number], error=self.errors.get(number, ""))

    def over_seeds(self, name: str) -> Array:
        """Return one number per cell, of shape ``(*values per knob,)``; nan for a cell without any.

        Growth, norms and delta: the geometric mean, as theory speaks of the mean of logs (Hanin & Nica 2019).
        Losses: the median, an infinite or undefined loss counting as infinite. Others: the mean, so `survived`
        and `learned` become shares.
        """
        values, known = self._known(name)
        if name in _MEDIAN:
            return _per_cell(values, known, np.median)
        if name in _LOG_MEAN:
            with np.errstate(divide="ignore", invalid="ignore"):
                return np.exp(_per_cell(np.log(values), known, np.mean))
        return _per_cell(values, known, np.mean)

    def spread(self, name: str) -> tuple[Array, Array]:
        """Return the smallest and the largest value over the seeds, each of shape ``(*values per knob,)``."""
        values, known = self._known(name)
        return _per_cell(values, known, np.min), _per_cell(values, known, np.max)

    def _known(self, name: str) -> tuple[Array, NDArray[np.bool_]]:
        values = self.column(name)
        if name in ("final_loss", "eval_loss"):
            values[(self.column("steps") > 0) & np.isnan(values)] = np.inf
        return values, ~np.isnan(values)

    def config_at(self, index: Sequence[int], seed: int = 0) -> Config:
        """Return the config of the cell at `index`, one whole number per swept knob, with `seed` added."""
        return self.grid.config_at(index, seed)

    # ------------------------------------------------------------------ tables
    def best(self, n: int = 5, by: str | None = None) -> Table:
        """Return the `n` best cells, by `eval_loss`; a sweep of 0 steps by how near growth is to 1."""
        return self._ranked(n, by, 1.0)

    def worst(self, n: int = 5, by: str | None = None) -> Table:
        """Return the `n` worst cells, the worst first."""
        return self._ranked(n, by, -1.0)

    def _ranked(self, n: int, by: str | None, sign: float) -> Table:
        trained = bool((self.column("steps") > 0).any())
        by = by or ("eval_loss" if trained else "growth")
        badness = self.over_seeds(by)
        if by == "growth":
            with np.errstate(divide="ignore"):
                badness = np.abs(np.log(badness))
        if by in _HIGH_IS_GOOD:
            badness = -badness
        known = [index for index in np.ndindex(badness.shape) if not math.isnan(badness[index])]
        ranked = sorted(known, key=lambda index: sign * badness[index])[:n]
        means = {name: self.over_seeds(name) for name in dict.fromkeys((by, *_SHOWN))}
        return Table({**self.grid.point(i), **{k: float(v[i]) for k, v in means.items()}} for i in ranked)

    def rows(self) -> list[dict[str, Any]]:
        """Return one dict per finished network: its knobs, its seed, its measures, `how` and `error`."""
        found = []
        for number in np.flatnonzero(self._done).tolist():
            index, seed = self.grid.place(number)
            measures = dict(zip(MEASURES, self._values[:, number].tolist(), strict=True))
            words = {"how": self.how[number], "error": self.errors.get(number, "")}
            found.append({**self.grid.point(index), "seed": seed, **measures, **words})
        return found

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas DataFrame, one row a finished network."""
        try:
            import pandas as pd
        except ImportError:
            raise ImportError(
                "Sweep.to_frame needs pandas, which is not installed; run pip install 'gradlab-jupyter[frame]'"
            ) from None
        return pd.DataFrame(self.rows(), columns=[*self.grid.over, "seed", *MEASURES, "how", "error"])


def _per_cell(values: Array, known: NDArray[np.bool_], reduce: Any) -> Array:
    """Reduce the known values over the seeds, the last axis; nan where there are none."""
    found = np.full(values.shape[:-1], np.nan)
    with np.errstate(invalid="ignore"):
        for index in np.ndindex(found.shape):
            chosen = values[index][known[index]]
            found[index] = reduce(chosen) if len(chosen) else np.nan
    return found
