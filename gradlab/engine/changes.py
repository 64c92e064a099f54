"""Which config was in force when: what a replay follows."""

from __future__ import annotations

from gradlab.config import Config

_MOST = 4096


class Changes:
    """The moves of live knobs, oldest first; only the newest few thousand are kept.

    Parameters
    ----------
    config : Config
        In force from step 0.
    """

    def __init__(self, config: Config) -> None:
        self._moves: list[tuple[int, Config]] = [(0, config)]
        self.forgotten_until = 0

    def add(self, step: int, config: Config) -> None:
        """Note that `config` is in force from `step` on.

        Of several moves before one step only the last counts, but that a change of carry-over, even one taken
        back at once, starts with nothing carried.
        """
        last_step, last = self._moves[-1]
        if last_step == step and last.carry_over == config.carry_over:
            self._moves.pop()
        self._moves.append((step, config))
        if len(self._moves) > _MOST:
            self.forgotten_until = self._moves[1][0]
            del self._moves[0]

    def truncate(self, step: int) -> None:
        """Forget the moves after `step`."""
        self._moves = [move for move in self._moves if move[0] <= step]

    def between(self, first: int, last: int) -> dict[int, list[Config]]:
        """Return the moves at the steps `first` to `last`, both included, oldest first."""
        found: dict[int, list[Config]] = {}
        for step, config in self._moves:
            if first <= step <= last:
                found.setdefault(step, []).append(config)
        return found
