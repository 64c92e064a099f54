"""What one layer does to the signal, and the expected profile over all of them, with its finite-width band.

There is a rule per norm, with and without residual. Conventions: z_l = W_l h_{l-1} + b_l, s = fan_in * Var(W) of
the *next* matrix, q = variance of z_l (of the stream h_l in a residual network). A rule returns the factor of the
squared backward signal, chi_l = |delta_l|^2 / |delta_{l+1}|^2, the next q, and how both fluctuate in a layer of n
units.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from gradlab.history import Array
from gradlab.registry import brief
from gradlab.theory.moments import Moments


@dataclass(frozen=True)
class Setting:
    """What a rule needs to know of a network besides the activation."""

    bias_variance: float  # variance of a bias
    eps: float  # what the norm adds to the variance
    batch: int  # samples that a batch norm averages over
    orthogonal: bool  # whether matrices keep lengths exactly, so that only directions fluctuate


@dataclass(frozen=True, eq=False)
class Step:
    """One layer's effect; arrays have shape ``(variances,)``, and a number is the same for all."""

    log_chi: Array  # log of the factor of |delta|^2 from layer l + 1 to l, in the wide limit
    q: Array  # variance at layer l + 1
    # d log chi / d log q and d log q_next / d log q
    sensitivity: Array | float
    memory: Array | float
    # n times the variance of the relative fluctuation that this layer adds to chi and to q_next, and their covariance
    var_chi: Array
    var_q: Array
    cov: Array
    # n times the mean of log chi less `log_chi`: the mean of a logarithm is lower than the log of the mean
    drift: Array
    # sqrt(n) times the standard deviation of what is the same in every block of a residual network, whose units keep
    # their sign from block to block; 0 elsewhere
    lasting: Array | float = 0.0

    def per_unit(self, width: int) -> Step:
        """Return the step with the fluctuations of a layer of `width` units."""
        scaled = {name: getattr(self, name) / width for name in ("var_chi", "var_q", "cov", "drift")}
        return replace(self, lasting=self.lasting / math.sqrt(width), **scaled)


Average = Callable[[Array], Moments]
Rule = Callable[[Average, Array, float, Setting], Step]


def _fresh_noise(m: Moments, sphere: bool, orthogonal: bool) -> tuple[Array, Array, Array]:
    """Return n times the relative variances of sum phi'^2 g^2 and of sum phi^2, and their covariance.

    For independent Gaussian g the first is 3 E phi'^4 / (E phi'^2)^2 - 1: 5 for ReLU, 2 for a linear layer
    (Hanin & Nica 2019). With z on a sphere its length does not fluctuate, nor that of g with an orthogonal
    matrix: the part along the radius is taken out.
    """
    back, forth, both = 3 * (m.spread_slope + 1) - 1, m.spread_second, m.joint
    if sphere:
        back = back - 2 * m.d_slope**2
        forth = forth - 2 * m.d_second**2
        both = both - 2 * m.d_second * m.d_slope
    return back - 2 * orthogonal, forth, both


def plain(average: Average, q: Array, s: float, setting: Setting) -> Step:
    """No norm: q' = s E phi^2 + sb^2 (Poole et al. 2016), chi = s E phi'^2 (Schoenholz et al. 2017)."""
    m = average(q)
    q_next = s * m.second + setting.bias_variance
    sphere = setting.orthogonal and setting.bias_variance == 0
    var_chi, var_q, cov = _fresh_noise(m, sphere, setting.orthogonal)
    share = s * m.second / q_next
    return Step(
        log_chi=np.log(s * m.slope),
        q=q_next,
        sensitivity=m.d_slope,
        memory=share * m.d_second,
        var_chi=var_chi,
        var_q=share**2 * var_q,
        cov=share * cov,
        drift=-var_chi / 2,
    )


def normalised(average: Average, q: Array, s: float, setting: Setting) -> Step:
    """Layer or RMS norm before phi: chi = s E phi'^2 / q with the averages at variance 1."""
    m = average(q / (q + setting.eps))
    q_next = s * m.second + setting.bias_variance
    back, forth, both = _fresh_noise(m, True, setting.orthogonal)
    share = s * m.second / q_next
    length = 0 if setting.orthogonal else 2  # the norm divides by a length that fluctuates by itself
    return Step(
        log_chi=np.log(s * m.slope / (q + setting.eps)),
        q=q_next,
        sensitivity=-1.0,
        memory=0.0,
        var_chi=back + length,
        var_q=share**2 * forth,
        cov=share * both,
        drift=(share**2 * forth - back) / 2,  # 1 / length averages high, by what the norm's projection loses
    )


def batch_normalised(average: Average, q: Array, s: float, setting: Setting) -> Step:
    """Batch norm before phi: chi = E phi'^2 / Var phi (B - 2)/(B - 3), whatever s (Yang et al. 2019).

    The finite-batch factor: of B dimensions the norm's derivative removes 2, and 1 / variance of B Gaussian
    numbers averages (B - 1)/(B - 3) where their variance is (B - 1)/B of the population's. The fluctuations
    are those of a single sample under layer norm, an upper bound: the samples of a batch average out.
    """
    m = average(q / (q + setting.eps))
    step = normalised(average, q, s, setting)
    finite_batch = (setting.batch - 2) / (setting.batch - 3)
    return replace(
        step,
        log_chi=step.log_chi + math.log(finite_batch),
        q=np.where(m.linear, s * m.second, s * m.variance),  # a bias is the same for all samples: no variance
    )


def residual(average: Average, q: Array, s: float, setting: Setting) -> Step:
    """h + W phi(h) + b: chi = 1 + s E phi'^2, q' = q + s E phi^2 + sb^2 (Yang & Schoenholz 2017)."""
    m = average(q)
    return _block(m, q, s, setting, s * m.slope, m.d_slope, m.d_second)


def residual_normalised(average: Average, q: Array, s: float, setting: Setting) -> Step:
    """Pre-norm block h + W phi(norm(h)) + b: chi = 1 + s E phi'^2 / q, which telescopes over the blocks."""
    m = average(q / (q + setting.eps))
    return _block(m, q, s, setting, s * m.slope / (q + setting.eps), -1.0, 0.0)


def _block(
    m: Moments, q: Array, s: float, setting: Setting, branch: Array, sensitivity: Array | float, memory: Array | float
) -> Step:
    """Add a branch to the stream: besides its own fluctuation there is that of the cross term, 4 branch / n."""
    back, forth, both = _fresh_noise(m, True, setting.orthogonal)
    lasting = np.maximum(m.spread_slope - 2 * m.d_slope**2, 0.0)
    grown = s * m.second
    added = grown + setting.bias_variance
    q_next, chi = q + added, 1 + branch
    length = 0 if setting.orthogonal else 2  # the branch's length fluctuates by itself
    var_chi = (4 * branch + branch**2 * (back - lasting)) / chi**2
    return Step(
        log_chi=np.log(chi),
        q=q_next,
        sensitivity=branch * sensitivity / chi,
        memory=(q + grown * memory) / q_next,
        var_chi=var_chi,
        var_q=(4 * q * added + grown**2 * forth + length * added**2) / q_next**2,
        cov=branch * grown * both / (chi * q_next),
        drift=-var_chi / 2,
        lasting=branch * np.sqrt(lasting) / chi,
    )


def readout(q: Array, s: float, setting: Setting) -> Step:
    """Return the step of a residual network's last hidden layer, whose stream the readout reads as it is."""
    zero, noise = np.zeros_like(q), np.full_like(q, 0.0 if setting.orthogonal else 2.0)
    return Step(zero + math.log(s), s * q + setting.bias_variance, 0.0, 0.0, noise, zero, zero, -noise / 2)


# (norm, residual) -> rule; a pair that is missing is one that theory does not cover
RULES: dict[tuple[str, bool], Rule] = {
    ("none", False): plain,
    ("layer", False): normalised,
    ("rms", False): normalised,
    ("batch", False): batch_normalised,
    ("none", True): residual,
    ("layer", True): residual_normalised,
    ("rms", True): residual_normalised,
}


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
        """Number of the last hidden layer, at which the profile is 0."""
        return len(self.layers) - 1

    def anchored(self, value: float) -> Band:
        """Return the profile as norms, given `value`, the `delta_norm` measured at the last hidden layer.

        inf or 0 where a norm leaves the range of float64; nan where theory is silent. Raise ValueError if `value` is
        not a positive finite number: a profile can then not be anchored.
        """
        if not (np.isfinite(value) and value > 0):
            raise ValueError(
                f"value={brief(value)}; expected a finite number > 0, the delta_norm of layer {self.anchor}"
            )
        start = np.log(value)
        with np.errstate(over="ignore", under="ignore"):
            lines = [np.exp(start + log) for log in (self.log_low, self.log_norm, self.log_high)]
        return Band(self.layers, *lines)


def follow(steps: list[Step]) -> Profile:
    """Join the steps of hidden layers 1 ... depth, the last of them to the output, to a profile.

    It is that of the root-mean-square over the steps' samples; the variances are to be divided by the width already.
    """
    depth = len(steps)
    log_chi = np.array([step.log_chi for step in steps])  # (depth, samples)
    squared = np.zeros((depth + 1, log_chi.shape[1]))
    squared[: depth - 1] = np.cumsum(log_chi[: depth - 1][::-1], axis=0)[::-1]
    squared[depth] = -log_chi[-1]
    top = squared.max(axis=1)
    log_norm = (top + np.log(np.exp(squared - top[:, None]).mean(axis=1))) / 2
    mean = log_norm + _drifts(steps) / 2
    return Profile(np.arange(1.0, depth + 2), log_norm, mean, np.sqrt(_variances(steps)) / 2)


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
