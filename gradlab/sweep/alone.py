"""One network of a sweep by a `Trainer` of its own: the reference, and what cannot be stacked."""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import Any

import numpy as np
import torch

from gradlab.config import Config
from gradlab.data import Loss
from gradlab.engine import Trainer
from gradlab.growth import growth_per_layer
from gradlab.history import StepRecord
from gradlab.sweep.outcome import Outcome, is_learned, make_outcome


def train_alone(
    config: Config, steps: int, learned_below: float, data: Any = None, loss: Loss | None = None, why: str = ""
) -> Generator[int, None, Outcome]:
    """Train one network; yield 1 after each step and return its `Outcome`.

    With ``steps=0`` one step is taken only to measure the network as it was before it.
    """
    trainer = Trainer(config, data=data, loss=loss)
    first = record = trainer.step()
    clipped = [_is_clipped(record)]
    diverged_at = _trouble_at(trainer, record) if steps else (math.nan if _is_finite(record) else 0.0)
    yield 1
    while record.step + 1 < steps and not trainer.stopped:
        record = trainer.step()
        clipped.append(_is_clipped(record))
        if math.isnan(diverged_at):
            diverged_at = _trouble_at(trainer, record)
        yield 1
    found = _at_init(first, config.depth)
    found |= {"final_delta": float(record.delta_norm[0]), "final_norm": record.total_norm, "final_loss": record.loss}
    found |= {"diverged_at": diverged_at, "steps": float(len(clipped) if steps else 0)}
    if steps:
        found |= _at_end(trainer, record, learned_below) | {"clipped": float(np.mean(clipped))}
    return make_outcome(found, f"alone: {why}")


def _at_init(first: StepRecord, depth: int) -> dict[str, float]:
    delta = first.delta_norm
    return {
        "growth": float(growth_per_layer(delta[0], delta[max(depth - 1, 0)], depth)),
        "first_delta": float(delta[0]),
        "first_norm": first.total_norm,
        "first_loss": first.loss,
    }


def _at_end(trainer: Trainer, record: StepRecord, learned_below: float) -> dict[str, float]:
    found = trainer.evaluate()
    survived = float(_has_survived(trainer, record))
    return {
        "eval_loss": found["loss"],
        "accuracy": found.get("accuracy", math.nan),
        "survived": survived,
        "learned": is_learned(survived, found["loss"], learned_below),
    }


def _is_clipped(record: StepRecord) -> bool:
    return math.isfinite(record.clip_coef) and record.clip_coef != 1.0


def _was_skipped(trainer: Trainer, record: StepRecord) -> bool:
    marks = trainer.history.marks
    return bool(marks) and (marks[-1].kind, marks[-1].step) == ("skipped", record.step)


def _trouble_at(trainer: Trainer, record: StepRecord) -> float:
    if trainer.history.diverged is not None:
        return float(trainer.history.diverged.step)
    return float(record.step) if _was_skipped(trainer, record) else math.nan


def _is_finite(record: StepRecord) -> bool:
    return all(map(math.isfinite, [record.loss, record.total_norm, *record.activation_std]))


def _has_survived(trainer: Trainer, record: StepRecord) -> bool:
    """Whether every number of the last step was finite, under each of the `nonfinite` rules."""
    if trainer.stopped or _was_skipped(trainer, record):
        return False
    return _is_finite(record) and all(bool(torch.isfinite(p).all()) for p in trainer.network.parameters())
