"""What is taken home of a run: each parcel is what to copy or to save, with the words that go with it."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch

from gradlab.engine import Trainer
from gradlab.export import config_to_code, history_to_csv, replay_html, to_call
from gradlab.history import History
from gradlab.locale import Text
from gradlab.plots import View, draw_view

_MOVES = 3  # named at most


class Parcel(NamedTuple):
    """Something to take home.

    Attributes
    ----------
    content : bytes
        The text to copy, in UTF-8, or the file.
    what : str
        What it is, in words.
    notes : tuple of str
        What a person must know who uses it.
    """

    content: bytes
    what: str
    notes: tuple[str, ...] = ()


class Packer:
    """Packs one run.

    Parameters
    ----------
    trainer : Trainer
        The run.
    shown : (History, View)
        What the picture shows.
    own : mapping
        The panel's own network, data and loss, None where it has none.
    text : Text
        Language.
    """

    def __init__(self, trainer: Trainer, shown: tuple[History, View], own: Mapping[str, Any], text: Text) -> None:
        self._trainer, self._text = trainer, text
        self._history, self._view = shown
        self._parts = ", ".join(text(f"home.part.{name}") for name in own if own[name] is not None)
        self._own_network = own["network"] is not None

    # ------------------------------------------------------------------ to copy
    def code(self) -> Parcel:
        """Return a script of plain PyTorch that prints the losses shown."""
        if self._parts:
            raise ValueError(self._text("home.own_code", parts=self._parts))
        history = self._trainer.history
        steps = history[-1].step + 1 if len(history) else 1
        script = config_to_code(self._trainer.config, steps)
        what = self._text("home.lines", lines=len(script.splitlines()), steps=steps)
        return Parcel(script.encode(), what, (self._moved(history), self._threads()))

    def _moved(self, history: History) -> str:
        """Say which knobs moved after the first step; a script of the config in force knows nothing of it."""
        moves = [
            self._text("home.move", step=mark.step, move=self._text.say(mark.text))
            for mark in history.marks
            if mark.kind == "knob" and mark.step > 0
        ]
        left = len(moves) - _MOVES
        named = moves[:_MOVES] + ([self._text("home.more", count=left)] if left > 0 else [])
        return self._text("home.moved", moves="; ".join(named)) if moves else ""

    def _threads(self) -> str:
        count = torch.get_num_threads()
        return self._text("home.threads", count=count) if count > 1 else ""

    def json(self) -> Parcel:
        """Return the settings as JSON."""
        config = self._trainer.config
        what = self._text("home.settings", count=len(config.to_dict()))
        return Parcel(config.to_json().encode(), what, (self._left_out(),))

    def call(self) -> Parcel:
        """Return the line that opens the panel on the settings."""
        line = to_call(self._trainer.config)
        return Parcel(line.encode(), line, (self._left_out(),))

    def _left_out(self) -> str:
        return self._text("home.own_left_out", parts=self._parts) if self._parts else ""

    # ------------------------------------------------------------------ to save
    def csv(self, name: str) -> Parcel:
        """Return every step and layer as a table."""
        table = history_to_csv(self._steps()).encode()
        return Parcel(table, self._text("home.rows", name=name, count=len(self._trainer.history), size=_kilo(table)))

    def replay(self, name: str) -> Parcel:
        """Return the page that plays the run."""
        config = None if self._own_network else self._trainer.config
        page = replay_html(self._steps(), config=config, lang=self._text.lang).encode()
        return Parcel(page, self._text("home.file", name=name, size=_kilo(page)))

    def png(self, name: str) -> Parcel:
        """Return the figure as pixels."""
        return self._figure(name, "png")

    def svg(self, name: str) -> Parcel:
        """Return the figure as lines."""
        return self._figure(name, "svg")

    def _figure(self, name: str, kind: str) -> Parcel:
        out = io.BytesIO()
        metadata = {"Date": None} if kind == "svg" else None  # the same run gives the same file
        draw_view(self._history, self._view).savefig(out, format=kind, metadata=metadata)
        return Parcel(out.getvalue(), self._text("home.file", name=name, size=_kilo(out.getvalue())))

    def _steps(self) -> History:
        if not len(self._trainer.history):
            raise ValueError(self._text("home.no_step"))
        return self._trainer.history


COPIES: dict[str, Callable[[Packer], Parcel]] = {"code": Packer.code, "json": Packer.json, "call": Packer.call}
FILES: dict[str, tuple[str, str, Callable[[Packer, str], Parcel]]] = {
    "csv": ("gradlab.csv", "text/csv", Packer.csv),
    "png": ("gradlab.png", "image/png", Packer.png),
    "svg": ("gradlab.svg", "image/svg+xml", Packer.svg),
    "replay": ("gradlab-replay.html", "text/html", Packer.replay),
}


def _kilo(content: bytes) -> str:
    return f"{len(content) / 1000:.3g}" if len(content) < 1e6 else f"{len(content) / 1000:.0f}"
