"""What a clipping threshold would have done to a run that is over."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gradlab.history import Array, History
from gradlab.registry import brief

_POINTS = 200


@dataclass(frozen=True, eq=False)
class ClipCurve:
    """How often, and how hard, clipping by global norm at each threshold would have acted.

    It says what would have been clipped in the steps as they were: a run that had been clipped would have gone
    another way from the first clipped step on.

    Attributes
    ----------
    thresholds : array (points,)
        Rising.
    share : array (points,)
        Share of the steps whose gradient is longer than the threshold.
    factor : array (points,)
        Median over those steps of threshold / norm; 1 where no step is clipped.
    hardest : array (points,)
        The smallest of these factors.
    steps, nonfinite : int
        Steps counted; steps left out because their norm is inf or nan.
    present : float or None
        The threshold in force, which a picture marks.
    """

    thresholds: Array
    share: Array
    factor: Array
    hardest: Array
    steps: int
    nonfinite: int
    present: float | None = None

    def at(self, threshold: float) -> tuple[float, float]:
        """Return share and median factor at a threshold, between the curve's points by interpolation in log."""
        x, known = math.log(threshold), np.log(self.thresholds)
        return float(np.interp(x, known, self.share)), float(np.interp(x, known, self.factor))

    def __repr__(self) -> str:
        low, high = self.thresholds[0], self.thresholds[-1]
        return f"ClipCurve({self.steps} steps, thresholds {low:.3g} to {high:.3g})"


def clip_curve(history: History, thresholds: Array | None = None, present: float | None = None) -> ClipCurve:
    """Say which thresholds of clipping by global norm would have acted in a history, and by how much.

    Parameters
    ----------
    history : History
        Of any run; ``total_norm`` is the norm before clipping.
    thresholds : array (points,), optional
        Rising and above 0. Default: 200, evenly spaced in log from below the smallest norm to above the largest.
    present : float, optional
        The threshold in force, above 0, to be marked.

    Returns
    -------
    ClipCurve
        Frozen.

    Raises
    ------
    ValueError
        If no step has a finite norm above 0, or the thresholds do not rise from above 0.
    """
    norms = history.column("total_norm")
    finite = np.sort(norms[np.isfinite(norms) & (norms > 0)])
    counted = int(np.isfinite(norms).sum())
    if not len(finite):
        raise ValueError(f"history={brief(history)}; expected a step whose gradient is finite and not 0")
    if thresholds is None:
        thresholds = np.geomspace(finite[0] / 2, finite[-1] * 2, _POINTS)
    thresholds = np.asarray(thresholds, dtype=float)
    if thresholds.ndim != 1 or not len(thresholds) or thresholds[0] <= 0 or (np.diff(thresholds) <= 0).any():
        raise ValueError(f"thresholds={brief(thresholds.tolist())}; expected rising numbers > 0")
    first = np.searchsorted(finite, thresholds, side="right")  # the steps from there on are clipped
    clipped = len(finite) - first
    middle = [
        float(np.median(t / finite[i:])) if n else 1.0 for t, i, n in zip(thresholds, first, clipped, strict=True)
    ]
    return ClipCurve(
        thresholds=thresholds,
        share=clipped / counted,
        factor=np.array(middle),
        hardest=np.minimum(1.0, thresholds / finite[-1]),
        steps=counted,
        nonfinite=len(norms) - counted,
        present=present,
    )
