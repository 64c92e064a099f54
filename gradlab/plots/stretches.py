"""Long runs in few columns: reductions over stretches of steps, to which a frame adds only the new steps."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import to_rgba

from gradlab.history import Array, History
from gradlab.measures import MEASURES, Kinds, Measure, kinds_of

_EVERY = ("underflow", "zero", "missing")  # colour a stretch only if all of its steps are of this kind


class Known:
    """What was already read of a history, so that the next look reads only what was added."""

    def __init__(self) -> None:
        self._history: History | None = None
        self._of: tuple[object, ...] = ()
        self._rows = 0

    def start(self, history: History, *of: object) -> int:
        """Return the first row that is new; 0 for another history, a rewritten one, or another `of`."""
        of = (history.rewritten, len(history.layer_names), *of)
        same = self._history is history and self._of == of and self._rows <= len(history)
        start = self._rows if same else 0
        self._history, self._of, self._rows = history, of, len(history)
        return start


def stretch_of(steps: Array, stretches: int, limit: float) -> np.ndarray:
    """Return the number of the stretch that each step lies in, of `stretches` equal ones between 0 and `limit`."""
    return np.minimum((steps * stretches / limit).astype(int), stretches - 1)


class Curve:
    """A curve over the steps as the lowest and the highest point of each stretch, so that no spike is lost.

    Attributes
    ----------
    x, y : array (points,)
        What to draw: steps and log10 of the loss, the first and the last step among them. Where the loss has no
        logarithm (0, infinite, not a number) y is nan: one point a stretch, so that the line breaks there.
    """

    def __init__(self, stretches: int) -> None:
        self._stretches = stretches
        self._known = Known()
        self.x = self.y = np.zeros(0)

    def update(self, history: History, limit: float) -> None:
        """Take in the steps that are new, for an axis from 0 to `limit`."""
        start = self._known.start(history, limit)
        if start == 0:
            self._low, self._high = (np.full((2, self._stretches), fill) for fill in (np.inf, -np.inf))
            self._odd = np.full(self._stretches, np.inf)
            self._ends = np.zeros((2, 0))
        elif start == len(history):
            return
        steps = history.column("step", start)
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.log10(history.column("loss", start))
        self._add(steps, logs, stretch_of(steps, self._stretches, limit))
        self._join()

    def _add(self, steps: Array, logs: Array, stretch: np.ndarray) -> None:
        plain = np.isfinite(logs)
        np.minimum.at(self._odd, stretch[~plain], steps[~plain])
        if len(steps):
            ends = np.array([steps[[0, -1]], np.where(plain, logs, np.nan)[[0, -1]]])
            self._ends = np.stack([self._ends[:, 0] if self._ends.size else ends[:, 0], ends[:, 1]], 1)
        points, stretch = np.stack([steps, logs])[:, plain], stretch[plain]
        order = np.lexsort((points[1], stretch))  # stable: of equal losses the first is lowest, the last highest
        points, stretch = points[:, order], stretch[order]
        first = np.flatnonzero(np.diff(stretch, prepend=-1))
        last = np.append(first[1:], len(stretch))[: len(first)] - 1
        lower = points[1, first] < self._low[1, stretch[first]]
        self._low[:, stretch[first[lower]]] = points[:, first[lower]]
        higher = points[1, last] >= self._high[1, stretch[last]]
        self._high[:, stretch[last[higher]]] = points[:, last[higher]]

    def _join(self) -> None:
        odd = np.stack([self._odd, np.full(self._stretches, np.nan)])
        points = np.concatenate([self._ends, odd, self._low, self._high], 1)
        points = points[:, np.isfinite(points[0])]
        self.x, index = np.unique(points[0], return_index=True)
        self.y = points[1, index]

    @property
    def odd(self) -> Array:
        """The steps, one a stretch, whose loss has no logarithm."""
        return self.x[np.isnan(self.y)]


class Cells:
    """The colour of every layer in every stretch: that of its largest value, or of what is no number.

    Parameters
    ----------
    colours : array (shades, 4)
        Of the axis from bottom to top, as RGBA.
    kind_colours : mapping of str to colour
        Of the kinds that are no plain number.
    most : int
        Stretches at most; fewer while the axis has fewer steps.
    """

    def __init__(self, colours: Array, kind_colours: dict[str, str], most: int) -> None:
        self._colours, self._most = colours, most
        self._kind_colours = {kind: to_rgba(colour) for kind, colour in kind_colours.items()}
        self._known = Known()

    def update(self, history: History, name: str, limit: float) -> Array:
        """Take in the steps that are new and return RGBA of shape (layers, stretches, 4).

        Stretches before the first and after the last step are transparent; others without a step, where old
        ones were thinned, look like the one before.
        """
        start = self._known.start(history, name, limit)
        if start == 0:
            self._clear(len(history.layer_names), int(min(self._most, limit)))
        if start < len(history):
            stretch = stretch_of(history.column("step", start), len(self._seen), limit)
            values = history.column(name, start)
            self._add(values, kinds_of(history, name, values), stretch, MEASURES[name])
        return self._fill()

    def _clear(self, layers: int, stretches: int) -> None:
        self._seen = np.zeros(stretches, bool)
        self._largest = np.zeros((stretches, layers))
        self._flags = {kind: np.ones((stretches, layers), bool) for kind in _EVERY}
        self._flags["nonfinite"] = np.zeros((stretches, layers), bool)
        self._painted = np.zeros((stretches, layers, 4))

    def _add(self, values: Array, kinds: Kinds, stretch: np.ndarray, measure: Measure) -> None:
        starts = np.flatnonzero(np.diff(stretch, prepend=-1))
        touched = stretch[starts]
        self._seen[touched] = True
        measured = np.where(kinds.plain | kinds.underflow, values, 0.0)
        self._largest[touched] = np.maximum(self._largest[touched], np.maximum.reduceat(measured, starts))
        painted = self._colours[(measure.position(self._largest[touched]) * (len(self._colours) - 1)).astype(int)]
        for kind, flags in self._flags.items():
            merge = np.logical_or if kind == "nonfinite" else np.logical_and
            flags[touched] = merge(flags[touched], merge.reduceat(getattr(kinds, kind), starts))
            painted[flags[touched]] = self._kind_colours[kind]
        self._painted[touched] = painted

    def _fill(self) -> Array:
        numbers = np.arange(len(self._seen))
        source = np.maximum.accumulate(np.where(self._seen, numbers, -1))
        last = source[-1] if len(source) else -1
        picture = self._painted[source]
        picture[(source < 0) | (numbers > last)] = 0.0
        return picture.swapaxes(0, 1)
