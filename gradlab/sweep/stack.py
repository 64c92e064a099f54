"""`train_stacked`: networks of one shape trained as one computation, each exactly as its own `Trainer` would.

Nothing of a step is written twice: the network's own forward pass, the loss, the clip and the carry-over are mapped
over networks by `torch.func.vmap`, and the optimizers are those that the trainer uses.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import torch
from torch import Tensor

from gradlab.config import Config
from gradlab.growth import growth_per_layer
from gradlab.rules.accumulation import ACCUMULATIONS
from gradlab.rules.norms import norm
from gradlab.sweep.grid import MEASURES, Outcome, Training, is_learned
from gradlab.sweep.mapped import (
    StackedBatches,
    StackedCarryOver,
    StackedNetwork,
    StackedOptimizer,
    finite_rows,
    map_clip,
    optimizer_knobs,
)

EVALUATED_AT_ONCE = 64  # samples


def train_stacked(configs: Sequence[Config], training: Training) -> Generator[int, None, list[Outcome]]:
    """Train networks that share a shape; yield after each step how many took it and return their outcomes."""
    stack = Stack(configs, training)
    for _ in range(max(training.steps, 1)):
        if stack.alive:
            yield stack.step(update=training.steps > 0)
    if training.steps:
        stack.evaluate(torch.ones(stack.alive, dtype=torch.bool))
    return stack.outcomes()


class Stack:
    """The mutable state of stacked networks: tensors with one row per network that still runs.

    The configs are alike in all that `stack_signature` names.
    """

    def __init__(self, configs: Sequence[Config], training: Training) -> None:
        # the networks of one optimizer side by side
        self._order = sorted(range(len(configs)), key=lambda i: optimizer_knobs(configs[i]))
        self._configs = [configs[i] for i in self._order]
        self._config, self._learned_below = configs[0], training.learned_below
        self._batches = StackedBatches(self._configs, training.data, training.loss)
        self._network = StackedNetwork(self._configs, self._batches)
        self._optimizer = StackedOptimizer(self._configs, self._network)
        self._carry = StackedCarryOver(self._config.carry_over, len(configs))
        self._parts: tuple[Any, ...] = (self._network, self._optimizer, self._carry)
        self._clips_early = self._config.clip != "none" and self._config.clip_order == "each_micro_batch"
        self._numbers = torch.arange(len(configs))
        self._threshold = torch.tensor([c.clip_threshold for c in self._configs], dtype=torch.float64)
        self._found = {name: torch.full((len(configs),), torch.nan, dtype=torch.float64) for name in MEASURES}
        self._found["steps"].zero_()
        self._clipped = torch.zeros(len(configs), dtype=torch.float64)
        self._troubled = torch.zeros(len(configs), dtype=torch.bool)
        self._steps = 0

    @property
    def alive(self) -> int:
        """Networks that still run."""
        return len(self._numbers)

    # ------------------------------------------------------------------ one step
    def step(self, update: bool = True) -> int:
        """Take one step of every running network, all its micro-batches; return how many took it."""
        running, earlier = self.alive, [part.copy() for part in self._parts]
        gradient, unclipped = self._accumulate()
        raw = row_norms(unclipped)
        fine = self._is_fine & torch.isfinite(raw) & torch.isfinite(self._loss)
        self._see_step(raw)
        if update:
            fine &= self._update(gradient, raw, fine, earlier)
        self._see_trouble(~fine)
        self._steps += 1
        if update and self._config.nonfinite == "stop" and not bool(fine.all()):
            self._retire(~fine)
        return running

    def _accumulate(self) -> tuple[Tensor, Tensor]:
        """Return the accumulated gradients ``(networks, weights)``: as clipped while they grew, and unclipped."""
        micro_batches = self._batches.window()
        shares = self._shares_of([samples.shape[1] for samples in micro_batches])
        self._loss, self._delta, self._last_delta = torch.zeros(3, self.alive, dtype=torch.float64)
        self._is_fine, self._samples = torch.ones(self.alive, dtype=torch.bool), 0
        gradient = unclipped = torch.empty(0)
        for m, samples in enumerate(micro_batches):
            own = self._backward(*self._batches.gather(samples, self._numbers))
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
        rules = [self._configs[number].accumulation for number in self._numbers.tolist()]
        weights = {rule: ACCUMULATIONS[rule](sizes) for rule in set(rules)}
        shares = torch.tensor([weights[rule] for rule in rules], dtype=torch.float64)
        return None if bool((shares == 1.0).all()) else shares

    def _backward(self, x: Tensor, y: Tensor) -> Tensor:
        """Run one micro-batch forward and backward, measure it and return its gradients ``(networks, weights)``.

        A per-sample gradient is n times a row of a mean's gradient. An infinite hidden activation needs no look of
        its own: the gradient of the matrix that reads it is then not finite, as even a backward signal of 0 times
        infinity is not a number.
        """
        params = self._network.parameters()
        losses, output, first, last = self._network.forward(params, x, y)
        found = torch.autograd.grad(losses.sum(), [*params, *first, *last])
        deltas = found[len(params) :]
        n, loss = x.shape[1], losses.detach().double()
        self._samples += n
        moved = self._loss + (loss - self._loss) * (n / self._samples)
        self._loss = torch.where(torch.isfinite(loss), moved, loss)
        for delta in deltas[: len(first)]:
            self._delta = torch.hypot(self._delta, n * row_norms(delta))
        for delta in deltas[len(first) :] if self._steps == 0 else ():
            self._last_delta = torch.hypot(self._last_delta, n * row_norms(delta))
        self._is_fine &= finite_rows(output)
        return torch.cat([g.flatten(1) for g in found[: len(params)]], 1)

    # ------------------------------------------------------------------ the update
    def _update(self, gradient: Tensor, raw: Tensor, fine: Tensor, earlier: list[Any]) -> Tensor:
        """Clip, carry over, let the optimizer step; return where the weights came out finite."""
        goes_on = self._config.nonfinite == "continue"
        allowed = torch.ones_like(fine) if goes_on else fine
        if not self._clips_early:
            self._clip(gradient)
        self._see_clip(row_norms(gradient), raw, allowed)
        ready = self._carry.apply(self._network.views(gradient), allowed)
        self._optimizer.step(gradient, ready, self._steps)
        finite = finite_rows(self._network.weights)
        bad = ~(finite & allowed)
        if not goes_on and bool(bad.any()):
            for part, copied in zip(self._parts, earlier, strict=True):
                part.restore(copied, bad)
        return finite | ~allowed

    def _clip(self, gradient: Tensor) -> None:
        if self._config.clip != "none":
            map_clip(self._config.clip, self._network, gradient, self._threshold)

    # ------------------------------------------------------------------ what is measured
    def _see_step(self, norms: Tensor) -> None:
        for name, values in (("loss", self._loss), ("norm", norms), ("delta", self._delta)):
            if self._steps == 0:
                self._found[f"first_{name}"][self._numbers] = values
            self._found[f"final_{name}"][self._numbers] = values
        if self._steps == 0:
            growth = growth_per_layer(self._delta.numpy(), self._last_delta.numpy(), self._config.depth)
            self._found["growth"][:] = torch.as_tensor(growth)

    def _see_clip(self, clipped: Tensor, raw: Tensor, allowed: Tensor) -> None:
        self._found["steps"][self._numbers] += 1
        changed = (clipped != raw) & torch.isfinite(clipped) & torch.isfinite(raw) & allowed
        self._clipped[self._numbers] += changed

    def _see_trouble(self, trouble: Tensor) -> None:
        self._troubled[self._numbers] = trouble
        fresh = self._numbers[trouble & torch.isnan(self._found["diverged_at"][self._numbers])]
        self._found["diverged_at"][fresh] = float(self._steps)

    # ------------------------------------------------------------------ the end
    def _retire(self, done: Tensor) -> None:
        """Evaluate the networks marked in `done` ``(networks,)`` and take them off the stack."""
        self.evaluate(done)
        keep = ~done
        self._numbers, self._threshold = self._numbers[keep], self._threshold[keep]
        for part in self._parts:
            part.keep(keep)

    def evaluate(self, done: Tensor) -> None:
        """Measure the networks marked in `done` ``(networks,)`` on all the data."""
        numbers, total, right = self._numbers[done], 0.0, 0.0
        labelled = self._batches.first.classification and not self._batches.first.every_step
        for x, y in self._batches.slices(EVALUATED_AT_ONCE, numbers):
            losses, output = self._network.evaluate(done, x, y)
            total = total + losses.double() * x.shape[1]
            if labelled:
                right = right + (output.argmax(2) == y).double().sum(1)
        self._found["eval_loss"][numbers] = total / self._batches.n
        self._found["accuracy"][numbers] = right / self._batches.n if labelled else torch.nan

    def outcomes(self) -> list[Outcome]:
        """Return one `Outcome` per network, in the order in which the stack was given them."""
        taken = self._found["steps"] > 0
        self._found["survived"] = torch.where(taken, (~self._troubled).double(), torch.nan)
        self._found["clipped"] = torch.where(taken, self._clipped / self._found["steps"], torch.nan)
        columns = [self._found[name].tolist() for name in MEASURES]
        found = [dict(zip(MEASURES, values, strict=True)) for values in zip(*columns, strict=True)]
        for one in found:
            one["learned"] = is_learned(one["survived"], one["eval_loss"], self._learned_below)
        placed = dict(zip(self._order, found, strict=True))
        return [Outcome(**placed[i]) for i in range(len(placed))]


def row_norms(rows: Tensor) -> Tensor:
    """Return the norm of each network's row of a tensor ``(networks, ...)``, float64."""
    return norm(rows.detach().flatten(1), (1,))
