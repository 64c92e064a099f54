"""The panel's face: buttons, status, pictures and controls laid out; it knows no training."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

import ipywidgets as widgets

from gradlab.panel.closer import CloserLook
from gradlab.panel.controls import Controls
from gradlab.panel.picture import Picture
from gradlab.panel.style import CSS
from gradlab.strings import Text

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
    text : Text
        Language.
    controls : Controls
        The controls to lay out.
    picture : Picture
        The picture to lay out.
    """

    def __init__(self, text: Text, controls: Controls, picture: Picture) -> None:
        self._text = text
        self.play = self._button("play")
        self.play.add_class("gradlab-play")
        self.step = self._button("step")
        self.reset = self._button("reset")
        self.new_seed = self._button("new_seed")
        self.check = self._button("check")
        self.try_it = self._button("try", knobs="")
        self.try_it.layout.display = "none"
        self.back = self._button("back", step=0)
        self.back.button_style = "warning"
        self.back.layout.display = "none"
        self._status = widgets.HTML()
        self._info = widgets.HTML()
        self._alert = widgets.HTML()
        self._words = widgets.HTML()
        self._style = widgets.HTML(CSS)
        self.closer = CloserLook(text)
        self.below_picture = widgets.VBox()
        self.children = self._lay_out(controls, picture)

    def _button(self, key: str, **values: Any) -> widgets.Button:
        button = widgets.Button(description=self._text(f"button.{key}", **values), tooltip=self._text(f"tip.{key}"))
        button.layout.width = "auto"
        button.layout.min_width = "84px"
        return button

    def _lay_out(self, controls: Controls, picture: Picture) -> list[widgets.Widget]:
        def row(*children: widgets.Widget) -> widgets.HBox:
            box = widgets.HBox(children)
            box.add_class("gradlab-row")
            return box

        named = controls.by_name
        accumulation = (controls.toggles["accumulation"], controls.rules["accumulation"], named["accumulation_steps"])
        clipping = (controls.toggles["clip"], controls.rules["clip"], named["clip_threshold"])
        folded = widgets.Accordion(
            [
                row(*(named[name] for name in _NETWORK), controls.seed),
                row(*(named[name] for name in _TRAINING)),
                self.closer.page,
            ],
            titles=tuple(self._text(f"group.{name}") for name in ("network", "training", "closeup")),
            selected_index=None,
        )
        self._boxes = [
            row(controls.preset, self.play, self.step, self.reset, self.new_seed, self.back),
            row(*(named[name] for name in _LESSON)),
            row(*accumulation),
            row(*clipping),
            row(controls.measure, controls.theory, self.check),
            folded,
            row(self._info, self.try_it),
        ]
        top, lesson, accumulate, clip, measure, folded_box, info = self._boxes
        return [
            self._style,
            top,
            lesson,
            accumulate,
            clip,
            measure,
            self._status,
            self._alert,
            picture.image,
            self.below_picture,
            info,
            self._words,
            folded_box,
        ]

    # ------------------------------------------------------------------ written by the owner of the run
    def show_buttons(self, playing: bool, back: int | None) -> None:
        """Name the first button Pause while training runs, Play otherwise; offer the way back to a step, if any."""
        key = "pause" if playing else "play"
        self.play.description, self.play.tooltip = self._text(f"button.{key}"), self._text(f"tip.{key}")
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
            f"<div><b>{html.escape(head)}:</b> {html.escape(line)}</div>" for head, line in lines.items() if line
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

    def close(self) -> None:
        """Close the widgets."""
        buttons = (self.play, self.step, self.reset, self.new_seed, self.back, self.check, self.try_it)
        said = (self._status, self._info, self._alert, self._words, self._style)
        self.closer.close()
        for widget in (*buttons, *said, self.below_picture, *self._boxes):
            widget.close()
