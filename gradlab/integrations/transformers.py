"""`GradLabCallback` for transformers: ``Trainer(..., callbacks=[GradLabCallback(every=50)])``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import TrainerCallback

from gradlab.history import History
from gradlab.watch import Logger, OnError, Watcher, watch


class GradLabCallback(TrainerCallback):
    """Records the steps of a Trainer of transformers, which accelerate drives: one per optimizer step, rank 0 only.

    Parameters
    ----------
    every : int, default 50
        Record only every so many optimizer steps.
    loggers : sequence of Logger
        Get the numbers of each recorded step.
    on_error : {"warn", "raise"}
        What an error inside the instrument does.

    Attributes
    ----------
    history : History or None
        What was measured; None before a training.
    """

    def __init__(self, every: int = 50, *, loggers: Sequence[Logger] = (), on_error: OnError = "warn") -> None:
        self._every, self._loggers = every, loggers
        self._on_error: OnError = on_error
        self._watcher: Watcher | None = None

    @property
    def history(self) -> History | None:
        """What was measured; None before a training."""
        return None if self._watcher is None else self._watcher.history

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Hang the instrument on the model and its optimizer."""
        self._watcher = watch(
            kwargs["model"],
            kwargs["optimizer"],
            every=self._every,
            loggers=self._loggers,
            on_error=self._on_error,
        ).start()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take the instrument off."""
        if self._watcher is not None:
            self._watcher.stop()
