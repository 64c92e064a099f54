"""What a student predicts of the backward signal, and how right that was."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gradlab.diagnosis.rules import MILD
from gradlab.history import Array

FEWEST = 3  # hidden layers that make a slope
_HALF = 50.0  # points for the direction, and again for the size


@dataclass(frozen=True)
class Score:
    """A prediction beside the measurement.

    Attributes
    ----------
    guessed, measured : float
        Decades by which the backward signal grows from the last hidden layer to the first.
    layers : int
        Hidden layers.
    """

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


def way(decades: float) -> str:
    """Return ``"growing"``, ``"flat"`` (within one decade in all) or ``"shrinking"``, toward the input."""
    return "flat" if abs(decades) < MILD else "growing" if decades > 0 else "shrinking"


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
    hidden = signal[:-1]
    if len(hidden) < FEWEST or not np.isfinite(hidden[-1]) or hidden[-1] <= 0 or np.isnan(hidden[0]):
        return None
    with np.errstate(divide="ignore"):
        return float(np.log10(hidden[0]) - math.log10(hidden[-1]))


def line(signal: Array, per_layer: float) -> Array:
    """Return the guessed signal of the hidden layers: a straight line in log10 through the last one's value."""
    hidden = signal[:-1]
    steps = np.arange(len(hidden) - 1, -1, -1)
    return float(hidden[-1]) * np.power(float(per_layer), steps)
