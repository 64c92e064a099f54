"""`OPTIMIZERS`: torch's own, each entry ``(params, lr, momentum, weight_decay) -> Optimizer``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, optim

from gradlab.registry import Registry

OPTIMIZERS = Registry(
    "optimizer",
    "params, lr, momentum, weight_decay",
    gives="a torch.optim.Optimizer of params",
    fits=lambda made, *_: isinstance(made, optim.Optimizer),
)

_ADD = optim.Optimizer.add_param_group  # as torch decorates it, it loads torch's compiler, which takes seconds


def make_optimizer(name: str, params: list[Tensor], *knobs: float) -> optim.Optimizer:
    """Make an optimizer with its lr, momentum and weight decay; torch's own without loading its compiler."""
    entry = OPTIMIZERS[name]  # somebody's own may load it at its first step, which is timed, unless it is loaded now
    optim.Optimizer.add_param_group = inspect.unwrap(_ADD) if entry.shipped else _ADD
    try:
        made = entry(params, *knobs)
    finally:
        optim.Optimizer.add_param_group = _ADD
    for group in made.param_groups if entry.shipped and params[0].is_cpu else ():
        group["foreach"] = False  # as torch finds for a processor at every step anew, for 2 % of a small network's
    return made


def bare_step(optimizer: optim.Optimizer) -> Callable[[], object]:
    """Return an optimizer's step, without gradients to be called; torch's own without what decorates it.

    The decorators load torch's compiler, too, and the profiler's costs as much as the step.
    """
    if not type(optimizer).__module__.startswith("torch.optim."):
        return optimizer.step
    return partial(inspect.unwrap(type(optimizer).step), optimizer)


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


def adopt(made: Callable[..., Any]) -> str:
    """Register an optimizer of your own, unless it is, and return its name.

    Parameters
    ----------
    made : callable
        ``made(params)``, or a class of optimizers; gets lr, momentum and weight_decay too, where it names them.
    """
    for name in OPTIMIZERS:
        if OPTIMIZERS[name].options.get("made") is made:
            return name
    try:
        takes = {"lr", "momentum", "weight_decay"} & inspect.signature(made).parameters.keys()
    except (TypeError, ValueError) as error:
        raise ValueError(f"optimizer={made!r:.60}; expected a callable (params) -> Optimizer") from error
    base = getattr(made, "__name__", "own").strip("<>").lower()
    name = next(n for n in (base, *(f"{base}_{i}" for i in range(2, 10_000))) if n not in OPTIMIZERS)

    def own(params: list[Tensor], lr: float, momentum: float, weight_decay: float) -> optim.Optimizer:
        """An optimizer of your own."""
        knobs: dict[str, Any] = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        return made(params, **{knob: value for knob, value in knobs.items() if knob in takes})

    own.__module__ = str(getattr(made, "__module__", None))  # none of gradlab's own entries
    OPTIMIZERS.register(name, base, made=made)(own)
    return name
