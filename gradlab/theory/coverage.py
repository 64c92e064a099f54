"""Which configs theory covers, and why it is silent about the others."""

from __future__ import annotations

import torch

from gradlab.config import Config
from gradlab.locale import Said
from gradlab.network import NORMS
from gradlab.theory.layers import RULES
from gradlab.theory.moments import Moments
from gradlab.theory.signal import Signal
from gradlab.theory.silence import SilenceError

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
    """Raise SilenceError if a batch norm's rate is not the one that theory knows.

    Parameters
    ----------
    unit : Moments
        The activation's averages at variance 1.
    """
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
