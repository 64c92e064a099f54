"""Half precision: a copy of the network computes in a narrow format, float32 master weights are trained.

Before every micro-batch the copy takes over the master's weights, rounded. Its gradients are those of the loss times
a scale, which slides them along the format's range (Micikevicius et al. 2018); they leave it as float32, unscaled,
and whatever follows a backward pass (accumulation, clipping, carry-over, the optimizer) never sees the format.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gradlab.data import Loss
from gradlab.engine.autograd import AutogradPass, ObservedNetwork, TracedNetwork


@dataclass(frozen=True)
class Format:
    """The range of a floating-point format.

    Attributes
    ----------
    name : str
        As torch calls it.
    smallest : float
        Smallest subnormal number: at half of it or less an entry rounds to zero.
    normal : float
        Smallest number with all its digits.
    largest : float
        Largest finite number.
    bits : int
        Stored bits of the fraction.
    keeps_tie : bool
        Whether an entry exactly half a unit above `largest` still rounds down to it.
    """

    name: str
    smallest: float
    normal: float
    largest: float
    bits: int
    keeps_tie: bool = False

    @property
    def overflow(self) -> float:
        """From where an entry is no longer held: half a unit in the last place above `largest`."""
        unit = 2.0 ** (math.floor(math.log2(self.largest)) - self.bits)
        edge = self.largest + unit / 2
        return float(np.nextafter(edge, math.inf)) if self.keeps_tie else edge


FORMATS = {
    f.name: f
    for f in (
        Format("float16", 2.0**-24, 2.0**-14, 65504.0, 10),
        Format("bfloat16", 2.0**-133, 2.0**-126, 2.0**127 * (2 - 2.0**-7), 7),
        Format("float8_e5m2", 2.0**-16, 2.0**-14, 57344.0, 2),
        Format("float8_e4m3fn", 2.0**-9, 2.0**-6, 448.0, 3, keeps_tie=True),
    )
}
"""Formats by torch's name (IEEE 754 half precision; bfloat16; E5M2 and E4M3 of Micikevicius et al. 2022)."""

_FIRST, _INTERVAL = 2.0**16, 2000  # torch's: where a dynamic scale begins, and good steps until it doubles


class LossScale(NamedTuple):
    """What the loss is multiplied with before the backward pass, by the rule of torch's `GradScaler`.

    Attributes
    ----------
    scale : float
        The scale of the next step.
    good : int
        Steps with finite gradients since a dynamic scale last moved.
    dynamic : bool
        Whether it moves: halved, and the step skipped, where a gradient is not finite; doubled after 2000 good steps.
    """

    scale: float
    good: int = 0
    dynamic: bool = False

    @classmethod
    def of(cls, knob: float | str) -> LossScale:
        """Return the scale that a run begins with."""
        return cls(_FIRST, dynamic=True) if isinstance(knob, str) else cls(knob)

    @property
    def inverse(self) -> float:
        """What unscales, rounded to float32 as torch's scaler does."""
        return float(np.float32(1 / self.scale)) if self.scale else math.inf

    def after(self, overflow: bool) -> LossScale:
        """Return the dynamic scale of the step after one whose gradients were not finite, or were."""
        if overflow:
            return self._replace(scale=float(np.float32(self.scale / 2)), good=0)
        if self.good + 1 < _INTERVAL:
            return self._replace(good=self.good + 1)
        return self._replace(scale=min(2 * self.scale, 2.0**127), good=0)


def widened(output: Any) -> Any:
    """Return a half tensor as float32, in which losses are computed; anything else as it is."""
    return output.float() if isinstance(output, Tensor) and is_half(output.dtype) else output


def is_half(dtype: torch.dtype) -> bool:
    """Return whether a dtype is float16 or bfloat16."""
    return dtype in (torch.float16, torch.bfloat16)


def narrow_copy(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Return a copy of a network in a narrow format, in training mode.

    Batch norm keeps its parameters and statistics in float32, as under `torch.autocast`: a running mean would stand
    still where its increments round to nothing. Every other module has the format; torch's kernels of layer and RMS
    norm sum in float32 inside. One that was given in half stays as it was given.
    """
    copied = copy.deepcopy(network).train()
    if not any(is_half(p.dtype) for p in network.parameters()):
        copied = copied.to(dtype)
        for module in copied.modules():
            if isinstance(module, _BatchNorm):
                module.float()
    return copied


class HalfNetwork:
    """A network's copy in a narrow format, which does the passes.

    Parameters
    ----------
    general : TracedNetwork or ObservedNetwork
        The copy, run by autograd and observed.
    master : Module
        The network that is trained; its buffers follow those of the copy.
    dtype : torch.dtype
        The format.

    Attributes
    ----------
    params : list of Parameter
        The copy's, in the order of the master's trainable ones.
    """

    def __init__(self, general: TracedNetwork | ObservedNetwork, master: nn.Module, dtype: torch.dtype) -> None:
        self._general, self._dtype = general, dtype
        self._pairs = list(zip(master.parameters(), general.network.parameters(), strict=True))
        self.params = [mine for its, mine in self._pairs if its.requires_grad]
        modules = zip(master.modules(), general.network.modules(), strict=True)
        self._buffers = [(its._buffers, mine._buffers, name) for its, mine in modules for name in its._buffers]
        self._given: list[Tensor | None] = []

    @torch.no_grad()
    def _take_over(self) -> None:
        """Round the master's weights into the copy, and give it the master's buffers."""
        torch._foreach_copy_([mine.detach() for _, mine in self._pairs], [its.detach() for its, _ in self._pairs])
        for its, mine in self._pairs:
            if its.requires_grad is not mine.requires_grad:  # somebody froze it since
                mine.requires_grad_(its.requires_grad)
        self._given = []
        for its, mine, name in self._buffers:
            value, old = its[name], mine[name]
            if value is not None:
                value = value.detach().to(value.dtype if old is None else old.dtype, copy=True)
            mine[name] = value
            self._given.append(None if value is None else value.clone())

    @torch.no_grad()
    def hand_back(self) -> None:
        """Give the master what the passes made of the buffers."""
        for (its, mine, name), given in zip(self._buffers, self._given, strict=True):
            now, own = mine[name], its[name]
            if now is None or given is None or not torch.equal(now, given):
                if now is not None and own is not None and own.shape == now.shape:
                    own.copy_(now)
                else:
                    its[name] = None if now is None else now.to(self._wide(now), copy=True)

    @staticmethod
    def _wide(tensor: Tensor) -> torch.dtype:
        return torch.float32 if is_half(tensor.dtype) else tensor.dtype

    def forward(self, x: Tensor, y: Tensor, loss: Loss) -> AutogradPass:
        """Run the copy on `x` in its format; the loss is computed in float32, as by torch.amp."""
        self._take_over()
        return self._general.forward(narrowed(x, self._dtype), y, lambda output, y: loss(widened(output), y))


def narrowed(x: Tensor, dtype: torch.dtype | None) -> Tensor:
    """Return real numbers in a format; whole ones, and all where there is none, as they are."""
    return x if dtype is None or not x.is_floating_point() else x.to(dtype)
