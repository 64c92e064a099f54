"""What gradients add up to: `ACCUMULATIONS` within a step, `CARRY_OVERS` across steps, and `CumulativeGradient`.

How the micro-batches of a window become one gradient is a weighted sum G = sum_m w_m g_m, g_m the gradient of a
micro-batch's *mean* loss. An accumulation is ``(sizes) -> weights``: the sample counts n_1..n_M in, one weight per
micro-batch out.

What crosses from one step to the next is a carry-over, ``(gradients, state) -> bool``: it changes the list of
gradient tensors in place, keeps what it needs in `state` (a dict of lists of tensors, empty at first), and returns
whether the optimizer shall update.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gradlab.registry import Registry, brief, items_of

State = dict[str, list[Tensor]]


# ---------------------------------------------------------------------- within a step
def _are_weights(weights: object, sizes: Sequence[int]) -> bool:
    return [hasattr(weight, "__float__") for weight in items_of(weights) or []] == [True] * len(sizes)


ACCUMULATIONS = Registry(
    "accumulation", "sizes", gives="a list with a weight, a number, for each micro-batch", fits=_are_weights
)


@ACCUMULATIONS.register("none", "Off", single=True)
def no_accumulation(sizes: Sequence[int]) -> list[float]:
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


# ---------------------------------------------------------------------- across steps
CARRY_OVERS = Registry("carry_over", "gradients, state")


@CARRY_OVERS.register("none", "Off")
def no_carry_over(gradients: list[Tensor], state: State) -> bool:
    """Each step applies its own gradient."""
    return True


@CARRY_OVERS.register("running_sum", "Running sum, never zeroed")
def running_sum(gradients: list[Tensor], state: State) -> bool:
    """Apply b_t = b_{t-1} + G_t: heavy-ball momentum at beta = 1, which never settles (Polyak 1964)."""
    if "total" in state:
        for total, gradient in zip(state["total"], gradients, strict=True):
            gradient.copy_(total.add_(gradient))
    else:
        state["total"] = [g.clone() for g in gradients]
    return True


@CARRY_OVERS.register("delayed", "Previous step's gradient")
def delayed(gradients: list[Tensor], state: State) -> bool:
    """Apply G_{t-1} at step t, nothing at step 0: a delay lowers the largest stable learning rate."""
    previous = state.get("previous")
    state["previous"] = [g.clone() for g in gradients]
    if previous is None:
        return False
    for gradient, earlier in zip(gradients, previous, strict=True):
        gradient.copy_(earlier)
    return True


@CARRY_OVERS.register("scalar_sum", "Sum of all entries")
def scalar_sum(gradients: list[Tensor], state: State) -> bool:
    """Replace every entry of a tensor's gradient by the sum of its entries, as the article's code does."""
    for gradient in gradients:
        gradient.fill_(gradient.sum())
    return True


class CumulativeGradient(nn.Module):
    """The layer of the article: forward it changes nothing, backward it passes on all gradients so far.

    Parameters
    ----------
    keep_dim : bool, default True
        True passes on the running total itself, entry by entry; False the sum of the total's entries,
        broadcast to its shape.

    Notes
    -----
    The running total is the buffer ``total`` (None before the first backward pass); it is part of
    ``state_dict``. It has the shape of the layer's input, batch dimension included, so every batch must have
    the same shape, or `reset` must be called between.
    """

    total: Tensor | None

    def __init__(self, keep_dim: bool = True) -> None:
        super().__init__()
        if not isinstance(keep_dim, bool):
            raise ValueError(f"keep_dim={brief(keep_dim)}; expected True or False")
        self.keep_dim = keep_dim
        self.register_buffer("total", None)

    def forward(self, x: Tensor) -> Tensor:
        """Return `x`, of any shape, unchanged."""
        passed = x.view_as(x)
        if passed.requires_grad:
            passed.register_hook(self.accumulate)
        return passed

    def accumulate(self, gradient: Tensor) -> Tensor:
        """Add a gradient to the total and return what the layer passes on.

        Raises
        ------
        ValueError
            If the gradient's shape differs from the total's.
        """
        if self.total is not None and self.total.shape != gradient.shape:
            raise ValueError(
                f"CumulativeGradient: gradient of shape {tuple(gradient.shape)}; expected "
                f"{tuple(self.total.shape)}, the shape of the running total (equal batches, or reset())"
            )
        self.total = gradient.detach().clone() if self.total is None else self.total + gradient.detach()
        return self.total.clone() if self.keep_dim else self.total.sum().expand_as(gradient).clone()

    def reset(self) -> None:
        """Forget the gradients seen."""
        self.total = None

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any, **kwargs: Any) -> None:
        saved = state_dict.get(f"{prefix}total")
        self.total = None if saved is None else torch.empty_like(saved)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def extra_repr(self) -> str:
        """Show `keep_dim` in the module's repr."""
        return f"keep_dim={self.keep_dim}"
