"""Pin: a run kept as a ghost behind the coming ones."""

from __future__ import annotations

import copy
from collections.abc import Set
from dataclasses import replace

from gradlab.config import Config
from gradlab.engine import Trainer
from gradlab.locale import Text
from gradlab.panel.bridge import key
from gradlab.panel.run import Run
from gradlab.panel.view import Face
from gradlab.plots import View

_MOST = 16  # characters of a ghost's settings that the legend has room for


class Ghost:
    """The pinned run, named by the settings in which it differs from the present ones.

    Parameters
    ----------
    run : Run
        The panel's run.
    face : Face
        Has the button.
    idle : set of str
        Knobs without effect here.
    text : Text
        Language.
    """

    def __init__(self, run: Run, face: Face, idle: Set[str], text: Text) -> None:
        self._run, self._idle, self._text = run, idle, text
        self._config: Config | None = None
        key(face.pin, "k")
        face.pin.on_click(lambda _: run.post(self.pin))
        run.display.lenses.append(self._look)
        run.display.tellers.append(self._tell)
        run.display.captions.append(self._caption)

    def pin(self) -> None:
        """Keep the current run as a ghost, or drop the ghost if there is no step."""
        trainer = self._run.trainer
        kept = len(trainer.history) > 0
        self._run.display.ghost = copy.deepcopy(trainer.history) if kept else None
        self._config = trainer.config if kept else None
        self._run.refresh()

    def _look(self, view: View, trainer: Trainer) -> View:
        return replace(view, ghost_name=self._short(self._knobs(trainer.config)))

    def _tell(self, trainer: Trainer) -> dict[str, str]:
        return {self._text("info.ghost"): self._words(trainer.config)}

    def _caption(self, trainer: Trainer, _: View) -> str:
        words = self._words(trainer.config)
        return self._text("alt.ghost", ghost=words) if words else ""

    def _words(self, config: Config) -> str:
        """Say of which settings the ghost is, and what it had come to; empty without a ghost."""
        ghost = self._run.display.ghost
        if ghost is None:
            return ""
        values = {"steps": ghost[-1].step + 1, "loss": f"{ghost[-1].loss:.4g}"}
        knobs = ", ".join(self._knobs(config))
        return self._text("ghost.other", knobs=knobs, **values) if knobs else self._text("ghost.same", **values)

    def _knobs(self, config: Config) -> list[str]:
        return other_knobs(self._config, config, self._idle) if self._config is not None else []

    @staticmethod
    def _short(knobs: list[str]) -> str:
        known = list(knobs)
        while len(known) > 1 and len(", ".join(known)) > _MOST:
            known.pop()
        left = len(knobs) - len(known)
        return ", ".join([*known, f"+{left}"] if left else known)

    def close(self) -> None:
        """Let the ghost go."""
        self._run.display.ghost = self._config = None


def other_knobs(config: Config, other: Config, idle: Set[str]) -> list[str]:
    """Return ``name value`` of each knob of a config that differs from another's, but for those without effect."""
    return [f"{name} {here}" for name, (here, _) in config.differences(other).items() if name not in idle]
