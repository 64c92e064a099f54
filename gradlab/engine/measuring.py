"""From the numbers of a step to its record."""

from __future__ import annotations

import math
import time

import numpy as np

from gradlab.engine.flat import merged
from gradlab.engine.state import RunState
from gradlab.history import StepRecord
from gradlab.rules.norms import quotients, root_sum_square


class Measuring(RunState):
    """The run's state with what makes a `StepRecord` of it.

    Norms arrive one per parameter and leave one per layer, as Python's floats until the record's single array.
    """

    def _record(
        self, raw: list[float], clipped: list[float], cosine: float, changes: list[float] | None
    ) -> StepRecord:
        total = root_sum_square(raw)
        clipped_total = total if clipped is raw else root_sum_square(clipped)
        layers = np.array(self._layers(raw, clipped, changes))
        now = time.perf_counter()
        self.seconds, self.resumed = self.seconds + now - self.resumed, now
        return StepRecord.of(
            layers,
            step=self.step,
            epoch=self.window.epoch,
            samples=self.samples + self.meter.samples,
            micro_batches=self.micro_batches + len(self.window.micro_batches),
            updates=self.updates + (changes is not None),
            applied=changes is not None,
            loss=self.meter.loss,
            seconds=self.seconds,
            total_norm=total,
            clipped_total_norm=clipped_total,
            clip_coef=clipped_total / total if total > 0 else 1.0,
            clip_cosine=cosine,
        )

    def _layers(self, raw: list[float], clipped: list[float], changes: list[float] | None) -> list[list[float]]:
        """Return the record's numbers per layer, in the order of its fields."""
        grad_norm, weight_norm = merged(raw, self.groups), self._weight_norm()
        return [
            grad_norm,
            grad_norm if clipped is raw else merged(clipped, self.groups),
            weight_norm,
            self._update_ratio(changes, weight_norm),
            self.meter.delta_norm(),
            self.meter.activation_std(),
            self.meter.saturated(),
            self.meter.dead(),
            self._has_gradient(),
        ]

    def _weight_norm(self) -> list[float]:
        norms_now = merged(self.weight_norms, self.groups)
        if self.frozen_norm is None:
            return norms_now
        return [now if math.isnan(f) else f for now, f in zip(norms_now, self.frozen_norm, strict=True)]

    def _has_gradient(self) -> list[float]:
        if self.frozen_norm is None and self.flat.complete:
            return [1.0] * len(self.groups)
        return [float(any(map(self.flat.received.__getitem__, group))) for group in self.groups]

    def _update_ratio(self, changes: list[float] | None, weight_norm: list[float]) -> list[float]:
        if changes is None:
            return [0.0 if group else math.nan for group in self.groups]
        return quotients(merged(changes, self.groups), weight_norm)
