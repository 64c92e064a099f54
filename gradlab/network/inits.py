"""`INITS`: each entry is ``(weight, gain, generator)``, in place; std = the scheme's std times gain."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor, nn

from gradlab.registry import Registry

INITS = Registry("init", "weight, gain, generator", gives="it to write in place (weight.copy_)")
_SENTINEL = 12345.678  # what no init would fill a whole weight with


def fan_in_and_out(weight: Tensor) -> tuple[int, int]:
    """Return (fan_in, fan_out) of a weight of shape ``(out, in, *kernel)``."""
    kernel = math.prod(weight.shape[2:])
    return weight.shape[1] * kernel, weight.shape[0] * kernel


def _normal(weight: Tensor, std: float, generator: Generator) -> None:
    nn.init.normal_(weight, 0.0, std, generator=generator)


def _uniform(weight: Tensor, std: float, generator: Generator) -> None:
    bound = math.sqrt(3.0) * std
    nn.init.uniform_(weight, -bound, bound, generator=generator)


@INITS.register("normal", "Normal, 1/√fan_in")
def normal(weight: Tensor, gain: float, generator: Generator) -> None:
    """N(0, gain²/fan_in): `gain` is the σ_w of mean-field theory (LeCun et al. 1998)."""
    _normal(weight, gain / math.sqrt(fan_in_and_out(weight)[0]), generator)


@INITS.register("kaiming", "Kaiming normal")
def kaiming(weight: Tensor, gain: float, generator: Generator) -> None:
    """N(0, 2 gain²/fan_in): keeps the signal of a ReLU net (He et al. 2015)."""
    _normal(weight, gain * math.sqrt(2.0 / fan_in_and_out(weight)[0]), generator)


@INITS.register("kaiming_uniform", "Kaiming uniform")
def kaiming_uniform(weight: Tensor, gain: float, generator: Generator) -> None:
    """Uniform with the variance 2 gain²/fan_in (He et al. 2015)."""
    _uniform(weight, gain * math.sqrt(2.0 / fan_in_and_out(weight)[0]), generator)


@INITS.register("xavier", "Xavier normal")
def xavier(weight: Tensor, gain: float, generator: Generator) -> None:
    """N(0, 2 gain²/(fan_in + fan_out)): between forward and backward (Glorot & Bengio 2010)."""
    _normal(weight, gain * math.sqrt(2.0 / sum(fan_in_and_out(weight))), generator)


@INITS.register("xavier_uniform", "Xavier uniform")
def xavier_uniform(weight: Tensor, gain: float, generator: Generator) -> None:
    """Uniform with the variance 2 gain²/(fan_in + fan_out) (Glorot & Bengio 2010); the Keras default."""
    _uniform(weight, gain * math.sqrt(2.0 / sum(fan_in_and_out(weight))), generator)


@INITS.register("orthogonal", "Orthogonal")
def orthogonal(weight: Tensor, gain: float, generator: Generator) -> None:
    """A random (semi-)orthogonal matrix times gain: every singular value is gain (Saxe et al. 2014)."""
    nn.init.orthogonal_(weight, gain, generator=generator)


@INITS.register("pytorch", "PyTorch default")
def pytorch(weight: Tensor, gain: float, generator: Generator) -> None:
    """Uniform in ±gain/√fan_in, as nn.Linear draws its weights: variance gain²/(3 fan_in), too small for ReLU."""
    _uniform(weight, gain / math.sqrt(3.0 * fan_in_and_out(weight)[0]), generator)


@INITS.register("fixed", "Fixed std")
def fixed(weight: Tensor, gain: float, generator: Generator) -> None:
    """N(0, gain²) whatever the fan: the naive choice, right for no width but one."""
    _normal(weight, gain, generator)


@INITS.register("zeros", "Zeros")
def zeros(weight: Tensor, gain: float, generator: Generator) -> None:
    """All weights 0: no signal, no gradient, in any direction."""
    nn.init.zeros_(weight)


@INITS.register("constant", "Constant")
def constant(weight: Tensor, gain: float, generator: Generator) -> None:
    """All weights equal to gain: every unit of a layer computes and learns the same."""
    nn.init.constant_(weight, gain)


def _check_writes(name: str, like: Tensor, gain: float) -> None:
    """Raise ValueError unless a registered init writes to a weight: what it returns is not looked at."""
    weight = torch.full_like(like, _SENTINEL)
    returned = INITS[name](weight, gain, Generator().manual_seed(0))
    if (weight == _SENTINEL).all():
        what = " and returned a tensor" if isinstance(returned, Tensor) else ""
        raise ValueError(f"init={name!r}: left the weight as it was{what}; expected {INITS.gives}")


def initialise(network: nn.Module, init: str, gain: float, bias_std: float, generator: Generator) -> None:
    """Fill the weights of a network by the scheme `init` and its biases from N(0, bias_std²), in place.

    Three attributes of a module say what is its own: ``blocks``, how many matrices (the gates of a cell) its weight
    holds one above the other, each filled by itself; ``scheme``, an (init, gain) of its own, its biases then 0; and
    a method ``adjust``, called when all weights are drawn.
    """
    with torch.no_grad():
        tried = {name for name, entry in INITS.items() if entry.shipped}
        for module in network.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                own = getattr(module, "scheme", None)
                name, own_gain = own or (init, gain)
                blocks = getattr(module, "blocks", 1)
                if name not in tried:
                    _check_writes(name, module.weight[: len(module.weight) // blocks], own_gain)
                    tried.add(name)
                for matrix in [module.weight] if blocks == 1 else module.weight.chunk(blocks):
                    INITS[name](matrix, own_gain, generator)
                if module.bias is not None:
                    nn.init.normal_(module.bias, 0.0, 0.0 if own else bias_std, generator=generator)
        for module in network.modules():
            if adjust := getattr(module, "adjust", None):
                adjust()
