"""`ACCUMULATIONS`: how the gradients of a window's micro-batches become one.

Every rule is a weighted sum G = sum_m w_m g_m of the micro-batch gradients g_m, each the gradient of that
micro-batch's *mean* loss. An entry is ``(sizes) -> weights``: the sample counts n_1..n_M in, one weight per
micro-batch out.
"""

from __future__ import annotations

from collections.abc import Sequence

from gradlab.registry import Registry, items_of


def _are_weights(weights: object, sizes: Sequence[int]) -> bool:
    return [hasattr(weight, "__float__") for weight in items_of(weights) or []] == [True] * len(sizes)


ACCUMULATIONS = Registry(
    "accumulation", "sizes", gives="a list with a weight, a number, for each micro-batch", fits=_are_weights
)


@ACCUMULATIONS.register("none", "Off", single=True)
def none(sizes: Sequence[int]) -> list[float]:
    """One micro-batch per step: plain PyTorch."""
    return [1.0] * len(sizes)


@ACCUMULATIONS.register("mean", "Mean over samples")
def mean(sizes: Sequence[int]) -> list[float]:
    """Weights n_m / N: the full-batch gradient, for any split and any short tail."""
    return [n / sum(sizes) for n in sizes]


@ACCUMULATIONS.register("sum", "Sum (undivided)")
def sum_(sizes: Sequence[int]) -> list[float]:
    """Weights 1, the forgotten division: what repeated loss.backward() leaves in .grad."""
    return [1.0] * len(sizes)


@ACCUMULATIONS.register("naive_mean", "Mean over micro-batches")
def naive_mean(sizes: Sequence[int]) -> list[float]:
    """Weights 1 / M: right for even micro-batches, wrong for a short one."""
    return [1.0 / len(sizes)] * len(sizes)
