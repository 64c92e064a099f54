"""The entries of a gradient: how large they are, and what a narrow floating-point format would make of them.

A format is three numbers: its smallest subnormal, its smallest normal and its largest number. An entry is zero in
the format at half the smallest subnormal or less, and infinite from half a unit in the last place above the largest
number (E4M3 has no infinity: torch turns such an entry into the largest). A loss scale S multiplies every entry by S,
so it only slides the gradient along the format's range (Micikevicius et al. 2018).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gradlab.engine import Trainer
from gradlab.engine.check import check_count, check_number
from gradlab.engine.precision import FORMATS, Format
from gradlab.history import Array
from gradlab.inspect.copied import Batch, Copied, subject
from gradlab.registry import brief

LOWEST, HIGHEST = -46.0, 40.0  # decades: float32 ends near 1e-45 and 1e38


@dataclass(frozen=True, eq=False)
class Histogram:
    """Entries of each layer's dL/dW by size, over decades that never change."""

    step: int  # the step whose gradient it is: the next one, not taken yet
    layer_names: tuple[str, ...]  # from the input to the output
    # (bins + 1,): Edges of the bins, log10 of the entries' size, from -46 to 40. The first and the last bin are open:
    # a float64 entry beyond them is counted there
    edges: Array
    counts: np.ndarray  # (layers, bins): entries of each layer in each bin
    # (layers,): entries that are exactly 0; entries that are inf or NaN
    zeros: np.ndarray
    nonfinite: np.ndarray
    # (layers,): All of them: ``counts.sum(1) + zeros + nonfinite``. 0 for a layer without a gradient
    entries: np.ndarray

    def shares(self) -> Array:
        """Return `counts` as shares of each layer's entries, shape ``(layers, bins)``; nan without entries."""
        return self.counts / np.where(self.entries, self.entries, np.nan)[:, None]

    def __repr__(self) -> str:
        zeros, bad, total = (int(a.sum()) for a in (self.zeros, self.nonfinite, self.entries))
        return f"Histogram(step {self.step}: {total} entries, {zeros} exactly 0, {bad} inf or NaN)"


def gradient_histogram(
    trainer: Trainer | nn.Module, loss_fn: Any = None, batch: Any = None, *, bins: int = 86
) -> Histogram:
    """Sort the entries of the next step's gradient by size, layer by layer, without taking the step.

    The gradient is the accumulated one, before clipping and carry-over.

    Parameters
    ----------
    trainer : Trainer, or Module
        The run; or a network of your own with its loss and a batch. It stays as it is.
    loss_fn, batch
        With a network: ``loss_fn(output, y)``, the mean loss, and the tensors (X, y).
    bins : int, default 86
        Bins of equal width between 1e-46 and 1e40: 86 make one of every decade.

    Returns
    -------
    Histogram
        Frozen.

    Raises
    ------
    ValueError
        If `bins` is no whole number of at least 1.
    """
    check_count("bins", bins, 1)
    run = subject(trainer, loss_fn, batch)
    edges = np.linspace(LOWEST, HIGHEST, bins + 1)
    inner = torch.from_numpy(10.0 ** edges[1:-1])
    rows = np.stack([_sort(sizes, inner) for sizes in entry_sizes(run)])
    return Histogram(
        step=run.step_count,
        layer_names=run.layer_names,
        edges=edges,
        counts=rows[:, 2:],
        zeros=rows[:, 0],
        nonfinite=rows[:, 1],
        entries=rows.sum(1),
    )


def entry_sizes(run: Trainer | Batch) -> list[Tensor]:
    """Return the absolute values of the next step's gradient entries, accumulated: float64, flat, layer by layer."""
    copied, total = Copied(run), dict[int, Tensor]()
    for rows, weight, seed in zip(*run.next_window(), strict=True):
        for i, found in enumerate(copied.gradients(rows, seed)):
            if found is not None:
                total[i] = total[i].add_(found, alpha=weight) if i in total else weight * found
    layers = [[total[i].flatten().abs().double() for i in group if i in total] for group in copied.groups]
    return [torch.cat(sizes or [torch.zeros(0).double()]) for sizes in layers]


def _sort(sizes: Tensor, inner: Tensor) -> np.ndarray:
    """Return the number of zeros, of entries that are not finite, and of those in each bin."""
    finite = sizes.isfinite()
    plain = sizes[finite & (sizes > 0)]
    counts = torch.bincount(torch.bucketize(plain, inner, right=True), minlength=len(inner) + 1)
    nonfinite = len(sizes) - int(finite.sum())
    return np.array([len(sizes) - nonfinite - len(plain), nonfinite, *counts.tolist()], dtype=np.int64)


SCALES = tuple(2.0**k for k in range(-24, 65))
"""Loss scales that are tried: powers of two, which change no digit of an entry inside the range."""

_WORST_LOST = 0.01  # share of the worst layer's entries that may round to zero inside the window


class FormatLens(dict[str, Array]):
    """Format name -> share of each layer's entries that would become exactly 0, shape ``(layers,)``.

    Entries that are 0 already do not count; a layer without a gradient is nan.

    Attributes
    ----------
    scale : float
        The loss scale looked at.
    subnormal, overflow : dict of str to array (layers,)
        Shares that would keep fewer digits; that lie beyond the largest number.
    best_scale : dict of str to float
        The power of two at which fewest entries round to zero while none overflows; the middle one of several.
    window : dict of str to (float, float) or None
        Scales from the lowest at which at most 1 % of any layer rounds to zero to the highest at which nothing
        overflows; None where there is no such scale: one scale does not serve all layers.
    layer_names : tuple of str
        From the input to the output.
    """

    scale: float
    subnormal: dict[str, Array]
    overflow: dict[str, Array]
    best_scale: dict[str, float]
    window: dict[str, tuple[float, float] | None]
    layer_names: tuple[str, ...]

    def __repr__(self) -> str:
        worst = ", ".join(f"{name} {np.nanmax(share, initial=0.0):.1%}" for name, share in self.items())
        return f"FormatLens(scale={self.scale:g}; zero in the worst layer: {worst})"


def format_lens(
    trainer: Trainer, formats: Sequence[str] = ("float16", "bfloat16", "float8_e5m2"), scale: float = 1.0
) -> FormatLens:
    """Say what narrow formats would make of the next step's gradient, without taking the step.

    Parameters
    ----------
    trainer : Trainer
        The run, in float32 or float64; it stays as it is.
    formats : sequence of str
        Names from `FORMATS`.
    scale : float, default 1.0
        Loss scale: every entry is multiplied by it before it is rounded.

    Returns
    -------
    FormatLens
        A dict of shares per layer, with the other shares and the scales that would do as attributes.

    Raises
    ------
    ValueError
        If a format is unknown or `scale` is not a finite number above 0.
    """
    for name in formats:
        if name not in FORMATS:
            raise ValueError(f"formats={brief(name)}; expected names from {', '.join(FORMATS)}")
    check_number("scale", scale, 0)
    sizes = [np.sort(found[found > 0].numpy()) for found in entry_sizes(trainer)]  # without zeros and nan
    shares = {name: _shares(sizes, FORMATS[name], scale) for name in formats}
    zero, *others = ({name: found[i] for name, found in shares.items()} for i in range(3))
    lens = FormatLens(zero)
    lens.scale, lens.layer_names = float(scale), trainer.layer_names
    lens.subnormal, lens.overflow = others
    lens.best_scale = {name: best_scale(sizes, FORMATS[name]) for name in formats}
    lens.window = {name: scale_window(sizes, FORMATS[name]) for name in formats}
    return lens


def _shares(sizes: Sequence[Array], form: Format, scale: float) -> tuple[Array, Array, Array]:
    """Return the shares that become zero, subnormal and not finite, each ``(layers,)``; nan without entries."""
    rows = np.full((3, len(sizes)), np.nan)
    for layer, entries in enumerate(sizes):
        if len(entries):
            scaled = entries * scale
            zero = np.searchsorted(scaled, form.smallest / 2, side="right")  # a tie goes to the even number, 0
            normal = np.searchsorted(scaled, form.normal - form.smallest / 2)
            finite = np.searchsorted(scaled, form.overflow)
            rows[:, layer] = np.array([zero, normal - zero, len(entries) - finite]) / len(entries)
    return rows[0], rows[1], rows[2]


def best_scale(sizes: Sequence[Array], form: Format) -> float:
    """Return the power of two at which fewest entries become zero while none overflows; the middle of several."""
    everything = np.sort(np.concatenate([*sizes, np.zeros(0)]))
    if not len(everything) or not np.isfinite(everything[-1]):
        return 1.0
    allowed = [s for s in SCALES if everything[-1] * s < form.overflow] or [SCALES[0]]
    lost = [int(np.searchsorted(everything * s, form.smallest / 2, side="right")) for s in allowed]
    least = [s for s, n in zip(allowed, lost, strict=True) if n == min(lost)]
    return least[len(least) // 2]


def scale_window(sizes: Sequence[Array], form: Format) -> tuple[float, float] | None:
    """Return the lowest and the highest power of two that keep every layer's entries in a format."""
    kept = []
    for scale in SCALES:
        zero, _, overflow = _shares(sizes, form, scale)
        if np.nanmax(zero, initial=0.0) <= _WORST_LOST and not np.nansum(overflow):
            kept.append(scale)
    return (kept[0], kept[-1]) if kept else None
