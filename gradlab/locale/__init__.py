"""Every visible string, by language and key; a file for each part of the panel.

A part's file holds the same keys twice: ``EN`` and ``ZH``. Knobs and the entries of tables have their English where
they are registered, so that one registered in a notebook cell needs nothing more; `names` holds the other languages'
words for gradlab's own. Diagnosis, exercises and the replay look theirs up in tables of their own.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from gradlab.locale import (
    badge,
    closeup,
    compare,
    errors,
    home,
    lanes,
    names,
    panel,
    phase,
    pictures,
    predict,
    presets,
    record,
    slow,
    status,
    sweep,
    task,
    theory,
    time,
)

_PARTS: tuple[ModuleType, ...] = (
    pictures,
    panel,
    status,
    phase,
    closeup,
    sweep,
    theory,
    compare,
    record,
    errors,
    predict,
    lanes,
    time,
    home,
    badge,
    slow,
    task,
)


def _merged(language: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in _PARTS:
        table: dict[str, str] = getattr(part, language)
        if twice := found.keys() & table.keys():
            raise ValueError(f"strings: {sorted(twice)} stand in two parts")
        found |= table
    return found


STRINGS: dict[str, dict[str, str]] = {"en": _merged("EN"), "zh": _merged("ZH")}
NAMES: dict[str, dict[str, str]] = {"en": {}, "zh": names.ZH | presets.ZH}
"""By language: what knobs and entries are called where that is not what they were registered with."""


class Said(str):
    """An English sentence that can say itself in another language.

    Whoever makes a sentence (a mark of a history, the message of an exception) need not know who will read it: for
    code it is a plain `str`, and a panel asks for its own language.

    Parameters
    ----------
    key : str
        A key of `STRINGS`.
    **values
        What fills it in; one that is a `Said` itself is said in the same language.
    """

    _key: str
    _values: dict[str, Any]

    def __new__(cls, key: str, **values: object) -> Said:
        """Say it in English, which is the string itself."""
        said = super().__new__(cls, STRINGS["en"][key].format(**values))
        said._key, said._values = key, values
        return said

    def say(self, lang: str) -> str:
        """Return the sentence in a language of `STRINGS`."""
        text = Text(lang)
        return text(self._key, **{name: text.say(value) for name, value in self._values.items()})

    def __getnewargs_ex__(self) -> tuple[tuple[str], dict[str, Any]]:
        return (self._key,), self._values


class Text:
    """The strings of one language; ``text("key", name=value)`` looks one up and fills it in.

    Parameters
    ----------
    lang : str
        A key of `STRINGS`.

    Raises
    ------
    ValueError
        If the language is unknown.
    """

    def __init__(self, lang: str = "en") -> None:
        if not isinstance(lang, str) or lang not in STRINGS:
            raise ValueError(f"lang={lang!r}; expected one of {', '.join(STRINGS)}")
        self.lang = lang

    def __call__(self, key: str, **values: object) -> str:
        """Return the string `key` with `values` filled in."""
        return STRINGS[self.lang][key].format(**values)

    def say(self, value: Any) -> Any:
        """Return a `Said`, or the one an exception was raised with, in this language; anything else as it is."""
        if isinstance(value, Exception) and len(value.args) == 1 and isinstance(value.args[0], Said):
            value = value.args[0]
        return value.say(self.lang) if isinstance(value, Said) else value

    def name(self, key: str, own: str) -> str:
        """Return what this language calls something that brings its own words; those, if it has none for it."""
        return NAMES[self.lang].get(key, own)
