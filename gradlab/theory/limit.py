"""Where the variance of the signal settles in a very deep network."""

from __future__ import annotations

import math
from collections.abc import Callable

_SETTLED = 1e-12  # relative change per layer, well above the rounding of the quadrature
_PATIENCE = 40
_ENDS = (1e-18, 1e18)
_FACTOR = 4.0


def fixed_point(advance: Callable[[float], float], q: float) -> float:
    """Return the fixed point of a map of variances that iteration from `q` approaches.

    Iteration comes first; where it is slow (a critical network approaches 0 only polynomially) the direction
    it moves in is searched for the place where it turns, by bisection.

    Returns
    -------
    float
        0.0 or inf where the variance dies out or grows for ever.
    """
    last = q
    for _ in range(_PATIENCE):
        new = advance(q)
        if not (_ENDS[0] < new < _ENDS[1]):
            return 0.0 if new <= _ENDS[0] else math.inf
        if abs(new - q) <= _SETTLED * q:
            return new
        q, last = new, q
    return _search(advance, q, 1.0 if q > last else -1.0)


def _search(advance: Callable[[float], float], q: float, direction: float) -> float:
    near, far = q, q * _FACTOR**direction
    while _ENDS[0] < far < _ENDS[1]:
        if (advance(far) / far - 1) * direction < -_SETTLED:
            return _bisect(advance, near, far, direction)
        near, far = far, far * _FACTOR**direction
    return math.inf if direction > 0 else 0.0


def _bisect(advance: Callable[[float], float], near: float, far: float, direction: float) -> float:
    for _ in range(60):
        middle = math.sqrt(near * far)
        if (advance(middle) / middle - 1) * direction > 0:
            near = middle
        else:
            far = middle
    return math.sqrt(near * far)
