"""`CLIPS`: bound gradients in place; each entry is ``(params, threshold)`` and works on ``.grad``.

The trainer clips once per window, after accumulation, and measures what happened itself. A rule registered with
``as_one=True`` makes no difference between the tensors: it may be handed all of them as a single one. The threshold
is a number; in a sweep the rule is mapped over networks (`torch.func.vmap`), each with its own threshold.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from gradlab.registry import Registry
from gradlab.rules.norms import EPS, norm, scaled_norm, shrink_, total_norm

CLIPS = Registry("clip", "params, threshold")


def gradients(params: Iterable[Tensor]) -> list[Tensor]:
    """Return the gradients that there are."""
    return [p.grad for p in params if p.grad is not None]


@CLIPS.register("none", "Off")
def none(params: Iterable[Tensor], threshold: float) -> None:
    """Gradients as they are."""


@CLIPS.register("value", "By value", as_one=True)
def clip_value(params: Iterable[Tensor], threshold: float) -> None:
    """Clamp every entry to [-threshold, threshold]; this can turn the direction."""
    for grad in gradients(params):
        grad.clamp_min_(-threshold).clamp_max_(threshold)


@CLIPS.register("global_norm", "By global norm", as_one=True)
def clip_global_norm(params: Iterable[Tensor], threshold: float) -> None:
    """Scale all gradients together by min(1, threshold / norm) (Pascanu et al. 2013)."""
    if grads := gradients(params):
        shrink_(grads, total_norm(grads), threshold)


@CLIPS.register("per_layer_norm", "By norm, tensor by tensor")
def clip_per_layer_norm(params: Iterable[Tensor], threshold: float) -> None:
    """Scale each tensor's gradient by min(1, threshold / its norm), as the Keras clipnorm does."""
    if grads := gradients(params):
        shrink_(grads, torch.stack([norm(grad) for grad in grads]), threshold)


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
        limit = threshold * unit_norm(param.detach()).clamp(min=1e-3)
        size = unit_norm(param.grad)
        factor = torch.where(size < limit, 1.0, limit / size.clamp(min=EPS))
        # a subnormal float32 factor would lose digits: multiply in float64, round once
        param.grad.copy_(param.grad.double() * factor)


def unit_norm(tensor: Tensor) -> Tensor:
    """Return the norm of each output row, shape ``(rows, 1, ...)``, or of a whole 0- or 1-D tensor."""
    rows = tuple(range(1, tensor.dim()))
    safe = scaled_norm if tensor.dtype == torch.float64 else norm
    return safe(tensor, rows or None, bool(rows))
