"""A Figure for notebooks."""

from __future__ import annotations

import io

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


class NotebookFigure(Figure):
    """A Figure that a notebook shows as a picture, whether or not pyplot's inline backend was switched on."""

    def _repr_png_(self) -> bytes:
        out = io.BytesIO()
        FigureCanvasAgg(self).print_png(out)
        return out.getvalue()

    def __repr__(self) -> str:
        return super().__repr__().replace(type(self).__name__, "Figure")
