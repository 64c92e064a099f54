"""How large the single entries of every layer's gradient are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gradlab.engine import Trainer
from gradlab.history import Array
from gradlab.inspect.copied import Copied, check_count

LOWEST, HIGHEST = -46.0, 40.0  # decades: float32 ends near 1e-45 and 1e38


@dataclass(frozen=True, eq=False)
class Histogram:
    """Entries of each layer's dL/dW by size, over decades that never change.

    Attributes
    ----------
    step : int
        The step whose gradient it is: the next one, not taken yet.
    layer_names : tuple of str
        From the input to the output.
    edges : array (bins + 1,)
        Edges of the bins, log10 of the entries' size, from -46 to 40. The first and the last bin are open:
        a float64 entry beyond them is counted there.
    counts : array (layers, bins)
        Entries of each layer in each bin.
    zeros, nonfinite : array (layers,)
        Entries that are exactly 0; entries that are inf or NaN.
    entries : array (layers,)
        All of them: ``counts.sum(1) + zeros + nonfinite``. 0 for a layer without a gradient.
    """

    step: int
    layer_names: tuple[str, ...]
    edges: Array
    counts: np.ndarray
    zeros: np.ndarray
    nonfinite: np.ndarray
    entries: np.ndarray

    def shares(self) -> Array:
        """Return `counts` as shares of each layer's entries, shape ``(layers, bins)``; nan without entries."""
        return self.counts / np.where(self.entries, self.entries, np.nan)[:, None]

    def __repr__(self) -> str:
        zeros, bad, total = (int(a.sum()) for a in (self.zeros, self.nonfinite, self.entries))
        return f"Histogram(step {self.step}: {total} entries, {zeros} exactly 0, {bad} inf or NaN)"


def gradient_histogram(trainer: Trainer, bins: int = 86) -> Histogram:
    """Sort the entries of the next step's gradient by size, layer by layer, without taking the step.

    The gradient is the accumulated one, before clipping and carry-over.

    Parameters
    ----------
    trainer : Trainer
        The run; it stays as it is.
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
    copied = Copied(trainer)
    total = accumulated(copied, trainer)
    edges = np.linspace(LOWEST, HIGHEST, bins + 1)
    inner = torch.from_numpy(10.0 ** edges[1:-1])
    rows = np.stack([_sort([total[i] for i in group], inner) for group in copied.groups])
    return Histogram(
        step=trainer.step_count,
        layer_names=trainer.layer_names,
        edges=edges,
        counts=rows[:, 2:],
        zeros=rows[:, 0],
        nonfinite=rows[:, 1],
        entries=rows.sum(1),
    )


def accumulated(copied: Copied, trainer: Trainer) -> list[Tensor | None]:
    """Return the gradient of the next step by each parameter, accumulated as the config says."""
    total: list[Tensor | None] = [None] * len(copied.params)
    window = trainer.next_window()
    for rows, weight, seed in zip(*window, strict=True):
        for i, found in enumerate(copied.gradients(rows, seed)):
            if found is not None:
                before = total[i]
                total[i] = weight * found if before is None else before.add_(found, alpha=weight)
    return total


def _sort(gradients: list[Tensor | None], inner: Tensor) -> np.ndarray:
    """Return the number of zeros, of entries that are not finite, and of those in each bin."""
    sizes = torch.cat([g.flatten().abs().double() for g in gradients if g is not None] or [torch.zeros(0).double()])
    finite = sizes.isfinite()
    plain = sizes[finite & (sizes > 0)]
    counts = torch.bincount(torch.bucketize(plain, inner, right=True), minlength=len(inner) + 1)
    nonfinite = len(sizes) - int(finite.sum())
    return np.array([len(sizes) - nonfinite - len(plain), nonfinite, *counts.tolist()], dtype=np.int64)
