"""A swept knob as an axis, and the part of a sweep that lies over one or two of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradlab.history import Array
from gradlab.sweep import Sweep

_FEW_DECADES = 10.0  # a positive axis that spans more than this factor is logarithmic
_MOST_DECADES = 100.0  # past it matplotlib's own margins overflow: the values stand side by side, as words do


@dataclass(frozen=True)
class KnobAxis:
    """A swept knob as an axis.

    Attributes
    ----------
    name : str
        The knob.
    at : ndarray
        Where each value stands: the value itself, or its number if it is shown as a word.
    labels : list of str or None
        Names of the places where the values are shown as words.
    log : bool
        Whether the axis is logarithmic.
    ranked : bool
        Whether numbers are shown as words, in their order: theory's line has no place among them.
    """

    name: str
    at: Array
    labels: list[str] | None
    log: bool
    ranked: bool = False

    def edges(self) -> Array:
        """Return the borders between cells in ascending order, half-way between neighbours on the axis."""
        at = np.sort(np.log(self.at) if self.log else self.at)
        if len(at) == 1:
            borders = np.array([at[0] - 0.5, at[0] + 0.5])
        else:
            middle = (at[1:] + at[:-1]) / 2
            borders = np.concatenate([[2 * at[0] - middle[0]], middle, [2 * at[-1] - middle[-1]]])
        return np.exp(borders) if self.log else borders

    def place_of(self, value: Any) -> float:
        """Return where a value of the knob stands; a word that is not swept stands beside the last."""
        if self.labels is None:
            return float(value)
        return float(self.at[self.labels.index(_text(value))] if _text(value) in self.labels else len(self.at))

    def nearest(self, position: float) -> int:
        """Return the number of the value whose cell holds a position on the axis."""
        place = int(np.searchsorted(self.edges()[1:-1], position))
        return int(np.argsort(self.at)[place])


def _text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def knob_axis(sweep: Sweep, name: str) -> KnobAxis:
    """Return a swept knob as an axis.

    Raises
    ------
    ValueError
        If the knob is not swept.
    """
    if name not in sweep.grid.over:
        raise ValueError(f"axis {name!r}; expected one of the swept knobs {', '.join(sweep.grid.over)}")
    values = sweep.grid.over[name]
    if isinstance(values[0], str | bool):
        return KnobAxis(name, np.arange(len(values), dtype=float), [_text(v) for v in values], False)
    at = np.array(values, dtype=float)
    size = np.abs(at[at != 0])
    if len(size) and np.ptp(np.log10(size)) > _MOST_DECADES:
        return KnobAxis(name, np.argsort(np.argsort(at)).astype(float), [_text(v) for v in values], False, True)
    log = bool(at.min() > 0 and (name == "gain" or at.max() / at.min() >= _FEW_DECADES))
    return KnobAxis(name, at, None, log)


def choose_axes(sweep: Sweep, x: str | None, y: str | None) -> list[str]:
    """Return the knobs to draw over: those asked for, else the first two that are swept."""
    chosen = [name for name in (x, y) if name is not None]
    free = [name for name in sweep.grid.over if name not in chosen]
    chosen = [x if x is not None else free.pop(0)] if x is not None or free else chosen
    if y is not None or free:
        chosen.append(y if y is not None else free.pop(0))
    for name in chosen:
        knob_axis(sweep, name)
    return chosen


def plane(
    sweep: Sweep, values: NDArray[Any], axes: Sequence[str], at: Mapping[str, int] | None = None
) -> NDArray[Any]:
    """Return the part of ``(*values per knob,)`` that lies over `axes`, the last of them first.

    Parameters
    ----------
    values : ndarray
        One number per cell.
    axes : sequence of str
        One or two swept knobs.
    at : mapping of str to int, optional
        Number of the value at which each other knob is held; default its first.
    """
    names = list(sweep.grid.over)
    held = tuple(slice(None) if name in axes else (at or {}).get(name, 0) for name in names)
    part = values[held]
    order = [name for name in names if name in axes]
    return np.moveaxis(part, [order.index(name) for name in reversed(axes)], range(len(axes)))
