"""`GradLabCallback` for Lightning: ``Trainer(callbacks=[GradLabCallback(every=50)])``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lightning.pytorch.callbacks import Callback

from gradlab.history import History
from gradlab.watch import Logger, OnError, Watcher, watch


class GradLabCallback(Callback):
    """Records the steps of a fit: one record per optimizer step, on the process of rank 0.

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
        What was measured; None before a fit.
    """

    def __init__(self, every: int = 50, *, loggers: Sequence[Logger] = (), on_error: OnError = "warn") -> None:
        self._every, self._loggers = every, loggers
        self._on_error: OnError = on_error
        self._watcher: Watcher | None = None

    @property
    def history(self) -> History | None:
        """What was measured; None before a fit."""
        return None if self._watcher is None else self._watcher.history

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Hang the instrument on the module and its optimizers; the scaler is that of the precision plugin."""
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        self._watcher = watch(
            pl_module,
            trainer.optimizers,
            every=self._every,
            scaler=scaler,
            loggers=self._loggers,
            on_error=self._on_error,
        ).start()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Take the instrument off."""
        if self._watcher is not None:
            self._watcher.stop()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Take the instrument off; what stopped the fit is in the history."""
        if self._watcher is not None:
            self._watcher.stop(quietly=True)
