"""The picture: an Image fed with frames no faster than the browser takes them."""

from __future__ import annotations

import time

import ipywidgets as widgets

from gradlab.history import History
from gradlab.plots import LiveFigure, View

_IN_FLIGHT = 2  # frames sent and not yet acknowledged
_QUICK = 0.2  # seconds to an acknowledgement up to which a second frame may be on its way
_NO_ANSWER = 1.0  # seconds after which a front end is taken not to answer


class Picture:
    """A `LiveFigure` in an `ipywidgets.Image`, with the browser's acknowledgement.

    Attributes
    ----------
    image : ipywidgets.Image
        What is displayed.
    frames : int
        Frames sent so far.
    """

    def __init__(self, live: LiveFigure, interval: float = 0.1) -> None:
        self.live = live
        self.interval = interval
        self.image = widgets.Image(format="png", value=b"")
        self.image.add_class("gradlab-picture")
        self._sent, self._seen = widgets.IntText(0), widgets.IntText(0)
        self._link = widgets.jsdlink((self._sent, "value"), (self._seen, "value"))
        self._last = 0.0
        self._answered = 0
        self._answered_at = time.monotonic()
        self._delay = 0.0
        self.frames = 0

    def due(self) -> bool:
        """Whether it is time for a frame, and the browser has taken those before."""
        self._listen()
        waited = time.monotonic() - self._last
        if waited < self.interval:
            return False
        most = _IN_FLIGHT if self._delay < _QUICK else 1
        return self.frames - self._answered < most or waited > max(_NO_ANSWER, 2 * self._delay)

    def _listen(self) -> None:
        seen = self._seen.value
        if seen != self._answered:
            self._answered, self._answered_at = seen, time.monotonic()
            if seen == self.frames:
                self._delay = self._answered_at - self._last

    @property
    def acknowledged(self) -> int:
        """Frames that the browser has taken."""
        return self._seen.value or 0

    @property
    def unanswered(self) -> float:
        """Seconds that a front end which did answer before has left frames unacknowledged."""
        self._listen()
        return time.monotonic() - self._answered_at if 0 < self._answered < self.frames - _IN_FLIGHT else 0.0

    def show(self, history: History, view: View) -> None:
        """Draw and send a frame."""
        self.image.value = self.live.render(history, view)
        self.frames += 1
        self._sent.value = self.frames
        self._last = time.monotonic()

    def close(self) -> None:
        """Close the widgets."""
        for widget in (self._link, self._sent, self._seen, self.image):
            widget.close()
