"""`WidgetSet`: makes the widgets of one panel, and closes them; `CSS`: where they stand and how they look."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Sequence
from importlib import resources
from typing import Any, TypeVar

import ipywidgets as widgets

from gradlab.locale import Text

Made = TypeVar("Made", bound=widgets.Widget)


class WidgetSet:
    """Makes widgets in the panel's language; those that look alike share one layout and one style.

    ipywidgets gives every widget a layout and a style of its own. Each of them is a model that kernel and browser
    must build before anything is seen, and together they are more than half of a panel's models.
    """

    def __init__(self, text: Text) -> None:
        self.text = text
        self._made: list[widgets.Widget] = []
        self._looks: dict[tuple[Any, ...], Any] = {}
        self._presses: list[tuple[widgets.Button, Callable[[Any], object]]] = []

    def __call__(self, kind: type[Made], *args: Any, css: str = "", **traits: Any) -> Made:
        """Return a widget of a kind, which the style sheet knows as ``gradlab-`` and each word of `css`.

        Its layout and style may be given as a dict, and are then those of all widgets with the same: they must
        not be changed. What is to change is given as a ``Layout`` of its own.
        """
        looks: dict[str, Any] = kind.class_traits()
        for name in ("layout", "style"):
            trait, wanted = looks.get(name), traits.get(name, {})
            if trait is not None and isinstance(wanted, dict):
                traits[name] = self.look(trait.klass, **wanted)
        if css:  # given at once: a class that is added later is another message to the browser
            traits["_dom_classes"] = tuple(f"gradlab-{name}" for name in css.split())
        self._made.append(made := kind(*args, **traits))
        return made

    def look(self, kind: type[Made], **wanted: str) -> Made:
        """Return a layout or a style, the same for all that want the same."""
        key = (kind, *sorted(wanted.items()))
        if key not in self._looks:
            self._looks[key] = kind(**wanted)
        return self._looks[key]

    def html(self, value: str = "", css: str = "") -> widgets.HTML:
        """Return a place for words."""
        return self(widgets.HTML, value, css=css)

    def box(self, name: str, *children: widgets.Widget, **traits: Any) -> widgets.Box:
        """Return a box that the style sheet knows as ``gradlab-name``."""
        return self(widgets.Box, children, css=name, **traits)

    def button(self, key: str, tip: str, act: Callable[[], object], css: str = "", **values: Any) -> widgets.Button:
        """Return a button that does `act`; key and tip name strings, `values` is what the words have places for.

        Alt and the letter x press one whose `css` has the word ``key-x``.
        """
        made = self(widgets.Button, description=self.text(key, **values), tooltip=self.text(tip), css=css)
        self.pressed(made, act)
        return made

    def pressed(self, button: widgets.Button, act: Callable[[], object]) -> None:
        """Let a button do something, as long as the panel is open."""
        heard = lambda _: act()  # noqa: E731
        self._presses.append((button, heard))
        button.on_click(heard)

    def menu(self, label: str, tip: str, options: Sequence[tuple[str, str]], value: str) -> widgets.Dropdown:
        """Return a dropdown of (words, value); label and tip are words."""
        return self(widgets.Dropdown, options=options, value=value, description=label, tooltip=tip, css="choice")

    def switch(self, on: bool, label: str, tip: str, **traits: Any) -> widgets.Checkbox:
        """Return a switch that shows whether it is on; label and tip are words."""
        return self(widgets.Checkbox, on, description=label, tooltip=tip, indent=False, css="switch", **traits)

    def close(self) -> None:
        """Close all that was made, with its looks; nothing of it holds the run from then on."""
        for button, heard in self._presses:
            button.on_click(heard, remove=True)
        close_all(self._made)
        for kept in (self._presses, self._made, self._looks):
            kept.clear()


def close_all(parts: Iterable[widgets.Widget]) -> None:
    """Close widgets with their layouts and styles, which a widget that closes leaves open in kernel and browser.

    Who observes them is let go: a circle of references keeps a whole run until garbage is collected.
    """
    for widget in parts:
        widget.close()
        widget.unobserve_all()
        for name in ("layout", "style"):
            if (look := getattr(widget, name, None)) is not None:
                look.close()


def marked(widget: widgets.DOMWidget, name: str, on: bool) -> None:
    """Let the style sheet know a widget as ``gradlab-name``, or no longer."""
    (widget.add_class if on else widget.remove_class)(f"gradlab-{name}")


def in_words(words: str, attributes: str = "", before: str = "", after: str = "") -> str:
    """Return a sentence as the style sheet knows it, between two pieces of HTML."""
    return f'<div class="gradlab-words" {attributes}>{before}{html.escape(words)}{after}</div>'


KNOBS_WIDTH, LECTURE_WIDTH = 222, 264
"""Pixels of the column of knobs."""

CSS = f"<style>{resources.files('gradlab.panel').joinpath('panel.css').read_text(encoding='utf-8')}</style>"
"""Where everything stands, and how it looks."""
