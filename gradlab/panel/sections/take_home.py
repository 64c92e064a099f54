"""`TakeHome`: what is taken home of a run: code, settings, numbers, pictures."""

from __future__ import annotations

import html
import io
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch

from gradlab.engine import Trainer
from gradlab.export import config_to_code, history_to_csv, to_call
from gradlab.history import History
from gradlab.locale import Text
from gradlab.panel.controller import Controller
from gradlab.panel.description import Description
from gradlab.panel.layout import WidgetSet
from gradlab.panel.stage_widget import StageWidget
from gradlab.plots import View, draw_view
from gradlab.stage import replay_html

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


class TakeHome:
    """Buttons that copy and save the run.

    Attributes
    ----------
    page : ipywidgets.Box
        What is displayed.
    buttons : dict of str to Button
        One for each of `COPIES` and `FILES`.
    words : str
        What the section says was done.
    """

    width = 300

    def __init__(self, controller: Controller, description: Description, stage: StageWidget, make: WidgetSet) -> None:
        self._of, self._description, self._stage, self._text = controller, description, stage, make.text
        self._waiting: Parcel | None = None
        self.buttons = {name: make.button(f"home.{name}", f"home.tip_{name}") for name in (*COPIES, *FILES)}
        for name, button in self.buttons.items():
            work = self._copy if name in COPIES else self._save
            button.on_click(lambda _, name=name, work=work: controller.act(lambda: self._try(work, name)))
        self._said = make.html()
        copies, files = (make.row(*(self.buttons[name] for name in names)) for names in (COPIES, FILES))
        self.page = make.box("page", copies, files, self._said)
        stage.on_copied = self._copied
        self.words = ""
        self._say(self._text("home.about"))

    def _try(self, work: Callable[[str], None], name: str) -> None:
        """Do it, or say why it cannot be done."""
        self._waiting = None
        try:
            work(name)
        except ValueError as error:
            self._say(self._text("home.failed", error=self._text.say(error)))

    def _packer(self) -> Packer:
        return Packer(self._of.trainer, self._description.picture(), self._of.own, self._text)

    def _copy(self, name: str) -> None:
        self._waiting = COPIES[name](self._packer())
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
        file, media_type, pack = FILES[name]
        parcel = pack(self._packer(), file)
        self._stage.download(file, parcel.content, media_type)
        self._tell("home.saved", parcel)

    def _tell(self, key: str, parcel: Parcel) -> None:
        lane = self._text("home.lane") if self._of.rival is not None else ""
        said = filter(None, (self._text(key, what=parcel.what), *parcel.notes, lane))
        self._say(self._text("alt.between").join(said))

    def _say(self, words: str, content: str = "") -> None:
        self.words = words
        shown = f'<textarea readonly aria-label="{html.escape(words)}">{html.escape(content)}</textarea>'
        box = shown if content else ""
        self._said.value = f'<div class="gradlab-words" aria-live="polite">{html.escape(words)}{box}</div>'

    def show(self) -> None:
        """Nothing of the section follows the run."""

    def close(self) -> None:
        """Let what waits to be copied go."""
        self._waiting = None
