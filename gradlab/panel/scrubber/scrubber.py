"""`Scrubber`: a slider that follows training, by messages only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as widgets


class Scrubber(anywidget.AnyWidget):
    """A slider from 0 to the newest row, told by its owner where it stands and telling where it is put.

    An ipywidgets slider has one writer at a time; this one has no trait that either side writes, so that its
    range may grow while it is dragged. A view that is being dragged takes the range and leaves the handle alone.

    Parameters
    ----------
    label : str
        What stands before it, and what a screen reader calls it.
    tip : str
        What the mouse is told over it.

    Attributes
    ----------
    on_moved : list of callable
        ``told(row, done)``, in whatever thread the message arrives; `done` once the handle is let go.
    rows, row, says : int, int, str
        What the views were told last: how many rows there are, which one is shown, and that row in words.
    """

    # as text: anywidget watches a path for changes, and what watches keeps every panel ever made
    _esm = Path(__file__).with_name("scrubber.js").read_text(encoding="utf-8")

    def __init__(self, label: str, tip: str, **traits: Any) -> None:
        self.on_moved: list[Callable[[int, bool], None]] = []
        self.rows, self.row, self.says = 0, 0, ""
        self._label, self._tip = label, tip
        super().__init__(**traits)
        self.add_class("gradlab-scrubber")
        self.on_msg(self._heard)

    def show(self, rows: int, row: int, says: str) -> None:
        """Tell every view, if anything changed."""
        if (rows, row, says) != (self.rows, self.row, self.says):
            self.rows, self.row, self.says = rows, row, says
            self._tell()

    def _tell(self) -> None:
        where = {"rows": self.rows, "row": self.row, "says": self.says}
        self.send({"kind": "show", "label": self._label, "tip": self._tip, **where})

    def _heard(self, _: widgets.Widget, message: Any, buffers: Any) -> None:
        if message.get("kind") == "hello":  # a view that was opened now
            self._tell()
        elif message.get("kind") == "moved":
            for told in self.on_moved:
                told(int(message["row"]), bool(message["done"]))
