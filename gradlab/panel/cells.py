"""Which notebook cell a panel was made in, so that running the cell again closes the old panel."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any


def current_cell() -> tuple[str, str] | None:
    """Return (cell id, id of this execution) of the running cell; None outside a front end that tells."""
    try:
        from IPython.core.getipython import get_ipython
    except ImportError:
        return None
    shell = get_ipython()
    kernel = getattr(shell, "kernel", None)
    if kernel is None:
        return None
    parent: dict[str, Any] = kernel.get_parent() or {}
    cell = parent.get("metadata", {}).get("cellId")
    return (cell, parent.get("header", {}).get("msg_id", "")) if cell else None


class OpenPanels:
    """The open panels of a kernel by the cell that made them."""

    def __init__(self) -> None:
        self._by_cell: dict[str, tuple[str, list[weakref.ref[Any]]]] = {}

    def enter(self, panel: Any, close: Callable[[Any], None]) -> None:
        """Note a new panel and close those that an earlier run of the same cell made."""
        where = current_cell()
        if where is None:
            return
        cell, run = where
        old_run, panels = self._by_cell.get(cell, ("", []))
        if old_run != run:
            for reference in panels:
                if (old := reference()) is not None:
                    close(old)
            panels = []
        panels.append(weakref.ref(panel))
        self._by_cell[cell] = (run, panels)
