"""`PlainPicture`: words, buttons and a still picture, where a front end does not load the stage's module."""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets as widgets

from gradlab.panel.controller import Controller
from gradlab.panel.layout import WidgetSet


class PlainPicture:
    """Shown by the style sheet a few seconds after the start, unless the stage stands there: in its `box`."""

    def __init__(self, make: WidgetSet, controller: Controller) -> None:
        notice = make.html(f'<div class="gradlab-words">{make.text("plain.notice")}</div>')
        works = {
            "step": lambda: controller.take(1),
            "many": lambda: controller.take(100),
            "reset": controller.restart,
        }
        buttons = {name: make.button(f"plain.{name}", f"plain.tip_{name}") for name in works}
        for name, work in works.items():
            buttons[name].on_click(lambda _, work=work: self._use(controller, work))
        self._image = make(widgets.Image, format="png", layout=widgets.Layout(display="none"))
        self._used = False
        self.box = make.box("plain", notice, make.row(*buttons.values()), self._image)

    def _use(self, controller: Controller, work: Callable[[], None]) -> None:
        self._used = True
        controller.act(work)

    def show(self, png: Callable[[], bytes]) -> None:
        """Draw, once somebody has used the buttons."""
        if self._used:
            self._image.value = png()
            self._image.layout.display = ""
