"""What theory, diagnosis and the gradient check say of a run, kept as long as it holds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from gradlab.diagnosis import diagnose
from gradlab.engine import Trainer
from gradlab.history import History
from gradlab.locale import Text
from gradlab.plots import anchored
from gradlab.theory import Band, Prediction, predict

_AGREE = 1e-4  # finite differences in float64 of a right backward pass err by less


class Insight:
    """Sentences about one panel's run.

    Parameters
    ----------
    own : mapping
        The panel's own network, data and loss, None where it has none.
    text : Text
        Language.

    Attributes
    ----------
    suggestion : Mapping
        The knobs of the next experiment that the last diagnosis suggests.
    check : str
        What the last gradient check found.
    """

    def __init__(self, own: Mapping[str, Any], text: Text) -> None:
        self._own, self._text = own, text
        self._predicted: tuple[Trainer, Prediction] | None = None
        self._checked: Trainer | None = None
        self._check = ""
        self.suggestion: Mapping[str, Any] = {}

    def sentences(self, trainer: Trainer, theory: bool) -> dict[str, str]:
        """Return what there is to say, by heading."""
        verdict = diagnose(trainer.history, trainer.config, lang=self._text.lang) if len(trainer.history) else None
        self.suggestion = verdict.suggestion if verdict is not None else {}
        return {
            self._text("info.theory"): self._text.say(self._predict(trainer).sentence) if theory else "",
            self._text("info.diagnosis"): verdict.sentence if verdict is not None else "",
            self._text("info.check"): self._check if self._checked is trainer else "",
        }

    def band(self, trainer: Trainer, history: History) -> Band | None:
        """Return the predicted profile in measured units, None where theory is silent."""
        return anchored(self._predict(trainer), history)

    def _predict(self, trainer: Trainer) -> Prediction:
        """Predict once for each trainer: the knobs that theory reads need a new one."""
        if self._predicted is None or self._predicted[0] is not trainer:
            data: dict[str, Any] = {}
            if self._own["data"] is not None and self._own["network"] is None:
                x = trainer.data.x.flatten(1)
                input_norm = torch.linalg.vector_norm(x, 2, 1, dtype=torch.float64).numpy()
                data = {"inputs": x.shape[1], "outputs": trainer.data.outputs, "input_norm": input_norm}
            self._predicted = (trainer, predict(trainer.config, network=self._own["network"], **data))
        return self._predicted[1]

    def check_gradients(self, trainer: Trainer) -> None:
        """Compare autograd with finite differences and keep the result in a sentence."""
        self._checked = trainer
        try:
            found = trainer.check_gradients()
        except ValueError as error:
            self._check = self._text("check.nothing", why=self._text.say(error))
            return
        if math.isnan(found.worst):
            self._check = self._text("check.nothing", why=self._text("check.undecided"))
            return
        name = found.layer_names[found.errors.index(found.worst)]
        number = trainer.layer_names.index(name) + 1
        layer = self._text("check.layer", number=number) if name == f"layer {number}" else name
        key = "check.good" if found.worst < _AGREE else "check.bad"
        self._check = self._text(key, worst=f"{found.worst:.1e}", layer=layer)
