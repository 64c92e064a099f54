"""`GradLabCallback` for Lightning: ``Trainer(callbacks=[GradLabCallback(every=50)])``."""

from __future__ import annotations

from typing import Any

from lightning.pytorch.callbacks import Callback

from gradlab.integrations import Recording


class GradLabCallback(Recording, Callback):
    """Records the steps of a fit: its `history` is None before one. For the parameters see `Recording`."""

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Hang the instrument on the module and its optimizers; the scaler is that of the precision plugin."""
        self._begin(pl_module, trainer.optimizers, getattr(trainer.precision_plugin, "scaler", None))

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Take the instrument off."""
        self._end()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Take the instrument off; what stopped the fit is in the history."""
        self._end(quietly=True)
