"""`Column`: what stands beside the picture: knobs, buttons, and the sections that open in their place."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from gradlab.config import Config
from gradlab.panel.controller import Controller
from gradlab.panel.controls import Controls, measures
from gradlab.panel.description import Description
from gradlab.panel.layout import KNOBS_WIDTH, LECTURE_WIDTH, WidgetSet, marked
from gradlab.panel.sections import DeeperLook, Exercises, PhaseMap, SlowMotion, TakeHome
from gradlab.panel.stage_widget import StageWidget
from gradlab.panel.start import RULES

FIRST = ("depth", "gain", "lr", "init", "activation", *RULES)
"""The knobs that stand in the column at first; the others open with "More"."""

_TITLES = {
    "more": "group.more",
    "exercise": "task.title",
    "slow": "slow.title",
    "closeup": "group.closeup",
    "phase": "phase.title",
    "home": "home.title",
}


class Column:
    """Knobs at first; a section opens in their place, and the picture makes room beside it."""

    def __init__(
        self,
        controller: Controller,
        description: Description,
        stage: StageWidget,
        make: WidgetSet,
        names: tuple[str, ...] | None,
        lecture: bool,
    ) -> None:
        self._of, self._description, self._stage, self._make = controller, description, stage, make
        self._least = LECTURE_WIDTH if lecture else KNOBS_WIDTH
        self._names = names
        self.sections: dict[str, Any] = {}  # those that were opened
        self._opened = ""  # the one that is open; empty for the knobs
        first = FIRST if names is None else names
        self._controls = [Controls(controller, make, first)]
        knobs = (*self._controls[0].boxes(first), *self._views(make))
        self._knobs = make.box("knobs", *knobs, layout=widgets.Layout())  # their own: one of the two is hidden
        self._head = make.html()
        self._pages = make.box("pages", self._head, layout=widgets.Layout(display="none"))
        self._menu = {name: self._toggle(make, name) for name in _TITLES if self._has(name)}
        menu = [make.box("menu", *self._menu.values())] if self._menu else []
        self.box = make.box("column", self._knobs, self._pages, *menu)
        stage.controls_width = self._least

    # ------------------------------------------------------------------ what is no knob
    def _views(self, make: WidgetSet) -> list[widgets.Widget]:
        """Return what changes the picture and not the run, lanes, and the two offers, whose places are kept."""
        text, of, act = make.text, self._of, self._of.act

        self._measure = make.menu(text("control.measure"), text("tip.measure"), measures(text), of.measure)
        of.hears(self._measure, lambda name: act(lambda: setattr(of, "measure", name)))
        self._theory = make.switch(False, text("control.theory"), text("tip.theory"))
        of.hears(self._theory, lambda on: act(lambda: setattr(of, "theory", on)))
        pin = make.button("button.pin", "tip.pin", lambda: act(of.pin), "key-k")
        words = {"description": text("button.compare"), "tooltip": text("tip.compare")}
        self._compare = make(widgets.ToggleButton, False, css="key-c", **words)
        of.hears(self._compare, lambda on: act((lambda: of.compare({})) if on else of.uncompare))
        self._swap = make.button("button.swap", "tip.swap", lambda: act(of.swap))
        self._back = make.button("button.back", "tip.back", lambda: act(of.back), "wide unseen key-b", step=0)
        suggested = lambda: of.set(self._description.suggestion)  # noqa: E731
        self._try_it = make.button("button.try", "tip.try", lambda: act(suggested), "wide unseen", knobs="")
        looks = [view for name, view in (("measure", self._measure), ("theory", self._theory)) if self._has(name)]
        lanes = [make.box("row", pin, self._compare, self._swap)] if self._has("compare") else []
        offers = make.box("offers", self._try_it, self._back)
        return [*([make.box("looks", *looks)] if looks else []), *lanes, make.box("slack"), offers]

    def _has(self, name: str) -> bool:
        return self._names is None or name in self._names

    # ------------------------------------------------------------------ sections
    def _toggle(self, make: WidgetSet, name: str) -> widgets.ToggleButton:
        toggle = make(widgets.ToggleButton, False, description=make.text(_TITLES[name]))
        self._of.hears(toggle, lambda on: self._of.act(lambda: self.open(name if on else "")))
        return toggle

    def open(self, name: str) -> None:
        """Open a section in the place of the knobs; the empty name brings the knobs back."""
        self.box.remove_class(f"gradlab-open-{self._opened}")
        self._opened = name
        with self._of.showing():
            for other, toggle in self._menu.items():
                toggle.value = other == name
        if name:
            self._head.value = f"<h3>{html.escape(self._make.text(_TITLES[name]))}</h3>"
            self._pages.children = (self._head, self.section(name).page)
            self.box.add_class(f"gradlab-open-{name}")
        self._knobs.layout.display = "none" if name else ""
        self._pages.layout.display = "" if name else "none"
        self._stage.controls_width = max(self.sections[name].width if name else 0, self._least)

    def section(self, name: str) -> Any:
        """Return a section, made when it is first asked for."""
        if name not in self.sections:
            of, text, make = self._of, self._description, self._make
            makers: dict[str, Callable[[], Any]] = {
                "more": lambda: MoreKnobs(of, make, self._controls),
                "exercise": lambda: Exercises(of, make),
                "slow": lambda: SlowMotion(of, make),
                "closeup": lambda: DeeperLook(of, text, make),
                "phase": lambda: PhaseMap(of, make),
                "home": lambda: TakeHome(of, text, self._stage, make),
            }
            self.sections[name] = makers[name]()
            self._show_knobs()
        return self.sections[name]

    # ------------------------------------------------------------------ showing
    def show(self) -> None:
        """Show the run's settings, and what can be done now."""
        of, text = self._of, self._make.text
        self._show_knobs()
        with of.showing():
            self._measure.value, self._theory.value = of.measure, of.theory
            self._compare.value = of.rival is not None
        self._swap.disabled = of.rival is None
        back = of.last_finite_step
        knobs = {} if of.locked or back is not None else self._description.suggestion
        marked(self._try_it, "unseen", not knobs)  # its place is kept: nothing else moves
        if knobs:
            self._try_it.description = text("button.try", knobs=", ".join(f"{n}={v}" for n, v in knobs.items()))
        marked(self._back, "unseen", back is None)
        if back is not None:
            self._back.description = text("button.back", step=back)
        for name in ("slow", "phase"):
            if name in self.sections:
                self.sections[name].show()
        self.follow()
        self._stage.working = "phase" in self.sections and self.sections["phase"].mapping

    def follow(self) -> None:
        """Let a deeper look that is open follow a run that plays."""
        if self._opened == "closeup":
            self.sections["closeup"].show()

    def _show_knobs(self) -> None:
        for controls in self._controls:
            controls.show(self._of.trainer.config)
            controls.disable(self._description.greyed())

    def refuse(self, names: list[str]) -> None:
        """Mark knobs whose typed value was not accepted."""
        for controls in self._controls:
            controls.refuse(names)

    def close(self) -> None:
        """Let the sections go, and the knobs, which know whom to tell."""
        for name in ("slow", "phase", "closeup"):  # they hold something of the run
            if name in self.sections:
                self.sections[name].close()
        for controls in self._controls:
            controls.by_name.clear()


class MoreKnobs:
    """The knobs that no lesson needs at first: of network and data, and of the training."""

    width = KNOBS_WIDTH

    def __init__(self, controller: Controller, make: WidgetSet, columns: list[Controls]) -> None:
        knobs = {name: knob for name, knob in Config.knobs().items() if name not in columns[0].by_name}
        columns.append(controls := Controls(controller, make, knobs))
        parts: list[widgets.Widget] = []
        for key, live in (("network", False), ("training", True)):
            parts.append(make.html(f"<b>{html.escape(make.text(f'group.{key}'))}</b>"))
            parts += controls.boxes(name for name, knob in knobs.items() if knob.live == live)
        self.page = make.box("page", *parts)
