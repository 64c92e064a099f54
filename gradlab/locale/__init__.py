"""Every visible sentence, in each language: `en.json` and `zh.json`, looked up by `Text`, carried by `Said`.

To add a key: one line in each file, at its place in the order of the keys, with the same ``{placeholders}``;
``text(KEY, name=value)`` says it where the reader's language is known, ``Said(KEY, name=value)`` where not.
A knob, choice or entry of a table has its English where it is registered: only zh.json gets its line (see `NAMED`).
"""

from __future__ import annotations

import json
import re
from importlib import resources
from typing import Any

NAMED = ("knob.", "choice.", "label.", "summary.", "title.")
"""Beginnings of keys whose English is not in en.json: ``knob.FIELD.label`` and ``.help``, ``choice.FIELD.VALUE`` of a
field without a table, ``label.KIND.NAME``, ``summary.KIND.NAME`` and ``title.KIND.NAME`` of an entry; so one of your
own needs none."""


def _read(lang: str) -> dict[str, str]:
    return json.loads(resources.files(__name__).joinpath(f"{lang}.json").read_text(encoding="utf-8"))


STRINGS: dict[str, dict[str, str]] = {"en": _read("en"), "zh": _read("zh")}

_NOUNS = "cell decade field layer line micro-batch output point prediction sample seed setting step thread time"
_ONE = re.compile(rf"(?<![\w.])1 ({_NOUNS.replace(' ', '|')})s\b")


def _filled(lang: str, key: str, values: dict[str, Any]) -> str:
    """Return a string with its values filled in; of one there is no plural: ``1 steps`` is 1 step."""
    said = STRINGS[lang][key].format(**values)
    return _ONE.sub(r"1 \1", said) if lang == "en" else said


class Said(str):
    """An English sentence that can say itself in another language.

    Whoever makes a sentence (a mark of a history, the message of an exception) need not know who will read it: for
    code it is a plain `str`, and a panel asks for its own language. A value that is a `Said` itself is said in the
    same language.
    """

    _key: str
    _values: dict[str, Any]

    def __new__(cls, key: str, **values: object) -> Said:
        """Say it in English, which is the string itself."""
        said = super().__new__(cls, _filled("en", key, values))
        said._key, said._values = key, values
        return said

    def say(self, lang: str) -> str:
        """Return the sentence in a language of `STRINGS`."""
        text = Text(lang)
        return text(self._key, **{name: text.say(value) for name, value in self._values.items()})

    def __getnewargs_ex__(self) -> tuple[tuple[str], dict[str, Any]]:
        return (self._key,), self._values


class Text:
    """The strings of one language of `STRINGS`; ``text(KEY, name=value)`` looks one up and fills it in."""

    def __init__(self, lang: str = "en") -> None:
        if not isinstance(lang, str) or lang not in STRINGS:
            given = lang if isinstance(lang, str) else type(lang)
            raise ValueError(f"lang={given!r:.40}; expected one of {', '.join(STRINGS)}")
        self.lang = lang

    def __call__(self, key: str, **values: object) -> str:
        """Return the string `key` with `values` filled in."""
        return _filled(self.lang, key, values)

    def say(self, value: Any) -> Any:
        """Return a `Said`, or the one an exception was raised with, in this language; anything else as it is."""
        if isinstance(value, Exception) and len(value.args) == 1 and isinstance(value.args[0], Said):
            value = value.args[0]
        return value.say(self.lang) if isinstance(value, Said) else value

    def name(self, key: str, own: str) -> str:
        """Return what this language calls something that brings its own words; those, if it has none for it."""
        return STRINGS[self.lang].get(key, own)
