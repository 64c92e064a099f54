"""`Descent`: torch's optimizer on the flat weights of a run."""

from __future__ import annotations

import copy
import inspect
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from gradlab.config import Config
from gradlab.rules.optimizers import OPTIMIZERS


class Descent:
    """Updates the weights as the config says.

    One of torch's optimizers is made by `prepare` or else when it is first needed: the first in a process makes
    torch load its compiler, which takes longer than all else until a panel is seen.

    Parameters
    ----------
    config : Config
        Names the optimizer; its lr, momentum and weight_decay are in force until `configure`.
    weights : Tensor
        All trainable parameters, flat; updated in place.

    Attributes
    ----------
    tidy : bool
        Whether the update leaves weights without gradient as they are, as one of somebody's own need not.
    update : callable
        Takes one step.
    """

    def __init__(self, config: Config, weights: Tensor) -> None:
        self._config, self._weights = config, weights
        self._made: torch.optim.Optimizer | None = None
        self.update: Callable[[], object] = self._first_update
        self.tidy = OPTIMIZERS[config.optimizer].shipped
        if not self.tidy:  # what is wrong with somebody's own should show at once
            self.prepare()

    def prepare(self) -> torch.optim.Optimizer:
        """Return the optimizer, made if need be."""
        if (made := self._made) is None:
            c = self._config
            made = OPTIMIZERS[c.optimizer]([self._weights], c.lr, c.momentum, c.weight_decay)
            self._made, self.update = made, _unwrapped(made)
        return made

    @property
    def loaded(self) -> bool:
        """Whether the optimizer is there, or made at once as torch has loaded all that it needs."""
        return self._made is not None or "torch._dynamo" in sys.modules

    def _first_update(self) -> None:
        self.prepare()
        self.update()

    @property
    def settings(self) -> dict[str, Any]:
        """What the optimizer was told: lr, betas and so on."""
        return {name: value for name, value in self.prepare().param_groups[0].items() if name != "params"}

    @property
    def memory(self) -> dict[str, Any]:
        """What the optimizer remembers of the weights: momentum, moments and so on."""
        return {} if self._made is None else self._made.state.get(self._weights, {})

    def recall(self, memory: dict[str, Any]) -> None:
        """Put an earlier memory back."""
        self.prepare().state[self._weights] = memory

    def snapshot(self) -> dict[str, Any]:
        """Copy settings and memory; empty before the optimizer is made."""
        return {} if self._made is None else copy.deepcopy(self._made.state_dict())

    def restore(self, snapshot: dict[str, Any], config: Config) -> None:
        """Go back to a snapshot that was taken under a config."""
        self._config = config
        if snapshot:
            self.prepare().load_state_dict(copy.deepcopy(snapshot))
        else:
            self._made, self.update = None, self._first_update

    def configure(self, config: Config) -> None:
        """Let the optimizer know of moved knobs."""
        self._config = config
        for group in self._made.param_groups if self._made is not None else ():
            group["lr"], group["weight_decay"] = config.lr, config.weight_decay
            if "momentum" in group:
                group["momentum"] = config.momentum


def _unwrapped(optimizer: torch.optim.Optimizer) -> Callable[[], object]:
    """Return the step of an optimizer of torch's without the profiler's wrapping, which costs as much as it."""
    if not type(optimizer).__module__.startswith("torch.optim."):
        return optimizer.step
    return partial(inspect.unwrap(type(optimizer).step), optimizer)
