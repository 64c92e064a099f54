"""Ordered tables of named choices: one decorated function is one entry."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from itertools import islice
from typing import Any, TypeVar

Chosen = TypeVar("Chosen")


def brief(value: Any, most: int = 60) -> str:
    """Return the repr of any value for a message: one line of at most `most` characters."""
    try:
        text = " ".join(repr(value).splitlines())
    except Exception:  # a __repr__ of somebody's own, a number of 5,000 digits, lists too deep
        text = f"<{type(value).__name__}>"
    return text if len(text) <= most else f"{text[: most - 3]}..."


def items_of(value: Any, most: int = 100_000) -> list[Any] | None:
    """Return the items of an iterable, None if it is none, a text, or has more than `most` items or no end."""
    try:
        items = [] if isinstance(value, str | bytes) else list(islice(iter(value), most + 1))
    except TypeError:
        return None
    return items if len(items) <= most and not isinstance(value, str | bytes) else None


class UnknownNameError(KeyError, ValueError):
    """A name that is not in a table; the message lists the names that are."""

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True)
class Entry:
    """One choice of a table.

    Attributes
    ----------
    name : str
        What a `Config` field holds.
    function : callable
        What the name stands for; an entry is called like its function.
    label : str
        What a person reads in a dropdown.
    summary : str
        One line: the first line of the function's docstring.
    options : Mapping[str, Any]
        Facts about the entry that its user needs, e.g. ``exempt_output`` of a clip.
    """

    name: str
    function: Callable[..., Any]
    label: str
    summary: str
    options: Mapping[str, Any] = field(default_factory=dict)
    table: Registry[Any] | None = field(default=None, repr=False, compare=False)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function; one that somebody registered is named where it fails, or returns what is no use.

        Raises
        ------
        ValueError
            Then, with what is expected of the table's entries.
        """
        if self.table is None or self.shipped:
            return self.function(*args, **kwargs)
        what, gives = f"{self.table.kind}={self.name!r}", self.table.gives
        try:
            found = self.function(*args, **kwargs)
        except Exception as error:
            said = " ".join(str(error).split())[:200]
            raise ValueError(f"{what}: fails ({type(error).__name__}: {said}); expected {gives}") from error
        if not self.table.fits(found, *args):
            raise ValueError(f"{what}: returned {brief(found)}; expected {gives}")
        return found

    @property
    def shipped(self) -> bool:
        """Whether it is one of gradlab's own entries, and not one that somebody registered."""
        return str(getattr(self.function, "__module__", "")).startswith("gradlab.")

    @property
    def direct(self) -> Callable[..., Any]:
        """The function itself of gradlab's own entries, where nothing needs to be named; else the entry."""
        return self.function if self.shipped else self


@cache
def _installed() -> Any:
    """Return the entry points of every distribution, read once."""
    return entry_points()


class Registry(Mapping[str, Chosen]):
    """A mapping name -> `Entry`, in order of registration.

    Another distribution adds to it by an entry point in the group ``gradlab.`` and the kind in the plural, such as
    ``gradlab.activations``, that names a module: it is imported when the table is first asked, and registers what
    it has. One that cannot be imported warns.

    Parameters
    ----------
    kind : str
        What an entry is, in the singular, as error messages call it (``"clip"``).
    takes : str, optional
        What an entry is called with: the names of its arguments by position. Left out, any signature goes.
    made : bool, default False
        Whether ``[name]`` is what the entry's function returns rather than the `entry` itself.
    gives : str
        What an entry's function is to do or return, as error messages say it.
    fits : callable
        ``fits(returned, *arguments)``: whether it has; default: anything goes.
    """

    def __init__(
        self,
        kind: str,
        takes: str | None = None,
        made: bool = False,
        gives: str = "a function that takes what it is given",
        fits: Callable[..., bool] = lambda *_: True,
    ) -> None:
        self.kind, self.takes, self._made, self.gives, self.fits = kind, takes, made, gives, fits
        self._own: dict[str, Entry] = {}
        self._complete = False

    @property
    def _entries(self) -> dict[str, Entry]:
        if not self._complete:
            self._complete = True
            for point in _installed().select(group=f"gradlab.{self.kind}s"):
                try:
                    point.load()
                except Exception as error:  # somebody else's package must not take gradlab down
                    warnings.warn(f"{point.group}: {point.value} could not be loaded: {error!r}", stacklevel=4)
        return self._own

    def register(self, name: str, label: str, **options: Any) -> Callable[[Callable[..., Any]], Any]:
        """Decorate a function to make it the entry `name`; its docstring's first line is the summary.

        A function written in a notebook cell may be registered again by running the cell again.

        Raises
        ------
        ValueError
            If the name is no text or taken by another function, or the function has no docstring, is not callable,
            or cannot be called as the table's entries are.
        """
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"{self.kind} name={brief(name)}; expected a text that is not empty")

        def add(function: Callable[..., Any]) -> Callable[..., Any]:
            self._check_call(name, function, options)
            doc = inspect.getdoc(function) or ""
            summary = doc.strip().split("\n")[0].strip()
            if not summary:
                raise ValueError(f"{self.kind} {name!r} has no summary; give its function a docstring")
            if name in self._own and not self._is_same_cell(name, function):
                raise ValueError(f"{self.kind} {name!r} is registered already; choose another name")
            self._own[name] = Entry(name, function, label, summary, options, self)
            return function

        return add

    def _check_call(self, name: str, function: Any, options: Mapping[str, Any]) -> None:
        """Raise ValueError unless `function` can be called with what the table's users pass."""
        takes = None if self.takes is None else [*filter(None, self.takes.split(", "))]
        if takes is not None and options.get("sequence"):
            takes.append("length")
        expected = "a function" if takes is None else f"a function of ({', '.join(takes)})"
        if not callable(function):
            raise ValueError(f"{self.kind} {name!r}: {brief(function)} cannot be called; expected {expected}")
        if takes is None:
            return
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError):  # one written in C that does not say: its first call will
            return
        try:
            signature.bind(*takes)
        except TypeError as error:
            raise ValueError(f"{self.kind} {name!r} takes {signature} ({error}); expected {expected}") from None

    def _is_same_cell(self, name: str, function: Callable[..., Any]) -> bool:
        old = self._own[name].function
        return function.__module__ == "__main__" == old.__module__ and function.__qualname__ == old.__qualname__

    def __getitem__(self, name: str) -> Chosen:
        entry: Any = self.entry(name)
        return entry() if self._made else entry

    def entry(self, name: str) -> Entry:
        """Return an entry, whatever ``[name]`` is; raise `UnknownNameError` where there is none."""
        try:
            return self._entries[name]
        except (KeyError, TypeError):
            raise UnknownNameError(f"{self.kind}={brief(name)}; expected one of {', '.join(self._entries)}") from None

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"Registry({self.kind}: {', '.join(self._entries)})"

    def _ipython_key_completions_(self) -> list[str]:
        return list(self)

    def table(self) -> str:
        """Return the entries as a Markdown table of name, label and summary."""
        rows = [f"| `{e.name}` | {e.label} | {e.summary} |" for e in self._entries.values()]
        return "\n".join([f"| {self.kind} | label | what it does |", "|---|---|---|", *rows])
