"""The order in which samples are seen: shuffled epochs, cut into windows of micro-batches that never span two."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import torch
from torch import Generator, Tensor


class Epoch:
    """One shuffled pass over the data: the next `torch.randperm` of a seeded generator. It never changes.

    Parameters
    ----------
    n : int
        Samples in the data.
    number : int
        Passes before this one.
    generator : Tensor
        State of the generator before it draws this order.
    """

    def __init__(self, n: int, number: int, generator: Tensor) -> None:
        self.n, self.number, self._generator = n, number, generator

    @classmethod
    def first(cls, n: int, seed: int) -> Epoch:
        """Return the first pass."""
        return cls(n, 0, Generator().manual_seed(seed).get_state())

    @cached_property
    def _drawn(self) -> tuple[Tensor, Tensor]:
        generator = Generator()
        generator.set_state(self._generator)
        order = torch.randperm(self.n, generator=generator)
        return order, generator.get_state()

    @cached_property
    def order(self) -> Tensor:
        """Row numbers of the data, shape ``(n,)``."""
        return self._drawn[0]

    def next(self) -> Epoch:
        """Return the pass after this one."""
        return Epoch(self.n, self.number + 1, self._drawn[1])

    def folded(self) -> Epoch:
        """Return the same pass without its order, which is drawn again when it is asked for."""
        return Epoch(self.n, self.number, self._generator)


class Window(NamedTuple):
    """What one step sees: a stretch of an epoch, from row `start` of its order on, and what it is cut into.

    Attributes
    ----------
    epoch : Epoch
        The pass that it belongs to.
    start : int
        Samples of that pass before it.
    micro_batches : list of Tensor
        Row numbers of the data.
    weights : list of float
        What each micro-batch's gradient is multiplied by.
    """

    epoch: Epoch
    start: int
    micro_batches: list[Tensor]
    weights: list[float]


class NextWindow(NamedTuple):
    """What the next step will see.

    Attributes
    ----------
    micro_batches : list of Tensor
        Row numbers of the data, one tensor per micro-batch.
    weights : list of float
        What each micro-batch's gradient is multiplied by.
    seeds : list of int
        Seed of torch's global generator for each forward pass of a network that draws.
    """

    micro_batches: list[Tensor]
    weights: list[float]
    seeds: list[int]


def pass_seed(batch_seed: int, seen: int) -> int:
    """Return the seed of a forward pass that draws, after `seen` samples."""
    return (batch_seed + 0x9E3779B97F4A7C15 * (seen + 1)) % 2**63
