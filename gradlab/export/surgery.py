"""One definition cut out of its file: what it refers to, and its text without types and with other names."""

from __future__ import annotations

import ast
import inspect
import linecache
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

_Def = ast.FunctionDef | ast.AsyncFunctionDef


class PieceError(ValueError):
    """Why a definition cannot be copied into a script."""


@dataclass(frozen=True, eq=False)
class Piece:
    """The definition of a function or class.

    Attributes
    ----------
    source : str
        Its text, without indentation.
    node : ast.FunctionDef or ast.ClassDef
        The same, parsed.
    namespace : Mapping[str, Any]
        What the names in it stand for: globals and closure.
    """

    source: str
    node: ast.FunctionDef | ast.ClassDef
    namespace: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The name it is defined under."""
        return self.node.name

    @cached_property
    def references(self) -> list[str]:
        """The names it takes from outside, in order of appearance."""
        bound = set(_bound(self.node)) - {self.node.name}
        found = [n.id for n in _evaluated(self.node) if isinstance(n, ast.Name) and n.id not in bound]
        return list(dict.fromkeys(found))

    def inlined(self, arguments: Sequence[str]) -> ast.expr | None:
        """Return the expression that the function returns, arguments put in; None if it does more than that."""
        node = self.node
        if not isinstance(node, ast.FunctionDef) or node.decorator_list != _registrations(node):
            return None
        body = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
        params = [a.arg for a in node.args.args]
        if len(body) != 1 or not isinstance(body[0], ast.Return) or body[0].value is None:
            return None
        put = dict(zip(params, (ast.parse(text, mode="eval").body for text in arguments), strict=False))
        mentioned = {n.id for text in put.values() for n in ast.walk(text) if isinstance(n, ast.Name)}
        if len(params) != len(arguments) or mentioned & (set(_bound(body[0])) - set(params)):
            return None
        return _Put(put).visit(ast.parse(ast.unparse(body[0].value), mode="eval").body)

    def text(self, names: Mapping[str, str]) -> str:
        """Return the source with names replaced; types, registration and the docstring's details left out."""
        edits = _Edits(self.source)
        for decorator in _registrations(self.node):
            edits.drop_line_of(decorator)
        for node in _evaluated(self.node):
            if isinstance(node, ast.Name) and node.id in self.references and names.get(node.id, node.id) != node.id:
                edits.replace(node, names[node.id])
        edits.rename_definition(self.node, names.get(self.name, self.name))
        for node in ast.walk(self.node):
            if isinstance(node, _Def):
                edits.drop_annotations(node)
            if isinstance(node, _Def | ast.ClassDef):
                edits.shorten_docstring(node)
        return edits.result()


def read_piece(value: Any) -> Piece:
    """Find the definition of a function or class.

    Raises
    ------
    PieceError
        If it is a lambda or made by other code.
    OSError, TypeError
        If Python has no source of it.
    """
    value = value if isinstance(value, type) else inspect.unwrap(value)
    source = textwrap.dedent(_class_source(value) if isinstance(value, type) else inspect.getsource(value))
    name = value.__name__
    try:
        node = ast.parse(source).body[0]
    except SyntaxError:
        node = None
    if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name != name:
        raise PieceError(f"{name!r} is not written as a def or a class of that name")
    return Piece(source, node, _namespace(value))


def _class_source(value: type) -> str:
    try:
        return inspect.getsource(value)
    except (OSError, TypeError):  # a class of a notebook cell: its methods know the cell
        for method in filter(inspect.isfunction, vars(value).values()):
            text = "".join(linecache.getlines(method.__code__.co_filename))
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.ClassDef) and node.name == value.__name__:
                    return ast.get_source_segment(text, node, padded=True) or ""
        raise


def _namespace(value: Any) -> dict[str, Any]:
    if not isinstance(value, type):
        closure = inspect.getclosurevars(value).nonlocals
        return {**value.__globals__, **closure}
    inside: dict[str, Any] = dict(vars(inspect.getmodule(value)))
    for method in vars(value).values():
        function = inspect.unwrap(getattr(method, "__func__", method)) if callable(method) else None
        if inspect.isfunction(function):
            inside |= _namespace(function)
    return {name: entry for name, entry in inside.items() if name != "__class__"}


def _bound(node: ast.AST) -> Iterator[str]:
    """Yield the names that a piece of code binds itself."""
    for n in ast.walk(node):
        match n:
            case ast.arg(arg=name) | ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Name(id=name, ctx=ast.Store()) | ast.ExceptHandler(name=str(name)):
                yield name
            case ast.alias(name=name, asname=alias):
                yield alias or name.split(".")[0]


def _evaluated(node: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes but those of annotations of functions and of the registering decorators."""
    skipped = {id(d) for d in _registrations(node)} if isinstance(node, _Def | ast.ClassDef) else set()
    if isinstance(node, _Def):
        skipped.add(id(node.returns))
    if isinstance(node, ast.arg):
        skipped.add(id(node.annotation))
    yield node
    for child in ast.iter_child_nodes(node):
        if id(child) not in skipped:
            yield from _evaluated(child)


def _registrations(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> list[ast.expr]:
    return [
        d
        for d in node.decorator_list
        if isinstance(d, ast.Call) and isinstance(d.func, ast.Attribute) and d.func.attr == "register"
    ]


class _Put(ast.NodeTransformer):
    def __init__(self, values: Mapping[str, ast.expr]) -> None:
        self._values = values

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self._values.get(node.id, node)


class _Edits:
    """Replacements in a source text; positions of `ast` count bytes, so the text is kept as bytes."""

    def __init__(self, source: str) -> None:
        self._source = source.encode()
        self._starts = [0]
        for line in self._source.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))
        self._edits: list[tuple[int, int, bytes]] = []

    def _span(self, node: Any) -> tuple[int, int]:
        return (
            self._starts[node.lineno - 1] + node.col_offset,
            self._starts[node.end_lineno - 1] + node.end_col_offset,
        )

    def replace(self, node: ast.AST, text: str) -> None:
        self._edits.append((*self._span(node), text.encode()))

    def drop_line_of(self, decorator: ast.expr) -> None:
        self._edits.append((self._starts[decorator.lineno - 1], self._starts[decorator.end_lineno or 0], b""))

    def rename_definition(self, node: ast.FunctionDef | ast.ClassDef, name: str) -> None:
        start = self._source.index(node.name.encode(), self._span(node)[0])
        self._edits.append((start, start + len(node.name.encode()), name.encode()))

    def drop_annotations(self, node: _Def) -> None:
        spec = node.args
        positional = [*spec.posonlyargs, *spec.args]
        defaults = [None] * (len(positional) - len(spec.defaults)) + [*spec.defaults, *spec.kw_defaults]
        pairs = [
            *zip([*positional, *spec.kwonlyargs], defaults, strict=True),
            (spec.vararg, None),
            (spec.kwarg, None),
        ]
        for arg, default in pairs:
            if arg is None or arg.annotation is None:
                continue
            start = self._span(arg)[0] + len(arg.arg.encode())
            end = self._span(arg.annotation)[1] if default is None else self._span(default)[0]
            self._edits.append((start, end, b"" if default is None else b"="))
        if node.returns is not None:
            start, end = self._span(node.returns)
            start = len(self._source[: self._source.rindex(b"->", 0, start)].rstrip())
            self._edits.append((start, end, b""))

    def shorten_docstring(self, node: ast.AST) -> None:
        doc = ast.get_docstring(node)  # pyright: ignore[reportArgumentType]
        if doc and "\n" in doc:
            summary = doc.split("\n")[0]
            plain = not (set(summary) & {'"', "\\"})
            self.replace(node.body[0], f'"""{summary}"""' if plain else repr(summary))  # pyright: ignore[reportAttributeAccessIssue]

    def result(self) -> str:
        text = self._source
        for start, end, new in sorted(self._edits, reverse=True):
            text = text[:start] + new + text[end:]
        return text.decode().strip("\n")
