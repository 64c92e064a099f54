"""What a step leaves behind: `StepRecord`, `Divergence`, `Mark`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradlab.locale import Said

Array = NDArray[np.float64]
NO_TIME: Array = np.zeros((0, 0))
NO_TIME.flags.writeable = False


@dataclass(frozen=True, eq=False)
class StepRecord:
    """One optimizer step, measured; arrays have one entry per layer, from the input to the output.

    Attributes
    ----------
    step : int
        Number of steps before this one: the first step is 0.
    epoch : int
        Number of passes over the data completed before this step.
    samples, micro_batches, updates : int
        Samples and micro-batches processed, and updates applied by the optimizer, this step included.
    applied : bool
        Whether this step changed the weights.
    loss : float
        Mean loss over the window's samples, before the update.
    seconds : float
        Time spent in steps so far, pauses excluded.
    total_norm, clipped_total_norm : float
        2-norm of the accumulated gradient of all parameters, before and after clipping.
    clip_coef : float
        ``clipped_total_norm / total_norm``: 1 where nothing was clipped.
    clip_cosine : float
        Cosine between the gradient before and after clipping: 1 where the direction was kept.
    lr : float
        Learning rate of the update, the first one where there are several; nan where it is not known.
    grad_norm, clipped_norm : array (layers,)
        Frobenius norm of dL/dW_l, accumulated, before and after clipping; nan for a layer without gradient.
    weight_norm : array (layers,)
        Frobenius norm of W_l before the update.
    update_ratio : array (layers,)
        Norm of the change of W_l over `weight_norm`.
    delta_norm : array (layers,)
        The backward signal: root-mean-square over samples of the norm of d loss_i / d z_l.
    activation_std : array (layers,)
        Standard deviation of the entries of h_l (of the output, for the last layer).
    saturated : array (layers,)
        Share of the entries of a bounded activation within 2.5 % of its range from an end; 0 for others.
    dead : array (layers,)
        Share of units whose activation was exactly 0 for every sample of the window.
    has_gradient : array (layers,)
        1 where the layer received a gradient, 0 where it is frozen or was not used.
    time_norm : array (recurrent layers, T)
        The backward signal through time: root-mean-square over samples of |d loss_i / d h_t|, all paths (of an LSTM,
        of the joint state (h_t, c_t)); shape (0, 0) without recurrence, nan for a time step that was not there.
    """

    step: int
    epoch: int
    samples: int
    micro_batches: int
    updates: int
    applied: bool
    loss: float
    seconds: float
    total_norm: float
    clipped_total_norm: float
    clip_coef: float
    clip_cosine: float
    lr: float = field(default=math.nan, kw_only=True)
    grad_norm: Array
    clipped_norm: Array
    weight_norm: Array
    update_ratio: Array
    delta_norm: Array
    activation_std: Array
    saturated: Array
    dead: Array
    has_gradient: Array
    time_norm: Array = field(default_factory=lambda: NO_TIME)

    @classmethod
    def of(cls, layers: Array, **scalars: Any) -> StepRecord:
        """Make a record of an array ``(measures, layers)``, from then on read-only, and of the numbers by name.

        The arrays come in the order of the fields. A frozen dataclass's own way sets 21 fields one by one, which
        costs as much as a layer.
        """
        record = object.__new__(cls)
        layers.flags.writeable = False
        scalars.update(zip(PER_LAYER, layers, strict=True))
        record.__dict__.update(scalars)
        return record

    def __repr__(self) -> str:
        return f"StepRecord(step={self.step}, loss={self.loss:.6g}, total_norm={self.total_norm:.6g})"


FIELDS = tuple(f.name for f in fields(StepRecord))
SCALARS = FIELDS[: FIELDS.index("grad_norm")]
PER_LAYER = FIELDS[FIELDS.index("grad_norm") : FIELDS.index("time_norm")]
COUNTS = ("step", "epoch", "samples", "micro_batches", "updates")


@dataclass(frozen=True)
class Divergence:
    """Where a run first left the finite numbers.

    Attributes
    ----------
    step : int
        The step that was not finite; ``rewind(step)`` is the last finite state.
    layer : int or None
        Number of the layer, 1 next to the input; None for the loss.
    tensor : str
        ``"activation"``, ``"loss"``, ``"gradient"`` or ``"weight"``.
    value : float
        inf or nan.
    layer_name : str
        The layer's name, empty for the loss.
    """

    step: int
    layer: int | None
    tensor: str
    value: float
    layer_name: str = ""

    @property
    def sentence(self) -> Said:
        """The divergence in one sentence."""
        what = Said("record.nan" if np.isnan(self.value) else "record.inf")
        if self.layer is None:
            return Said("record.diverged_loss", step=self.step, what=what)
        name = "" if self.layer_name in ("", f"layer {self.layer}") else f" ({self.layer_name})"
        tensor = Said(f"record.{self.tensor}")
        return Said("record.diverged", step=self.step, tensor=tensor, layer=self.layer, name=name, what=what)


@dataclass(frozen=True)
class Mark:
    """Something that happened between steps: a knob that moved, a step that was skipped, a divergence.

    Attributes
    ----------
    step : int
        The first step that it concerns.
    kind : str
        ``"knob"``, ``"skipped"`` or ``"diverged"``.
    text : str
        What happened, e.g. ``lr 0.05 -> 0.1``; a `Said` where it is a sentence.
    """

    step: int
    kind: str
    text: str
