"""`Exercises`: a broken network, a task in words, hints, and a check."""

from __future__ import annotations

import html

from gradlab.exercise import EXERCISES, Exercise, exercise
from gradlab.panel.controller import Controller
from gradlab.panel.layout import WidgetSet


class Exercises:
    """Choosing an exercise moves the panel's knobs to its broken network.

    Attributes
    ----------
    exercise : Exercise or None
        The one chosen.
    words : str
        What the section says last: the verdict, a hint, or what went wrong.
    """

    width = 300

    def __init__(self, controller: Controller, make: WidgetSet) -> None:
        self._of, self._text, act = controller, (text := make.text), controller.act
        self.exercise: Exercise | None = None
        self._hints, self._keep = 0, False
        titles = [(text("task.none"), ""), *((exercise(name, text.lang).title, name) for name in EXERCISES)]
        usable = all(value is None for value in controller.own.values())
        self.menu = make.menu("", text("task.tip_menu"), titles, "")
        self.menu.disabled = not usable
        works = {"check": self.check, "hint": lambda: act(self.hint), "restart": lambda: act(self.restart)}
        self.buttons = {name: make.button(f"task.{name}", f"task.tip_{name}", work) for name, work in works.items()}
        self._task, self._said = make.html(), make.html()
        self.page = make.box("page", self.menu, make.box("row", *self.buttons.values()), self._said, self._task)
        controller.hears(self.menu, lambda name: act(lambda: self._choose(name)))
        self.words = ""
        self._enable()
        self._say("", text("task.about" if usable else "task.own"))

    def start(self, name: str) -> None:
        """Choose an exercise for the settings that the panel has already."""
        self._keep = True
        self.menu.value = name

    def _enable(self) -> None:
        for button in self.buttons.values():
            button.disabled = self.exercise is None

    def _choose(self, name: str) -> None:
        self.exercise = exercise(name, self._text.lang) if name else None
        self._hints = 0
        self._enable()
        self._task.value = f'<div class="gradlab-words">{self.exercise._repr_html_()}</div>' if self.exercise else ""
        self._say("", "" if self.exercise else self._text("task.about"))
        if not self._keep:
            self.restart()
        self._keep = False

    def restart(self) -> None:
        """Set the panel's controls to the broken network."""
        if self.exercise is not None:
            self._of.set(self.exercise.config.to_dict())

    def hint(self) -> None:
        """Show one more hint; after the last one the first again."""
        if self.exercise is not None and self.exercise.hints:
            count = self.exercise.hints
            n = self._hints % count + 1
            self._hints += 1
            self._say(self._text("task.hint_n", n=n, count=count), self.exercise.hint(n))

    def check(self) -> None:
        """Check the settings that the panel has now, and say what is still wrong; the run is not held up by it."""
        if self.exercise is None:
            return
        self._say("", self._text("task.checking"))
        try:
            result = self.exercise.check(self._of.trainer.config)
        except Exception as error:
            self._say("", self._text("task.error", error=f"{type(error).__name__}: {error}"), "alert")
            return
        self._say(self._text("task.check"), result.sentence)

    def _say(self, head: str, words: str, role: str = "status") -> None:
        colon = self._text("info.colon")
        self.words = f"{head}{colon}{words}" if head else words
        bold = f"<b>{html.escape(head + colon)}</b>" if head else ""
        self._said.value = (
            f'<div class="gradlab-words" role="{role}">{bold}{html.escape(words)}</div>' if words else ""
        )
