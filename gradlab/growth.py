"""How much a measure grows from the last hidden layer to the first: one estimate for all, and a student's guess."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gradlab.history import Array

Way = Literal["growing", "flat", "shrinking"]

MILD = 1.0  # decades over the whole depth: less is called level
STEEP = math.log10(1.5)  # decades a layer: a shallow network that grows faster is not level from layer to layer
FEWEST = 3  # hidden layers that make a slope that is worth a sentence


@dataclass(frozen=True)
class Growth:
    """What happens to a norm on its way from the last hidden layer back to the first."""

    # log10 of the first hidden layer's norm over the last one's: negative where it vanishes, ``-inf`` where it
    # arrives as exactly 0, ``inf`` where it overflows
    decades: float
    layers: int  # hidden layers from the one to the other, both counted: at least 2

    @property
    def per_layer(self) -> float:
        """The factor per layer toward the input: the mean of its logs, exponentiated; inf where no float64 is."""
        decades = self.decades / (self.layers - 1)
        return 10.0**decades if decades < 308 else math.inf

    @property
    def even(self) -> bool:
        """Whether it is about level from layer to layer: within one decade in all, and a factor 1.5 a layer."""
        return way(self.decades) == "flat" and abs(self.decades) < STEEP * (self.layers - 1)


def growth(norms: Array) -> Growth | None:
    """Return how much a measure grows toward the input in one step.

    `norms` ``(layers,)`` are `delta_norm` or `grad_norm` of every layer, from the input to the output. The output
    layer's own width sets it apart, so it does not count; layers without a number (nan) are passed over. None with
    fewer than two hidden layers that have one, or where nothing comes back from the last of them.

    The ends alone count, as in the mean of log ratios that mean-field theory is about (Schoenholz et al. 2017), not
    a line fitted through all layers: the total is then what a person reads off the picture.
    """
    seen = np.flatnonzero(~np.isnan(norms[:-1]))
    if len(seen) < 2 or not 0 < norms[seen[-1]] < math.inf:
        return None
    with np.errstate(divide="ignore"):
        decades = float(np.log10(norms[seen[0]]) - np.log10(norms[seen[-1]]))
    return Growth(decades, int(seen[-1] - seen[0]) + 1)


def growth_per_layer(first: Array, last: Array, layers: int) -> Array:
    """Return `Growth.per_layer` for many networks at once: ``(first / last) ** (1 / (layers - 1))``.

    Of `delta_norm` of the first and of the last hidden layer; 0 where the signal vanished to exactly 0, nan where
    there was none to begin with, or fewer than two hidden layers.
    """
    if layers < 2:
        return np.full(np.shape(first), np.nan)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.exp((np.log(first) - np.log(last)) / (layers - 1))


def way(decades: float) -> Way:
    """Return whether decades over the whole depth are growing, flat (within one decade) or shrinking."""
    return "flat" if abs(decades) < MILD else "growing" if decades > 0 else "shrinking"


def times(decades: float) -> str:
    """Write a factor, given in decades, as a person would: ``95.5``, ``0.64``, ``6e-8``, ``3e28``, ``inf``.

    >>> times(1.98), times(-0.2), times(-7.2), times(math.inf), times(-math.inf)
    ('95.5', '0.631', '6e-8', 'inf', '0')
    """
    if not math.isfinite(decades):
        return {math.inf: "inf", -math.inf: "0"}.get(decades, "nan")
    if -4 <= decades < 4:
        value = 10.0**decades
        return f"{value:.3g}" if value < 999.5 else f"{value:.0f}"
    exponent = math.floor(decades)
    digit = round(10 ** (decades - exponent))
    return f"{digit}e{exponent}" if digit < 10 else f"1e{exponent + 1}"


def number_words(value: float) -> str:
    """Write a number as `times` writes a factor.

    >>> number_words(0.07136), number_words(1198.4), number_words(2.3e32), number_words(6e-8), number_words(math.nan)
    ('0.0714', '1198', '2.3e32', '6e-8', 'NaN')
    """
    if math.isnan(value):
        return "NaN"
    if 999.5 <= abs(value) < 1e4:
        return f"{value:.0f}"
    mantissa, _, exponent = (f"{value:.3g}" if abs(value) < 1e4 else f"{value:.1e}").partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa


# ---------------------------------------------------------------------- a prediction of it
@dataclass(frozen=True)
class Score:
    """A prediction beside the measurement."""

    # decades by which the backward signal grows from the last hidden layer to the first
    guessed: float
    measured: float

    @property
    def points(self) -> int:
        """0 to 100: half for growing, flat or shrinking, half for the size, less as decades of it are missed."""
        size = max(0.0, 1.0 - abs(self.guessed - self.measured) / max(abs(self.measured), MILD))
        return round(50 * (way(self.guessed) == way(self.measured)) + 50 * size)


def measured_decades(signal: Array) -> float | None:
    """Return the decades by which ``delta_norm`` of one step ``(layers,)`` grows back to the first hidden layer.

    ``-inf`` or ``inf`` where the first layer's signal is 0 or not finite; None with fewer than three hidden layers,
    or without a signal at the last of them.
    """
    found = growth(signal)
    return None if found is None or found.layers < FEWEST else found.decades


def guessed_line(signal: Array, per_layer: float) -> Array:
    """Return the guessed signal of the hidden layers: a straight line in log10 through the last one's value."""
    hidden = signal[:-1]
    steps = np.arange(len(hidden) - 1, -1, -1)
    return float(hidden[-1]) * np.power(float(per_layer), steps)
