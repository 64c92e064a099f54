"""`Kit`: makes the widgets of one panel, and closes them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import ipywidgets as widgets

from gradlab.locale import Text

_AS_WIDE_AS_WORDS = {"width": "auto"}
Made = TypeVar("Made", bound=widgets.Widget)


class Kit:
    """Makes widgets in the panel's language; those that look alike share one layout and one style.

    ipywidgets gives every widget a layout and a style of its own. Each of them is a model that kernel and browser
    must build before anything is seen, and together they are more than half of a panel's models.

    Parameters
    ----------
    text : Text
        Language.
    """

    def __init__(self, text: Text) -> None:
        self.text = text
        self._made: list[widgets.Widget] = []
        self._looks: dict[tuple[Any, ...], widgets.Widget] = {}

    def __call__(self, kind: type[Made], *args: Any, **traits: Any) -> Made:
        """Return a widget of a kind.

        Its layout and style may be given as a dict, and are then those of all widgets with the same: they must
        not be changed. What is to change is given as a ``Layout`` of its own.
        """
        looks: dict[str, Any] = kind.class_traits()
        for name in ("layout", "style"):
            trait, wanted = looks.get(name), traits.get(name, {})
            if trait is not None and isinstance(wanted, dict):
                traits[name] = self._look(trait.klass, wanted)
        self._made.append(made := kind(*args, **traits))
        return made

    def _look(self, kind: type[widgets.Widget], wanted: dict[str, str]) -> widgets.Widget:
        key = (kind, *sorted(wanted.items()))
        if key not in self._looks:
            self._looks[key] = kind(**wanted)
        return self._looks[key]

    def html(self, value: str = "") -> widgets.HTML:
        """Return a place for words."""
        return self(widgets.HTML, value)

    def row(self, *children: widgets.Widget) -> widgets.HBox:
        """Return widgets in a row that wraps."""
        row = self(widgets.HBox, children)
        row.add_class("gradlab-row")
        return row

    def button(
        self, words: str, tip: str, layout: Any = _AS_WIDE_AS_WORDS, disabled: bool = False, **values: Any
    ) -> widgets.Button:
        """Return a button; words and tip are keys of strings, `values` what the words have places for."""
        said = {"description": self.text(words, **values), "tooltip": self.text(tip)}
        return self(widgets.Button, layout=layout, disabled=disabled, **said)

    def folded(self, title: str, page: widgets.Widget) -> widgets.Accordion:
        """Return a page under a title, folded at first; the title is a key of strings."""
        return self(widgets.Accordion, [page], titles=(self.text(title),), selected_index=None)

    def close(self) -> None:
        """Close all that was made, with its looks."""
        close_all(self._made)
        self._made.clear()
        self._looks.clear()


def close_all(parts: Iterable[widgets.Widget]) -> None:
    """Close widgets with their layouts and styles, which a widget that closes leaves open in kernel and browser."""
    for widget in parts:
        widget.close()
        for name in ("layout", "style"):
            if (look := getattr(widget, name, None)) is not None:
                look.close()
