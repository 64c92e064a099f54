"""An image of a few large cells, enlarged by looking each pixel's cell up."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.backend_bases import RendererBase
from matplotlib.image import AxesImage
from matplotlib.transforms import Affine2D


class CellsImage(AxesImage):
    """RGBA cells, shape ``(rows, columns, 4)``, first row at the bottom, that fill their axes.

    matplotlib's own way to enlarge an image resamples colours as real numbers and costs as much as all the rest
    of a frame.
    """

    def __init__(self, ax: Any, **kwargs: Any) -> None:
        super().__init__(ax, origin="lower", interpolation="nearest", **kwargs)
        self.set_data(np.zeros((1, 1, 4)))
        self.set_clip_path(ax.patch)

    def make_image(
        self, renderer: RendererBase, magnification: float = 1.0, unsampled: bool = False
    ) -> tuple[np.ndarray, float, float, Affine2D]:
        """Return the pixels as uint8, where they start, and a transform that leaves them as they are."""
        box = self.axes.bbox
        left, bottom = round(box.x0), round(box.y0)
        wide, high = (max(1, round(side * magnification)) for side in (box.x1 - left, box.y1 - bottom))
        cells = np.asarray(self.get_array())
        if cells.dtype != np.uint8:
            cells = (cells * 255).round().astype(np.uint8)
        words = np.ascontiguousarray(cells).view(np.uint32)[..., 0]
        rows, columns = (
            ((np.arange(pixels) + 0.5) * count / pixels).astype(int)
            for pixels, count in zip((high, wide), words.shape, strict=True)
        )
        pixels = words[rows].take(columns, axis=1)
        return pixels.view(np.uint8).reshape(high, wide, 4), left, bottom, Affine2D()
