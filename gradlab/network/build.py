"""`ARCHITECTURES`, `build_network` and the first of them, a multilayer perceptron whose layers can be watched."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor, nn

from gradlab.network.activations import ACTIVATIONS, MODULE, NORMS
from gradlab.network.inits import initialise
from gradlab.registry import Registry

ARCHITECTURES = Registry("architecture", "config, input_shape, outputs", **MODULE)
"""Each entry is ``(config, input_shape, outputs) -> nn.Module``; its option ``uses`` names the knobs it reads."""

KNOBS = (
    *("depth", "width", "activation", "norm", "residual", "init", "gain", "bias_std"),
    *("recurrent_init", "recurrent_gain", "forget_bias", "truncate"),
    *("norm_position", "heads", "causal", "residual_init"),
)
"""The knobs that say what a network is made of; each architecture uses some of them."""

_CALL = 2_000_000  # multiplications in the time that a layer takes to be called
_COPIES = 12  # of a weight: gradient, what Adam keeps, all of it again in the transaction and in two snapshots

Map = Callable[[Tensor], Tensor]
Outputs = int | tuple[int, int]
Knobs = Any  # a Config, which is made of what the tables here hold and so stands above them


def architecture(name: str, label: str, **options: Any) -> Callable[[Callable[..., nn.Module]], Any]:
    """Register ``make(config, input_shape, outputs) -> nn.Module`` whose matrices are blank: `initialise` fills them.

    The entry returns the network with its first weights, drawn from ``config.weight_seed``, in the config's dtype.

    Parameters
    ----------
    name, label : str
        As `Registry.register` takes them.
    **options
        ``uses``: which of `KNOBS` it reads; a panel greys the others. ``recurrent``: whether it has a state.
        ``matrices``: of width x width in a layer, 1 if it does not say.
    """

    def add(make: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
        @functools.wraps(make)
        def built(config: Knobs, input_shape: Sequence[int], outputs: Outputs) -> nn.Module:
            generator = Generator().manual_seed(config.weight_seed)
            return _built(make, config, tuple(input_shape), outputs, generator, config.torch_dtype)

        ARCHITECTURES.register(name, label, make=make, **options)(built)
        return make

    return add


def uses(architecture: str) -> tuple[str, ...]:
    """Return which of `KNOBS` an architecture reads; all of them where one registered elsewhere does not say."""
    return tuple(ARCHITECTURES[architecture].options.get("uses", KNOBS))


def step_size(config: Knobs, samples: int, long: int) -> tuple[float, float]:
    """Count the multiplications of a step, with what it costs to call each layer, and the numbers that it holds.

    Parameters
    ----------
    config : Config
        The knobs.
    samples : int
        Samples that there are.
    long : int
        Time steps of a sample, or the side of an image.
    """
    options = ARCHITECTURES[config.architecture].options
    matrices, recurrent = options.get("matrices", 1), options.get("recurrent", False)
    places = {"mlp": 1, "conv": long**2}.get(config.architecture, long)
    batch = min(config.batch_size, samples)
    window = batch if config.accumulation == "none" else min(samples, batch * config.accumulation_steps)
    looks = config.heads * places if config.architecture == "transformer" else 0  # how often a place looks at another
    calls = math.ceil(window / batch) * (places if recurrent else 1)
    products = window * places * (config.width**2 * matrices + config.width * looks) + _CALL * calls
    held = batch * places * (config.width * (matrices + 4) + 3 * looks) + _COPIES * config.width**2 * matrices
    return 3.0 * products * config.depth, float(held * config.depth)


def build_network(
    config: Knobs,
    inputs: int | Sequence[int],
    outputs: Outputs,
    generator: Generator,
    dtype: torch.dtype = torch.float32,
) -> Any:
    """Build and initialise the network a `Config` describes.

    Weights are drawn in float64 and rounded to `dtype`, so a float32 network is its float64 twin rounded.
    The global random state is left as it was.

    Parameters
    ----------
    config : Config
        Its architecture, and what that uses of `KNOBS`.
    inputs : int or sequence of int
        Columns of X, or the shape of one sample.
    outputs : int or (int, int)
        Columns of the output, or (time steps, columns) where a sequence is answered step by step.
    generator : torch.Generator
        The only source of randomness; it advances.

    Returns
    -------
    nn.Module
        In training mode; a `Network` for ``architecture="mlp"``.

    Raises
    ------
    ValueError
        If the architecture cannot read that shape, or its knobs do not fit it.
    """
    shape = (inputs,) if isinstance(inputs, int) else tuple(inputs)
    entry = ARCHITECTURES[config.architecture]
    make = replace(entry, function=entry.options.get("make", entry.function))  # which is named where it fails
    return _built(make, config, shape, outputs, generator, dtype)


def _built(
    make: Callable[..., nn.Module],
    config: Knobs,
    shape: tuple[int, ...],
    outputs: Outputs,
    generator: Generator,
    dtype: torch.dtype,
) -> nn.Module:
    with torch.random.fork_rng(devices=[]):  # a registered activation or norm may draw when it is made
        torch.default_generator.manual_seed(generator.initial_seed())  # not CUDA's, which stay as they are
        network = make(config, shape, outputs)
    network = network.double()
    initialise(network, config.init, config.gain, config.bias_std, generator)
    return network.to(dtype)


class Blocks(nn.Linear):
    """A blank float64 linear layer of several matrices one above the other: the gates of a cell, or q, k and v.

    `scheme` (init, gain) says how they are filled, if not as all other matrices are; the biases are then 0.
    """

    def __init__(self, inputs: int, width: int, blocks: int, scheme: tuple[str, float] | None = None) -> None:
        super().__init__(inputs, blocks * width, dtype=torch.float64)
        self.blocks, self.scheme = blocks, scheme

    def forward(self, x: Tensor, more: Tensor | None = None) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Map ``(..., inputs)`` to ``(..., blocks * width)``; with `more` added, a cell's whole pre-activation."""
        z = super().forward(x)
        return z if more is None else z + more

    def reset_parameters(self) -> None:
        """Leave the weights to `initialise`: torch's own way would draw them too, from the global generator."""


def blank_linear(n_in: int, n_out: int) -> nn.Linear:
    """Return a float64 `nn.Linear` whose weights are yet to be drawn."""
    # torch's skip_init does the same, but loads a second of torch that nothing else here needs
    blank: Any = Blocks(n_in, n_out, 1)
    blank.__class__ = nn.Linear
    del blank.blocks, blank.scheme
    return blank


# ---------------------------------------------------------------------- the multilayer perceptron
class Trace(NamedTuple):
    """One forward pass, kept: the output, and per layer the pre-activation z_l and the activation h_l."""

    output: Tensor
    pre_activations: list[Tensor]
    activations: list[Tensor]


class Network(nn.Module):
    """An MLP of ``depth`` hidden layers and a readout.

    A hidden layer is ``phi(norm(W h + b))``. With `residual` the first hidden layer is the plain map
    ``W x + b`` to the width, each further one the block ``h + W phi(norm(h)) + b``.
    """

    def __init__(self, config: Knobs, inputs: int, outputs: int) -> None:
        super().__init__()
        self.residual, depth, width = config.residual, config.depth, config.width
        sizes = [inputs, *[width] * depth, outputs]
        self.linears = nn.ModuleList(blank_linear(n_in, n_out) for n_in, n_out in pairwise(sizes))
        self.norms = nn.ModuleList(NORMS[config.norm](width) for _ in range(depth))
        self.activations = nn.ModuleList(ACTIVATIONS[config.activation]() for _ in range(depth))
        if self.residual and depth:  # the first layer of a residual network has no branch
            self.norms[0], self.activations[0] = nn.Identity(), nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map inputs of shape ``(batch, inputs)`` to outputs of shape ``(batch, outputs)``."""
        return self.trace(x).output

    def trace(self, x: Tensor) -> Trace:
        """Run forward and keep every layer's z_l (output of its matrix) and h_l (what the next one reads)."""
        x = x.flatten(1)
        before: list[Tensor] = []
        after: list[Tensor] = []
        run = _calls()
        linears = [run(m) for m in self.linears]
        norms = [None if isinstance(m, nn.Identity) else run(m) for m in self.norms]
        for linear, norm, activation in zip(linears[:-1], norms, map(run, self.activations), strict=True):
            if self.residual:
                z = linear(activation(norm(x) if norm else x))
                x = x + z if before else z
            else:
                z = linear(x)
                x = activation(norm(z) if norm else z)
            before.append(z)
            after.append(x)
        z = linears[-1](x)
        return Trace(z, [*before, z], [*after, z])


def hooked_everywhere() -> bool:
    """Return whether a hook hangs on all modules there are, which old versions of torch have no function for."""
    of = torch.nn.modules.module
    hooks = (of._global_forward_hooks, of._global_forward_pre_hooks, of._global_backward_hooks)
    return any((*hooks, of._global_backward_pre_hooks))


def _calls() -> Callable[[nn.Module], Map]:
    """Return how a module is called: by its forward alone, a third of the cost, where nothing is hooked on it."""
    hooked_all = hooked_everywhere()

    def call(module: nn.Module) -> Map:
        hooked = module._forward_hooks or module._forward_pre_hooks or module._backward_hooks
        return module if hooked or hooked_all or module._backward_pre_hooks else module.forward

    return call


@architecture("mlp", "MLP", uses=("depth", "width", "activation", "norm", "residual", "init", "gain", "bias_std"))
def mlp(config: Knobs, input_shape: tuple[int, ...], outputs: Outputs) -> nn.Module:
    """A multilayer perceptron; it reads a sequence or an image as one long row of numbers."""
    columns = outputs if isinstance(outputs, int) else math.prod(outputs)
    network = Network(config, math.prod(input_shape), columns)
    return network if isinstance(outputs, int) else nn.Sequential(network, nn.Unflatten(1, outputs))
