"""The panel's face: buttons, status, pictures and controls laid out; it knows no training."""

from __future__ import annotations

import html
from collections.abc import Mapping
from functools import partial
from typing import Any

import ipywidgets as widgets

from gradlab.panel.closer import CloserLook
from gradlab.panel.controls import Controls
from gradlab.panel.kit import Kit
from gradlab.panel.picture import Picture
from gradlab.panel.style import CSS

_SIZE = {"width": "auto", "min_width": "84px"}
_LESSON = ("depth", "init", "gain", "lr")
_NETWORK = (
    "dataset",
    "n_samples",
    "noise",
    "width",
    "activation",
    "norm",
    "residual",
    "bias_std",
    "dtype",
)
_TRAINING = ("optimizer", "momentum", "weight_decay", "batch_size", "carry_over", "clip_order", "nonfinite")


class Face:
    """The widgets that the panel's owner writes: buttons, status, alert and the picture in words.

    Parameters
    ----------
    kit : Kit
        Makes the widgets.
    controls : Controls
        The controls to lay out.
    picture : Picture
        The picture to lay out.
    show : tuple of str or None
        Names of the controls to show, from `choose.choices`; None for all.
    beside : bool, default False
        Whether the controls stand beside the picture instead of above it, so that a projector shows both.

    Attributes
    ----------
    locked : str
        Why Play and Step are grey; empty if they are not.
    above_picture : ipywidgets.VBox
        What stands directly above the picture; empty at first.
    below_picture : ipywidgets.VBox
        What stands directly under the picture; empty at first.
    """

    def __init__(
        self,
        kit: Kit,
        controls: Controls,
        picture: Picture,
        show: tuple[str, ...] | None = None,
        beside: bool = False,
    ) -> None:
        self._kit, self._text = kit, kit.text
        self.locked = ""
        self.play = self._button("play")
        self.play.add_class("gradlab-play")
        self.step = self._button("step")
        self.reset = self._button("reset")
        self.new_seed = self._button("new_seed")
        self.check = self._button("check")
        self.pin, self.swap = self._button("pin"), self._hidden("swap")
        words = {"description": self._text("button.compare"), "tooltip": self._text("tip.compare")}
        self.compare = kit(widgets.ToggleButton, False, layout={"width": "auto"}, **words)
        self.try_it = self._hidden("try", knobs="")
        self.back = self._hidden("back", step=0)
        self.back.button_style = "warning"
        self._status, self._info, self._alert, self._words = (kit.html() for _ in range(4))
        self._style = kit.html(CSS)
        self.closer = CloserLook(kit)
        self.children = self._lay_out(controls, picture, show, beside)

    def _button(self, key: str) -> widgets.Button:
        return self._kit.button(f"button.{key}", f"tip.{key}", _SIZE)

    def _hidden(self, key: str, **values: Any) -> widgets.Button:
        """Return a button that comes and goes."""
        hidden = widgets.Layout(display="none", **_SIZE)
        return self._kit.button(f"button.{key}", f"tip.{key}", hidden, **values)

    def _lay_out(
        self, controls: Controls, picture: Picture, show: tuple[str, ...] | None, beside: bool
    ) -> list[widgets.Widget]:
        """Return the panel's rows from top to bottom; `show` names the controls wanted, None for all."""

        def wanted(name: str, *parts: widgets.Widget) -> tuple[widgets.Widget, ...]:
            return parts if show is None or name in show else ()

        row, box = self._kit.row, partial(self._kit, widgets.VBox)
        top = row(
            *wanted("preset", controls.preset),
            *(self.play, self.step, self.reset),
            *wanted("new_seed", self.new_seed),
            self.back,
        )
        looks = (
            *(("measure", controls.measure), ("theory", controls.theory), ("check", self.check)),
            *(("compare", button) for button in (self.pin, self.compare, self.swap)),
        )
        below = row(*(part for name, widget in looks for part in wanted(name, widget)))
        knobs, folded = self._all(controls) if show is None else self._few(controls, show)
        info = row(self._info, self.try_it)
        rows = [top, *knobs, *([below] if below.children else [])]
        self.above_picture, self.below_picture = box(), box()
        around = [self.above_picture, picture.image, self.below_picture]
        pictures = [self._status, self._alert, *around, info, self._words]
        if not beside:
            return [self._style, *rows, *pictures, *folded]
        column, main = box(rows[1:]), box(pictures)
        column.add_class("gradlab-column")
        main.add_class("gradlab-main")
        hall = self._kit(widgets.HBox, [column, main])
        hall.add_class("gradlab-hall")
        return [self._style, top, hall, *folded]

    def _all(self, controls: Controls) -> tuple[list[widgets.Widget], list[widgets.Widget]]:
        """Return the rows of the lesson's knobs, and the folded rest."""
        named, row = controls.by_name, self._kit.row
        rows = [
            row(*(named[name] for name in _LESSON)),
            row(*controls.of("accumulation")),
            row(*controls.of("clip")),
        ]
        pages = [
            row(*(named[name] for name in _NETWORK), controls.seed),
            row(*(named[name] for name in _TRAINING)),
            self.closer.page,
        ]
        titles = tuple(self._text(f"group.{name}") for name in ("network", "training", "closeup"))
        return list(rows), [self._kit(widgets.Accordion, pages, titles=titles, selected_index=None)]

    def _few(self, controls: Controls, show: tuple[str, ...]) -> tuple[list[widgets.Widget], list[widgets.Widget]]:
        """Return one row of the knobs asked for, in that order, the switches of rules below it."""
        plain = [controls.of(name)[0] for name in show if name in controls.by_name or name == "seed"]
        rules = [self._kit.row(*controls.of(name)) for name in show if name in controls.toggles]
        folded: list[widgets.Widget] = []
        if "closeup" in show:
            folded = [self._kit.folded("group.closeup", self.closer.page)]
        return [*([self._kit.row(*plain)] if plain else []), *rules], folded

    # ------------------------------------------------------------------ written by the owner of the run
    def show_buttons(self, playing: bool, back: int | None) -> None:
        """Name the first button Pause while training runs, Play otherwise; offer the way back to a step, if any."""
        key = "pause" if playing else "play"
        self.play.description = self._text(f"button.{key}")
        self.play.tooltip = self.locked or self._text(f"tip.{key}")
        self.step.tooltip = self.locked or self._text("tip.step")
        self.play.disabled = self.step.disabled = bool(self.locked)
        if back is not None:
            self.back.description = self._text("button.back", step=back)
        self.back.layout.display = "none" if back is None else ""

    def show_status(self, line: str) -> None:
        """Show the counters."""
        self._status.value = f'<div class="gradlab-status">{html.escape(line)}</div>'

    def show_alert(self, sentence: str, details: str = "") -> None:
        """Show in words what went wrong; nothing if the sentence is empty."""
        if not sentence:
            self._alert.value = ""
            return
        more = f"<details><summary>...</summary><pre>{html.escape(details)}</pre></details>" if details else ""
        self._alert.value = f'<div class="gradlab-alert" role="alert">{html.escape(sentence)}{more}</div>'

    def show_info(self, lines: Mapping[str, str]) -> None:
        """Show sentences about the run, each under its heading; empty ones are left out."""
        shown = [
            f"<div><b>{html.escape(head)}{self._text('info.colon')}</b>{html.escape(line)}</div>"
            for head, line in lines.items()
            if line
        ]
        self._info.value = f'<div class="gradlab-info">{"".join(shown)}</div>'

    def offer_try(self, knobs: str) -> None:
        """Offer the next experiment, or take the offer away if it is empty."""
        if knobs:
            self.try_it.description = self._text("button.try", knobs=knobs)
        self.try_it.layout.display = "" if knobs else "none"

    def show_words(self, words: str) -> None:
        """Say the picture in words, in a polite live region beside it; an Image widget has no alt text of its own."""
        said = html.escape(words, quote=True)
        self._words.value = (
            f'<div class="gradlab-hidden" role="img" aria-label="{said}"></div>'
            f'<div class="gradlab-hidden" aria-live="polite">{said}</div>'
        )
