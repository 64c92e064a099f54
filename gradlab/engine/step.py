"""One optimizer step, top to bottom: the textbook's loop, each stage of it measured.

`TrainingStep.stages` is the only place that knows the order of a step, when gradients are clipped and what becomes
of a step that is not finite.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from gradlab.engine.autograd import AutogradPass
from gradlab.engine.fused import ChainPass
from gradlab.engine.layers import layer_of
from gradlab.engine.parameters import Shares, quotients, root_sum_square
from gradlab.engine.state import Progress, RunState
from gradlab.engine.stats import LayerStats, Stack, unrecorded
from gradlab.engine.time import together
from gradlab.history import Array, Divergence, StepRecord
from gradlab.registry import brief
from gradlab.rules.norms import norms

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


class TrainingStep:
    """One step of a run, from the window it draws to its record.

    It changes the network, the optimizer and the carry-over; the run's progress and history are its owner's.

    Parameters
    ----------
    run : RunState
        What is trained.

    Attributes
    ----------
    record : StepRecord
        What was measured, once the last stage is reached.
    trouble : Divergence or None
        What was not finite.
    applied : bool
        False if what the step did is to be taken back.
    overflowed : bool
        Whether a dynamic loss scale was too large: some gradient was not finite.
    progress : Progress
        How far the run has come with this step, once the last stage is reached.
    paused : float
        Seconds of slow motion, which do not count.
    """

    record: StepRecord
    progress: Progress
    _pass: ChainPass | AutogradPass

    def __init__(self, run: RunState) -> None:
        self._started, self.paused = time.perf_counter(), 0.0
        self._run, self._config, self._flat = run, run.config, run.parameters
        self.window = run.draw_window()
        self._stats = LayerStats(len(run.layers), run.scratch)
        self._early = self._config.clip != "none" and self._config.clip_order == "each_micro_batch"
        self._weight_norms = run.weight_norms
        self.trouble: Divergence | None = None
        self.applied = self.overflowed = False
        self._scaling, self._normal = run.progress.scaling, run.normal
        self._scaled = run.half is not None or self._scaling.scale != 1.0 or self._scaling.dynamic
        self._shares: list[Shares] = []
        self._micro_samples = 0
        self._found: Sequence[Tensor | None] = []
        self._through_time: list[list[Tensor]] = []

    def stages(self) -> Generator[tuple[StageName, int], None, None]:
        """Take the step, pausing after each stage, named with the number of its micro-batch."""
        config, window, m = self._config, self.window, 0
        refuses = config.nonfinite != "continue"
        rooms = self._flat.start(window.weights, separate=self._early)
        parts = zip(window.micro_batches, window.weights, rooms, strict=True)
        for m, (rows, weight, room) in enumerate(parts, start=1):
            self._forward(rows)
            yield "forward", m
            self._backward(rows, weight, room)
            if self._early:  # wrong on purpose: the running sum is clipped again and again
                self._clip()
            yield "backward", m
        raw = self._accumulated()
        yield "accumulate", m
        self.trouble = self._first_not_finite(raw)
        if self.trouble and (refuses or self.overflowed):
            self._measure(raw, raw, 1.0, None)
            yield "nonfinite", m
            return
        clipped, cosine = self._clip_once(raw)
        yield "clip", m
        changes = self._update() if self._carry_over() else None
        overflow = self._weight_not_finite()
        self.trouble = self.trouble or overflow
        self.applied = overflow is None or not refuses
        self._measure(raw, clipped, cosine, changes)
        yield "update" if self.applied else "nonfinite", m

    # ------------------------------------------------------------------ the verbs
    def _forward(self, rows: Tensor) -> None:
        run, n = self._run, rows.shape[0]  # of a tensor, `len` is slow
        x, y = _rows(run.data.x, rows), _rows(run.data.y, rows)
        fused = None if run.fused is None or self._scaled else run.fused.chain(n)
        way = run.half or fused or run.general
        with run.sealed_randomness(self._stats.samples) if run.stochastic else nullcontext():
            self._pass = way.forward(x, y, run.data.loss)
        self._micro_samples, self._found = n, []
        loss, stacks = self._pass.loss, self._pass.stacks
        with unrecorded():
            self._stats.see_loss(loss, n)
            self._stats.see_activations(stacks)

    def _backward(self, rows: Tensor, weight: float, room: list[Tensor]) -> None:
        inverse = 1.0
        if self._scaled:
            inverse = self._scaling.inverse
            found, deltas = self._unscaled(room, inverse)
        else:
            found, deltas = self._pass.gradients(self._flat.params, room)
        with unrecorded():
            self._stats.see_deltas(deltas, rows.shape[0] * inverse)
            self._stats.read()  # before the next micro-batch writes to the same memory
        if self._run.recurrent and (rows_of_time := self._pass.time_norms(rows.shape[0], self._run.progress.step)):
            self._through_time.append([norm * inverse for norm in rows_of_time])
        self._flat.accumulate(found, weight)
        self._found = found

    def _unscaled(self, room: list[Tensor], inverse: float) -> tuple[Sequence[Tensor | None], list[Stack]]:
        """Go back through the scaled loss; return gradients without the scale, and stacks of dL/dz with it."""
        half = self._run.half
        assert isinstance(self._pass, AutogradPass)
        params = self._flat.params if half is None else half.params
        found, deltas = self._pass.gradients(params, scale=self._scaling.scale)
        if half is not None:
            half.hand_back()
        gradients, shares = self._flat.unscaled(found, room, inverse, self._normal)
        self._shares.append(shares)
        return gradients, deltas

    def _accumulated(self) -> Sequence[float]:
        """Return the norms of the accumulated gradient, after a look at what is no ordinary number in it."""
        if not self._scaled:
            raw, shares = self._flat.looked_at(self._normal)
            self._shares = [shares]
            return raw
        raw = self._flat.gradient_norms()
        self.overflowed = self._scaling.dynamic and not all(map(math.isfinite, raw))
        return raw

    def _clip(self) -> None:
        rules, flat = self._run.rules, self._flat
        flat.attach(keep=not self._early)
        params = flat.params if rules.clips_output else self._run.all_but_output
        rules.clip([flat.weights] if rules.clips_as_one else params, self._config.clip_threshold)

    def _clip_once(self, raw: Sequence[float]) -> tuple[Sequence[float], float]:
        """Clip, unless that is done; return the norms after and the cosine between the gradient before and after."""
        if self._config.clip == "none":
            return raw, 1.0
        if not self._early:
            self._clip()
        clipped = self._flat.clipped_norms()
        return clipped, self._flat.cosine(raw, clipped)

    def _carry_over(self) -> bool:
        """Carry over; return whether there is an update."""
        rule = self._run.rules.carry_over
        if rule is None:
            return True
        with torch.no_grad():
            updates = rule(self._flat.gradients, self._run.carry)
        if updates is not True and updates is not False:
            raise ValueError(
                f"carry_over={self._config.carry_over!r}: returned {brief(updates)}; expected True where the "
                "optimizer shall update, else False"
            )
        return updates

    def _update(self) -> Sequence[float]:
        """Let the optimizer step and return the norm of each parameter's change."""
        run, tidy = self._run, self._run.optimizer.tidy
        if self._config.warmup:
            run.optimizer.warm_up(run.progress.step)
        with unrecorded() if tidy else torch.no_grad():  # somebody's own may look for gradients inside
            run.optimizer.update()
            if not tidy:
                self._flat.clear_gaps()
            if not self._flat.complete:
                self._flat.hold_frozen()
            run.weight_norms, changes = self._flat.moved_norms()
        return changes

    # ------------------------------------------------------------------ what is not finite
    def _first_not_finite(self, raw: Sequence[float]) -> Divergence | None:
        """Name the first tensor that is not finite, in the order in which a step computes them."""
        if self._stats.first_not_finite is not None:
            return self._divergence("activation", *self._stats.first_not_finite)
        if not math.isfinite(self._stats.loss):
            return Divergence(self._run.progress.step, None, "loss", self._stats.loss)
        if all(map(math.isfinite, raw)):
            return None
        bad = {self._layer_of(i): v for i, v in enumerate(raw) if not math.isfinite(v)}
        layer = max(bad)  # the backward pass runs from the output: the last layer that is not finite was the first
        return self._divergence("gradient", layer, bad[layer])

    def _weight_not_finite(self) -> Divergence | None:
        if all(map(math.isfinite, norms := self._run.weight_norms)):
            return None
        bad = next(i for i, norm in enumerate(norms) if not math.isfinite(norm))
        return self._divergence("weight", self._layer_of(bad), norms[bad])

    def _layer_of(self, number: int) -> int:
        return layer_of(self._run.layers, self._flat.params, number)

    def _divergence(self, tensor: str, layer: int, value: float) -> Divergence:
        return Divergence(self._run.progress.step, layer + 1, tensor, value, self._run.layers[layer].name)

    # ------------------------------------------------------------------ numbers
    def _measure(
        self, raw: Sequence[float], clipped: Sequence[float], cosine: float, changes: Sequence[float] | None
    ) -> None:
        """Make the record: norms arrive one per parameter and leave one per layer."""
        before, layers, total = self._run.progress, self._layers(raw, clipped, changes), root_sum_square(raw)
        clipped_total = total if clipped is raw else root_sum_square(clipped)
        applied = self.applied and changes is not None
        self.record = StepRecord.of(
            np.array(layers),
            step=before.step,
            epoch=self.window.epoch.number,
            samples=before.samples + self._stats.samples,
            micro_batches=before.micro_batches + len(self.window.micro_batches),
            updates=before.updates + applied,
            applied=applied,
            loss=self._stats.loss,
            seconds=before.seconds + time.perf_counter() - self._started - self.paused,
            total_norm=total,
            clipped_total_norm=clipped_total,
            clip_coef=clipped_total / total if total > 0 else 1.0,
            clip_cosine=cosine,
            loss_scale=self._scaling.scale,
            lr=self._run.optimizer.lr_at(before.step) if self._config.warmup else self._config.lr,
            time_norm=self._time_norm(),
        )
        counts = (before.step + 1, self.record.samples, self.record.micro_batches, self.record.updates)
        start, scaling = self.window.start + self._stats.samples, before.scaling
        scaling = scaling.after(self.overflowed) if scaling.dynamic else scaling
        self.progress = Progress(*counts, self.record.seconds, self.window.epoch, start, scaling)

    def _time_norm(self) -> Array:
        """Return the signal of every time step; where it rests in this step, what was found last."""
        if self._through_time:
            self._run.time_norm = together(self._through_time, self._stats.samples)
        return self._run.time_norm

    def _layers(
        self, raw: Sequence[float], clipped: Sequence[float], changes: Sequence[float] | None
    ) -> list[Sequence[float]]:
        """Return the record's numbers per layer, in the order of its fields."""
        groups, frozen, stats, per_layer = self._run.groups, self._run.frozen_norms, self._stats, self._run.per_layer
        grad_norm, weight_norm = per_layer(raw), per_layer(self._weight_norms)
        if self._run.frozen:
            weight_norm = [now if f is None else f for now, f in zip(weight_norm, frozen, strict=True)]
        if changes is None:
            ratio = [0.0 if group else math.nan for group in groups]
        else:
            ratio = quotients(per_layer(changes), weight_norm)
        received = [1.0] * len(groups)
        if not self._flat.complete or self._run.frozen:
            received = [float(any(map(self._flat.received.__getitem__, group))) for group in groups]
        return [
            grad_norm,
            grad_norm if clipped is raw else per_layer(clipped),
            weight_norm,
            ratio,
            stats.delta_norm(),
            stats.activation_std(),
            stats.saturated(),
            stats.dead(),
            received,
            *self._mean_shares(received),
        ]

    def _mean_shares(self, received: list[float]) -> Sequence[list[float]]:
        """Return zero, subnormal and overflow share of each layer, over what was measured apart."""
        if len(self._shares) == 1 and self._flat.complete:
            return self._shares[0]
        of_each = zip(*self._shares, strict=True)
        means = [[sum(own) / len(own) for own in zip(*shares, strict=True)] for shares in of_each]
        return [[m if there else math.nan for m, there in zip(own, received, strict=True)] for own in means]

    def unapplied(self) -> StepRecord:
        """Measure the window as accumulated so far, as a step that changed nothing."""
        raw = self._accumulated()
        self._measure(raw, raw, 1.0, None)
        return self.record

    def stage(self, name: StageName, m: int) -> Stage:
        """Measure where the step stands."""
        per_layer, per_micro_batch = self._run.per_layer, name in ("forward", "backward")
        begun, nothing = (name, m) != ("forward", 1), np.full(len(self._run.groups), np.nan)
        summed = self._flat.clipped_norms() if begun else []
        partial = np.array(per_layer(summed)) if begun else nothing
        own = partial
        if per_micro_batch:
            found = [torch.zeros(1) if g is None else g for g in self._found]
            own = np.array(per_layer(norms(found))) if found else nothing
        return Stage(
            name=name,
            micro_batch=m,
            micro_batches=len(self.window.micro_batches),
            samples=self._micro_samples if per_micro_batch else self._stats.samples,
            loss=self._pass.loss.item() if per_micro_batch else self._stats.loss,
            grad_norm=own,
            partial_norm=partial,
            total_norm=root_sum_square(summed) if begun else math.nan,
            record=self.record if name in ("update", "nonfinite") else None,
        )


def _rows(tensor: Tensor, rows: Tensor) -> Tensor:
    """Return ``tensor[rows]``, the quicker way where it gives the same layout."""
    return tensor.index_select(0, rows) if tensor.dim() <= 2 and tensor.is_contiguous() else tensor[rows]
