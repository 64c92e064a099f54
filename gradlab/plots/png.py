"""PNG bytes of a live picture: few colours, so that a frame is small and quick to send."""

from __future__ import annotations

import dataclasses
import io
from functools import lru_cache

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from gradlab.plots.view import Theme

_BITS = 5  # of each channel that tell colours apart
_RAMP = 10  # shades between the background and a colour: antialiased edges
_LEVEL = 5  # of compression; 6 takes half as long again for a tenth less


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


def encode(pixels: np.ndarray, theme: Theme) -> bytes:
    """Return RGBA pixels of shape (height, width, 4), uint8 and opaque, as a PNG of at most 256 colours."""
    nearest, colours = _palette(theme)
    words = np.ascontiguousarray(pixels).view("<u4")[..., 0]
    cell = ((words & 0xF8) << 7) | ((words >> 6) & 0x3E0) | ((words >> 19) & 0x1F)
    image = Image.fromarray(nearest[cell], "L")
    image.putpalette(colours)
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=_LEVEL)
    return out.getvalue()


def figure_png(figure: Figure, theme: Theme) -> bytes:
    """Return a whole figure as such a PNG."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return encode(np.asarray(canvas.buffer_rgba()), theme)
