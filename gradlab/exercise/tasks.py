"""`EXERCISES`, broken networks by name; `Setup`, the rules of one, and `Goal`, one thing to be reached."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from gradlab.config import SEEDS, Config
from gradlab.engine.check import check_count
from gradlab.locale import STRINGS
from gradlab.presets import PRESETS
from gradlab.registry import Registry, brief

GOALS = ("loss", "peak", "spread", "dead", "cosine", "longest", "batch_error", "samples", "edge")
"""The numbers of a `Run` that a goal can be about."""

AT_INIT = ("spread", "batch_error", "samples", "edge")
"""Those that are known before the first step, and so of a run that diverged too."""


@dataclass(frozen=True)
class Goal:
    """A number of a `Run` that must stay within a limit.

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
            raise ValueError(f"measure={brief(self.measure)}; expected one of {', '.join(GOALS)}")
        limits = [limit for limit in (self.at_most, self.at_least) if limit is not None]
        if len(limits) != 1 or not math.isfinite(limits[0]):
            given = f"at_most={self.at_most!r}, at_least={self.at_least!r}"
            raise ValueError(f"goal {self.measure!r}: {given}; expected exactly one finite limit")

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
        What must be reached, all of them by one run.
    steps : int
        Optimizer steps of the check: the budget.
    most_changes : int, optional
        How many fields may differ from the start. Default: any number.
    only : mapping of str to tuple, optional
        Fields that accept only these values, the start's own value included only if it is among them.
    seeds : tuple of int, default (11, 12, 13, 14, 15)
        The seeds of the check, none of them the one a panel starts with; each is used for weights, data and order
        alike.
    needed : int, default 4
        On how many of them the goals must be reached: of a sound network one in some twenty learns too late.

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
    seeds: tuple[int, ...] = (11, 12, 13, 14, 15)
    needed: int = 4

    def __post_init__(self) -> None:
        if not isinstance(self.config, Config):
            raise ValueError(f"config={brief(self.config)}; expected a Config")
        Config.check_names(dict.fromkeys((*self.may, *self.only), "..."))
        if seeds := set(SEEDS) & set(self.may):
            raise ValueError(f"may={', '.join(sorted(seeds))}; expected no seed, as the check sets them")
        for name, count in (("steps", self.steps), ("most_changes", self.most_changes), ("needed", self.needed)):
            if count is not None:
                check_count(name, count, 1)
        if not self.goals:
            raise ValueError("goals=(); expected at least one Goal")
        object.__setattr__(self, "seeds", check_seeds(self.seeds))
        object.__setattr__(self, "needed", min(self.needed, len(self.seeds)))
        object.__setattr__(self, "only", MappingProxyType(dict(self.only)))

    def reached_by(self, run: Any) -> bool:
        """Whether a `Run` reaches all goals."""
        return not run.diverged and all(goal.met(getattr(run, goal.measure)) for goal in self.goals)

    def needed_of(self, seeds: int) -> int:
        """Return on how many of so many seeds the goals must be reached, the same share of them, rounded up."""
        return math.ceil(seeds * self.needed / len(self.seeds))


def check_seeds(seeds: Any) -> tuple[int, ...]:
    """Return seeds as a tuple, or raise ValueError unless they are whole numbers >= 0, at least one, none twice."""
    found = tuple(seeds) if isinstance(seeds, tuple | list | range) else ()
    for seed in found:
        check_count("seed", seed)
    if not found or len(set(found)) < len(found):
        raise ValueError(f"seeds={brief(seeds)}; expected a list of different whole numbers >= 0, at least one")
    return tuple(int(seed) for seed in found)


EXERCISES = Registry("exercise", "", gives="a Setup", fits=lambda made, *_: isinstance(made, Setup))

_LEARNED = Goal("loss", at_most=0.3)  # two classes by guessing: 0.69
_INIT, _STEP, _CLIP = ("init", "gain", "bias_std"), ("lr", "momentum", "weight_decay"), ("clip", "clip_threshold")


def _exercise(rules: Callable[[], Setup]) -> Callable[[], Setup]:
    """Register one of gradlab's own under its function's name, with the title that it has in English."""
    name = rules.__name__.replace("_", "-")
    return EXERCISES.register(name, STRINGS["en"][f"exercise.{name}.title"])(rules)


@_exercise
def rescue_30() -> Setup:
    """Thirty ReLU layers overflow in the first steps; three changes, and the article's cures are on the table."""
    return Setup(
        config=Config(depth=30, width=64, gain=3.0, lr=0.02),
        may=("init", "gain", "lr", *_CLIP, "accumulation", "carry_over"),
        goals=(Goal("loss", at_most=0.5), Goal("spread", at_most=50.0)),
        steps=100,
        most_changes=3,
        needed=3,  # of thirty layers one network in thirteen learns too late
    )


@_exercise
def deep_sigmoid() -> Setup:
    """Ten sigmoid layers learn nothing, and somebody has turned the steps down; two changes, the sigmoid stays."""
    return Setup(
        config=Config(depth=10, width=64, activation="sigmoid", init="normal", lr=1e-4),
        may=(*_INIT, "norm", "residual", *_STEP, *_CLIP),
        goals=(Goal("loss", at_most=0.4),),
        steps=100,
        most_changes=2,
    )


@_exercise
def dead_relus() -> Setup:
    """Adam has killed a layer of ReLUs; one change."""
    return Setup(
        config=Config(optimizer="adam", width=64, lr=0.3),
        may=(*_INIT, *_STEP, "batch_size", "accumulation", *_CLIP),
        goals=(Goal("loss", at_most=0.25), Goal("dead", at_most=0.9)),
        steps=60,
        most_changes=1,
    )


@_exercise
def learning_rate() -> Setup:
    """A sound gradient and a step past 2/sharpness: find the window between overflow and standstill."""
    return Setup(
        config=Config(dataset="regression", depth=1, width=128, batch_size=512, lr=0.3),
        may=("lr",),
        goals=(Goal("loss", at_most=0.35), Goal("peak", at_most=1.001), Goal("edge", at_least=0.6)),
        steps=100,
    )


@_exercise
def forgotten_division() -> Setup:
    """Micro-batches are added up, too few of them, and the steps run away; the learning rate stays."""
    return Setup(
        config=Config(depth=4, width=64, lr=0.3, accumulation="sum", accumulation_steps=4),
        may=("accumulation", "accumulation_steps", "init", "gain", "norm", "optimizer", "momentum", *_CLIP),
        only={"accumulation": ("mean", "sum", "naive_mean")},
        goals=(Goal("loss", at_most=0.35), Goal("batch_error", at_most=1e-3), Goal("samples", at_least=256)),
        steps=40,
        most_changes=2,
    )


@_exercise
def clip_order() -> Setup:
    """Every step is bounded, but clipping turns it, for two reasons; bound it without turning it."""
    return Setup(
        config=Config(
            **{"depth": 6, "width": 64, "lr": 0.5, "accumulation": "mean", "accumulation_steps": 8},
            **{"clip": "per_layer_norm", "clip_threshold": 0.1, "clip_order": "each_micro_batch"},
        ),
        may=("clip", "clip_threshold", "clip_order", "accumulation", "accumulation_steps", "momentum", "gain"),
        only={"accumulation": ("mean", "sum", "naive_mean")},
        goals=(_LEARNED, Goal("cosine", at_least=0.999), Goal("longest", at_most=0.1001)),
        steps=40,
        most_changes=2,
    )


@_exercise
def batch_norm_depth() -> Setup:
    """Thirty layers with batch norm, where no init helps and the steps were turned down; the batch norm stays."""
    return Setup(
        config=Config(depth=30, norm="batch", batch_size=64, lr=1e-5),
        may=("init", "gain", "residual", "lr", "clip", "clip_threshold", "momentum"),
        goals=(_LEARNED, Goal("spread", at_most=200.0)),
        steps=60,
        most_changes=2,
    )


@_exercise
def no_clipping() -> Setup:
    """Twenty ReLU layers live on clipping; take it away, and remove the cause."""
    return Setup(
        config=Config(depth=20, width=64, gain=2.0, lr=0.02, clip="global_norm"),
        may=("init", "gain", "bias_std", "lr", "momentum", "clip"),
        only={"clip": ("none",)},
        goals=(Goal("loss", at_most=0.4), Goal("spread", at_most=30.0)),
        steps=120,
        most_changes=2,
    )


@_exercise
def two_changes() -> Setup:
    """Several settings look odd, two are at fault; two changes."""
    return Setup(
        config=Config(
            **{"depth": 12, "width": 64, "init": "pytorch", "lr": 0.03, "momentum": 0.1, "weight_decay": 1e-3},
            **{"bias_std": 0.01, "batch_size": 24, "clip": "global_norm", "clip_threshold": 1e-3},
        ),
        may=(
            *(*_INIT, "norm", "residual", *_STEP, "batch_size"),
            *("accumulation", "accumulation_steps", "carry_over", *_CLIP),
        ),
        goals=(_LEARNED,),
        steps=100,
        most_changes=2,
    )


_REMEMBERING = Config(architecture="rnn", dataset="latch", depth=1, activation="tanh", init="normal")


@_exercise
def remember_40() -> Setup:
    """A tanh RNN is to remember its first input for 40 time steps; two changes, and tanh stays."""
    return Setup(
        config=_REMEMBERING.replace(sequence_length=40, gain=2.0, recurrent_gain=0.1, optimizer="adam", lr=0.003),
        may=(*_INIT, "recurrent_init", "recurrent_gain", *_CLIP, "warmup"),
        goals=(_LEARNED,),
        steps=80,  # in twice as many, or at ten times the lr, Adam builds a W_hh that remembers, by luck
        most_changes=2,
    )


@_exercise
def choose_the_clip() -> Setup:
    """An RNN whose signal explodes through time; a rule that keeps the direction, and a threshold, rescue it."""
    return Setup(
        config=_REMEMBERING.replace(
            sequence_length=30, n_samples=256, recurrent_gain=2.0, lr=1.0, clip_threshold=100.0
        ),
        may=(*_CLIP, "bias_std", "momentum", "weight_decay"),
        goals=(_LEARNED, Goal("cosine", at_least=0.999)),
        steps=120,
        most_changes=2,
    )


@_exercise
def post_ln_12() -> Setup:
    """Twelve post-LN transformer blocks stay at chance; the norm stays after the sum."""
    return Setup(
        config=PRESETS["post_ln"].replace(n_samples=256, lr=0.3),
        may=(*_INIT, "residual_init", "lr", "warmup", "momentum", "weight_decay", "batch_size", *_CLIP),
        goals=(_LEARNED,),
        steps=80,
        most_changes=2,
    )
