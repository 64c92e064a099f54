"""PNG bytes of a live picture: few colours, so that a frame is small and quick to send."""

from __future__ import annotations

import dataclasses
import struct
import zlib
from functools import lru_cache

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from gradlab.plots.view import Theme

_BITS = 5  # of each channel that tell colours apart
_RAMP = 10  # shades between the background and a colour: antialiased edges
_UP, _PALETTE = 2, 3  # the PNG specification's numbers of a row filter and of a colour type


@lru_cache(maxsize=4)
def _palette(theme: Theme) -> tuple[np.ndarray, bytes]:
    """Return the index of the nearest of at most 256 colours for each RGB of 5 bits a channel, and the colours.

    The colours are those of the pictures with their blends into the background, the heat map's, and a coarse
    cube for plots that other people register.
    """
    back = np.array(to_rgb(theme.back))
    inks = [colour for name, colour in dataclasses.asdict(theme).items() if name != "back"]
    shares = np.linspace(1, 0, _RAMP, endpoint=False)[:, None]
    ramps = [back + (np.array(to_rgb(ink)) - back) * shares for ink in inks]
    cube = np.stack(np.meshgrid(*[np.linspace(0, 1, 4)] * 3), -1).reshape(-1, 3)
    colours = np.concatenate([back[None], *ramps, colormaps["viridis"](np.linspace(0, 1, 96))[:, :3], cube])[:256]
    levels = np.arange(2**_BITS) / (2**_BITS - 1)  # so that white stays white
    cells = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(-1, 3)
    distance = (colours**2).sum(1) - 2 * cells @ colours.T  # less |cell|^2, the same for every colour
    return distance.argmin(1).astype(np.uint8), (255 * colours).round().astype(np.uint8).tobytes()


class Encoder:
    """Encodes frames of one picture; only pixels that changed since the last are looked up in the palette."""

    def __init__(self) -> None:
        self._theme: Theme | None = None
        self._words = self._index = np.zeros((0, 0))

    def encode(self, pixels: np.ndarray, theme: Theme) -> bytes:
        """Return RGBA pixels of shape (height, width, 4), uint8 and opaque, as a PNG of at most 256 colours."""
        nearest, colours = _palette(theme)
        words = np.ascontiguousarray(pixels).view("<u4")[..., 0]
        if theme != self._theme or words.shape != self._words.shape:
            self._theme, self._words = theme, words.copy()
            self._index = nearest[_cell(words)]
        else:
            changed = np.flatnonzero(words != self._words)
            moved = words.ravel()[changed]
            self._index.ravel()[changed] = nearest[_cell(moved)]
            self._words.ravel()[changed] = moved
        return _png(self._index, colours)


def _cell(words: np.ndarray) -> np.ndarray:
    """Return the number of the palette's cell, red above green above blue, of RGBA in one little-endian word."""
    return ((words & 0xF8) << 7) | ((words >> 6) & 0x3E0) | ((words >> 19) & 0x1F)


def _png(index: np.ndarray, colours: bytes) -> bytes:
    """Write an image of palette entries.

    Each row is stored as its difference to the one above, which leaves little but runs of zeros: then run-length
    coding packs as well as a search for patterns, in a third of the time.
    """
    height, width = index.shape
    rows = np.empty((height, width + 1), np.uint8)
    rows[:, 0] = _UP
    rows[0, 1:] = index[0]
    np.subtract(index[1:], index[:-1], out=rows[1:, 1:])
    packer = zlib.compressobj(1, zlib.DEFLATED, 15, 9, zlib.Z_RLE)
    header = struct.pack(">IIBBBBB", width, height, 8, _PALETTE, 0, 0, 0)
    data = packer.compress(rows.data) + packer.flush()
    chunks = [(b"IHDR", header), (b"PLTE", colours), (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def figure_png(figure: Figure, theme: Theme) -> bytes:
    """Return a whole figure as such a PNG."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Encoder().encode(np.asarray(canvas.buffer_rgba()), theme)
