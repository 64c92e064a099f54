"""Stacked forms of torch's optimizers: one update of all networks, each with its own knobs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, optim

from gradlab.config import Config
from gradlab.rules.optimizers import OPTIMIZERS
from gradlab.sweep.rows import Rows

Update = Callable[[Rows, Tensor, dict[str, Any]], None]

_VARIANTS = ("nesterov", "dampening", "maximize", "amsgrad", "centered")  # off in every stacked form
_PER_NETWORK = ("lr", "momentum", "weight_decay")


class StackedOptimizer:
    """The optimizer of networks that were given the same one, whatever its learning rates.

    Parameters
    ----------
    configs : sequence of Config
        One per network, all of one `stack_signature`.
    """

    def __init__(self, configs: Sequence[Config]) -> None:
        made = [make_optimizer(config) for config in configs]
        self._defaults = {**made[0].defaults, "decoupled": type(made[0]) is optim.AdamW}
        self._update, self._slots = UPDATES[type(made[0])]
        self._knobs = {
            name: torch.tensor([float(o.defaults[name]) for o in made], dtype=torch.float64)[:, None]
            for name in _PER_NETWORK
            if name in self._defaults
        }

    def rows(self, weights: Tensor) -> Rows:
        """Return the state at the start, one row per network: the knobs in force, empty moments, updates so far."""
        slots = {f"moment_{i}": torch.zeros_like(weights) for i in range(self._slots(self._defaults))}
        count = torch.zeros(len(weights), 1, dtype=torch.float64)
        return {**self._knobs, **slots, "updates": count}

    def step(self, rows: Rows) -> None:
        """Update ``rows["weights"]`` by ``rows["gradient"]``, in place."""
        rows["updates"] += 1
        self._update(rows, _decayed(rows, self._defaults), self._defaults)


def make_optimizer(config: Config) -> optim.Optimizer:
    """Return the optimizer of a config, on nothing: its defaults say what it would do."""
    nothing = torch.zeros(1, requires_grad=True)
    return OPTIMIZERS[config.optimizer]([nothing], config.lr, config.momentum, config.weight_decay)


def is_stackable(config: Config) -> bool:
    """Whether the optimizer is one that has a stacked form."""
    made = make_optimizer(config)
    return type(made) in UPDATES and not any(made.defaults.get(name) for name in _VARIANTS)


def variant(config: Config) -> tuple[bool, bool]:
    """Return whether momentum and weight decay are on: torch leaves their terms out where they are 0."""
    return config.momentum != 0.0, config.weight_decay != 0.0


def _decayed(rows: Rows, defaults: dict[str, Any]) -> Tensor:
    """Return the gradient with the pull of the weights toward 0, or decay the weights themselves (AdamW)."""
    if not defaults["weight_decay"]:
        return rows["gradient"]
    decay = rows["weight_decay"]
    if defaults["decoupled"]:
        rows["weights"].mul_((1.0 - rows["lr"] * decay).to(rows["weights"].dtype))
        return rows["gradient"]
    return torch.addcmul(rows["gradient"], rows["weights"], decay.to(rows["weights"].dtype))


def _sgd(rows: Rows, gradient: Tensor, defaults: dict[str, Any]) -> None:
    """Heavy-ball momentum (Polyak 1964); the first step starts the average with the gradient itself."""
    if defaults["momentum"]:
        share = rows["momentum"].to(gradient.dtype)
        gradient = rows["moment_0"].mul_(share).add_(gradient)
    rows["weights"].addcmul_(gradient, -rows["lr"].to(gradient.dtype))


def _adam(rows: Rows, gradient: Tensor, defaults: dict[str, Any]) -> None:
    """Kingma & Ba (2015), in the order of operations of torch."""
    beta1, beta2 = defaults["betas"]
    mean, square = rows["moment_0"], rows["moment_1"]
    mean.lerp_(gradient, 1.0 - beta1)
    square.mul_(beta2).addcmul_(gradient, gradient, value=1.0 - beta2)
    correction1, correction2 = 1.0 - beta1 ** rows["updates"], 1.0 - beta2 ** rows["updates"]
    size = (rows["lr"] / correction1).to(gradient.dtype)
    scale = square.sqrt().div_(correction2.sqrt().to(gradient.dtype)).add_(defaults["eps"])
    rows["weights"].sub_((mean * size).div_(scale))  # torch multiplies first, which decides what overflows


def _rmsprop(rows: Rows, gradient: Tensor, defaults: dict[str, Any]) -> None:
    """Tieleman & Hinton (2012)."""
    alpha = defaults["alpha"]
    square = rows["moment_0"].mul_(alpha).addcmul_(gradient, gradient, value=1.0 - alpha)
    scale, size = square.sqrt().add_(defaults["eps"]), rows["lr"].to(gradient.dtype)
    if defaults["momentum"]:
        step = rows["moment_1"].mul_(rows["momentum"].to(gradient.dtype)).addcdiv_(gradient, scale).mul(size)
    else:
        step = (gradient * size).div_(scale)
    rows["weights"].sub_(step)


Slots = Callable[[dict[str, Any]], int]

UPDATES: dict[type[optim.Optimizer], tuple[Update, Slots]] = {
    optim.SGD: (_sgd, lambda defaults: 1 if defaults["momentum"] else 0),
    optim.Adam: (_adam, lambda defaults: 2),
    optim.AdamW: (_adam, lambda defaults: 2),
    optim.RMSprop: (_rmsprop, lambda defaults: 2 if defaults["momentum"] else 1),
}
