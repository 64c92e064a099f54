"""`predict`: what mean-field theory says of a `Config` before the first step."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from torch import nn

from gradlab.config import Config
from gradlab.data import DATASETS
from gradlab.engine.precision import FORMATS, LossScale
from gradlab.growth import Growth, times
from gradlab.locale import Said
from gradlab.registry import brief
from gradlab.theory.mean_field import MeanField, why_no_profile
from gradlab.theory.moments import SilenceError
from gradlab.theory.profile import Profile
from gradlab.theory.signal import read_signal

Regime = Literal["exploding", "vanishing", "critical"]

_CRITICAL = 1e-3  # |log chi| below it: a depth scale beyond 1000 layers, the deepest network there is
_STEADY = 0.05  # decades over all layers: less is the rounding of "keeps its size"


@dataclass(frozen=True)
class Prediction:
    """What theory expects of the backward signal at initialisation; fields are None where it is silent.

    Attributes
    ----------
    chi : float or None
        Factor of the *squared* norm |delta|^2 per layer toward the input, where the forward signal has
        settled (Schoenholz et al. 2017).
    q_star : float or None
        Variance of a pre-activation (with `residual`, of the stream) where it settles: 0 if the signal dies
        out, None if it grows for ever.
    growth_per_layer : float or None
        Factor of the *norm* |delta| per layer toward the input: the square root of chi.
    regime : str or None
        ``"exploding"`` (chi > 1), ``"vanishing"`` (chi < 1) or ``"critical"`` (within 0.1 % of 1; the signal may
        then still grow like a power of the depth).
    depth_scale : float or None
        1 / |log chi|: layers over which |delta|^2 changes e-fold; inf at chi = 1.
    reason : str
        Empty, or "no prediction, because ..."; beside a chi it is the profile alone that is missing.
    """

    chi: float | None = None
    q_star: float | None = None
    growth_per_layer: float | None = None
    regime: Regime | None = None
    depth_scale: float | None = None
    reason: str = ""
    _profile: Callable[[int | None], Profile] | None = field(default=None, repr=False, compare=False)
    _why: str = field(default="", repr=False, compare=False)
    time_factor: float | None = None  # of |dL/dh| per time step back, in the last recurrent layer: see `through_time`
    _through_time: Said | None = field(default=None, repr=False, compare=False)

    def delta_profile(self, depth: int | None = None) -> Profile | None:
        """Return the expected profile of `delta_norm` at step 0, or None where `reason` says why not.

        Parameters
        ----------
        depth : int, optional
            Hidden layers, at least 1. Default: the config's.
        """
        return None if self._profile is None else self._profile(depth)

    @property
    def sentence(self) -> Said:
        """The prediction in one sentence."""
        if self._through_time is not None:
            return self._through_time
        if self.chi is None:
            return Said("theory.none_sentence", why=self._why)
        rate, in_all = (math.log10(self.chi) if self.chi > 0 else -math.inf) / 2, self._in_all()
        near = self.regime != "critical" and times(rate) == "1"
        word = "near" if near else self.regime
        return Said(f"theory.{word}", rate=times(rate), in_all="" if in_all is None else _said(in_all, rate))

    def _in_all(self) -> Growth | None:
        """The growth over the hidden layers; None where there is no profile, or too short a one."""
        profile = self.delta_profile()
        if profile is None or not math.isfinite(profile.log_norm[0]) or profile.anchor < 2:
            return None
        return Growth(float(profile.log_norm[0]) / math.log(10), profile.anchor)


def _said(in_all: Growth, rate: float) -> Said:
    """Say the growth over the hidden layers, with a "but" where it is not what the layers deep in the network do."""
    steady = abs(in_all.decades - rate * (in_all.layers - 1)) < _STEADY
    agrees = steady or (times(rate) != "1" and rate * in_all.decades > 0)
    key = "theory.in_all" if agrees else "theory.in_all_but"
    return Said(key, layers=in_all.layers, total=times(in_all.decades))


def predict(
    config: Config,
    inputs: int | None = None,
    outputs: int | None = None,
    input_norm: Any = None,
    network: nn.Module | None = None,
) -> Prediction:
    """Predict the backward signal of a config's network at initialisation by mean-field theory.

    Works for any activation, init, norm and residual setting that theory covers, also for an activation
    registered in a notebook cell, which is averaged by quadrature over itself and its autograd derivative.

    Parameters
    ----------
    config : Config
        The network, its init, and the data set unless the following three are given.
    inputs, outputs : int, optional
        Columns of X and of the output, for data of your own.
    input_norm : float or array (samples,), optional
        2-norm of a sample, or of each sample, for data of your own.
    network : torch.nn.Module, optional
        A network of your own: theory is silent about it, whatever the config says.

    Returns
    -------
    Prediction
        With its `reason` where theory is silent.

    Raises
    ------
    ValueError
        If an argument is not accepted, or only some of inputs, outputs and input_norm are given.

    Notes
    -----
    Forward: Poole et al. (2016), "Exponential expressivity in deep neural networks through transient chaos".
    Backward: Schoenholz et al. (2017), "Deep information propagation"; batch norm: Yang et al. (2019);
    residual: Yang & Schoenholz (2017). Finite width: Hanin (2018); Hanin & Nica (2019).
    """
    if not isinstance(config, Config):
        raise ValueError(f"config={brief(config)}; expected a Config")
    if network is not None:
        return _silent(Said("silence.own"))
    try:
        return _predict(config, inputs, outputs, input_norm)
    except SilenceError as silence:
        factor, said = through_time(config)
        return replace(_silent(silence.args[0]), time_factor=factor, _through_time=said)


def floor_depth(config: Config, entry: float | None = None) -> float:
    """Return how many layers chi lets an entry of d loss / d z cross before it rounds to 0 in the config's format.

    Parameters
    ----------
    config : Config
        Its precision (float32 where that is full), its loss scale (the first of a dynamic one) and its network.
    entry : float, optional
        Size of an entry at the last hidden layer. Default: 1 / (batch_size sqrt(width)), a signal of length 1 in the
        mean over a micro-batch.

    Returns
    -------
    float
        log(entry * loss_scale / floor) / log(1 / sqrt(chi)), at least 0; inf where chi is 1 or more, nan where theory
        is silent. The floor is half the smallest subnormal number (2^-25 in float16).
    """
    chi = predict(config).chi
    if chi is None:
        return math.nan
    if chi >= 1:
        return math.inf
    floor = FORMATS[config.precision].smallest / 2 if config.half_dtype else 2.0**-150
    start = entry or 1 / (config.batch_size * math.sqrt(config.width))
    decades = math.log10(start * LossScale.of(config.loss_scale).scale / floor)
    return max(0.0, -2 * decades / math.log10(chi)) if chi else 0.0


def _silent(why: str) -> Prediction:
    return Prediction(reason=Said("theory.none", why=why), _why=why)


_STEEPEST = {"linear": 1.0, "tanh": 1.0, "relu": 1.0, "leaky_relu": 1.0, "sigmoid": 0.25}  # the largest |phi'|


def through_time(config: Config) -> tuple[float | None, Said | None]:
    """Return the factor of |dL/dh| per time step back at initialisation and a sentence, None where there is no law.

    A linear RNN of W_hh = g times orthogonal: exactly g; of independent entries of variance g^2/n: g in the mean
    square. Another phi multiplies by at most its steepest slope (Pascanu et al. 2013). An LSTM's cell by itself,
    while its gates stand where the biases put them: sigmoid(forget bias); the joint state (h, c) decays more slowly.
    """
    if config.architecture not in ("rnn", "lstm") or not DATASETS[config.dataset].options.get("sequence"):
        return None, None
    slope, gain = _STEEPEST.get(config.activation), config.recurrent_gain
    if config.architecture == "lstm":
        kind, factor = "cell", 1 / (1 + math.exp(-config.forget_bias))
    elif config.recurrent_init == "orthogonal" and slope is not None:
        kind, factor = "exact" if config.activation == "linear" else "bound", slope * gain
    elif config.recurrent_init == "normal" and config.activation == "linear":
        kind, factor = "mean", gain
    else:
        return None, None
    steps = (config.truncate or config.sequence_length) - 1
    total = times(steps * math.log10(factor) if factor > 0 else -math.inf)
    return factor, Said(f"theory.time_{kind}", factor=f"{factor:.3g}", steps=steps, total=total)


def _predict(config: Config, inputs: Any, outputs: Any, input_norm: Any) -> Prediction:
    signal = read_signal(config, inputs, outputs, input_norm)
    theory = MeanField(config, signal)
    chi, q = theory.limit()
    reason = why_no_profile(config, signal)
    made = None if reason else theory.profile()

    def profile(depth: int | None) -> Profile:
        if depth is None or depth == config.depth:
            assert made is not None
            return made
        return MeanField(config.replace(depth=depth), signal).profile()

    return Prediction(
        chi=chi,
        q_star=q if math.isfinite(q) else None,
        growth_per_layer=math.sqrt(chi),
        regime=_regime(chi),
        depth_scale=1 / abs(math.log(chi)) if chi not in (0.0, 1.0) else (0.0 if chi == 0 else math.inf),
        reason=reason,
        _profile=None if reason else profile,
    )


def _regime(chi: float) -> Regime:
    if chi > math.exp(_CRITICAL):
        return "exploding"
    return "vanishing" if chi < math.exp(-_CRITICAL) else "critical"
