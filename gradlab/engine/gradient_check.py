"""Autograd against central finite differences in float64: is the backward pass the derivative of the forward one."""

from __future__ import annotations

import copy
import math
import sys
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from torch import Generator, Tensor, nn

from gradlab.data import Data
from gradlab.engine.check import check_count, check_seconds
from gradlab.rules.accumulation import CumulativeGradient

TRUSTED = 1e-4  # differences that disagree among themselves by a larger share decide nothing
# Central differences err by O(h^2) and by rounding / h; where the two meet depends on the network, so
# several steps are tried, largest first, and two neighbours that agree say how far to trust them.
STEPS = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7)
GOOD_ENOUGH = 1e-9
_ROUNDING = 32 * sys.float_info.epsilon  # relative error of a loss, a few dozen roundings deep


# ---------------------------------------------------------------------- derivatives by differences
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
    """Return the derivative of the loss by the entry, from the two steps that agree best (Ridders 1982)."""
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


# ---------------------------------------------------------------------- the check
@dataclass(frozen=True, eq=False)
class GradientCheck(Mapping[str, float]):
    """The worst relative error of each layer: a mapping layer name -> error, from the input to the output.

    The error of an entry is ``|a - d| / max(|a|, |d|)``, a by autograd and d by central differences: around
    1e-7 or less for a right backward pass, 1 for a sign or a factor forgotten altogether. It is nan for a
    layer where nothing could be compared.

    Attributes
    ----------
    errors : tuple of float
        The worst relative error of each layer.
    layer_names : tuple of str
        The layers.
    compared : tuple of int
        Entries compared in each layer.
    kinks : tuple of int
        Entries left out because the loss has a corner exactly there (a ReLU at 0), so that no derivative
        exists to compare with.
    unresolved : tuple of int
        Entries left out because differences cannot see a gradient that small, or that bent, in float64.
    """

    errors: tuple[float, ...]
    layer_names: tuple[str, ...]
    compared: tuple[int, ...]
    kinks: tuple[int, ...]
    unresolved: tuple[int, ...]

    def __getitem__(self, name: str) -> float:
        return dict(zip(self.layer_names, self.errors, strict=True))[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.layer_names)

    def __len__(self) -> int:
        return len(self.layer_names)

    @property
    def worst(self) -> float:
        """The largest error of all layers; nan if nothing could be compared."""
        return max((e for e in self.errors if not math.isnan(e)), default=math.nan)

    @property
    def sentence(self) -> str:
        """The result in one sentence."""
        left_out = sum(self.kinks) + sum(self.unresolved)
        if math.isnan(self.worst):
            return f"No entry could be compared ({sum(self.kinks)} at a kink, {sum(self.unresolved)} too small)."
        name = self.layer_names[self.errors.index(self.worst)]
        rest = f"; {left_out} more at a kink or too small to compare" if left_out else ""
        return f"Worst relative error {self.worst:.1e}, in {name}, of {sum(self.compared)} entries{rest}."

    def __repr__(self) -> str:
        return f"GradientCheck({self.sentence})"


def check_gradients(
    network: nn.Module,
    data: Data,
    layer_names: Sequence[str],
    layer_of: Callable[[int], int],
    samples: int = 8,
    entries_per_layer: int = 4,
    compare: Callable[[LossOfCopy, int, int], Derivative] = differentiate,
    seconds: float = math.inf,
) -> GradientCheck:
    """Compare autograd with central finite differences on a float64 copy of a network.

    Of each layer half the entries are those with the largest gradient, the others drawn at random (always
    the same). The backward pass runs twice, and the worse of the two counts, so that one with a memory shows;
    a `CumulativeGradient` starts with nothing in it. The cost is about 8 forward passes per entry.

    `layer_of` is the number of a trainable parameter -> index of the layer it is counted with. After `seconds`, or
    where `compare` raises TimeoutError, no further entry is begun: what was compared so far is the result.

    Raises
    ------
    ValueError
        If a number is below 1, or the loss is not finite at these weights.
    """
    for name, value in (("samples", samples), ("entries_per_layer", entries_per_layer)):
        check_count(name, value, 1)
    check_seconds(seconds)
    end, loss = time.perf_counter() + seconds, LossOfCopy(network, data, samples)
    found = [_Layer() for _ in layer_names]
    first, second = loss.gradients(), loss.gradients()
    by_layer: dict[int, list[int]] = {}
    for number in range(len(loss.params)):
        by_layer.setdefault(layer_of(number), []).append(number)
    places = {layer: iter(_candidates(first, numbers, entries_per_layer)) for layer, numbers in by_layer.items()}
    with suppress(TimeoutError):
        for goal in range(1, entries_per_layer + 1):  # every layer once before one is looked at twice
            for layer, left in places.items():
                while found[layer].compared < goal and (place := next(left, None)) is not None:
                    if time.perf_counter() > end:
                        raise TimeoutError
                    derivative = compare(loss, *place)
                    found[layer].see(derivative, [float(g[place[0]].flatten()[place[1]]) for g in (first, second)])
    return GradientCheck(
        tuple(f.error for f in found),
        tuple(layer_names),
        tuple(f.compared for f in found),
        tuple(f.kinks for f in found),
        tuple(f.unresolved for f in found),
    )


class _Layer:
    """What was found in one layer."""

    def __init__(self) -> None:
        self.error, self.compared, self.kinks, self.unresolved = math.nan, 0, 0, 0

    def see(self, derivative: Derivative, by_autograd: list[float]) -> None:
        """Count an entry in."""
        if derivative.kink:
            self.kinks += 1
            return
        scale = max(abs(derivative.value), *map(abs, by_autograd))
        if scale > 0.0 and derivative.uncertainty > TRUSTED * scale:
            self.unresolved += 1
            return
        error = max(abs(a - derivative.value) for a in by_autograd) / scale if scale else 0.0
        self.error = error if self.compared == 0 else max(self.error, error)
        self.compared += 1


def _candidates(gradients: list[Tensor], numbers: list[int], count: int) -> list[tuple[int, int]]:
    """Name entries of a layer: its largest gradients and random ones, with some to spare."""
    sizes = torch.cat([gradients[number].flatten().abs() for number in numbers])
    largest = sizes.topk(min((count + 1) // 2, len(sizes))).indices.tolist()
    drawn = torch.randperm(len(sizes), generator=Generator().manual_seed(0))[: 3 * count].tolist()
    ends = list(accumulate(gradients[number].numel() for number in numbers))
    found = []
    for i in dict.fromkeys([*largest, *drawn]):
        k = bisect_right(ends, i)
        found.append((numbers[k], i - (ends[k - 1] if k else 0)))
    return found
