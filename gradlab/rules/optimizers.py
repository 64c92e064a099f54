"""`OPTIMIZERS`: torch's own, each entry ``(params, lr, momentum, weight_decay) -> Optimizer``."""

from __future__ import annotations

from torch import Tensor, optim

from gradlab.registry import Registry

OPTIMIZERS = Registry("optimizer", "params, lr, momentum, weight_decay")


@OPTIMIZERS.register("sgd", "SGD")
def sgd(params: list[Tensor], lr: float, momentum: float, weight_decay: float) -> optim.Optimizer:
    """Gradient descent on micro-batches, with heavy-ball momentum if it is set."""
    return optim.SGD(params, lr=lr, momentum=momentum, weight_decay=weight_decay)


@OPTIMIZERS.register("adam", "Adam")
def adam(params: list[Tensor], lr: float, momentum: float, weight_decay: float) -> optim.Optimizer:
    """Steps of about lr per weight, whatever the gradient's size (Kingma & Ba 2015); ignores momentum."""
    return optim.Adam(params, lr=lr, weight_decay=weight_decay)


@OPTIMIZERS.register("rmsprop", "RMSprop")
def rmsprop(params: list[Tensor], lr: float, momentum: float, weight_decay: float) -> optim.Optimizer:
    """Gradients divided by their running root-mean-square (Tieleman & Hinton 2012)."""
    return optim.RMSprop(params, lr=lr, momentum=momentum, weight_decay=weight_decay)


@OPTIMIZERS.register("adamw", "AdamW")
def adamw(params: list[Tensor], lr: float, momentum: float, weight_decay: float) -> optim.Optimizer:
    """Adam with the weight decay decoupled (Loshchilov & Hutter 2019); ignores momentum."""
    return optim.AdamW(params, lr=lr, weight_decay=weight_decay)
