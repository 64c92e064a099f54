"""Changing course: live knobs moved between steps, and the way back to an earlier step."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from gradlab.config import Config
from gradlab.data import Data
from gradlab.engine import check
from gradlab.engine.changes import Changes
from gradlab.engine.machine import Machine, Moment
from gradlab.engine.probe import NetworkProbe
from gradlab.engine.snapshots import Snapshots
from gradlab.engine.stages import Stage
from gradlab.history import Divergence, History, Mark, StepRecord

Finished = tuple[StepRecord, Divergence | None]


class Course:
    """What a `Trainer` can do between its steps."""

    config: Config
    data: Data
    history: History
    _machine: Machine
    _snapshots: Snapshots
    _changes: Changes
    _pending: Generator[Stage, None, None] | None

    @property
    def stopped(self) -> bool:
        """Whether a divergence stopped the run; `rewind` or `reconfigure` gives it a new start."""
        return self.history.diverged is not None and self.config.nonfinite == "stop"

    def prepare(self) -> None:
        """Do what the first step needs but is not its own time: torch loads much with its first optimizer."""
        self._machine.descent.prepare()

    @property
    def prepared(self) -> bool:
        """Whether `prepare` has nothing left to load."""
        return self._machine.descent.loaded

    def _abandon_pending(self) -> None:
        if self._pending is not None:
            self._pending.close()
            self._pending = None

    def reconfigure(self, **knobs: Any) -> None:
        """Change live knobs: weights are kept, the next step uses them, the history is marked.

        Raises
        ------
        ValueError
            If a knob is unknown, its value is not accepted, or it needs a new trainer.
        """
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
        if isinstance(self._machine.probe, NetworkProbe):
            check.check_micro_batches(new, self.data.n)
            check.check_micro_batches(new, self._machine.stream.remaining)
        self._abandon_pending()
        if self.stopped:
            self.history.truncate(self._machine.step)
        if moved:
            text = ", ".join(f"{name} {old} -> {new_value}" for name, (old, new_value) in moved.items())
            self.history.mark(Mark(self._machine.step, "knob", text))
            self._apply(new)
            self._changes.add(self._machine.step, new)

    def _apply(self, config: Config) -> None:
        self._machine.configure(self.config, config)
        self.config = config

    def rewind(self, step: int) -> None:
        """Go back to the state after `step` steps, bit for bit; the history ends there.

        Works by replaying from the last snapshot before it, so it can take as long as the steps between did.

        Raises
        ------
        ValueError
            If `step` lies ahead, or so far back that the knobs moved since are forgotten (thousands of moves).
        """
        check.check_count("step", step)
        if step > self._machine.step:
            raise ValueError(f"step={step}; expected at most {self._machine.step}, the steps taken so far")
        start = self._snapshots.before(step)
        if start.step < step and start.step < self._changes.forgotten_until:
            known = [s for s in self._snapshots.steps if s <= self._machine.step]
            raise ValueError(f"step={step}: the knobs moved before it are forgotten; expected one of {known}")
        self._abandon_pending()
        self._changes.truncate(step)
        self._snapshots.truncate(step)
        self.history.truncate(step)
        if step == self._machine.step:
            return
        self._machine.restore(start)
        self.config = start.config
        self._replay(step)

    def _replay(self, step: int) -> None:
        moves = self._changes.between(self._machine.step, step)
        while True:
            for config in moves.get(self._machine.step, []):
                self._apply(config)
            if self._machine.step == step:
                return
            record, _ = exhaust(self._machine.run_step(self.config))
            self._machine.commit(record)


def exhaust(moments: Generator[Moment, None, Finished]) -> Finished:
    """Run a step to its end and return what it returns."""
    while True:
        try:
            next(moments)
        except StopIteration as done:
            return done.value
