"""What micro-batches make of a gradient: whether they give that of one large batch, and how much each differs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn

from gradlab.config import Config
from gradlab.engine import Trainer
from gradlab.engine.check import check_count
from gradlab.engine.layers import find_layers
from gradlab.engine.parameters import merged, root_sum_square
from gradlab.engine.sampler import NextWindow
from gradlab.history import Array
from gradlab.inspect.copied import Batch, Copied, subject
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
        self.accumulated, self.mean, self.unclipped = list[Tensor](), list[Tensor](), list[Tensor]()
        for rows, weight, share, seed in zip(window.micro_batches, window.weights, shares, window.seeds, strict=True):
            found = _gradients(copied, rows, seed)
            self.mean = _added(self.mean, found, share)
            self.unclipped = _added(self.unclipped, found, weight)
            self.accumulated = _added(self.accumulated, found, weight)
            if early:
                _clip(copied, self.accumulated, config)
        fresh = Copied(trainer, dtype)  # a pass may change buffers
        self.plain = _gradients(fresh, torch.cat(window.micro_batches), window.seeds[0])
        self.large = [g.clone() for g in self.plain]
        if early:
            _clip(fresh, self.large, config)
            _clip(fresh, self.unclipped, config)
        self.size = math.fsum(norms(self.large)) + math.fsum(norms(self.accumulated))
        self.difference = _worst(self.accumulated, self.large)


def _added(total: list[Tensor], tensors: list[Tensor], weight: float) -> list[Tensor]:
    """Add tensors to a weighted sum, empty at first, in the order of operations of a step."""
    if not total:
        return [t * weight for t in tensors]
    torch._foreach_add_(total, tensors, alpha=weight)
    return total


def _causes(trainer: Trainer, window: NextWindow, pair: _Pair) -> tuple[tuple[str, ...], float]:
    """Return why a pair differs, and its difference in float64 where that is rounding."""
    tolerance, wide = TOLERANCE[trainer.config.dtype], math.nan
    causes = _causes_in_weights(window)
    if _worst(pair.accumulated, pair.unclipped) > tolerance:
        causes.append("clip")
    if (alone := _worst(pair.mean, pair.plain)) > tolerance:
        exact = _Pair(trainer, window, torch.float64)
        wide = _worst(exact.mean, exact.plain)
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


def _gradients(copied: Copied, rows: Tensor, seed: int) -> list[Tensor]:
    """Return the gradient of the mean loss of `rows`; zeros for a parameter without one."""
    return _filled(copied.gradients(rows, seed), copied.params)


def _filled(gradients: Sequence[Tensor | None], params: list[nn.Parameter]) -> list[Tensor]:
    return [torch.zeros_like(p) if g is None else g for g, p in zip(gradients, params, strict=True)]


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
    ratios = (0.0 if a == 0 else a / b if b else math.inf for a, b in zip(apart, sizes, strict=True))
    return max(ratios, default=0.0)


@dataclass(frozen=True, eq=False)
class Noise:
    """The spread of micro-batch gradients around their mean, beside the norm of that mean.

    Layers count their weights dL/dW alone, the totals every trainable parameter, as a history does.

    Notes
    -----
    McCandlish et al. (2018), appendix A, with the correction for drawing without replacement: the noise left in
    a mean over m of n samples is tr(Sigma) (1/m - 1/n). A network that draws (dropout) adds noise of its own, which
    counts in the spread.
    """

    step: int  # steps taken when it was measured
    layer_names: tuple[str, ...]  # from the input to the output
    # how many micro-batches were compared, and the samples in each
    micro_batches: int
    batch_size: int
    # (layers,): norm of the mean of the micro-batch gradients; nan for a layer without a trainable weight
    mean_norm: Array
    # (layers,): root-mean-square distance of a micro-batch's gradient from the mean, counted with M - 1 for M micro-
    # batches: its square estimates tr(Sigma) / b without bias, Sigma the covariance of the gradients of single
    # samples, b the batch size
    spread: Array
    # (layers,): Estimate of |grad L|^2 without bias: the square of `mean_norm` less the noise left in it. Negative
    # where the noise drowns it
    signal: Array
    has_gradient: Array  # (layers,): 1 where the layer's weights received a gradient, else 0, as in a history
    # the same of all parameters together
    total_mean_norm: float
    total_spread: float
    total_signal: float

    @property
    def signal_to_noise(self) -> Array:
        """Norm of the mean over the spread of one micro-batch, shape ``(layers,)``; inf without noise."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.mean_norm / self.spread

    @property
    def total_signal_to_noise(self) -> float:
        """The same of all parameters; inf without noise, nan without any gradient."""
        if self.total_spread == 0:
            return math.inf if self.total_mean_norm else math.nan
        return self.total_mean_norm / self.total_spread

    @property
    def noise_scale(self) -> float:
        """Samples at which noise and signal are equal: tr(Sigma) / |grad L|^2, the simple noise scale.

        inf where the noise drowns the signal.
        """
        if self.total_signal <= 0:
            return math.inf if self.total_spread else math.nan
        return self.batch_size * (self.total_spread / math.sqrt(self.total_signal)) ** 2

    def accumulated(self, k: int) -> Array:
        """Return the spread that the mean over `k` micro-batches keeps: ``spread / sqrt(k)``, shape ``(layers,)``."""
        check_count("k", k, 1)
        return self.spread / math.sqrt(k)

    def __repr__(self) -> str:
        return (
            f"Noise(step {self.step}: norm {self.total_mean_norm:.3g}, spread {self.total_spread:.3g} over "
            f"{self.micro_batches} micro-batches of {self.batch_size})"
        )


def gradient_noise(
    trainer: Trainer | nn.Module, loss_fn: Any = None, batch: Any = None, *, micro_batches: int = 8
) -> Noise:
    """Compare the gradients of several micro-batches at the present weights.

    The micro-batches are drawn for this look alone, always the same ones at the same step; the order in which
    the run sees its samples does not move.

    Parameters
    ----------
    trainer : Trainer, or Module
        The run; or a network of your own with its loss and a batch, an eighth of which is a micro-batch. It stays as
        it is.
    loss_fn, batch
        With a network: ``loss_fn(output, y)``, the mean loss, and the tensors (X, y).
    micro_batches : int, default 8
        How many to compare; fewer are, if the data holds fewer of the config's ``batch_size``. Where it holds
        fewer than two, each is a draw of its own from all the data.

    Returns
    -------
    Noise
        Frozen.

    Raises
    ------
    ValueError
        If `micro_batches` is no whole number of at least 2.
    """
    check_count("micro_batches", micro_batches, 2)
    run = subject(trainer, loss_fn, batch)
    draws, left = _draw(run, micro_batches)
    copied = Copied(run)
    mean_norms, spreads, received = _spread(copied, draws)
    mean, around = (np.array(merged(values, copied.groups)) for values in (mean_norms, spreads))
    total_mean, total_around = root_sum_square(mean_norms), root_sum_square(spreads)
    return Noise(
        step=run.step_count,
        layer_names=run.layer_names,
        micro_batches=len(draws),
        batch_size=len(draws[0]),
        mean_norm=mean,
        spread=around,
        signal=_signal(mean, around, left),
        has_gradient=np.array([any(received[i] for i in g) for g in copied.groups], dtype=float),
        total_mean_norm=total_mean,
        total_spread=total_around,
        total_signal=float(_signal(np.array(total_mean), np.array(total_around), left)),
    )


def _draw(trainer: Trainer | Batch, most: int) -> tuple[list[Tensor], float]:
    """Draw the micro-batches; return them, and the share of ``spread^2`` that their mean keeps."""
    n = trainer.data.n
    size = min(trainer.config.batch_size, n)
    generator = Generator().manual_seed((trainer.config.batch_seed * 1_000_003 + trainer.step_count) % 2**63)
    count = min(most, n // size)
    if count >= 2:
        order = torch.randperm(n, generator=generator)[: count * size]
        return list(order.split(size)), 1 / count - size / n
    draws = [torch.randperm(n, generator=generator)[:size].sort().values for _ in range(most)]
    return draws, 1 / most


def _spread(copied: Copied, draws: list[Tensor]) -> tuple[list[float], list[float], list[bool]]:
    """Return the norm of the mean, the spread, and whether there was any, of each parameter's gradients.

    One micro-batch at a time (Welford 1962), norms safe at both ends; a missing gradient counts as zeros.
    """
    mean, deviation, received = list[Tensor](), [0.0] * len(copied.params), [False] * len(copied.params)
    for number, rows in enumerate(draws):
        found = copied.gradients(rows, seed=number)
        received = [r or g is not None for r, g in zip(received, found, strict=True)]
        wide = [g.double() for g in _filled(found, copied.params)]
        if number == 0:
            mean = [g.clone() for g in wide]
            continue
        shift = list(torch._foreach_sub(wide, mean))
        torch._foreach_add_(mean, shift, alpha=1 / (number + 1))
        share = math.sqrt(number / (number + 1))
        deviation = [math.hypot(d, share * s) for d, s in zip(deviation, norms(shift), strict=True)]
    return norms(mean), [d / math.sqrt(len(draws) - 1) for d in deviation], received


def _signal(mean: Array, spread: Array, left: float) -> Array:
    with np.errstate(over="ignore", invalid="ignore"):
        return mean**2 - left * spread**2
