"""`Table`: a few rows to look at, in a terminal or a notebook."""

from __future__ import annotations

from typing import Any


class Table(list[dict[str, Any]]):
    """Rows with the same keys; shows itself as aligned text, in a notebook as a Markdown table."""

    def _cells(self) -> list[list[str]]:
        names = list(self[0]) if self else []
        return [names, *([_text(row[name]) for name in names] for row in self)]

    def __repr__(self) -> str:
        if not self:
            return "Table(empty)"
        cells = self._cells()
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ["  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)) for row in cells]
        return "\n".join(lines)

    def _repr_markdown_(self) -> str:
        if not self:
            return "*empty*"
        head, *body = (f"| {' | '.join(row)} |" for row in self._cells())
        return "\n".join([head, f"|{'---|' * len(self[0])}", *body])


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
