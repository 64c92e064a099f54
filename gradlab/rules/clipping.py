"""`CLIPS`: bound gradients in place; each entry is ``(params, threshold)`` and works on ``.grad``.

The trainer clips once per window, after accumulation, and measures what happened itself. A rule registered with
``as_one=True`` makes no difference between the tensors: the trainer may hand it all of them as a single one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from gradlab.registry import Registry
from gradlab.rules.norms import norms, root_sum_square, scale_

CLIPS = Registry("clip")

_EPS = 1e-6  # torch.nn.utils.clip_grad_norm_ divides by norm + 1e-6


def _gradients(params: Iterable[Tensor]) -> list[Tensor]:
    return [p.grad for p in params if p.grad is not None]


@CLIPS.register("none", "Off")
def none(params: Iterable[Tensor], threshold: float) -> None:
    """Gradients as they are."""


@CLIPS.register("value", "By value", as_one=True)
def clip_value(params: Iterable[Tensor], threshold: float) -> None:
    """Clamp every entry to [-threshold, threshold]; this can turn the direction."""
    grads = _gradients(params)
    if grads:
        torch._foreach_clamp_min_(grads, -threshold)
        torch._foreach_clamp_max_(grads, threshold)


@CLIPS.register("global_norm", "By global norm", as_one=True)
def clip_global_norm(params: Iterable[Tensor], threshold: float) -> None:
    """Scale all gradients together by min(1, threshold / norm) (Pascanu et al. 2013)."""
    grads = _gradients(params)
    factor = threshold / (root_sum_square(norms(grads)) + _EPS)
    if factor < 1.0:
        scale_(grads, factor)


@CLIPS.register("per_layer_norm", "By norm, tensor by tensor")
def clip_per_layer_norm(params: Iterable[Tensor], threshold: float) -> None:
    """Scale each tensor's gradient by min(1, threshold / its norm), as the Keras clipnorm does."""
    grads = _gradients(params)
    for grad, norm in zip(grads, norms(grads), strict=True):
        if (factor := threshold / (norm + _EPS)) < 1.0:
            scale_([grad], factor)


@CLIPS.register("agc", "Adaptive (AGC)", exempt_output=True)
def clip_agc(params: Iterable[Tensor], threshold: float) -> None:
    """Bound each unit's gradient to threshold times its weight norm (Brock et al. 2021).

    A unit is an output row; 0- and 1-D tensors are one unit. The limit is ``threshold * max(|W_i|, 1e-3)``;
    below it a gradient is kept, else it is scaled by ``limit / max(|G_i|, 1e-6)``. The trainer leaves the
    output layer out.
    """
    for param in params:
        if param.grad is None:
            continue
        limit = threshold * _unit_norm(param.detach()).clamp(min=1e-3)
        norm = _unit_norm(param.grad)
        factor = torch.where(norm < limit, 1.0, limit / norm.clamp(min=_EPS))
        # a subnormal float32 factor would lose digits: multiply in float64, round once
        param.grad.copy_(param.grad.double() * factor)


def _unit_norm(tensor: Tensor) -> Tensor:
    """Return the norm of each output row, shape ``(rows, 1, ...)``, or of a whole 0- or 1-D tensor."""
    rows, keep = (tuple(range(1, tensor.dim())), True) if tensor.dim() > 1 else (None, False)
    norm = torch.linalg.vector_norm(tensor, dim=rows, keepdim=keep, dtype=torch.float64)
    if tensor.dtype != torch.float64 or tensor.numel() == 0:
        return norm
    largest = torch.linalg.vector_norm(tensor, ord=math.inf, dim=rows, keepdim=keep)  # squares may leave the range
    scale = torch.where(torch.isfinite(largest) & (largest > 0), largest, 1.0)
    return scale * torch.linalg.vector_norm(tensor / scale, dim=rows, keepdim=keep)
