"""`Trainer`: builds what a `Config` says, trains it step by step and measures every step."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import nullcontext
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from gradlab.config import Config
from gradlab.data import Loss
from gradlab.engine import check
from gradlab.engine.autograd import ObservedNetwork, TracedNetwork
from gradlab.engine.checkpoints import EVERY, Checkpoints, KnobLog
from gradlab.engine.gradient_check import GradientCheck, check_gradients
from gradlab.engine.layers import layer_of
from gradlab.engine.precision import HalfNetwork, narrow_copy
from gradlab.engine.sampler import NextWindow, pass_seed
from gradlab.engine.state import RunState, Snapshot, TorchState, copied
from gradlab.engine.step import Stage, TrainingStep
from gradlab.history import History, HistoryState, Mark, StepRecord
from gradlab.locale import Said
from gradlab.network import Network, build_network
from gradlab.registry import brief


class Journal(NamedTuple):
    """How a run stood before what is under way: enough to undo it, however far it came."""

    state: Snapshot
    history: HistoryState
    checkpoints: Checkpoints
    knob_log: KnobLog
    torch_state: TorchState


_PROCESS = os.getpid()  # that gradlab was imported in


def check_process() -> None:
    """Raise RuntimeError in a forked child: it would wait for ever for PyTorch's threads, which its parent has."""
    if os.getpid() != _PROCESS and (threads := torch.get_num_threads()) > 1:
        raise RuntimeError(
            f"a forked process has none of PyTorch's {threads} threads and would wait for them; expected "
            "torch.set_num_threads(1) in it first, or a process that was spawned"
        )


def _some(samples: int | None, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return so many pairs at equal distances, all of them if there are no more."""
    if samples is None or samples >= len(x):
        return x, y
    rows = torch.linspace(0, len(x) - 1, samples).long()
    return x[rows], y[rows]


class Trainer:
    """One run: the only owner of its mutable state, without any display.

    Parameters
    ----------
    config : Config
        Everything the run depends on. With an own network or own data the fields that describe them are
        not used.
    network : torch.nn.Module, optional
        A network of your own. It is copied: the trained one is `Trainer.network`.
    data : pair of tensors (X, y), dict of two, Dataset or DataLoader, optional
        Data of your own, of shape ``(n, ...)`` and ``(n,)`` labels or ``(n, outputs)`` float targets; all of it is
        read at once.
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
    A step is a transaction, and so is whatever else changes the run: an exception or an interrupt at any point leaves
    it as it was before or as it is after, never between.

    The signal through time of a large `nn.LSTM` (more than 100,000 numbers in all its h_t) costs as much as a plain
    step: it is measured at steps 0, 4, 8, ..., the records between repeat it, and a mark of the history says so.

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
        check_process()
        config = Config() if config is None else config
        if not isinstance(config, Config):
            raise ValueError(f"config={brief(config)}; expected a Config")
        if network is not None:
            config = check.with_own_precision(config, network)
        self.data, self._kept_out = check.split_data(config, data, loss)
        self._own_data = data is not None
        self._run = self._assemble(config, network)
        self.network = self._run.network
        self.layer_names = tuple(layer.name for layer in self._run.layers)
        chance = self.data.chance if loss is None else math.nan
        self.history = History(
            self.layer_names, float(torch.finfo(config.torch_dtype).tiny), chance, time_names=self._run.recurrent
        )
        self.history.precision = config.precision
        self._checkpoints = Checkpoints(self._run.snapshot())
        self._knob_log = KnobLog(((0, config),))
        self._pending: Generator[Stage, None, None] | None = None
        self._journal: Journal | None = None

    def _assemble(self, config: Config, network: nn.Module | None) -> RunState:
        data = self.data
        if network is not None:
            own = check.adopt_network(network, config.torch_dtype)
            half = None if config.half_dtype is None else narrow_copy(network, config.half_dtype)
            found = check.rehearse(half or own, data, config.batch_size, config.half_dtype)
            self.data = found.data
            return RunState(config, ObservedNetwork(own), *found, half=self._half(config, half, own))
        check.check_inputs(data)
        check.check_micro_batches(config, data.n)
        check.check_activation(config)
        generator = torch.Generator().manual_seed(config.weight_seed)
        built = build_network(config, data.x.shape[1:], data.output_shape, generator, config.torch_dtype)
        narrow = None if config.half_dtype is None else narrow_copy(built, config.half_dtype)
        half = self._half(config, narrow, built)
        if isinstance(built, Network):
            check.check_loss(built, data, config.batch_size)
            if narrow is not None:
                check.rehearse(narrow, data, config.batch_size, config.half_dtype)
            return RunState(config, TracedNetwork(built), data, stochastic=check.draws(config, built), half=half)
        found = check.rehearse(narrow or built, data, config.batch_size, config.half_dtype)
        return RunState(config, ObservedNetwork(built), *found, half=half)

    @staticmethod
    def _half(config: Config, narrow: nn.Module | None, master: nn.Module) -> HalfNetwork | None:
        """Return what does the passes in half precision, given the network's copy in the format."""
        if narrow is None or config.half_dtype is None:
            return None
        general = TracedNetwork(narrow) if isinstance(narrow, Network) else ObservedNetwork(narrow)
        return HalfNetwork(general, master, config.half_dtype)

    # ------------------------------------------------------------------ running
    @property
    def config(self) -> Config:
        """The knobs in force."""
        return self._run.config

    @property
    def step_count(self) -> int:
        """Steps taken so far."""
        return self._run.progress.step

    @property
    def stopped(self) -> bool:
        """Whether a divergence stopped the run; `rewind` or `reconfigure` gives it a new start."""
        return self.history.diverged is not None and self.config.nonfinite == "stop"

    def prepare(self) -> None:
        """Do what the first step needs but is not its own time: the optimizer is made."""
        self._run.optimizer.prepare()

    def step(self) -> StepRecord:
        """Take one optimizer step, all its micro-batches, and return what was measured.

        A trainer stopped by a divergence stays where it is and returns the record of the divergence again.
        """
        self._settle()
        if self.stopped:
            return self.history[-1]
        self.prepare()
        try:
            self._open(self._run.remember())
            step = TrainingStep(self._run)
            for _ in step.stages():
                pass
            self._commit(step)
        except BaseException:
            self._undo()
            raise
        return step.record

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
        self._settle()
        self._pending = self._stages()
        return self._pending

    def _stages(self) -> Generator[Stage, None, None]:
        if self.stopped:
            return
        self.prepare()
        last = None
        try:
            self._open(self._run.remember())
            step = TrainingStep(self._run)
            for name, m in step.stages():
                last = step.stage(name, m)
                if last.record is None:
                    since = time.perf_counter()
                    yield last
                    step.paused += time.perf_counter() - since
            self._commit(step)
        except BaseException:
            self._undo()
            raise
        if last is not None:
            yield last

    def preview(self) -> StepRecord:
        """Measure the next step without taking it: gradients before clipping, no update, nothing recorded."""
        self._settle()
        try:
            self._open(self._run.remember())
            step = TrainingStep(self._run)
            for name, _ in step.stages():
                if name == "accumulate":
                    break
            record = step.unapplied()
            self._undo()
        except BaseException:
            self._undo()
            raise
        return record

    # ------------------------------------------------------------------ transactions
    def _open(self, state: Snapshot) -> None:
        """Begin a transaction: from here on `_undo` goes back to `state`, until something is committed."""
        check_process()
        now = TorchState.now(self._run.stochastic)
        self._journal = Journal(state, self.history.state(), self._checkpoints, self._knob_log, now)

    def _commit(self, step: TrainingStep) -> None:
        """Apply the `nonfinite` rule to a finished step, write the history and move on."""
        assert self._journal is not None
        record, trouble, rule = step.record, step.trouble, self.config.nonfinite
        if not step.applied:
            self._run.revert(self._journal.state)
        self.history.append(record)
        if (said := self._run.said_of_time) and not any(mark.kind == said[0] for mark in self.history.marks):
            self.history.mark(Mark(record.step, *said))
        if trouble is not None and step.overflowed:
            scales = {"scale": record.loss_scale, "new": step.progress.scaling.scale}
            text = Said("record.unscaled", step=record.step, sentence=trouble.sentence, **scales)
            self.history.mark(Mark(record.step, "skipped", text))
        elif trouble is not None and rule == "skip":
            text = Said("record.skipped", step=record.step, sentence=trouble.sentence)
            self.history.mark(Mark(record.step, "skipped", text))
        elif trouble is not None and self.history.diverged is None:
            self.history.diverged = trouble
            self.history.mark(Mark(record.step, "diverged", trouble.sentence))
        if not self.stopped:
            self._run.progress = step.progress
            if self.step_count % EVERY == 0:
                self._checkpoints = self._checkpoints.adding(self._run.snapshot())
        self._journal = None  # this is the commit: what is interrupted before is undone

    def _undo(self) -> None:
        """Go back to where the transaction under way began; interrupted itself, it is done again when next asked."""
        if self._journal is not None:
            state, history, self._checkpoints, self._knob_log, torch_state = self._journal
            torch_state.restore()
            self._run.restore(state)
            self.history.restore(history)
            self._journal = None

    def _recover(self) -> None:
        """Finish an undoing that was interrupted."""
        if self._pending is None:
            self._undo()

    def _settle(self) -> None:
        """Abandon a step in slow motion, and finish an undoing that was interrupted."""
        if self._pending is not None:
            self._pending.close()
            self._pending = None
        self._undo()

    # ------------------------------------------------------------------ changing course
    def reconfigure(self, **knobs: Any) -> None:
        """Change live knobs: weights are kept, the next step uses them, the history is marked.

        Raises
        ------
        ValueError
            If a knob is unknown, its value is not accepted, or it needs a new trainer.
        """
        self._recover()
        new = self.config.replace(**knobs)
        moved = self.config.differences(new)
        fixed = [name for name in moved if not Config.knobs()[name].live]
        if fixed:
            name = fixed[0]
            live = ", ".join(name for name, knob in Config.knobs().items() if knob.live)
            raise ValueError(
                f"{name}={moved[name][1]!r} needs a new Trainer (it is {moved[name][0]!r} here); expected one of the "
                f"live knobs {live}"
            )
        if "batch_size" in moved and isinstance(self._run.general, TracedNetwork):
            check.check_micro_batches(new, self.data.n)
            check.check_micro_batches(new, self.data.n - self._run.progress.start)
        self._settle()
        try:
            self._open(self._run.remember())
            if self.stopped:
                self.history.truncate(self.step_count)
            if moved:
                text = ", ".join(f"{name} {old} -> {value}" for name, (old, value) in moved.items())
                self.history.mark(Mark(self.step_count, "knob", text))
                self._run.configure(new)
                self._knob_log = self._knob_log.adding(self.step_count, new)
            self._journal = None
        except BaseException:
            self._undo()
            raise

    def rewind(self, step: int) -> None:
        """Go back to the state after `step` steps, bit for bit; the history ends there.

        Works by replaying from the last checkpoint before it, so it can take as long as the steps between did.

        Raises
        ------
        ValueError
            If `step` lies ahead; or between two checkpoints, and the knobs moved since are forgotten (thousands of
            moves) or the network is one of your own whose passes do not repeat themselves.
        """
        check.check_count("step", step)
        self._recover()
        if step > self.step_count:
            raise ValueError(f"step={step}; expected at most {self.step_count}, the steps taken so far")
        start = self._checkpoints.before(step)
        known = [s for s in self._checkpoints.steps if s <= self.step_count]
        if start.step < step < self.step_count and not self._run.replays:
            raise ValueError(Said("error.replay", step=step, known=known))
        if start.step < step and start.step < self._knob_log.forgotten_until:
            raise ValueError(f"step={step}: the knobs moved before it are forgotten; expected one of {known}")
        self._settle()
        try:
            self._open(self._run.snapshot())
            self._knob_log, self._checkpoints = self._knob_log.until(step), self._checkpoints.until(step)
            self.history.truncate(step)
            if step < self.step_count:
                self._run.restore(start)
                self._replay(step)
            self._journal = None
        except BaseException:
            self._undo()
            raise

    def _replay(self, last: int) -> None:
        """Take the steps up to `last` again, under the knobs that were in force."""
        run, moves = self._run, self._knob_log.between(self.step_count, last)
        while True:
            for config in moves.get(run.progress.step, []):
                run.configure(config)
            if run.progress.step == last:
                return
            before, step = run.remember(), TrainingStep(run)
            for _ in step.stages():
                pass
            if not step.applied:
                run.revert(before)
            run.progress = step.progress

    # ------------------------------------------------------------------ looking
    @property
    def fast_lane(self) -> bool:
        """Whether the next step calls autograd's kernels itself instead of running autograd; no number differs.

        True for an MLP of the tables without RMS norm, if both ways agreed bit for bit when tried on this machine.
        """
        fused = self._run.fused
        return fused is not None and all(fused.chain(len(rows)) for rows in self._run.draw_window().micro_batches)

    @property
    def held_out(self) -> tuple[Tensor, Tensor] | None:
        """(X, y) that are not trained on, None where there are none.

        As many fresh points of a generated set; of digits and of own data the share that `Config.holdout` says.
        """
        if self._kept_out is None and not self._own_data:
            self._kept_out = check.fresh_data(self.config)
        return None if self._kept_out is None else (self._kept_out.x, self._kept_out.y)

    def evaluate(self, samples: int | None = None) -> dict[str, float]:
        """Return the loss over all the training data, and the share classified right where there are classes.

        With `samples` over so many of them only, taken at equal distances. Of data that are held out (`held_out`) the
        same as ``holdout_loss`` and ``holdout_accuracy``.
        The network is in evaluation mode for it (batch norm uses its running statistics).
        """
        if samples is not None:
            check.check_count("samples", samples, 1)
        held = self.held_out
        before, buffers = TorchState.now(self._run.stochastic), self._run.buffers.copy()
        try:
            self.network.eval()
            with torch.no_grad():
                found = self._evaluate(*_some(samples, self.data.x, self.data.y))
                for name, value in self._evaluate(*_some(samples, *held)).items() if held is not None else ():
                    found[f"holdout_{name}"] = value
            self._leave_evaluation(before, buffers)
        except BaseException:
            self._leave_evaluation(before, buffers)
            raise
        return found

    def _evaluate(self, x: Tensor, y: Tensor) -> dict[str, float]:
        with self._run.sealed_randomness(0) if self._run.stochastic else nullcontext():
            output = self.network(x.clone())  # a network may change what it is given
        found = {"loss": float(self.data.loss(output, y))}
        if self.data.classification and isinstance(output, Tensor) and output.dim() == 2:
            found["accuracy"] = float((output.argmax(1) == y).double().mean())
        return found

    def _leave_evaluation(self, before: TorchState, buffers: list[Tensor | None]) -> None:
        before.restore()
        self.network.train()
        self._run.buffers.put(buffers)

    def next_window(self) -> NextWindow:
        """Return the rows of the data that the next step will see, micro-batch by micro-batch; nothing moves."""
        window, seed = self._run.draw_window(), self.config.batch_seed
        before = accumulate((len(rows) for rows in window.micro_batches[:-1]), initial=self._run.progress.samples)
        return NextWindow(window.micro_batches, window.weights, [pass_seed(seed, seen) for seen in before])

    def optimizer_state(self) -> dict[str, Any]:
        """Return a copy of what torch's optimizer knows: ``betas``, ``exp_avg_sq`` and so on.

        Tensors that hold a number per weight are flat: the trainable parameters one after the other.
        """
        flat = self._run.parameters
        return {
            name: flat.without_gaps(value)
            if isinstance(value, Tensor) and value.shape == flat.weights.shape
            else copied(value)
            for name, value in self._run.optimizer.known.items()
        }

    def check_gradients(
        self, samples: int = 8, entries_per_layer: int = 4, seconds: float = math.inf
    ) -> GradientCheck:
        """Compare autograd with finite differences on a float64 copy: the worst relative error of each layer.

        Uses the first `samples` samples and that many entries of each layer, fewer where that takes longer than
        `seconds`; raises ValueError if a number is below 1 or the loss is not finite.
        """
        layers, params = self._run.layers, self._run.parameters.params
        owner = [layer_of(layers, params, number) for number in range(len(params))]
        return check_gradients(
            *(self.network, self.data, self.layer_names, owner.__getitem__, samples, entries_per_layer),
            seconds=seconds,
        )

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Refuse to be copied or pickled: half of a run is torch's own, which would be shared or lost silently."""
        raise TypeError(
            "a Trainer cannot be copied or pickled; expected Trainer(trainer.config).run(trainer.step_count), which "
            "gives the same numbers, trainer.history, which can be copied, or trainer.network.state_dict()"
        )

    def __repr__(self) -> str:
        return f"Trainer({self.step_count} steps of {self.config!r})"
