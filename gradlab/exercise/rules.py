"""Whether an attempt keeps an exercise's rules: what is refused, in words, before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from gradlab.config import Config
from gradlab.data import make_dataset
from gradlab.engine import Trainer
from gradlab.exercise.setup import SEED_FIELDS, Setup
from gradlab.exercise.text import Say
from gradlab.network import Network
from gradlab.registry import Registry

Changes = Mapping[str, tuple[Any, Any]]


def attempted(attempt: Any, start: Config) -> tuple[Config, Trainer | None]:
    """Return the config of an attempt, and its trainer where it has one.

    Raises
    ------
    ValueError
        If it is neither None, a Config, a Trainer, nor something that has a Config as `config`.
    """
    if attempt is None:
        return start, None
    config = attempt if isinstance(attempt, Config) else getattr(attempt, "config", None)
    if not isinstance(config, Config):
        raise ValueError(
            f"check: {attempt!r:.60}; expected a Config, a Trainer, a GradLab, or changes such as gain=1.0"
        )
    trainer = attempt if isinstance(attempt, Trainer) else getattr(attempt, "trainer", None)
    plain = Config.from_dict({name: getattr(config, name) for name in Config.knobs()})  # no subclass with a will
    return plain, trainer if isinstance(trainer, Trainer) else None


def changes_of(setup: Setup, config: Config) -> dict[str, tuple[Any, Any]]:
    """Return the fields that differ from the start, name -> (there, here); seeds are no part of it."""
    found = setup.config.differences(config)
    return {name: pair for name, pair in found.items() if name not in SEED_FIELDS}


def refusals(setup: Setup, config: Config, trainer: Trainer | None, say: Say) -> list[str]:
    """Say which rules an attempt breaks."""
    changes = changes_of(setup, config)
    found = [*_fields(setup, changes, say), *_values(setup, config, say), *_own_entries(changes, say)]
    if setup.most_changes is not None and len(changes) > setup.most_changes:
        found.append(say("refused.most", fields=say.listed(changes), most=say.fields(setup.most_changes)))
    if trainer is not None:
        found += _own_parts(trainer, say)
    return found


def _fields(setup: Setup, changes: Changes, say: Say) -> Iterator[str]:
    for name, (there, here) in changes.items():
        if name not in setup.may:
            yield say("refused.field", field=name, value=repr(here), start=repr(there))


def _values(setup: Setup, config: Config, say: Say) -> Iterator[str]:
    for name, values in setup.only.items():
        if (here := getattr(config, name)) not in values:
            yield say("refused.only", field=name, value=repr(here), values=say.either(values))


def _own_entries(changes: Changes, say: Say) -> Iterator[str]:
    """A name registered in a cell could stand for anything, trained weights among them."""
    for name, (_, here) in changes.items():
        choices = Config.knobs()[name].choices
        if not isinstance(choices, Registry):
            continue
        if not choices[here].shipped:
            yield say("refused.own_entry", field=name, value=repr(here))


def _own_parts(trainer: Trainer, say: Say) -> Iterator[str]:
    if type(trainer.network) is not Network:
        yield say("refused.own_network")
    config = trainer.config
    made = make_dataset(
        config.dataset, config.n_samples, config.noise, config.data_seed, config.torch_dtype, config.sequence_length
    )
    mine = trainer.data
    same = torch.equal(made.x, mine.x) and torch.equal(made.y, mine.y) and made.loss is mine.loss
    if not same:
        yield say("refused.own_data")
