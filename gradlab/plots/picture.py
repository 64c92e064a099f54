"""What a picture of a history shows: series, marks, limits and words.

The browser's stage and matplotlib draw from this description and from nothing else, so that they cannot disagree.
Values are log10: ``-inf`` stands for exactly 0, ``inf`` for what is not finite, ``nan`` for no gradient at all.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from gradlab.growth import Growth, guessed_line, measured_decades, times
from gradlab.history import Array, History
from gradlab.locale import Text
from gradlab.plots.axes import TIME, Axes, Limits, columns_of, measure_of, plain_log, row_growth, row_logs, row_of
from gradlab.plots.stretches import Stretches, stretch_of, stretches
from gradlab.plots.style import LIGHT, Theme
from gradlab.registry import brief
from gradlab.theory import Band

BOTH = "both"
"""The measure that stands for backward signal and gradient norm on one axis."""


MEASURES = {"delta_norm": None, "grad_norm": "clipped_norm", "update_ratio": None, "activation_std": None, TIME: None}
"""Measures of every layer: column of the history -> column of the same after clipping, None where there is none."""


@dataclass(frozen=True)
class View:
    """What to show of a history."""

    measure: str = "delta_norm"  # a key of `MEASURES`, or ``"both"``
    at: int | None = None  # index of the row shown layer by layer; None for the last
    clip: bool = False  # whether to show gradients after clipping beside those before
    units: bool = False  # whether to show the shares of dead and saturated units
    ghost: History | None = None  # another run, drawn faintly behind
    ghost_name: str = ""  # the settings in which the ghost differs
    rival: History | None = None  # lane A, drawn beside this run, which is then lane B
    theory: Band | None = None  # the predicted profile of the backward signal at step 0, with its finite-width band
    guess: float | None = None  # a student's prediction: growth of the backward signal per layer toward the input
    hidden: bool = False  # whether what was measured of the layers is hidden, as the prediction is still to be made
    theme: Theme = LIGHT  # colours of the pictures that matplotlib draws
    text: Text = field(default_factory=Text)  # language


def measures_of(name: str) -> tuple[str, ...]:
    """Return the columns that a choice of measure shows, or raise ValueError."""
    if name == BOTH:
        return ("delta_norm", "grad_norm")
    if name not in MEASURES:
        raise ValueError(f"measure={brief(name)}; expected one of {', '.join([BOTH, *MEASURES])}")
    return (name,)


def measures_for(history: History, name: str) -> tuple[str, ...]:
    """Return the columns that a choice of measure shows of a history."""
    return tuple(measure_of(history, column) for column in measures_of(name))


def after_clipping(names: Iterable[str]) -> str | None:
    """Return the column after clipping of the first measure that has one."""
    return next(filter(None, map(MEASURES.get, names)), None)


# ------------------------------------------------------------------ series over the layers
class Series(NamedTuple):
    """One curve over the layers."""

    # ``now``, ``second`` (gradient norm beside the signal), ``after`` (clipping), ``first`` (step 0), ``last`` (the
    # last finite step), ``ghost``, ``rival``, ``theory``, ``low``, ``high``, ``guess``
    role: str
    layers: Array  # (n,): numbers of the layers, 1 next to the input
    logs: Array  # (n,): log10 of the values


def fixed_series(history: History, view: View) -> list[Series]:
    """Return the curves that stay as they are while a run goes on: pinned run, theory, and prediction."""
    measure, found = measures_for(history, view.measure)[0], []
    if view.ghost is not None and columns_of(view.ghost, measure) and len(view.ghost) and not view.hidden:
        found.append(_series("ghost", row_logs(view.ghost, measure, -1)))
    if measure != "delta_norm" or not len(history):
        return found
    if view.theory is not None and not view.hidden:
        layers, low, expected, high = view.theory
        pairs = (("low", low), ("high", high), ("theory", expected))
        found += [Series(role, np.asarray(layers, float), plain_log(np.asarray(values))) for role, values in pairs]
    signal = history.row("delta_norm", 0)
    if view.guess is not None and measured_decades(signal) is not None:
        found.append(_series("guess", plain_log(guessed_line(signal, view.guess))))
    return found


def series(history: History, view: View) -> list[Series]:
    """Return every curve over the layers that a view shows of a history."""
    found = fixed_series(history, view)
    if not len(history) or view.hidden:
        return found
    names, row = measures_for(history, view.measure), -1 if view.at is None else view.at
    found.append(_series("first", row_logs(history, names[0], 0)))
    now = row_logs(history, names[0], row)
    if np.isposinf(now).any() and (finite := last_finite(history, names[0], row)) is not None:
        found.append(_series("last", row_logs(history, names[0], finite)))
    if view.rival is not None and columns_of(view.rival, names[0]) and len(view.rival):
        found.append(_series("rival", row_logs(view.rival, names[0], row_beside(history, view.at, view.rival))))
    if view.clip and (after := after_clipping(names)):
        found.append(_series("after", row_logs(history, after, row)))
    if len(names) > 1:
        found.append(_series("second", row_logs(history, names[1], row)))
    return [*found, _series("now", now)]


def _series(role: str, logs: Array) -> Series:
    return Series(role, np.arange(1.0, len(logs) + 1.0), logs)


def kinds_of(logs: Array, tiny: float) -> dict[str, np.ndarray]:
    """Return where logs are no plain numbers, by kind; `tiny` is the smallest normal number of the dtype."""
    return {
        "underflow": np.isfinite(logs) & (logs < np.log10(tiny)),
        "zero": np.isneginf(logs),
        "nonfinite": np.isposinf(logs),
        "missing": np.isnan(logs),
    }


def last_finite(history: History, measure: str, row: int) -> int | None:
    """Return the newest row before `row` in which every layer with a gradient has a finite value."""
    row %= len(history)
    before = range(row - 1, max(-1, row - 50), -1)
    return next((index for index in before if not np.isposinf(row_logs(history, measure, index)).any()), None)


def row_beside(history: History, at: int | None, other: History) -> int:
    """Return the row of another run at the step that is shown of this one, its last if it ended before."""
    if at is None or not len(history):
        return -1
    step = history.row("step", at)
    return max(0, int(np.searchsorted(other.column("step"), step, side="right")) - 1)


# ------------------------------------------------------------------ the whole description
def growth_words(found: Growth | None, text: Text, through_time: bool = False) -> str:
    """Say a growth in one short sentence, as it stands on the slope."""
    if found is None:
        return ""
    key = "growth.time" if through_time else "growth"
    if found.even:
        return text(f"{key}.level")
    if not math.isfinite(found.decades):
        return text(f"{key}.to_zero" if found.decades < 0 else f"{key}.to_inf")
    per_layer = found.decades / (found.layers - 1)
    return text(f"{key}.larger" if per_layer > 0 else f"{key}.smaller", factor=times(per_layer))


@dataclass(frozen=True)
class Picture:
    """Everything that a picture of a history shows."""

    measure: str  # the measure of strip, heat map and the main curve
    limits: Limits  # the axes
    series: tuple[Series, ...]  # curves over the layers, the last in front
    # loss and layers over the steps, of the run and of lane A
    stretches: Stretches
    rival_stretches: Stretches | None
    marks: dict[str, Array]  # steps by kind: ``knob``, ``clipped``, ``skipped``, ``diverged``
    # (layers,): shares of units in the row shown
    dead: Array
    saturated: Array
    slope: str  # words on the slope: at the row shown, or at the last finite one
    last_step: float  # where the time axis ends


def describe(history: History, view: View) -> Picture:
    """Return what a view shows of a history."""
    names = measures_for(history, view.measure)
    shown = series(history, view)
    others = [view.rival] if view.rival is not None else []
    axes = Axes(names)
    fixed = [s.logs for s in shown if s.role in ("ghost", "theory", "guess")]
    runs = [] if view.hidden else [(h, 0) for h in [history, *others]]
    limits = axes.take(runs, fixed)
    row = (-1 if view.at is None else view.at) if len(history) else None
    dead = saturated = np.zeros(len(columns_of(history, names[0])))
    if row is not None and names[0] != TIME:  # time steps have no units of their own
        dead, saturated = (row_of(history, name, row) for name in ("dead", "saturated"))
    return Picture(
        measure=names[0],
        limits=limits,
        series=tuple(shown),
        stretches=stretches(history, names[0]),
        rival_stretches=stretches(view.rival, names[0]) if view.rival is not None else None,
        marks=marks(history),
        dead=dead,
        saturated=saturated,
        slope=_slope(history, view, names[0], row),
        last_step=max([float(h.row("step", -1)) for h in [history, *others] if len(h)], default=0.0),
    )


def _slope(history: History, view: View, measure: str, row: int | None) -> str:
    if row is None or view.hidden:
        return ""
    found = row_growth(history, measure, row)
    if found is None and (finite := last_finite(history, measure, row)) is not None:
        found = row_growth(history, measure, finite)
    return growth_words(found, view.text, measure == TIME)


def marks(history: History) -> dict[str, Array]:
    """Return the steps at which something happened, by kind; clipped ones once a stretch."""
    kinds = ("knob", "skipped", "diverged")
    found = {kind: np.array([float(m.step) for m in history.marks if m.kind == kind]) for kind in kinds}
    return {**found, "clipped": clipped_stretches(history)}


def clipped_stretches(history: History, since: int = 0) -> Array:
    """Return the first step of each stretch in which a step from row `since` on was clipped."""
    clipped = history.column("step", since)[history.column("clip_coef", since) < 1]
    return np.unique(stretch_of(clipped)) if len(clipped) else clipped


# ------------------------------------------------------------------ in words
def picture_in_words(history: History, measure: str, text: Text, row: int = -1) -> str:
    """Return the picture at one row in words and numbers: loss, worst layers, decades from first to last layer."""
    sentences = [text("alt.loss", steps=history[row].step + 1, loss=f"{history[row].loss:.4g}")]
    for name in measures_for(history, measure):
        sentences += _profile(history, name, text, row)
    if history.diverged:
        sentences.append(text.say(history.diverged.sentence))
    return text("alt.between").join(sentences)


def _profile(history: History, name: str, text: Text, row: int) -> list[str]:
    values, logs, along = row_of(history, name, row), row_logs(history, name, row), ".time" if name == TIME else ""
    measured, sentences = np.flatnonzero(np.isfinite(logs)), []
    if len(measured):
        first, last = int(measured[0]), int(measured[-1])
        largest, smallest = (int(measured[find(logs[measured])]) for find in (np.argmax, np.argmin))
        decades = float(logs[first] - logs[last])
        sentences.append(
            text(
                f"alt.profile{along}",
                measure=text(f"measure.{name}"),
                largest=largest + 1,
                largest_value=f"{values[largest]:.2g}",
                smallest=smallest + 1,
                smallest_value=f"{values[smallest]:.2g}",
                first=first + 1,
                last=last + 1,
                decades=f"{abs(decades):.1f}",
                direction=text("alt.above" if decades >= 0 else "alt.below"),
            )
        )
    for kind, where in kinds_of(logs, history.tiny).items():
        if where.any():
            sentences.append(text(f"alt.odd{along}", count=int(where.sum()), kind=text(f"kind.{kind}")))
    return sentences
