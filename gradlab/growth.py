"""How much a measure grows from the last hidden layer to the first: the one estimate behind every number shown."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gradlab.history import Array

Way = Literal["growing", "flat", "shrinking"]

MILD = 1.0  # decades over the whole depth: less is called level
FEWEST = 3  # hidden layers that make a slope that is worth a sentence


@dataclass(frozen=True)
class Growth:
    """What happens to a norm on its way from the last hidden layer back to the first."""

    # log10 of the first hidden layer's norm over the last one's: negative where it vanishes, ``-inf`` where it
    # arrives as exactly 0, ``inf`` where it overflows
    decades: float
    layers: int  # hidden layers from the one to the other, both counted: at least 2

    @property
    def factor(self) -> float:
        """The factor over the whole depth, 0 or inf where that is no float64."""
        return _power(self.decades)

    @property
    def per_layer(self) -> float:
        """The factor per layer toward the input: the mean of its logs, exponentiated."""
        return _power(self.decades / (self.layers - 1))

    @property
    def way(self) -> Way:
        """Whether it grows, shrinks, or stays within one decade in all."""
        return way(self.decades)


def growth(norms: Array) -> Growth | None:
    """Return how much a measure grows toward the input in one step.

    Parameters
    ----------
    norms : array (layers,)
        `delta_norm` or `grad_norm` of every layer, from the input to the output. The output layer's own width sets
        it apart, so it does not count; layers without a number (nan) are passed over.

    Returns
    -------
    Growth or None
        None with fewer than two hidden layers that have one, or where nothing comes back from the last of them.

    Notes
    -----
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
    """Return `Growth.per_layer` for many networks at once.

    Parameters
    ----------
    first, last : array
        `delta_norm` of the first and of the last hidden layer.
    layers : int
        Hidden layers; with fewer than two there is no growth to measure.

    Returns
    -------
    array
        ``(first / last) ** (1 / (layers - 1))``, 0 where the signal vanished to exactly 0; nan where there was none
        to begin with.
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


def _power(decades: float) -> float:
    return 10.0**decades if decades < 308 else math.inf
