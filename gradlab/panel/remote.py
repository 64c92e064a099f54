"""`Remote`: a panel's run from code, by the same path as from the mouse."""

from __future__ import annotations

from typing import Any

from gradlab.config import Config
from gradlab.engine import Trainer
from gradlab.history import History
from gradlab.panel.picture import Picture
from gradlab.panel.run import Run
from gradlab.panel.timeline import Timeline


class Remote:
    """What `GradLab` offers to code."""

    _run: Run
    _picture: Picture
    time: Timeline

    @property
    def config(self) -> Config:
        """The config in force."""
        return self._run.trainer.config

    @property
    def trainer(self) -> Trainer:
        """The trainer; a restart knob replaces it."""
        return self._run.trainer

    @property
    def history(self) -> History:
        """What was measured since the last start."""
        return self._run.trainer.history

    @property
    def playing(self) -> bool:
        """Whether training runs in the background."""
        return self._run.playing

    @property
    def closed(self) -> bool:
        """Whether the panel was closed."""
        return self._run.closed

    @property
    def frames(self) -> tuple[int, int]:
        """Frames sent to the browser so far, and acknowledged by it."""
        return self._picture.frames, self._picture.acknowledged

    @property
    def alert(self) -> str:
        """What the panel says went wrong; empty if nothing did."""
        return self._run.display.alert

    @property
    def status(self) -> str:
        """What the status line says."""
        return self._run.display.status

    @property
    def words(self) -> str:
        """The picture in words and numbers, as a screen reader tells it."""
        return self._run.display.words

    @property
    def said(self) -> dict[str, str]:
        """The sentences below the picture, by heading."""
        return dict(self._run.display.said)

    @property
    def insight(self) -> dict[str, str]:
        """What theory, diagnosis and the gradient check say of the run, by heading; empty where silent."""
        return self._run.display.insight.sentences(self._run.trainer, theory=True)

    def set(self, **knobs: Any) -> None:
        """Change knobs: live ones at the next step, others by a new start from the same seeds.

        Raises
        ------
        ValueError
            If a value is not accepted; nothing is changed then.
        """
        self._run.call(lambda: self._run.apply(knobs, from_code=True))

    def step(self, n: int = 1) -> None:
        """Take `n` steps now, in the thread that calls, and show the last."""
        self._run.run_now(n)

    def run(self, n: int) -> History:
        """Take `n` steps now, in the thread that calls, fewer if the run diverges; return the history.

        Training in the background is paused first.
        """
        self._run.run_now(n)
        return self.history

    def play(self) -> None:
        """Train in the background until `pause`; a second call changes nothing."""
        self._run.play()

    def pause(self) -> None:
        """Stop training after the step that is running, and wait for it."""
        self._run.pause()

    def reset(self) -> None:
        """Start again from the same seeds."""
        self._run.call(self._run.restart)

    def rewind(self, step: int) -> None:
        """Go back to the state after `step` steps, bit for bit."""
        self._run.pause()
        self._run.call(lambda: self._run.rewind(step))

    def show_step(self, step: int | None) -> None:
        """Show a recorded step in every picture, training paused; None shows the latest again.

        The network stays at the latest step; `rewind` makes an earlier one live. Raises ValueError if no such
        step was taken.
        """
        self.time.show_step(step)
