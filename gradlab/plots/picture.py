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

from gradlab.growth import Growth, growth, times
from gradlab.guess import line as guess_line
from gradlab.guess import measured_decades
from gradlab.history import Array, History
from gradlab.locale import Text
from gradlab.measures import MEASURES, kinds_of
from gradlab.theory import Band

BOTH = "both"
"""The measure that stands for backward signal and gradient norm on one axis."""

FEWEST, JUMP = 4, 3  # decades of an axis at least, and by how many it widens at a time
SPAN = 3  # decades of colour on each side of the last layer's value, at least
_ROOM = 0.5  # decades left free beyond the first values
_DETAILED = 128  # steps that have a stretch of their own
_HUNDREDTHS, _MOST = 100, 32_000  # cells travel as hundredths of a decade in 16 bits
CELL_ZERO, CELL_NONFINITE, CELL_MISSING = -32_768, 32_767, 32_766


@dataclass(frozen=True)
class Theme:
    """Colours of a drawn picture; the data colours are Okabe & Ito's (2008), which survive colour blindness."""

    back: str
    ink: str
    faint: str
    now: str
    after: str
    theory: str
    alarm: str
    first: str
    guess: str


LIGHT = Theme("#ffffff", "#1a1a1a", "#d9d9d9", "#0072b2", "#e69f00", "#009e73", "#d55e00", "#8c8c8c", "#b0508a")
CONTRAST = Theme("#ffffff", "#000000", "#bdbdbd", "#0060a0", "#c47700", "#00795a", "#c44500", "#6b6b6b", "#8e2f6b")
DARK = Theme("#111111", "#f2f2f2", "#3d3d3d", "#56b4e9", "#e69f00", "#2fd6a3", "#ff7f3f", "#a6a6a6", "#e79bc7")


@dataclass(frozen=True)
class View:
    """What to show of a history.

    Attributes
    ----------
    measure : str
        A key of `MEASURES`, or ``"both"``.
    at : int or None
        Index of the row shown layer by layer; None for the last.
    clip : bool
        Whether to show gradients after clipping beside those before.
    units : bool
        Whether to show the shares of dead and saturated units.
    ghost : History or None
        Another run, drawn faintly behind.
    ghost_name : str
        The settings in which the ghost differs.
    rival : History or None
        Lane A, drawn beside this run, which is then lane B.
    theory : Band or None
        The predicted profile of the backward signal at step 0, with its finite-width band.
    guess : float or None
        A student's prediction: growth of the backward signal per layer toward the input.
    hidden : bool
        Whether what was measured of the layers is hidden, as the prediction is still to be made.
    theme : Theme
        Colours of the pictures that matplotlib draws.
    text : Text
        Language.
    """

    measure: str = "delta_norm"
    at: int | None = None
    clip: bool = False
    units: bool = False
    ghost: History | None = None
    ghost_name: str = ""
    rival: History | None = None
    theory: Band | None = None
    guess: float | None = None
    hidden: bool = False
    theme: Theme = LIGHT
    text: Text = field(default_factory=Text)

    def visible(self, history: History) -> History:
        """Return what of a history may be shown layer by layer: nothing while a prediction is to be made."""
        return History(history.layer_names, history.tiny) if self.hidden else history


def measures_of(name: str) -> tuple[str, ...]:
    """Return the columns that a choice of measure shows, or raise ValueError."""
    if name == BOTH:
        return ("delta_norm", "grad_norm")
    if name not in MEASURES:
        raise ValueError(f"measure={name!r}; expected one of {', '.join([BOTH, *MEASURES])}")
    return (name,)


# ------------------------------------------------------------------ axes
class Decades(NamedTuple):
    """The limits of a logarithmic axis in whole decades; they widen in jumps and never narrow."""

    low: int
    high: int

    @classmethod
    def first(cls, low: float, high: float) -> Decades:
        """Return the axis that the first values need: at least four decades, the values in its middle."""
        if not low <= high:
            return cls(-FEWEST // 2, FEWEST // 2)
        bottom, top = math.floor(low - _ROOM), math.ceil(high + _ROOM)
        spare = max(0, FEWEST - (top - bottom))
        return cls(bottom - (spare + 1) // 2, top + spare // 2)

    def holding(self, low: float, high: float) -> Decades:
        """Return this axis, widened by whole jumps until it holds the values from `low` to `high`."""
        down = math.ceil(max(0.0, self.low - low) / JUMP) if math.isfinite(low) else 0
        up = math.ceil(max(0.0, high - self.high) / JUMP) if math.isfinite(high) else 0
        return Decades(self.low - JUMP * down, self.high + JUMP * up)


def extent(logs: Iterable[Array]) -> tuple[float, float]:
    """Return the least and the largest finite value of some arrays; (inf, -inf) if there is none."""
    found = [values[np.isfinite(values)] for values in logs]
    found = [values for values in found if values.size]
    if not found:
        return math.inf, -math.inf
    return float(min(v.min() for v in found)), float(max(v.max() for v in found))


def logs_of(history: History, name: str, rows: Array) -> Array:
    """Return log10 of the last rows of a column, or of one row; what is no number as this module says."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log10(rows)
    kinds = kinds_of(history, name, rows)
    logs[kinds.nonfinite] = np.inf
    logs[kinds.missing] = np.nan
    return logs


def row_logs(history: History, name: str, index: int) -> Array:
    """Return log10 of one row of a column."""
    values = history.row(name, index)
    logs = logs_of(history, name, values)
    if name != "activation_std":  # whether a layer had a gradient may differ from step to step
        missing = np.isnan(values) & (history.row("has_gradient", index) == 0)
        logs = np.where(np.isnan(values), np.where(missing, np.nan, np.inf), logs)
    return logs


class Limits(NamedTuple):
    """The axes of one picture: decades of the profile and of the loss, and of colour on either side of level."""

    profile: Decades
    loss: Decades
    span: int


@dataclass
class Axes:
    """The axes of a run; they start at what its first step needs and only ever widen.

    Attributes
    ----------
    limits : Limits
        As far as the histories have been taken in.
    """

    measures: tuple[str, ...]
    limits: Limits | None = None

    def take(self, histories: Iterable[tuple[History, int]], extra: Iterable[Array] = ()) -> Limits:
        """Take in the rows of each history from an index on, and other curves; return the limits."""
        histories = [(h, start) for h, start in histories if len(h)]
        if self.limits is None:
            firsts = [(h, 0, 1) for h, start in histories if start == 0]
            self.limits = self._first(*self._extents(firsts, ()))
        profile, loss, span = self._extents([(h, start, len(h)) for h, start in histories], extra)
        old = self.limits
        wider = old.span + JUMP * math.ceil(max(0.0, span - old.span) / JUMP)
        self.limits = Limits(old.profile.holding(*profile), old.loss.holding(*loss), wider)
        return self.limits

    def _extents(
        self, parts: Iterable[tuple[History, int, int]], extra: Iterable[Array]
    ) -> tuple[tuple[float, float], tuple[float, float], float]:
        values, losses, far = list(extra), [], [0.0]
        for history, start, stop in parts:
            rows = [logs_of(history, name, history.column(name, start))[: stop - start] for name in self.measures]
            values += rows
            losses.append(_log(history.column("loss", start)[: stop - start]))
            ratio = ratios(rows[0])
            far.append(float(np.abs(ratio[np.isfinite(ratio)]).max(initial=0.0)))
        return extent(values), extent(losses), max(far)

    def _first(self, profile: tuple[float, float], loss: tuple[float, float], span: float) -> Limits:
        return Limits(Decades.first(*profile), Decades.first(*loss), max(SPAN, math.ceil(span)))


def _log(values: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log10(values)


def ratios(logs: Array) -> Array:
    """Return decades relative to the last layer that has a finite positive value, row by row.

    Parameters
    ----------
    logs : array (rows, layers)
        As `logs_of` returns them; what is no number stays what it is.
    """
    known = np.isfinite(logs)
    last = logs.shape[1] - 1 - known[:, ::-1].argmax(1)
    base = logs[np.arange(len(logs)), last]
    return logs - np.where(np.isfinite(base), base, 0.0)[:, None]


# ------------------------------------------------------------------ long runs in few columns
def stretch_of(steps: Array) -> Array:
    """Return the first step of the stretch that each step lies in.

    The first 128 steps have a stretch each; from then on every doubling of the steps has 64. So a run of any
    length has few stretches, none ever changes but the newest, and the first steps stay visible on a logarithmic
    time axis.
    """
    exponent = np.frexp(np.maximum(steps, 1.0))[1] - 1
    width = np.exp2(np.maximum(exponent - round(math.log2(_DETAILED)) + 1, 0))
    return np.floor(steps / width) * width


def step_limit(last: float) -> float:
    """Return the end of the time axis: the next of 10, 20, 50, 100 ... so that it rarely moves."""
    limit, turn = 10.0, 0
    while limit < last:
        limit *= (2.0, 2.5, 2.0)[turn % 3]
        turn += 1
    return limit


class Stretches(NamedTuple):
    """A run in stretches of steps.

    Attributes
    ----------
    start : array (stretches,)
        First step of each stretch.
    low, median, high : array (stretches,)
        log10 of the loss; nan where no loss of the stretch has a logarithm.
    zero, nonfinite : array of bool (stretches,)
        Whether a loss was exactly 0, and whether one was not finite.
    cells : array (stretches, layers)
        Decades relative to the last layer at the same step, the largest of the stretch; what is not finite
        outshines it, and 0 and no gradient show where all steps of the stretch have them.
    end : float
        The step after the last.
    """

    start: Array
    low: Array
    median: Array
    high: Array
    zero: np.ndarray
    nonfinite: np.ndarray
    cells: Array
    end: float


def stretches(history: History, measure: str, since: int = 0) -> Stretches:
    """Return the stretches of a history from row `since` on, which should begin one."""
    steps, loss = history.column("step", since), history.column("loss", since)
    starts = stretch_of(steps)
    first = np.flatnonzero(np.diff(starts, prepend=-1.0))
    if not len(first):
        none = np.zeros(0)
        return Stretches(none, none, none, none, none > 0, none > 0, np.zeros((0, len(history.layer_names))), 0.0)
    logs = _log(loss)
    plain = np.isfinite(logs)
    low = np.minimum.reduceat(np.where(plain, logs, np.inf), first)
    high = np.maximum.reduceat(np.where(plain, logs, -np.inf), first)
    some = np.logical_or.reduceat(plain, first)
    nonfinite = np.logical_or.reduceat(~np.isfinite(loss), first)
    zero = np.logical_or.reduceat(loss == 0, first)
    cells = _cells(ratios(logs_of(history, measure, history.column(measure, since))), first)
    median = _medians(np.where(plain, logs, np.inf), plain, first)
    low, high = (np.where(some, values, np.nan) for values in (low, high))
    return Stretches(starts[first], low, median, high, zero, nonfinite, cells, float(steps[-1]) + 1)


def _medians(logs: Array, plain: np.ndarray, first: np.ndarray) -> Array:
    """Return the median of the plain values of each stretch, the others of which are inf."""
    number = np.zeros(len(logs), int)
    number[first[1:]] = 1
    ordered = logs[np.lexsort((logs, np.cumsum(number)))]
    counts = np.add.reduceat(plain.astype(int), first)
    middle = (
        ordered[first + np.maximum(counts - 1, 0) // 2],
        ordered[first + np.maximum(counts // 2, 0) % np.maximum(counts, 1)],
    )
    with np.errstate(invalid="ignore"):
        return np.where(counts > 0, (middle[0] + middle[1]) / 2, np.nan)


def _cells(ratio: Array, first: np.ndarray) -> Array:
    known = np.isfinite(ratio)
    largest = np.maximum.reduceat(np.where(known, ratio, -np.inf), first)
    some = np.logical_or.reduceat(known, first)
    nonfinite = np.logical_or.reduceat(np.isposinf(ratio), first)
    missing = np.logical_and.reduceat(np.isnan(ratio), first)
    cells = np.where(some, largest, -np.inf)
    cells[missing] = np.nan
    cells[nonfinite] = np.inf
    return cells


def cell_codes(cells: Array) -> np.ndarray:
    """Return cells as int16: hundredths of a decade, and three codes for what is no number."""
    codes = np.clip(np.nan_to_num(cells, nan=0.0, posinf=0.0, neginf=0.0) * _HUNDREDTHS, -_MOST, _MOST).round()
    codes[np.isneginf(cells)] = CELL_ZERO
    codes[np.isposinf(cells)] = CELL_NONFINITE
    codes[np.isnan(cells)] = CELL_MISSING
    return codes.astype("<i2")


# ------------------------------------------------------------------ series over the layers
class Series(NamedTuple):
    """One curve over the layers.

    Attributes
    ----------
    role : str
        ``now``, ``second`` (gradient norm beside the signal), ``after`` (clipping), ``first`` (step 0),
        ``last`` (the last finite step), ``ghost``, ``rival``, ``theory``, ``low``, ``high``, ``guess``.
    layers : array (n,)
        Numbers of the layers, 1 next to the input.
    logs : array (n,)
        log10 of the values.
    """

    role: str
    layers: Array
    logs: Array


def fixed_series(history: History, view: View) -> list[Series]:
    """Return the curves that stay as they are while a run goes on: pinned run, theory, and prediction."""
    measure, found = measures_of(view.measure)[0], []
    if view.ghost is not None and len(view.ghost) and not view.hidden:
        found.append(_series("ghost", row_logs(view.ghost, measure, -1)))
    if measure != "delta_norm" or not len(history):
        return found
    if view.theory is not None and not view.hidden:
        layers, low, expected, high = view.theory
        pairs = (("low", low), ("high", high), ("theory", expected))
        found += [Series(role, np.asarray(layers, float), _log(np.asarray(values))) for role, values in pairs]
    signal = history.row("delta_norm", 0)
    if view.guess is not None and measured_decades(signal) is not None:
        found.append(_series("guess", _log(guess_line(signal, view.guess))))
    return found


def series(history: History, view: View) -> list[Series]:
    """Return every curve over the layers that a view shows of a history."""
    found = fixed_series(history, view)
    if not len(history) or view.hidden:
        return found
    names, row = measures_of(view.measure), -1 if view.at is None else view.at
    found.append(_series("first", row_logs(history, names[0], 0)))
    now = row_logs(history, names[0], row)
    finite = last_finite(history, names[0], row) if np.isposinf(now).any() else None
    if finite is not None:
        found.append(_series("last", row_logs(history, names[0], finite)))
    if view.rival is not None and len(view.rival):
        found.append(_series("rival", row_logs(view.rival, names[0], row_beside(history, view.at, view.rival))))
    after = next((MEASURES[name].after for name in names if MEASURES[name].after), None)
    if view.clip and after is not None:
        found.append(_series("after", row_logs(history, after, row)))
    if len(names) > 1:
        found.append(_series("second", row_logs(history, names[1], row)))
    return [*found, _series("now", now)]


def _series(role: str, logs: Array) -> Series:
    return Series(role, np.arange(1.0, len(logs) + 1.0), logs)


def last_finite(history: History, measure: str, row: int) -> int | None:
    """Return the newest row before `row` in which every layer with a gradient has a finite value."""
    row %= len(history)
    for index in range(row - 1, max(-1, row - 50), -1):
        if not np.isposinf(row_logs(history, measure, index)).any():
            return index
    return None


def row_beside(history: History, at: int | None, other: History) -> int:
    """Return the row of another run at the step that is shown of this one, its last if it ended before."""
    if at is None or not len(history):
        return -1
    step = history.row("step", at)
    return max(0, int(np.searchsorted(other.column("step"), step, side="right")) - 1)


# ------------------------------------------------------------------ the whole description
def growth_words(found: Growth | None, text: Text) -> str:
    """Say a growth in one short sentence, as it stands on the slope."""
    if found is None:
        return ""
    if found.way == "flat":
        return text("growth.level")
    if not math.isfinite(found.decades):
        return text("growth.to_zero" if found.decades < 0 else "growth.to_inf")
    per_layer = found.decades / (found.layers - 1)
    return text("growth.larger" if per_layer > 0 else "growth.smaller", factor=times(abs(per_layer)))


@dataclass(frozen=True)
class Picture:
    """Everything that a picture of a history shows.

    Attributes
    ----------
    measure : str
        The measure of strip, heat map and the main curve.
    limits : Limits
        The axes.
    series : tuple of Series
        Curves over the layers, the last in front.
    stretches, rival_stretches : Stretches
        Loss and layers over the steps, of the run and of lane A.
    marks : dict of str to array
        Steps by kind: ``knob``, ``clipped``, ``skipped``, ``diverged``.
    dead, saturated : array (layers,)
        Shares of units in the row shown.
    slope : str
        Words on the slope: at the row shown, or at the last finite one.
    last_step : float
        Where the time axis ends.
    """

    measure: str
    limits: Limits
    series: tuple[Series, ...]
    stretches: Stretches
    rival_stretches: Stretches | None
    marks: dict[str, Array]
    dead: Array
    saturated: Array
    slope: str
    last_step: float


def describe(history: History, view: View) -> Picture:
    """Return what a view shows of a history."""
    names = measures_of(view.measure)
    shown = series(history, view)
    others = [view.rival] if view.rival is not None else []
    axes = Axes(names)
    fixed = [s.logs for s in shown if s.role in ("ghost", "theory", "guess")]
    runs = [] if view.hidden else [(h, 0) for h in [history, *others]]
    limits = axes.take(runs, fixed)
    row = (-1 if view.at is None else view.at) if len(history) else None
    shares = [
        np.zeros(len(history.layer_names)) if row is None else history.row(n, row) for n in ("dead", "saturated")
    ]
    return Picture(
        measure=names[0],
        limits=limits,
        series=tuple(shown),
        stretches=stretches(history, names[0]),
        rival_stretches=stretches(view.rival, names[0]) if view.rival is not None else None,
        marks=marks(history),
        dead=shares[0],
        saturated=shares[1],
        slope=_slope(history, view, names[0], row),
        last_step=max([float(h.row("step", -1)) for h in [history, *others] if len(h)], default=0.0),
    )


def _slope(history: History, view: View, measure: str, row: int | None) -> str:
    if row is None or view.hidden:
        return ""
    found = growth(history.row(measure, row))
    if found is None and (finite := last_finite(history, measure, row)) is not None:
        found = growth(history.row(measure, finite))
    return growth_words(found, view.text)


def marks(history: History, since: int = 0) -> dict[str, Array]:
    """Return the steps at which something happened, by kind; clipped ones from row `since` on, one a stretch."""
    found = {
        kind: np.array([float(m.step) for m in history.marks if m.kind == kind])
        for kind in ("knob", "skipped", "diverged")
    }
    clipped = history.column("step", since)[history.column("clip_coef", since) < 1]
    return {**found, "clipped": np.unique(stretch_of(clipped))}
