"""What a check finds: `Run`, one seed trained headless, as numbers, and `Result`, the verdict over all of them."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

import numpy as np

from gradlab.config import SEEDS, Config
from gradlab.engine import Trainer
from gradlab.growth import growth_per_layer
from gradlab.history import Array, History, StepRecord
from gradlab.inspect import sharpness


@dataclass(frozen=True)
class Run:
    """One network of a check."""

    seed: int  # of weights, data and order
    steps: int  # steps taken; fewer than the budget if it diverged
    diverged: str  # where it diverged, in one sentence; empty if it did not
    # over all the data after training; nan where there is none (divergence; no classes)
    loss: float
    accuracy: float
    peak: float  # largest loss of a step over that of the first
    rate: float  # growth of the backward signal dL/dz per hidden layer toward the input at step 0
    spread: float  # largest over smallest backward signal of the hidden layers at step 0
    # log10 of the signal dL/dh at the first time step over that at the last, at step 0; 0 without recurrence
    time: float
    dead: float  # largest share, over the hidden layers, of units that were 0 for every sample of the last step
    cosine: float  # smallest cosine between a step's gradient before and after clipping
    longest: float  # largest norm of a gradient after clipping
    # largest relative difference, over the layers, between the first step's accumulated gradient norm and that of one
    # batch of as many samples; 0 without accumulation
    batch_error: float
    samples: int  # in the first step, all its micro-batches together
    # sharpness at step 0 over the one that the rules can take (2 / lr for gradient descent); nan unless a step sees
    # all the data, as the noise of smaller ones has an edge of its own
    edge: float
    update_ratio: float  # median over steps of the largest update / weight ratio of a layer


def train(config: Config, seed: int, steps: int) -> Run:
    """Train a config from one seed and return the numbers."""
    config = config.replace(**dict.fromkeys(SEEDS, seed))
    trainer = Trainer(config)
    first = trainer.preview()
    edge = sharpness(trainer).ratio if config.batch_size >= trainer.data.n else None
    history = trainer.run(steps)
    gone = history.diverged is not None
    found = {} if gone else trainer.evaluate()
    rate, spread = _shape(first.delta_norm[:-1])
    losses = history.column("loss")
    with np.errstate(divide="ignore", invalid="ignore"):
        peak = float(losses.max() / losses[0])
    return Run(
        seed=seed,
        steps=len(history) - int(gone),
        diverged=history.diverged.sentence if history.diverged else "",
        loss=found.get("loss", math.nan),
        accuracy=found.get("accuracy", math.nan),
        peak=peak,
        rate=rate,
        spread=spread,
        time=_decades_of_time(first.time_norm),
        dead=float(np.max(history[-1].dead[:-1], initial=0.0)),
        cosine=float(history.column("clip_cosine").min()),
        longest=float(history.column("clipped_total_norm").max()),
        batch_error=_batch_error(config, first),
        samples=first.samples,
        edge=math.nan if edge is None else edge,
        update_ratio=_update_ratio(history),
    )


def _decades_of_time(norms: Array) -> float:
    """Return the decades that the last recurrent layer's signal gains on its way to the first time step."""
    if not norms.size:
        return 0.0
    with np.errstate(divide="ignore"):
        return float(np.log10(norms[-1, 0]) - np.log10(norms[-1, -1]))


def _shape(delta: Array) -> tuple[float, float]:
    """Return growth per layer toward the input, and largest over smallest, of the hidden layers' signal."""
    if len(delta) < 2:
        return 1.0, 1.0
    rate = growth_per_layer(delta[0], delta[-1], len(delta))
    with np.errstate(divide="ignore", invalid="ignore"):  # a signal of exactly 0, or inf, is an answer too
        spread = delta.max() / delta.min()
    return float(rate), float(spread) if not math.isnan(spread) else math.inf


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


_SHOWN = [f.name for f in fields(Run) if f.name not in ("diverged", "time", "update_ratio")]


@dataclass(frozen=True)
class Result:
    """What a check found; true where the exercise is passed, so that a grader can ``assert exercise.check(...)``.

    Notes
    -----
    ``repr`` and the notebook's picture hold no measured number, so that they are the same on every machine;
    ``print`` adds the numbers of `runs`.
    """

    exercise: str  # name of the exercise
    passed: bool  # whether the rules were kept and all goals were reached on enough seeds
    sentence: str  # the verdict, and what is still wrong
    problems: tuple[str, ...]  # what is still wrong, a sentence each; empty if it is passed
    changes: Mapping[str, tuple[Any, Any]]  # fields that differ from the broken start: name -> (there, here)
    runs: tuple[Run, ...]  # the numbers of the seeds up to the deciding one; empty where a rule was broken
    lang: str = "en"  # language of the sentences

    def __post_init__(self) -> None:
        object.__setattr__(self, "changes", MappingProxyType(dict(self.changes)))

    def __reduce__(self) -> Any:  # a mappingproxy can be neither copied nor pickled
        return Result, tuple((vars(self) | {"changes": dict(self.changes)}).values())

    def __bool__(self) -> bool:
        return self.passed

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values that ``json.dumps`` accepts; a number that is not finite becomes None."""
        runs = [
            {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in vars(run).items()}
            for run in self.runs
        ]
        changes = {name: list(pair) for name, pair in self.changes.items()}
        facts = {"exercise": self.exercise, "passed": self.passed, "sentence": self.sentence}
        return {**facts, "problems": list(self.problems), "changes": changes, "runs": runs}

    def table(self) -> str:
        """Return the numbers of the runs as a Markdown table, a row a seed."""
        values = [[getattr(run, name) for name in _SHOWN] for run in self.runs]
        rows = [[f"{value:.3g}" if isinstance(value, float) else str(value) for value in row] for row in values]
        return "\n".join(f"| {' | '.join(row)} |" for row in (_SHOWN, ["---"] * len(_SHOWN), *rows))

    def __repr__(self) -> str:
        return f"Result({self.exercise}: {self.sentence})"

    def __str__(self) -> str:
        return f"{self.sentence}\n\n{self.table()}" if self.runs else self.sentence

    def _repr_html_(self) -> str:
        """The verdict for a notebook, in its own colours."""
        mark = "&#10003;" if self.passed else "&#10007;"
        return f'<p lang="{self.lang}">{mark} {html.escape(self.sentence)}</p>'
