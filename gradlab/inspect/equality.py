"""Whether accumulating micro-batches gives the gradient of one large batch, measured, and why not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gradlab.config import Config
from gradlab.engine import Trainer
from gradlab.engine.layers import find_layers
from gradlab.engine.sampler import NextWindow
from gradlab.inspect.copied import Copied
from gradlab.locale import Text
from gradlab.network import NORMS
from gradlab.rules.clipping import CLIPS
from gradlab.rules.norms import norms

TOLERANCE = {"float32": 3e-6, "float64": 6e-15}
"""Rounding of sums of up to some sixty micro-batches, relative to each tensor's norm."""

_ROUNDS = 1e-3  # a difference that float64 makes a thousand times smaller is one of rounding
_ROUNDS_IN_FLOAT64 = 1e-9


@dataclass(frozen=True)
class Equality:
    """The accumulated gradient of a step beside the gradient of its samples as one batch.

    Attributes
    ----------
    relative_difference : float
        Norm of the difference over the norm of the large batch's gradient, in the worst tensor; nan where the
        two cannot be compared.
    equal : bool
        Whether that is no more than rounding: 3e-6 in float32, 6e-15 in float64.
    causes : tuple of str
        Why not: any of ``"sum"``, ``"uneven"``, ``"clip"``, ``"batch_norm"``, ``"dropout"``, ``"coupled"``
        (samples depend on each other, or the loss is not their mean), ``"cumulative"``, ``"nonfinite"``,
        ``"rounding"``; empty if equal.
    samples, micro_batches : int
        Of the step.
    total_weight : float
        Sum of the weights of the micro-batches: 1 for a mean, their number for a sum.
    in_float64 : float
        The relative difference of the same two gradients in float64, where rounding is the cause; else nan.
    """

    relative_difference: float
    equal: bool
    causes: tuple[str, ...]
    samples: int
    micro_batches: int
    total_weight: float = 1.0
    in_float64: float = math.nan

    @property
    def reason(self) -> str:
        """Why they differ, in English; empty if they do not."""
        return self.explain(Text())

    def explain(self, text: Text) -> str:
        """Return why they differ, in words; empty if they do not."""
        facts = {"times": f"{self.total_weight:.4g}", "count": self.micro_batches, "wide": f"{self.in_float64:.1e}"}
        return "; ".join(text(f"equality.{cause}", **facts) for cause in self.causes)


def accumulation_equality(trainer: Trainer) -> Equality:
    """Compare the accumulated gradient of the next step with the gradient of its samples as one batch.

    Both are computed at the present weights, before carry-over and update. Where the config clips after each
    micro-batch, the large batch is clipped too, once; else both are taken before clipping.

    Parameters
    ----------
    trainer : Trainer
        The run; it stays as it is.

    Returns
    -------
    Equality
        Frozen.
    """
    window = trainer.next_window()
    samples, count = sum(len(rows) for rows in window.micro_batches), len(window.micro_batches)
    facts = {"samples": samples, "micro_batches": count, "total_weight": math.fsum(window.weights)}
    try:
        pair = _Pair(trainer, window)
    except ValueError:
        if not Copied(trainer).cumulative:
            raise
        return Equality(math.nan, False, ("cumulative",), **facts)
    if pair.cumulative and count > 1:
        return Equality(pair.difference, False, ("cumulative",), **facts)
    if not math.isfinite(pair.size):
        return Equality(math.nan, False, ("nonfinite",), **facts)
    if pair.difference <= TOLERANCE[trainer.config.dtype]:
        return Equality(pair.difference, True, (), **facts)
    causes, wide = _causes(trainer, window, pair)
    return Equality(pair.difference, False, causes, **facts, in_float64=wide)


class _Pair:
    """The gradients of a window, accumulated in all the ways that a cause is told by, and of one batch."""

    def __init__(self, trainer: Trainer, window: NextWindow, dtype: torch.dtype | None = None) -> None:
        config, copied = trainer.config, Copied(trainer, dtype)
        self.cumulative = copied.cumulative
        early = config.clip != "none" and config.clip_order == "each_micro_batch"
        sizes = [len(rows) for rows in window.micro_batches]
        shares = [n / sum(sizes) for n in sizes]
        self.accumulated, self.mean, self.unclipped = _Sum(), _Sum(), _Sum()
        for rows, weight, share, seed in zip(window.micro_batches, window.weights, shares, window.seeds, strict=True):
            found = _gradients(copied, rows, seed)
            self.mean.add(found, share)
            self.unclipped.add(found, weight)
            self.accumulated.add(found, weight)
            if early:
                _clip(copied, self.accumulated.total, config)
        fresh = Copied(trainer, dtype)  # a pass may change buffers
        self.plain = _gradients(fresh, torch.cat(window.micro_batches), window.seeds[0])
        self.large = [g.clone() for g in self.plain]
        if early:
            _clip(fresh, self.large, config)
            _clip(fresh, self.unclipped.total, config)
        self.size = math.fsum(norms(self.large)) + math.fsum(norms(self.accumulated.total))
        self.difference = _worst(self.accumulated.total, self.large)


class _Sum:
    """A weighted sum of lists of tensors, in the order of operations of a step."""

    def __init__(self) -> None:
        self.total: list[Tensor] = []

    def add(self, tensors: Sequence[Tensor], weight: float) -> None:
        if self.total:
            torch._foreach_add_(self.total, list(tensors), alpha=weight)
        else:
            self.total = [t.clone() if weight == 1.0 else t * weight for t in tensors]


def _causes(trainer: Trainer, window: NextWindow, pair: _Pair) -> tuple[tuple[str, ...], float]:
    """Return why a pair differs, and its difference in float64 where that is rounding."""
    tolerance, wide = TOLERANCE[trainer.config.dtype], math.nan
    causes = _causes_in_weights(window)
    if _worst(pair.accumulated.total, pair.unclipped.total) > tolerance:
        causes.append("clip")
    if (alone := _worst(pair.mean.total, pair.plain)) > tolerance:
        wide = _difference_in_float64(trainer, window)
        rounds = wide < _ROUNDS * alone or wide < _ROUNDS_IN_FLOAT64
        causes += ["rounding"] if rounds and not causes else [] if rounds else _causes_in_network(trainer, window)
    return tuple(causes) or ("rounding",), wide


def _causes_in_weights(window: NextWindow) -> list[str]:
    per_sample = [w / len(rows) for w, rows in zip(window.weights, window.micro_batches, strict=True)]
    causes = [] if math.isclose(math.fsum(window.weights), 1.0, rel_tol=1e-9) else ["sum"]
    even = math.isclose(min(per_sample), max(per_sample), rel_tol=1e-9)
    return causes if even else [*causes, "uneven"]


def _causes_in_network(trainer: Trainer, window: NextWindow) -> list[str]:
    causes = []
    modules = list(trainer.network.modules())
    couples = NORMS[trainer.config.norm].options.get("couples_samples", False)
    if couples or any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in modules):
        causes.append("batch_norm")
    rows, seed = torch.cat(window.micro_batches), window.seeds[0]
    first, second = (_gradients(Copied(trainer), rows, s) for s in (seed, seed + 1))
    if not all(torch.equal(a, b) for a, b in zip(first, second, strict=True)):
        causes.append("dropout")
    return causes or ["coupled"]


def _difference_in_float64(trainer: Trainer, window: NextWindow) -> float:
    pair = _Pair(trainer, window, torch.float64)
    return _worst(pair.mean.total, pair.plain)


def _gradients(copied: Copied, rows: Tensor, seed: int) -> list[Tensor]:
    """Return the gradient of the mean loss of `rows`; zeros for a parameter without one."""
    found = zip(copied.gradients(rows, seed), copied.params, strict=True)
    return [torch.zeros_like(p) if g is None else g for g, p in found]


def _clip(copied: Copied, gradients: list[Tensor], config: Config) -> None:
    """Clip in place, as a step does."""
    for p, g in zip(copied.params, gradients, strict=True):
        p.grad = g
    entry = CLIPS[config.clip]
    left_out = find_layers(copied.network)[-1].module.parameters() if entry.options.get("exempt_output") else ()
    exempt = {id(p) for p in left_out}
    entry([p for p in copied.params if id(p) not in exempt], config.clip_threshold)


def _worst(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """Return the largest relative difference over the tensors; inf where only `expected` is all zeros."""
    apart = norms([a.double() - b.double() for a, b in zip(found, expected, strict=True)])
    sizes = norms([b.double() for b in expected])
    return max((_ratio(a, b) for a, b in zip(apart, sizes, strict=True)), default=0.0)


def _ratio(apart: float, size: float) -> float:
    return 0.0 if apart == 0 else apart / size if size else math.inf
