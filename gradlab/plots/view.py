"""What is shown and how: `View`, the colours, and the table `PLOTS`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.artist import Artist

from gradlab.history import History
from gradlab.locale import Text
from gradlab.measures import MEASURES
from gradlab.registry import Registry
from gradlab.theory import Band

PLOTS = Registry("plot")
"""Each entry is ``(ax, history) -> update``: it makes persistent artists once and returns
``update(history, view)``, which changes them and returns those to draw. An entry that returns None is
simply called again on a cleared axis."""


@dataclass(frozen=True)
class Theme:
    """Colours of a picture; the data colours are Okabe & Ito's (2008), which survive colour blindness."""

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
        A key of `MEASURES`.
    at : int or None
        Index of the row shown by the profile; None for the last.
    clip : bool
        Whether to show the measure after clipping beside the one before.
    units : bool
        Whether to show dead and saturated units under each layer's dot.
    ghost : History or None
        Another run, drawn faintly behind.
    ghost_name : str
        The settings in which the ghost differs, for the legend.
    rival : History or None
        Lane A, drawn beside this run, which is then lane B.
    theory : Band or None
        The predicted profile of the backward signal at step 0, with its finite-width band.
    guess : float or None
        A student's prediction: growth of the backward signal per layer toward the input.
    hidden : bool
        Whether what was measured of the layers is hidden, as the prediction is still to be made.
    theme : Theme
        Colours.
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


BOTH = "both"
"""The measure that stands for backward signal and gradient norm side by side."""


def measures_of(name: str) -> tuple[str, ...]:
    """Return the columns that a choice of measure shows, or raise ValueError."""
    if name == BOTH:
        return ("delta_norm", "grad_norm")
    if name not in MEASURES:
        raise ValueError(f"measure={name!r}; expected one of {', '.join([BOTH, *MEASURES])}")
    return (name,)


Update = Callable[[History, View], Sequence[Artist]]


def row_beside(history: History, at: int | None, other: History) -> int:
    """Return the row of another run at the step that is shown of this one, its last if it ended before."""
    if at is None or not len(history):
        return -1
    step = history.row("step", at)
    return max(0, int(np.searchsorted(other.column("step"), step, side="right")) - 1)


def last_step(history: History) -> float:
    """Return the number of the last step, 0 before the first."""
    return float(history.row("step", -1)) if len(history) else 0.0


def step_limit(last_step: float) -> float:
    """Return the end of the time axis: the next of 50, 100, 200, 500, 1000 ... so that it rarely moves."""
    limit = 50.0
    factors = (2.0, 2.0, 2.5)
    turn = 0
    while limit <= last_step:
        limit *= factors[turn % 3]
        turn += 1
    return limit
