"""Stacked forms of the clips and carry-overs: the same rule, every network by its own row."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gradlab.rules import carry_over, clipping
from gradlab.sweep.rows import Rows, row_norms, scale_rows_

_EPS = 1e-6  # the one of gradlab.rules.clipping, after torch.nn.utils.clip_grad_norm_

StackedClip = Callable[[Tensor, list[Tensor], list[Tensor], Tensor], None]
StackedCarry = Callable[[Rows, list[Tensor]], None]


def _clip_none(flat: Tensor, grads: list[Tensor], weights: list[Tensor], threshold: Tensor) -> None:
    """Gradients as they are."""


def _clip_value(flat: Tensor, grads: list[Tensor], weights: list[Tensor], threshold: Tensor) -> None:
    limit = threshold.to(flat.dtype)[:, None]
    torch.clamp(flat, -limit, limit, out=flat)


def _clip_global_norm(flat: Tensor, grads: list[Tensor], weights: list[Tensor], threshold: Tensor) -> None:
    _shrink(flat, threshold / (row_norms(flat) + _EPS))


def _clip_per_layer_norm(flat: Tensor, grads: list[Tensor], weights: list[Tensor], threshold: Tensor) -> None:
    for grad in grads:
        _shrink(grad, threshold / (row_norms(grad) + _EPS))


def _shrink(rows: Tensor, factor: Tensor) -> None:
    """Scale the rows by their factors where these are below 1 (a NaN is not)."""
    if bool((factor < 1.0).any()):
        scale_rows_(rows, torch.where(factor < 1.0, factor, 1.0))


def _clip_agc(flat: Tensor, grads: list[Tensor], weights: list[Tensor], threshold: Tensor) -> None:
    for grad, weight in zip(grads, weights, strict=True):
        bound = threshold.view(-1, *[1] * (grad.dim() - 1))
        limit = bound * _unit_norms(weight).clamp(min=1e-3)
        norm = _unit_norms(grad)
        factor = torch.where(norm < limit, 1.0, limit / norm.clamp(min=_EPS))
        grad.copy_(grad.double() * factor)


def _unit_norms(stack: Tensor) -> Tensor:
    """Return the norm of each unit: a row of a matrix, a whole bias."""
    return torch.linalg.vector_norm(stack.detach(), dim=-1, keepdim=True, dtype=torch.float64)


STACKED_CLIPS: dict[Callable[..., None], StackedClip] = {
    clipping.none: _clip_none,
    clipping.clip_value: _clip_value,
    clipping.clip_global_norm: _clip_global_norm,
    clipping.clip_per_layer_norm: _clip_per_layer_norm,
    clipping.clip_agc: _clip_agc,
}


def _carry_none(rows: Rows, grads: list[Tensor]) -> None:
    """Each step applies its own gradient."""


def _carry_running_sum(rows: Rows, grads: list[Tensor]) -> None:
    rows["carry"] += rows["gradient"]
    rows["gradient"].copy_(rows["carry"])


def _carry_delayed(rows: Rows, grads: list[Tensor]) -> None:
    newest = rows["gradient"].clone()
    rows["gradient"].copy_(rows["carry"])
    rows["carry"].copy_(newest)


def _carry_scalar_sum(rows: Rows, grads: list[Tensor]) -> None:
    for grad in grads:
        total = grad.flatten(1).sum(1)
        grad.copy_(total.view(-1, *[1] * (grad.dim() - 1)).expand_as(grad))


STACKED_CARRY_OVERS: dict[Callable[..., bool], StackedCarry] = {
    carry_over.none: _carry_none,
    carry_over.running_sum: _carry_running_sum,
    carry_over.delayed: _carry_delayed,
    carry_over.scalar_sum: _carry_scalar_sum,
}
