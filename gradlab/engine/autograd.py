"""The general way: any network, run by autograd, with what its layers return and hand on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from gradlab.data import Loss
from gradlab.engine.layers import Layer, LayerObserver, find_layers
from gradlab.engine.stats import Range, Stack, stacked
from gradlab.engine.time import SELDOM, TimeProbe
from gradlab.network import Network
from gradlab.network.activations import asymptotes

_requires_grad = attrgetter("requires_grad")


class AutogradPass:
    """What one forward pass left behind.

    Parameters
    ----------
    loss : Tensor
        The mean loss of the samples, with its graph, shape ``()``.
    edges : list of (layer, Tensor or GradientEdge)
        Where d loss / d z of a layer can be read in the backward pass: z, or the edge that it leaves the layer by.
        A layer called twice has two.
    activations : list of (layer, Tensor, range)
        What each layer hands on, and the range of its activation where it is bounded.
    time : TimeProbe or None
        What noted the states of recurrent layers in this pass.
    """

    def __init__(
        self,
        loss: Tensor,
        edges: Sequence[tuple[int, Tensor | GradientEdge]],
        activations: list[tuple[int, Tensor, Range]],
        time: TimeProbe | None = None,
    ) -> None:
        self.loss, self._edges, self._activations = loss, edges, activations
        self._time, self._states = time, [] if time is None else time.end()
        self._of_states: Sequence[Tensor | None] = ()

    @property
    def stacks(self) -> list[Stack]:
        """What the layers hand on, stacked where shape and range of the activation agree."""
        return stacked(self._activations)

    def gradients(
        self, params: Sequence[nn.Parameter], into: Sequence[Tensor] = (), scale: float = 1.0
    ) -> tuple[Sequence[Tensor | None], list[Stack]]:
        """Run the backward pass of `scale` times the loss: dL/dp of each parameter, and the stacks of dL/dz."""
        free = params if all(map(_requires_grad, params)) else [p for p in params if p.requires_grad]
        inputs: list[Any] = [*free, *(edge for _, edge in self._edges), *self._states]
        scaled = None if scale == 1.0 else torch.full_like(self.loss, scale)
        found = torch.autograd.grad(self.loss, inputs, scaled, allow_unused=True)
        beyond = len(free) + len(self._edges)
        of_params: Sequence[Tensor | None] = found[: len(free)]
        of_layers, self._of_states = found[len(free) : beyond], found[beyond:]
        if any(g is not None and g.is_sparse for g in of_params):
            of_params = [g.to_dense() if g is not None and g.is_sparse else g for g in of_params]
        if free is not params:  # one was frozen since
            rest = iter(of_params)
            of_params = [next(rest) if p.requires_grad else None for p in params]
        deltas = zip(self._edges, of_layers, strict=True)
        self._edges, self._states = [], []
        return of_params, stacked((number, g, None) for (number, _), g in deltas if g is not None)

    def time_norms(self, samples: int, step: int) -> list[Tensor]:
        """Return what `TimeProbe.norms` says of the backward pass, which must have been run; nothing if it rests."""
        rests = self._time is None or (self._time.costly and step % SELDOM)
        norms = [] if self._time is None or rests else self._time.norms(self._of_states, samples)
        self._of_states = ()
        return norms


class TracedNetwork:
    """A network made by `build_network` that keeps its own trace: no hook is needed."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.layers = [
            Layer(f"layer {i + 1}", m, [m.weight], {})  # pyright: ignore[reportArgumentType]
            for i, m in enumerate(network.linears)
        ]
        hidden = [None if network.residual else asymptotes(m) for m in network.activations]
        self.ranges: list[Range] = [*hidden, None]

    def forward(self, x: Tensor, y: Tensor, loss: Loss) -> AutogradPass:
        """Run the network on `x`, compare with `y` and note every layer."""
        trace = self.network.trace(x)
        edges = [(i, z) for i, z in enumerate(trace.pre_activations) if z.requires_grad]
        activations = list(zip(range(len(self.ranges)), trace.activations, self.ranges, strict=True))
        return AutogradPass(loss(trace.output, y), edges, activations)


def _edge(z: Tensor) -> GradientEdge:
    """Return where d loss / d z can be read; the same as `get_gradient_edge` without its checks."""
    return GradientEdge(z.grad_fn, z.output_nr) if z.grad_fn is not None else get_gradient_edge(z)


def _note_edge(edges: list[tuple[int, GradientEdge]], number: int, z: Tensor) -> bool:
    if z.requires_grad:
        edges.append((number, _edge(z)))
    return True


class ObservedNetwork:
    """Any network, its layers seen by `LayerObserver`."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.layers = find_layers(network)
        self.time = TimeProbe(network)
        self._edges: list[tuple[int, GradientEdge]] = []
        self._observer = LayerObserver(network, self.layers, partial(_note_edge, self._edges), alone=True)

    def forward(self, x: Tensor, y: Tensor, loss: Loss) -> AutogradPass:
        """Run the network on `x`, compare with `y` and note every layer that it calls."""
        self._edges.clear()
        self.time.begin()
        try:
            with self._observer:
                found = loss(self.network(x), y)
                seen = self._observer.take()
        finally:
            self.time.end()
        return AutogradPass(found, [*self._edges], [(s.layer, s.value, s.bounds) for s in seen], self.time)
