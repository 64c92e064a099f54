"""`Window`: what the backward passes since the last optimizer step have shown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor

from gradlab.engine.meter import Meter
from gradlab.history import Array
from gradlab.watch.lazy import lazy_norms, read
from gradlab.watch.probe import WatchedPass

Norms = Mapping[int, float]


class Shown(NamedTuple):
    """What a window has shown, as numbers.

    Attributes
    ----------
    loss : float or None
        Sum of the scalars that backward passes began at; None if there was none.
    norms : mapping of int to float
        Norm of each parameter's accumulated gradient as the last backward pass left it.
    delta_norm : array (layers,)
        The backward signal; nan where no gradient came by.
    activations : Meter
        The statistics of the activations.
    samples, micro_batches : int
        Of the passes that a backward pass came back to.
    """

    loss: float | None
    norms: Norms
    delta_norm: Array
    activations: Meter
    samples: int
    micro_batches: int


class Window:
    """What the backward passes since the last optimizer step have shown.

    Parameters
    ----------
    layers : int
        Number of layers.

    Attributes
    ----------
    scale : float
        What the losses are multiplied with (AMP); every number read from here is without it.
    """

    def __init__(self, layers: int) -> None:
        self.scale = 1.0
        self._layers = layers
        self._passes: list[WatchedPass] = []
        self._losses: list[Tensor] = []
        self._deltas: list[tuple[int, Tensor]] = []
        self._norms: dict[int, Tensor] = {}

    def __contains__(self, watched: WatchedPass) -> bool:
        return watched in self._passes

    @property
    def empty(self) -> bool:
        """Whether no parameter has received a gradient."""
        return not self._norms

    def see_pass(self, watched: WatchedPass) -> None:
        """Count a forward pass that a backward pass has come to."""
        watched.measure()
        self._passes.append(watched)

    def see_loss(self, loss: Tensor) -> None:
        """Add the scalar of one backward pass."""
        self._losses.append(loss)

    def see_delta(self, layer: int, gradient: Tensor) -> None:
        """Add dL/dz of a layer."""
        self._deltas.append((layer, lazy_norms([gradient])[0]))

    def see_gradients(self, numbers: Sequence[int], gradients: Sequence[Tensor]) -> None:
        """Note what has accumulated in the ``.grad`` of parameters; the last note counts."""
        self._norms.update(zip(numbers, lazy_norms(gradients), strict=True))

    def norms(self) -> Norms:
        """Return the norm of each parameter's accumulated gradient."""
        values = read(list(self._norms.values()))
        return {number: value / self.scale for number, value in zip(self._norms, values, strict=True)}

    def read(self) -> Shown:
        """Return everything as numbers."""
        total = Meter(self._layers)
        for watched in self._passes:
            watched.measure()
            total.absorb(watched.meter)
        samples = sum(p.samples for p in self._passes)
        loss = sum(read(self._losses)) / self.scale if self._losses else None
        return Shown(loss, self.norms(), self._delta_norm(samples), total, samples, len(self._passes))

    def _delta_norm(self, samples: int) -> Array:
        """Return the root-mean-square of the samples' own gradients.

        The sum of the losses is taken as the mean over the window's N samples, so a sample's own gradient is
        N times its row of dL/dz, and their root-mean-square is sqrt(N) times the norm of dL/dz.
        """
        found = np.full(self._layers, np.nan)
        for (layer, _), norm in zip(self._deltas, read([n for _, n in self._deltas]), strict=True):
            found[layer] = norm if np.isnan(found[layer]) else math.hypot(found[layer], norm)
        return found * (math.sqrt(max(samples, 1)) / self.scale)
