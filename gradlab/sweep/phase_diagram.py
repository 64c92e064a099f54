"""`phase_diagram`: growth per layer at init over gain and depth, coarse first, then finer."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch

from gradlab.config import Config
from gradlab.network import INITS
from gradlab.rules.optimizers import OPTIMIZERS
from gradlab.sweep.networks import Sweep

_WEIGHT_STD = (0.5, 4.0)  # times 1 / sqrt(fan_in): from deep in the vanishing to deep in the exploding phase
_GAINS, _DEPTHS, _LEVELS = 5, 4, 4
_SHALLOWEST, _DEEPEST = 2, 32
_ENTRIES = 4096  # random weights that make a standard deviation good to about 1 %


def phase_diagram(
    config: Config, budget_s: float = 5.0, *, seeds: int = 2, data: Any = None, levels: int = _LEVELS
) -> Iterator[Sweep]:
    """Yield sweeps of growth per layer at init over gain and depth around a config, each as it fills up.

    A sweep is yielded whenever some of its networks are finished; then comes one with about twice as many
    values on either axis, which takes over what is known, for as long as the time allows.

    Parameters
    ----------
    config : Config
        The network at hand; its rules of training do not matter, as nothing is trained.
    budget_s : float, default 5.0
        Seconds after which no finer grid is begun; one that proves slower than expected is stopped at twice that.
    seeds : int, default 2
        Networks per cell.
    data : pair of tensors, optional
        Own data.
    levels : int, default 4
        Grids at most, the coarse one included.
    """
    config = config.replace(accumulation="none", carry_over="none", clip="none", optimizer="sgd")
    gains, depths = _coarse_gains(config), _coarse_depths(config)
    # torch loads its compiler with the first optimizer: seconds that are not ours
    OPTIMIZERS["sgd"]([torch.zeros(1, requires_grad=True)], 0.0, 0.0, 0.0)
    began, coarser = time.monotonic(), None
    for _ in range(levels):
        sweep = Sweep(config, {"gain": gains, "depth": depths}, steps=0, seeds=seeds, data=data)
        if coarser is not None:
            sweep.adopt(coarser)
        before = time.monotonic()
        for event in sweep.iterate():
            if event.task is not None:
                yield sweep
            if time.monotonic() - began > 2 * budget_s:
                sweep.stop()
        now = time.monotonic()
        if not sweep.finished or (now - before) * 4 > budget_s - (now - began):
            return
        coarser, gains, depths = sweep, _finer_gains(gains), _finer_depths(depths)


def _coarse_gains(config: Config) -> list[float]:
    """Return gains that give a hidden matrix the standard deviations of interest, the current gain within."""
    unit = _weight_std(config) * math.sqrt(config.width)
    low, high = (std / unit if unit > 0 else std for std in _WEIGHT_STD)
    if config.gain > 0:
        low, high = min(low, config.gain), max(high, config.gain)
    ratio = (high / low) ** (1 / (_GAINS - 1))
    return [float(f"{low * ratio**i:.3g}") for i in range(_GAINS)]


def _weight_std(config: Config) -> float:
    """Measure the root-mean-square weight of the init at gain 1, so that a registered one is understood too."""
    generator, draws = torch.Generator().manual_seed(0), max(1, _ENTRIES // config.width**2)
    squares = []
    for _ in range(draws):
        weight = torch.empty(config.width, config.width, dtype=torch.float64)
        INITS[config.init](weight, 1.0, generator)
        squares.append(float(weight.square().mean()))
    return math.sqrt(sum(squares) / draws)


def _coarse_depths(config: Config) -> list[int]:
    deepest = max(_DEEPEST, config.depth)
    ratio = (deepest / _SHALLOWEST) ** (1 / (_DEPTHS - 1))
    return sorted({round(_SHALLOWEST * ratio**i) for i in range(_DEPTHS)})


def _finer_gains(gains: Sequence[float]) -> list[float]:
    """Put the geometric mean between neighbours."""
    return sorted({*gains, *(float(f"{math.sqrt(a * b):.3g}") for a, b in pairwise(gains))})


def _finer_depths(depths: Sequence[int]) -> list[int]:
    return sorted({*depths, *(round(math.sqrt(a * b)) for a, b in pairwise(depths))})
