"""What enters a network: widths and the norms of the samples."""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradlab.config import Config
from gradlab.data import make_dataset
from gradlab.history import Array
from gradlab.theory.silence import SilenceError

_ENOUGH = 1024  # samples of a generated set that show its distribution of norms
_GROUPS = 8


@dataclass(frozen=True, eq=False)
class Signal:
    """What enters a network and what it must return.

    Attributes
    ----------
    inputs, outputs : int
        Columns of X and of the output.
    squared : array (groups,)
        Mean squared norm of a sample, in groups of about equally many samples, in ascending order.
    samples : int or None
        Samples there are; None if not known.
    """

    inputs: int
    outputs: int
    squared: Array
    samples: int | None


def read_signal(config: Config, inputs: Any, outputs: Any, input_norm: Any) -> Signal:
    """Take what is given, or learn it from the config's data set.

    Raises
    ------
    ValueError
        If an argument is not accepted, or only some of the three are given.
    SilenceError
        If the config's data set cannot be made.
    """
    given = {"inputs": inputs, "outputs": outputs, "input_norm": input_norm}
    missing = [name for name, value in given.items() if value is None]
    if len(missing) == len(given):
        return _from_config(config)
    if missing:
        raise ValueError(f"{missing[0]}=None; expected all of {', '.join(given)}, or none of them")
    for name, value in (("inputs", inputs), ("outputs", outputs)):
        if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
            raise ValueError(f"{name}={value!r}; expected a whole number >= 1")
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
        raise ValueError(f"input_norm={value!r:.60}; expected the 2-norm of a sample, or one for each sample")
    return norms


def _grouped(norms: Array) -> Array:
    parts = np.array_split(np.sort(norms) ** 2, min(_GROUPS, len(norms)))
    return np.array([part.mean() for part in parts])
