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
        values = [v if _SAFE_LOW < v < _SAFE_HIGH else _scaled_norm(t) for v, t in zip(values, tensors, strict=True)]
    return values


def _scaled_norm(tensor: Tensor) -> float:
    if tensor.numel() == 0:
        return 0.0
    largest = float(tensor.detach().abs().amax())
    if largest == 0.0 or not math.isfinite(largest):
        return largest
    return largest * float(torch.linalg.vector_norm(tensor.detach() / largest))


def root_sum_square(values: Sequence[float]) -> float:
    """Return the norm of a vector of norms, without leaving float64's range on the way."""
    return math.hypot(*values) if all(math.isfinite(v) for v in values) else sum(abs(v) for v in values)


def scale_(tensors: Sequence[Tensor], factor: float) -> None:
    """Multiply tensors in place by a factor in [0, 1] that may lie below the range of their dtype."""
    if not tensors:
        return
    dtype = tensors[0].dtype
    if 0.0 < factor < torch.finfo(dtype).tiny:  # a subnormal factor has too few digits: two normal ones
        torch._foreach_mul_(list(tensors), math.sqrt(factor))
        factor = factor / math.sqrt(factor)
    torch._foreach_mul_(list(tensors), factor)
