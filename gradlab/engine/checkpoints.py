"""Where a run stood earlier: sparse checkpoints, and the log of the knobs that were moved. Neither ever changes."""

from __future__ import annotations

from gradlab.config import Config
from gradlab.engine.state import Snapshot

EVERY = 16  # steps between checkpoints near the present
_BUDGET = 64 * 2**20  # bytes
_MOST_MOVES = 4096


class Checkpoints:
    """Keeps snapshot 0, the newest, and of each power-of-two spacing the newest few: bounded in memory."""

    def __init__(self, *kept: Snapshot) -> None:
        self._kept = {snapshot.step: snapshot for snapshot in kept}

    def adding(self, snapshot: Snapshot) -> Checkpoints:
        """Return these and one more, without those that the schedule no longer keeps."""
        kept = {**self._kept, snapshot.step: snapshot}
        for newest in (4, 2, 1):
            keep = _schedule(sorted(kept), newest)
            kept = {step: s for step, s in kept.items() if step in keep}
            if sum(s.nbytes for s in kept.values()) <= _BUDGET:
                return Checkpoints(*kept.values())
        return Checkpoints(*(s for step, s in kept.items() if step in (0, snapshot.step)))

    def until(self, step: int) -> Checkpoints:
        """Return those that are not after `step`."""
        return Checkpoints(*(s for s in self._kept.values() if s.step <= step))

    def before(self, step: int) -> Snapshot:
        """Return the newest snapshot at or before `step`."""
        return self._kept[max(s for s in self._kept if s <= step)]

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


class KnobLog:
    """The moves of live knobs, oldest first; only the newest few thousand are kept.

    Parameters
    ----------
    moves : tuple of (step, Config)
        Which config is in force from which step on; the first from step 0.
    forgotten_until : int
        Moves before that step are no longer known.
    """

    def __init__(self, moves: tuple[tuple[int, Config], ...], forgotten_until: int = 0) -> None:
        self._moves, self.forgotten_until = moves, forgotten_until

    def adding(self, step: int, config: Config) -> KnobLog:
        """Return the log with `config` in force from `step` on.

        Of several moves before one step only the last counts, but that a change of carry-over, even one taken
        back at once, starts with nothing carried.
        """
        last_step, last = self._moves[-1]
        same = last_step == step and last.carry_over == config.carry_over
        moves = (*(self._moves[:-1] if same else self._moves), (step, config))
        if len(moves) > _MOST_MOVES:
            return KnobLog(moves[1:], moves[1][0])
        return KnobLog(moves, self.forgotten_until)

    def until(self, step: int) -> KnobLog:
        """Return the log without the moves after `step`."""
        return KnobLog(tuple(move for move in self._moves if move[0] <= step), self.forgotten_until)

    def between(self, first: int, last: int) -> dict[int, list[Config]]:
        """Return the configs put in force at the steps `first` to `last`, both included, oldest first."""
        found: dict[int, list[Config]] = {}
        for step, config in self._moves:
            if first <= step <= last:
                found.setdefault(step, []).append(config)
        return found
