"""`TakeHome`: what is taken home of a run: code, settings, numbers, pictures."""

from __future__ import annotations

import html
import io
from functools import partial
from typing import NamedTuple

import torch

from gradlab.export import config_to_code, history_to_csv, to_call
from gradlab.history import History
from gradlab.panel.controller import Controller
from gradlab.panel.description import Description
from gradlab.panel.layout import WidgetSet, in_words
from gradlab.panel.stage_widget import StageWidget
from gradlab.plots import draw_view
from gradlab.stage import replay_html

COPIES = ("code", "json", "call")
FILES = {
    "csv": ("gradlab.csv", "text/csv"),
    "png": ("gradlab.png", "image/png"),
    "svg": ("gradlab.svg", "image/svg+xml"),
    "replay": ("gradlab-replay.html", "text/html"),
}
"""What is saved: its name and its type."""

_MOVES = 3  # named at most


class Parcel(NamedTuple):
    """Something to take home: its content in bytes, what it is in words, and what a person must know who uses it."""

    content: bytes
    what: str
    notes: tuple[str, ...] = ()


class TakeHome:
    """Buttons that copy and save the run."""

    width = 300

    def __init__(self, controller: Controller, description: Description, stage: StageWidget, make: WidgetSet) -> None:
        self._of, self._description, self._stage, self._text = controller, description, stage, (text := make.text)
        own = controller.own
        self._parts = ", ".join(text(f"home.part.{name}") for name in own if own[name] is not None)
        self._waiting: Parcel | None = None
        buttons = {
            name: make.button(f"home.{name}", f"home.tip_{name}", partial(controller.act, partial(self._try, name)))
            for name in (*COPIES, *FILES)
        }
        self._said = make.html()
        copies, files = (make.box("row", *(buttons[name] for name in names)) for names in (COPIES, FILES))
        self.page = make.box("page", copies, files, self._said)
        stage.on_copied = self._copied
        self._say(text("home.about"))

    # ------------------------------------------------------------------ to copy
    def _code(self) -> Parcel:
        """Return a script of plain PyTorch that prints the losses shown."""
        if self._parts:
            raise ValueError(self._text("home.own_code", parts=self._parts))
        history, threads = self._of.trainer.history, torch.get_num_threads()
        steps = history[-1].step + 1 if len(history) else 1
        script = config_to_code(self._of.trainer.config, steps)
        what = self._text("home.lines", lines=len(script.splitlines()), steps=steps)
        alone = self._text("home.threads", count=threads) if threads > 1 else ""
        return Parcel(script.encode(), what, (self._moved(history), alone))

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

    def _json(self) -> Parcel:
        """Return the settings as JSON."""
        config = self._of.trainer.config
        what = self._text("home.settings", count=len(config.to_dict()))
        return Parcel(config.to_json().encode(), what, (self._left_out(),))

    def _call(self) -> Parcel:
        """Return the line that opens the panel on the settings."""
        line = to_call(self._of.trainer.config)
        return Parcel(line.encode(), line, (self._left_out(),))

    def _left_out(self) -> str:
        return self._text("home.own_left_out", parts=self._parts) if self._parts else ""

    # ------------------------------------------------------------------ to save
    def _file(self, name: str) -> bytes:
        """Return a table of every step and layer, a page that plays the run, or the figure in pixels or lines."""
        trainer, out = self._of.trainer, io.BytesIO()
        if name in ("png", "svg"):
            metadata = {"Date": None} if name == "svg" else None  # the same run gives the same file
            draw_view(*self._description.picture()).savefig(out, format=name, metadata=metadata)
            return out.getvalue()
        if not len(trainer.history):
            raise ValueError(self._text("home.no_step"))
        if name == "csv":
            return history_to_csv(trainer.history).encode()
        config = None if self._of.own["network"] is not None else trainer.config
        return replay_html(trainer.history, config=config, lang=self._text.lang).encode()

    # ------------------------------------------------------------------ what the buttons do
    def _try(self, name: str) -> None:
        """Copy or save something, or say why it cannot be done."""
        self._waiting = None
        try:
            (self._copy if name in COPIES else self._save)(name)
        except ValueError as error:
            self._say(self._text("home.failed", error=self._text.say(error)))

    def _copy(self, name: str) -> None:
        self._waiting = {"code": self._code, "json": self._json, "call": self._call}[name]()
        self._stage.copy(self._waiting.content.decode())

    def _copied(self, error: str) -> None:
        """Hear whether the browser has copied."""
        parcel, self._waiting = self._waiting, None
        if parcel is None:
            return
        if error:
            self._say(self._text("home.refused", error=error), content=parcel.content.decode())
        else:
            self._tell("home.copied", parcel)

    def _save(self, name: str) -> None:
        file, media_type = FILES[name]
        content = self._file(name)
        kilo = f"{len(content) / 1000:.3g}" if len(content) < 1e6 else f"{len(content) / 1000:.0f}"
        rows = len(self._of.trainer.history)
        self._stage.download(file, content, media_type)
        key = "home.rows" if name == "csv" else "home.file"
        self._tell("home.saved", Parcel(content, self._text(key, name=file, size=kilo, count=rows)))

    def _tell(self, key: str, parcel: Parcel) -> None:
        lane = self._text("home.lane") if self._of.rival is not None else ""
        said = filter(None, (self._text(key, what=parcel.what), *parcel.notes, lane))
        self._say(self._text("alt.between").join(said))

    def _say(self, words: str, content: str = "") -> None:
        shown = f'<textarea readonly aria-label="{html.escape(words)}">{html.escape(content)}</textarea>'
        self._said.value = in_words(words, 'aria-live="polite"', after=shown if content else "")
