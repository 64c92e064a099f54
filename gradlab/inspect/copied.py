"""A private copy of a trainer's network: whatever is measured on it, the run never knows."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gradlab.engine import Trainer
from gradlab.engine.autograd import AutogradPass
from gradlab.engine.layers import find_layers
from gradlab.rules.carry_over import CumulativeGradient


class Copied:
    """A copy of a trainer's network that computes losses and gradients of chosen samples.

    Parameters
    ----------
    trainer : Trainer
        The run; it stays as it is.
    dtype : torch.dtype, optional
        Cast the copy and the data to it. Default: as in the run.
    plain : bool, default False
        Leave out every `CumulativeGradient`, so that gradients are those of the loss.

    Attributes
    ----------
    network : torch.nn.Module
        The copy, in training mode.
    params : list of Parameter
        The trainable parameters, in the network's order.
    groups : list of list of int
        Numbers of the trainable weights of each layer.
    cumulative : bool
        Whether there was a `CumulativeGradient`.
    """

    def __init__(self, trainer: Trainer, dtype: torch.dtype | None = None, plain: bool = False) -> None:
        self.network = _copy_network(trainer.network)
        self.cumulative = any(isinstance(m, CumulativeGradient) for m in self.network.modules())
        if plain:
            _leave_out_cumulative(self.network)
        if dtype is not None:
            self.network.to(dtype)
        self._data, self._dtype = trainer.data, dtype
        self.params = [p for p in self.network.parameters() if p.requires_grad]
        numbers = {id(p): i for i, p in enumerate(self.params)}
        self.groups = [
            [numbers[id(p)] for p in layer.weights if id(p) in numbers] for layer in find_layers(self.network)
        ]

    def loss(self, rows: Tensor, seed: int) -> Tensor:
        """Return the mean loss of the samples `rows`; dropout draws from `seed`."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            return self._data.loss(self.network(self._cast(self._data.x[rows])), self._cast(self._data.y[rows]))

    def gradients(self, rows: Tensor, seed: int) -> Sequence[Tensor | None]:
        """Return the gradient of that loss by each of `params`; None for one that received none."""
        return AutogradPass(self.loss(rows, seed), [], []).gradients(self.params)[0]

    def _cast(self, tensor: Tensor) -> Tensor:
        return tensor.to(self._dtype) if tensor.is_floating_point() and self._dtype else tensor


def _copy_network(network: nn.Module) -> nn.Module:
    """Copy a network, with what its last forward pass left in its attributes (attention maps) detached."""
    memo: dict[int, Any] = {
        id(value): value.detach().clone()
        for module in network.modules()
        for value in vars(module).values()
        if isinstance(value, Tensor) and not value.is_leaf
    }
    return copy.deepcopy(network, memo)


def _leave_out_cumulative(network: nn.Module) -> None:
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, CumulativeGradient):
                setattr(parent, name, nn.Identity())
