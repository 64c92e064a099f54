"""`Knob`: what one field of a `Config` accepts and how a panel shows it."""

from __future__ import annotations

import dataclasses
import math
import numbers
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from gradlab.registry import Registry


@dataclass(frozen=True)
class Knob:
    """What a field of `Config` accepts and how a panel shows it.

    Attributes
    ----------
    label, help : str
        The words beside the control and its tooltip.
    live : bool
        True if it takes effect at the next step; False if it needs a fresh start from the seeds.
    choices : Registry or tuple of str or None
        The accepted names, where there are such.
    low, high : float or None
        Inclusive bounds of a number.
    above : float or None
        Exclusive lower bound of a number.
    slider : (min, max, scale) or None
        Range of the slider, ``"log"`` or ``"linear"``; presentation, narrower than what is accepted.
    """

    label: str
    help: str
    live: bool = False
    choices: Registry | tuple[str, ...] | None = None
    low: float | None = None
    high: float | None = None
    above: float | None = None
    slider: tuple[float, float, Literal["log", "linear"]] | None = None

    def validate(self, name: str, value: Any, kind: type) -> Any:
        """Return `value` as a plain Python value of type `kind`, or raise ValueError."""
        if kind is bool:
            accepted = isinstance(value, bool | np.bool_)
        elif kind is str:
            accepted = isinstance(value, str) and value in (self.choices or ())
        elif kind is int:
            accepted = isinstance(value, numbers.Integral) and not isinstance(value, bool)
            accepted = accepted and self._in_bounds(int(value))
        else:
            accepted = isinstance(value, numbers.Real) and not isinstance(value, bool)
            accepted = accepted and self._is_finite(value) and self._in_bounds(float(value))
        if not accepted:
            raise ValueError(f"{name}={value!r}; expected {self.accepted(kind)}")
        return kind(value)  # pyright: ignore[reportArgumentType]

    @staticmethod
    def _is_finite(value: numbers.Real) -> bool:
        try:
            return math.isfinite(float(value))
        except OverflowError:  # a whole number that no float can hold
            return False

    def _in_bounds(self, value: float) -> bool:
        return (
            (self.low is None or value >= self.low)
            and (self.high is None or value <= self.high)
            and (self.above is None or value > self.above)
        )

    def accepted(self, kind: type) -> str:
        """Say in words what values are accepted."""
        if kind is bool:
            return "True or False"
        if kind is str:
            return f"one of {', '.join(self.choices or ())}"
        noun = "a whole number" if kind is int else "a finite number"
        bounds = [
            text.format(bound)
            for text, bound in ((">= {}", self.low), ("> {}", self.above), ("<= {}", self.high))
            if bound is not None
        ]
        return f"{noun} {' and '.join(bounds)}".strip()


def knob(default: Any, label: str, help: str, **facts: Any) -> Any:  # noqa: A002  (the word a reader expects)
    """Return a dataclass field that carries its `Knob`."""
    return dataclasses.field(default=default, metadata={"knob": Knob(label, help, **facts)})
