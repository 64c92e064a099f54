"""A line of text whose numbers change with every frame: each character is rendered once, then only copied."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.colors import to_rgb
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text

_MOST = 500  # characters kept


class _Stamp(NamedTuple):
    """One character: its coverage from 0 to 255, shape (2.5 em, 3 em), how far the next one is, and its ascent."""

    mask: np.ndarray
    advance: float
    ascent: float


class Note(Text):
    """Text with its right end and its top at (x, y), drawn on a live canvas by copying characters.

    A text of thirty characters costs more to lay out and to render than a curve of a thousand points.
    """

    def __init__(self, x: float, y: float, **kwargs: Any) -> None:
        super().__init__(x, y, "", ha="right", va="top", **kwargs)
        self._stamps: dict[str, _Stamp] = {}
        self._look: tuple[object, ...] = ()

    def draw(self, renderer: RendererBase) -> None:
        """Draw on the canvas; anything but a plain Agg canvas gets matplotlib's own text."""
        if not isinstance(renderer, RendererAgg) or not self.get_visible():
            super().draw(renderer)
            return
        if not self.get_text():
            return
        mask, ascent = self._mask(renderer)
        em = mask.shape[0] * 2 // 5
        right, top = self.get_transform().transform(self.get_position())
        pixels = np.empty((*mask.shape, 4), np.uint8)
        pixels[..., :3] = np.multiply(to_rgb(self.get_color()), 255).round()
        pixels[..., 3] = mask
        bottom = round(top - ascent) - (mask.shape[0] - _baseline(em))
        context = renderer.new_gc()
        renderer.draw_image(context, round(right) - mask.shape[1] + em, bottom, pixels[::-1])
        context.restore()
        self.stale = False

    def _mask(self, renderer: RendererAgg) -> tuple[np.ndarray, float]:
        """Return the coverage of the whole text, with one em of room before and after it, and its ascent."""
        font = self.get_fontproperties()
        look = (renderer.dpi, font.get_size_in_points(), *font.get_family())
        if look != self._look or len(self._stamps) > _MOST:
            self._stamps, self._look = {}, look
        stamps = [self._stamp(character, renderer) for character in self.get_text()]
        starts = np.cumsum([0.0, *(stamp.advance for stamp in stamps)])
        em = stamps[0].mask.shape[1] // 3
        mask = np.zeros((len(stamps[0].mask), round(starts[-1]) + 2 * em), np.uint8)
        for start, stamp in zip(np.rint(starts[:-1]).astype(int), stamps, strict=True):
            room = mask[:, start : start + 3 * em]
            np.maximum(room, stamp.mask[:, : room.shape[1]], out=room)
        return mask, max(stamp.ascent for stamp in stamps)

    def _stamp(self, character: str, renderer: RendererAgg) -> _Stamp:
        if character not in self._stamps:
            self._stamps[character] = _render(character, self.get_fontproperties(), renderer.dpi)
        return self._stamps[character]


def add_note(ax: Axes, x: float, y: float) -> Note:
    """Add a note at (x, y) of an axis, from 0 to 1, to be drawn with every frame."""
    note = Note(x, y, transform=ax.transAxes, fontsize=9, animated=True)
    ax.add_artist(note)
    return note


def _baseline(em: int) -> int:
    """Return how far below a stamp's top its baseline lies."""
    return round(1.6 * em)


def _render(character: str, font: FontProperties, dpi: float) -> _Stamp:
    em = 2 * round(font.get_size_in_points() * dpi / 144)  # even, so that 2.5 em are whole pixels
    scratch = RendererAgg(3 * em, 5 * em // 2, dpi)
    context = scratch.new_gc()
    context.set_foreground("black")
    scratch.draw_text(context, em, _baseline(em), character, font, 0)
    (wide, high, descent), (bare, _, _) = (
        scratch.get_text_width_height_descent(text, font, False) for text in (f"l{character}p", "lp")
    )
    return _Stamp(np.asarray(scratch.buffer_rgba())[..., 3].copy(), wide - bare, high - descent)
