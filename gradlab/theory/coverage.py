"""Which configs theory covers, and why it is silent about the others."""

from __future__ import annotations

import torch

from gradlab.config import Config
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
    if config.depth == 0:
        raise SilenceError("there is no hidden layer")
    if config.width < _LEAST_WIDTH:
        raise SilenceError(
            f"a width of {config.width} is too far from the wide networks that mean-field theory is about"
        )
    if (config.norm, config.residual) not in RULES:
        where = " inside residual blocks" if config.residual else ""
        raise SilenceError(f"theory here does not cover norm={config.norm!r}{where}")


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
            raise SilenceError(
                f"batch norm over {batch} samples is noisier than theory reckons; it wants {_LEAST_BATCH}"
            )
        return
    if batch < 5:
        raise SilenceError(f"the rate of batch norm over {batch} samples has no mean; it wants at least 5")
    if min(signal.inputs, config.width) < batch - 1:
        raise SilenceError(
            f"a linear batch norm network keeps the rank of its data, {min(signal.inputs, config.width)} here, and "
            f"theory wants it to be {batch - 1} or more for batches of {batch}"
        )


def why_no_profile(config: Config, signal: Signal) -> str:
    """Return why there is a rate but no profile, or nothing."""
    if config.norm == "batch" and signal.inputs < _LEAST_COLUMNS:
        return (
            f"no prediction, because data of {signal.inputs} columns start nearly collinear and batch norm layers "
            "forget it slowly; chi is the rate deep in the network"
        )
    return ""
