"""What a panel's run does between its steps: knobs moved, a new start, the way back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gradlab.config import Config
from gradlab.engine import Trainer
from gradlab.history import StepRecord
from gradlab.locale import Text
from gradlab.panel.controls import OWN, Controls
from gradlab.panel.display import Display


@dataclass(frozen=True)
class Hooks:
    """What parts of the panel want to be told of, under the worker's lock and before the next picture.

    Attributes
    ----------
    stepped : list of callable
        ``told(record)`` after each step of the run.
    replaced : list of callable
        ``told()`` when `Run.trainer` is a new one, at step 0.
    rewound : list of callable
        ``told(step)`` when the run went back.
    """

    stepped: list[Callable[[StepRecord], None]] = field(default_factory=list)
    replaced: list[Callable[[], None]] = field(default_factory=list)
    rewound: list[Callable[[int], None]] = field(default_factory=list)


class Moves(ABC):
    """The moves of a `Run`; each shows its outcome."""

    trainer: Trainer
    display: Display
    hooks: Hooks
    _own: Mapping[str, Any]
    _text: Text
    _controls: Controls

    @abstractmethod
    def refresh(self, alert: str | None = None) -> None:
        """Show everything as it is now; a given alert replaces the standing one."""

    def apply(self, knobs: Mapping[str, Any], preset: str = OWN, *, from_code: bool = False) -> None:
        """Move knobs; if they are not accepted nothing changes and the panel says why."""
        try:
            self._move(knobs)
        except Exception as error:
            self.refresh(self._text("status.rejected", error=self._text.say(error)))
            self._controls.show(self.trainer.config, OWN)
            if from_code or not isinstance(error, ValueError):
                raise
            return
        self._controls.show(self.trainer.config, preset)
        self.refresh("")

    def _move(self, knobs: Mapping[str, Any]) -> None:
        old = self.trainer.config
        new = old.replace(**knobs)
        moved = old.differences(new)
        fixed = [name for name in moved if not Config.knobs()[name].live]
        if fixed:
            self._replace(Trainer(new, **self._own))
        elif moved or self.trainer.stopped:
            self.trainer.reconfigure(**{name: there for name, (_, there) in moved.items()})

    def _replace(self, trainer: Trainer) -> None:
        self.trainer = trainer
        for told in self.hooks.replaced:
            told()

    def restart(self) -> None:
        """Start again from the seeds."""
        self._replace(Trainer(self.trainer.config, **self._own))
        self.refresh("")

    def rewind(self, step: int) -> None:
        """Go back to the state after `step` steps."""
        self.trainer.rewind(step)
        for told in self.hooks.rewound:
            told(step)
        self._controls.show(self.trainer.config, OWN)
        self.refresh(self._text("status.rewound", step=step))

    def back(self) -> None:
        """Go back to the last finite step, so that it can be taken again with other knobs."""
        step = self._last_finite_step()
        if step is not None:
            self.rewind(step)

    def _last_finite_step(self) -> int | None:
        """Return the step before the divergence; its own update is what ruined the weights."""
        diverged = self.trainer.history.diverged
        return max(0, diverged.step - 1) if self.trainer.stopped and diverged is not None else None

    def try_suggestion(self) -> None:
        """Apply the next experiment that the diagnosis suggests."""
        if self.display.insight.suggestion:
            self.apply(dict(self.display.insight.suggestion))

    def check_gradients(self) -> None:
        """Compare autograd with finite differences on the network at hand."""
        self.display.insight.check_gradients(self.trainer)
        self.refresh()
