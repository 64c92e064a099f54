"""One step in slow motion: the chain of its stages, and the gradient that grows along it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrow, Rectangle

from gradlab.config import Config
from gradlab.engine import Stage
from gradlab.history import Array
from gradlab.measures import MEASURES, Measure, sort_kinds
from gradlab.plots.closeup.axes import layer_axis
from gradlab.plots.figure import colour_axes
from gradlab.plots.fonts import drawable, set_font
from gradlab.plots.profile import MARKERS, ROWS
from gradlab.plots.view import Theme, View

CHAIN = ("forward", "backward", "accumulate", "clip", "update")
_DONE, _TO_COME = 0.16, 0.0  # how deep a box is filled


def draw_stages(stages: Sequence[Stage], config: Config, tiny: float, view: View) -> Figure:
    """Draw a step as far as it has come.

    Parameters
    ----------
    stages : sequence of Stage
        The stages so far, oldest first, at least one.
    config : Config
        The step's knobs.
    tiny : float
        ``History.tiny``: below it a norm is marked as underflow.
    view : View
        Theme and language.

    Returns
    -------
    matplotlib.figure.Figure
        The chain of stages with the present one marked; the gradients of the layers on the fixed decades; the
        norm of the growing sum on an axis from 0; the update of each layer.
    """
    view = replace(view, text=drawable(view.text))
    figure = Figure(figsize=(10, 4.6), dpi=200)
    figure.set_facecolor(view.theme.back)
    _chain(figure.add_axes((0.01, 0.83, 0.98, 0.165)), stages[-1], config, view)
    _gradients(figure.add_axes((0.065, 0.11, 0.4, 0.6)), stages, tiny, config.clip != "none", view)
    _growing(figure.add_axes((0.525, 0.11, 0.2, 0.6)), stages, config, view)
    _update(figure.add_axes((0.785, 0.11, 0.205, 0.6)), stages[-1], tiny, view)
    set_font(figure, view.text)
    return figure


# ------------------------------------------------------------------ the chain
def _chain(ax: Axes, now: Stage, config: Config, view: View) -> None:
    """Draw a box for each stage: done ones filled lightly, the present one fully and framed."""
    ax.set_axis_off()
    ax.set_xlim(0, 10)
    ax.set_ylim(0, 1)
    at = CHAIN.index(now.name) if now.name in CHAIN else len(CHAIN) - 1
    for i, name in enumerate(CHAIN):
        word = "carried" if name == "update" and config.carry_over != "none" else name
        word = "nonfinite" if i == at and now.name == "nonfinite" else word
        done = i < at or (name == "forward" and now.name == "backward")
        _box(ax, 2 * i + 0.05, view.text(f"stage.{word}"), i == at, done, view.theme)
        if i:
            arrow = {"width": 0.02, "head_width": 0.14, "head_length": 0.08, "length_includes_head": True}
            ax.add_patch(FancyArrow(2 * i - 0.18, 0.65, 0.2, 0, color=view.theme.ink, lw=0, **arrow))
    _micro_batches(ax, now, view)


def _box(ax: Axes, x: float, word: str, now: bool, done: bool, theme: Theme) -> None:
    alpha = 1.0 if now else _DONE if done else _TO_COME
    box = {"xy": (x, 0.38), "width": 1.75, "height": 0.54}
    ax.add_patch(Rectangle(**box, facecolor=theme.now, alpha=alpha, lw=0))
    frame = {"edgecolor": theme.ink if now else theme.first, "lw": 2.4 if now else 1.0}
    ax.add_patch(Rectangle(**box, fill=False, **frame, ls="-" if now or done else ":"))
    weight = "bold" if now else "normal"
    colour = theme.back if now else theme.ink
    ax.text(x + 0.875, 0.65, word, ha="center", va="center", fontsize=11, color=colour, weight=weight)


def _micro_batches(ax: Axes, now: Stage, view: View) -> None:
    """Draw a square for each micro-batch under the two stages that see them one by one."""
    count, theme = now.micro_batches, view.theme
    width = min(0.3, 2.55 / count)
    for i in range(count):
        open_ = now.name in ("forward", "backward") and i == now.micro_batch - 1
        colour = theme.now if open_ else theme.first
        filled = i < now.micro_batch
        look = {"facecolor": colour if filled else "none", "edgecolor": theme.back if filled else colour, "lw": 0.8}
        ax.add_patch(Rectangle((0.05 + i * width, 0.06), 0.85 * width, 0.18, **look))
    said = view.text("stage.micro", m=now.micro_batch, count=count)
    ax.text(0.15 + count * width, 0.14, said, va="center", fontsize=9, color=theme.ink)


# ------------------------------------------------------------------ the gradient
def _gradients(ax: Axes, stages: Sequence[Stage], tiny: float, clips: bool, view: View) -> None:
    """Draw each layer's gradient: of this micro-batch alone, of the sum before, and of the sum."""
    now, theme, measure = stages[-1], view.theme, MEASURES["grad_norm"]
    layer_axis(ax, len(now.grad_norm), measure, view, tuple(ROWS), 4)
    compared = {"backward": "backward", "clip": "accumulate"}.get(now.name)
    before = next((s.partial_norm for s in reversed(stages[:-1]) if s.name == compared), None)
    if now.name == "backward":
        own = {"color": theme.after, "marker": "s", "mfc": "none", "ms": 6, "lw": 0}
        _line(ax, now.grad_norm, measure, tiny, view.text("stage.own"), own)
    if before is not None:
        _line(ax, before, measure, tiny, view.text("stage.before"), {"color": theme.first, "lw": 1.6})
    if np.isfinite(now.partial_norm).any() or now.name == "nonfinite":
        style = {"color": theme.now, "marker": "o", "ms": 5, "lw": 1.8}
        word = "kind.after" if now.name in ("clip", "update") and clips else "stage.sum"
        _line(ax, now.partial_norm, measure, tiny, view.text(word), style)
        _odd(ax, now.partial_norm, tiny, measure, theme)
    ax.set_title(view.text("stage.gradient"))
    colour_axes(ax, theme)
    _small(ax)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="lower right", ncols=3, fontsize=8, frameon=False, labelcolor=theme.ink, handlelength=1.2)


def _line(ax: Axes, values: Array, measure: Measure, tiny: float, label: str, style: dict[str, Any]) -> None:
    kinds = sort_kinds(values, tiny)
    heights = np.where(kinds.plain | kinds.underflow, measure.position(values), np.nan)
    ax.plot(np.arange(1, len(values) + 1), heights, label=label, clip_on=False, **style)


def _odd(ax: Axes, values: Array, tiny: float, measure: Measure, theme: Theme) -> None:
    """Mark what is no ordinary number, as the profile does."""
    kinds = sort_kinds(values, tiny, np.where(np.isnan(values), 0.0, 1.0))
    for kind, marker in MARKERS.items():
        where = np.flatnonzero(getattr(kinds, kind))
        if len(where):
            heights = measure.position(values[where]) if kind == "underflow" else np.full(len(where), ROWS[kind])
            ax.plot(where + 1, heights, ls="none", marker=marker, ms=8, mew=2, color=theme.alarm, clip_on=False)


def _growing(ax: Axes, stages: Sequence[Stage], config: Config, view: View) -> None:
    """Draw the norm of the sum after each micro-batch, and after clipping, as bars from 0."""
    theme, count = view.theme, stages[-1].micro_batches
    sums = [(s.micro_batch, s.total_norm) for s in stages if s.name == "backward"]
    end, broad = count + max(1.0, 0.22 * count), 0.7 if count < 9 else 0.08 * count  # of the bar after clipping
    clips = config.clip != "none"
    bars = [*sums, *((end, s.total_norm) for s in stages if s.name == "clip" and clips)]
    bars = [(x, norm) for x, norm in bars if math.isfinite(norm)]
    top = max([norm for _, norm in bars], default=0.0)
    late = config.clip == "global_norm" and config.clip_order == "after"
    if late and config.clip_threshold < 3 * top:
        top = max(top, config.clip_threshold)
        ax.axhline(config.clip_threshold, color=theme.alarm, lw=1.4, ls="--")
        said = view.text("stage.threshold", threshold=f"{config.clip_threshold:g}")
        plate = {"facecolor": theme.back, "edgecolor": "none", "alpha": 0.85, "pad": 1}
        ax.text(0.5, config.clip_threshold, said, va="bottom", fontsize=8, color=theme.ink, bbox=plate, zorder=5)
    for x, norm in bars:
        colour, wide = (theme.after, broad) if x > count else (theme.now, 0.7)
        ax.add_patch(Rectangle((x - wide / 2, 0), wide, norm, facecolor=colour))
        if (x, norm) == bars[-1] or x == count:
            ax.text(x, norm, f"{norm:.3g}", ha="center", va="bottom", fontsize=8, color=theme.ink)
    ax.set_xlim(0.4, (end if clips else count) + 0.6 + broad / 4)
    ax.set_ylim(0, 1.18 * top or 1.0)
    ticks = sorted({1, max(1, count // 2), count})
    last = ([end], [view.text("stage.clipped")]) if clips else ([], [])
    ax.set_xticks([*ticks, *last[0]], [*map(str, ticks), *last[1]])
    ax.set_yticks([0, top] if top else [0], ["0", f"{top:.3g}"] if top else ["0"])
    ax.set_title(view.text("stage.growing"))
    colour_axes(ax, theme)
    _small(ax)


def _update(ax: Axes, now: Stage, tiny: float, view: View) -> None:
    """Draw the change of each layer over its weights, once there is one."""
    measure = MEASURES["update_ratio"]
    layer_axis(ax, len(now.grad_norm), measure, view, ("zero",), 4)
    if now.record is not None:
        values = now.record.update_ratio
        _line(ax, values, measure, tiny, "", {"color": view.theme.theory, "marker": "D", "ms": 4.5, "lw": 1.8})
        _odd(ax, values, tiny, measure, view.theme)
    else:
        said = view.text("stage.after")
        ax.text(0.5, 0.5, said, transform=ax.transAxes, ha="center", color=view.theme.first, fontsize=10)
    ax.set_title(view.text("measure.update_ratio"))
    colour_axes(ax, view.theme)
    _small(ax)


def _small(ax: Axes) -> None:
    ax.tick_params(labelsize=8)
    ax.title.set_fontsize(10)
    ax.xaxis.label.set_fontsize(9)
