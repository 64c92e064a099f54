"""What the loop does to the parameters between one optimizer step and the next, as tensors until it is read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from gradlab.engine.precision import is_half
from gradlab.engine.stats import LayerStats, ListNorms, norms_of, shares_of

Norms = dict[int, float]
Versions = list[tuple[int, int] | None]

WEIGHT, CHANGE, GRADIENT, USED = range(4)  # the moments at which a parameter or its gradient is measured


class Arranged(NamedTuple):
    """Parameters by their numbers, and what measures them."""

    numbers: tuple[int, ...]
    norms: ListNorms


class ParameterNorms:
    """Measures parameters and gradients by their numbers; what belongs to one set of them is arranged once.

    Parameters
    ----------
    params : list of Parameter
        All parameters of the network.
    """

    def __init__(self, params: list[nn.Parameter]) -> None:
        self.params = params
        self._half = any(is_half(p.dtype) for p in params)
        self._arranged: dict[tuple[int, ...], Arranged] = {}

    def _arrange(self, numbers: tuple[int, ...], tensors: Sequence[Tensor]) -> Arranged:
        if numbers not in self._arranged:
            self._arranged[numbers] = Arranged(numbers, ListNorms(tensors, 4))
        return self._arranged[numbers]

    def forget(self) -> None:
        """Let go of all copies."""
        for arranged in self._arranged.values():
            arranged.norms.forget()

    @torch.no_grad()
    def gradients(self, moment: int, numbers: Iterable[int]) -> Arranged | None:
        """Take note of the gradients that are there."""
        params = self.params
        found = {i: grad for i in numbers if (grad := params[i].grad) is not None}
        if not found:
            return None
        tensors, key = list(found.values()), tuple(found)
        sparse = any(t.is_sparse for t in tensors)  # their entries come and go
        arranged = Arranged(key, ListNorms(tensors, 4)) if sparse else self._arrange(key, tensors)
        arranged.norms.take(moment, tensors)
        return arranged

    @torch.no_grad()
    def shares(self, numbers: Iterable[int], dtype: torch.dtype | None) -> tuple[list[int], Tensor] | None:
        """Return what a half format, `dtype` or the gradients' own, made of their entries; None where none did."""
        if dtype is None and not self._half:
            return None
        grads = [(i, grad) for i in numbers if (grad := self.params[i].grad) is not None]
        found = {i: grad for i, grad in grads if dtype is not None or is_half(grad.dtype)}
        return (list(found), shares_of(list(found.values()), dtype)) if found else None

    @torch.no_grad()
    def norms(self, numbers: Iterable[int], gradients: bool = True) -> Tensor | None:
        """Return the norms of the gradients that are there, or of the parameters."""
        found = [t for i in numbers if (t := self.params[i].grad if gradients else self.params[i]) is not None]
        return norms_of(found) if found else None

    def versions(self, numbers: Iterable[int]) -> Versions:
        """Return which tensors the gradients are, and how often each was changed."""
        grads = [self.params[i].grad for i in numbers]
        return [None if g is None else (id(g), g._version) for g in grads]

    @torch.no_grad()
    def weights(self, numbers: tuple[int, ...]) -> Arranged:
        """Take note of parameters, and keep copies for `change`."""
        tensors = [self.params[i] for i in numbers]
        arranged = self._arrange(numbers, tensors)
        arranged.norms.take(WEIGHT, tensors, keep=True)
        return arranged

    @torch.no_grad()
    def change(self, arranged: Arranged) -> None:
        """Take note of how parameters have changed since `weights`."""
        arranged.norms.change(CHANGE, WEIGHT, [self.params[i] for i in arranged.numbers])


class Shown(NamedTuple):
    """What a window has shown, as numbers; norms by the number of the parameter.

    Attributes
    ----------
    loss : float or None
        Sum of the scalars that backward passes began at; None if there was none.
    gradient, used : dict of int to float
        Norms of the accumulated gradients as the last backward pass left them, and as the optimizers got them.
    weights, changes : dict of int to float
        Norms of the parameters before their step, and of what it changed.
    frozen : dict of int to float
        Norms of the parameters that no optimizer moves.
    uncleared : bool
        Whether gradients of the step before were still there.
    applied : bool
        False if a fused optimizer was told to skip the step.
    lr : float
        The first learning rate.
    shares : dict of int to list of float
        Zero, subnormal and overflow share of gradients that a half format has made.
    """

    loss: float | None
    gradient: Norms
    used: Norms
    weights: Norms
    changes: Norms
    frozen: Norms
    uncleared: bool
    applied: bool
    lr: float
    shares: dict[int, list[float]]


@dataclass
class Window:
    """What the passes and optimizer steps since the last record have shown of the parameters, still on the device.

    Attributes
    ----------
    scale : float
        What the losses are multiplied with (AMP); the numbers read are without it.
    losses : list of Tensor
        The scalars that backward passes began at.
    backwards : int
        Backward passes so far.
    stepped : bool
        Whether an optimizer has moved them.
    gradient : Arranged or None
        The accumulated gradients, as the last backward pass left them.
    inside, used : list of Arranged
        The gradients that optimizers got, inside a backward pass and altogether.
    moved : list of Arranged
        The parameters that optimizers have moved, or may yet.
    uncleared : Tensor or None
        Norms of gradients of the step before that nobody cleared.
    frozen : (sequence of int, Tensor) or None
        Norms of the parameters that no optimizer moves.
    shares : (list of int, Tensor) or None
        What a half format made of the gradients' entries, as `ParameterNorms.shares` says it.
    refused, unscaled : list of Tensor
        What a fused optimizer was told: whether gradients were infinite, and the scale still to be divided by.
    lr : float or Tensor
        The first learning rate.
    """

    scale: float = 1.0
    losses: list[Tensor] = field(default_factory=list)
    gradient: Arranged | None = None
    inside: list[Arranged] = field(default_factory=list)
    used: list[Arranged] = field(default_factory=list)
    moved: list[Arranged] = field(default_factory=list)
    backwards: int = 0
    stepped: bool = False
    uncleared: Tensor | None = None
    frozen: tuple[Sequence[int], Tensor | None] = ((), None)
    shares: tuple[list[int], Tensor] | None = None
    refused: list[Tensor] = field(default_factory=list)
    unscaled: list[Tensor] = field(default_factory=list)
    lr: Any = float("nan")

    def _moments(self) -> dict[int, tuple[Arranged, list[int]]]:
        """Return what is to be measured: each arrangement, and its moments in order."""
        chosen: list[tuple[int, Arranged]] = [(WEIGHT, a) for a in self.moved]
        chosen += [(CHANGE, a) for a in self.moved] if self.stepped else []
        chosen += [(GRADIENT, self.gradient)] if self.gradient else []
        chosen += [(USED, a) for a in self.used]
        found: dict[int, tuple[Arranged, list[int]]] = {}
        for moment, arranged in chosen:
            found.setdefault(id(arranged.norms), (arranged, []))[1].append(moment)
        return found

    def read(self, stats: LayerStats) -> Shown:
        """Read everything at once: the layers' numbers into `stats`, the rest as numbers."""
        moments = list(self._moments().values())
        numbers, fixed = self.frozen
        tensors = [arranged.norms.of(chosen) for arranged, chosen in moments]
        single = [*self.losses, *self.refused, *self.unscaled, *([self.lr] if isinstance(self.lr, Tensor) else [])]
        counted, shares = self.shares or ([], None)
        tensors += [t for t in (*single, self.uncleared, fixed, shares) if t is not None]
        values = stats.read(*tensors)
        norms: tuple[Norms, ...] = ({}, {}, {}, {})
        start = 0
        for arranged, chosen in moments:
            order = [arranged.numbers[i] for i in arranged.norms.order]
            for moment in chosen:
                norms[moment].update(zip(order, values[start : start + len(order)], strict=True))
                start += len(order)
        found = iter(values[start:])
        loss = sum(next(found) for _ in self.losses) / self.scale if self.losses else None
        refused = sum(next(found) for _ in self.refused) > 0
        unscaled = max((next(found) for _ in self.unscaled), default=1.0)
        lr = next(found) if isinstance(self.lr, Tensor) else self.lr
        uncleared = self.uncleared is not None and sum(next(found) for _ in range(self.uncleared.numel())) > 0
        frozen = {i: next(found) for i in numbers}
        parts = {i: [next(found) for _ in range(3)] for i in counted}
        used, scale = norms[USED], self.scale
        inside = {i: used[i] for arranged in self.inside for i in arranged.numbers}
        gradient = inside | norms[GRADIENT]
        if scale != 1.0:
            gradient = {i: norm / scale for i, norm in gradient.items()}
        if unscaled != 1.0:
            used = {i: norm / unscaled for i, norm in used.items()}
        moved = norms[WEIGHT], norms[CHANGE]
        return Shown(loss, gradient, used, *moved, frozen, uncleared, not refused, lr, parts)
