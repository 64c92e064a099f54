"""Where theory puts the border between vanishing and exploding gradients."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from gradlab.config import Config
from gradlab.history import Array
from gradlab.sweep import Sweep
from gradlab.theory import predict

_SEARCHED = ("gain", "bias_std", "width")  # knobs that move chi without a jump
_MOVE_CHI = (*_SEARCHED, "activation", "norm", "residual", "init")
_SAMPLES, _HALVINGS = 5, 7
_NOISE = 1e-9  # of a log chi that theory says is 0


def critical_lines(sweep: Sweep, x: str, y: str | None = None, at: Mapping[str, int] | None = None) -> list[Array]:
    """Return the lines in the plane of two swept knobs (`y` None: on an axis alone) on which theory says chi = 1.

    Each is ``(points, 2)``, of (x, y), one point per value of the knob that is not searched (its number, if it is a
    word; nan without `y`). None where theory is silent, no knob moves chi, or chi does not cross 1. `at` is the
    number of the value at which each other knob is held; default its first.
    """
    searched = next((name for name in _SEARCHED if name in (x, y)), None)
    reach = [v for v in sweep.grid.over[searched] if v > 0] if searched else []
    if searched is None or len(reach) < 2:
        return []
    other = y if searched == x else x
    base = sweep.config_at([(at or {}).get(name, 0) for name in sweep.grid.over])
    if "depth" in sweep.grid.over:  # chi is a number of deep networks
        base = base.replace(depth=max(sweep.grid.over["depth"]))
    points = _points(base, searched, (min(reach), max(reach)), other, sweep.grid.over.get(other or "", (math.nan,)))
    columns = slice(None) if searched == x else slice(None, None, -1)
    most = max(rank for rank, _, _ in points) + 1 if points else 0
    return [np.array([p[1:] for p in points if p[0] == rank], dtype=float)[:, columns] for rank in range(most)]


def _points(
    base: Config, searched: str, span: tuple[float, float], other: str | None, values: Sequence[Any]
) -> list[tuple[int, float, float]]:
    """Return (number of the crossing, place on the searched axis, place on the other) for each value of `other`."""
    found: list[tuple[int, float, float]] = []
    known: list[float] | None = None
    for number, value in enumerate(values):
        if known is None or other in _MOVE_CHI:
            known = crossings(base.replace(**{other: value}) if other in _MOVE_CHI else base, searched, span)
        place = float(number if isinstance(value, str | bool) else value)
        found += [(rank, crossing, place) for rank, crossing in enumerate(known)]
    return found


def crossings(config: Config, knob: str, span: tuple[float, float]) -> list[float]:
    """Return the values of a positive knob within `span` at which chi crosses 1, to about 1 in 1000."""
    samples = [(math.log(v), _log_chi(config, knob, v)) for v in np.geomspace(*span, _SAMPLES)]
    return [
        math.exp(_root(config, knob, low, high))
        for low, high in pairwise(samples)
        if _differ(low[1], high[1]) and min(abs(low[1]), abs(high[1])) > _NOISE
    ]


def _differ(low: float, high: float) -> bool:
    return math.isfinite(low) and math.isfinite(high) and (low > 0) != (high > 0)


def _root(config: Config, knob: str, low: tuple[float, float], high: tuple[float, float]) -> float:
    """Halve between two points (log value, log chi), then draw a straight line.

    Halving first: a tanh network leaves chi = 1 so flatly above gain 1 that straight lines alone would stop short.
    """
    for _ in range(_HALVINGS):
        middle = (low[0] + high[0]) / 2
        here = (middle, _log_chi(config, knob, math.exp(middle)))
        if abs(here[1]) <= _NOISE or not math.isfinite(here[1]):
            return middle
        low, high = (low, here) if _differ(low[1], here[1]) else (here, high)
    return low[0] - low[1] * (high[0] - low[0]) / (high[1] - low[1])


def _log_chi(config: Config, knob: str, value: Any) -> float:
    whole = isinstance(getattr(config, knob), int)
    chi = predict(config.replace(**{knob: round(value) if whole else float(value)})).chi
    return math.log(chi) if chi else math.nan
