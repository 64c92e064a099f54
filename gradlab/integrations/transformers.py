"""`GradLabCallback` for transformers: ``Trainer(..., callbacks=[GradLabCallback(every=50)])``."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback

from gradlab.integrations import Recording


class GradLabCallback(Recording, TrainerCallback):
    """Records the steps of a Trainer of transformers, which accelerate drives. For the parameters see `Recording`."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Hang the instrument on the model and its optimizer."""
        self._begin(kwargs["model"], kwargs["optimizer"])

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take the instrument off."""
        self._end()
