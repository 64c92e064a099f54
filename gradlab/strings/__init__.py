"""Every visible string, by language and key; a file for each part of the panel.

A part's file holds the same keys twice: ``EN`` and ``ZH``.
"""

from __future__ import annotations

from types import ModuleType

from gradlab.strings import closeup, panel, phase, pictures, status, time

_PARTS: tuple[ModuleType, ...] = (pictures, panel, status, phase, closeup, time)


def _merged(language: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in _PARTS:
        table: dict[str, str] = getattr(part, language)
        if twice := found.keys() & table.keys():
            raise ValueError(f"strings: {sorted(twice)} stand in two parts")
        found |= table
    return found


STRINGS: dict[str, dict[str, str]] = {"en": _merged("EN"), "zh": _merged("ZH")}


class Text:
    """The strings of one language; ``text("key", name=value)`` looks one up and fills it in.

    Parameters
    ----------
    lang : str
        A key of `STRINGS`.
    """

    def __init__(self, lang: str = "en") -> None:
        if lang not in STRINGS:
            raise ValueError(f"lang={lang!r}; expected one of {', '.join(STRINGS)}")
        self.lang = lang

    def __call__(self, key: str, **values: object) -> str:
        """Return the string `key` with `values` filled in."""
        return STRINGS[self.lang][key].format(**values)
