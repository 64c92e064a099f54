"""The controls of the panel: one widget per knob of `Config`, built from the knob itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets as widgets

from gradlab.config import Config, Knob
from gradlab.measures import MEASURES
from gradlab.panel.kit import Kit
from gradlab.panel.names import choice_labels, in_language, preset_labels
from gradlab.plots.view import BOTH

_STYLE = {"description_width": "92px"}
_WIDE, _NARROW = "234px", "216px"
OWN = ""  # the preset dropdown's value for settings that are no preset


def _tip(help_text: str, widget: Any) -> Any:
    widget.tooltip = help_text
    return widget


def _number(kit: Kit, knob: Knob, default: Any) -> Any:
    """Return a slider over the knob's range, logarithmic where the knob says so."""
    if knob.slider is None:
        raise ValueError(f"{knob.label}: no slider range")
    low, high, scale = knob.slider
    whole = isinstance(default, int)
    common: dict[str, Any] = {
        "description": knob.label,
        "style": _STYLE,
        "layout": {"width": _WIDE},
        "continuous_update": True,
    }
    if scale == "log":
        slider = kit(widgets.SelectionSlider, options=_notches(low, high, whole), value=default, **common)
    elif whole:
        slider = kit(widgets.IntSlider, default, min=int(low), max=int(high), **common)
    else:
        step = (high - low) / 100
        slider = kit(widgets.FloatSlider, default, min=low, max=high, step=step, readout_format=".3g", **common)
    return _tip(knob.help, slider)


def _notches(low: float, high: float, whole: bool) -> list[tuple[str, float]]:
    """Return round numbers, evenly spread on a logarithmic scale: a slider that stops at 0.05, not at 0.0501."""
    if whole:
        powers = [2**k for k in range(24)]
        numbers: list[float] = sorted({*powers, *(3 * p // 2 for p in powers[1:])})
    else:
        factors = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)
        numbers = [float(f"{f}e{k}") for k in range(-9, 6) for f in factors]
    return [(_name(n), n) for n in numbers if low <= n <= high]


def _name(number: float) -> str:
    return f"{number:g}"


def _choice(kit: Kit, knob: Knob, options: list[tuple[str, str]], default: str) -> widgets.Dropdown:
    look = {"style": _STYLE, "layout": {"width": _WIDE}}
    dropdown = kit(widgets.Dropdown, options=options, value=default, description=knob.label, **look)
    return _tip(knob.help, dropdown)


class Controls:
    """All controls; told of a change they call `changed` with knobs as `Config` wants them.

    Parameters
    ----------
    kit : Kit
        Makes the widgets.
    changed : callable
        ``changed(knobs)``, called in whatever thread the front end's message arrives.
    """

    def __init__(self, kit: Kit, changed: Callable[[Mapping[str, Any]], None]) -> None:
        self._kit, self._changed, text = kit, changed, kit.text
        self._shower: int | None = None
        knobs = {name: in_language(name, knob, text) for name, knob in Config.knobs().items()}
        default = Config()
        self.by_name: dict[str, Any] = {}
        for name, knob in knobs.items():
            value = getattr(default, name)
            if name.endswith("_seed") or name in ("accumulation", "clip"):
                continue
            if isinstance(value, bool):
                box = kit(widgets.Checkbox, value, description=knob.label, style=_STYLE, layout={"width": _WIDE})
                self.by_name[name] = _tip(knob.help, box)
            elif knob.choices is not None:
                self.by_name[name] = _choice(kit, knob, choice_labels(name, knob, text), value)
            else:
                self.by_name[name] = _number(kit, knob, value)
        self.toggles = {
            "accumulation": self._switch("accumulation", knobs["accumulation"]),
            "clip": self._switch("clipping", knobs["clip"]),
        }
        self.rules = {
            "accumulation": self._rule("accumulation", "mean", text("tip.accumulation_rule")),
            "clip": self._rule("clip", "global_norm", text("tip.clipping_rule")),
        }
        self.beside_accumulation = kit(widgets.VBox, layout={"flex": "1 1 320px"})
        look = {"style": _STYLE, "layout": {"width": _WIDE}}
        seed = kit(widgets.BoundedIntText, 0, min=0, max=2**31 - 1, description=text("control.seed"), **look)
        self.seed = _tip(text("tip.seed"), seed)
        presets = [(text("preset.own"), OWN), *preset_labels(text)]
        self.preset = self._menu(presets, OWN, text("control.preset"), text("tip.preset"))
        measures = [(text("measure.both"), BOTH), *((text(m.key), name) for name, m in MEASURES.items())]
        self.measure = self._menu(measures, BOTH, text("control.measure"), text("tip.measure"))
        self.measure.add_class("gradlab-measure")
        narrow = {"width": "90px"}
        theory = kit(widgets.Checkbox, False, description=text("control.theory"), indent=False, layout=narrow)
        self.theory = _tip(text("tip.theory"), theory)
        self._listen()

    def _switch(self, key: str, knob: Knob) -> widgets.ToggleButton:
        button = self._kit(widgets.ToggleButton, False, description=knob.label, layout={"width": "116px"})
        return _tip(self._kit.text(f"tip.{key}"), button)

    def _rule(self, name: str, default: str, tip: str) -> widgets.Dropdown:
        text = self._kit.text
        options = [
            (words, value) for words, value in choice_labels(name, Config.knobs()[name], text) if value != "none"
        ]
        look = {"style": {"description_width": "40px"}, "layout": {"width": _NARROW}}
        rule = self._kit(widgets.Dropdown, options=options, value=default, description=text("control.rule"), **look)
        return _tip(tip, rule)

    def _menu(self, options: list[tuple[str, str]], value: str, label: str, tip: str) -> widgets.Dropdown:
        look = {"style": {"description_width": "60px"}, "layout": {"width": "330px"}}
        menu = self._kit(widgets.Dropdown, options=options, value=value, description=label, **look)
        return _tip(tip, menu)

    def _listen(self) -> None:
        for name, widget in self.by_name.items():
            whole = isinstance(getattr(Config(), name), int) and not isinstance(getattr(Config(), name), bool)
            convert = int if whole else (lambda v: v)
            widget.observe(lambda change, n=name, c=convert: self._tell({n: c(change["new"])}), "value")
        for name in ("accumulation", "clip"):
            for widget in (self.toggles[name], self.rules[name]):
                widget.observe(lambda change, n=name: self._tell_rule(n, change), "value")
        self.seed.observe(lambda change: self._tell(seeds(change["new"])), "value")

    def _tell_rule(self, name: str, change: Any) -> None:
        """Apply the rule chosen if the switch is on; moving the menu of a switch that is off changes nothing."""
        on = self.toggles[name].value
        if change["owner"] is self.toggles[name] or on:
            self._tell({name: self.rules[name].value if on else "none"})

    def _tell(self, knobs: Mapping[str, Any]) -> None:
        if not self.silent:
            self._changed(knobs)

    def show(self, config: Config, preset: str | None = None) -> None:
        """Set every control to a config; a value beyond a slider's range shows as its nearest end."""
        self._shower = threading.get_ident()
        try:
            for name, widget in self.by_name.items():
                _assign(widget, getattr(config, name))
            for name in ("accumulation", "clip"):
                rule = getattr(config, name)
                _assign(self.toggles[name], rule != "none")
                if rule != "none":
                    _assign(self.rules[name], rule)
            _assign(self.seed, min(config.weight_seed, 2**31 - 1))
            if preset is not None:
                _assign(self.preset, preset)
        finally:
            self._shower = None

    @property
    def silent(self) -> bool:
        """Whether a change comes from `show`; what a hand moves meanwhile comes in another thread, and counts."""
        return self._shower == threading.get_ident()

    def of(self, name: str) -> tuple[widgets.DOMWidget, ...]:
        """Return the controls of a knob: of a rule its switch, its menu and the number that goes with it."""
        if name in self.toggles:
            number = {"accumulation": "accumulation_steps", "clip": "clip_threshold"}[name]
            beside = (self.beside_accumulation,) if name == "accumulation" else ()
            return self.toggles[name], self.rules[name], self.by_name[number], *beside
        return (self.seed,) if name == "seed" else (self.by_name[name],)

    def disable(self, names: set[str]) -> None:
        """Grey out the controls of knobs that an own network or own data leave without effect."""
        for name, widget in self.by_name.items():
            widget.disabled = name in names
        self.preset.disabled = bool(names)

    @property
    def shown_measure(self) -> str:
        """The measure chosen."""
        return str(self.measure.value)


def seeds(seed: int) -> dict[str, int]:
    """Return the three seeds of a config set to one number."""
    return {"weight_seed": seed, "data_seed": seed, "batch_seed": seed}


def _assign(widget: Any, value: Any) -> None:
    if isinstance(widget, widgets.SelectionSlider):
        _assign_notch(widget, value)
        return
    if isinstance(widget, widgets.IntSlider | widgets.FloatSlider):
        value = min(max(value, widget.min), widget.max)
    if widget.value != value:
        widget.value = value


def _assign_notch(slider: widgets.SelectionSlider, value: float) -> None:
    """Show a value on a slider of notches: one within its range gets a notch of its own, else the nearest end."""
    options = [number for _, number in slider.options]
    value = min(max(value, options[0]), options[-1])
    if value not in options:
        slider.options = [(_name(n), n) for n in sorted([*options, value])]
    if slider.value != value:
        slider.value = value
