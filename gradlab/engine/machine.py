"""The training step itself: the verbs of one optimizer step, in order."""

from __future__ import annotations

import itertools
import math
from collections.abc import Generator, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from gradlab.config import Config
from gradlab.engine.flat import per_layer
from gradlab.engine.measuring import Measuring
from gradlab.engine.meter import Meter
from gradlab.engine.stages import Stage
from gradlab.engine.stream import NextWindow, Window, pass_seed
from gradlab.history import Divergence, StepRecord
from gradlab.rules.accumulation import ACCUMULATIONS
from gradlab.rules.carry_over import CARRY_OVERS
from gradlab.rules.clipping import CLIPS
from gradlab.rules.norms import norms, root_sum_square

Moment = tuple[Literal["forward", "backward", "accumulate", "clip", "update", "nonfinite"], int]


class Machine(Measuring):
    """The run's state with the verbs that move it on by one step."""

    def run_step(self, config: Config) -> Generator[Moment, None, tuple[StepRecord, Divergence | None]]:
        """Run one step, pausing after each stage; a step abandoned half-way leaves no trace."""
        micro_batches, weights = self._open_window(config)
        buffers, finished, m = self.copy_buffers(), False, len(micro_batches)
        try:
            for m, (rows, weight) in enumerate(zip(micro_batches, weights, strict=True), start=1):
                self._forward(rows, config)
                yield "forward", m
                self._backward(rows, weight)
                self._clip_early(config)
                yield "backward", m
            raw = self.flat.gradient_norms()
            yield "accumulate", m
            trouble = self._trouble(raw)
            if trouble and config.nonfinite != "continue":
                yield "nonfinite", m
                return self._record(raw, raw, 1.0, None), trouble
            self._clip_late(config)
            clipped, cosine = self._measure_clip(config, raw)
            yield "clip", m
            changes = self._update(config)
            after = self._weight_trouble()
            record = self._record(raw, clipped, cosine, changes)
            if after and config.nonfinite != "continue":
                self.undo()
                self._updating = False
                yield "nonfinite", m
                return replace(record, applied=False, updates=self.updates), after
            finished = True
            yield "update", m
            return record, trouble or after
        finally:
            if not finished:
                if self._updating:  # an interrupt can land between the update and its record
                    self.undo()
                self.put_buffers(buffers)
            self._updating = False

    def _open_window(self, config: Config) -> tuple[list[Tensor], list[float]]:
        self.window, weights = self._peek(config)
        self.meter = Meter(len(self.probe.layers))
        self.flat.start(separate=config.clip_order == "each_micro_batch" and config.clip != "none")
        return self.window.micro_batches, weights

    def _peek(self, config: Config) -> tuple[Window, list[float]]:
        entry = ACCUMULATIONS[config.accumulation]
        count = 1 if entry.options.get("single") else config.accumulation_steps
        window = self.stream.peek(config.batch_size, count)
        return window, entry([rows.shape[0] for rows in window.micro_batches])

    def fast(self, config: Config) -> bool:
        """Return whether the fast lane runs the next step."""
        window, _ = self._peek(config)
        return all(self.lane(len(rows)) is not self.probe for rows in window.micro_batches)

    def next_window(self, config: Config) -> NextWindow:
        """Return what the next step will see; nothing moves."""
        window, weights = self._peek(config)
        before = itertools.accumulate((len(rows) for rows in window.micro_batches[:-1]), initial=self.samples)
        return NextWindow(window.micro_batches, weights, [pass_seed(config.batch_seed, seen) for seen in before])

    def _forward(self, rows: Tensor, config: Config) -> None:
        n = rows.shape[0]
        with self._sealed_randomness(config) if self.stochastic else nullcontext():
            done = self.lane(n).forward(self.data.x[rows], self.data.y[rows], self.data.loss)
        self._pass, self._found = done, []
        self.micro_loss, self.micro_samples = done.loss.item(), n
        self.meter.see_loss(self.micro_loss, n)
        self.meter.see_stacks(done.stacks, done.gauge)

    def _backward(self, rows: Tensor, weight: float) -> None:
        self._found, deltas = self._pass.gradients(self.flat.params, self.flat.room(weight))
        self.meter.see_deltas(deltas, rows.shape[0], self._pass.gauge)
        self.flat.accumulate(self._found, weight)

    def _clip_early(self, config: Config) -> None:
        if self.flat.separate:
            self._clip(config)

    def _clip_late(self, config: Config) -> None:
        if config.clip != "none" and not self.flat.separate:
            self.flat.keep_unclipped()
            self._clip(config)

    def _clip(self, config: Config) -> None:
        entry = CLIPS[config.clip]
        self.flat.attach()
        params = self.all_but_output if entry.options.get("exempt_output") else self.flat.params
        if entry.options.get("as_one") and entry.shipped:  # the flat gradient's gaps must stay zeros
            params = [self.flat.weights]
        entry(params, config.clip_threshold)

    def _measure_clip(self, config: Config, raw: list[float]) -> tuple[list[float], float]:
        """Return the norms after clipping and the cosine between the gradient before and after."""
        if config.clip == "none":
            return raw, 1.0
        clipped = self.flat.clipped_norms()
        return clipped, self.flat.cosine(root_sum_square(raw), root_sum_square(clipped))

    def _update(self, config: Config) -> list[float] | None:
        """Carry over and let the optimizer step; return the norms of the changes, None without an update."""
        self.remember()
        self._updating = True
        with torch.no_grad():
            if not CARRY_OVERS[config.carry_over](self.flat.gradients, self.carry):
                self.new_weight_norms = self.weight_norms
                return None
            self.descent.update()
            if not self.descent.tidy:
                self.flat.clear_gaps()
        self.new_weight_norms, changes = self.flat.moved_norms()
        return changes

    def unapplied_record(self) -> StepRecord:
        """Measure the window as accumulated so far, as a step that changed nothing."""
        raw = self.flat.gradient_norms()
        return self._record(raw, raw, 1.0, None)

    def stage(self, moment: Moment) -> Stage:
        """Measure where the step stands."""
        name, m = moment
        per_micro_batch = name in ("forward", "backward")
        begun = (name, m) != ("forward", 1)
        summed = self.flat.clipped_norms() if begun else []
        partial = per_layer(summed, self.groups) if begun else self._nothing
        own = partial
        if per_micro_batch:
            found = [torch.zeros(1) if g is None else g for g in self._found]
            own = per_layer(norms(found), self.groups) if found else self._nothing
        return Stage(
            name=name,
            micro_batch=m,
            micro_batches=len(self.window.micro_batches),
            samples=self.micro_samples if per_micro_batch else self.meter.samples,
            loss=self.micro_loss if per_micro_batch else self.meter.loss,
            grad_norm=own,
            partial_norm=partial,
            total_norm=root_sum_square(summed) if begun else math.nan,
        )

    # ------------------------------------------------------------------ what is not finite
    def _trouble(self, raw: list[float]) -> Divergence | None:
        """Name the first tensor that is not finite, in the order in which a step computes them."""
        if self.meter.first_bad_activation is not None:
            return self._divergence("activation", *self.meter.first_bad_activation)
        if not math.isfinite(self.meter.loss):
            return Divergence(self.step, None, "loss", self.meter.loss)
        if all(map(math.isfinite, raw)):
            return None
        bad = {self.layer_of(i): v for i, v in enumerate(raw) if not math.isfinite(v)}
        layer = max(bad)  # the backward pass runs from the output: the last layer that is not finite was the first
        return self._divergence("gradient", layer, bad[layer])

    def _weight_trouble(self) -> Divergence | None:
        for i, norm in enumerate(self.new_weight_norms):
            if not math.isfinite(norm):
                return self._divergence("weight", self.layer_of(i), norm)
        return None

    def _divergence(self, tensor: str, layer: int, value: float) -> Divergence:
        return Divergence(self.step, layer + 1, tensor, value, self.probe.layers[layer].name)

    @contextmanager
    def _sealed_randomness(self, config: Config) -> Iterator[None]:
        with torch.random.fork_rng(devices=[]):
            seen = self.samples + self.meter.samples
            torch.default_generator.manual_seed(pass_seed(config.batch_seed, seen))
            yield
