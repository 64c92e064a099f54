"""`NORMS`: each entry is ``(width) -> nn.Module``, applied to pre-activations before phi."""

from __future__ import annotations

from torch import nn

from gradlab.registry import Registry

NORMS = Registry("norm")


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
