"""What is measured of the layers' tensors: means, spreads, norms, silent units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradlab.rules.norms import norms, refined

Mask = NDArray[np.bool_]


class Gauge:
    """Measures passes of one size: an operation each for all layers of a stack, into buffers that are read at once.

    Parameters
    ----------
    shapes : sequence of (layers, samples, units)
        Of the stacks of a pass, the layers in order.
    dtype : torch.dtype
        Of the stacks.

    Attributes
    ----------
    entries : list of int
        Entries of each layer's tensor.
    """

    def __init__(self, shapes: Sequence[tuple[int, int, int]], dtype: torch.dtype) -> None:
        counts = [layers for layers, _, _ in shapes]
        self._wide = [torch.empty(shape, dtype=torch.float64) for shape in shapes]
        self._flat = [wide.flatten(1) for wide in self._wide]
        self._found = torch.empty(3, sum(counts), dtype=torch.float64)
        self._sums, self._roots, self._deltas = (row.split(counts) for row in self._found)
        self._largest = [torch.empty(layers, units, dtype=dtype) for layers, _, units in shapes]
        self._units = [largest.numpy() for largest in self._largest]
        self._rows = [row for flat in self._flat for row in flat]
        self._refine = dtype == torch.float64
        self.entries = [samples * units for layers, samples, units in shapes for _ in range(layers)]

    def activations(self, stacks: Sequence[Tensor]) -> tuple[list[float], list[float], list[Mask | None]]:
        """Return each layer's mean and the root of its summed squared deviations, and each stack's silent units."""
        for stack, wide, flat, sums, roots, largest in zip(
            stacks, self._wide, self._flat, self._sums, self._roots, self._largest, strict=True
        ):
            wide.copy_(stack)
            torch.sum(flat, 1, out=sums)
            torch.linalg.vector_norm(flat, 2, 1, out=roots)
            torch.amax(stack, 1, out=largest)
        sums, roots, _ = self._found.tolist()
        means, spreads = spread_out(sums, roots, self.entries, self._rows)
        silent = [
            None if units.all() else silent_units(stack, units)
            for stack, units in zip(stacks, self._units, strict=True)
        ]
        return means, spreads, silent

    def deltas(self, stacks: Sequence[Tensor]) -> list[float]:
        """Return the norm of each layer's tensor."""
        for stack, out in zip(stacks, self._deltas, strict=True):
            torch.linalg.vector_norm(stack.flatten(1), 2, 1, dtype=torch.float64, out=out)
        found = self._found[2].tolist()
        if self._refine:
            return list(map(refined, found, (row for stack in stacks for row in stack)))
        return found


def moments(flat: Tensor) -> tuple[list[float], list[float]]:
    """Return the mean of each row and the root of its summed squared deviations, as `spread_out` does."""
    wide = flat.double()
    sums, roots = wide.sum(1).tolist(), torch.linalg.vector_norm(wide, 2, 1).tolist()
    return spread_out(sums, roots, [wide.shape[1]] * len(sums), wide)


def spread_out(
    sums: list[float], roots: list[float], entries: Sequence[int], rows: Sequence[Tensor] | Tensor
) -> tuple[list[float], list[float]]:
    """Return the mean of each row and the root of its summed squared deviations, from its sum and its 2-norm.

    A row whose spread drowns in its mean, or overflows, is done again in two passes.
    """
    means, spreads = [], []
    for k, (total, root, n) in enumerate(zip(sums, roots, entries, strict=True)):
        mean, square = total / n, root * root
        rest = square - n * mean * mean
        if 1e-8 * square < rest < math.inf:
            spread = math.sqrt(rest)
        else:
            mean, spread = _two_passes(rows[k])
        means.append(mean)
        spreads.append(spread)
    return means, spreads


def _two_passes(row: Tensor) -> tuple[float, float]:
    mean = float((row / row.numel()).sum())
    return mean, norms([row - mean])[0]


def silent_units(stack: Tensor, largest: NDArray[Any]) -> Mask | None:
    """Return which units are exactly 0 for every sample, given the largest entry of each; None if no unit is."""
    silent = largest == 0
    return silent & (stack.amin(1).numpy() == 0) if silent.any() else None
