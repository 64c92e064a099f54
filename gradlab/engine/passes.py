"""What a forward pass with its layers observed leaves behind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge

from gradlab.engine.gauge import Gauge
from gradlab.engine.time import TimeProbe

Range = tuple[float, float] | None
Stack = tuple[tuple[int, ...], Tensor, Range]  # layers, their tensors along the first dimension, their range
Deltas = list[tuple[tuple[int, ...], Tensor]]
Found = tuple[Sequence[Tensor | None], Deltas]


class Pass(ABC):
    """What one forward pass left behind.

    Attributes
    ----------
    loss : Tensor
        The mean loss of the samples, shape ``()``.
    stacks : list of (layers, Tensor, range)
        What the layers hand on, detached, stacked where shape and range of the activation agree.
    gauge : Gauge or None
        Measures the stacks of this pass and their gradients, if all passes of its size have the same.
    """

    loss: Tensor
    gauge: Gauge | None = None

    @property
    @abstractmethod
    def stacks(self) -> list[Stack]:
        """What the layers hand on."""

    @abstractmethod
    def gradients(self, params: list[nn.Parameter], into: list[Tensor]) -> Found:
        """Run the backward pass: dL/dp of each parameter, which may lie in `into`, and the stacks of dL/dz."""

    def time_norms(self, samples: int) -> list[Tensor]:
        """Return what `TimeProbe.norms` says of the backward pass, which must have been run."""
        return []


class AutogradPass(Pass):
    """A forward pass of any network.

    Parameters
    ----------
    loss : Tensor
        The loss, with its graph.
    edges : list of (layer, GradientEdge)
        Where d loss / d z of a layer can be read in the backward pass; a layer called twice has two.
    activations : list of (layer, Tensor, range)
        What each layer hands on, detached, and the range of its activation where it is bounded.
    time : TimeProbe or None
        What noted the states of recurrent layers in this pass.
    """

    def __init__(
        self,
        loss: Tensor,
        edges: list[tuple[int, GradientEdge]],
        activations: list[tuple[int, Tensor, Range]],
        time: TimeProbe | None = None,
    ) -> None:
        self.loss, self._edges, self._activations = loss, edges, activations
        self._time, self._states = time, [] if time is None else time.end()
        self._of_states: list[Tensor | None] = []

    @property
    def stacks(self) -> list[Stack]:
        """What the layers hand on."""
        return stacked(self._activations)

    def gradients(self, params: list[nn.Parameter], into: list[Tensor]) -> Found:
        """Run one backward pass of autograd."""
        beyond = -len(self._states)  # a state's number lies below those of the layers
        states = list(enumerate(self._states, start=beyond))
        found, deltas = gradients(self.loss, params, [*self._edges, *states])
        of_states = {i: g for i, g in deltas if i < 0}
        self._of_states = [of_states.get(i) for i, _ in states]
        self._edges, self._states = [], []
        deltas = [(i, d, None) for i, d in deltas if i >= 0]
        return found, [(layers, stack) for layers, stack, _ in stacked(deltas)]

    def time_norms(self, samples: int) -> list[Tensor]:
        """Return the norms of the states' gradients, and let go of them."""
        norms = [] if self._time is None else self._time.norms(self._of_states, samples)
        self._of_states = []
        return norms


def stacked(items: Sequence[tuple[int, Tensor, Range]]) -> list[Stack]:
    """Stack neighbours of one shape and range: a few operations whatever the depth."""
    found: list[Stack] = []
    for (_, bounds), run in groupby(items, key=lambda item: (item[1].shape, item[2])):
        layers, tensors, _ = zip(*run, strict=True)
        found.append((layers, torch.stack(tensors), bounds))
    return found


def gradients(
    loss: Tensor, params: list[nn.Parameter], edges: list[tuple[int, GradientEdge]]
) -> tuple[list[Tensor | None], list[tuple[int, Tensor]]]:
    """Run one backward pass; return dL/dp per parameter and dL/dz per observed layer output."""
    free = [p for p in params if p.requires_grad]  # one may have been frozen since
    inputs: list[Any] = [*free, *(edge for _, edge in edges)]
    found = torch.autograd.grad(loss, inputs, allow_unused=True)
    of_free = iter(g.to_dense() if g is not None and g.is_sparse else g for g in found[: len(free)])
    of_params = [next(of_free) if p.requires_grad else None for p in params]
    deltas = zip((number for number, _ in edges), found[len(free) :], strict=True)
    return of_params, [(number, g) for number, g in deltas if g is not None]
