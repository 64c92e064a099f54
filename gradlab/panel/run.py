"""The run behind a panel: what the buttons do, in one thread at a time."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from gradlab.engine import Trainer
from gradlab.engine.check import check_count
from gradlab.history import StepRecord
from gradlab.locale import Text
from gradlab.panel.controls import OWN, Controls
from gradlab.panel.display import Display
from gradlab.panel.insight import Insight
from gradlab.panel.moves import Hooks, Moves
from gradlab.panel.picture import Picture
from gradlab.panel.view import Face
from gradlab.panel.waiting import Waiting
from gradlab.panel.worker import Worker

_UNTOUCHED_MINUTES = 30
_UNSEEN_SECONDS = 10  # a closed tab does not say goodbye: it only stops acknowledging frames


class Run(Moves):
    """Owns the trainer of a panel and writes its picture, status and buttons.

    Everything that touches them runs under the worker's lock: in its thread for the mouse (`post`), in the
    caller's for code (`call`, `run_now`).
    """

    def __init__(
        self,
        trainer: Trainer,
        own: Mapping[str, Any],
        text: Text,
        face: Face,
        picture: Picture,
        controls: Controls,
    ) -> None:
        self.trainer = trainer
        self.playing = self.closed = False
        self.hooks = Hooks()
        self.display = Display(text, face, picture, controls, Insight(own, text))
        self._own, self._text = own, text
        self._face, self._picture, self._controls = face, picture, controls
        self._worker = Worker(self._tick, lambda: self.playing, self._failed)
        self._waiting = Waiting()
        self._touched = time.monotonic()

    # ------------------------------------------------------------------ ways in
    def post(self, work: Callable[[], None]) -> None:
        """Let the worker do something soon; for callbacks, which may run in any thread."""
        self._touched = time.monotonic()
        self._worker.submit(work)

    def post_knobs(self, knobs: Mapping[str, Any], preset: str = OWN) -> None:
        """Let the worker move knobs; moves that pile up while it works become one."""
        if self._waiting.add(knobs, preset):
            self.post(self._apply_waiting)

    def _apply_waiting(self) -> None:
        self.apply(*self._waiting.take())

    def call(self, work: Callable[[], None]) -> None:
        """Do something now and return when it is done; its exception reaches the caller."""
        self._check_open()
        self._touched = time.monotonic()
        if not self.playing:
            with self._worker.lock:
                work()
            return
        done: Future[None] = Future()

        def carry_out() -> None:
            try:
                done.set_result(work())
            except BaseException as error:
                done.set_exception(error)

        self._worker.submit(carry_out)
        done.result()

    def _check_open(self) -> None:
        if self.closed:
            raise RuntimeError(self._text("status.closed"))

    # ------------------------------------------------------------------ training
    def toggle(self) -> None:
        """Play or pause, as the button says."""
        if self.playing:
            self.playing = False
            self.post(self.refresh)
        else:
            self.play()

    def play(self) -> None:
        """Start training in the background."""
        self._check_open()
        if not self.playing and not self.trainer.stopped:
            self.playing = True
        self.post(self._show_buttons if self.playing else self.refresh)

    def pause(self) -> None:
        """Stop training after the running step."""
        was_playing, self.playing = self.playing, False
        if was_playing:
            self.call(self.refresh)

    def no_view(self) -> None:
        """Pause because nobody looks."""
        if self.playing:
            self.playing = False
            self._worker.submit(lambda: self.refresh(self._text("status.no_view")))

    def take(self, n: int) -> None:
        """Take steps and show the last."""
        self.playing = False
        try:
            for _ in range(n):
                if self.trainer.stopped:
                    break
                self.display.alert = ""
                self._step()
                if self._picture.due():
                    self.display.draw(self.trainer, self.playing)
        finally:  # an interrupted cell leaves a picture of the last whole step
            self.refresh()

    def run_now(self, n: int) -> None:
        """Pause, then take `n` steps in the calling thread."""
        check_count("n", n)
        self._check_open()
        self.pause()
        with self._worker.lock:
            self.take(n)

    def _tick(self) -> None:
        self._step()
        if self.trainer.stopped:
            self.playing = False
            self.refresh()
        elif self._picture.due():
            self.display.draw(self.trainer, self.playing)
            self._auto_pause()

    def _auto_pause(self) -> None:
        if self._picture.unanswered > _UNSEEN_SECONDS:
            self.playing = False
            self.refresh(self._text("status.no_view"))
        elif time.monotonic() - self._touched > 60 * _UNTOUCHED_MINUTES:
            self.playing = False
            self.refresh(self._text("status.idle", minutes=_UNTOUCHED_MINUTES))

    def _step(self) -> None:
        self.took(self.trainer.step())

    def took(self, record: StepRecord) -> None:
        """Tell of a step that the trainer has taken, and of what went wrong in it."""
        history = self.trainer.history
        for told in self.hooks.stepped:
            told(record)
        diverged, last = history.diverged, history.marks[-1:]
        if diverged is not None and diverged.step == record.step:
            key = "status.diverged" if self.trainer.stopped else "status.continued"
            self.display.alert = self._text(key, sentence=self._text.say(diverged.sentence))
        elif last and (last[0].kind, last[0].step) == ("skipped", record.step):
            self.display.alert = self._text.say(last[0].text)

    # ------------------------------------------------------------------ showing
    def refresh(self, alert: str | None = None) -> None:
        """Show everything as it is now; a given alert replaces the standing one."""
        if alert is not None:
            self.display.alert = alert
        if self.closed:
            return
        self._show_buttons()  # before the picture, which a slow connection takes its time over
        self.display.draw(self.trainer, self.playing, say=True)

    def fit(self, width: float) -> None:
        """Draw the picture as wide as the screen shows it, in pixels."""
        if self._picture.fit(width):
            self.refresh()

    def _show_buttons(self) -> None:
        self._face.show_buttons(self.playing, self._last_finite_step())

    def lock_training(self, why: str) -> None:
        """Grey out Play and Step, and say why; with nothing to say, free them again."""
        self._face.locked = why
        self._show_buttons()

    @property
    def locked(self) -> str:
        """Why Play and Step are grey; empty if they are not."""
        return self._face.locked

    def _failed(self, error: BaseException) -> None:
        """Tell of an exception in the worker: training pauses, the panel says why."""
        self.playing = False
        self.display.alert = self._text("status.failed", error=f"{type(error).__name__}: {error}")
        self._face.show_buttons(False, None)
        self._face.show_alert(self.display.alert, "".join(traceback.format_exception(error)))

    def close(self) -> None:
        """Stop training and end the thread."""
        self.playing, self.closed = False, True
        self._worker.close()
