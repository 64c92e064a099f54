"""`ACTIVATIONS`: each entry is ``() -> nn.Module``, applied entry by entry."""

from __future__ import annotations

import torch
from torch import nn

from gradlab.registry import Registry

ACTIVATIONS = Registry("activation")


@ACTIVATIONS.register("linear", "Linear (none)")
def linear() -> nn.Module:
    """phi(z) = z: a deep linear network."""
    return nn.Identity()


@ACTIVATIONS.register("relu", "ReLU")
def relu() -> nn.Module:
    """phi(z) = max(z, 0); halves the signal's second moment (He et al. 2015)."""
    return nn.ReLU()


@ACTIVATIONS.register("leaky_relu", "Leaky ReLU (0.2)")
def leaky_relu() -> nn.Module:
    """phi(z) = max(z, 0.2 z): a slope on both sides, so no unit dies."""
    return nn.LeakyReLU(0.2)


@ACTIVATIONS.register("tanh", "tanh")
def tanh() -> nn.Module:
    """phi(z) = tanh z: bounded, odd; saturates."""
    return nn.Tanh()


@ACTIVATIONS.register("sigmoid", "Sigmoid")
def sigmoid() -> nn.Module:
    """phi(z) = 1/(1 + exp(-z)): bounded, slope at most 1/4, the classic vanishing gradient."""
    return nn.Sigmoid()


@ACTIVATIONS.register("gelu", "GELU")
def gelu() -> nn.Module:
    """phi(z) = z P(Z < z), the transformer's activation (Hendrycks & Gimpel 2016)."""
    return nn.GELU()


@ACTIVATIONS.register("selu", "SELU")
def selu() -> nn.Module:
    """Scaled exponential unit with fixed point q = 1 (Klambauer et al. 2017)."""
    return nn.SELU()


@ACTIVATIONS.register("silu", "SiLU (swish)")
def silu() -> nn.Module:
    """phi(z) = z sigmoid(z) (Ramachandran et al. 2017)."""
    return nn.SiLU()


def asymptotes(activation: nn.Module) -> tuple[float, float] | None:
    """Return the limits (lower, upper) of an activation that is bounded on both sides, else None.

    Found by evaluating the function at -1e6, -1e3, 1e3 and 1e6, so it also holds for one registered in a
    notebook cell; one that mixes entries (softmax, GLU) has no limits of its own.
    """
    probe = torch.tensor([-1e6, -1e3, 1e3, 1e6], dtype=torch.float64)[:, None].expand(4, 2).contiguous()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            values = activation(probe)
    except (RuntimeError, ValueError, IndexError):  # it wants another shape or dtype: not entry by entry
        return None
    if not isinstance(values, torch.Tensor) or values.shape != (4, 2):
        return None
    first, second, third, last = values[:, 0].tolist()
    flat = abs(first - second) < 1e-2 and abs(third - last) < 1e-2
    low, high = sorted((first, last))
    return (low, high) if flat and high > low else None
