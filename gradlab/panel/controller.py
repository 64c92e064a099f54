"""`Controller`: the only way in which a panel's run changes; front end, code and notebook meet here."""

from __future__ import annotations

import copy
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from gradlab.config import SEEDS, Config
from gradlab.engine import Trainer
from gradlab.exercise.predicting import Prediction
from gradlab.history import History
from gradlab.locale import Text
from gradlab.panel.start import Inbox, check_size, failure_of
from gradlab.plots import BOTH
from gradlab.plots.axes import TIME
from gradlab.presets import PRESETS
from gradlab.registry import brief

LONGEST = 0.06  # seconds that one tick trains at most: so long whoever cannot be seen to wait waits for it
LEAST = 0.02  # that it trains though a message waits: two panels whose questions wait would take a step in turn
_RATE_OVER = 0.5  # seconds over which the pace is measured
_SIZE = ("batch_size", "accumulation", "accumulation_steps")  # live knobs that can make a step a long one


class Controller:
    """Owns the trainer of a panel, and lane A beside it while two lanes are compared.

    Every method that changes something is called under `lock`, in whatever thread the message of the front end or
    the notebook's cell runs; gradlab has no thread of its own. Knobs that pile up while a tick runs wait in `wait`
    and become one change, in which the last of each counts.

    After each change by hand ``changed(refused)`` is told, with the names of knobs that were not accepted.
    """

    def __init__(
        self,
        trainer: Trainer,
        own: Mapping[str, Any],
        text: Text,
        predict: bool = False,
        changed: Callable[[Sequence[str]], None] = lambda refused: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.trainer = trainer  # the run; lane B while two lanes are compared
        self.own = own  # the panel's own network, data and loss, None where it has none
        self.text, self._clock = text, clock
        self.inbox = Inbox()  # the messages that wait
        self.lock, self._changed = threading.RLock(), changed
        self.rival: Trainer | None = None  # lane A: as many steps as B, fewer if it diverged
        self.run = 0  # another number with each new start
        self.playing = self.interrupted = False  # whether ticks train; whether the next one ends as an interrupt
        self.closed = False
        self.alert = self.note = self.trace = ""  # what went wrong, what was just done, an error's traceback
        self.preset = self._refusal = ""  # the name of the one in force
        self.measure = TIME if trainer.history.time_names and not predict else BOTH  # or another of `MEASURES`
        self.theory = self.units = False  # whether theory's profile is shown; shares of dead and saturated units
        self.at: int | None = None  # the recorded step that is looked at; None for the latest
        self.ghost: tuple[History, Config] | None = None  # a pinned run
        self.rate: float | None = None  # steps a second while ticks train
        self.computing: float | None = None  # the share of that time in which their thread computed
        self._since: tuple[float, int] | None = None
        self._shower: int | None = None
        self._waiting: dict[str, Any] = {}
        self._waits = threading.Lock()  # held for a line only: who moves a knob need not wait for a tick
        self._wanted = False  # whether another thread waits for the lock
        self.predicts, self.prediction = predict, Prediction(text)
        if predict:
            self.prediction.begin(trainer)

    # ------------------------------------------------------------------ what a hand does
    def hears(self, widget: Any, told: Callable[[Any], object]) -> None:
        """Let ``told(value)`` hear a hand that moves a widget; what moves while code is `showing` is not heard."""
        widget.observe(lambda new: self._shower == threading.get_ident() or told(new["new"]), "value")

    @contextmanager
    def showing(self) -> Iterator[None]:
        """Show the run in the widgets, under `lock`: the only guard against echoes stands here."""
        before, self._shower = self._shower, threading.get_ident()  # a hand's move meanwhile comes in another thread
        try:
            yield
        finally:
            self._shower = before

    def move(self, knobs: Mapping[str, Any]) -> None:
        """Move knobs: what piles up while the run is busy becomes one change."""
        self.wait(knobs)
        with self.lock:
            if self.apply_waiting():
                self._changed([name for name in knobs if self.alert])

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the lock; a tick under way ends early for it."""
        self._wanted = True
        with self.lock:
            self._wanted = False
            yield

    def act(self, work: Callable[[], object]) -> None:
        """Do what a button or a menu asks for, under the lock; what is not accepted or fails is said."""
        with self.alone():
            if self.closed:
                return
            try:
                self.attempt(work)
            except Exception as error:
                self.fail(error)
            self._changed(())

    def wait(self, knobs: Mapping[str, Any]) -> None:
        """Note knobs that the front end moved, to be applied by who next holds the lock."""
        with self._waits:
            self._waiting |= knobs

    def apply_waiting(self) -> bool:
        """Apply all knobs that wait as one change, or say why not; return whether there were any."""
        with self._waits:
            knobs, self._waiting = self._waiting, {}
        if knobs:
            self.attempt(lambda: self.set(knobs))
        return bool(knobs)

    def attempt(self, work: Callable[[], object]) -> None:
        """Do what a front end asked for; what is not accepted is said, and nothing is changed."""
        try:
            work()
        except ValueError as error:
            self.reject(error)

    def reject(self, error: Exception) -> None:
        """Say that something was not accepted, until something is or a hand does something else."""
        self.alert = self._refusal = self.text("status.rejected", error=self.text.say(error))
        self.trace = ""

    def set(self, knobs: Mapping[str, Any]) -> None:
        """Move knobs: live ones at the next step, others by a new start from the same seeds. An error moves none."""
        old = self.trainer.config
        new = old.replace(**knobs)
        moved = old.differences(new)
        if any(not Config.knobs()[name].live for name in moved):
            self._start(new, self._rival_beside(old, new))
        elif moved or self.trainer.stopped:
            if not moved.keys().isdisjoint(_SIZE):
                check_size(new, self.own)
            self.trainer.reconfigure(**{name: there for name, (_, there) in moved.items()})
            self._said()
            self.preset = self.preset if not moved else ""

    def _rival_beside(self, old: Config, new: Config) -> Config | None:
        """Return the settings of lane A when B starts with others: a seed that both share moves in both."""
        if self.rival is None:
            return None
        kept = self.rival.config
        shared = [name for name in SEEDS if getattr(kept, name) == getattr(old, name)]
        return kept.replace(**{name: getattr(new, name) for name in shared})

    def choose(self, name: str) -> None:
        """Start a preset anew, whatever differs; a cure or what is none opens beside the failure it is about."""
        self._start(PRESETS[name], failure_of(name), name)

    # ------------------------------------------------------------------ starts
    def restart(self) -> None:
        """Start again from the seeds."""
        self._start(self.trainer.config, self.rival.config if self.rival is not None else None, self.preset)

    def _start(self, config: Config, rival: Config | None, preset: str = "") -> None:
        """Begin a new run, of two lanes if there is a rival; nothing is changed if one of them cannot be built."""
        for one in (config, rival) if rival is not None else (config,):
            check_size(one, self.own)
        trainer = Trainer(config, **self.own)
        beside = None if rival is None else Trainer(rival, **self.own)
        if bool(trainer.history.time_names) != bool(self.trainer.history.time_names) and not self.predicts:
            self.measure = TIME if trainer.history.time_names else BOTH  # a prediction is one over the layers
        self.trainer, self.rival, self.preset = trainer, beside, preset
        self.run += 1
        self.at = self.rate = self._since = None
        self._said()
        if self.predicts:
            self.prediction.begin(trainer)
        if self.locked:
            self.playing = False

    def _said(self) -> None:
        """Forget what was said of the state before."""
        self.alert = self.note = self.trace = self._refusal = ""

    def compare(self, knobs: Mapping[str, Any]) -> None:
        """Keep the settings in force as lane A, move knobs of lane B, and start both again."""
        kept = self.trainer.config
        self._start(kept.replace(**knobs), kept)

    def uncompare(self) -> None:
        """Drop lane A; lane B goes on."""
        self.rival = None

    def swap(self) -> None:
        """Exchange the settings of the lanes and start both again."""
        if self.rival is not None:
            self._start(self.rival.config, self.trainer.config)

    def pin(self) -> None:
        """Keep the current run as a ghost, or drop the ghost if no step was taken."""
        trainer = self.trainer
        self.ghost = (copy.deepcopy(trainer.history), trainer.config) if len(trainer.history) else None

    # ------------------------------------------------------------------ training
    @property
    def locked(self) -> bool:
        """Whether training waits for a prediction."""
        return self.prediction.hidden

    def ticks(self, steps: int | None, milliseconds: float | None, pictures: int) -> Iterator[int]:
        """Train for one picture after the other, as `tick` does for one; give how many are still to come.

        Where nobody can be seen to wait there is one: so long a message waits.
        """
        with self.inbox.open() as waits:
            for left in reversed(range(pictures if waits else 1)):
                self.tick(steps, milliseconds, waits)
                left = left if self.playing and not self._hurried(waits) else 0
                yield left
                if not left:
                    break

    def _hurried(self, waits: Callable[[], bool] | None) -> bool:
        return bool(self._waiting) or self._wanted or (waits is not None and waits())

    def tick(self, steps: int | None, milliseconds: float | None, waits: Callable[[], bool] | None = None) -> None:
        """Train as the front end asks: so many steps or so long, one step at least; less if something else waits."""
        if self.interrupted:
            raise KeyboardInterrupt
        self.apply_waiting()
        start, computed = self._clock(), time.thread_time()
        longest = LONGEST if milliseconds is None else min(milliseconds / 1000, LONGEST)
        taken = 0
        while self._goes_on() and (steps is None or taken < steps):
            self._step()
            taken += 1
            spent = self._clock() - start
            if spent >= longest or self._hurried(waits if spent >= LEAST else None):
                break
        self._measure_pace(start)
        if (took := self._clock() - start) > 0 and taken:
            self.computing = (time.thread_time() - computed) / took

    def _goes_on(self) -> bool:
        self.playing = self.playing and not self.trainer.stopped and not self.locked
        return self.playing

    def take(self, n: int, shown: Callable[[], None] = lambda: None) -> None:
        """Take `n` steps, fewer if the run diverges; `shown` is called after each."""
        self.playing = False
        self.rate = self._since = self.at = None
        self._said()
        for _ in range(n):
            if self.trainer.stopped or self.locked:
                break
            self._step()
            shown()

    def _step(self) -> None:
        self.alert, self.note, self.trace = self._refusal, "", ""
        self.took(self.trainer.step().step)

    def took(self, step: int) -> None:
        """Let lane A follow a step that the run has taken, and say what went wrong in it."""
        rival, history = self.rival, self.trainer.history
        self.at, self.note = None, ""
        while rival is not None and not rival.stopped and rival.step_count <= step:
            rival.step()
        diverged, last = history.diverged, history.marks[-1:]
        if diverged is not None and diverged.step == step:
            key = "status.diverged" if self.trainer.stopped else "status.continued"
            self.alert = self.text(key, sentence=self.text.say(diverged.sentence))
            self.playing = self.playing and not self.trainer.stopped
        elif last and (last[0].kind, last[0].step) == ("skipped", step):
            self.alert = self.text.say(last[0].text)

    def _measure_pace(self, start: float) -> None:
        """Note where the run stands at the end of a tick, and how fast it came there."""
        now, count = self._clock(), self.trainer.step_count
        if not self.playing:
            self.rate = self._since = None
        elif self._since is None or count < self._since[1]:
            self._since = (start, count)
        elif (took := now - self._since[0]) > _RATE_OVER:
            self.rate = (count - self._since[1]) / took
            self._since = (now, count)

    def fail(self, error: BaseException) -> None:
        """Say that an exception stopped the run."""
        self.playing = self.interrupted = False
        said = f"{type(error).__name__}: {self.text.say(error)}"
        stopped = isinstance(error, KeyboardInterrupt)
        self.alert = self.text("status.interrupted") if stopped else self.text("status.failed", error=said)
        self.trace = "".join(traceback.format_exception(error))

    # ------------------------------------------------------------------ back
    def rewind(self, step: int) -> None:
        """Go back to the state after `step` steps, bit for bit."""
        self.playing = False
        self.trainer.rewind(step)
        if self.rival is not None and step <= self.rival.step_count:
            self.rival.rewind(step)
        self._said()
        self.at = None
        self.note = self.text("status.rewound", step=step)

    @property
    def last_finite_step(self) -> int | None:
        """The step before the divergence that stopped the run: its own update is what ruined the weights."""
        diverged = self.trainer.history.diverged
        return max(0, diverged.step - 1) if self.trainer.stopped and diverged is not None else None

    def back(self) -> None:
        """Go back to the last finite step, so that it can be taken again with other knobs."""
        if (step := self.last_finite_step) is not None:
            self.rewind(step)

    def look_at(self, step: int | None) -> None:
        """Show a recorded step, the network as it is; None, or the newest step, follows the run again."""
        taken = self.trainer.step_count
        if step is not None and (isinstance(step, bool) or not isinstance(step, int) or not 0 <= step <= taken):
            raise ValueError(
                f"step={brief(step)}; expected None or a whole number from 0 to {taken}, the steps taken"
            )
        newest = int(self.trainer.history.row("step", -1)) if len(self.trainer.history) else 0
        self.at = step if step is not None and step < newest else None

    def close(self) -> None:
        """Stop, and let everything but the run itself go."""
        self.playing, self.closed = False, True
        self.rival = self.ghost = None
        self._changed = lambda refused: None
