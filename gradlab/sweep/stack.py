"""`train_stacked`: networks of one shape trained as one computation, each exactly as its own `Trainer` would."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import torch
from torch import Tensor

from gradlab.config import Config
from gradlab.rules.accumulation import ACCUMULATIONS
from gradlab.rules.carry_over import CARRY_OVERS
from gradlab.rules.clipping import CLIPS
from gradlab.sweep.blueprint import Blueprint
from gradlab.sweep.feed import Batch, Feed, losses
from gradlab.sweep.outcome import Outcome
from gradlab.sweep.rows import Rows, finite_rows, on_rows, row_norms
from gradlab.sweep.stackoptim import StackedOptimizer
from gradlab.sweep.stackrules import STACKED_CARRY_OVERS, STACKED_CLIPS
from gradlab.sweep.tally import Tally

EVALUATED_AT_ONCE = 64  # samples


def train_stacked(
    configs: Sequence[Config], steps: int, learned_below: float, data: Any = None
) -> Generator[int, None, list[Outcome]]:
    """Train networks that share a shape; yield after each step how many took it and return their outcomes.

    With ``steps=0`` the networks are only measured at init.
    """
    stack = Stack(configs, learned_below, data)
    yield stack.step(update=steps > 0)
    for _ in range(steps - 1):
        if not stack.alive:
            break
        yield stack.step()
    if steps:
        stack.retire(torch.ones(stack.alive, dtype=torch.bool))
    return stack.tally.outcomes()


class Stack:
    """The mutable state of stacked networks: tensors with one row per network that still runs.

    Parameters
    ----------
    configs : sequence of Config
        Alike in all that `stack_signature` names.
    learned_below : float
        Evaluation loss below which a network has learned.
    data : pair of tensors or None
        Own data.

    Attributes
    ----------
    tally : Tally
        What was measured, of the finished networks too.
    """

    def __init__(self, configs: Sequence[Config], learned_below: float, data: Any) -> None:
        self._configs, self._config = list(configs), configs[0]
        self._feed = Feed(configs, data)
        self._blueprint = Blueprint(self._config, self._feed.inputs, self._feed.outputs)
        self._optimizer = StackedOptimizer(configs)
        self._carry = STACKED_CARRY_OVERS[CARRY_OVERS[self._config.carry_over].function]
        self._clips_early = self._config.clip != "none" and self._config.clip_order == "each_micro_batch"
        self._shares: dict[tuple[int, ...], Tensor] = {}
        self.tally = Tally(len(configs), self._config.depth, learned_below)
        self._rows = self._first_rows()
        self._steps = 0

    def _first_rows(self) -> Rows:
        weights = self._blueprint.draw(self._configs)
        threshold = torch.tensor([c.clip_threshold for c in self._configs], dtype=torch.float64)
        rows = {"weights": weights, "number": torch.arange(len(weights)), "threshold": threshold}
        if self._config.carry_over in ("running_sum", "delayed"):
            rows["carry"] = torch.zeros_like(weights)
        if self._config.carry_over == "delayed":
            rows["has_carry"] = torch.zeros(len(weights), dtype=torch.bool)
        return rows | self._feed.rows() | self._blueprint.statistics(len(weights)) | self._optimizer.rows(weights)

    @property
    def alive(self) -> int:
        """Networks that still run."""
        return len(self._rows["weights"])

    def _statistics(self, rows: Rows) -> Rows:
        return {name: rows[name] for name in ("running_mean", "running_var") if name in rows}

    # ------------------------------------------------------------------ one step
    def step(self, update: bool = True) -> int:
        """Take one step of every running network, all its micro-batches; return how many took it."""
        rows, running = self._rows, self.alive
        before = {name: value.clone() for name, value in self._statistics(rows).items()}
        rows["gradient"], unclipped = self._accumulate()
        raw = row_norms(unclipped)
        fine = self._is_fine & torch.isfinite(raw) & torch.isfinite(self._loss)
        self.tally.see_step(rows["number"], self._loss, raw, self._delta, first=self._steps == 0)
        if self._steps == 0:
            self.tally.see_growth(self._delta, self._last_delta)
        if update:
            fine &= self._update(raw, fine, before)
        self.tally.see_trouble(rows["number"], ~fine, self._steps)
        self._steps += 1
        if update and self._config.nonfinite == "stop" and not bool(fine.all()):
            self.retire(~fine)
        return running

    def _accumulate(self) -> tuple[Tensor, Tensor]:
        """Return the accumulated gradients ``(networks, weights)``: as clipped while they grew, and unclipped."""
        micro_batches = self._feed.window()
        sizes = [samples.shape[1] for samples in micro_batches]
        shares = self._shares_of(sizes)
        self._open_window()
        gradient = unclipped = torch.empty(0)
        for m, samples in enumerate(micro_batches):
            own = self._backward(self._feed.gather(samples, self._rows))
            if shares is not None:
                own = own * shares[:, m : m + 1].to(own.dtype)
            gradient = own if m == 0 else gradient + own
            if self._clips_early:
                unclipped = own.clone() if m == 0 else unclipped + own
                self._clip(gradient)
        self._delta /= self._samples**0.5
        self._last_delta /= self._samples**0.5
        return gradient, unclipped if self._clips_early else gradient

    def _shares_of(self, sizes: list[int]) -> Tensor | None:
        """Return each running network's weight of each micro-batch, None where all are 1."""
        key = tuple(sizes)
        if key not in self._shares:
            rules = [ACCUMULATIONS[config.accumulation](sizes) for config in self._configs]
            self._shares[key] = torch.tensor(rules, dtype=torch.float64)
        shares = self._shares[key][self._rows["number"]]
        return None if bool((shares == 1.0).all()) else shares

    def _open_window(self) -> None:
        self._loss = torch.zeros(self.alive, dtype=torch.float64)
        self._delta = torch.zeros(self.alive, dtype=torch.float64)
        self._last_delta = torch.zeros(self.alive, dtype=torch.float64)
        self._is_fine = torch.ones(self.alive, dtype=torch.bool)
        self._samples = 0

    def _backward(self, batch: Batch) -> Tensor:
        """Run one micro-batch forward and backward; return its gradients ``(networks, weights)``."""
        rows = self._rows
        params = [view.detach().requires_grad_() for view in self._blueprint.views(rows["weights"])]
        trace = self._blueprint.trace(params, batch.x, self._statistics(rows), training=True)
        loss = losses(trace.output, batch.y).mean(1)
        first, last = trace.pre_activations[0], trace.pre_activations[max(self._config.depth - 1, 0)]
        found = torch.autograd.grad(loss.sum(), [*params, first, last])
        self._see(trace.output, loss.detach().double(), *found[-2:])
        return torch.cat([g.flatten(1) for g in found[:-2]], 1)

    def _see(self, output: Tensor, loss: Tensor, delta: Tensor, last_delta: Tensor) -> None:
        """Measure a micro-batch; a per-sample gradient is n times a row of a mean's gradient.

        An infinite hidden activation needs no look of its own: the gradient of the matrix that reads it is then
        not finite, as even a backward signal of 0 times infinity is not a number.
        """
        n = output.shape[1]
        self._samples += n
        moved = self._loss + (loss - self._loss) * (n / self._samples)
        self._loss = torch.where(torch.isfinite(loss), moved, loss)
        self._delta = torch.hypot(self._delta, n * row_norms(delta))
        if self._steps == 0:
            self._last_delta = torch.hypot(self._last_delta, n * row_norms(last_delta))
        self._is_fine &= finite_rows(output)

    # ------------------------------------------------------------------ the update
    def _update(self, raw: Tensor, fine: Tensor, before: Rows) -> Tensor:
        """Clip, carry over, let the optimizer step; return where the weights came out finite."""
        rows, goes_on = self._rows, self._config.nonfinite == "continue"
        allowed = torch.ones_like(fine) if goes_on else fine
        if self._config.clip != "none":
            if not self._clips_early:
                self._clip(rows["gradient"])
            clipped = row_norms(rows["gradient"])
            changed = (clipped != raw) & torch.isfinite(clipped) & torch.isfinite(raw) & allowed
        else:
            changed = torch.zeros_like(fine)
        self.tally.see_update(rows["number"], changed)
        before = {name: rows[name].clone() for name in self._undone()} | before  # statistics: from before the forward
        on_rows(None if bool(allowed.all()) else allowed, rows, self._apply)
        finite = finite_rows(rows["weights"])
        bad = ~(finite & allowed)
        if not goes_on and bool(bad.any()):
            for name, value in before.items():
                rows[name][bad] = value[bad]
        return finite | ~allowed

    def _undone(self) -> list[str]:
        """Return the names of what a refused update leaves as it was; a stopped network needs only its weights."""
        if self._config.nonfinite == "skip":
            return [name for name in self._rows if name != "gradient"]
        return ["weights"]

    def _apply(self, rows: Rows) -> None:
        self._carry(rows, self._blueprint.views(rows["gradient"]))
        if "has_carry" in rows and not bool(rows["has_carry"].all()):
            ready = rows["has_carry"].clone()
            rows["has_carry"].fill_(True)
            on_rows(ready, rows, self._optimizer.step)
        else:
            self._optimizer.step(rows)

    def _clip(self, gradient: Tensor) -> None:
        entry = CLIPS[self._config.clip]
        grads, weights = self._blueprint.views(gradient), self._blueprint.views(self._rows["weights"])
        if entry.options.get("exempt_output"):
            del grads[self._blueprint.output_span()], weights[self._blueprint.output_span()]
        STACKED_CLIPS[entry.function](gradient, grads, weights, self._rows["threshold"])

    # ------------------------------------------------------------------ the end
    def retire(self, done: Tensor) -> None:
        """Evaluate the networks marked in `done` ``(networks,)`` on all the data and take them off the stack."""
        part = {name: value[done] for name, value in self._rows.items()}
        self._rows = {name: value[~done] for name, value in self._rows.items()}
        if len(part["number"]):
            self._evaluate(part)

    @torch.no_grad()
    def _evaluate(self, rows: Rows) -> None:
        params = self._blueprint.views(rows["weights"])
        total, right = 0.0, 0.0
        for batch in self._feed.slices(EVALUATED_AT_ONCE, rows):
            output = self._blueprint.trace(params, batch.x, self._statistics(rows), training=False).output
            total = total + losses(output, batch.y).double().sum(1)
            if self._feed.classification:
                right = right + (output.argmax(2) == batch.y).double().sum(1)
        accuracy = right / self._feed.n if isinstance(right, Tensor) else None
        self.tally.see_evaluation(rows["number"], total / self._feed.n, accuracy)
