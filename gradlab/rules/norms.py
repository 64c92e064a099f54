"""Norms that tell zero, tiny, huge and non-finite apart.

float32 norms return exactly 0 below about 1e-23 per entry and inf above about 1.8e19 although every entry
is finite, so every norm here accumulates in float64; float64 tensors whose squares leave that range too are
scaled first.

`norm`, `total_norm` and `scale_` are what the rules are made of: tensors in, tensors out, no branch on a value, so
that `torch.func.vmap` can map a rule over networks. The others give Python's floats: what is measured and recorded.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

_SAFE_LOW, _SAFE_HIGH = 1e-140, 1e140  # squares and their sums stay inside float64's normal range


def norm(tensor: Tensor, dim: tuple[int, ...] | None = None, keepdim: bool = False) -> Tensor:
    """Return the 2-norm over some dimensions (default: all) as a float64 tensor.

    inf or nan only where an entry is; 0 only where every entry is exactly 0 (or there is none).
    """
    plain = torch.linalg.vector_norm(tensor, dim=dim, keepdim=keepdim, dtype=torch.float64)
    if tensor.dtype != torch.float64 or tensor.numel() == 0:
        return plain
    safe = (plain > _SAFE_LOW) & (plain < _SAFE_HIGH)
    return torch.where(safe, plain, scaled_norm(tensor, dim, keepdim))


def scaled_norm(tensor: Tensor, dim: tuple[int, ...] | None = None, keepdim: bool = False) -> Tensor:
    """Return the norm of a float64 tensor, divided by its largest entry first: squares may leave the range."""
    if tensor.numel() == 0:
        return torch.linalg.vector_norm(tensor, dim=dim, keepdim=keepdim)
    largest = torch.linalg.vector_norm(tensor, ord=math.inf, dim=dim, keepdim=True)
    scale = torch.where(torch.isfinite(largest) & (largest > 0), largest, 1.0)
    found = scale * torch.linalg.vector_norm(tensor / scale, dim=dim, keepdim=True)
    return found if keepdim else found.squeeze(dim) if dim else found.squeeze()


def total_norm(tensors: Sequence[Tensor]) -> Tensor:
    """Return the norm of several tensors taken as one vector, float64, shape ``()``."""
    found = [norm(tensor) for tensor in tensors]
    return found[0] if len(found) == 1 else norm(torch.stack(found))


def scale_(tensors: Sequence[Tensor], factors: Tensor) -> None:
    """Multiply tensors in place by float64 factors, one for all or one each, where these are below 1 (a nan is not).

    A factor may lie below the range of the tensors' dtype, where it would have too few digits: it is split in two.
    """
    ones = torch.ones_like(factors)
    factors = torch.fmin(factors, ones)
    first = torch.where(factors < torch.finfo(tensors[0].dtype).tiny, factors.sqrt(), ones)
    second = factors / first.clamp_min(1e-300)  # 0 of a factor 0
    pairs = itertools.repeat((first, second)) if factors.dim() == 0 else zip(first, second, strict=True)
    for tensor, (one, other) in zip(tensors, pairs, strict=False):
        tensor.mul_(one).mul_(other)


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
        outs = self._found.split([block.shape[1] for block in self._blocks], 1)
        pairs = zip(self._blocks, outs, strict=True)  # each small enough for the cache when it is cast
        self._rows = [pair for block, out in pairs for pair in zip(block, out, strict=True)]
        self._places = [order.index(i) for i in range(len(sizes))]
        self._refine = flats.dtype == torch.float64

    def __call__(self) -> list[list[float]]:
        """Return for each buffer the norm of each piece, in order."""
        for block, out in self._rows:
            torch.linalg.vector_norm(block, 2, 1, dtype=torch.float64, out=out)
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
    return value if _SAFE_LOW < value < _SAFE_HIGH else float(scaled_norm(tensor.detach()))


def root_sum_square(values: Sequence[float]) -> float:
    """Return the norm of a vector of norms, without leaving float64's range on the way."""
    total = math.hypot(*values)
    return total if math.isfinite(total) else sum(abs(v) for v in values)  # hypot(inf, nan) is inf


def quotients(parts: Sequence[float], wholes: Sequence[float]) -> list[float]:
    """Divide norms by norms: 0 of anything is 0, something of 0 is infinite."""
    pairs = zip(parts, wholes, strict=True)
    return [0.0 if part == 0.0 else part / whole if whole else part * math.inf for part, whole in pairs]
