"""What a student predicts of the backward signal, and how right that was."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradlab.growth import FEWEST, MILD, growth, way
from gradlab.history import Array

_HALF = 50.0  # points for the direction, and again for the size


@dataclass(frozen=True)
class Score:
    """A prediction beside the measurement."""

    # decades by which the backward signal grows from the last hidden layer to the first
    guessed: float
    measured: float
    layers: int

    @property
    def right_way(self) -> bool:
        """Whether growing, flat or shrinking was said rightly."""
        return way(self.guessed) == way(self.measured)

    @property
    def points(self) -> int:
        """0 to 100: half for the direction, half for the size, less in proportion to the decades missed."""
        scale = max(abs(self.measured), MILD)
        size = max(0.0, 1.0 - abs(self.guessed - self.measured) / scale)
        return round(_HALF * self.right_way + _HALF * size)


def measured_decades(signal: Array) -> float | None:
    """Return the decades by which a signal grows from the last hidden layer to the first.

    Parameters
    ----------
    signal : array (layers,)
        ``delta_norm`` of one step; the last entry is the output layer's.

    Returns
    -------
    float or None
        ``-inf`` or ``inf`` where the first layer's signal is 0 or not finite; None with fewer than three hidden
        layers, or without a signal at the last of them.
    """
    found = growth(signal)
    return None if found is None or found.layers < FEWEST else found.decades


def line(signal: Array, per_layer: float) -> Array:
    """Return the guessed signal of the hidden layers: a straight line in log10 through the last one's value."""
    hidden = signal[:-1]
    steps = np.arange(len(hidden) - 1, -1, -1)
    return float(hidden[-1]) * np.power(float(per_layer), steps)
