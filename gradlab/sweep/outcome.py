"""`Outcome`: what is kept of one network of a sweep."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Outcome:
    """One network, measured at init and after its last step; nan where there is nothing to measure.

    Attributes
    ----------
    growth : float
        Factor of the norm |delta| per layer toward the input, at init: the geometric mean of
        ``|delta_l| / |delta_{l+1}|`` over the hidden layers. Theory's chi is its square.
    first_delta, final_delta : float
        `delta_norm` of layer 1 in the first and in the last step.
    first_norm, final_norm : float
        2-norm of the accumulated gradient of all parameters before clipping, in the first and the last step.
    first_loss, final_loss : float
        Mean loss over the window's samples, in the first and the last step, each before its update.
    eval_loss : float
        Loss over all the data after the last update, in evaluation mode; nan for a sweep of 0 steps.
    accuracy : float
        Share of all the data classified right, at the same moment.
    survived : float
        1 where every number of the last step was finite, else 0.
    learned : float
        1 where the network survived and `eval_loss` is below the sweep's `learned_below`, else 0.
    diverged_at : float
        Number of the first step in which something was not finite; nan where there is none.
    clipped : float
        Share of the steps whose gradient clipping changed.
    steps : float
        Steps taken, the diverging one included.
    how : str
        ``"stacked"``, or ``"alone: "`` and why the network was trained by a `Trainer` of its own.
    error : str
        The exception that ended the network, empty if there was none.
    """

    growth: float = math.nan
    first_delta: float = math.nan
    final_delta: float = math.nan
    first_norm: float = math.nan
    final_norm: float = math.nan
    first_loss: float = math.nan
    final_loss: float = math.nan
    eval_loss: float = math.nan
    accuracy: float = math.nan
    survived: float = math.nan
    learned: float = math.nan
    diverged_at: float = math.nan
    clipped: float = math.nan
    steps: float = math.nan
    how: str = "stacked"
    error: str = ""


MEASURES = tuple(f.name for f in fields(Outcome) if f.name not in ("how", "error"))


def make_outcome(measures: Mapping[str, float], how: str = "stacked") -> Outcome:
    """Return the outcome of a network from its measures, by name."""
    return Outcome(how=how, **dict(measures))  # pyright: ignore[reportArgumentType]


def is_learned(survived: float, eval_loss: float, learned_below: float) -> float:
    """Return 1.0 where a network survived with an evaluation loss below the bound, nan where it is not known."""
    if math.isnan(survived):
        return math.nan
    return float(survived == 1.0 and eval_loss < learned_below)
