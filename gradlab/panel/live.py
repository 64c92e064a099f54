"""`WatchStage`: the stage of a history that grows elsewhere: a watched loop, while its cell runs and afterwards."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
from IPython.display import display

from gradlab.blocks import Blocks
from gradlab.diagnosis import diagnose
from gradlab.history import History
from gradlab.locale import Text
from gradlab.panel.controls import measures
from gradlab.panel.description import verdict_words
from gradlab.panel.stage_widget import StageWidget
from gradlab.panel.start import with_picture
from gradlab.plots import BOTH, View, draw_view, figure_png
from gradlab.plots.axes import TIME, columns_of
from gradlab.stage import Lane, Shown, stage_words
from gradlab.stage.learned import Seldom
from gradlab.watch import STAGES

_EVERY, _REST = 0.1, 20  # seconds between two pictures at least, and times what one takes
_HIDDEN = ("top", "seen", "rewind", "along")  # parts of the stage that are about a run of the panel's own


class WatchStage(widgets.VBox):
    """The stage, fed by whoever appends to a history under `lock`; with `blocks` layers are folded at first."""

    def __init__(
        self,
        history: History,
        lock: threading.RLock,
        blocks: bool = False,
        lang: str = "en",
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        text = self._text = Text(lang)
        self._history, self._lock, self._seldom = history, lock, Seldom(_EVERY, clock)
        self._blocks = Blocks(history)
        look = {"theme": "auto", "lang": lang, "words": stage_words(text), "groups": [], "hide": _HIDDEN}
        self._stage = StageWidget(self._asked, self._failed, lock, look=look)
        rows = [(text("watch.layers"), False), (text("watch.blocks"), True)]
        self._fold = widgets.Dropdown(options=rows, value=blocks, description=text("watch.rows"))
        shown = [(words, name) for words, name in measures(text) if name != TIME or history.time_names]
        self._measure = widgets.Dropdown(options=shown, value=BOTH, description=text("watch.measure"))
        for choice in (self._fold, self._measure):
            choice.observe(lambda _: self.take(now=True), "value")
        self._displayed: Any = None
        super().__init__([widgets.HBox([self._measure, self._fold]), self._stage])

    def take(self, now: bool = False) -> None:
        """Show what is new, at once or when the next picture is due."""
        if now or self._seldom.due:
            with self._seldom.spend(_REST), self._lock:
                self._stage.publish(self.shown(), unseen=True)

    def show(self) -> WatchStage:
        """Display it where the running cell stands."""
        self._displayed = display(self, display_id=True)
        return self

    def finish(self) -> None:
        """Show the end of the loop; the notebook keeps its picture for whoever reads it without a kernel."""
        self.take(now=True)
        if self._displayed is not None:
            self._displayed.update(self)

    def shown(self) -> Shown:
        """Return everything that the stage shows now."""
        history, text = self._history, self._text
        shown = self._blocks.update() if self._fold.value else history
        said = diagnose(history, lang=text.lang).sentence if len(history) else ""
        view = View(measure=str(self._measure.value), text=text)
        return Shown(0, (Lane(shown, verdict=verdict_words(history, None, text)),), view, lesson=said)

    def _asked(self, kind: str, message: dict[str, Any]) -> tuple[tuple[Shown, int]]:
        return ((self.shown(), 0),)

    def _failed(self, error: BaseException) -> tuple[str, str]:
        trace = "".join(traceback.format_exception(error))
        return self._text("status.failed", error=f"{type(error).__name__}: {self._text.say(error)}"), trace

    @property
    def frames(self) -> int:
        """Pictures sent so far."""
        return self._stage.sent

    def png(self) -> bytes:
        """Return the picture as matplotlib draws it, as a PNG."""
        shown = self.shown()
        return figure_png(draw_view(shown.history, shown.view))

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """Return the widget with its picture, once there is something to see."""
        bundle: dict[str, Any] = super()._repr_mimebundle_(**kwargs) or {}
        return with_picture(bundle, self.png()) if len(self._history) else bundle

    def __repr__(self) -> str:
        return f"<WatchStage of {len(columns_of(self._history, BOTH))} layers>"


STAGES["watch"] = WatchStage  # where `Watcher.show`, which stands below, finds it
