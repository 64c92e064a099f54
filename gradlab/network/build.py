"""`build_network`: a multilayer perceptron whose layers can be watched."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import torch
from torch import Generator, Tensor, nn

from gradlab.network.activations import ACTIVATIONS
from gradlab.network.inits import initialise
from gradlab.network.normalisation import NORMS

Map = Callable[[Tensor], Tensor]


class NetworkKnobs(Protocol):
    """What `build_network` reads of a `Config`."""

    @property
    def depth(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def activation(self) -> str: ...
    @property
    def norm(self) -> str: ...
    @property
    def residual(self) -> bool: ...
    @property
    def init(self) -> str: ...
    @property
    def gain(self) -> float: ...
    @property
    def bias_std(self) -> float: ...


class Trace(NamedTuple):
    """One forward pass, kept: the output, and per layer the pre-activation z_l and the activation h_l."""

    output: Tensor
    pre_activations: list[Tensor]
    activations: list[Tensor]


class Network(nn.Module):
    """An MLP of ``depth`` hidden layers and a readout.

    A hidden layer is ``phi(norm(W h + b))``. With `residual` the first hidden layer is the plain map
    ``W x + b`` to the width, each further one the block ``h + W phi(norm(h)) + b``.

    Parameters
    ----------
    inputs, outputs : int
        Width of the data and of the readout.
    """

    def __init__(self, inputs: int, outputs: int, depth: int, width: int, activation: str, norm: str, residual: bool):
        super().__init__()
        self.residual = residual
        sizes = [inputs, *[width] * depth, outputs]
        self.linears = nn.ModuleList(_linear(n_in, n_out) for n_in, n_out in pairwise(sizes))
        self.norms = nn.ModuleList(NORMS[norm](width) for _ in range(depth))
        self.activations = nn.ModuleList(ACTIVATIONS[activation]() for _ in range(depth))
        if residual and depth:  # the first layer of a residual network has no branch
            self.norms[0], self.activations[0] = nn.Identity(), nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map inputs of shape ``(batch, inputs)`` to outputs of shape ``(batch, outputs)``."""
        return self.trace(x).output

    def trace(self, x: Tensor) -> Trace:
        """Run forward and keep every layer's z_l (output of its matrix) and h_l (what the next one reads)."""
        x = x.flatten(1)
        before: list[Tensor] = []
        after: list[Tensor] = []
        hidden = self._block if self.residual else self._hidden
        run = _calls()
        linears = [run(m) for m in self.linears]
        norms = [None if isinstance(m, nn.Identity) else run(m) for m in self.norms]
        for linear, norm, activation in zip(linears[:-1], norms, map(run, self.activations), strict=True):
            z, x = hidden(x, linear, norm, activation, first=not before)
            before.append(z)
            after.append(x)
        z = linears[-1](x)
        return Trace(z, [*before, z], [*after, z])

    @staticmethod
    def _hidden(h: Tensor, linear: Map, norm: Map | None, activation: Map, first: bool) -> tuple[Tensor, Tensor]:
        z = linear(h)
        return z, activation(norm(z) if norm else z)

    @staticmethod
    def _block(h: Tensor, linear: Map, norm: Map | None, activation: Map, first: bool) -> tuple[Tensor, Tensor]:
        z = linear(activation(norm(h) if norm else h))
        return z, z if first else h + z


def _calls() -> Callable[[nn.Module], Map]:
    """Return how a module is called: by its forward alone, a third of the cost, where nothing is hooked on it."""
    hooked_all = torch.nn.modules.module._has_any_global_hook()

    def call(module: nn.Module) -> Map:
        hooked = module._forward_hooks or module._forward_pre_hooks or module._backward_hooks
        return module if hooked or hooked_all or module._backward_pre_hooks else module.forward

    return call


class _Blank(nn.Linear):
    def reset_parameters(self) -> None:
        """Leave the weights to `initialise`: torch's own way would draw them too, from the global generator."""


def _linear(n_in: int, n_out: int) -> nn.Linear:
    # torch's skip_init does the same, but loads a second of torch that nothing else here needs
    blank: Any = _Blank(n_in, n_out, dtype=torch.float64)
    blank.__class__ = nn.Linear
    return blank


def build_network(
    config: NetworkKnobs, inputs: int, outputs: int, generator: Generator, dtype: torch.dtype = torch.float32
) -> Network:
    """Build and initialise the network a `Config` describes.

    Weights are drawn in float64 and rounded to `dtype`, so a float32 network is its float64 twin rounded.
    The global random state is left as it was.

    Parameters
    ----------
    config : Config
        Its depth, width, activation, norm, residual, init, gain and bias_std.
    inputs, outputs : int
        Columns of X, columns of the output.
    generator : torch.Generator
        The only source of randomness; it advances.

    Returns
    -------
    Network
        In training mode.
    """
    with torch.random.fork_rng(devices=[]):  # a registered activation or norm may draw when it is made
        torch.default_generator.manual_seed(generator.initial_seed())  # not CUDA's, which stay as they are
        network = Network(
            inputs, outputs, config.depth, config.width, config.activation, config.norm, config.residual
        )
    network = network.double()
    initialise(network, config.init, config.gain, config.bias_std, generator)
    return network.to(dtype)
