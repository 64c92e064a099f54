"""Numbers per layer over one window: the backward signal and the statistics of the activations."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from gradlab.history import Array
from gradlab.measure import norms, row_norms
from gradlab.trainer.probe import Range

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
        self._delta = np.zeros(layers)
        self._seen_delta = np.zeros(layers, dtype=bool)
        self._count = np.zeros(layers)
        self._mean = np.zeros(layers)
        self._spread = np.zeros(layers)
        self._saturated = np.zeros(layers)
        self._silent: dict[tuple[int, ...], Tensor] = {}
        self.samples = 0
        self.loss = 0.0
        self.first_bad_activation: tuple[int, float] | None = None

    def see_loss(self, loss: float, n: int) -> None:
        """Add a micro-batch's mean loss over `n` samples."""
        self.loss += (loss - self.loss) * (n / (self.samples + n)) if math.isfinite(loss) else loss
        self.samples += n

    def see_deltas(self, deltas: list[tuple[int, Tensor]], n: int) -> None:
        """Add dL/dz of a micro-batch of `n` samples; the per-sample gradient is n times a row of it."""
        for layers, stack, _ in _stacks([(layer, delta, None) for layer, delta in deltas]):
            for layer, norm in zip(layers, row_norms(stack.reshape(len(layers), -1)), strict=True):
                self._delta[layer] = math.hypot(self._delta[layer], n * norm)
                self._seen_delta[layer] = True

    def see_activations(self, activations: list[tuple[int, Tensor, Range]]) -> None:
        """Add the activations of a micro-batch."""
        for layers, stack, bounds in _stacks(activations):
            if not stack.is_floating_point() or stack.numel() == 0:
                continue
            flat = stack.reshape(len(layers), -1)
            means, spreads = _moments(flat)
            ends = _share_at_ends(flat, bounds)
            silent = _silent_units(stack)
            for k, layer in enumerate(layers):
                self._merge(layer, flat.shape[1], means[k], spreads[k])
                self._saturated[layer] += flat.shape[1] * ends[k]
            self._see_silent(layers, silent)

    def _see_silent(self, layers: tuple[int, ...], silent: Tensor) -> None:
        known = self._silent.get(layers)
        if known is not None and known.shape == silent.shape:
            silent = known & silent
        self._silent[layers] = silent

    def _merge(self, layer: int, n: int, mean: float, spread: float) -> None:
        """Merge the mean and the root of the summed squared deviations of `n` entries (Chan et al. 1979)."""
        if not (math.isfinite(mean) and math.isfinite(spread)) and self.first_bad_activation is None:
            self.first_bad_activation = (layer, mean if not math.isfinite(mean) else spread)
        old, before = int(self._count[layer]), float(self._mean[layer])
        shift = mean - before if old else 0.0  # inf - inf warns in numpy, and is NaN in Python
        self._count[layer] = old + n
        self._mean[layer] = before + shift * n / (old + n) if old else mean
        self._spread[layer] = math.hypot(self._spread[layer], spread, shift * math.sqrt(old * n / (old + n)))

    def absorb(self, other: Meter) -> None:
        """Add the activations that another meter has seen."""
        if self.first_bad_activation is None:
            self.first_bad_activation = other.first_bad_activation
        for layer in np.flatnonzero(other._count).tolist():
            self._merge(layer, int(other._count[layer]), float(other._mean[layer]), float(other._spread[layer]))
        self._saturated += other._saturated
        for layers, silent in other._silent.items():
            self._see_silent(layers, silent)

    def delta_norm(self) -> Array:
        """Root-mean-square over the window's samples of the norm of d loss_i / d z_l; nan where not seen."""
        return np.where(self._seen_delta, self._delta / math.sqrt(max(self.samples, 1)), np.nan)

    def activation_std(self) -> Array:
        """Standard deviation of the entries of each layer's activation; nan where not seen."""
        return self._spread / np.sqrt(np.where(self._count, self._count, np.nan))

    def saturated(self) -> Array:
        """Share of entries at the ends of a bounded activation's range."""
        return self._saturated / np.maximum(self._count, 1)

    def dead(self) -> Array:
        """Share of units that were exactly 0 for every sample."""
        shares = np.zeros(self.layers)
        for layers, silent in self._silent.items():
            shares[list(layers)] = silent.reshape(len(layers), -1).double().mean(1).tolist()
        return shares


def _stacks(items: list[tuple[int, Tensor, Range]]) -> Iterator[tuple[tuple[int, ...], Tensor, Range]]:
    """Stack neighbours of one shape: a few operations whatever the depth."""
    for (_, bounds), run in groupby(items, key=lambda item: (item[1].shape, item[2])):
        layers, tensors, _ = zip(*run, strict=True)
        yield layers, torch.stack(tensors), bounds


def _moments(flat: Tensor) -> tuple[list[float], list[float]]:
    """Return the mean of each row and the root of its summed squared deviations.

    One pass in float64; a row whose spread drowns in its mean, or overflows, is done again in two passes.
    """
    n = flat.shape[1]
    wide = flat.double()
    means = (wide.sum(1) / n).tolist()
    squares = torch.linalg.vector_norm(wide, 2, 1).square().tolist()
    spreads = []
    for k, (mean, square) in enumerate(zip(means, squares, strict=True)):
        rest = square - n * mean * mean
        if not rest > 1e-8 * square or not math.isfinite(rest):
            means[k], rest = _two_passes(wide[k])
            spreads.append(rest)
        else:
            spreads.append(math.sqrt(rest))
    return means, spreads


def _two_passes(row: Tensor) -> tuple[float, float]:
    mean = float((row / row.numel()).sum())
    return mean, norms([row - mean])[0]


def _silent_units(stack: Tensor) -> Tensor:
    """Return which units are exactly 0 for every sample: shape (layers, units...), samples along dim 1."""
    silent = stack.amax(1) == 0
    return silent & (stack.amin(1) == 0) if bool(silent.any()) else silent


def _share_at_ends(flat: Tensor, bounds: Range) -> list[float]:
    if bounds is None:
        return [0.0] * len(flat)
    low, high = bounds
    margin = _SATURATED * (high - low)
    centre, half = (low + high) / 2, (high - low) / 2 - margin
    return ((flat - centre).abs() > half).double().mean(1).tolist()
