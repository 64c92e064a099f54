"""Numbers per layer over one window: the backward signal and the statistics of the activations."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from gradlab.engine.gauge import Gauge, Mask, moments, silent_units
from gradlab.engine.passes import Deltas, Range, Stack, stacked
from gradlab.rules.norms import row_norms

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

    def see_deltas(self, deltas: Deltas, n: int, gauge: Gauge | None = None) -> None:
        """Add dL/dz of a micro-batch of `n` samples; the per-sample gradient is n times a row of it."""
        if gauge is not None:
            self._add_deltas(range(self.layers), gauge.deltas([stack for _, stack in deltas]), n)
            return
        for layers, stack in deltas:
            self._add_deltas(layers, row_norms(stack.reshape(len(layers), -1)), n)

    def _add_deltas(self, layers: Sequence[int], norms: list[float], n: int) -> None:
        for layer, norm in zip(layers, norms, strict=True):
            known = self._delta[layer]
            self._delta[layer] = n * norm if known is None else math.hypot(known, n * norm)

    def see_activations(self, activations: list[tuple[int, Tensor, Range]]) -> None:
        """Add the activations of a micro-batch, layer by layer."""
        self.see_stacks(stacked(activations))

    def see_stacks(self, stacks: list[Stack], gauge: Gauge | None = None) -> None:
        """Add the activations of a micro-batch; a gauge made for their shapes takes fewer operations."""
        if gauge is None:
            for layers, stack, bounds in stacks:
                self._see_stack(layers, stack, bounds)
            return
        means, spreads, silent = gauge.activations([stack for _, stack, _ in stacks])
        self._merge_all(gauge.entries, means, spreads)
        for (layers, stack, bounds), units in zip(stacks, silent, strict=True):
            if bounds is not None:
                self._see_ends(layers, stack, bounds)
            self._see_silent(layers, units)

    def _see_stack(self, layers: tuple[int, ...], stack: Tensor, bounds: Range) -> None:
        if not stack.is_floating_point() or stack.numel() == 0:
            return
        flat = stack.reshape(len(layers), -1)
        n = flat.shape[1]
        for layer, mean, spread in zip(layers, *moments(flat), strict=True):
            self._merge(layer, n, mean, spread)
        if bounds is not None:
            self._see_ends(layers, flat, bounds)
        self._see_silent(layers, silent_units(stack, stack.amax(1).numpy()))

    def _see_ends(self, layers: tuple[int, ...], stack: Tensor, bounds: tuple[float, float]) -> None:
        self._bounded, flat = True, stack.reshape(len(layers), -1)
        for layer, share in zip(layers, _share_at_ends(flat, bounds), strict=True):
            self._saturated[layer] += flat.shape[1] * share

    def _see_silent(self, layers: tuple[int, ...], silent: Mask | None) -> None:
        if layers in self._silent:
            known = self._silent[layers]
            if known is None or silent is None:
                silent = None
            elif known.shape == silent.shape:
                silent = known & silent
        self._silent[layers] = silent

    def _merge_all(self, entries: list[int], means: list[float], spreads: list[float]) -> None:
        """Merge means and spreads of all layers."""
        if not any(self._count) and math.isfinite(sum(means)) and math.isfinite(sum(spreads)):
            self._count, self._mean, self._spread = list(entries), means, spreads
            return
        for layer, (n, mean, spread) in enumerate(zip(entries, means, spreads, strict=True)):
            self._merge(layer, n, mean, spread)

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


def _share_at_ends(flat: Tensor, bounds: tuple[float, float]) -> list[float]:
    low, high = bounds
    margin = _SATURATED * (high - low)
    centre, half = (low + high) / 2, (high - low) / 2 - margin
    return ((flat - centre).abs() > half).double().mean(1).tolist()
