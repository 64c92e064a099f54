"""`RULES`: what the numbers mean, in the order in which a lecturer would rule things out; `suggest`: what to try."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from gradlab.config import Config
from gradlab.diagnosis.evidence import Findings
from gradlab.network import uses
from gradlab.theory.signal import VARIANCES

YOUNG = 200  # steps during which the profile at step 0 still explains a run
FEWEST = 5  # steps before anything is said about the loss
PLATEAU = 50  # steps without progress that are called stuck
_LEAP = 20.0  # times its start: a loss that no noise explains
_STILL = 1e-6  # of the weights: an update below it moves nothing
_STEADY = 1e-3  # of the weights: a usual update
_ALL = 0.99  # a share that means: all of them
_MOST = 0.5
_HEAPED = 2.0  # times by which weight gradients outgrow the signal that they are made of, if nobody clears them
_OUT_OF_SCALE = 10.0  # |dL/dz| at the output; cross-entropy's is at most sqrt(2)
_HUGE = 100.0  # a loss that no sound network begins with
_DECAYED = 1e-2  # of the first learning rate
_FAR = 10.0  # times the loss of guessing
_DIES, _GROWS = -4.0, 2.0  # decades over the time steps of a recurrent layer; a growing signal soon saturates it

Change = dict[str, Any]


# ---------------------------------------------------------------------- what it is
def _level(f: Findings) -> int:
    """Return 1 if the backward signal explodes, -1 if it vanishes, else 0.

    The profile at step 0 counts in a young run and in a network that does not learn, the profile by now in an
    older network that does not learn; the earlier one goes first, as the likelier cause of the other.
    """
    seen = [f.decades_start] * (f.steps <= YOUNG or not f.learned)
    seen += [f.decades_now] * (f.steps > YOUNG and not f.learned)
    for decades in seen:
        if abs(decades) >= f.needed:
            return 1 if decades > 0 else -1
    return 0


def _overflows(f: Findings) -> bool:
    """Half precision overflowed, in a network that is sound otherwise."""
    return not (f.overflow < _MOST or f.decades_start >= f.needed)


def _had_grown(f: Findings) -> bool:
    """The backward signal had grown at step 0 by more than the luck of a finite width, before a divergence."""
    return f.decades_start >= max(1.0, 0.0 if math.isnan(f.spread) else 3 * f.spread)


def _diverges_unseen(f: Findings) -> bool:
    """A divergence of a network of one's own in which too little was seen to say why."""
    unseen = f.layers < 2 and math.isnan(f.spread) and (f.blind or f.output_signal > _OUT_OF_SCALE)
    return f.diverged != "" and bool(unseen)


def _underflows(f: Findings) -> bool:
    """In half precision a layer's gradient rounds to 0, what is not 0 loses digits: no fault of the weights."""
    rounds = f.subnormal >= 0.05 or (f.underflow >= _ALL and f.dead < _MOST)
    return f.underflow >= _MOST and rounds and not f.learned


def _is_killed(f: Findings) -> bool:
    """A hidden layer that is 0 for every sample by now, in a network that did not vanish anyway."""
    return not (f.dead < _ALL or f.learned or f.decades_start <= -f.needed)


def _stops(f: Findings) -> bool:
    """The backward signal ends at a layer, all at once: what it feeds is 0, or cut off."""
    return f.stopped > 0 and f.steps != 1 and not f.learned


def _fades(f: Findings) -> bool:
    """A recurrent layer's signal dies or grows on its way to the first time step (Bengio 1994, Pascanu 2013)."""
    return not f.learned and (f.through_time <= _DIES or f.through_time >= _GROWS)


def _is_large(f: Findings) -> bool:
    return f.output_signal > _OUT_OF_SCALE or not f.loss_first < _HUGE


def _stays_large(f: Findings) -> bool:
    """An error that is large at the output already, and stays: targets, inputs or outputs are out of scale."""
    return _is_large(f) and not f.loss_now < 0.9 * f.loss_first and f.steps >= FEWEST and not f.learned


def _overshoots(f: Findings) -> bool:
    """The loss rises instead of falling; in the first steps only a leap of the loss says so."""
    start = max(f.loss_first, 0.0 if math.isnan(f.chance) else f.chance)
    if f.learned or start <= 0 or (f.steps < FEWEST and not f.loss_max > _LEAP * start):
        return False
    if max(f.update_ratio_start, f.update_ratio) < _STILL:  # what moves so little leaps from batch to batch alone
        return False
    return f.loss_now > 1.5 * start or f.jumped


def _clips_always(f: Findings) -> bool:
    """Nearly every step is cut to a fraction: the threshold has taken the learning rate's place."""
    return f.clipped_share >= 0.9 and f.clip_coef < _MOST and f.steps >= FEWEST


def _stands_still(f: Findings) -> bool:
    """Weights without a gradient, weights that do not move, or a loss that does not."""
    return f.steps >= FEWEST and not f.falling


def _is_level(f: Findings) -> bool:
    """A loss that stands, and may not have learned before."""
    may_have = math.isnan(f.chance) and f.loss_now < 0.9 * f.loss_first
    return _stands_still(f) and f.steps >= PLATEAU and not may_have


def _thrives(f: Findings) -> bool:
    """The loss falls, below guessing."""
    return f.steps >= FEWEST and f.falling


RULES: tuple[tuple[str, Callable[[Findings], bool]], ...] = (
    # on the way forward, which the loss scale has no part in, or on the way back
    ("overflow_forward", lambda f: _overflows(f) and (f.diverged or "gradient") != "gradient"),
    ("overflow_forward", lambda f: _overflows(f) and not f.diverged and f.lost_share >= _MOST),
    ("overflow", _overflows),
    # a divergence lay in the data, the signal at step 0, the scale of the targets or the steps
    ("diverged_data", lambda f: f.bad_data and not f.output_signal > _OUT_OF_SCALE),
    ("diverged_uncleared", lambda f: f.diverged != "" and f.heaped >= _HEAPED),
    ("diverged_unseen", _diverges_unseen),
    ("diverged_scale", lambda f: f.diverged != "" and _is_large(f) and not _had_grown(f)),
    ("diverged_time", lambda f: f.diverged != "" and f.through_time >= _GROWS),
    ("diverged_exploding", lambda f: f.diverged != "" and _had_grown(f)),
    ("diverged_step", lambda f: f.diverged != ""),
    ("diverged_skipped", lambda f: f.lost_share >= _MOST),
    # no layer showed a signal: the hooks never fired, or nothing was measured
    ("unsure_unseen", lambda f: f.seen == 0 and f.layers == 0),
    # weights that are all 0 give no gradient to one another
    ("stuck_zero_weights", lambda f: f.zero_weights and not f.learned),
    # the weight gradients grow from step to step while the signal that they are made of does not
    ("uncleared", lambda f: f.heaped >= _HEAPED),
    ("underflow", _underflows),
    # a hidden layer that was 0 for every sample at step 0, and still is, lets nothing back
    ("dead_start", lambda f: min(f.dead_start, f.dead) >= _ALL and not f.learned),
    ("dead_by_step", lambda f: _is_killed(f) and (f.jumped or f.update_ratio_start > 0.1)),
    ("dead", _is_killed),
    ("step_too_large", lambda f: _stops(f) and f.jumped),
    ("dead_stop", _stops),
    # gates of a recurrent layer that stand at 0 or 1, where nothing teaches them
    ("saturated_gates", lambda f: f.gates >= _MOST and not f.learned),
    # scores so large that attention's softmax picks one step, and its slope is nearly 0
    ("saturated_attention", lambda f: f.logits >= _OUT_OF_SCALE and not f.learned),
    ("vanishing_truncated", lambda f: _fades(f) and f.cut > 0),
    ("exploding_time", lambda f: _fades(f) and f.through_time > 0),
    ("vanishing_time", _fades),
    # a post-LN transformer that took its whole learning rate from the first step (Xiong et al. 2020)
    (
        "stuck_warmup",
        lambda f: f.unwarmed and f.update_ratio_start > _STEADY and f.steps >= PLATEAU and not f.falling,
    ),
    # the backward signal grows toward the input; weight gradients may not show it (Glorot & Bengio 2010)
    ("exploding_survived", lambda f: _level(f) > 0 and f.learned),
    ("exploding_by_now", lambda f: _level(f) > 0 and f.decades_start < f.needed),
    ("exploding_hidden", lambda f: _level(f) > 0 and abs(f.grad_decades_start) < _MOST * abs(f.decades_start)),
    ("exploding", lambda f: _level(f) > 0),
    # units at the flat ends of a bounded activation, from the first step on
    ("saturated_start", lambda f: f.saturated_start >= _MOST and f.saturated >= _MOST),
    ("vanishing_survived", lambda f: _level(f) < 0 and f.learned),
    ("vanishing", lambda f: _level(f) < 0 and f.decades_start <= -f.needed),
    ("vanishing_by_now", lambda f: _level(f) < 0),
    ("stuck_scale", _stays_large),
    ("step_too_large", _overshoots),
    ("saturated", lambda f: f.saturated >= _MOST and not f.learned),
    ("clipped_always", lambda f: _clips_always(f) and f.clip_coef > 0),
    ("stuck_emptied", _clips_always),
    # no gradient ever reaches the first layers, although an optimizer holds their weights
    ("dead_cut", lambda f: f.steps >= FEWEST and f.cut_off > 0),
    ("stuck_silent", lambda f: _stands_still(f) and f.silent >= _MOST),
    ("stuck_decayed", lambda f: _stands_still(f) and f.update_ratio < _STILL and f.lr_left < _DECAYED),
    ("stuck_step", lambda f: _stands_still(f) and f.update_ratio < _STILL),
    ("stuck", lambda f: _is_level(f) and abs(f.loss_now - f.loss_before) < 0.03 * abs(f.loss_before)),
    ("stuck_chance", lambda f: _is_level(f) and 0.97 * f.chance < f.loss_now < 1.1 * f.chance),
    # a layer whose gradient is exactly 0 in every recent step, in a network that goes on around it
    ("dead_silent", lambda f: f.steps >= FEWEST and f.silent_layer > 0),
    ("healthy_shallow", lambda f: _thrives(f) and f.layers < 2 and f.learned),
    ("healthy_shallow_so_far", lambda f: _thrives(f) and f.layers < 2),
    ("healthy_so_far", lambda f: _thrives(f) and not f.learned),
    ("healthy_if_classes", lambda f: _thrives(f) and math.isnan(f.chance)),
    ("healthy", _thrives),
    # why there is no answer, where the numbers tell
    ("unsure_short", lambda f: f.steps < FEWEST),
    ("unsure_chance", lambda f: math.isnan(f.chance)),
    ("unsure_far", lambda f: f.loss_now > _FAR * f.chance),
    ("unsure", lambda f: True),
)
"""Keys of the verdicts, in the order in which a lecturer would rule them out: the first that holds is said."""


def judge(f: Findings) -> str:
    """Return the key of the first rule that holds."""
    return next(key for key, holds in RULES if holds(f))


# ---------------------------------------------------------------------- why
def cause(config: Config | None, f: Findings) -> str:
    """Return the key of the reason why the signal grows or shrinks at step 0; without a config nobody knows it."""
    grows = f.decades_start > 0
    if config is None:
        return "own_grows" if grows else "own_shrinks"
    if config.norm != "none":
        return "norm" if grows else "slope"
    if grows:
        return "residual" if config.residual else "weights_large"
    variance = VARIANCES.get(config.init, VARIANCES["normal"])  # of an init without a formula, that of a normal one
    sound = 0.95 * SOUND_VARIANCE.get(config.activation, 0.0)
    small = config.width * variance(config.gain, config.width, config.width) < sound
    return "weights_small" if small else "slope"


SOUND_VARIANCE = {"relu": 2.0, "leaky_relu": 2 / 1.04, "gelu": 2.0, "silu": 2.0} | dict.fromkeys(
    ("linear", "tanh", "selu", "sigmoid"), 1.0
)
"""Weight variance times fan_in below which too small weights are to blame; above it a sigmoid's slope still is."""


# ---------------------------------------------------------------------- what to try
CRITICAL: dict[str, Change] = {
    **{phi: {"init": "normal", "gain": 1.0} for phi in ("linear", "tanh", "selu")},
    **{phi: {"init": "kaiming", "gain": 1.0} for phi in ("relu", "gelu", "silu")},
    "leaky_relu": {"init": "kaiming", "gain": round(math.sqrt(1 / 1.04), 4)},
    "sigmoid": {"activation": "tanh", "init": "normal", "gain": 1.0},
}
"""The init at which the backward signal keeps its size (chi = 1, or near it), by activation; sigmoid has none
(Poole 2016, Schoenholz 2017)."""


def suggest(key: str, config: Config | None, f: Findings, own_network: bool) -> Change:
    """Return what to change next for a verdict's key, {} if nothing or if there is no config to change.

    With a network that is not the config's (`own_network`) only knobs of the training can help.
    """
    cure = next((cure for cure, keys in CURES.items() if key in keys.split()), None)
    if config is None or cure is None:
        return {}
    change = cure(config, f)
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


def through_time(config: Config, f: Findings) -> Change:
    """The whole sequence, a forget gate that stands open, or a recurrent matrix that keeps lengths."""
    if f.cut:
        return {"truncate": 0}
    if f.through_time > 0 and config.clip == "none":
        return {"clip": "global_norm", "clip_threshold": 1.0}
    if config.architecture == "lstm" and f.through_time < 0:
        return {"forget_bias": config.forget_bias + 1.0}
    change = {"recurrent_init": "orthogonal", "recurrent_gain": 1.0, "activation": "tanh"}
    return _if_used(config, change) or {"architecture": "lstm", "forget_bias": 1.0}


def smaller_scores(config: Config, f: Findings) -> Change:
    """Weights of the usual size, of gates or of attention; where they are, a smaller step."""
    change = {"init": "xavier", "gain": 1.0, "recurrent_gain": 1.0, "forget_bias": min(config.forget_bias, 1.0)}
    return _if_used(config, change) or smaller_step(config, f)


def _if_used(config: Config, change: Change) -> Change:
    """Return what of a change is one, of the knobs that the architecture reads."""
    known = uses(config.architecture)
    return {name: value for name, value in change.items() if name in known and getattr(config, name) != value}


def smaller_step(config: Config, f: Findings) -> Change:
    """Whatever makes steps larger than the learning rate says, else a tenth of the learning rate."""
    if config.architecture == "transformer" and not config.warmup:
        return {"warmup": 100}
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


def scale_loss(config: Config, f: Findings) -> Change:
    """The loss scale at which nearly no entry is lost; where all are, one that finds itself."""
    return {"loss_scale": f.scale_to_try if f.scale_to_try < 2.0**24 else "dynamic"}


def fit_range(config: Config, f: Findings) -> Change:
    """A scale that comes down by itself; where it has no more room, the format with float32's range."""
    return {"loss_scale": "dynamic"} if f.loss_scale > 1 and config.loss_scale != "dynamic" else wide_range(config, f)


def wide_range(config: Config, f: Findings) -> Change:
    """The half format with float32's range; a loss scale does not help what overflows on the way forward."""
    return {"precision": "bfloat16", "loss_scale": 1.0}


CURES: dict[Callable[[Config, Findings], Change], str] = {
    sound_signal: "exploding exploding_hidden exploding_survived diverged_exploding vanishing vanishing_survived "
    "saturated_start stuck_zero_weights",
    through_time: "vanishing_time vanishing_truncated exploding_time diverged_time",
    smaller_scores: "saturated_gates saturated_attention",
    smaller_step: "exploding_by_now vanishing_by_now diverged_step diverged_scale stuck_scale diverged_skipped "
    "step_too_large saturated dead_by_step stuck_warmup",
    revive: "dead dead_start dead_silent stuck_silent",
    higher_threshold: "clipped_always",
    scale_loss: "underflow",
    fit_range: "overflow",
    wide_range: "overflow_forward",
    larger_step: "stuck_step",
    another_optimizer: "stuck stuck_chance",
}
"""What to try: the cure, and the keys of the verdicts that it is for."""


def _one_digit(value: float) -> float:
    return float(f"{value:.0e}")
