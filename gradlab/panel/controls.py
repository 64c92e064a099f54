"""The column of knobs: one widget per knob of `Config`, built from the knob itself."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection, Iterable
from typing import Any

import ipywidgets as widgets

from gradlab.config import SEEDS, Config, Knob
from gradlab.locale import Text
from gradlab.panel.controller import Controller
from gradlab.panel.layout import WidgetSet, marked
from gradlab.panel.start import RULES, WITHIN
from gradlab.plots import BOTH, MEASURES
from gradlab.registry import Registry


class Number:
    """A slider with a true number field: what is typed is taken on Enter, or refused in words and left standing."""

    def __init__(self, of: Controller, make: WidgetSet, name: str, knob: Knob, default: Any) -> None:
        self._kind = type(default)
        self._slider = _slider(make, knob, default)
        self._field = make(widgets.Text, f"{default:g}", continuous_update=False, tooltip=knob.label, css="number")
        self.box = make.box("knob", self._slider, self._field)
        of.hears(self._slider, lambda value: of.move({name: self._kind(value)}))
        of.hears(self._field, lambda words: of.move({name: self._typed(words)}))

    def _typed(self, words: str) -> Any:
        """Return what was typed as a number, else as it is: `Config` says what it expected."""
        try:
            value = float(words)
        except ValueError:
            return words
        whole = self._kind is int and math.isfinite(value) and value == int(value)
        return int(value) if whole else value

    def show(self, value: Any) -> None:
        """Show a value: the number itself, and on the slider its nearest place."""
        self.refuse(False)
        words = f"{value:.6g}" if isinstance(value, float) else str(value)
        if self._typed(self._field.value) != value:
            self._field.value = words
        if isinstance(value, str):  # a word has no place on the slider
            return
        if isinstance(self._slider, widgets.SelectionSlider):
            place: Any = nearest([number for _, number in self._slider.options], value)
        else:
            place = min(max(value, self._slider.min), self._slider.max)
        self._slider.value = place

    def refuse(self, refused: bool) -> None:
        """Mark what stands in the field as not accepted."""
        marked(self._field, "refused", refused)

    def disable(self, off: bool) -> None:
        """Grey the knob out."""
        self._slider.disabled = self._field.disabled = off


class Field:
    """A menu or a switch: one widget that has the value itself."""

    def __init__(self, of: Controller, widget: Any, moved: Callable[[Any], object]) -> None:
        self.box = widget
        of.hears(widget, moved)

    def show(self, value: Any) -> None:
        """Show a value."""
        self.box.value = value

    def disable(self, off: bool) -> None:
        """Grey it out."""
        self.box.disabled = off


class Rule:
    """A switch, the rule that it turns on and the rule's number; all but the switch dimmed while it is off."""

    def __init__(self, of: Controller, make: WidgetSet, name: str, knob: Knob, number: Number) -> None:
        text, self._of, self._name = make.text, of, name
        options = [option for option in choice_labels(name, knob, text) if option[1] != "none"]
        self._switch = make.switch(False, knob.label, text(f"tip.{name}"))
        self._rule = make.menu(text("control.rule"), text(f"tip.{name}_rule"), options, RULES[name][0])
        of.hears(self._switch, lambda _: self._tell())
        of.hears(self._rule, lambda _: self._switch.value and self._tell())  # off, it changes nothing
        self.box = make.box("card off", self._switch, self._rule, number.box)

    def _tell(self) -> None:
        marked(self.box, "off", not self._switch.value)
        self._of.move({self._name: self._rule.value if self._switch.value else "none"})

    def show(self, value: Any) -> None:
        """Show a rule, ``"none"`` for off."""
        self._switch.value = value != "none"
        if value != "none":
            self._rule.value = value
        marked(self.box, "off", value == "none")

    def disable(self, off: bool) -> None:
        """Grey the rule out."""
        self._switch.disabled = self._rule.disabled = off


class Controls:
    """Controls of some knobs, which move them through the controller."""

    def __init__(self, of: Controller, make: WidgetSet, names: Collection[str]) -> None:
        self._of, self._make = of, make
        self.by_name: dict[str, Any] = {}  # a `Number`, `Field` or `Rule` for each knob that has a control
        default = Config()
        for name, knob in Config.knobs().items():
            wanted = name in names or WITHIN.get(name) in names
            if wanted and name not in (*SEEDS, *RULES):
                self.by_name[name] = self._control(name, in_language(name, knob, make.text), getattr(default, name))
        for name, (_, number) in RULES.items():
            if number in self.by_name:
                knob = in_language(name, Config.knobs()[name], make.text)
                self.by_name[name] = Rule(of, make, name, knob, self.by_name[number])

    def _control(self, name: str, knob: Knob, value: Any) -> Any:
        of, make = self._of, self._make
        if isinstance(value, bool):
            return Field(of, make.switch(value, knob.label, knob.help), lambda on: of.move({name: on}))
        if knob.choices is not None:
            menu = make.menu(knob.label, knob.help, choice_labels(name, knob, make.text), value)
            return Field(of, menu, lambda chosen: of.move({name: chosen}))
        return Number(of, make, name, knob, value)

    def show(self, config: Config) -> None:
        """Set every control to a config."""
        with self._of.showing():
            for name, control in self.by_name.items():
                control.show(getattr(config, name))

    def refuse(self, names: Collection[str]) -> None:
        """Mark knobs whose typed value was not accepted; it stays where it stands."""
        for name in names:
            if isinstance(control := self.by_name.get(name), Number):
                control.refuse(True)

    def disable(self, names: Collection[str]) -> None:
        """Grey out the controls of knobs that change nothing here."""
        for name, control in self.by_name.items():
            control.disable(name in names)

    def boxes(self, names: Iterable[str]) -> list[widgets.Widget]:
        """Return the controls of knobs, in that order; a number within a rule's card stands there."""
        return [self.by_name[name].box for name in names if name in self.by_name and name not in WITHIN]


def _slider(make: WidgetSet, knob: Knob, default: Any) -> Any:
    """Return a slider over the knob's range, logarithmic where the knob says so."""
    if knob.slider is None:
        raise ValueError(f"{knob.label}: no slider range")
    low, high, scale = knob.slider
    common: dict[str, Any] = {"description": knob.label, "tooltip": knob.help, "readout": False}
    if scale != "linear":
        options = _notches(low, high, default, scale == "powers")
        return make(widgets.SelectionSlider, options=options, value=default, **common)
    if isinstance(default, int):
        return make(widgets.IntSlider, default, min=int(low), max=int(high), **common)
    return make(widgets.FloatSlider, default, min=low, max=high, step=(high - low) / 100, **common)


def _notches(low: float, high: float, default: float, powers: bool) -> list[tuple[str, float]]:
    """Return round numbers, evenly spread on a logarithmic scale: a slider that stops at 0.05, not at 0.0501."""
    if powers:
        numbers = {2.0**k for k in range(32)}
    elif isinstance(default, int):
        whole = [2**k for k in range(24)]
        numbers: set[float] = {*whole, *(3 * p // 2 for p in whole[1:])}
    else:
        factors = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)
        numbers = {float(f"{f}e{k}") for k in range(-9, 7) for f in factors}
    return [(f"{n:g}", n) for n in sorted(numbers | {default}) if low <= n <= high]


def nearest(numbers: Iterable[Any], value: float) -> Any:
    """Return the number nearest to a value by their ratio; to 0 the least."""
    return min(numbers, key=lambda number: abs(math.log(number / value)) if value > 0 else number)


def measures(text: Text) -> list[tuple[str, str]]:
    """Return (words, name) of what the stage can show of every layer."""
    return [(text(f"measure.{name}"), name) for name in (BOTH, *MEASURES)]


def in_language(name: str, knob: Knob, text: Text) -> Knob:
    """Return a knob with its label and help in a language."""
    label, tip = (text.name(f"knob.{name}.{what}", own) for what, own in (("label", knob.label), ("help", knob.help)))
    return dataclasses.replace(knob, label=label, help=tip)


def choice_labels(name: str, knob: Knob, text: Text) -> list[tuple[str, str]]:
    """Return (words, value) of the knob's choices, as they are registered now."""
    table = knob.choices
    if isinstance(table, Registry):
        return [(text.name(f"label.{table.kind}.{value}", entry.label), value) for value, entry in table.items()]
    return [(text.name(f"choice.{name}.{value}", value.replace("_", " ")), value) for value in table or ()]
