"""The order in which samples are seen: windows of micro-batches that never span two epochs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Generator, Tensor


@dataclass(frozen=True)
class StreamState:
    """Where a stream stands, enough to continue it bit for bit."""

    generator: Tensor
    epoch: int
    position: int


class Window(NamedTuple):
    """The micro-batches of one step, as index tensors, and the epoch they belong to."""

    micro_batches: list[Tensor]
    epoch: int


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


class Stream:
    """Shuffled passes over ``n`` samples; one `torch.randperm` of a seeded generator per epoch."""

    def __init__(self, n: int, seed: int) -> None:
        self.n = n
        self._generator = Generator().manual_seed(seed)
        self._start_epoch(0)

    def _start_epoch(self, epoch: int) -> None:
        self.epoch, self.position = epoch, 0
        self._before = self._generator.get_state()
        self._order = torch.randperm(self.n, generator=self._generator)

    @property
    def remaining(self) -> int:
        """Samples left in this epoch."""
        return self.n - self.position

    def peek(self, batch_size: int, count: int) -> Window:
        """Return the next window: at most `count` micro-batches of at most `batch_size` samples."""
        if self.position >= self.n:
            self._start_epoch(self.epoch + 1)
        rows = self._order[self.position : self.position + batch_size * count]
        return Window([rows] if count == 1 else list(rows.split(batch_size)), self.epoch)

    def advance(self, samples: int) -> None:
        """Step past a window of that many samples."""
        if self.position >= self.n:
            self._start_epoch(self.epoch + 1)
        self.position += samples

    def state(self) -> StreamState:
        """Return the state, to be given to `restore`."""
        return StreamState(self._before, self.epoch, self.position)

    def restore(self, state: StreamState) -> None:
        """Go back to a state."""
        self._generator.set_state(state.generator)
        self._start_epoch(state.epoch)
        self.position = state.position
