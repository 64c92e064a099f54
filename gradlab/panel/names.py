"""Knobs, choices and presets in the panel's language."""

from __future__ import annotations

import dataclasses

from gradlab.config import Knob
from gradlab.locale import Text
from gradlab.presets import PRESETS
from gradlab.registry import Registry


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


def preset_labels(text: Text) -> list[tuple[str, str]]:
    """Return (label, name) of the presets."""
    return [(text.name(f"label.preset.{name}", PRESETS.entry(name).label), name) for name in PRESETS]


def preset_lesson(name: str, text: Text) -> str:
    """Return the one-line lesson of a preset; empty for settings that are none."""
    return text.name(f"summary.preset.{name}", PRESETS.entry(name).summary) if name in PRESETS else ""
