"""`Tasks`: the section with exercises: a broken network, a task in words, hints, and a check."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

import ipywidgets as widgets

from gradlab.exercise import EXERCISES, Exercise, exercise
from gradlab.panel.kit import Kit
from gradlab.panel.run import Run
from gradlab.panel.worker import Worker

NONE = ""


class Tasks:
    """A foldable section; the check runs in a thread of its own, so that the panel can go on meanwhile.

    Only that thread writes the section's words; it ends with the panel.

    Parameters
    ----------
    run : Run
        The panel's run: choosing an exercise moves its knobs.
    own : mapping
        The panel's own network, data and loss, None where it has none.
    kit : Kit
        Makes the widgets.

    Attributes
    ----------
    box : ipywidgets.Accordion
        What is displayed.
    exercise : Exercise or None
        The one chosen.
    words : str
        What the section says last: the verdict, a hint, or what went wrong.
    """

    def __init__(self, run: Run, own: Mapping[str, Any], kit: Kit) -> None:
        self._run, self._text = run, (text := kit.text)
        self.exercise: Exercise | None = None
        self._hints, self._keep = 0, False
        titles = [(text("task.none"), NONE), *((exercise(name, text.lang).title, name) for name in EXERCISES)]
        menu = {"description": text("task.menu"), "tooltip": text("task.tip_menu")}
        self.menu = kit(widgets.Dropdown, options=titles, value=NONE, **menu)
        names = ("check", "hint", "restart")
        self.buttons = {name: kit.button(f"task.{name}", f"task.tip_{name}", disabled=True) for name in names}
        self._task, self._said = kit.html(), kit.html()
        row = kit.row(self.menu, *self.buttons.values())
        self.box = kit.folded("task.title", kit(widgets.VBox, [row, self._task, self._said]))
        self._worker = Worker(lambda: None, lambda: False, self._failed)
        self._wire()
        self.words = ""
        usable = all(value is None for value in own.values())
        self.menu.disabled = not usable
        self._say("", text("task.about" if usable else "task.own"))

    def _wire(self) -> None:
        submit = self._worker.submit
        self.menu.observe(lambda change: submit(lambda: self._choose(change["new"])), "value")
        self.buttons["check"].on_click(lambda _: submit(self.check))
        self.buttons["hint"].on_click(lambda _: submit(self.hint))
        self.buttons["restart"].on_click(lambda _: submit(self.restart))

    # ------------------------------------------------------------------ in the section's thread, or from code
    def open(self, name: str) -> None:
        """Choose an exercise for the settings that the panel has already, and unfold the section."""
        self._keep = True
        self.menu.value = name
        self.box.selected_index = 0

    def _choose(self, name: str) -> None:
        self.exercise = exercise(name, self._text.lang) if name else None
        self._hints = 0
        for button in self.buttons.values():
            button.disabled = self.exercise is None
        self._task.value = f'<div class="gradlab-task">{self.exercise._repr_html_()}</div>' if self.exercise else ""
        self._say("", "" if self.exercise else self._text("task.about"))
        if not self._keep:
            self.restart()
        self._keep = False

    def restart(self) -> None:
        """Set the panel's controls to the broken network."""
        if self.exercise is not None:
            self._run.post_knobs(self.exercise.config.to_dict())

    def hint(self) -> None:
        """Show one more hint; after the last one the first again."""
        if self.exercise is not None and self.exercise.hints:
            count = self.exercise.hints
            n = self._hints % count + 1
            self._hints += 1
            self._say(self._text("task.hint_n", n=n, count=count), self.exercise.hint(n))

    def check(self) -> None:
        """Check the settings that the panel has now, and say what is still wrong."""
        if self.exercise is None:
            return
        self._say("", self._text("task.checking"))
        result = self.exercise.check(self._run.trainer.config)
        self._say(self._text("task.check"), result.sentence)

    def _failed(self, error: BaseException) -> None:
        self._say("", self._text("task.error", error=f"{type(error).__name__}: {error}"), "alert")

    def _say(self, head: str, words: str, role: str = "status") -> None:
        colon = self._text("info.colon")
        self.words = f"{head}{colon}{words}" if head else words
        bold = f"<b>{html.escape(head + colon)}</b>" if head else ""
        self._said.value = (
            f'<div class="gradlab-task" role="{role}">{bold}{html.escape(words)}</div>' if words else ""
        )

    def close(self) -> None:
        """End the thread."""
        self._worker.close()
