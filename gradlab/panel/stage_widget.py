"""`StageWidget`: the stage as an anywidget: traits, questions in, packets out; `PlainPicture`: what replaces it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any
from uuid import uuid4

import anywidget
import ipywidgets as widgets
from traitlets import Bool, Dict, Int, Unicode

from gradlab.panel.controller import Controller
from gradlab.panel.layout import WidgetSet
from gradlab.stage import PacketEncoder, Shown, stage_source


class StageWidget(anywidget.AnyWidget):
    """Draws in the browser, which also keeps the time: it asks, and every message of the kernel is an answer.

    ``asked(kind, message)`` does what it asks for, under the lock, and gives what is to be shown: one answer after
    the other, each with how many are still to come. What it raises ``failed(error)`` is told, and the sentence and
    traceback that this returns are the answer.
    """

    # as text: anywidget watches a path for changes, and what watches keeps every panel ever made
    _esm = Unicode(stage_source()).tag(sync=True)
    playing = Bool(False).tag(sync=True)  # whether the browser asks for steps
    working = Bool(False).tag(sync=True)  # whether it asks for more of some work under way
    speed = Unicode("paced").tag(sync=True)  # or ``"1"``, ``"10"``, ``"100"``, ``"max"``
    controls_width = Int(0).tag(sync=True)  # pixels left free for the knobs
    look = Dict().tag(sync=True)  # words, presets and theme

    def __init__(
        self,
        asked: Callable[[str, dict[str, Any]], Iterable[tuple[Shown, int]]],
        failed: Callable[[BaseException], tuple[str, str]],
        lock: threading.RLock,
        **traits: Any,
    ) -> None:
        self._asked, self._failed, self._lock = asked, failed, lock
        self._encoder = PacketEncoder()
        self.sent = self.answered = 0  # packets so far, and how many of them were asked for
        self._free = time.perf_counter()  # when the last answer was given
        self.seen = False  # whether a browser has loaded the stage
        self.on_copied: Callable[[str], None] = lambda error: None
        super().__init__(**traits)
        self.on_msg(self._heard)

    def close(self) -> None:
        """Close, and let who answered go; a question that waits for the lock meanwhile finds nobody."""
        super().close()
        self.on_msg(self._heard, remove=True)
        self._asked, self._failed = (lambda kind, message: ()), (lambda error: ("", ""))
        self.on_copied = lambda error: None

    def _heard(self, _: widgets.Widget, message: dict[str, Any], buffers: Any) -> None:
        kind = message.get("kind")
        if kind == "copied":
            self.on_copied(str(message["error"]))
            return
        self.seen = True
        asked = {name: message[name] for name in ("id", "view") if name in message}
        with self._lock:
            waited = round(1e3 * (time.perf_counter() - self._free), 1)  # milliseconds, for this question
            try:
                for shown, left in self._asked(str(kind), message):
                    self._answer(str(kind), message, shown, asked | {"waited": waited, "left": left})
                if kind == "work":
                    self.send({"kind": "done", **asked})
            except BaseException as error:  # an interrupt, an exit of the user's own code too: the run stops, no more
                sentence, trace = self._failed(error)
                self.send({"kind": "error", "sentence": sentence, "trace": trace, **asked})
            self._free = time.perf_counter()

    def _answer(self, kind: str, message: dict[str, Any], shown: Shown, asked: dict[str, Any]) -> None:
        encoder = self._encoder
        if kind == "rows":
            head, parts = encoder.rows(shown, message["steps"])
        else:
            head, parts = (encoder.everything if kind == "all" else encoder.new)(shown)
        self.answered += 1
        self._emit(head, parts, asked)

    def publish(self, shown: Shown, unseen: bool = False) -> None:
        """Send what is new: the answer to a control's message, or a picture of a running cell.

        A stage that has not asked yet is not told, or with `unseen` everything each time: while a cell runs, some
        kernels hear no question.
        """
        if self.comm is not None and (self.seen or unseen):
            self._emit(*(self._encoder.new if self.seen else self._encoder.everything)(shown), {})

    def _emit(self, head: dict[str, Any], parts: list[bytes], asked: dict[str, Any]) -> None:
        self.sent += 1
        self.send({"kind": "packet", **asked, **head}, parts)

    def copy(self, text: str) -> None:
        """Put a text on the clipboard of the person who looks."""
        self.send({"kind": "copy", "id": uuid4().hex, "text": text})

    def download(self, name: str, content: bytes, media_type: str) -> None:
        """Let the browser save a file."""
        self.send({"kind": "download", "id": uuid4().hex, "name": name, "type": media_type}, [content])


class PlainPicture:
    """Shown by the style sheet a few seconds after the start, unless the stage stands there: in its `box`."""

    def __init__(self, make: WidgetSet, controller: Controller) -> None:
        notice = make.html(f'<div class="gradlab-words">{make.text("plain.notice")}</div>')
        works = {
            "step": lambda: controller.take(1),
            "many": lambda: controller.take(100),
            "reset": controller.restart,
        }
        buttons = [
            make.button(f"plain.{name}", f"plain.tip_{name}", partial(self._use, controller, work))
            for name, work in works.items()
        ]
        self._image = make(widgets.Image, format="png", layout=widgets.Layout(display="none"))
        self._used = False
        self.box = make.box("plain", notice, make.box("row", *buttons), self._image)

    def _use(self, controller: Controller, work: Callable[[], None]) -> None:
        self._used = True
        controller.act(work)

    def show(self, png: Callable[[], bytes]) -> None:
        """Draw, once somebody has used the buttons."""
        if self._used:
            self._image.value = png()
            self._image.layout.display = ""
