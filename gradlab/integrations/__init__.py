"""`watch` inside other people's training loops: Lightning, transformers, and where their numbers go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradlab.history import History
from gradlab.watch import Logger, OnError, Watcher, watch


class Recording:
    """What the callbacks of every library do: one record per optimizer step, on the process of rank 0.

    Parameters
    ----------
    every : int, default 50
        Record only every so many optimizer steps.
    loggers : sequence of Logger
        Get the numbers of each recorded step.
    on_error : {"warn", "raise"}
        What an error inside the instrument does.
    """

    def __init__(self, every: int = 50, *, loggers: Sequence[Logger] = (), on_error: OnError = "warn") -> None:
        self._how: dict[str, Any] = {"every": every, "loggers": loggers, "on_error": on_error}
        self.watcher: Watcher | None = None

    @property
    def history(self) -> History | None:
        """What was measured; None before a training."""
        return None if self.watcher is None else self.watcher.history

    def _begin(self, network: Any, optimizers: Any, scaler: Any = None) -> None:
        self._end(quietly=True)  # of a training before that raised, which not every library tells
        self.watcher = watch(network, optimizers, scaler=scaler, **self._how).start()

    def _end(self, quietly: bool = False) -> None:
        if self.watcher is not None:
            self.watcher.stop(quietly)
