"""Compare: a second lane that trains in lockstep with the panel's run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gradlab.compare import differences, who_is_ahead
from gradlab.config import Config
from gradlab.engine import Trainer
from gradlab.history import History, StepRecord
from gradlab.locale import Text
from gradlab.panel.bridge import key
from gradlab.panel.controls import seeds
from gradlab.panel.display import preview_of
from gradlab.panel.ghost import Ghost, other_knobs
from gradlab.panel.run import Run
from gradlab.panel.start import without_effect
from gradlab.panel.view import Face
from gradlab.panel.words import describe
from gradlab.plots import View
from gradlab.plots.view import row_beside


class Lanes:
    """Lane B is the panel's run, lane A a trainer beside it; all under the lock of the run's worker.

    Lane A has as many steps as B, fewer if it diverged. A start, a step and the way back of B are A's too. A seed
    that both lanes share moves in both; any other knob moves B alone.

    Parameters
    ----------
    run : Run
        The panel's run.
    face : Face
        Has the buttons.
    own : mapping
        The panel's own network, data and loss, None where it has none.
    text : Text
        Language.

    Attributes
    ----------
    rival : Trainer or None
        Lane A, while two lanes are compared.
    ghost : Ghost
        The pinned run.
    """

    def __init__(self, run: Run, face: Face, own: Mapping[str, Any], text: Text) -> None:
        self.rival: Trainer | None = None
        self._run, self._face, self._own, self._text = run, face, own, text
        self._idle = without_effect(own["network"], own["data"])
        self.ghost = Ghost(run, face, self._idle, text)
        self._kept: Config | None = None
        self._last_b = run.trainer.config
        self._silent = False
        self._previewed: tuple[Trainer, History] | None = None
        self._wire(run, face)

    def _wire(self, run: Run, face: Face) -> None:
        key(face.compare, "c")
        face.compare.observe(lambda change: self._switched(bool(change["new"])), "value")
        face.swap.on_click(lambda _: run.post(self.swap))
        run.hooks.stepped.append(self._stepped)
        run.hooks.replaced.append(self._replaced)
        run.hooks.rewound.append(self._rewound)
        run.display.lenses.append(self._look)
        run.display.tellers.append(self._tell)
        run.display.captions.append(self._caption)

    @property
    def histories(self) -> dict[str, History]:
        """The histories of both lanes by label, for `who_is_ahead`, say; empty while nothing is compared."""
        return {} if self.rival is None else {"A": self.rival.history, "B": self._run.trainer.history}

    # ------------------------------------------------------------------ the buttons
    def _switched(self, on: bool) -> None:
        """Hear the Compare button, in whatever thread its message arrives."""
        if not self._silent:
            self._run.post(self.start if on else self.end)

    def start(self, knobs: Mapping[str, Any] | None = None) -> None:
        """Keep the settings in force as lane A, move knobs of lane B, and start both again.

        Raises
        ------
        ValueError
            If a value is not accepted; both lanes stay as they are then.
        """
        kept = self._run.trainer.config
        if knobs:
            self._run.apply(knobs, from_code=True)
        self._kept, self._last_b = kept, self._run.trainer.config
        try:
            self._run.restart()
        finally:
            self._show_buttons()

    def end(self) -> None:
        """Drop lane A; lane B goes on."""
        self.rival = self._kept = self._previewed = None
        self._show_buttons()
        self._run.refresh()

    def swap(self) -> None:
        """Exchange the settings of the lanes and start both again."""
        if self._kept is None:
            return
        a, b = self._kept, self._run.trainer.config
        self._kept, self._last_b = b, a
        self._run.apply({name: there for name, (_, there) in b.differences(a).items()})
        self._run.restart()

    def _show_buttons(self) -> None:
        self._silent = True
        try:
            self._face.compare.value = self.rival is not None
        finally:
            self._silent = False
        self._face.swap.layout.display = "none" if self.rival is None else ""

    # ------------------------------------------------------------------ in lockstep
    def _replaced(self) -> None:
        if self._kept is None:
            return
        config = self._run.trainer.config
        shared = [name for name in seeds(0) if getattr(self._kept, name) == getattr(self._last_b, name)]
        self._kept = self._kept.replace(**{name: getattr(config, name) for name in shared})
        self._last_b = config
        self.rival = Trainer(self._kept, **self._own)

    def _stepped(self, _: StepRecord) -> None:
        rival = self.rival
        while rival is not None and not rival.stopped and rival.step_count < self._run.trainer.step_count:
            rival.step()

    def _rewound(self, step: int) -> None:
        if self.rival is not None and step <= self.rival.step_count:
            self.rival.rewind(step)

    # ------------------------------------------------------------------ what is seen and said
    def _look(self, view: View, _: Trainer) -> View:
        return view if self.rival is None else replace(view, rival=self._shown(self.rival))

    def _shown(self, rival: Trainer) -> History:
        """Return lane A's history; before its first step, what that step would show."""
        if len(rival.history):
            return rival.history
        if self._previewed is None or self._previewed[0] is not rival:
            self._previewed = (rival, preview_of(rival))
        return self._previewed[1]

    def _tell(self, trainer: Trainer) -> dict[str, str]:
        """Say what lane A is, how the lanes differ and who is ahead."""
        if (rival := self.rival) is None:
            return {}
        alike = {name: getattr(trainer.config, name) for name in self._idle}
        configs = {"A": rival.config.replace(**alike), "B": trainer.config}
        words = self._text(
            "lanes.words",
            kept=", ".join(other_knobs(rival.config, Config(), self._idle)) or self._text("lanes.defaults"),
            differences=differences(configs, self._text.lang),
            ahead=who_is_ahead(self.histories, self._text.lang),
        )
        ended = self._text("lanes.ended") if rival.stopped else ""
        said = filter(None, (words, ended, self._text("lanes.heatmap")))
        return {self._text("info.lanes"): self._text("alt.between").join(said)}

    def _caption(self, trainer: Trainer, view: View) -> str:
        """Return what a person who does not see the picture should know of lane A."""
        if self.rival is None:
            return ""
        history = self._shown(self.rival)
        row = row_beside(trainer.history, view.at, history)
        return self._text("alt.lanes", words=describe(history, view.measure, self._text, row))

    def close(self) -> None:
        """Let lane A and the ghost go."""
        self.rival = self._kept = self._previewed = None
        self.ghost.close()


class Comparing:
    """What `GradLab` can do with its ghost and its lanes, from code."""

    lanes: Lanes
    _run: Run

    def pin(self) -> None:
        """Keep the current run as a ghost behind the coming ones; with no step taken, take the ghost away."""
        self._run.call(self.lanes.ghost.pin)

    def compare(self, **knobs: Any) -> None:
        """Keep the settings in force as lane A, move `knobs` of lane B, and train both in lockstep from step 0.

        From then on `set` and the controls move lane B; lane A is the trainer ``lanes.rival``. Called again, it
        keeps the settings of lane B as the new lane A; `uncompare` ends it.

        Raises
        ------
        ValueError
            If a value is not accepted; nothing is changed then.
        """
        self._run.call(lambda: self.lanes.start(knobs))

    def uncompare(self) -> None:
        """Drop lane A; the run of lane B goes on."""
        self._run.call(self.lanes.end)
