"""One step in slow motion: `Stage`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from gradlab.history import Array, StepRecord

StageName = Literal["forward", "backward", "accumulate", "clip", "update", "nonfinite"]


@dataclass(frozen=True, eq=False)
class Stage:
    """Where a step stands, measured.

    Attributes
    ----------
    name : str
        ``"forward"`` and ``"backward"`` once per micro-batch, then ``"accumulate"``, ``"clip"`` and
        ``"update"``; ``"nonfinite"`` ends a step that was not applied.
    micro_batch, micro_batches : int
        Number of the micro-batch, from 1 (the last one for the later stages), and how many there are.
    samples : int
        Samples in this micro-batch; in the whole window for the later stages.
    loss : float
        Mean loss of this micro-batch; of the whole window for the later stages.
    grad_norm : array (layers,)
        Norm of dL/dW_l of this micro-batch alone (``"backward"``), else of the accumulated gradient;
        nan before there is one.
    partial_norm : array (layers,)
        Norm of the weighted sum of the micro-batch gradients so far.
    total_norm : float
        Norm of that weighted sum over all parameters, biases included; nan before there is one.
    record : StepRecord or None
        The finished step, for the last stage.
    """

    name: StageName
    micro_batch: int
    micro_batches: int
    samples: int
    loss: float
    grad_norm: Array
    partial_norm: Array
    total_norm: float = math.nan
    record: StepRecord | None = None

    def __repr__(self) -> str:
        return f"Stage({self.name}, micro-batch {self.micro_batch} of {self.micro_batches}, loss={self.loss:.6g})"
