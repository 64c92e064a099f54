"""`Run`: one seed of a check, trained headless, as numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gradlab.config import Config
from gradlab.engine import Trainer
from gradlab.exercise.setup import SEED_FIELDS
from gradlab.growth import growth_per_layer
from gradlab.history import Array, History, StepRecord


@dataclass(frozen=True)
class Run:
    """One network of a check.

    Attributes
    ----------
    seed : int
        Of weights, data and order.
    steps : int
        Steps taken; fewer than the budget if it diverged.
    diverged : str
        Where it diverged, in one sentence; empty if it did not.
    loss, accuracy : float
        Over all the data after training; nan where there is none (divergence; no classes).
    peak : float
        Largest loss of a step over that of the first.
    rate : float
        Growth of the backward signal dL/dz per hidden layer toward the input at step 0.
    spread : float
        Largest over smallest backward signal of the hidden layers at step 0.
    dead : float
        Largest share, over the hidden layers, of units that were 0 for every sample of the last step.
    cosine : float
        Smallest cosine between a step's gradient before and after clipping.
    longest : float
        Largest norm of a gradient after clipping.
    batch_error : float
        Largest relative difference, over the layers, between the first step's accumulated gradient norm and
        that of one batch of as many samples; 0 without accumulation.
    update_ratio : float
        Median over steps of the largest update / weight ratio of a layer.
    """

    seed: int
    steps: int
    diverged: str
    loss: float
    accuracy: float
    peak: float
    rate: float
    spread: float
    dead: float
    cosine: float
    longest: float
    batch_error: float
    update_ratio: float


def train(config: Config, seed: int, steps: int) -> Run:
    """Train a config from one seed and return the numbers.

    Raises
    ------
    ValueError
        If the config cannot be trained.
    """
    config = config.replace(**dict.fromkeys(SEED_FIELDS, seed))
    trainer = Trainer(config)
    first = trainer.preview()
    history = trainer.run(steps)
    gone = history.diverged is not None
    found = {} if gone else trainer.evaluate()
    rate, spread = _shape(first.delta_norm[:-1])
    return Run(
        seed=seed,
        steps=len(history) - int(gone),
        diverged=history.diverged.sentence if history.diverged else "",
        loss=found.get("loss", math.nan),
        accuracy=found.get("accuracy", math.nan),
        peak=_peak(history),
        rate=rate,
        spread=spread,
        dead=float(np.max(history[-1].dead[:-1], initial=0.0)),
        cosine=float(history.column("clip_cosine").min()),
        longest=float(history.column("clipped_total_norm").max()),
        batch_error=_batch_error(config, first),
        update_ratio=_update_ratio(history),
    )


def _shape(delta: Array) -> tuple[float, float]:
    """Return growth per layer toward the input, and largest over smallest, of the hidden layers' signal."""
    if len(delta) < 2:
        return 1.0, 1.0
    rate = growth_per_layer(delta[0], delta[-1], len(delta))
    with np.errstate(divide="ignore", invalid="ignore"):  # a signal of exactly 0, or inf, is an answer too
        spread = delta.max() / delta.min()
    return float(rate), float(spread) if not math.isnan(spread) else math.inf


def _peak(history: History) -> float:
    losses = history.column("loss")
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(losses.max() / losses[0])


def _update_ratio(history: History) -> float:
    ratios = history.column("update_ratio").max(axis=1)
    return float(np.median(ratios[np.isfinite(ratios)])) if np.isfinite(ratios).any() else 0.0


def _batch_error(config: Config, first: StepRecord) -> float:
    """Compare the window's accumulated gradient with that of one batch of the same samples, by layer norms."""
    if first.micro_batches < 2:
        return 0.0
    whole = Trainer(config.replace(accumulation="none", batch_size=first.samples)).preview().grad_norm
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.abs(first.grad_norm / whole - 1)
    return float(error.max()) if np.isfinite(error).all() else math.inf
