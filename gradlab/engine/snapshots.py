"""Sparse snapshots of a run: many near the present, few far back, bounded in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from gradlab.config import Config
from gradlab.engine.stream import StreamState
from gradlab.rules.carry_over import State

EVERY = 16  # steps between snapshots near the present
_BUDGET = 64 * 2**20  # bytes


@dataclass(frozen=True)
class Snapshot:
    """Everything mutable of a run after `step` steps; tensors are copies."""

    step: int
    weights: Tensor
    buffers: list[Tensor | None]
    optimizer: dict[str, Any]
    carry: State
    stream: StreamState
    counters: tuple[int, int, int, float]
    config: Config

    @property
    def nbytes(self) -> int:
        """Size of the tensors held."""
        held = [self.weights, *self.buffers, *(t for ts in self.carry.values() for t in ts)]
        for state in self.optimizer.get("state", {}).values():
            held += [t for t in state.values() if isinstance(t, Tensor)]
        return sum(t.numel() * t.element_size() for t in held if t is not None)


class Snapshots:
    """Keeps snapshot 0, the newest, and of each power-of-two spacing the newest few."""

    def __init__(self, first: Snapshot) -> None:
        self._kept = {first.step: first}

    def add(self, snapshot: Snapshot) -> None:
        """Add a snapshot and forget those that the schedule no longer keeps."""
        self._kept[snapshot.step] = snapshot
        for newest in (4, 2, 1):
            keep = _schedule(sorted(self._kept), newest)
            self._kept = {step: s for step, s in self._kept.items() if step in keep}
            if sum(s.nbytes for s in self._kept.values()) <= _BUDGET:
                return
        self._kept = {step: s for step, s in self._kept.items() if step in (0, snapshot.step)}

    def before(self, step: int) -> Snapshot:
        """Return the newest snapshot at or before `step`."""
        return self._kept[max(s for s in self._kept if s <= step)]

    def truncate(self, step: int) -> None:
        """Forget the snapshots after `step`."""
        self._kept = {s: snapshot for s, snapshot in self._kept.items() if s <= step}

    @property
    def steps(self) -> list[int]:
        """The steps at which there is a snapshot."""
        return sorted(self._kept)


def _schedule(steps: list[int], newest: int) -> set[int]:
    keep = {steps[0], steps[-1]}
    spacing = EVERY
    while spacing <= max(steps[-1], EVERY):
        keep.update([s for s in steps if s % spacing == 0][-newest:])
        spacing *= 2
    return keep
