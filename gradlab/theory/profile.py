"""The expected profile of the backward signal over the layers, with its finite-width band."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gradlab.history import Array
from gradlab.theory.layers import Step

_DEVIATIONS = 2.0  # half-width of the band in standard deviations


class Band(NamedTuple):
    """A profile in the units of `delta_norm`, ready to be drawn; every array has shape ``(layers,)``."""

    layers: Array
    low: Array
    expected: Array
    high: Array


@dataclass(frozen=True, eq=False)
class Profile:
    """The backward signal |delta_l| relative to the last hidden layer: natural logs of *norms*, not of squares.

    Attributes
    ----------
    layers : array (layers,)
        Numbers of the layers, 1 next to the input; the last is the output.
    log_norm : array (layers,)
        Expected log(|delta_l| / |delta_depth|) of a wide network: 0 at layer `depth`, nan where theory is
        silent.
    mean_log_norm : array (layers,)
        Mean over seeds of that log at this width, for one sample: lower than `log_norm`, as the mean of a
        logarithm is.
    std : array (layers,)
        Standard deviation over seeds of the log, for one sample, to first order in 1 / width. For ReLU its
        square is 5/4 and for a linear net 2/4 times layers / width (Hanin 2018; Hanin & Nica 2019).
    log_low, log_high : array (layers,)
        The band of two standard deviations.

    Notes
    -----
    `delta_norm` averages over the samples of a window. Where their signals decorrelate (a chaotic tanh net)
    they average out and the measured profile lies near `log_norm`; where they are alike (one sample, a deep
    ReLU net) near `mean_log_norm`. The band holds for both: it reaches from two deviations below
    `mean_log_norm` to the highest that mean + two deviations gets for any standard deviation up to `std`.
    """

    layers: Array
    log_norm: Array
    mean_log_norm: Array
    std: Array

    @property
    def log_low(self) -> Array:
        """Lower edge of the band."""
        return np.minimum(self.mean_log_norm - _DEVIATIONS * self.std, self.log_norm - self._reach)

    @property
    def log_high(self) -> Array:
        """Upper edge of the band."""
        return np.maximum(self.mean_log_norm + _DEVIATIONS * self.std, self.log_norm + self._reach)

    @property
    def _reach(self) -> Array:
        """The maximum of 2 x - x^2 over 0 <= x <= std: a log of deviation x averages x^2 low."""
        x = np.minimum(self.std, _DEVIATIONS / 2)
        return _DEVIATIONS * x - x**2

    @property
    def anchor(self) -> int:
        """Number of the layer at which the profile is 0: the last hidden one."""
        return len(self.layers) - 1

    def anchored(self, value: float) -> Band:
        """Return the profile as norms, given the norm measured at the last hidden layer.

        Parameters
        ----------
        value : float
            Measured `delta_norm` of layer `anchor`, e.g. ``record.delta_norm[profile.anchor - 1]``.

        Returns
        -------
        Band
            inf or 0 where a norm leaves the range of float64; nan where theory is silent.

        Raises
        ------
        ValueError
            If `value` is not a positive finite number: a profile can then not be anchored.
        """
        if not (np.isfinite(value) and value > 0):
            raise ValueError(f"value={value!r}; expected a finite number > 0, the delta_norm of layer {self.anchor}")
        start = np.log(value)
        with np.errstate(over="ignore", under="ignore"):
            lines = [np.exp(start + log) for log in (self.log_low, self.log_norm, self.log_high)]
        return Band(self.layers, *lines)


def follow(steps: list[Step]) -> Profile:
    """Join the steps of hidden layers 1 ... depth, the last of them to the output, to a profile.

    Parameters
    ----------
    steps : list of Step
        With arrays of shape ``(samples,)``; the profile is that of the root-mean-square over them. The
        variances are to be divided by the width already.
    """
    depth = len(steps)
    log_chi = np.array([step.log_chi for step in steps])  # (depth, samples)
    squared = np.zeros((depth + 1, log_chi.shape[1]))
    squared[: depth - 1] = np.cumsum(log_chi[: depth - 1][::-1], axis=0)[::-1]
    squared[depth] = -log_chi[-1]
    log_norm = _log_mean_exp(squared) / 2
    mean = log_norm + _drifts(steps) / 2
    return Profile(np.arange(1.0, depth + 2), log_norm, mean, np.sqrt(_variances(steps)) / 2)


def _log_mean_exp(logs: Array) -> Array:
    top = logs.max(axis=1, keepdims=True)
    return top[:, 0] + np.log(np.exp(logs - top).mean(axis=1))


def _drifts(steps: list[Step]) -> Array:
    """Return the mean of log|delta_l|^2 less its wide-net value, against the last hidden layer."""
    each = np.array([step.drift.mean() for step in steps], dtype=np.float64)
    drifts = np.zeros(len(steps) + 1)
    drifts[:-2], drifts[-1] = np.cumsum(each[:-1][::-1])[::-1], -each[-1]
    return drifts


def _variances(steps: list[Step]) -> Array:
    """Return the variance of log|delta_l|^2 against the last hidden layer.

    To first order a layer adds r_l to log chi_l and u_l to log q_{l+1}; the latter lives on in all later
    layers. `response` is d(sum of log chi from l on)/d log q_l, so the sum over layers of
    Var(r_l + response_{l+1} u_l) is the variance, with what layer l inherits from before it and the square
    of the sum of what lasts.
    """
    depth = len(steps)
    inherited = np.zeros((depth, len(steps[0].q)))  # relative variance of q_l
    for k in range(depth - 1):
        inherited[k + 1] = steps[k].memory ** 2 * inherited[k] + steps[k].var_q
    variance = np.zeros(depth + 1)
    response, fresh, lasting = (np.zeros_like(inherited[0]) for _ in range(3))
    for k in range(depth - 2, -1, -1):
        step = steps[k]
        fresh = fresh + step.var_chi + 2 * response * step.cov + response**2 * step.var_q
        lasting = lasting + step.lasting
        response = step.sensitivity + step.memory * response
        variance[k] = np.mean(fresh + lasting**2 + response**2 * inherited[k])
    last = steps[-1]
    variance[depth] = np.mean(last.var_chi + last.sensitivity**2 * inherited[-1])
    return np.maximum(variance, 0.0)  # that of an orthogonal linear net is 0, rounded
