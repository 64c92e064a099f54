"""Where theory puts the border between vanishing and exploding gradients."""

from __future__ import annotations

import math
from collections.abc import Mapping
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
    other = (y if searched == x else x) or ""
    base = sweep.config_at([(at or {}).get(name, 0) for name in sweep.grid.over])
    if "depth" in sweep.grid.over:  # chi is a number of deep networks
        base = base.replace(depth=max(sweep.grid.over["depth"]))
    moves, span = other in _MOVE_CHI, (min(reach), max(reach))
    values = sweep.grid.over.get(other, (math.nan,))
    bases = [base.replace(**{other: value}) for value in values] if moves else [base]
    known = [crossings(each, searched, span) for each in bases] * (1 if moves else len(values))
    lines: list[list[tuple[float, float]]] = [[] for _ in range(max(map(len, known)))]
    for number, (value, found) in enumerate(zip(values, known, strict=True)):
        place = float(number if isinstance(value, str | bool) else value)
        for line, crossing in zip(lines, found, strict=False):
            line.append((crossing, place) if searched == x else (place, crossing))
    return [np.array(line) for line in lines]


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
