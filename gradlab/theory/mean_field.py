"""`MeanField`: the network of a `Config`, followed layer by layer in the wide limit, where theory covers it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from gradlab.config import Config
from gradlab.history import Array
from gradlab.locale import Said
from gradlab.network import NORMS
from gradlab.theory.moments import Q_RANGE, Moments, SilenceError, moments, read_phi
from gradlab.theory.profile import RULES, Profile, Setting, Step, follow, readout
from gradlab.theory.signal import Signal, weight_variance

_LEAST_WIDTH = 8  # of 30 narrower ReLU layers one dies whole in every fourth network
_LEAST_BATCH = 16  # below it a second correction, of order 1 / batch^2, shows
_LEAST_COLUMNS = 8  # in data of fewer columns the samples start nearly collinear, and stay so for many layers


def check_covered(config: Config) -> None:
    """Raise SilenceError if theory has no rule for a config's network."""
    if config.architecture != "mlp":
        raise SilenceError(Said("silence.architecture", architecture=config.architecture))
    if config.depth == 0:
        raise SilenceError(Said("silence.no_layer"))
    if config.width < _LEAST_WIDTH:
        raise SilenceError(Said("silence.narrow", width=config.width))
    if (config.norm, config.residual) not in RULES:
        raise SilenceError(Said("silence.norm_residual" if config.residual else "silence.norm", norm=config.norm))


def norm_eps(config: Config) -> float:
    """Return what the config's norm adds to the variance; 0 without one."""
    module = NORMS[config.norm](config.width)
    eps = getattr(module, "eps", 0.0)
    return float(torch.finfo(config.torch_dtype).eps if eps is None else eps)  # None is what torch's RMSNorm says


def batch_of(config: Config, signal: Signal) -> int:
    """Return how many samples a batch norm averages over."""
    return config.batch_size if signal.samples is None else min(config.batch_size, signal.samples)


def check_batch(config: Config, signal: Signal, unit: Moments) -> None:
    """Raise SilenceError if a batch norm's rate is not the one that theory knows; `unit` is at variance 1."""
    batch = batch_of(config, signal)
    if not unit.linear.all():
        if batch < _LEAST_BATCH:
            raise SilenceError(Said("silence.noisy_batch", batch=batch, least=_LEAST_BATCH))
        return
    if batch < 5:
        raise SilenceError(Said("silence.no_mean", batch=batch))
    if (rank := min(signal.inputs, config.width)) < batch - 1:
        raise SilenceError(Said("silence.rank", rank=rank, least=batch - 1, batch=batch))


def why_no_profile(config: Config, signal: Signal) -> str:
    """Return why there is a rate but no profile, or nothing."""
    if config.norm == "batch" and signal.inputs < _LEAST_COLUMNS:
        return Said("theory.none", why=Said("silence.collinear", columns=signal.inputs))
    return ""


_SETTLED = 1e-12  # relative change per layer, well above the rounding of the quadrature
_PATIENCE = 40
_ENDS = (1e-18, 1e18)
_FACTOR = 4.0


def fixed_point(advance: Callable[[float], float], q: float) -> float:
    """Return the fixed point of a map of variances that iteration from `q` approaches.

    Iteration comes first; where it is slow (a critical network approaches 0 only polynomially) the direction
    it moves in is searched for the place where it turns, by bisection. 0.0 or inf where the variance dies out or
    grows for ever.
    """
    last = q
    for _ in range(_PATIENCE):
        new = advance(q)
        if not (_ENDS[0] < new < _ENDS[1]):
            return 0.0 if new <= _ENDS[0] else math.inf
        if abs(new - q) <= _SETTLED * q:
            return new
        q, last = new, q
    return _search(advance, q, 1.0 if q > last else -1.0)


def _search(advance: Callable[[float], float], q: float, direction: float) -> float:
    near, far = q, q * _FACTOR**direction
    while _ENDS[0] < far < _ENDS[1]:
        if (advance(far) / far - 1) * direction < -_SETTLED:
            return _bisect(advance, near, far, direction)
        near, far = far, far * _FACTOR**direction
    return math.inf if direction > 0 else 0.0


def _bisect(advance: Callable[[float], float], near: float, far: float, direction: float) -> float:
    for _ in range(60):
        middle = math.sqrt(near * far)
        if (advance(middle) / middle - 1) * direction > 0:
            near = middle
        else:
            far = middle
    return math.sqrt(near * far)


_ACCURACY = 1e-7
_REFINEMENTS = 4
_NEAR_ZERO, _NEAR_INFINITY = 1e-24, 1e24  # where chi of a signal that dies out, or grows for ever, is read


class MeanField:
    """Mean-field theory of the network that `build_network` makes of a `Config`, and of the signal that enters it.

    Raises `SilenceError` if theory does not cover the config.
    """

    def __init__(self, config: Config, signal: Signal) -> None:
        check_covered(config)
        self.config, self.signal = config, signal
        self.rule = RULES[config.norm, config.residual]
        orthogonal, batch = config.init == "orthogonal", batch_of(config, signal)
        self.setting = Setting(config.bias_std**2, norm_eps(config), batch, orthogonal)
        self.phi, self.refinement = read_phi(config.activation), 0
        self._accurate_in: set[int] = set()
        self.s = self._strength(config.width, config.width)
        if config.norm == "batch":
            check_batch(config, signal, self._average(np.ones(1)))

    def _strength(self, fan_in: int, fan_out: int) -> float:
        """Return fan_in times the variance of a weight."""
        return fan_in * weight_variance(self.config.init, self.config.gain, fan_in, fan_out)

    def _average(self, q: Array) -> Moments:
        """Return the moments at `q`; the quadrature is refined until it has seven digits in each octave met."""
        octaves = {math.frexp(v)[1]: v for v in (float(q.min()), float(q.max()))}
        new = [v for octave, v in octaves.items() if octave not in self._accurate_in]
        while new and not self._accurate(np.array(new)):
            if self.refinement == _REFINEMENTS:
                raise SilenceError(Said("silence.too_fast"))
            self.refinement += 1
        self._accurate_in |= set(octaves)
        found = moments(self.phi, q, self.refinement)
        if not (found.slope > 0).all():
            raise SilenceError(Said("silence.flat"))
        return found

    def _accurate(self, q: Array) -> bool:
        here, finer = (moments(self.phi, q, self.refinement + more) for more in (0, 1))
        pairs = ((here.second, finer.second), (here.slope, finer.slope))
        return all(np.allclose(a, b, rtol=_ACCURACY, atol=0) for a, b in pairs)

    def _step(self, q: Array, s: float) -> Step:
        outside = (q < Q_RANGE[0]) | (q > Q_RANGE[1])
        step = self.rule(self._average, np.clip(q, *Q_RANGE), s, self.setting)
        if (outside & (np.abs(step.sensitivity) > 1e-6)).any() and self.config.norm == "none":
            raise SilenceError(Said("silence.range"))
        return step

    # ------------------------------------------------------------------ very deep
    def limit(self) -> tuple[float, float]:
        """Return chi and q where a network of these hidden layers settles; q is 0 or inf where it does not."""
        start = float(np.median(self._first()))
        q = fixed_point(lambda q: float(self._step(np.array([q]), self.s).q[0]), max(start, _NEAR_ZERO))
        read = min(max(q, _NEAR_ZERO), _NEAR_INFINITY)
        here, beyond = (float(self._step(np.array([r]), self.s).log_chi[0]) for r in (read, read * 10))
        if read != q and abs(here - beyond) > 1e-3:
            raise SilenceError(Said("silence.no_end"))
        return math.exp(here), q

    # ------------------------------------------------------------------ as deep as it is
    def _first(self) -> Array:
        """Return the variance at layer 1, for each group of samples."""
        strength = self._strength(self.signal.inputs, self.config.width)
        return strength * self.signal.squared / self.signal.inputs + self.setting.bias_variance

    def profile(self) -> Profile:
        """Return the expected profile of the backward signal."""
        depth, width, q = self.config.depth, self.config.width, self._first()
        steps: list[Step] = []
        while len(steps) < depth - 1:
            step = self._step(q, self.s)
            settled = np.allclose(step.q, q, rtol=1e-12, atol=0)
            steps += [step] * (depth - 1 - len(steps) if settled else 1)
            q = step.q
        out = self._strength(width, self.signal.outputs)
        steps.append(readout(q, out, self.setting) if self.config.residual else self._step(q, out))
        profile = follow([step.per_unit(width) for step in steps])
        return _without_ends(profile) if self.config.norm == "batch" else profile


def _without_ends(profile: Profile) -> Profile:
    """Blank the first layer and the output: under batch norm they depend on how the samples lie to each other."""
    if len(profile.layers) < 3:
        return profile
    ends = np.isin(profile.layers, (1.0, profile.layers[-1]))
    blank = {name: np.where(ends, np.nan, getattr(profile, name)) for name in ("log_norm", "mean_log_norm", "std")}
    return replace(profile, **blank)
