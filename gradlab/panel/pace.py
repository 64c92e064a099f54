"""`Pace`: how fast training plays, and whether torch's threads hold it up."""

from __future__ import annotations

import time

import torch

from gradlab.engine import Trainer
from gradlab.locale import Text

_PERIOD = 1.0  # seconds over which a pace is measured
_HELD_UP = 0.75  # share of the time below which the thread that trains waits for others


class Pace:
    """Measures while training plays; told by the thread that trains.

    Attributes
    ----------
    speed : float or None
        Steps per second, measured last.
    computing : float or None
        Share of that time in which the thread that trains computed.
    """

    def __init__(self) -> None:
        self.speed: float | None = None
        self.computing: float | None = None
        self._since: tuple[float, float, int, Trainer] | None = None

    def see(self, trainer: Trainer, playing: bool) -> None:
        """Note where the run stands."""
        now = (time.monotonic(), time.thread_time(), trainer.step_count, trainer)
        since = self._since
        if not playing or since is None or since[3] is not trainer or now[2] < since[2]:
            self._since = now
        elif (took := now[0] - since[0]) > _PERIOD:
            self.speed, self.computing = (now[2] - since[2]) / took, (now[1] - since[1]) / took
            self._since = now

    def advice(self, text: Text) -> str:
        """Return what to do about threads that wait for one another, as they do beside a busy browser; or nothing."""
        threads = torch.get_num_threads()
        if threads == 1 or self.computing is None or self.computing > _HELD_UP:
            return ""
        return text("threads.wait", share=f"{1 - self.computing:.0%}", threads=threads)
