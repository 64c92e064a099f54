"""`Trainer`: builds what a `Config` says, trains it step by step and measures every step."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

import torch
from torch import nn

from gradlab.config import Config
from gradlab.data import Loss
from gradlab.engine import check
from gradlab.engine.changes import Changes
from gradlab.engine.course import Course, exhaust
from gradlab.engine.gradient_check import GradientCheck, check_gradients
from gradlab.engine.machine import Machine
from gradlab.engine.probe import HookProbe, NetworkProbe
from gradlab.engine.snapshots import EVERY, Snapshots
from gradlab.engine.stages import Stage
from gradlab.engine.stream import NextWindow
from gradlab.history import Divergence, History, Mark, StepRecord
from gradlab.locale import Said
from gradlab.network import build_network


class Trainer(Course):
    """One run: the only owner of its mutable state, without any display.

    Parameters
    ----------
    config : Config
        Everything the run depends on. With an own network or own data the fields that describe them are
        not used.
    network : torch.nn.Module, optional
        A network of your own. It is copied: the trained one is `Trainer.network`.
    data : pair of tensors (X, y), optional
        Data of your own, of shape ``(n, ...)`` and ``(n,)`` labels or ``(n, outputs)`` float targets.
    loss : callable, optional
        ``loss(output, y)``, the mean loss of the samples given. Default: cross-entropy for labels, mean
        squared error for float targets.

    Attributes
    ----------
    network : torch.nn.Module
        The network being trained.
    config : Config
        The knobs in force.
    history : History
        What was measured so far.
    layer_names : tuple of str
        From the input to the output.

    Raises
    ------
    ValueError
        Before the first step, if network, data and loss do not fit each other.

    Notes
    -----
    The global random state is neither used nor changed, but for a network of your own, or a registered
    activation or norm, that draws from it (dropout): it is then seeded for the length of each forward pass and
    put back.
    """

    def __init__(
        self,
        config: Config | None = None,
        *,
        network: nn.Module | None = None,
        data: Any = None,
        loss: Loss | None = None,
    ) -> None:
        config = Config() if config is None else config
        if not isinstance(config, Config):
            raise ValueError(f"config={config!r:.60}; expected a Config")
        self.config = config
        self.data = check.prepare_data(config, data, loss)
        self._machine = self._assemble(network)
        self.network = self._machine.network
        self.layer_names = tuple(layer.name for layer in self._machine.probe.layers)
        self.history = History(self.layer_names, tiny=float(torch.finfo(config.torch_dtype).tiny))
        self._snapshots = Snapshots(self._machine.snapshot(config))
        self._changes = Changes(config)
        self._pending: Generator[Stage, None, None] | None = None

    def _assemble(self, network: nn.Module | None) -> Machine:
        config, data = self.config, self.data
        if network is not None:
            own = check.adopt_network(network, config.torch_dtype)
            self.data, stochastic = check.rehearse(own, data, config.batch_size)
            return Machine(config, HookProbe(own), self.data, stochastic)
        check.check_inputs(data)
        check.check_micro_batches(config, data.n)
        inputs = data.x[0].numel()
        generator = torch.Generator().manual_seed(config.weight_seed)
        built = build_network(config, inputs, data.outputs, generator, config.torch_dtype)
        return Machine(config, NetworkProbe(built), data, stochastic=check.draws(config, built))

    # ------------------------------------------------------------------ running
    @property
    def step_count(self) -> int:
        """Steps taken so far."""
        return self._machine.step

    def step(self) -> StepRecord:
        """Take one optimizer step, all its micro-batches, and return what was measured.

        A trainer stopped by a divergence stays where it is and returns the record of the divergence again.
        """
        self._abandon_pending()
        if self.stopped:
            return self.history[-1]
        self.prepare()
        self._machine.resumed = time.perf_counter()
        return self._finish(*exhaust(self._machine.run_step(self.config)))

    def run(self, n: int, callback: Callable[[StepRecord], object] | None = None) -> History:
        """Take `n` steps, fewer if the run diverges, and return the history.

        Parameters
        ----------
        n : int
            Number of steps, at least 0.
        callback : callable, optional
            Called with each `StepRecord`.
        """
        check.check_count("n", n)
        for _ in range(n):
            if self.stopped:
                break
            record = self.step()
            if callback is not None:
                callback(record)
        return self.history

    def stages(self) -> Iterator[Stage]:
        """Take one step in slow motion: yield a `Stage` after each forward, backward, accumulate, clip, update.

        The step counts once its last stage is reached; abandoned before, it leaves the trainer as it was.
        A stopped trainer yields nothing.
        """
        self._abandon_pending()
        self._pending = self._stages()
        return self._pending

    def _stages(self) -> Generator[Stage, None, None]:
        if self.stopped:
            return
        self.prepare()
        moments = self._machine.run_step(self.config)
        try:
            while True:
                self._machine.resumed = time.perf_counter()
                stage = self._machine.stage(next(moments))
                if stage.name in ("update", "nonfinite"):
                    break
                yield stage
            record = self._finish(*exhaust(moments))
            yield dataclasses.replace(stage, record=record)
        finally:
            moments.close()

    def preview(self) -> StepRecord:
        """Measure the next step without taking it: gradients before clipping, no update, nothing recorded."""
        self._abandon_pending()
        moments = self._machine.run_step(self.config)
        self._machine.resumed = time.perf_counter()
        seconds = self._machine.seconds
        try:
            while next(moments)[0] != "accumulate":
                pass
            return self._machine.unapplied_record()
        finally:
            moments.close()
            self._machine.seconds = seconds

    def _finish(self, record: StepRecord, trouble: Divergence | None) -> StepRecord:
        """Apply the `nonfinite` rule to a finished step and write the history."""
        rule = self.config.nonfinite
        self.history.append(record)
        if trouble is not None and rule == "skip":
            text = Said("record.skipped", step=record.step, sentence=trouble.sentence)
            self.history.mark(Mark(record.step, "skipped", text))
        elif trouble is not None and self.history.diverged is None:
            self.history.diverged = trouble
            self.history.mark(Mark(record.step, "diverged", trouble.sentence))
        if not self.stopped:
            self._machine.commit(record)
            if self._machine.step % EVERY == 0:
                self._snapshots.add(self._machine.snapshot(self.config))
        return record

    # ------------------------------------------------------------------ looking
    @property
    def fast_lane(self) -> bool:
        """Whether the next step calls autograd's kernels itself instead of running autograd; no number differs.

        True for a plain network of the tables, if both ways agreed bit for bit when they were tried on this machine.
        """
        return self._machine.fast(self.config)

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Return the loss over all the data, and the share classified right where there are classes.

        The network is in evaluation mode for it (batch norm uses its running statistics).
        """
        self.network.eval()
        try:
            output = self.network(self.data.x)
        finally:
            self.network.train()
        found = {"loss": float(self.data.loss(output, self.data.y))}
        if self.data.classification and isinstance(output, torch.Tensor) and output.dim() == 2:
            found["accuracy"] = float((output.argmax(1) == self.data.y).double().mean())
        return found

    def next_window(self) -> NextWindow:
        """Return the rows of the data that the next step will see, micro-batch by micro-batch; nothing moves."""
        return self._machine.next_window(self.config)

    def optimizer_state(self) -> dict[str, Any]:
        """Return a copy of what torch's optimizer knows: ``betas``, ``exp_avg_sq`` and so on.

        Tensors that hold a number per weight are flat: the trainable parameters one after the other.
        """
        return self._machine.optimizer_state()

    def check_gradients(self, samples: int = 8, entries_per_layer: int = 4) -> GradientCheck:
        """Compare autograd with finite differences on a float64 copy: the worst relative error of each layer.

        Uses the first `samples` samples and that many entries of each layer; raises ValueError if a number is
        below 1 or the loss is not finite.
        """
        layer_of = self._machine.layer_of
        return check_gradients(self.network, self.data, self.layer_names, layer_of, samples, entries_per_layer)

    def __repr__(self) -> str:
        return f"Trainer({self._machine.step} steps of {self.config!r})"
