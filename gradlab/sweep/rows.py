"""What stacked networks share: tensors with one row per network, and exact norms of the rows."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Rows = dict[str, Tensor]

_SAFE_LOW, _SAFE_HIGH = 1e-140, 1e140  # squares and their sums stay inside float64's normal range


def row_norms(rows: Tensor) -> Tensor:
    """Return the 2-norm of each row in float64: inf or nan only where an entry is, 0 only for zeros.

    Parameters
    ----------
    rows : Tensor
        Shape ``(networks, ...)``.

    Returns
    -------
    Tensor
        Shape ``(networks,)``, float64.
    """
    flat = rows.detach().flatten(1)
    found = torch.linalg.vector_norm(flat, dim=1, dtype=torch.float64)
    if flat.dtype == torch.float64 and flat.shape[1]:
        odd = ((found <= _SAFE_LOW) | ~(found < _SAFE_HIGH)).nonzero()[:, 0]
        if len(odd):
            found[odd] = _scaled_norms(flat[odd])
    return found


def _scaled_norms(flat: Tensor) -> Tensor:
    largest = flat.abs().amax(1)
    plain = (largest == 0) | ~torch.isfinite(largest)
    scale = torch.where(plain, 1.0, largest)
    norm = scale * torch.linalg.vector_norm(flat / scale[:, None], dim=1)
    return torch.where(plain, largest, norm)


def scale_rows_(rows: Tensor, factor: Tensor) -> None:
    """Multiply each row in place by its float64 factor in [0, 1], which may lie below the range of the dtype."""
    shape = (-1, *[1] * (rows.dim() - 1))
    tiny = (factor > 0) & (factor < torch.finfo(rows.dtype).tiny)
    if bool(tiny.any()):  # a subnormal factor has too few digits: two normal ones
        root = torch.where(tiny, factor.sqrt(), 1.0)
        rows.mul_(root.to(rows.dtype).view(shape))
        factor = factor / root
    rows.mul_(factor.to(rows.dtype).view(shape))


def finite_rows(rows: Tensor) -> Tensor:
    """Return which rows hold only finite numbers, as a boolean tensor of shape ``(networks,)``."""
    flat = rows.detach().flatten(1)
    finite = torch.isfinite(flat.sum(1))
    odd = (~finite).nonzero()[:, 0]
    if len(odd):  # a sum can overflow although every entry is finite
        finite[odd] = torch.isfinite(flat[odd]).all(1)
    return finite


def on_rows(chosen: Tensor | None, rows: Rows, change: Callable[[Rows], None]) -> None:
    """Let `change` work in place on some of the networks (None: on all); the others keep every bit."""
    if chosen is None:
        change(rows)
        return
    part = {name: value[chosen] for name, value in rows.items()}
    change(part)
    for name, value in part.items():
        rows[name][chosen] = value
