"""Norms that are computed now and read later, so that an accelerator is not made to wait in every hook."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gradlab.rules.norms import norms


def lazy_norms(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return 2-norms as float64 tensors of no dimension; right in the whole range, like `rules.norms.norms`."""
    found = [dense(t.detach()) for t in tensors]
    if not found or not _alike(found) or found[0].dtype == torch.float64:
        return [_lazy_norm(t) for t in found]
    return list(torch._foreach_norm(found, 2, dtype=torch.float64))


def _lazy_norm(values: Tensor) -> Tensor:
    if values.numel() == 0:
        return torch.zeros((), dtype=torch.float64, device=values.device)
    if values.dtype != torch.float64:
        return torch._foreach_norm([values], 2, dtype=torch.float64)[0]
    largest = values.abs().amax()  # squares of float64 numbers can leave the range of float64
    scalable = torch.isfinite(largest) & (largest > 0)
    return torch.where(scalable, largest * torch.linalg.vector_norm(values / largest), largest)


def read(values: Sequence[Tensor]) -> list[float]:
    """Return float64 tensors of no dimension as numbers, waiting once for all of them."""
    if not values:
        return []
    return torch.stack(list(values) if _alike(values) else [v.cpu() for v in values]).tolist()


def all_norms(tensors: Sequence[Tensor]) -> list[float]:
    """Return the norms of tensors of any mix of dtypes and devices, sparse ones included."""
    found = [dense(t.detach()) for t in tensors]
    return norms(found) if _alike(found) else read(lazy_norms(found))


def dense(tensor: Tensor) -> Tensor:
    """Return the entries of a sparse gradient, or the tensor itself."""
    return tensor.coalesce().values() if tensor.is_sparse else tensor


def _alike(tensors: Sequence[Tensor]) -> bool:
    return len({(t.dtype, t.device) for t in tensors}) <= 1
