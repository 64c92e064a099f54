"""Norms that tell zero, tiny, huge and non-finite apart.

float32 norms return exactly 0 below about 1e-23 per entry and inf above about 1.8e19 although every entry
is finite, so every norm here accumulates in float64; float64 tensors whose squares leave that range too are
scaled first.

`norm`, `total_norm` and `shrink_` are what the rules are made of: of tensors alone they branch on no value, so that
`torch.func.vmap` can map a rule over networks. `norms` gives Python's floats.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

_SAFE_LOW, _SAFE_HIGH = 1e-140, 1e140  # squares and their sums stay inside float64's normal range
EPS = 1e-6  # torch.nn.utils.clip_grad_norm_ divides by norm + 1e-6


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


def shrink_(grads: list[Tensor], sizes: Tensor, threshold: float | Tensor) -> None:
    """Scale gradients in place by min(1, threshold / size), with one size for all or one each; nan counts as 1.

    A factor may lie below the range of the gradients' dtype, where it would have too few digits: it is split in two.
    """
    tiny = torch.finfo(grads[0].dtype).tiny
    if not isinstance(threshold, Tensor):  # of one network: a dozen calls for a number each take as long as a layer
        for grad, size in zip(grads, sizes.expand(len(grads)).tolist(), strict=True):
            factor = threshold / (size + EPS)
            if factor < tiny:
                grad.mul_(math.sqrt(factor))
                factor /= max(math.sqrt(factor), 1e-300)  # 0 of a factor 0
            if factor < 1:
                grad.mul_(factor)
        return
    ones = torch.ones_like(sizes)
    factors = torch.fmin(threshold / (sizes + EPS), ones)
    first = torch.where(factors < tiny, factors.sqrt(), ones)
    second = factors / first.clamp_min(1e-300)
    pairs = itertools.repeat((first, second)) if factors.dim() == 0 else zip(first, second, strict=True)
    for grad, (one, other) in zip(grads, pairs, strict=False):
        grad.mul_(one).mul_(other)


def norms(tensors: Sequence[Tensor]) -> list[float]:
    """Return the 2-norm of each tensor as a Python float, inf, nan and 0 as those of `norm`."""
    if not tensors:
        return []
    values = torch.stack(torch._foreach_norm(list(tensors), 2, dtype=torch.float64)).tolist()
    if tensors[0].dtype == torch.float64:
        values = [refined(v, t) for v, t in zip(values, tensors, strict=True)]
    return values


def refined(value: float, tensor: Tensor) -> float:
    """Return a float64 norm of a float64 tensor, taken again where the squares leave the range."""
    return value if _SAFE_LOW < value < _SAFE_HIGH else float(scaled_norm(tensor.detach()))
