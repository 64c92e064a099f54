"""Norms that are computed now and read later, so that an accelerator is not made to wait in every hook."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gradlab.measure import norms


def lazy_norm(tensor: Tensor) -> Tensor:
    """Return the 2-norm of a tensor as a float64 tensor of no dimension, with `gradlab.measure.norms`' range."""
    values = dense(tensor.detach())
    if values.numel() == 0:
        return torch.zeros((), dtype=torch.float64, device=values.device)
    if values.dtype != torch.float64:
        return torch._foreach_norm([values], 2, dtype=torch.float64)[0]
    largest = values.abs().amax()  # squares of float64 numbers can leave the range of float64
    scalable = torch.isfinite(largest) & (largest > 0)
    return torch.where(scalable, largest * torch.linalg.vector_norm(values / largest), largest)


def read(values: Sequence[Tensor]) -> list[float]:
    """Return tensors of no dimension as numbers, waiting once for all of them."""
    if not values:
        return []
    return torch.stack([v.to(values[0].device, torch.float64) for v in values]).tolist()


def all_norms(tensors: Sequence[Tensor]) -> list[float]:
    """Return the norms of tensors of any mix of dtypes and devices, sparse ones included."""
    found = [dense(t.detach()) for t in tensors]
    if len({(t.dtype, t.device) for t in found}) <= 1:
        return norms(found)
    return read([lazy_norm(t) for t in found])


def dense(tensor: Tensor) -> Tensor:
    """Return the entries of a sparse gradient, or the tensor itself."""
    return tensor.coalesce().values() if tensor.is_sparse else tensor
