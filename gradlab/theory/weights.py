"""The variance of a weight under each init, from the real fans of its matrix."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from gradlab.locale import Said
from gradlab.network import INITS
from gradlab.theory.silence import SilenceError

_DRAWN = 200_000  # entries drawn of an init that has no closed form: its variance to about 0.3 %

# (gain, fan_in, fan_out) -> variance of an entry, as the docstrings in gradlab.network.inits state them
VARIANCES: dict[str, Callable[[float, int, int], float]] = {
    "normal": lambda gain, fan_in, fan_out: gain**2 / fan_in,
    "kaiming": lambda gain, fan_in, fan_out: 2 * gain**2 / fan_in,
    "kaiming_uniform": lambda gain, fan_in, fan_out: 2 * gain**2 / fan_in,
    "xavier": lambda gain, fan_in, fan_out: 2 * gain**2 / (fan_in + fan_out),
    "xavier_uniform": lambda gain, fan_in, fan_out: 2 * gain**2 / (fan_in + fan_out),
    # min(fan_in, fan_out) singular values, all of them gain: squared entries sum to gain^2 min(...)
    "orthogonal": lambda gain, fan_in, fan_out: gain**2 / max(fan_in, fan_out),
    "pytorch": lambda gain, fan_in, fan_out: gain**2 / (3 * fan_in),
    "fixed": lambda gain, fan_in, fan_out: gain**2,
}


def weight_variance(init: str, gain: float, fan_in: int, fan_out: int) -> float:
    """Return the variance of an entry of a weight of shape ``(fan_out, fan_in)``.

    An init that has no closed form here (one registered in a notebook cell) is drawn and measured.

    Raises
    ------
    SilenceError
        If the weights are all 0, the same in every draw, or have a mean: random-matrix theory needs
        independent weights around 0.
    """
    variance = VARIANCES.get(init, _measured(init))(gain, fan_in, fan_out)
    if variance == 0:
        raise SilenceError(Said("silence.zero"))
    return variance


def _measured(init: str) -> Callable[[float, int, int], float]:
    """Return a function like those of `VARIANCES` that draws weights and measures them."""

    def variance(gain: float, fan_in: int, fan_out: int) -> float:
        return _mean_square(init, gain, fan_in, fan_out)

    return variance


def _mean_square(init: str, gain: float, fan_in: int, fan_out: int) -> float:
    draws = max(2, math.ceil(_DRAWN / (fan_in * fan_out)))
    weights = [torch.empty(fan_out, fan_in, dtype=torch.float64) for _ in range(min(draws, 10_000))]
    with torch.no_grad():
        for seed, weight in enumerate(weights):
            INITS[init](weight, gain, torch.Generator().manual_seed(seed))
    if all(not w.any() for w in weights):
        return 0.0
    if torch.equal(weights[0], weights[1]):
        raise SilenceError(Said("silence.same", init=init))
    entries = torch.cat([w.flatten() for w in weights])
    rms = float(entries.square().mean().sqrt())
    if abs(float(entries.mean())) > 6 * rms / math.sqrt(len(entries)):  # 6 standard errors
        raise SilenceError(Said("silence.mean", init=init))
    return rms**2
