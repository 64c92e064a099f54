"""`WidgetSet`: makes the widgets of one panel, and closes them; `CSS`: where they stand and how they look."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import ipywidgets as widgets

from gradlab.locale import Text

Made = TypeVar("Made", bound=widgets.Widget)


class WidgetSet:
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

    def box(self, name: str, *children: widgets.Widget) -> widgets.Box:
        """Return a box that the style sheet knows as ``gradlab-name``."""
        box = self(widgets.Box, children)
        box.add_class(f"gradlab-{name}")
        return box

    def row(self, *children: widgets.Widget) -> widgets.Box:
        """Return widgets in a row that wraps."""
        return self.box("row", *children)

    def button(self, words: str, tip: str, key: str = "", **values: Any) -> widgets.Button:
        """Return a button; words and tip are keys of strings, `values` what the words have places for.

        Alt and the letter `key` press it.
        """
        made = self(widgets.Button, description=self.text(words, **values), tooltip=self.text(tip))
        if key:
            made.add_class(f"gradlab-key-{key}")
        return made

    def switch(self, on: bool, label: str, tip: str) -> widgets.Checkbox:
        """Return a switch that shows whether it is on; label and tip are words."""
        made = self(widgets.Checkbox, on, description=label, tooltip=tip, indent=False)
        made.add_class("gradlab-switch")
        return made

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


def visible(widget: widgets.DOMWidget, shown: bool) -> None:
    """Show a widget, or leave its place empty: nothing else moves."""
    if shown:
        widget.remove_class("gradlab-unseen")
    else:
        widget.add_class("gradlab-unseen")


KNOBS_WIDTH, LECTURE_WIDTH = 212, 264
"""Pixels of the column of knobs."""

CSS = """<style>
.gradlab {position: relative; max-width: 1440px; overflow: hidden; --ink: var(--jp-ui-font-color1, #222);
  --dim: var(--jp-ui-font-color2, #666); --line: var(--jp-border-color2, #ddd); --soft: var(--jp-layout-color2, #f1f1f1);
  --bg: var(--jp-layout-color1, #fff); --accent: #0b66c3; --column: 212px; --type: 12.5px; --row: 24px;
 }
body[data-jp-theme-light="false"] .gradlab, body.vscode-dark .gradlab {--accent: #6db3f2;}
.gradlab.gradlab-lecture {--column: 264px; --type: 16px; --row: 31px; max-width: none;}
.gradlab > .widget-html:first-child {display: none;}
.gradlab .gradlab-column {position: absolute; left: 0; top: var(--gl-top, 95px); bottom: 0; width: var(--column);
  box-sizing: border-box; padding: 6px 8px 4px 10px; display: flex; flex-direction: column;
  z-index: 5; overflow: hidden; font-size: var(--type); color: var(--ink);}
.gradlab .gradlab-open-exercise, .gradlab .gradlab-open-home {width: max(300px, var(--column));}
.gradlab .gradlab-open-slow, .gradlab .gradlab-open-closeup {width: max(372px, var(--column));}
.gradlab .gradlab-open-phase {width: max(448px, var(--column));}
.gradlab .gradlab-column button.gradlab-wide {width: 100%; overflow: hidden; text-overflow: ellipsis; flex: 0 0 auto;}
.gradlab.gradlab-alone .gradlab-column {display: none;}
.gradlab .gradlab-knobs {flex: 1 1 auto; min-height: 0; display: flex; flex-direction: column; gap: 3px;
  overflow: hidden auto; scrollbar-width: thin; padding: 1px 2px;}
.gradlab .gradlab-pages {flex: 1 1 auto; min-height: 0; display: flex; flex-direction: column; overflow: hidden auto;
  scrollbar-width: thin; padding: 1px 2px;}
.gradlab .gradlab-menu {flex: 0 0 auto; display: flex; flex-flow: row wrap; gap: 3px; padding-top: 4px; margin-top: 3px;
  border-top: 1px solid var(--line); overflow: hidden;}
.gradlab .gradlab-column .widget-inline-hbox {width: auto; margin: 0; height: auto; overflow: hidden;}
.gradlab .gradlab-column .widget-html, .gradlab .gradlab-column .widget-html-content {height: auto; min-height: 0;
  margin: 0; line-height: 1.35; font-size: var(--type); overflow: visible; white-space: normal;}
.gradlab .gradlab-column .widget-label {width: auto; min-width: 0; height: auto; text-align: left; margin: 0;
  padding: 0; font-size: var(--type); line-height: 1.3; color: var(--ink); overflow: hidden; text-overflow: ellipsis;}
.gradlab .gradlab-row {display: flex; flex-flow: row wrap; gap: 3px; overflow: visible; flex: 0 0 auto;}
.gradlab .gradlab-column button.jupyter-button {margin: 0; padding: 0 7px; height: var(--row);
  line-height: calc(var(--row) - 2px); width: auto; font-size: var(--type); border-radius: 6px;
  border: 1px solid var(--line); background: var(--bg); color: var(--ink); overflow: visible; box-shadow: none;}
.gradlab .gradlab-column button.jupyter-button:hover:enabled {background: var(--soft);}
.gradlab .gradlab-column button.jupyter-button.mod-active {background: var(--ink); color: var(--bg);
  border-color: var(--ink);}
.gradlab .gradlab-column button.jupyter-button.gradlab-strong {background: var(--accent); color: #fff; border: 0;
  font-weight: 600;}
.gradlab .gradlab-unseen {visibility: hidden;}
/* a knob: its name and its number on one line, the slider below, as long as the column is wide */
.gradlab .gradlab-knob {position: relative; flex: 0 0 auto; overflow: visible; display: block; margin-bottom: 1px;}
.gradlab .gradlab-knob .widget-slider {display: flex; flex-direction: column; align-items: stretch; overflow: visible;}
.gradlab .gradlab-knob .widget-label {height: 21px; line-height: 21px; max-width: calc(100% - 76px);}
.gradlab .gradlab-knob .slider-container {margin: 0 8px; height: 18px; display: flex; align-items: center;
  min-width: 150px; overflow: visible; flex: 0 0 18px;}
.gradlab .gradlab-knob .slider {flex: 1; min-width: 150px; margin: 0; width: auto;}
.gradlab .gradlab-number {position: absolute; right: 0; top: 0; width: 72px;}
.gradlab .gradlab-number input {height: 21px !important; padding: 0 6px; text-align: right; font-size: var(--type);
  font-variant-numeric: tabular-nums; border: 1px solid var(--line); border-radius: 5px; background: var(--bg);
  color: var(--ink); width: 100%; box-sizing: border-box;}
.gradlab .gradlab-number.gradlab-refused input {border: 2px solid #c62828; color: #c62828;}
.gradlab .gradlab-choice {display: flex; align-items: center; gap: 6px; flex: 0 0 auto; min-height: var(--row);}
.gradlab .gradlab-choice .widget-label {flex: 0 1 auto; min-width: 62px;}
.gradlab .gradlab-choice select {flex: 1 1 auto; min-width: 0; height: calc(var(--row) - 2px); margin: 0;
  font-size: var(--type); border: 1px solid var(--line); border-radius: 5px; color: var(--ink);
  background-color: var(--bg); padding: 0 18px 0 6px;}
body[data-jp-theme-light="false"] .gradlab select, body.vscode-dark .gradlab select {
  background-image: url("data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 18 18'%3E%3Cpath \
d='M5 7l4 4 4-4' fill='none' stroke='%23eee' stroke-width='1.5'/%3E%3C/svg%3E") !important;}
/* a switch shows on and off; what an off switch governs is dimmed */
.gradlab .gradlab-switch {flex: 0 0 auto;}
.gradlab .gradlab-switch label {display: flex; flex-direction: row-reverse; align-items: center;
  justify-content: space-between; gap: 8px; width: 100%; min-height: 21px; line-height: 1.25; margin: 0;
  color: var(--ink); font-size: var(--type); white-space: normal;}
.gradlab .gradlab-switch input {appearance: none; flex: 0 0 34px; width: 34px; height: 18px; border-radius: 9px;
  margin: 0; background: var(--dim); opacity: .55; position: relative; cursor: pointer; transition: background .12s;}
.gradlab .gradlab-switch input::before {content: ""; position: absolute; left: 2px; top: 2px; width: 14px;
  height: 14px; border-radius: 50%; background: #fff; transition: left .12s;}
.gradlab .gradlab-switch input:checked {background: var(--accent); opacity: 1;}
.gradlab .gradlab-switch input:checked::before {left: 18px;}
.gradlab .gradlab-card {flex: 0 0 auto; border: 1px solid var(--line); border-radius: 8px; padding: 2px 7px 3px;
  display: flex; flex-direction: column; gap: 1px; overflow: visible; margin: 1px 0;}
.gradlab .gradlab-card > .gradlab-switch label {font-weight: 600;}
.gradlab .gradlab-off > :not(.gradlab-switch) {opacity: .4;}
.gradlab .gradlab-column :is(:disabled, .widget-readout[disabled]) {opacity: .45; cursor: default;}
.gradlab .gradlab-slack {flex: 1 1 auto; min-height: 0;}
.gradlab .gradlab-words {flex: 0 0 auto;}
.gradlab .gradlab-words b {font-weight: 650;}
.gradlab .gradlab-words > div {margin: 2px 0 4px;}
.gradlab .gradlab-badge {border-left: 4px solid; padding-left: 6px; line-height: 1.3;}
.gradlab .gradlab-pages h3 {margin: 0 0 4px; font-size: calc(var(--type) * 1.12); font-weight: 650;}
.gradlab .gradlab-page {display: flex; flex-direction: column; gap: 5px; overflow: visible;}
.gradlab .gradlab-page img {width: 100%; height: auto;}
.gradlab .gradlab-code {overflow-x: auto; margin: 2px 0;}
.gradlab .gradlab-code div {white-space: pre; font: 12px/17px var(--jp-code-font-family, monospace); color: var(--ink);}
.gradlab .gradlab-code code {font: inherit; color: inherit; background: none; padding: 0;}
.gradlab .gradlab-code [role=group] div {border-left: 4px solid transparent; padding-left: 3px;}
.gradlab .gradlab-code [role=group] .gradlab-now {border-left-color: #d55e00; font-weight: 700;
  background: var(--soft);}
.gradlab .gradlab-words textarea {display: block; width: 100%; height: 160px; box-sizing: border-box; color: var(--ink);
  background: var(--bg); font: 11px/1.35 var(--jp-code-font-family, monospace);}
.gradlab .gradlab-plane {display: flex; flex-flow: row; overflow: visible;}
.gradlab .gradlab-plane-right {flex: 1 1 auto; min-width: 0; display: flex; flex-direction: column; overflow: visible;}
.gradlab .gradlab-plane-grid {display: grid; grid-gap: 1px; overflow: visible; margin: 0;}
.gradlab .gradlab-column .gradlab-plane button.gradlab-cell {border: 0; border-radius: 0; position: relative;
  padding: 0; min-width: 0; height: auto; width: auto; line-height: 1; background: var(--cell);}
.gradlab .gradlab-cell:empty::before {content: none;} /* else a blank hides the tooltip as the name */
.gradlab .gradlab-cell:hover {box-shadow: inset 0 0 0 2px #1a1a1a !important; z-index: 2;}
.gradlab .gradlab-cell:focus-visible {z-index: 3;}
.gradlab .gradlab-cell.gradlab-here {outline: 3px solid #1a1a1a !important; outline-offset: -1px !important;
  box-shadow: inset 0 0 0 4px #fff !important; z-index: 1;}
.gradlab .gradlab-gains, .gradlab .gradlab-depths {display: flex; gap: 1px; font-size: 10px; line-height: 1.5;
  font-variant-numeric: tabular-nums; color: var(--ink);}
.gradlab .gradlab-gains span, .gradlab .gradlab-depths span {flex: 1 1 0; min-width: 0; min-height: 0; line-height: 1;
  display: flex; align-items: center; justify-content: center;}
.gradlab .gradlab-depths {flex-direction: column; padding-right: 5px;}
.gradlab .gradlab-depths span {justify-content: flex-end;}
.gradlab .gradlab-scale {display: inline-block; vertical-align: middle; width: 130px; height: 11px; margin: 0 4px;}
.gradlab .gradlab-legend span {margin-right: 8px;}
.gradlab .gradlab-legend i {display: inline-block; width: 11px; height: 11px; margin-right: 3px;}
.gradlab .gradlab-hidden {position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
  white-space: nowrap;}
/* where the front end does not load the stage's module: words and a picture instead, a few seconds after the start */
.gradlab .gradlab-plain {display: flex; flex-direction: column; gap: 6px; margin-left: var(--column); padding: 10px;
  min-height: 500px; overflow: visible; animation: gradlab-appear 1ms 6s both;}
.gradlab .gradlab-plain img {max-width: 100%; height: auto;}
.gradlab:has(.gl-stage) .gradlab-plain {display: none;}
@keyframes gradlab-appear {from {visibility: hidden;} to {visibility: visible;}}
.gradlab button:focus-visible, .gradlab select:focus-visible, .gradlab input:focus-visible,
.gradlab .noUi-handle:focus-visible, .gradlab [tabindex]:focus-visible {
  outline: 3px solid var(--accent) !important; outline-offset: 1px;}
</style>"""
