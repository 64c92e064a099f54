"""`Bridge`: keys, clipboard, downloads and the mouse over the picture, by messages only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import anywidget
import ipywidgets as widgets


class Pointer(NamedTuple):
    """The mouse or a finger on the picture.

    Attributes
    ----------
    what : str
        ``"down"``, ``"move"`` (only while pressed) or ``"up"``.
    x, y : float
        From 0 to 1, rightward and downward.
    """

    what: str
    x: float
    y: float


class Bridge(anywidget.AnyWidget):
    """An invisible widget with a few lines of JavaScript; one a panel, shown inside it.

    A button with the class ``gradlab-key-x`` is pressed by Alt+X while the focus is in the panel; other keys stay
    with the widget that has the focus, and JupyterLab does not see them (Ctrl and Cmd combinations it does).

    Attributes
    ----------
    on_pointer : list of callable
        ``told(pointer)``, in whatever thread the message arrives.
    on_width : list of callable
        ``told(pixels)`` when the picture has another width on the screen, in pixels of the screen.
    on_copied : list of callable
        ``told(error)`` after `copy`; the error is empty if all went well.
    """

    # as text: anywidget watches a path for changes, and what watches keeps every panel ever made
    _esm = Path(__file__).with_name("bridge.js").read_text(encoding="utf-8")

    def __init__(self, **traits: Any) -> None:
        self.on_pointer: list[Callable[[Pointer], None]] = []
        self.on_width: list[Callable[[float], None]] = []
        self.on_copied: list[Callable[[str], None]] = []
        super().__init__(**traits)
        self.on_msg(self._heard)

    def copy(self, text: str) -> None:
        """Put a text on the clipboard of the person who looks."""
        self.send({"kind": "copy", "id": uuid4().hex, "text": text})

    def download(self, name: str, content: bytes, media_type: str) -> None:
        """Let the browser save a file."""
        self.send({"kind": "download", "id": uuid4().hex, "name": name, "type": media_type}, [content])

    def _heard(self, _: widgets.Widget, message: Any, buffers: Any) -> None:
        if message.get("kind") == "pointer":
            pointer = Pointer(str(message["what"]), float(message["x"]), float(message["y"]))
            for told in self.on_pointer:
                told(pointer)
        elif message.get("kind") == "width":
            for told in self.on_width:
                told(float(message["width"]))
        elif message.get("kind") == "copied":
            for told in self.on_copied:
                told(str(message["error"]))


def key(button: widgets.DOMWidget, letter: str) -> None:
    """Let Alt and a letter press a button; its tooltip should say so."""
    button.add_class(f"gradlab-key-{letter}")
