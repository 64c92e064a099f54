"""How much the gradient differs from one micro-batch to the next: what accumulation averages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor, nn

from gradlab.engine import Trainer
from gradlab.engine.parameters import per_layer
from gradlab.history import Array
from gradlab.inspect.copied import Copied, check_count
from gradlab.rules.norms import norms, root_sum_square


@dataclass(frozen=True, eq=False)
class Noise:
    """The spread of micro-batch gradients around their mean, beside the norm of that mean.

    Layers count their weights dL/dW alone, the totals every trainable parameter, as a history does.

    Attributes
    ----------
    step : int
        Steps taken when it was measured.
    layer_names : tuple of str
        From the input to the output.
    micro_batches, batch_size : int
        How many micro-batches were compared, and the samples in each.
    mean_norm : array (layers,)
        Norm of the mean of the micro-batch gradients; nan for a layer without a trainable weight.
    spread : array (layers,)
        Root-mean-square distance of a micro-batch's gradient from the mean, counted with M - 1 for M
        micro-batches: its square estimates tr(Sigma) / b without bias, Sigma the covariance of the gradients
        of single samples, b the batch size.
    signal : array (layers,)
        Estimate of |grad L|^2 without bias: the square of `mean_norm` less the noise left in it. Negative where
        the noise drowns it.
    has_gradient : array (layers,)
        1 where the layer's weights received a gradient, else 0, as in a history.
    total_mean_norm, total_spread, total_signal : float
        The same of all parameters together.

    Notes
    -----
    McCandlish et al. (2018), appendix A, with the correction for drawing without replacement: the noise left in
    a mean over m of n samples is tr(Sigma) (1/m - 1/n). A network that draws (dropout) adds noise of its own, which
    counts in the spread.
    """

    step: int
    layer_names: tuple[str, ...]
    micro_batches: int
    batch_size: int
    mean_norm: Array
    spread: Array
    signal: Array
    has_gradient: Array
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


def gradient_noise(trainer: Trainer, micro_batches: int = 8) -> Noise:
    """Compare the gradients of several micro-batches at the present weights.

    The micro-batches are drawn for this look alone, always the same ones at the same step; the order in which
    the run sees its samples does not move.

    Parameters
    ----------
    trainer : Trainer
        The run; it stays as it is.
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
    draws, left = _draw(trainer, micro_batches)
    copied = Copied(trainer)
    spread = _Spread(copied.params)
    for number, rows in enumerate(draws):
        spread.see(copied.gradients(rows, seed=number))
    mean_norms, spreads = spread.results()
    mean, around = (per_layer(values, copied.groups) for values in (mean_norms, spreads))
    total_mean, total_around = root_sum_square(mean_norms), root_sum_square(spreads)
    return Noise(
        step=trainer.step_count,
        layer_names=trainer.layer_names,
        micro_batches=len(draws),
        batch_size=len(draws[0]),
        mean_norm=mean,
        spread=around,
        signal=_signal(mean, around, left),
        has_gradient=np.array([any(spread.received[i] for i in g) for g in copied.groups], dtype=float),
        total_mean_norm=total_mean,
        total_spread=total_around,
        total_signal=float(_signal(np.array(total_mean), np.array(total_around), left)),
    )


def _draw(trainer: Trainer, most: int) -> tuple[list[Tensor], float]:
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


class _Spread:
    """Mean and spread of lists of tensors, one at a time (Welford 1962), norms safe at both ends."""

    def __init__(self, params: list[nn.Parameter]) -> None:
        self.received = [False] * len(params)
        self._params, self._count = params, 0
        self._mean: list[Tensor] = []
        self._deviation = [0.0] * len(params)

    def see(self, gradients: Sequence[Tensor | None]) -> None:
        """Add a micro-batch's gradients; a missing one counts as zeros."""
        self.received = [r or g is not None for r, g in zip(self.received, gradients, strict=True)]
        filled = [torch.zeros_like(p) if g is None else g for g, p in zip(gradients, self._params, strict=True)]
        wide = [g.detach().double() for g in filled]
        self._count += 1
        if self._count == 1:
            self._mean = [g.clone() for g in wide]
            return
        shift = torch._foreach_sub(wide, self._mean)
        torch._foreach_add_(self._mean, list(shift), alpha=1 / self._count)
        share = math.sqrt((self._count - 1) / self._count)
        self._deviation = [math.hypot(d, share * s) for d, s in zip(self._deviation, norms(list(shift)), strict=True)]

    def results(self) -> tuple[list[float], list[float]]:
        """Return the norm of the mean and the spread of each tensor."""
        return norms(self._mean), [d / math.sqrt(self._count - 1) for d in self._deviation]


def _signal(mean: Array, spread: Array, left: float) -> Array:
    with np.errstate(over="ignore", invalid="ignore"):
        return mean**2 - left * spread**2
