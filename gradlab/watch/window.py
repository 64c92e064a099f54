"""`Window`: what the backward passes since the last optimizer step have shown."""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor

from gradlab.history import Array
from gradlab.trainer.meter import Meter
from gradlab.watch.lazy import lazy_norm, read
from gradlab.watch.probe import WatchedPass


class Window:
    """What the backward passes since the last optimizer step have shown.

    Parameters
    ----------
    layers : int
        Number of layers.
    scale : float
        What the losses are multiplied with (AMP); every number read from here is without it.
    """

    def __init__(self, layers: int, scale: float = 1.0) -> None:
        self.layers, self.scale = layers, scale
        self.passes: list[WatchedPass] = []
        self._losses: list[Tensor] = []
        self._deltas: list[tuple[int, Tensor]] = []
        self._norms: dict[int, Tensor] = {}

    # ------------------------------------------------------------------ noting
    def see_pass(self, watched: WatchedPass) -> None:
        """Count a forward pass that a backward pass has come to."""
        watched.measure()
        self.passes.append(watched)

    def see_loss(self, loss: Tensor) -> None:
        """Add the scalar of one backward pass."""
        self._losses.append(loss)

    def see_delta(self, layer: int, gradient: Tensor) -> None:
        """Add dL/dz of a layer."""
        self._deltas.append((layer, lazy_norm(gradient)))

    def see_gradient(self, number: int, gradient: Tensor) -> None:
        """Note what has accumulated in a parameter's ``.grad``; the last note counts."""
        self._norms[number] = lazy_norm(gradient)

    # ------------------------------------------------------------------ reading
    @property
    def numbers(self) -> list[int]:
        """Numbers of the parameters that received a gradient."""
        return list(self._norms)

    @property
    def samples(self) -> int:
        """Samples of all the passes."""
        return sum(p.samples for p in self.passes)

    def loss(self) -> float:
        """Return the sum of the losses; nan if none was seen."""
        return sum(read(self._losses)) / self.scale if self._losses else math.nan

    @property
    def saw_loss(self) -> bool:
        """Whether a backward pass was seen that began at a scalar."""
        return bool(self._losses)

    def gradient_norms(self) -> dict[int, float]:
        """Return the norm of each parameter's accumulated gradient as the last backward pass left it."""
        values = read(list(self._norms.values()))
        return {number: value / self.scale for number, value in zip(self._norms, values, strict=True)}

    def delta_norm(self) -> Array:
        """Return the backward signal per layer; nan where no gradient came by.

        The sum of the losses is taken as the mean over the window's N samples, so a sample's own gradient is
        N times its row of dL/dz, and their root-mean-square is sqrt(N) times the norm of dL/dz.
        """
        squares: dict[int, float] = {}
        for (layer, _), norm in zip(self._deltas, read([n for _, n in self._deltas]), strict=True):
            squares[layer] = math.hypot(squares.get(layer, 0.0), norm)
        found = np.full(self.layers, np.nan)
        for layer, norm in squares.items():
            found[layer] = norm * math.sqrt(max(self.samples, 1)) / self.scale
        return found

    def activations(self) -> Meter:
        """Return the statistics of the activations of all the passes."""
        total = Meter(self.layers)
        for watched in self.passes:
            watched.measure()
            total.absorb(watched.meter)
        return total
