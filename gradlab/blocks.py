"""The rows of a real network by name: layers, the modules they stand in, the blocks of those; a folded history."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np

from gradlab.history import PER_LAYER, SCALARS, Array, Divergence, History, StepRecord

_NUMBERED = re.compile(r"(layer )?\d*")  # a name that says no more than the number of the layer
_ADDED = ("grad_norm", "clipped_norm", "weight_norm")  # measures whose squares add up
_SHARES = ("saturated", "dead", "has_gradient", "zero_share", "subnormal_share", "overflow_share")


class Group(NamedTuple):
    """Layers that stand side by side in one module: their label, the index of the first, and that after the last."""

    label: str
    start: int
    stop: int


def groups_of(names: Sequence[str]) -> list[list[Group]]:
    """Return how layers can be labelled, the finest first; empty if their names are mere numbers.

    ``transformer.h.3.attn.c_attn`` stands for itself, in ``h.3.attn``, and in the block ``h.3``.
    """
    if all(_NUMBERED.fullmatch(name) for name in names):
        return []
    found = [_groups(names, level) for level in (lambda name: name, _module_of, _block_of)]
    return [level for i, level in enumerate(found) if i == 0 or len(level) < len(found[i - 1])]


def _groups(names: Sequence[str], key: Callable[[str], str]) -> list[Group]:
    runs = [[i for i, _ in run] for _, run in groupby(enumerate(names), lambda pair: key(pair[1]))]
    keys = [key(names[run[0]]) for run in runs]
    short = [_short(k) for k in keys]
    labels = [s if short.count(s) == 1 else k for s, k in zip(short, keys, strict=True)]
    return [Group(label, run[0], run[-1] + 1) for label, run in zip(labels, runs, strict=True)]


def _number_in(parts: list[str]) -> int | None:
    """Return where the first number stands in a name that is not the layer's own, or ends a part; None without."""
    own = parts[:-1]
    plain = next((i for i, part in enumerate(own) if part.isdigit()), None)
    return plain if plain is not None else next((i for i, part in enumerate(own) if part[-1:].isdigit()), None)


def _module_of(name: str) -> str:
    return name if _number_in(name.split(".")) is None else name.rpartition(".")[0]


def _block_of(name: str) -> str:
    parts = name.split(".")
    at = _number_in(parts)
    return name if at is None else ".".join(parts[: at + 1])


def _short(name: str) -> str:
    """Return a name from the module before its first number on."""
    parts = name.split(".")
    at = next((i for i, part in enumerate(parts) if part.isdigit()), len(parts))
    return ".".join(parts[max(0, at - 1) :])


class Blocks:
    """A history with one row for each block of layers, kept up with the one it is made of.

    The squares of norms add up; of the backward signal and the activations a block shows its first layer's, so that
    neighbours are alike; of shares the largest. What is not finite in one layer is so in its block.
    """

    def __init__(self, history: History) -> None:
        self._of, self._rewritten = history, -1
        self.update()

    def update(self) -> History:
        """Take in what is new, and return the folded history."""
        of = self._of
        if self._rewritten != of.rewritten:
            self._rewritten, names = of.rewritten, of.layer_names[: of.kinds.count("weight")]
            self._blocks = (groups_of(names) or [[Group(name, i, i + 1) for i, name in enumerate(names)]])[-1]
            labels = [block.label for block in self._blocks]
            self.folded = History(labels, of.tiny, of.chance_loss, time_names=of.time_names)
            self.folded.precision = of.precision
        for i in range(len(self.folded), len(of)):
            self.folded.append(self._fold(of[i]))
        for mark in of.marks[len(self.folded.marks) :]:
            self.folded.mark(mark)
        if (diverged := of.diverged) is not None and self.folded.diverged is None:
            self.folded.diverged = self._divergence(diverged)
        return self.folded

    def _divergence(self, found: Divergence) -> Divergence:
        if found.layer is None:
            return found
        number = next((i for i, b in enumerate(self._blocks, 1) if found.layer <= b.stop), len(self._blocks))
        return Divergence(found.step, number, found.tensor, found.value, self._blocks[number - 1].label)

    def _fold(self, record: StepRecord) -> StepRecord:
        starts = [block.start for block in self._blocks]
        end = self._blocks[-1].stop
        rows = {name: getattr(record, name)[:end] for name in PER_LAYER}
        there = rows["has_gradient"] > 0
        change = rows["update_ratio"] * rows["weight_norm"]
        folded: dict[str, Array] = {name: rows[name][starts] for name in PER_LAYER}
        folded |= {name: _added(rows[name], there | (name == "weight_norm"), starts) for name in _ADDED}
        folded |= {name: np.maximum.reduceat(rows[name], starts) for name in _SHARES}
        with np.errstate(invalid="ignore", divide="ignore"):
            folded["update_ratio"] = _added(change, there, starts) / folded["weight_norm"]
        for name in ("delta_norm", "activation_std"):
            odd = np.maximum.reduceat(~np.isfinite(rows[name]) & ~np.isnan(rows[name]), starts)
            folded[name] = np.where(odd, np.inf, rows[name][starts])
        scalars = {name: getattr(record, name) for name in SCALARS}
        return StepRecord.of(np.array([folded[name] for name in PER_LAYER]), **scalars, time_norm=record.time_norm)


def _added(values: Array, there: np.ndarray, starts: list[int]) -> Array:
    """Return the root of the sum of squares over each block, nan where no layer of it has a value."""
    found = np.hypot.reduceat(np.where(there, values, 0.0), starts)
    return np.where(np.maximum.reduceat(there, starts), found, np.nan)
