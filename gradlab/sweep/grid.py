"""`Grid`: which networks a sweep is made of, and the number each one goes by."""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from gradlab.config import Config

_SEEDED = ("weight_seed", "batch_seed")


@dataclass(frozen=True)
class Grid:
    """Every combination of some knobs' values, each with several seeds.

    A network's number counts through the values of the first knob slowest, the seeds fastest.

    Attributes
    ----------
    config : Config
        The knobs that are not swept.
    over : dict of str to tuple
        The swept knobs and their values, in the order of the axes.
    seeds : tuple of int
        Added to the config's `weight_seed` and `batch_seed`, so cells are compared on paired seeds; the data
        stay the same unless ``data_seed`` is swept.
    """

    config: Config
    over: dict[str, tuple[Any, ...]]
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
                f"index={tuple(index)!r}; expected {len(self.over)} whole numbers: {', '.join(self.over)}"
            )
        return {name: values[i] for (name, values), i in zip(self.over.items(), index, strict=True)}

    def place(self, number: int) -> tuple[tuple[int, ...], int]:
        """Return the cell's index and the seed of the network that has this number."""
        *index, seed = (int(i) for i in np.unravel_index(number, self.shape))
        return tuple(index), self.seeds[seed]

    def config_of(self, number: int) -> Config:
        """Return the config of a network.

        Raises
        ------
        ValueError
            If the values are accepted one by one but not together.
        """
        index, seed = self.place(number)
        return self.config_at(index, seed)

    def config_at(self, index: Sequence[int], seed: int = 0) -> Config:
        """Return the config of the cell at `index` with `seed` added to its seeds."""
        point = self.point(index)
        seeded = {name: point.get(name, getattr(self.config, name)) + seed for name in _SEEDED}
        return self.config.replace(**{**point, **seeded})

    def differs_only_in_values(self, other: Grid) -> bool:
        """Whether both sweep the same knobs around the same config."""
        ours, theirs = (g.config.replace(**g.point([0] * len(g.over))) for g in (self, other))
        same = set(ours.differences(theirs)) <= set(self.over)
        return same and tuple(self.over) == tuple(other.over)


def make_grid(config: Config, over: Mapping[str, Iterable[Any]] | None, seeds: int | Iterable[int]) -> Grid:
    """Check what a sweep is asked for and return its `Grid`.

    Raises
    ------
    ValueError
        If a knob is unknown, a value is not accepted, a list is empty or repeats a value, or seeds make no sense.
    """
    if not isinstance(config, Config):
        raise ValueError(f"config={config!r:.60}; expected a Config")
    if over is not None and not isinstance(over, Mapping):
        raise ValueError(f"over={over!r:.60}; expected a mapping of knob names to lists of values")
    over = {} if over is None else over
    Config.check_names(over)
    kinds = {field.name: type(field.default) for field in dataclasses.fields(Config)}
    checked = {name: _values(name, values, kinds[name]) for name, values in over.items()}
    return Grid(config, checked, _seeds(seeds))


def _values(name: str, values: Any, kind: type) -> tuple[Any, ...]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ValueError(f"over: {name}={values!r}; expected a list of values")
    knob = Config.knobs()[name]
    checked = tuple(knob.validate(name, value, kind) for value in values)
    if not checked or len(set(checked)) < len(checked):
        raise ValueError(f"over: {name}={checked!r}; expected at least one value, each once")
    return checked


def _seeds(seeds: int | Iterable[int]) -> tuple[int, ...]:
    if isinstance(seeds, numbers.Integral) and not isinstance(seeds, bool) and int(seeds) > 0:
        return tuple(range(int(seeds)))
    chosen = tuple(seeds) if isinstance(seeds, Iterable) and not isinstance(seeds, str) else ()
    whole = all(isinstance(s, numbers.Integral) and not isinstance(s, bool) and s >= 0 for s in chosen)
    if not chosen or not whole or len(set(chosen)) < len(chosen):
        raise ValueError(f"seeds={seeds!r}; expected a whole number >= 1, or a list of distinct whole numbers >= 0")
    return tuple(int(s) for s in chosen)
