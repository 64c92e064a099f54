"""Norms that tell zero, tiny, huge and non-finite apart.

float32 norms return exactly 0 below about 1e-23 per entry and inf above about 1.8e19 although every entry
is finite, so every norm here accumulates in float64; float64 tensors whose squares leave that range too are
scaled first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

_SAFE_LOW, _SAFE_HIGH = 1e-140, 1e140  # squares and their sums stay inside float64's normal range


def norms(tensors: Sequence[Tensor]) -> list[float]:
    """Return the 2-norm of each tensor as a Python float.

    Parameters
    ----------
    tensors : sequence of Tensor
        Any shapes, floating point.

    Returns
    -------
    list of float
        inf or nan only where an entry is; 0.0 only where every entry is exactly 0 (or there is none).
    """
    if not tensors:
        return []
    values = torch.stack(torch._foreach_norm(list(tensors), 2, dtype=torch.float64)).tolist()
    if tensors[0].dtype == torch.float64:
        values = [refined(v, t) for v, t in zip(values, tensors, strict=True)]
    return values


def row_norms(rows: Tensor) -> list[float]:
    """Return the 2-norm of each row of a ``(rows, n)`` tensor: `norms`, for tensors that lie in one block."""
    values = torch.linalg.vector_norm(rows.detach(), 2, 1, dtype=torch.float64).tolist()
    if rows.dtype == torch.float64:
        values = [refined(v, t) for v, t in zip(values, rows, strict=True)]
    return values


class FlatNorms:
    """The norms of pieces of flat buffers, in as few operations as the pieces' layout allows.

    Pieces of one length at regular distances, as the layers of a network are, form one strided block.

    Parameters
    ----------
    flats : Tensor
        The buffers, shape ``(buffers, n)``; the pieces lie alike in all of them.
    offsets, sizes : sequences of int
        Where the pieces begin, and their lengths.
    """

    def __init__(self, flats: Tensor, offsets: Sequence[int], sizes: Sequence[int]) -> None:
        self._blocks: list[Tensor] = []
        order: list[int] = []
        row, _ = flats.stride()
        for size in dict.fromkeys(sizes):
            for run in _regular([i for i, own in enumerate(sizes) if own == size], offsets):
                stride = offsets[run[1]] - offsets[run[0]] if len(run) > 1 else max(size, 1)
                shape, strides = (len(flats), len(run), size), (row, stride, 1)
                self._blocks.append(flats.as_strided(shape, strides, flats.storage_offset() + offsets[run[0]]))
                order += run
        self._found = torch.empty(len(flats), len(order), dtype=torch.float64)
        self._outs = self._found.split([block.shape[1] for block in self._blocks], 1)
        self._places = [order.index(i) for i in range(len(sizes))]
        self._refine = flats.dtype == torch.float64

    def __call__(self) -> list[list[float]]:
        """Return for each buffer the norm of each piece, in order."""
        for block, out in zip(self._blocks, self._outs, strict=True):
            torch.linalg.vector_norm(block, 2, 2, dtype=torch.float64, out=out)
        found = self._found.tolist()
        if self._refine:
            pieces = ((piece for block in self._blocks for piece in block[row]) for row in range(len(found)))
            found = [list(map(refined, row, own)) for row, own in zip(found, pieces, strict=True)]
        return [[row[place] for place in self._places] for row in found]


def _regular(members: list[int], offsets: Sequence[int]) -> list[list[int]]:
    """Split pieces into runs whose offsets lie at one distance."""
    runs: list[list[int]] = []
    for i in members:
        run = runs[-1] if runs else []
        if len(run) == 1 or (run and offsets[i] - offsets[run[-1]] == offsets[run[1]] - offsets[run[0]]):
            run.append(i)
        else:
            runs.append([i])
    return runs


def refined(value: float, tensor: Tensor) -> float:
    """Return a float64 norm of a float64 tensor, taken again where the squares leave the range."""
    return value if _SAFE_LOW < value < _SAFE_HIGH else _scaled_norm(tensor)


def _scaled_norm(tensor: Tensor) -> float:
    if tensor.numel() == 0:
        return 0.0
    largest = float(tensor.detach().abs().amax())
    if largest == 0.0 or not math.isfinite(largest):
        return largest
    return largest * float(torch.linalg.vector_norm(tensor.detach() / largest))


def root_sum_square(values: Sequence[float]) -> float:
    """Return the norm of a vector of norms, without leaving float64's range on the way."""
    total = math.hypot(*values)
    return total if math.isfinite(total) else sum(abs(v) for v in values)  # hypot(inf, nan) is inf


def quotients(parts: Sequence[float], wholes: Sequence[float]) -> list[float]:
    """Divide norms by norms: 0 of anything is 0, something of 0 is infinite."""
    pairs = zip(parts, wholes, strict=True)
    return [0.0 if part == 0.0 else part / whole if whole else part * math.inf for part, whole in pairs]


def scale_(tensors: Sequence[Tensor], factor: float) -> None:
    """Multiply tensors in place by a factor in [0, 1] that may lie below the range of their dtype."""
    if not tensors:
        return
    dtype = tensors[0].dtype
    if 0.0 < factor < torch.finfo(dtype).tiny:  # a subnormal factor has too few digits: two normal ones
        torch._foreach_mul_(list(tensors), math.sqrt(factor))
        factor = factor / math.sqrt(factor)
    torch._foreach_mul_(list(tensors), factor)
