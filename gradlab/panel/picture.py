"""The picture: an Image fed with frames no faster than the browser takes them."""

from __future__ import annotations

import time
from typing import Any

import ipywidgets as widgets
from ipywidgets.widgets.widget_link import DirectionalLink
from traitlets import Int

from gradlab.history import History
from gradlab.panel.kit import Kit
from gradlab.plots import LiveFigure, View

_IN_FLIGHT = 2  # frames sent and not yet acknowledged
_QUICK = 0.2  # seconds to an acknowledgement up to which a second frame may be on its way
_INSTANT = 0.07  # seconds up to which it is enough to ask for one now and then
_NOW_AND_THEN = 3  # frames: every answer costs the browser and the kernel as much as a small frame
_LONGEST = 0.3  # seconds between frames for which drawing at most a quarter of the time makes them rarer
_NO_ANSWER = 1.0  # seconds after which a front end is taken not to answer


class Frame(widgets.Image):
    """An image with a number: both reach the browser in one message, and the number comes back."""

    number = Int(0).tag(sync=True)


class Picture:
    """A `LiveFigure` in an `ipywidgets.Image`, with the browser's acknowledgement.

    Attributes
    ----------
    image : Frame
        What is displayed.
    frames : int
        Frames sent so far.
    """

    def __init__(self, kit: Kit, live: LiveFigure, interval: float = 0.095) -> None:
        self.live = live
        self.interval = interval
        self.image = kit(Frame, format="png", value=b"")
        self.image.add_class("gradlab-picture")
        self._seen = kit(widgets.IntText, 0)
        kit(DirectionalLink, (self.image, "number"), (self._seen, "value"))
        self._last = self._asked_at = 0.0
        self._seen.observe(self._hear, "value")
        self._answered = 0
        self._answered_at = time.monotonic()
        self._delay = _QUICK
        self._cost = 0.0
        self.frames = 0

    def due(self) -> bool:
        """Whether it is time for a frame, and the browser has taken those before."""
        waited = time.monotonic() - self._last
        if waited < max(self.interval, min(4 * self._cost, _LONGEST)):
            return False
        return self.frames - self._answered < self._most or waited > max(_NO_ANSWER, 2 * self._delay)

    @property
    def _most(self) -> int:
        """Frames that may be on their way."""
        if self._delay >= _QUICK:
            return 1
        return _IN_FLIGHT if self._delay >= _INSTANT else _IN_FLIGHT + _NOW_AND_THEN - 1

    def _hear(self, change: Any) -> None:
        """Note an acknowledgement when it arrives, in whatever thread that is: no step is spent on looking for it."""
        self._answered, self._answered_at = change["new"], time.monotonic()
        if change["new"] == self.image.number:
            self._delay = self._answered_at - self._asked_at

    @property
    def acknowledged(self) -> int:
        """Frames that the browser has taken."""
        return self._seen.value or 0

    @property
    def unanswered(self) -> float:
        """Seconds that a front end which did answer before has left frames unacknowledged."""
        waits = 0 < self._answered < self.frames - self._most - _IN_FLIGHT
        return time.monotonic() - self._answered_at if waits else 0.0

    def show(self, history: History, view: View, ask: bool = True) -> None:
        """Draw and send a frame; without `ask` an acknowledgement is asked for only as often as it is needed."""
        self._last = time.monotonic()
        png = self.live.render(history, view)
        self.frames += 1
        ask = ask or self._delay >= _INSTANT or self.frames - self.image.number >= _NOW_AND_THEN
        with self.image.hold_sync():
            self.image.value = png
            if ask:
                self.image.number, self._asked_at = self.frames, time.monotonic()
        self._cost = time.monotonic() - self._last

    def fit(self, width: float) -> bool:
        """Draw from now on for a picture of so many pixels of the screen; return whether that is another size."""
        return self.live.fit(width)

    def close(self) -> None:
        """Let the figure go: a notebook's list of outputs keeps the panels that it has shown, closed ones too."""
        self.live = LiveFigure()
