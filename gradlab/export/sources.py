"""The source of a table's entry and of all that it uses, as it stands in its file, ready for a script of its own.

What a definition refers to is read off its compiled code: nothing of it is rewritten but a name that clashes.
"""

from __future__ import annotations
import __future__

import ast
import builtins
import dis
import inspect
import io
import linecache
import re
import sys
import textwrap
import tokenize
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, count, pairwise
from types import CodeType, ModuleType
from typing import Any

import torch

from gradlab.config import Config
from gradlab.registry import Entry

Lines = list[str]

_Function = Callable[..., Any]
_GLOBAL = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS", "LOAD_FROM_DICT_OR_DEREF")
_ONE_LINE = re.compile(r'def \w+\(.*?:\n    """.*?"""\n    return (.+)', re.DOTALL)


class SourceError(ValueError):
    """Why a definition cannot be copied into a script."""


def source(entry: Entry | _Function) -> str:
    """Return the text of an entry's function or class as it stands in its file, without its registration.

    Raise ValueError if it is a lambda, or there is no source of it.
    """
    value = entry.function if isinstance(entry, Entry) else entry
    value = value if isinstance(value, type) else inspect.unwrap(value)
    try:
        text = _class_text(value) if isinstance(value, type) else inspect.getsource(value)
    except (OSError, TypeError) as error:
        raise SourceError(str(error)) from None
    lines = textwrap.dedent(text).strip("\n").split("\n")
    starts = [i for i, line in enumerate(lines) if line.startswith(("@", "def ", "class ", "async def "))]
    head = next((i for i in starts if not lines[i].startswith("@")), None)
    if head is None or not re.match(rf"(async )?(def|class) {re.escape(value.__name__)}\b", lines[head]):
        raise SourceError(f"{value.__name__!r} is not written as a def or a class of that name")
    decorators = [lines[i:j] for i, j in pairwise(starts) if j <= head]
    kept = [line for own in decorators if not re.match(r"@[\w.]+\.register\(", own[0]) for line in own]
    return "\n".join([*kept, *lines[head:]])


def _class_text(value: type) -> str:
    try:
        return inspect.getsource(value)
    except (OSError, TypeError):  # a class of a notebook cell: its methods know the cell
        for method in filter(inspect.isfunction, vars(value).values()):
            lines = linecache.getlines(method.__code__.co_filename)
            for number, line in enumerate(lines):
                if re.match(rf"\s*class {value.__name__}\b", line):
                    return "".join(inspect.getblock(lines[number:]))
        raise


def references(text: str) -> list[str]:
    """Return the names that a definition takes from outside, in order of appearance; annotations are not run."""
    code = compile(text, "<entry>", "exec", __future__.annotations.compiler_flag, dont_inherit=True)
    found = [name for name in _globals(code) if not (name.startswith("__") and name.endswith("__"))]
    return list(dict.fromkeys(found))


def _globals(code: CodeType) -> Iterator[str]:
    stored = {i.argval for i in dis.get_instructions(code) if i.opname == "STORE_NAME"}
    for instruction in dis.get_instructions(code):
        if instruction.opname in _GLOBAL and instruction.argval not in stored:
            yield instruction.argval
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _globals(inner)


def renamed(text: str, names: Mapping[str, str]) -> str:
    """Return source with some names replaced; attributes and names of keyword arguments stay."""
    if all(name == new for name, new in names.items()):
        return text
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    lines = text.split("\n")
    for i, token in reversed(list(enumerate(tokens))):
        keyword = tokens[min(i + 1, len(tokens) - 1)].string == "="
        if token.type == tokenize.NAME and token.string in names and tokens[i - 1].string != "." and not keyword:
            row, line = token.start[0] - 1, lines[token.start[0] - 1]
            lines[row] = line[: token.start[1]] + names[token.string] + line[token.end[1] :]
    return "\n".join(lines)


# the names under which a script knows the modules, and a function, that it imports itself
USUAL = {name: name for name in ("copy", "math", "torch")}
USUAL |= {"nn": "torch.nn", "F": "torch.nn.functional", "pairwise": "itertools.pairwise"}


class Sources:
    """Collects imports and definitions under names that do not clash with the script's own, `reserved`."""

    def __init__(self, reserved: Iterable[str]) -> None:
        self._names: dict[int, tuple[str, Any]] = {}  # with the object, as an id is only good while that lives
        self._taken = {*reserved, *dir(builtins)}
        self._texts: list[str] = []
        self._imported: dict[str, set[str]] = {}  # module -> its members; "" -> modules

    # ------------------------------------------------------------------ definitions
    def entry(self, config: Config, field: str, *arguments: str) -> str:
        """Return an expression that calls the entry which a field of a config names, with these expressions.

        One of gradlab's that only returns an expression is written out. If the source cannot be had, or uses what
        cannot be written down, a ValueError names the entry, e.g. ``clip='mine'``.
        """
        chosen = Config.knobs()[field].choices[getattr(config, field)]  # pyright: ignore[reportOptionalSubscript]
        assert isinstance(chosen, Entry)
        function = chosen.function
        try:
            if chosen.shipped and inspect.isfunction(function):
                text = source(function)
                if one_line := _ONE_LINE.fullmatch(text):
                    values = dict(zip(inspect.signature(function).parameters, arguments, strict=True))
                    return renamed(one_line[1], self._resolve(text, function) | values)
            return f"{self._name_of(function, function.__name__)}({', '.join(arguments)})"
        except (SourceError, OSError, TypeError, SyntaxError, AttributeError) as error:
            raise ValueError(
                f"{field}={chosen.name!r} cannot be written as a script: {error}; expected a function whose source "
                "can be read, made of functions, modules and plain constants"
            ) from None

    def define(self, text: str) -> None:
        """Add a definition of the script's own."""
        self._texts.append(text)

    def definitions(self) -> Lines:
        """Return what was defined since the last call, dependencies first: constants, then functions, spaced."""
        functions = [text for text in self._texts if text.startswith(("def ", "class ", "@", "async "))]
        constants = [text for text in self._texts if text not in functions]
        self._texts = []
        blocks = (["\n".join(constants)] if constants else []) + functions
        return [line for block in blocks for line in ("", "", block)]

    def _resolve(self, text: str, value: Any) -> dict[str, str]:
        """Provide everything a definition refers to; return the name that each has in the script."""
        names, namespace = {}, _namespace(value)
        for name in references(text):
            if name in namespace:
                names[name] = self._name_of(namespace[name], name)
            elif not hasattr(builtins, name) and name != value.__name__:
                raise SourceError(f"the name {name!r} in {value.__name__!r} is not known")
        return names

    def _name_of(self, value: Any, name: str) -> str:
        """Return the script's name of `value`, which is imported or defined if it is not there yet."""
        if id(value) in self._names:
            return self._names[id(value)][0]
        if isinstance(value, ModuleType):
            if is_own(value):
                raise SourceError(f"it uses the module {value.__name__!r}, which a script on its own does not have")
            alias = name if USUAL.get(name) == value.__name__ else self._free(name)
            self._import(value.__name__, alias)
        elif not isinstance(value, type) and not inspect.isroutine(value):
            alias = self._free(name)
            self.define(f"{alias} = {literal(value, name)}")
        elif is_own(value):
            return self._copy(value, name)
        else:
            alias = self._free(name)
            self._import(_home(value, name), alias)
        return self._note(value, alias)

    def _copy(self, value: Any, name: str) -> str:
        value = value if isinstance(value, type) else inspect.unwrap(value)
        text, alias = source(value), self._note(value, self._free(name))
        self.define(renamed(text, {**self._resolve(text, value), value.__name__: alias}))
        return alias

    def _note(self, value: Any, name: str) -> str:
        self._names[id(value)] = name, value
        self._taken.add(name)
        return name

    def _free(self, name: str) -> str:
        numbered = (f"{name}_{number}" for number in count(2))
        return next(free for free in chain([name], numbered) if free not in self._taken)

    # ------------------------------------------------------------------ imports
    def need(self, *names: str) -> None:
        """Import what `USUAL` has under these names."""
        for name in names:
            self._import(USUAL[name], name)

    def _import(self, dotted: str, alias: str) -> None:
        module, _, name = dotted.rpartition(".")
        self._imported.setdefault(module, set()).add(name if name == alias else f"{name} as {alias}")

    def imports(self) -> str:
        """Return the import statements, merged and sorted: the standard library first, then the rest."""
        lines = [f"import {name}" for name in sorted(self._imported.get("", ()))]
        for module in sorted(filter(None, self._imported)):
            lines.append(f"from {module} import {', '.join(sorted(self._imported[module], key=str.lower))}")
        standard = [line for line in lines if line.split()[1].split(".")[0] in sys.stdlib_module_names]
        others = [line for line in lines if line not in standard]
        return "\n\n".join("\n".join(group) for group in (standard, others) if group)


def indented(lines: Lines) -> Lines:
    """Return the lines moved right."""
    return [f"    {line}" if line else line for line in lines]


def _namespace(value: Any) -> dict[str, Any]:
    """Return what the names in a definition stand for: globals and closure."""
    if not isinstance(value, type):
        return {**value.__globals__, **inspect.getclosurevars(value).nonlocals}
    inside: dict[str, Any] = dict(vars(inspect.getmodule(value)))
    for method in vars(value).values():
        function = inspect.unwrap(getattr(method, "__func__", method)) if callable(method) else None
        if inspect.isfunction(function):
            inside |= _namespace(function)
    return {name: entry for name, entry in inside.items() if name != "__class__"}


def literal(value: Any, name: str) -> str:
    """Return `value` as Python source: a number, string, dtype, or tuple, list, set or dict of these."""
    if isinstance(value, torch.dtype):
        return str(value)
    if isinstance(value, float) and not abs(value) < float("inf"):
        return f'float("{value}")'
    text = repr(value).replace("e+", "e") if isinstance(value, float) else repr(value)
    try:
        if ast.literal_eval(text) == value:
            return text
    except (ValueError, SyntaxError):
        pass
    raise SourceError(f"it uses {name!r}, a {type(value).__name__}")


def _home(value: Any, alias: str) -> str:
    """Return where a function or class can be imported from, its own name included; raise SourceError if nowhere."""
    name = getattr(value, "__name__", "")
    for module in (getattr(value, "__module__", None), "torch", "torch.nn.functional", "math"):
        if module and getattr(sys.modules.get(module), name, None) is value:
            return f"{module}.{name}"
    raise SourceError(f"it uses {alias!r}, which cannot be imported")


def is_own(value: Any) -> bool:
    """Whether `value` is gradlab's or the user's own, so that a script must carry a copy of it."""
    name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None) or ""
    package = name.split(".")[0]
    if not package or package in sys.stdlib_module_names - {"__main__"}:
        return False
    file = getattr(sys.modules.get(name), "__file__", None) or _file_of(value)
    return package in ("gradlab", "__main__") or (file is not None and "-packages" not in file)  # site-, dist-


def _file_of(value: Any) -> str | None:
    try:
        return inspect.getsourcefile(value)
    except TypeError:
        return None
