"""`suggest`: the next experiment as a change of a `Config`, for the likeliest cause among its knobs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from gradlab.config import Config
from gradlab.diagnosis.findings import Findings

Change = dict[str, Any]

CRITICAL: dict[str, Change] = {
    "linear": {"init": "normal", "gain": 1.0},
    "relu": {"init": "kaiming", "gain": 1.0},
    "leaky_relu": {"init": "kaiming", "gain": round(math.sqrt(1 / 1.04), 4)},
    "tanh": {"init": "normal", "gain": 1.0},
    "gelu": {"init": "kaiming", "gain": 1.0},
    "selu": {"init": "normal", "gain": 1.0},
    "silu": {"init": "kaiming", "gain": 1.0},
    "sigmoid": {"activation": "tanh", "init": "normal", "gain": 1.0},
}
"""The init at which the backward signal keeps its size (chi = 1, or near it), by activation; sigmoid has none
(Poole 2016, Schoenholz 2017)."""


def suggest(key: str, config: Config | None, f: Findings, own_network: bool) -> Change:
    """Return what to change next for a verdict, {} if nothing or if there is no config to change.

    Parameters
    ----------
    key : str
        The verdict's key.
    config : Config or None
        The knobs in force.
    f : Findings
        The numbers.
    own_network : bool
        Whether the network is not the config's, so that only knobs of the training can help.
    """
    if config is None or key not in CURES:
        return {}
    change = CURES[key](config, f)
    if own_network:
        change = {name: value for name, value in change.items() if Config.knobs()[name].live}
    return {name: value for name, value in change.items() if getattr(config, name) != value}


def sound_signal(config: Config, f: Findings) -> Change:
    """The critical init; where that is in place, a norm in a residual branch."""
    change = {**CRITICAL.get(config.activation, {}), "bias_std": 0.0}
    in_place = all(getattr(config, name) == value for name, value in change.items())
    if in_place or config.residual or config.norm != "none":
        return {**change, "norm": "layer", "residual": True}
    return change


def smaller_step(config: Config, f: Findings) -> Change:
    """Whatever makes steps larger than the learning rate says, else a tenth of the learning rate."""
    if config.carry_over != "none":
        return {"carry_over": "none"}
    if config.accumulation == "sum":
        return {"accumulation": "mean"}
    if config.momentum > 0.95:
        return {"momentum": 0.9}
    return {"lr": _one_digit(config.lr / 10)}


def larger_step(config: Config, f: Findings) -> Change:
    """The learning rate at which an update would change the weights by a thousandth."""
    if config.lr == 0 or not f.update_ratio > 0:
        return {"lr": Config().lr if config.optimizer == "sgd" else 0.001}
    return {"lr": _one_digit(min(config.lr * 1e-3 / f.update_ratio, 10.0))}


def higher_threshold(config: Config, f: Findings) -> Change:
    """A threshold that the usual gradient does not reach."""
    return {"clip_threshold": _one_digit(2 * config.clip_threshold / f.clip_coef)} if f.clip_coef > 0 else {}


def revive(config: Config, f: Findings) -> Change:
    """The rule that killed the units off, else an activation whose units cannot die."""
    if config.carry_over != "none":
        return {"carry_over": "none"}
    return {"activation": "leaky_relu", **CRITICAL["leaky_relu"], "bias_std": 0.0}


def another_optimizer(config: Config, f: Findings) -> Change:
    """The rule that holds training up, else Adam, whose steps do not shrink with the gradient."""
    if config.carry_over != "none":
        return {"carry_over": "none"}
    return {"optimizer": "adam", "lr": 0.001} if config.optimizer == "sgd" else smaller_step(config, f)


CURES: dict[str, Callable[[Config, Findings], Change]] = {
    "exploding": sound_signal,
    "exploding_hidden": sound_signal,
    "exploding_survived": sound_signal,
    "diverged_exploding": sound_signal,
    "vanishing": sound_signal,
    "vanishing_survived": sound_signal,
    "saturated_start": sound_signal,
    "stuck_zero_weights": sound_signal,
    "exploding_by_now": smaller_step,
    "vanishing_by_now": smaller_step,
    "diverged_step": smaller_step,
    "diverged_skipped": smaller_step,
    "step_too_large": smaller_step,
    "saturated": smaller_step,
    "dead_by_step": smaller_step,
    "dead": revive,
    "dead_start": revive,
    "clipped_always": higher_threshold,
    "stuck_step": larger_step,
    "stuck_silent": revive,
    "stuck": another_optimizer,
}


def cause(config: Config | None, f: Findings) -> str:
    """Return the key of the reason why the signal grows or shrinks at step 0."""
    grows = f.decades_start > 0
    if config is None:
        return "weights_large" if grows else "weights_small"
    if config.norm != "none":
        return "norm" if grows else "slope"
    if grows:
        return "residual" if config.residual else "weights_large"
    steep = config.activation in ("linear", "relu", "leaky_relu")  # their slope does not depend on the weights
    return "weights_small" if steep or (config.init != "fixed" and config.gain < 1) else "slope"


def _one_digit(value: float) -> float:
    return float(f"{value:.0e}")
