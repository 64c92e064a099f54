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
import site
import sys
import sysconfig
import textwrap
import tokenize
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from types import CodeType, ModuleType
from typing import Any

import torch

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


class Sources:
    """Collects definitions, dependencies first, under names that do not clash with the script's own, `reserved`."""

    def __init__(self, reserved: Iterable[str]) -> None:
        self.imports = Imports()
        self._names: dict[int, str] = {}
        self._kept: list[Any] = []  # an id is only good while its object lives
        self._taken = {*reserved, *dir(builtins)}
        self._texts: list[str] = []

    def take(self) -> list[str]:
        """Return the definitions collected since the last call, in the order in which they must stand."""
        taken, self._texts = self._texts, []
        return taken

    def call(self, function: _Function, arguments: Sequence[str], what: str) -> str:
        """Return an expression that calls `function`; one of gradlab's that only returns one is written out.

        `arguments` are expressions, one per positional argument. If the source cannot be had, or uses what cannot be
        written down, a ValueError names the entry as `what` does, e.g. ``clip='mine'``.
        """
        try:
            if str(getattr(function, "__module__", "")).startswith("gradlab.") and inspect.isfunction(function):
                text = source(function)
                if one_line := _ONE_LINE.fullmatch(text):
                    values = dict(zip(inspect.signature(function).parameters, arguments, strict=True))
                    return renamed(one_line[1], self._resolve(text, function) | values)
            return f"{self._name_of(function, function.__name__)}({', '.join(arguments)})"
        except (SourceError, OSError, TypeError, SyntaxError, AttributeError) as error:
            raise ValueError(
                f"{what} cannot be written as a script: {error}; expected a function whose source can be read, made "
                "of functions, modules and plain constants"
            ) from None

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
            return self._names[id(value)]
        if isinstance(value, ModuleType):
            return self._module(value, name)
        if isinstance(value, type) or inspect.isroutine(value):
            return self._define(value, name) if is_own(value) else self._import(value, name)
        text = self._free(name)
        self._texts.append(f"{text} = {literal(value, name)}")
        return self._note(value, text)

    def _note(self, value: Any, name: str) -> str:
        self._names[id(value)] = name
        self._kept.append(value)
        self._taken.add(name)
        return name

    def _free(self, name: str) -> str:
        number, free = 1, name
        while free in self._taken:
            number += 1
            free = f"{name}_{number}"
        return free

    def _module(self, value: ModuleType, name: str) -> str:
        if is_own(value):
            raise SourceError(f"it uses the module {value.__name__!r}, which a script on its own does not have")
        alias = name if USUAL.get(name) == value.__name__ else self._free(name)
        self.imports.module(value.__name__, alias)
        return self._note(value, alias)

    def _import(self, value: Any, name: str) -> str:
        alias = self._free(name)
        self.imports.member(value, alias)
        return self._note(value, alias)

    def _define(self, value: Any, name: str) -> str:
        value = value if isinstance(value, type) else inspect.unwrap(value)
        text, alias = source(value), self._note(value, self._free(name))
        self._texts.append(renamed(text, {**self._resolve(text, value), value.__name__: alias}))
        return alias


def indented(lines: Lines) -> Lines:
    """Return the lines moved right."""
    return [f"    {line}" if line else line for line in lines]


def definitions(sources: Sources) -> Lines:
    """Return the definitions that a stage asked for: constants first, then functions two blank lines apart."""
    texts = sources.take()
    functions = [text for text in texts if text.startswith(("def ", "class ", "@", "async "))]
    constants = [text for text in texts if text not in functions]
    blocks = (["\n".join(constants)] if constants else []) + functions
    return [line for block in blocks for line in ("", "", block)]


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


# the names under which a script knows the modules that it imports itself
USUAL = {"copy": "copy", "math": "math", "torch": "torch", "nn": "torch.nn", "F": "torch.nn.functional"}


class Imports:
    """The import statements a script needs, merged and sorted."""

    def __init__(self) -> None:
        self._plain: set[str] = set()
        self._members: dict[str, set[str]] = {}

    def need(self, *names: str) -> None:
        """Import modules of `USUAL` by their names there."""
        for name in names:
            self.module(USUAL[name], name)

    def module(self, module: str, alias: str) -> None:
        """Import the module of that dotted name under an alias."""
        parent, _, last = module.rpartition(".")
        if parent:
            self.member_of(parent, last, alias)
        else:
            self._plain.add(f"import {last}" if last == alias else f"import {last} as {alias}")

    def member_of(self, module: str, member: str, alias: str = "") -> None:
        """Import a member of a module, under an alias if there is one."""
        self._members.setdefault(module, set()).add(member if alias in ("", member) else f"{member} as {alias}")

    def member(self, value: Any, alias: str) -> None:
        """Import a function or class under a name; raise SourceError if it is not to be found in its module."""
        name = getattr(value, "__name__", "")
        for module in (getattr(value, "__module__", None), "torch", "torch.nn.functional", "math"):
            if module and getattr(sys.modules.get(module), name, None) is value:
                self.member_of(module, name, alias)
                return
        raise SourceError(f"it uses {alias!r}, which cannot be imported")

    def text(self) -> str:
        """Return the statements: the standard library first, then the rest."""
        names = {module: ", ".join(sorted(members, key=str.lower)) for module, members in self._members.items()}
        lines = [*sorted(self._plain), *(f"from {module} import {names[module]}" for module in sorted(names))]
        standard = [line for line in lines if line.split()[1].split(".")[0] in sys.stdlib_module_names]
        others = [line for line in lines if line not in standard]
        return "\n\n".join("\n".join(group) for group in (standard, others) if group)


def is_own(value: Any) -> bool:
    """Whether `value` is gradlab's or the user's own, so that a script must carry a copy of it."""
    name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
    if not name or name.split(".")[0] in sys.stdlib_module_names - {"__main__"}:
        return False
    if name.split(".")[0] in ("gradlab", "__main__"):
        return True
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None) or _file_of(value)
    paths = sysconfig.get_paths()
    roots = (paths["purelib"], paths["platlib"], *site.getsitepackages(), site.getusersitepackages())
    return file is not None and not file.startswith(roots) and "site-packages" not in file


def _file_of(value: Any) -> str | None:
    try:
        return inspect.getsourcefile(value)
    except TypeError:
        return None
