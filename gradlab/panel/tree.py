"""All widgets of a panel, and closing what they leave behind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import ipywidgets as widgets


def widgets_within(widget: widgets.Widget) -> Iterator[widgets.Widget]:
    """Yield a widget and everything in it."""
    yield widget
    for child in getattr(widget, "children", ()):
        yield from widgets_within(child)


def close_all(parts: Iterable[widgets.Widget]) -> None:
    """Close widgets with their layouts and styles, which a widget that closes leaves open in kernel and browser."""
    for widget in parts:
        widget.close()
        for name in ("layout", "style"):
            if (look := getattr(widget, name, None)) is not None:
                look.close()
