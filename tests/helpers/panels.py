"""A front end for tests of the panel: it asks as a browser does, and drops what answers none of its messages."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import comm
import ipywidgets as widgets
from comm.base_comm import BaseComm


class FrontEnd:
    """Shows widgets and sends messages; while none of them is being answered it hears nothing, as Colab does.

    Attributes
    ----------
    heard : list of (widget's model id, data, buffers)
        The kernel's messages that arrived.
    dropped : int
        Messages of the kernel that came while no message of the front end, and no cell, was under way.
    """

    def __init__(self) -> None:
        self.heard: list[tuple[str, dict[str, Any], list[Any]]] = []
        self.dropped = 0
        self._asking = 0
        self._ids = 0

    def make_comm(self, *args: Any, **kwargs: Any) -> BaseComm:
        """Stand in for `comm.create_comm`."""
        front_end = self

        class Heard(BaseComm):
            def publish_msg(
                self, msg_type: str, data: Any = None, metadata: Any = None, buffers: Any = None, **keys: Any
            ):
                front_end._hear(self.comm_id, data or {}, buffers or [])

        return Heard(*args, **kwargs)

    def _hear(self, model: str, data: dict[str, Any], buffers: list[Any]) -> None:
        if self._asking:
            self.heard.append((model, data, buffers))
        else:
            self.dropped += 1

    @contextlib.contextmanager
    def cell(self) -> Iterator[None]:
        """A cell that runs: what the kernel sends meanwhile arrives."""
        self._asking += 1
        try:
            yield
        finally:
            self._asking -= 1

    def send(self, widget: widgets.Widget, data: dict[str, Any]) -> None:
        """Send a message to a widget's model, and hear the answers."""
        with self.cell():
            widget.comm.handle_msg({"content": {"data": data}, "buffers": []})

    def set(self, widget: widgets.Widget, name: str, value: Any) -> None:
        """Change a trait by hand."""
        self.send(widget, {"method": "update", "state": {name: value}, "buffer_paths": []})

    def press(self, button: widgets.Widget) -> None:
        """Press a button."""
        self.send(button, {"method": "custom", "content": {"event": "click"}})

    def ask(self, lab: Any, kind: str, **what: Any) -> list[dict[str, Any]]:
        """Ask the stage for something and return the answers to exactly that question."""
        self._ids += 1
        before = len(self.heard)
        stage = stage_of(lab)
        self.send(stage, {"method": "custom", "content": {"kind": kind, "id": self._ids, **what}})
        found = [data["content"] for _, data, _ in self.heard[before:] if data.get("method") == "custom"]
        return [content for content in found if content.get("id") == self._ids]

    def command(self, lab: Any, name: str, value: Any = None) -> dict[str, Any]:
        """Give a command of the stage's bar, and return its answer."""
        (answer,) = self.ask(lab, "command", name=name, value=value)
        return answer

    def tick(self, lab: Any, steps: int | None = 1, ms: float | None = None) -> dict[str, Any]:
        """Ask for steps, as the browser does again and again while it plays, and return the answer."""
        (answer,) = self.ask(lab, "tick", run=self.run_of(lab), steps=steps, ms=ms)
        return answer

    def run_of(self, lab: Any) -> int:
        """Return the number of the run that the last packet was about."""
        stage = stage_of(lab)
        runs = [
            d["content"]["run"] for m, d, _ in self.heard if m == stage.model_id and "run" in d.get("content", {})
        ]
        return runs[-1]

    def show(self, lab: Any) -> dict[str, Any]:
        """Show a panel: its view asks for everything."""
        self.set(lab, "_view_count", 1)
        (answer,) = self.ask(lab, "all", run=-1)
        return answer


def stage_of(lab: Any) -> widgets.Widget:
    """Return the stage of a panel."""
    return next(widget for widget in widgets_of(lab) if hasattr(widget, "controls_width"))


def widgets_of(widget: Any) -> list[Any]:
    """Return a widget with all that stand in it, in order."""
    found = [widget]
    for child in getattr(widget, "children", ()):
        found += widgets_of(child)
    return found


def named(lab: Any, description: str) -> Any:
    """Return the widget whose description is `description`."""
    return next(w for w in widgets_of(lab) if getattr(w, "description", None) == description)


def field(lab: Any, label: str) -> Any:
    """Return the number field beside a knob's slider."""
    return next(w for w in widgets_of(lab) if isinstance(w, widgets.Text) and w.tooltip == label)


def text_of(lab: Any) -> str:
    """Return all words in places for words."""
    return " ".join(w.value for w in widgets_of(lab) if isinstance(w, widgets.HTML))


def patched(monkeypatch: Any) -> FrontEnd:
    """Return a front end to which every widget made from now on belongs."""
    front_end = FrontEnd()
    monkeypatch.setattr(comm, "create_comm", front_end.make_comm)
    monkeypatch.setattr("gradlab.panel.controller.LONGEST", 60.0)  # a busy machine takes all the steps asked for too
    return front_end
