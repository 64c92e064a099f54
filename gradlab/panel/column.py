"""`Column`: what stands beside the picture: knobs, buttons, and the sections that open in their place."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets as widgets

from gradlab.config import Config
from gradlab.panel.controller import Controller
from gradlab.panel.controls import Choice, Controls, Switch, measures
from gradlab.panel.description import Description
from gradlab.panel.layout import KNOBS_WIDTH, LECTURE_WIDTH, WidgetSet, visible
from gradlab.panel.sections import DeeperLook, Exercises, PhaseMap, SlowMotion, TakeHome
from gradlab.panel.stage_widget import StageWidget
from gradlab.panel.start import LECTURE

_TITLES = {
    "more": "group.more",
    "exercise": "task.title",
    "slow": "slow.title",
    "closeup": "group.closeup",
    "phase": "phase.title",
    "home": "home.title",
}


class Column:
    """Knobs at first; a section opens in their place, and the picture makes room beside it.

    Parameters
    ----------
    controller : Controller
        The panel's run.
    description : Description
        Words and pictures of it.
    stage : StageWidget
        Leaves the column its place.
    make : WidgetSet
        Makes the widgets.
    names : tuple of str or None
        The parts asked for; None for all.
    lecture : bool
        Whether it stands in a lecture.

    Attributes
    ----------
    box : ipywidgets.Box
        What is displayed.
    sections : dict of str to section
        Those that were opened.
    opened : str
        The section that is open; empty for the knobs.
    """

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
        self._names = names
        self._least = LECTURE_WIDTH if lecture else KNOBS_WIDTH
        self.sections: dict[str, Any] = {}
        self.opened = ""
        lesson = LECTURE if lecture and names is None else names
        first = (
            lesson if lesson is not None else ("depth", "gain", "lr", "init", "activation", "accumulation", "clip")
        )
        self._controls = [Controls(make, controller.move, first)]
        self._buttons(make)
        self._knobs = make.box("knobs", *self._controls[0].lesson(lesson), *self._views(make, lesson))
        self._knobs.layout = widgets.Layout()
        self._head = make.html()
        self._pages = make.box("pages", self._head)
        self._pages.layout = widgets.Layout(display="none")
        self._menu = {name: self._toggle(make, name) for name in _TITLES if self._wants(name)}
        menu = make.box("menu", *self._menu.values())
        self.box = make.box("column", self._knobs, self._pages, *([menu] if self._menu else []))
        stage.controls_width = self._least

    def _wants(self, name: str) -> bool:
        return self._names is None or name in self._names

    # ------------------------------------------------------------------ buttons
    def _buttons(self, make: WidgetSet) -> None:
        text, of = make.text, self._of
        act = of.act
        self.pin = make.button("button.pin", "tip.pin", "k")
        self.compare = make(
            widgets.ToggleButton, False, description=text("button.compare"), tooltip=text("tip.compare")
        )
        self.compare.add_class("gradlab-key-c")
        self.swap, self.back = (
            make.button("button.swap", "tip.swap"),
            make.button("button.back", "tip.back", "b", step=0),
        )
        self.try_it = make.button("button.try", "tip.try", "", knobs="")
        self.pin.on_click(lambda _: act(of.pin))
        self.swap.on_click(lambda _: act(of.swap))
        self.back.on_click(lambda _: act(of.back))
        self.try_it.on_click(lambda _: act(lambda: of.try_suggestion(self._description.suggestion)))
        self.compare.observe(lambda change: self._compared(bool(change["new"])), "value")
        for button in (self.try_it, self.back):
            button.add_class("gradlab-wide")

    def _compared(self, on: bool) -> None:
        if on != (self._of.rival is not None):
            self._of.act((lambda: self._of.compare({})) if on else self._of.uncompare)

    def _views(self, make: WidgetSet, names: tuple[str, ...] | None) -> list[widgets.Widget]:
        """Return what changes the picture and not the run, and the two offers, whose places are kept for them."""
        text, act = make.text, self._of.act

        def wanted(name: str) -> bool:
            return names is None or name in names

        def measure(name: str) -> None:
            if name != self._of.measure:  # else the menu only follows what is shown already
                act(lambda: setattr(self._of, "measure", name))

        def theory(on: bool) -> None:
            self._of.theory = on

        menu, tip = measures(text), text("tip.measure")
        self.measure = Choice(make, text("control.measure"), tip, menu, self._of.measure, measure)
        self.theory = Switch(
            make, text("control.theory"), text("tip.theory"), False, lambda on: act(lambda: theory(on))
        )
        looks = [part.box for name, part in (("measure", self.measure), ("theory", self.theory)) if wanted(name)]
        parts: list[widgets.Widget] = [make.box("looks", *looks)] if looks else []
        if wanted("compare"):
            parts.append(make.row(self.pin, self.compare, self.swap))
        return [*parts, make.box("slack"), make.box("offers", self.try_it, self.back)]

    # ------------------------------------------------------------------ sections
    def _toggle(self, make: WidgetSet, name: str) -> widgets.ToggleButton:
        toggle = make(widgets.ToggleButton, False, description=make.text(_TITLES[name]))
        toggle.observe(lambda change: self._toggled(name, bool(change["new"])), "value")
        return toggle

    def _toggled(self, name: str, on: bool) -> None:
        if on != (self.opened == name):
            self._of.act(lambda: self.open(name if on else ""))

    def open(self, name: str) -> None:
        """Open a section in the place of the knobs; the empty name brings the knobs back."""
        self.opened = name
        for other, toggle in self._menu.items():
            if toggle.value != (other == name):
                toggle.value = other == name
        if name:
            page = self.section(name).page
            self._head.value = f"<h3>{html.escape(self._make.text(_TITLES[name]))}</h3>"
            self._pages.children = (self._head, page)
        self._knobs.layout.display = "none" if name else ""
        self._pages.layout.display = "" if name else "none"
        width = self.sections[name].width if name else self._least
        self._stage.controls_width = max(width, self._least)
        for other in ("more", "exercise", "slow", "closeup", "phase", "home"):
            if other != name:
                self.box.remove_class(f"gradlab-open-{other}")
        if name:
            self.box.add_class(f"gradlab-open-{name}")

    def section(self, name: str) -> Any:
        """Return a section, made when it is first asked for."""
        if name not in self.sections:
            of, text, make = self._of, self._description, self._make
            makers: dict[str, Callable[[], Any]] = {
                "more": self._more,
                "exercise": lambda: Exercises(of, make),
                "slow": lambda: SlowMotion(of, make),
                "closeup": lambda: DeeperLook(of, text, make),
                "phase": lambda: PhaseMap(of, make),
                "home": lambda: TakeHome(of, text, self._stage, make),
            }
            self.sections[name] = makers[name]()
        return self.sections[name]

    def _more(self) -> MoreKnobs:
        known = set(self._controls[0].by_name)
        more = MoreKnobs(self._make, self._of.move, known)
        self._controls.append(more.controls)
        more.controls.show(self._of.trainer.config)
        more.controls.disable(self._description.greyed())
        return more

    # ------------------------------------------------------------------ showing
    def show(self) -> None:
        """Show the run's settings, and what can be done now."""
        config, text = self._of.trainer.config, self._make.text
        for controls in self._controls:
            controls.show(config)
            controls.disable(self._description.greyed())
        self.measure.show(self._of.measure)
        self.theory.show(self._of.theory)
        if self.compare.value != (self._of.rival is not None):
            self.compare.value = self._of.rival is not None
        self.swap.disabled = self._of.rival is None
        back = self._of.last_finite_step
        knobs = {} if self._of.locked or back is not None else self._description.suggestion
        visible(self.try_it, bool(knobs))
        if knobs:
            self.try_it.description = text("button.try", knobs=", ".join(f"{n}={v}" for n, v in knobs.items()))
        visible(self.back, back is not None)
        if back is not None:
            self.back.description = text("button.back", step=back)
        for section in self.sections.values():
            section.show()
        phase = self.sections.get("phase")
        self._stage.working = phase is not None and phase.mapping

    def refuse(self, names: list[str]) -> None:
        """Mark knobs whose typed value was not accepted."""
        for controls in self._controls:
            controls.refuse(names)

    def close(self) -> None:
        """Let the sections go."""
        for section in self.sections.values():
            section.close()


class MoreKnobs:
    """The knobs that no lesson needs at first: of network and data, and of the training."""

    width = KNOBS_WIDTH

    def __init__(self, make: WidgetSet, moved: Callable[[Mapping[str, Any]], None], known: set[str]) -> None:
        names = [name for name in Config.knobs() if name not in known]
        self.controls = Controls(make, moved, names)
        text = make.text
        heads = [make.html(f"<b>{html.escape(text(f'group.{key}'))}</b>") for key in ("network", "training")]
        live, fixed = self.controls.rest(True), self.controls.rest(False)
        self.page = make.box("page", heads[0], *fixed, heads[1], *live)

    def show(self) -> None:
        """The column shows all knobs."""

    def close(self) -> None:
        """Nothing of the section is held."""
