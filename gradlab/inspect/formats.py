"""What a narrow floating-point format would make of a gradient: entries that round to zero, lose digits, overflow.

Everything follows from three numbers of a format: its smallest subnormal, its smallest normal and its largest number.
An entry is zero in the format at half the smallest subnormal or less, and infinite from half a unit in the last place
above the largest number (E4M3 has no infinity: torch turns such an entry into the largest). A loss scale S multiplies
every entry by S, so it only slides the gradient along the format's range (Micikevicius et al. 2018).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from gradlab.engine import Trainer
from gradlab.history import Array
from gradlab.inspect.copied import Copied
from gradlab.inspect.histogram import accumulated

SCALES = tuple(2.0**k for k in range(-24, 65))
"""Loss scales that are tried: powers of two, which change no digit of an entry inside the range."""

_WORST_LOST = 0.01  # share of the worst layer's entries that may round to zero inside the window


@dataclass(frozen=True)
class Format:
    """The range of a floating-point format.

    Attributes
    ----------
    name : str
        As torch calls it.
    smallest : float
        Smallest subnormal number: at half of it or less an entry rounds to zero.
    normal : float
        Smallest number with all its digits.
    largest : float
        Largest finite number.
    bits : int
        Stored bits of the fraction.
    keeps_tie : bool
        Whether an entry exactly half a unit above `largest` still rounds down to it.
    """

    name: str
    smallest: float
    normal: float
    largest: float
    bits: int
    keeps_tie: bool = False

    @property
    def overflow(self) -> float:
        """From where an entry is no longer held: half a unit in the last place above `largest`."""
        unit = 2.0 ** (math.floor(math.log2(self.largest)) - self.bits)
        edge = self.largest + unit / 2
        return float(np.nextafter(edge, math.inf)) if self.keeps_tie else edge


FORMATS = {
    f.name: f
    for f in (
        Format("float16", 2.0**-24, 2.0**-14, 65504.0, 10),
        Format("bfloat16", 2.0**-133, 2.0**-126, 2.0**127 * (2 - 2.0**-7), 7),
        Format("float8_e5m2", 2.0**-16, 2.0**-14, 57344.0, 2),
        Format("float8_e4m3fn", 2.0**-9, 2.0**-6, 448.0, 3, keeps_tie=True),
    )
}
"""Formats by torch's name (IEEE 754 half precision; bfloat16; E5M2 and E4M3 of Micikevicius et al. 2022)."""


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
            raise ValueError(f"formats={name!r:.60}; expected names from {', '.join(FORMATS)}")
    if isinstance(scale, bool) or not isinstance(scale, int | float) or not 0 < scale < math.inf:
        raise ValueError(f"scale={scale!r:.60}; expected a finite number > 0")
    sizes = entry_sizes(trainer)
    lens = FormatLens({name: _shares(sizes, FORMATS[name], scale)[0] for name in formats})
    lens.scale, lens.layer_names = float(scale), trainer.layer_names
    lens.subnormal = {name: _shares(sizes, FORMATS[name], scale)[1] for name in formats}
    lens.overflow = {name: _shares(sizes, FORMATS[name], scale)[2] for name in formats}
    lens.best_scale = {name: best_scale(sizes, FORMATS[name]) for name in formats}
    lens.window = {name: scale_window(sizes, FORMATS[name]) for name in formats}
    return lens


def entry_sizes(trainer: Trainer) -> list[Array]:
    """Return the sizes of the next step's gradient entries, layer by layer, rising, zeros and nan left out."""
    copied = Copied(trainer)
    total = accumulated(copied, trainer)
    found = []
    for group in copied.groups:
        entries = [g.flatten().abs().double() for i in group if (g := total[i]) is not None]
        sizes = torch.cat(entries or [torch.zeros(0).double()])
        found.append(np.sort(sizes[sizes > 0].numpy()))
    return found


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
