"""What `Chain` computes with: for each activation and each loss the kernels that autograd itself calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gradlab.data import Loss

_aten = torch.ops.aten


class Kernels(NamedTuple):
    """What one activation does, entry by entry.

    Attributes
    ----------
    reads_h : bool
        Whether `backward` wants h; else it wants z.
    forward : callable
        ``(module, z, h)``: write phi(z) to h, which is z itself if `reads_h`.
    backward : callable
        ``(module, delta, h or z)``: turn d loss / d h into d loss / d z, in place.
    """

    reads_h: bool
    forward: Callable[[Any, Tensor, Tensor], object]
    backward: Callable[[Any, Tensor, Tensor], object]


KERNELS: dict[type[nn.Module], Kernels] = {
    nn.Identity: Kernels(
        True,
        lambda m, z, h: None,
        lambda m, d, h: None,
    ),
    nn.ReLU: Kernels(
        True,
        lambda m, z, h: h.relu_(),
        lambda m, d, h: _aten.threshold_backward.grad_input(d, h, 0, grad_input=d),
    ),
    nn.Tanh: Kernels(
        True,
        lambda m, z, h: h.tanh_(),
        lambda m, d, h: _aten.tanh_backward.grad_input(d, h, grad_input=d),
    ),
    nn.Sigmoid: Kernels(
        True,
        lambda m, z, h: h.sigmoid_(),
        lambda m, d, h: _aten.sigmoid_backward.grad_input(d, h, grad_input=d),
    ),
    nn.LeakyReLU: Kernels(
        False,
        lambda m, z, h: _aten.leaky_relu.out(z, m.negative_slope, out=h),
        lambda m, d, z: _aten.leaky_relu_backward.grad_input(d, z, m.negative_slope, False, grad_input=d),
    ),
    nn.GELU: Kernels(
        False,
        lambda m, z, h: _aten.gelu.out(z, approximate=m.approximate, out=h),
        lambda m, d, z: _aten.gelu_backward.grad_input(d, z, approximate=m.approximate, grad_input=d),
    ),
    nn.SELU: Kernels(
        False,
        lambda m, z, h: _aten.elu.out(z, *_SELU, out=h),
        lambda m, d, z: _aten.elu_backward.grad_input(d, *_SELU, False, z, grad_input=d),
    ),
    nn.SiLU: Kernels(
        False,
        lambda m, z, h: _aten.silu.out(z, out=h),
        lambda m, d, z: _aten.silu_backward.grad_input(d, z, grad_input=d),
    ),
}
_SELU = (1.6732632423543772848170429916717, 1.0507009873554804934193349852946, 1.0)  # alpha, scale, as in torch


class Judge(NamedTuple):
    """What one loss does: a loss of one's own may reach for more of the network than its output.

    Attributes
    ----------
    forward : callable
        ``(output, y) -> (loss, kept)``.
    backward : callable
        ``(one, output, y, kept) -> d loss / d output``.
    """

    forward: Callable[[Tensor, Tensor], tuple[Tensor, tuple[Tensor, ...]]]
    backward: Callable[[Tensor, Tensor, Tensor, tuple[Tensor, ...]], Tensor]


_MEAN, _IGNORED = 1, -100  # torch's number for reduction="mean", and its label that counts for nothing


def _cross_entropy(output: Tensor, y: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    logs = torch.log_softmax(output, 1)
    loss, weight = _aten.nll_loss_forward.default(logs, y, None, _MEAN, _IGNORED)
    return loss, (logs, weight)


def _cross_entropy_backward(one: Tensor, output: Tensor, y: Tensor, kept: tuple[Tensor, ...]) -> Tensor:
    logs, weight = kept
    delta = _aten.nll_loss_backward.default(one, logs, y, None, _MEAN, _IGNORED, weight)
    return _aten._log_softmax_backward_data.default(delta, logs, 1, output.dtype)


JUDGES: dict[Loss, Judge] = {
    F.cross_entropy: Judge(_cross_entropy, _cross_entropy_backward),
    F.mse_loss: Judge(
        lambda output, y: (torch.nn.functional.mse_loss(output, y), ()),
        lambda one, output, y, kept: _aten.mse_loss_backward.default(one, output, y, _MEAN),
    ),
}
