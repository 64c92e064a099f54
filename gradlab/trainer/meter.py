"""Numbers per layer over one window: the backward signal and the statistics of the activations."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradlab.measure import norms, row_norms
from gradlab.trainer.probe import Range, stacked

Mask = NDArray[np.bool_]

_SATURATED = 0.025  # share of a bounded activation's range that counts as its end


class Meter:
    """Collects what the micro-batches of one window show, layer by layer.

    Parameters
    ----------
    layers : int
        Number of layers.
    """

    def __init__(self, layers: int) -> None:
        self.layers = layers
        # Python's floats: one entry at a time, numpy takes ten times as long
        self._delta: list[float | None] = [None] * layers
        self._count = [0] * layers
        self._mean = [0.0] * layers
        self._spread = [0.0] * layers
        self._saturated = [0.0] * layers
        self._bounded = False  # whether an activation seen has ends to saturate at
        self._silent: dict[tuple[int, ...], Mask | None] = {}  # None: no unit is
        self.samples = 0
        self.loss = 0.0
        self.first_bad_activation: tuple[int, float] | None = None

    def see_loss(self, loss: float, n: int) -> None:
        """Add a micro-batch's mean loss over `n` samples."""
        self.loss += (loss - self.loss) * (n / (self.samples + n)) if math.isfinite(loss) else loss
        self.samples += n

    def see_deltas(self, layers: tuple[int, ...], stack: Tensor, n: int) -> None:
        """Add dL/dz of a micro-batch of `n` samples; the per-sample gradient is n times a row of it."""
        for layer, norm in zip(layers, row_norms(stack.reshape(len(layers), -1)), strict=True):
            known = self._delta[layer]
            self._delta[layer] = n * norm if known is None else math.hypot(known, n * norm)

    def see_activations(self, activations: list[tuple[int, Tensor, Range]]) -> None:
        """Add the activations of a micro-batch, layer by layer."""
        for layers, stack, bounds in stacked(activations):
            self.see_stack(layers, stack, bounds)

    def see_stack(self, layers: tuple[int, ...], stack: Tensor, bounds: Range) -> None:
        """Add the activations of a micro-batch: those of some layers, along the first dimension."""
        if not stack.is_floating_point() or stack.numel() == 0:
            return
        flat = stack.reshape(len(layers), -1)
        n = flat.shape[1]
        for layer, mean, spread in zip(layers, *_moments(flat), strict=True):
            self._merge(layer, n, mean, spread)
        if bounds is not None:
            self._bounded = True
            for layer, share in zip(layers, _share_at_ends(flat, bounds), strict=True):
                self._saturated[layer] += n * share
        self._see_silent(layers, _silent_units(stack))

    def _see_silent(self, layers: tuple[int, ...], silent: Mask | None) -> None:
        if layers in self._silent:
            known = self._silent[layers]
            if known is None or silent is None:
                silent = None
            elif known.shape == silent.shape:
                silent = known & silent
        self._silent[layers] = silent

    def _merge(self, layer: int, n: int, mean: float, spread: float) -> None:
        """Merge the mean and the root of the summed squared deviations of `n` entries (Chan et al. 1979)."""
        if not (math.isfinite(mean) and math.isfinite(spread)) and self.first_bad_activation is None:
            self.first_bad_activation = (layer, mean if not math.isfinite(mean) else spread)
        old, before = self._count[layer], self._mean[layer]
        self._count[layer] = old + n
        if not old:
            self._mean[layer], self._spread[layer] = mean, spread
            return
        shift = mean - before
        self._mean[layer] = before + shift * n / (old + n)
        self._spread[layer] = math.hypot(self._spread[layer], spread, shift * math.sqrt(old * n / (old + n)))

    def absorb(self, other: Meter) -> None:
        """Add the activations that another meter has seen."""
        if self.first_bad_activation is None:
            self.first_bad_activation = other.first_bad_activation
        for layer, count in enumerate(other._count):
            if count:
                self._merge(layer, count, other._mean[layer], other._spread[layer])
            self._saturated[layer] += other._saturated[layer]
        self._bounded |= other._bounded
        for layers, silent in other._silent.items():
            self._see_silent(layers, silent)

    def delta_norm(self) -> list[float]:
        """Root-mean-square over the window's samples of the norm of d loss_i / d z_l; nan where not seen."""
        root = math.sqrt(max(self.samples, 1))
        return [math.nan if delta is None else delta / root for delta in self._delta]

    def activation_std(self) -> list[float]:
        """Standard deviation of the entries of each layer's activation; nan where not seen."""
        pairs = zip(self._spread, self._count, strict=True)
        return [spread / math.sqrt(n) if n else math.nan for spread, n in pairs]

    def saturated(self) -> list[float]:
        """Share of entries at the ends of a bounded activation's range."""
        if not self._bounded:
            return [0.0] * self.layers
        return [share / max(n, 1) for share, n in zip(self._saturated, self._count, strict=True)]

    def dead(self) -> list[float]:
        """Share of units that were exactly 0 for every sample."""
        shares = [0.0] * self.layers
        for layers, silent in self._silent.items():
            if silent is not None:
                units = silent.reshape(len(layers), -1)
                for layer, count in zip(layers, np.add.reduce(units, 1, dtype=int).tolist(), strict=True):
                    shares[layer] = count / units.shape[1]
        return shares


def _moments(flat: Tensor) -> tuple[list[float], list[float]]:
    """Return the mean of each row and the root of its summed squared deviations.

    One pass in float64; a row whose spread drowns in its mean, or overflows, is done again in two passes.
    """
    n = flat.shape[1]
    wide = flat.double()
    means = [total / n for total in wide.sum(1).tolist()]
    spreads = []
    for k, norm in enumerate(torch.linalg.vector_norm(wide, 2, 1).tolist()):
        square = norm * norm
        rest = square - n * means[k] * means[k]
        if 1e-8 * square < rest < math.inf:
            spreads.append(math.sqrt(rest))
        else:
            means[k], spread = _two_passes(wide[k])
            spreads.append(spread)
    return means, spreads


def _two_passes(row: Tensor) -> tuple[float, float]:
    mean = float((row / row.numel()).sum())
    return mean, norms([row - mean])[0]


def _silent_units(stack: Tensor) -> Mask | None:
    """Return which units are exactly 0 for every sample: shape (layers, units...), samples along dim 1."""
    silent = (stack.amax(1) == 0).numpy()
    return silent & (stack.amin(1) == 0).numpy() if silent.any() else None


def _share_at_ends(flat: Tensor, bounds: tuple[float, float]) -> list[float]:
    low, high = bounds
    margin = _SATURATED * (high - low)
    centre, half = (low + high) / 2, (high - low) / 2 - margin
    return ((flat - centre).abs() > half).double().mean(1).tolist()
