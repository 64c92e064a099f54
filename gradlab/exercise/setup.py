"""What an exercise is made of: `Setup`, the rules, and `Goal`, one thing to be reached."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from gradlab.config import Config
from gradlab.engine.check import check_count

SEED_FIELDS = ("weight_seed", "data_seed", "batch_seed")
"""Set by the check itself: what a config says there counts neither as a change nor at all."""

GOALS = ("loss", "peak", "spread", "dead", "cosine", "longest", "batch_error")
"""The numbers of a `Run` that a goal can be about."""

AT_INIT = ("spread", "batch_error")
"""Those that are known before the first step, and so of a run that diverged too."""


@dataclass(frozen=True)
class Goal:
    """A number of a `Run` that must stay within a limit, on every seed.

    Parameters
    ----------
    measure : str
        One of ``GOALS``, named as in `Run`.
    at_most, at_least : float, optional
        The limit, itself allowed; exactly one of the two.

    Raises
    ------
    ValueError
        If there is no such measure, or not exactly one finite limit.
    """

    measure: str
    at_most: float | None = None
    at_least: float | None = None

    def __post_init__(self) -> None:
        if self.measure not in GOALS:
            raise ValueError(f"measure={self.measure!r}; expected one of {', '.join(GOALS)}")
        limits = [limit for limit in (self.at_most, self.at_least) if limit is not None]
        if len(limits) != 1 or not math.isfinite(limits[0]):
            raise ValueError(
                f"goal {self.measure!r}: at_most={self.at_most!r}, at_least={self.at_least!r}; expected exactly "
                "one finite limit"
            )

    @property
    def limit(self) -> float:
        """The limit, whichever side it is on."""
        return self.at_most if self.at_most is not None else self.at_least or 0.0

    def met(self, value: float) -> bool:
        """Whether a value reaches the goal; one that is not a number does not."""
        return value <= self.limit if self.at_most is not None else value >= self.limit


@dataclass(frozen=True, kw_only=True)
class Setup:
    """The rules of an exercise.

    Parameters
    ----------
    config : Config
        The broken start.
    may : tuple of str
        The fields that may be changed; all others must stay, but the seeds, which the check sets.
    goals : tuple of Goal
        What must be reached on every seed.
    steps : int
        Optimizer steps of the check: the budget.
    most_changes : int, optional
        How many fields may differ from the start. Default: any number.
    only : mapping of str to tuple, optional
        Fields that accept only these values, the start's own value included only if it is among them.
    seeds : tuple of int, default (0, 1, 2)
        The seeds of the check; each is used for weights, data and order alike.

    Raises
    ------
    ValueError
        If a field does not exist, a seed may be changed, a budget is below 1, or there is no goal or seed.
    """

    config: Config
    may: tuple[str, ...]
    goals: tuple[Goal, ...]
    steps: int
    most_changes: int | None = None
    only: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    seeds: tuple[int, ...] = (0, 1, 2)

    def __post_init__(self) -> None:
        if not isinstance(self.config, Config):
            raise ValueError(f"config={self.config!r:.60}; expected a Config")
        Config.check_names(dict.fromkeys((*self.may, *self.only), "..."))
        if seeds := set(SEED_FIELDS) & set(self.may):
            raise ValueError(f"may={', '.join(sorted(seeds))}; expected no seed, as the check sets them")
        for name, count in (("steps", self.steps), ("most_changes", self.most_changes)):
            if count is not None:
                check_count(name, count)
                if count < 1:
                    raise ValueError(f"{name}={count!r}; expected a whole number >= 1")
        if not self.goals:
            raise ValueError("goals=(); expected at least one Goal")
        object.__setattr__(self, "seeds", check_seeds(self.seeds))
        object.__setattr__(self, "only", MappingProxyType(dict(self.only)))


def check_seeds(seeds: Any) -> tuple[int, ...]:
    """Return seeds as a tuple, or raise ValueError unless they are whole numbers >= 0, at least one, none twice."""
    found = tuple(seeds) if isinstance(seeds, tuple | list | range) else ()
    for seed in found:
        check_count("seed", seed)
    if not found or len(set(found)) < len(found):
        raise ValueError(f"seeds={seeds!r:.60}; expected a list of different whole numbers >= 0, at least one")
    return tuple(int(seed) for seed in found)
