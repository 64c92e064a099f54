"""The source text of functions and of all they use, made ready to stand in a script of its own."""

from __future__ import annotations

import ast
import builtins
import inspect
from collections.abc import Callable, Iterable, Sequence
from types import ModuleType
from typing import Any

import torch

from gradlab.export.imports import USUAL, Imports, is_own
from gradlab.export.surgery import Piece, PieceError, read_piece

_Function = Callable[..., Any]


class Sources:
    """Collects definitions, dependencies first, under names that do not clash.

    Parameters
    ----------
    reserved : iterable of str
        Names that the script itself uses; a definition of that name gets another one.
    """

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
        """Return an expression that calls `function`; one that only returns an expression is written out.

        Parameters
        ----------
        function : callable
            The function of a table's entry.
        arguments : sequence of str
            One expression per positional argument.
        what : str
            How an error names the entry, e.g. ``clip='mine'``.

        Raises
        ------
        ValueError
            If the source cannot be had, or uses what cannot be written down; it names the entry.
        """
        try:
            if is_own(function) and not isinstance(function, type):
                piece = read_piece(function)
                if expression := piece.inlined(arguments):
                    return self._written(piece, expression)
            return f"{self._name_of(function, function.__name__)}({', '.join(arguments)})"
        except (PieceError, OSError, TypeError, SyntaxError, AttributeError) as error:
            raise ValueError(
                f"{what} cannot be written as a script: {error}; expected a function whose source can be read, made "
                "of functions, modules and plain constants"
            ) from None

    def _written(self, piece: Piece, expression: ast.expr) -> str:
        names = self._resolve(piece)
        for node in ast.walk(expression):
            if isinstance(node, ast.Name) and node.id in names:
                node.id = names[node.id]
        return ast.unparse(expression)

    def _resolve(self, piece: Piece) -> dict[str, str]:
        """Provide everything a piece refers to; return the name that each has in the script."""
        names = {}
        for name in piece.references:
            if name in piece.namespace:
                names[name] = self._name_of(piece.namespace[name], name)
            elif not hasattr(builtins, name) and name != piece.name:
                raise PieceError(f"the name {name!r} in {piece.name!r} is not known")
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
            raise PieceError(f"it uses the module {value.__name__!r}, which a script on its own does not have")
        alias = name if USUAL.get(name) == value.__name__ else self._free(name)
        self.imports.module(value.__name__, alias)
        return self._note(value, alias)

    def _import(self, value: Any, name: str) -> str:
        alias = self._free(name)
        self.imports.member(value, alias)
        return self._note(value, alias)

    def _define(self, value: Any, name: str) -> str:
        piece = read_piece(value)
        alias = self._note(value, self._free(name))
        names = self._resolve(piece)
        self._texts.append(piece.text({**names, piece.name: alias}))
        return alias


def literal(value: Any, name: str) -> str:
    """Return `value` as Python source.

    Raises
    ------
    PieceError
        If it is no number, string, dtype, or tuple, list, set or dict of these.
    """
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
    raise PieceError(f"it uses {name!r}, a {type(value).__name__}")
