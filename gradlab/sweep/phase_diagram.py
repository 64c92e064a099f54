"""`phase_diagram`: growth at init over gain and depth, or through time, coarse first, then finer."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch

from gradlab.config import Config
from gradlab.data import DATASETS
from gradlab.network import ARCHITECTURES, INITS
from gradlab.sweep.networks import Sweep

_WEIGHT_STD = (0.5, 4.0)  # times 1 / sqrt(fan_in): from deep in the vanishing to deep in the exploding phase
_GAINS, _DEPTHS, _LEVELS = 5, 4, 4
_SHALLOWEST, _DEEPEST = 2, 32
_ENTRIES = 4096  # random weights that make a standard deviation good to about 1 %


def phase_diagram(
    config: Config, budget_s: float = 5.0, *, seeds: int = 2, data: Any = None, levels: int = _LEVELS
) -> Iterator[Sweep]:
    """Yield sweeps of growth per layer at init over gain and depth around a config, each as it fills up.

    Of a recurrent network on a sequence set: of growth per time step over recurrent gain and sequence length.

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
    gain, size = phase_axes(config)
    gains, sizes = _coarse_gains(config, gain), _coarse_sizes(config, size)
    began, coarser = time.monotonic(), None
    for _ in range(levels):
        sweep = Sweep(config, {gain: gains, size: sizes}, steps=0, seeds=seeds, data=data)
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
        coarser, gains, sizes = sweep, _finer(gains, _three_digits), _finer(sizes, round)


def phase_axes(config: Config) -> tuple[str, str]:
    """Return the two knobs that span a config's phase diagram."""
    recurrent = ARCHITECTURES[config.architecture].options.get("recurrent")
    through_time = recurrent and DATASETS[config.dataset].options.get("sequence")
    return ("recurrent_gain", "sequence_length") if through_time else ("gain", "depth")


def _coarse_gains(config: Config, axis: str) -> list[float]:
    """Return gains that give a hidden matrix the standard deviations of interest, the current gain within."""
    unit = _weight_std(config, config.init if axis == "gain" else config.recurrent_init) * math.sqrt(config.width)
    low, high = (std / unit if unit > 0 else std for std in _WEIGHT_STD)
    if (own := getattr(config, axis)) > 0:
        low, high = min(low, own), max(high, own)
    ratio = (high / low) ** (1 / (_GAINS - 1))
    return [_three_digits(low * ratio**i) for i in range(_GAINS)]


def _weight_std(config: Config, init: str) -> float:
    """Measure the root-mean-square weight of the init at gain 1, so that a registered one is understood too."""
    generator, draws = torch.Generator().manual_seed(0), max(1, _ENTRIES // config.width**2)
    squares = []
    for _ in range(draws):
        weight = torch.empty(config.width, config.width, dtype=torch.float64)
        INITS[init](weight, 1.0, generator)
        squares.append(float(weight.square().mean()))
    return math.sqrt(sum(squares) / draws)


def _coarse_sizes(config: Config, axis: str) -> list[int]:
    """Return depths or lengths up to the current one at least, none shorter than the data set or a window allows."""
    least = DATASETS[config.dataset].options.get("shortest", 1) if axis == "sequence_length" else 1
    least = max(_SHALLOWEST, least, config.truncate if axis == "sequence_length" else 1)
    ratio = (max(_DEEPEST, 2 * least, getattr(config, axis)) / least) ** (1 / (_DEPTHS - 1))
    return sorted({round(least * ratio**i) for i in range(_DEPTHS)})


def _finer(values: Sequence[float], rounded: Callable[[float], Any]) -> list[Any]:
    """Put the geometric mean between neighbours."""
    return sorted({*values, *(rounded(math.sqrt(a * b)) for a, b in pairwise(values))})


def _three_digits(gain: float) -> float:
    return float(f"{gain:.3g}")
