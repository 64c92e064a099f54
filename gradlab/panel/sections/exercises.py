"""`Exercises`: a broken network, a task in words, hints, and a check."""

from __future__ import annotations

import html

from gradlab.exercise import EXERCISES, Exercise, exercise
from gradlab.panel.controller import Controller
from gradlab.panel.layout import WidgetSet, in_words


class Exercises:
    """Choosing an exercise moves the panel's knobs to its broken network."""

    width = 300

    def __init__(self, controller: Controller, make: WidgetSet) -> None:
        self._of, self._text, act = controller, (text := make.text), controller.act
        self._exercise: Exercise | None = None
        self._hint = 0  # the number of the one shown last
        titles = [(text("task.none"), ""), *((exercise(name, text.lang).title, name) for name in EXERCISES)]
        usable = all(value is None for value in controller.own.values())
        self._menu = make.menu("", text("task.tip_menu"), titles, "")
        self._menu.disabled = not usable
        works = {"check": self._check, "hint": lambda: act(self._show_hint), "restart": lambda: act(self._restart)}
        self._buttons = [make.button(f"task.{name}", f"task.tip_{name}", work) for name, work in works.items()]
        self._task, self._said = make.html(), make.html()
        self.page = make.box("page", self._menu, make.box("row", *self._buttons), self._said, self._task)
        controller.hears(self._menu, lambda name: act(lambda: self._choose(name)))
        self._show("", "task.about" if usable else "task.own")

    def start(self, name: str) -> None:
        """Choose an exercise for the settings that the panel has already."""
        with self._of.showing():
            self._menu.value = name
        self._show(name)

    def _choose(self, name: str) -> None:
        self._show(name)
        self._restart()

    def _show(self, name: str, about: str = "task.about") -> None:
        """Show the task of an exercise; without one, what exercises are about."""
        self._exercise = exercise(name, self._text.lang) if name else None
        self._hint = 0
        for button in self._buttons:
            button.disabled = self._exercise is None
        self._task.value = in_words("", after=self._exercise._repr_html_()) if self._exercise else ""
        self._say("", "" if self._exercise else self._text(about))

    def _restart(self) -> None:
        """Set the panel's controls to the broken network."""
        if self._exercise is not None:
            self._of.set(self._exercise.config.to_dict())

    def _show_hint(self) -> None:
        """Show one more hint; after the last one the first again."""
        if self._exercise is not None and (count := self._exercise.hints):
            self._hint = self._hint % count + 1
            self._say(self._text("task.hint_n", n=self._hint, count=count), self._exercise.hint(self._hint))

    def _check(self) -> None:
        """Check the settings that the panel has now, and say what is still wrong; the run is not held up by it."""
        if self._exercise is None:
            return
        self._say("", self._text("task.checking"))
        try:
            result = self._exercise.check(self._of.trainer.config)
        except Exception as error:
            self._say("", self._text("task.error", error=f"{type(error).__name__}: {error}"), "alert")
            return
        self._say(self._text("task.check"), result.sentence)

    def _say(self, head: str, words: str, role: str = "status") -> None:
        bold = f"<b>{html.escape(head + self._text('info.colon'))}</b>" if head else ""
        self._said.value = in_words(words, f'role="{role}"', bold) if words else ""
