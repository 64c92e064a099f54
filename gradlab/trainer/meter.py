"""Numbers per layer over one window: the backward signal and the statistics of the activations."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from gradlab.history import Array
from gradlab.measure import norms
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
        self._silent: dict[int, Tensor] = {}
        self.samples = 0
        self.loss = 0.0
        self.first_bad_activation: tuple[int, float] | None = None

    def see_loss(self, loss: float, n: int) -> None:
        """Add a micro-batch's mean loss over `n` samples."""
        self.loss += (loss - self.loss) * (n / (self.samples + n)) if math.isfinite(loss) else loss
        self.samples += n

    def see_deltas(self, deltas: list[tuple[int, Tensor]], n: int) -> None:
        """Add dL/dz of a micro-batch of `n` samples; the per-sample gradient is n times a row of it."""
        for (layer, _), norm in zip(deltas, norms([d for _, d in deltas]), strict=True):
            self._delta[layer] = math.hypot(self._delta[layer], n * norm)
            self._seen_delta[layer] = True

    def see_activations(self, activations: list[tuple[int, Tensor, Range]]) -> None:
        """Add the activations of a micro-batch."""
        group: list[tuple[int, Tensor, Range]] = []
        for item in activations:
            if group and (item[1].shape, item[2]) != (group[-1][1].shape, group[-1][2]):
                self._see_group(group)
                group = []
            group.append(item)
        if group:
            self._see_group(group)

    def _see_group(self, group: list[tuple[int, Tensor, Range]]) -> None:
        """Add activations of one shape, stacked: a few operations whatever the depth."""
        stack = torch.stack([h for _, h, _ in group]) if len(group) > 1 else group[0][1][None]
        if not stack.is_floating_point() or stack.numel() == 0:
            return
        flat = stack.reshape(len(group), -1)
        means = flat.mean(1, dtype=torch.float64)
        centred = flat - means[:, None].to(flat.dtype)
        spreads = norms(list(centred.unbind()))
        silent = (stack.amax(1) == 0) & (stack.amin(1) == 0) if stack.dim() > 1 else stack == 0
        ends = _share_at_ends(flat, group[0][2])
        for k, (layer, _, _) in enumerate(group):
            self._merge(layer, flat.shape[1], float(means[k]), spreads[k])
            self._saturated[layer] += flat.shape[1] * ends[k]
            known = self._silent.get(layer)
            self._silent[layer] = silent[k] if known is None or known.shape != silent[k].shape else known & silent[k]

    def _merge(self, layer: int, n: int, mean: float, spread: float) -> None:
        """Merge the mean and the root of the summed squared deviations of `n` entries (Chan et al. 1979)."""
        if not (math.isfinite(mean) and math.isfinite(spread)) and self.first_bad_activation is None:
            self.first_bad_activation = (layer, mean if not math.isfinite(mean) else spread)
        old = self._count[layer]
        shift = mean - self._mean[layer] if old else 0.0
        self._count[layer] = old + n
        self._mean[layer] = self._mean[layer] + shift * n / (old + n) if old else mean
        self._spread[layer] = math.hypot(self._spread[layer], spread, shift * math.sqrt(old * n / (old + n)))

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
        layers = sorted(self._silent)
        shares = np.zeros(self.layers)
        if layers:
            shares[layers] = torch.stack([self._silent[i].float().mean() for i in layers]).tolist()
        return shares


def _share_at_ends(flat: Tensor, bounds: Range) -> list[float]:
    if bounds is None:
        return [0.0] * len(flat)
    low, high = bounds
    margin = _SATURATED * (high - low)
    centre, half = (low + high) / 2, (high - low) / 2 - margin
    return ((flat - centre).abs() > half).double().mean(1).tolist()
