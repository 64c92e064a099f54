"""What stands between matrices: `ACTIVATIONS`, ``() -> nn.Module``, and `NORMS`, ``(width) -> nn.Module``."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from gradlab.registry import Registry

MODULE: dict[str, Any] = {"gives": "a torch.nn.Module", "fits": lambda made, *_: isinstance(made, nn.Module)}
ACTIVATIONS = Registry("activation", "", **MODULE)
NORMS = Registry("norm", "width", **MODULE)


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


@NORMS.register("none", "None")
def none(width: int) -> nn.Module:
    """Pre-activations as they are."""
    return nn.Identity()


@NORMS.register("batch", "Batch norm", couples_samples=True)
def batch(width: int) -> nn.Module:
    """Each unit to mean 0, variance 1 over the micro-batch (Ioffe & Szegedy 2015)."""
    return nn.BatchNorm1d(width)


@NORMS.register("layer", "Layer norm")
def layer(width: int) -> nn.Module:
    """Each sample to mean 0, variance 1 over its units (Ba et al. 2016)."""
    return nn.LayerNorm(width)


@NORMS.register("rms", "RMS norm")
def rms(width: int) -> nn.Module:
    """Each sample to root-mean-square 1 over its units (Zhang & Sennrich 2019)."""
    return nn.RMSNorm(width)
