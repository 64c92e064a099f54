"""What a network is given: the norms of its samples, its widths, and the variance of its weights under each init."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from gradlab.config import Config
from gradlab.data import make_dataset
from gradlab.engine.check import check_count
from gradlab.history import Array
from gradlab.locale import Said
from gradlab.network import INITS
from gradlab.registry import brief
from gradlab.theory.moments import SilenceError

_ENOUGH = 1024  # samples of a generated set that show its distribution of norms
_GROUPS = 8


@dataclass(frozen=True, eq=False)
class Signal:
    """What enters a network and what it must return."""

    # columns of X and of the output
    inputs: int
    outputs: int
    # (groups,): mean squared norm of a sample, in groups of about equally many samples, in ascending order
    squared: Array
    samples: int | None  # samples there are; None if not known


def read_signal(config: Config, inputs: Any, outputs: Any, input_norm: Any) -> Signal:
    """Take what is given, all three or none, or learn it from the config's data set."""
    given = {"inputs": inputs, "outputs": outputs, "input_norm": input_norm}
    missing = [name for name, value in given.items() if value is None]
    if len(missing) == len(given):
        return _from_config(config)
    if missing:
        raise ValueError(f"{missing[0]}=None; expected all of {', '.join(given)}, or none of them")
    for name, value in (("inputs", inputs), ("outputs", outputs)):
        check_count(name, value, 1)
    norms = _check_norms(input_norm)
    return Signal(int(inputs), int(outputs), _grouped(norms), len(norms) if len(norms) > 1 else None)


def _from_config(config: Config) -> Signal:
    n = min(config.n_samples, _ENOUGH)
    try:
        data = make_dataset(
            config.dataset, n, config.noise, config.data_seed, config.torch_dtype, config.sequence_length
        )
    except ValueError as error:
        raise SilenceError(*error.args) from None
    x = data.x.flatten(1).double().numpy()
    return Signal(x.shape[1], data.outputs, _grouped(np.linalg.norm(x, axis=1)), max(data.n, n))


def _check_norms(value: Any) -> Array:
    try:
        norms = np.atleast_1d(np.asarray(value, dtype=np.float64))
    except (TypeError, ValueError):
        norms = np.array([])
    if norms.ndim != 1 or not len(norms) or not np.isfinite(norms).all() or (norms < 0).any():
        raise ValueError(f"input_norm={brief(value)}; expected the 2-norm of a sample, or one for each sample")
    return norms


def _grouped(norms: Array) -> Array:
    parts = np.array_split(np.sort(norms) ** 2, min(_GROUPS, len(norms)))
    return np.array([part.mean() for part in parts])


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

    An init that has no closed form here (one registered in a notebook cell) is drawn and measured. Random-matrix
    theory needs independent weights around 0: it is silent if they are all 0, the same in every draw, or have a mean.
    """
    known = VARIANCES.get(init)
    variance = known(gain, fan_in, fan_out) if known else _measured(init, gain, fan_in, fan_out)
    if variance == 0:
        raise SilenceError(Said("silence.zero"))
    return variance


def _measured(init: str, gain: float, fan_in: int, fan_out: int) -> float:
    """Return the mean square of weights that are drawn."""
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
