"""`StageWidget`: the stage as an anywidget: traits, questions of the browser in, packets out."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import anywidget
import ipywidgets as widgets
from traitlets import Bool, Dict, Int, Unicode

from gradlab.stage import PacketEncoder, Shown, stage_source


class StageWidget(anywidget.AnyWidget):
    """Draws in the browser, which also keeps the time: it asks, and every message of the kernel is an answer.

    ``asked(kind, message)`` does what it asks for, under the lock, and returns what is to be shown; what it raises
    ``failed(error)`` is told, and the sentence and traceback that this returns are the answer.

    Attributes
    ----------
    playing : bool
        Whether the browser asks for steps.
    speed : str
        ``"paced"``, ``"1"``, ``"10"``, ``"100"`` or ``"max"``.
    working : bool
        Whether the browser asks for more of some work under way.
    controls_width : int
        Pixels left free for the knobs.
    look : dict
        Words, presets and theme.
    sent, answered : int
        Packets so far, and how many of them were asked for.
    seen : bool
        Whether a browser has loaded the stage.
    """

    # as text: anywidget watches a path for changes, and what watches keeps every panel ever made
    _esm = Unicode(stage_source()).tag(sync=True)
    playing = Bool(False).tag(sync=True)
    working = Bool(False).tag(sync=True)
    speed = Unicode("paced").tag(sync=True)
    controls_width = Int(0).tag(sync=True)
    look = Dict().tag(sync=True)

    def __init__(
        self,
        asked: Callable[[str, dict[str, Any]], Shown | None],
        failed: Callable[[BaseException], tuple[str, str]],
        lock: threading.RLock,
        **traits: Any,
    ) -> None:
        self._asked, self._failed, self._lock = asked, failed, lock
        self._encoder = PacketEncoder()
        self.sent = self.answered = 0
        self.seen = False
        self.on_copied: Callable[[str], None] = lambda error: None
        super().__init__(**traits)
        self.on_msg(self._heard)

    def _heard(self, _: widgets.Widget, message: dict[str, Any], buffers: Any) -> None:
        kind = message.get("kind")
        if kind == "copied":
            self.on_copied(str(message["error"]))
            return
        self.seen = True
        asked = {name: message[name] for name in ("id", "view") if name in message}
        with self._lock:
            try:
                shown = self._asked(str(kind), message)
                if shown is not None:
                    self._answer(str(kind), message, shown, asked)
                else:
                    self.send({"kind": "done", **asked})
            except BaseException as error:  # an interrupt, an exit of the user's own code too: the run stops, no more
                sentence, trace = self._failed(error)
                self.send({"kind": "error", "sentence": sentence, "trace": trace, **asked})

    def _answer(self, kind: str, message: dict[str, Any], shown: Shown, asked: dict[str, Any]) -> None:
        if kind == "rows":
            head, parts = self._encoder.rows(shown, message["steps"])
        elif kind == "all":
            head, parts = self._encoder.everything(shown)
        else:
            head, parts = self._encoder.new(shown)
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
