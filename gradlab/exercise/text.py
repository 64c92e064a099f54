"""`Say`: what exercises say in one language, filled in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from gradlab.locale import STRINGS, Text


class Say:
    """The strings of one language; ``say("key", name=value)`` looks one up and fills it in.

    Parameters
    ----------
    lang : str
        A language of the catalogue.

    Raises
    ------
    ValueError
        If the language is unknown.
    """

    def __init__(self, lang: str) -> None:
        self._text = Text(lang)
        self.lang = lang

    def __call__(self, key: str, **values: object) -> str:
        """Return the string ``exercise.KEY`` with `values` filled in."""
        return self._text(f"exercise.{key}", **values)

    def get(self, key: str) -> str | None:
        """Return the string `key` as it is, or None."""
        return STRINGS[self.lang].get(f"exercise.{key}")

    def listed(self, words: Iterable[Any]) -> str:
        """Join words by commas."""
        return self("comma").join(map(str, words))

    def clauses(self, clauses: Iterable[str]) -> str:
        """Join clauses by semicolons."""
        return self("semicolon").join(clauses)

    def either(self, values: Iterable[Any]) -> str:
        """Join values, quoted as in code, by commas and a last "or"."""
        *most, last = map(repr, values)
        return self("or").join([self.listed(most), last] if most else [last])

    def fields(self, n: int) -> str:
        """Say how many fields."""
        return self("fields.1" if n == 1 else "fields.n", n=n)

    def seeds(self, seeds: Sequence[int]) -> str:
        """Name seeds."""
        return self("seed" if len(seeds) == 1 else "seeds", seeds=self.listed(seeds))

    def joined(self, sentences: Iterable[str]) -> str:
        """Put sentences in a row, with the space that the language wants between them."""
        return self("between").join(sentences)
