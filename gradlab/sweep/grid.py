"""Which networks a sweep is made of, what is kept of each, and rows to look at: `Grid`, `Outcome`, `Table`."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from math import prod
from typing import Any, NamedTuple

import numpy as np

from gradlab.config import Config
from gradlab.data import Loss
from gradlab.registry import brief, items_of

MOST_SEEDS = 100_000
_SEEDED = ("weight_seed", "batch_seed")


@dataclass(frozen=True)
class Grid:
    """Every combination of some knobs' values, each with several seeds.

    A network's number counts through the values of the first knob slowest, the seeds fastest.
    """

    config: Config  # the knobs that are not swept
    over: dict[str, tuple[Any, ...]]  # the swept knobs and their values, in the order of the axes
    # added to the config's `weight_seed` and `batch_seed`, so cells are compared on paired seeds; the data stay the
    # same unless ``data_seed`` is swept
    seeds: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Values per knob, then the number of seeds."""
        return (*(len(values) for values in self.over.values()), len(self.seeds))

    @property
    def size(self) -> int:
        """Number of networks."""
        return prod(self.shape)

    def point(self, index: Sequence[int]) -> dict[str, Any]:
        """Return the swept knobs' values of the cell at `index`, one whole number per knob."""
        if len(index) != len(self.over):
            raise ValueError(
                f"index={brief(tuple(index))}; expected {len(self.over)} whole numbers: {', '.join(self.over)}"
            )
        return {name: values[i] for (name, values), i in zip(self.over.items(), index, strict=True)}

    def place(self, number: int) -> tuple[tuple[int, ...], int]:
        """Return the cell's index and the seed of the network that has this number."""
        *index, seed = (int(i) for i in np.unravel_index(number, self.shape))
        return tuple(index), self.seeds[seed]

    def config_of(self, number: int) -> Config:
        """Return the config of a network; raise ValueError if its values are accepted one by one but not together."""
        return self.config_at(*self.place(number))

    def config_at(self, index: Sequence[int], seed: int = 0) -> Config:
        """Return the config of the cell at `index` with `seed` added to its seeds."""
        point = self.point(index)
        seeded = {name: point.get(name, getattr(self.config, name)) + seed for name in _SEEDED}
        return self.config.replace(**{**point, **seeded})

    def key(self, number: int) -> tuple[Any, ...]:
        """Return what a network is known by in other grids, finer ones, say."""
        index, seed = self.place(number)
        return self.config, *self.point(index).items(), seed


def make_grid(config: Config, over: Mapping[str, Iterable[Any]] | None, seeds: int | Iterable[int]) -> Grid:
    """Check what a sweep is asked for and return its `Grid`."""
    if not isinstance(config, Config):
        raise ValueError(f"config={brief(config)}; expected a Config")
    over = {} if over is None else over
    if not isinstance(over, Mapping):
        raise ValueError(f"over={brief(over)}; expected a mapping of knob names to lists of values")
    Config.check_names(over)
    return Grid(config, {name: _values(name, values) for name, values in over.items()}, _seeds(seeds))


def _values(name: str, values: Any) -> tuple[Any, ...]:
    if (items := items_of(values)) is None:
        raise ValueError(f"over: {name}={brief(values)}; expected a list of values")
    knob = Config.knobs()[name]
    checked = tuple(knob.validate(name, value) for value in items)
    if not checked or len(set(checked)) < len(checked):
        raise ValueError(f"over: {name}={brief(checked)}; expected at least one value, each once")
    return checked


def _seeds(seeds: int | Iterable[int]) -> tuple[int, ...]:
    if isinstance(seeds, numbers.Integral) and not isinstance(seeds, bool) and 0 < int(seeds) <= MOST_SEEDS:
        return tuple(range(int(seeds)))
    chosen = items_of(seeds) or []
    whole = all(isinstance(s, numbers.Integral) and not isinstance(s, bool) and int(s) >= 0 for s in chosen)
    if not chosen or not whole or len(set(chosen)) < len(chosen):
        raise ValueError(
            f"seeds={brief(seeds)}; expected a whole number from 1 to {MOST_SEEDS}, or a list of "
            "distinct whole numbers >= 0"
        )
    return tuple(int(s) for s in chosen)


class Training(NamedTuple):
    """How each network of a sweep is trained, beside its config."""

    steps: int  # optimizer steps; 0 only measures the networks at init
    learned_below: float  # evaluation loss below which a network that survived has learned
    # as `Trainer` takes them
    data: Any = None
    loss: Loss | None = None


@dataclass(frozen=True)
class Outcome:
    """One network, measured at init and after its last step; nan where there is nothing to measure."""

    # Factor of the norm |delta| per layer toward the input, at init: the geometric mean of ``|delta_l| /
    # |delta_{l+1}|`` over the hidden layers. Theory's chi is its square
    growth: float = math.nan
    # `delta_norm` of layer 1 in the first and in the last step
    first_delta: float = math.nan
    final_delta: float = math.nan
    # 2-norm of the accumulated gradient of all parameters before clipping, in the first and the last step
    first_norm: float = math.nan
    final_norm: float = math.nan
    # mean loss over the window's samples, in the first and the last step, each before its update
    first_loss: float = math.nan
    final_loss: float = math.nan
    # loss over all the data after the last update, in evaluation mode; nan for a sweep of 0 steps
    eval_loss: float = math.nan
    accuracy: float = math.nan  # share of all the data classified right, at the same moment
    survived: float = math.nan  # 1 where every number of the last step was finite, else 0
    # 1 where the network survived and `eval_loss` is below the sweep's `learned_below`, else 0
    learned: float = math.nan
    # number of the first step in which something was not finite; nan where there is none
    diverged_at: float = math.nan
    clipped: float = math.nan  # share of the steps whose gradient clipping changed
    steps: float = math.nan  # steps taken, the diverging one included
    how: str = "stacked"  # ``"stacked"``, or ``"alone: "`` and why the network was trained by a `Trainer` of its own
    error: str = ""  # the exception that ended the network, empty if there was none


MEASURES = tuple(f.name for f in fields(Outcome) if f.name not in ("how", "error"))


def is_learned(survived: float, eval_loss: float, learned_below: float) -> float:
    """Return 1.0 where a network survived with an evaluation loss below the bound, nan where it is not known."""
    return math.nan if math.isnan(survived) else float(survived == 1.0 and eval_loss < learned_below)


class Table(list[dict[str, Any]]):
    """Rows with the same keys; shows itself as aligned text, in a notebook as a Markdown table."""

    def _cells(self) -> list[list[str]]:
        names = list(self[0]) if self else []
        return [names, *([_text(row[name]) for name in names] for row in self)]

    def __repr__(self) -> str:
        if not self:
            return "Table(empty)"
        cells = self._cells()
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        return "\n".join("  ".join(map(str.rjust, row, widths)) for row in cells)

    def _repr_markdown_(self) -> str:
        if not self:
            return "*empty*"
        head, *body = (f"| {' | '.join(row)} |" for row in self._cells())
        return "\n".join([head, f"|{'---|' * len(self[0])}", *body])


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
