"""The norm of every layer's mean gradient beside the spread of a micro-batch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from gradlab.history import Array
from gradlab.inspect import Noise
from gradlab.measures import MEASURES, sort_kinds
from gradlab.plots.closeup.axes import finish, layer_axis, legend
from gradlab.plots.profile import MARKERS, ROWS
from gradlab.plots.view import View

_MEASURE = MEASURES["grad_norm"]
_SMALLEST = float(np.nextafter(0.0, 1.0))  # underflow has no mark of its own here: these are float64 norms


def draw_noise(ax: Axes, noise: Noise, view: View) -> None:
    """Draw the norm of each layer's mean gradient beside the spread of a micro-batch and what is left of it.

    The axis is that of the gradient norm in the profile; zero, non-finite and no gradient have the same marks.
    """
    theme, k = view.theme, noise.micro_batches
    kinds = [sort_kinds(values, _SMALLEST, noise.has_gradient) for values in (noise.mean_norm, noise.spread)]
    rows = ("zero", "nonfinite", "missing") if kinds[0].missing.any() else ("zero", "nonfinite")
    layer_axis(ax, len(noise.layer_names), _MEASURE, view, rows, every=2)
    numbers = np.flatnonzero(kinds[0].plain & kinds[1].plain)
    mean, spread = (_MEASURE.position(values[numbers]) for values in (noise.mean_norm, noise.spread))
    ax.vlines(numbers + 1, mean, spread, color=theme.first, lw=1.2, zorder=2)
    for values, colour, marker, label in (
        (noise.mean_norm, theme.now, "o", view.text("closeup.mean", k=k)),
        (noise.spread, theme.after, "s", view.text("closeup.spread", size=noise.batch_size)),
        (noise.accumulated(k), theme.theory, "_", view.text("closeup.left", k=k)),
    ):
        _points(ax, values, noise.has_gradient, {"color": colour, "marker": marker, "label": label})
    for kind in ("zero", "nonfinite", "missing"):
        where = 1 + np.flatnonzero(getattr(kinds[0], kind) | getattr(kinds[1], kind))
        style: dict[str, Any] = {"marker": MARKERS[kind], "color": theme.alarm}
        ax.plot(where, np.full(len(where), ROWS[kind]), ls="none", ms=7, mew=2, clip_on=False, **style)
    finish(ax, view.text("closeup.noise"), _note(noise, view), view)
    legend(ax, view)


def _points(ax: Axes, values: Array, has_gradient: Array, style: dict[str, Any]) -> None:
    plain = sort_kinds(values, _SMALLEST, has_gradient).plain
    heights = np.where(plain, _MEASURE.position(values), np.nan)
    ax.plot(np.arange(1, len(values) + 1), heights, ls="none", ms=4.5, mfc="none", clip_on=False, zorder=3, **style)


def _note(noise: Noise, view: View) -> str:
    """Say how signal and noise compare over all parameters; nothing where they are not finite."""
    ratio, scale = noise.total_signal_to_noise, noise.noise_scale
    if noise.total_spread == 0:
        return view.text("closeup.note.none")
    if math.isnan(ratio):
        return ""
    shown = f"{ratio:.2g}"
    if not math.isfinite(scale):
        return view.text("closeup.note.drowned", ratio=shown)
    return view.text("closeup.note.scale", ratio=shown, scale=f"{scale:.0f}" if 9.5 < scale < 1e6 else f"{scale:.2g}")
