"""What an exercise says of an attempt, in words: what is refused before anything is trained, what is missed after."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch

from gradlab.config import Config
from gradlab.engine import Trainer
from gradlab.engine.check import prepare_data
from gradlab.exercise.result import Run
from gradlab.exercise.tasks import AT_INIT, SEED_FIELDS, Setup
from gradlab.growth import times
from gradlab.locale import STRINGS, Text
from gradlab.network import ARCHITECTURES
from gradlab.registry import Registry, brief


class Say:
    """The strings of one language; ``say("key", name=value)`` looks one up and fills it in."""

    def __init__(self, lang: str) -> None:
        self._text = Text(lang)
        self.lang = lang

    def __call__(self, key: str, **values: object) -> str:
        """Return the string ``exercise.KEY`` with `values` filled in."""
        return self._text(f"exercise.{key}", **values)

    def get(self, key: str) -> str | None:
        """Return the string `key` as it is, or None."""
        return STRINGS[self.lang].get(f"exercise.{key}")

    def listed(self, words: Iterable[Any]) -> str:
        """Join words by commas."""
        return self("comma").join(map(str, words))

    def clauses(self, clauses: Iterable[str]) -> str:
        """Join clauses by semicolons."""
        return self("semicolon").join(clauses)

    def either(self, values: Iterable[Any]) -> str:
        """Join values, quoted as in code, by commas and a last "or"."""
        *most, last = map(repr, values)
        return self("or").join([self.listed(most), last] if most else [last])

    def fields(self, n: int) -> str:
        """Say how many fields."""
        return self("fields.1" if n == 1 else "fields.n", n=n)

    def seeds(self, seeds: Sequence[int]) -> str:
        """Name seeds."""
        return self("seed" if len(seeds) == 1 else "seeds", seeds=self.listed(seeds))

    def joined(self, sentences: Iterable[str]) -> str:
        """Put sentences in a row, with the space that the language wants between them."""
        return self("between").join(sentences)


def attempted(attempt: Any, start: Config) -> tuple[Config, Trainer | None]:
    """Return the config of an attempt, and its trainer where it has one; raise ValueError if it has no config."""
    if attempt is None:
        return start, None
    config = attempt if isinstance(attempt, Config) else getattr(attempt, "config", None)
    if not isinstance(config, Config):
        raise ValueError(f"check: {brief(attempt)}; expected a Config, a Trainer, a GradLab, or changes (gain=1.0)")
    trainer = attempt if isinstance(attempt, Trainer) else getattr(attempt, "trainer", None)
    plain = Config.from_dict({name: getattr(config, name) for name in Config.knobs()})  # no subclass with a will
    return plain, trainer if isinstance(trainer, Trainer) else None


def changes_of(setup: Setup, config: Config) -> dict[str, tuple[Any, Any]]:
    """Return the fields that differ from the start, name -> (there, here); seeds are no part of it."""
    found = setup.config.differences(config)
    return {name: pair for name, pair in found.items() if name not in SEED_FIELDS}


def refusals(setup: Setup, config: Config, trainer: Trainer | None, say: Say) -> list[str]:
    """Say which rules an attempt breaks."""
    changes, fields = changes_of(setup, config), Config.knobs()
    found = [
        say("refused.field", field=name, value=repr(here), start=repr(there))
        for name, (there, here) in changes.items()
        if name not in setup.may
    ]
    for name, values in setup.only.items():
        if (here := getattr(config, name)) not in values:
            found.append(say("refused.only", field=name, value=repr(here), values=say.either(values)))
    for name, (_, here) in changes.items():  # a name registered in a cell could stand for trained weights
        choices = fields[name].choices
        if isinstance(choices, Registry) and not choices[here].shipped:
            found.append(say("refused.own_entry", field=name, value=repr(here)))
    if setup.most_changes is not None and len(changes) > setup.most_changes:
        found.append(say("refused.most", fields=say.listed(changes), most=say.fields(setup.most_changes)))
    return found if trainer is None else [*found, *_own_parts(trainer, say)]


def _own_parts(trainer: Trainer, say: Say) -> Iterator[str]:
    made, mine = prepare_data(trainer.config, None, None), trainer.data
    shape = (made.x.shape[1:], made.output_shape)
    if type(trainer.network) is not type(ARCHITECTURES[trainer.config.architecture](trainer.config, *shape)):
        yield say("refused.own_network")
    if not (torch.equal(made.x, mine.x) and torch.equal(made.y, mine.y) and made.loss is mine.loss):
        yield say("refused.own_data")


_APART = 30.0  # finite width alone spreads 30 sound layers of 32 units by a factor of about 10
_THROUGH_TIME = 2.0  # decades
_ALL_DEAD = 0.95
_STILL = 1e-4  # a largest update / weight ratio below this is no training; 1e-3 is usual


def misses(setup: Setup, config: Config, runs: Sequence[Run], say: Say) -> list[str]:
    """Say which goals are missed on which seeds, and what the cause looks like."""
    lost = [run for run in runs if run.diverged]
    found = [say("miss.diverged", seeds=say.seeds([run.seed for run in lost]))] if lost else []
    for goal in setup.goals:
        judged = [run for run in runs if goal.measure in AT_INIT or not run.diverged]
        failing = [run.seed for run in judged if not goal.met(getattr(run, goal.measure))]
        if failing:
            limit, steps = f"{goal.limit:g}", setup.steps
            found.append(say(f"miss.{goal.measure}", limit=limit, steps=steps, seeds=say.seeds(failing)))
    return [*found, *_causes(config, _failing(setup, runs), say)]


def _failing(setup: Setup, runs: Sequence[Run]) -> list[Run]:
    """Return the runs that diverged or did not learn."""
    of_loss = [goal for goal in setup.goals if goal.measure == "loss"]
    return [run for run in runs if run.diverged or not all(goal.met(run.loss) for goal in of_loss)]


def _causes(config: Config, failing: Sequence[Run], say: Say) -> list[str]:
    """Say once what the first of the failing runs shows; the rates are of step 0, the same on every machine."""
    if not failing:
        return []
    run = failing[0]
    if config.lr == 0:
        return [say("why.lr_zero")]
    if abs(run.time) >= _THROUGH_TIME:
        return [say("why.time", factor=times(run.time))]
    if run.spread > _APART or run.rate == 0:
        return [say("why.rate", rate=f"{run.rate:.3g}") if 0 < run.rate < float("inf") else say("why.silent")]
    if run.diverged:
        return [say("why.long")]
    if run.dead > _ALL_DEAD:
        return [say("why.dead")]
    return [say("why.short" if run.update_ratio < _STILL else "why.slow")]
