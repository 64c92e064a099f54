"""Derivatives of a network's loss by central finite differences in float64, with how far to trust them."""

from __future__ import annotations

import copy
import math
import sys
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from gradlab.data import Data
from gradlab.rules.carry_over import CumulativeGradient

# Central differences err by O(h^2) and by rounding / h; where the two meet depends on the network, so
# several steps are tried, largest first, and two neighbours that agree say how far to trust them.
STEPS = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7)
GOOD_ENOUGH = 1e-9
_ROUNDING = 32 * sys.float_info.epsilon  # relative error of a loss, a few dozen roundings deep


class LossOfCopy:
    """The loss of a float64 copy of a network on a few samples, as a function of single weights."""

    def __init__(self, network: nn.Module, data: Data, samples: int) -> None:
        self._network = copy.deepcopy(network).double()
        for module in self._network.modules():
            if isinstance(module, CumulativeGradient):
                module.reset()
        self._x = data.x[:samples].double() if data.x.is_floating_point() else data.x[:samples]
        self._y = data.y[:samples].double() if data.y.is_floating_point() else data.y[:samples]
        self._loss = data.loss
        self.params = [p for p in self._network.parameters() if p.requires_grad]
        self.value = float(self._evaluate().detach())
        if not math.isfinite(self.value):
            raise ValueError(f"check_gradients: the loss is {self.value}; expected finite weights (rewind first)")

    def _evaluate(self) -> Tensor:
        with torch.random.fork_rng(devices=[]):  # dropout must drop the same units each time
            torch.manual_seed(0)
            return self._loss(self._network(self._x), self._y)

    def gradients(self) -> list[Tensor]:
        """Return d loss / d p of each parameter, by autograd."""
        return list(torch.autograd.grad(self._evaluate(), self.params, allow_unused=True, materialize_grads=True))

    @torch.no_grad()
    def at(self, number: int, entry: int, shift: float) -> tuple[float, float]:
        """Return the loss with one weight shifted, and the shift that float64 really made."""
        param = self.params[number].data
        place = np.unravel_index(entry, param.shape)
        old = float(param[place])
        param[place] = old + shift
        try:
            return float(self._evaluate()), float(param[place]) - old
        finally:
            param[place] = old

    def scale(self, number: int) -> float:
        """Return the root-mean-square of a parameter, 1 if it is 0: the unit of a step."""
        size = float(self.params[number].detach().square().mean().sqrt())
        return size if 0.0 < size < math.inf else 1.0


@dataclass(frozen=True)
class Derivative:
    """A derivative by differences, how far it can be trusted, and whether it does not exist."""

    value: float
    uncertainty: float
    kink: bool = False


def differentiate(loss: LossOfCopy, number: int, entry: int, good_enough: float = GOOD_ENOUGH) -> Derivative:
    """Return the derivative of the loss by the entry, from the two neighbouring steps that agree best."""
    scale = loss.scale(number)
    best = Derivative(math.nan, math.inf, kink=True)
    previous = _difference(loss, number, entry, STEPS[0] * scale)
    for share in STEPS[1:]:
        here = _difference(loss, number, entry, share * scale)
        uncertainty = max(abs(here.central - previous.central), previous.rounding)
        if not here.shows_kink(previous) and uncertainty < best.uncertainty:
            best = Derivative(here.central, uncertainty)
        if best.uncertainty <= good_enough * abs(best.value):
            break
        previous = here
    return best


@dataclass(frozen=True)
class _Difference:
    """Central difference at one step, the gap between its two halves, and the rounding error of either."""

    central: float
    gap: float
    rounding: float

    def shows_kink(self, ten_times_wider: _Difference) -> bool:
        """Whether the slopes on both sides stay apart: at a smooth point the gap shrinks with the step."""
        return self.gap > 10 * self.rounding and self.gap > 0.5 * ten_times_wider.gap


def _difference(loss: LossOfCopy, number: int, entry: int, step: float) -> _Difference:
    above, up = loss.at(number, entry, step)
    below, down = loss.at(number, entry, -step)
    gap = abs((above - loss.value) / up - (below - loss.value) / down)
    return _Difference((above - below) / (up - down), gap, _ROUNDING * max(abs(above), abs(below)) / step)
