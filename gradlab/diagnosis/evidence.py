"""`Findings`: the numbers of a history that a verdict rests on."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist, median_high
from typing import Any

import numpy as np

from gradlab.config import Config
from gradlab.growth import growth
from gradlab.history import Array, History

SEVERE = 1.5  # decades between the ends of the hidden layers that no finite-width luck explains
MILD = 1.0  # decades that matter if the network does not learn
_CLIPPED = 0.999  # a clip_coef below it was clipped, not rounded
_MOST_RECENT = 50
_SURE = 0.7 * math.log(2)  # a cross-entropy below it beats guessing, however many classes there are
_FAR_FROM_ZERO = 1e-20  # a signal whose next value cannot have been rounded to 0
_BLOWN_UP = 100.0  # times its start: a loss that announces a divergence
_OPENING = 3  # steps in which a zero-initialised layer has let the first signal through


@dataclass(frozen=True)
class Findings:
    """The numbers that a diagnosis rests on; nan where a history does not tell."""

    steps: int
    seen: int  # layers whose backward signal was seen in any of the recent steps
    # log10 of how much larger the backward signal |dL/dz| is at the first hidden layer than at the last one, at step
    # 0 and lately: negative where it vanishes, -inf where it arrives as exactly 0
    decades_start: float
    decades_now: float
    rate: float  # growth of the norm of the backward signal per layer toward the input, at step 0 (its square is chi)
    grad_decades_start: float  # the same decades for the weight gradients |dL/dW|
    # standard deviation of `decades_start` that finite width alone makes (Hanin 2018); nan without a width
    spread: float
    layers: int  # hidden layers from the first to the last that showed a backward signal at step 0
    # number of the layer whose weights change the backward signal most, in the direction of `decades_start`, and
    # whether it does so far more than the others
    steepest: int
    outstanding: bool
    # number of the layer, counted from the output, at which the backward signal is suddenly exactly 0 in all recent
    # steps; 0 if at none
    stopped: int
    blind: float  # share of the layers whose backward signal was not seen lately
    # log10 of the signal dL/dh at the first time step over that at the last, in the recurrent layer that loses or
    # gains most, at step 0; nan without recurrence
    through_time: float
    cut: int  # time steps from the first on whose signal is exactly 0, not by underflow: truncation, or a `detach`
    gates: float  # share of the gates at 0 or 1 lately, in the LSTM or GRU layer that has most
    logits: float  # size of the scores that attention's softmax gets lately, in the block with the largest
    unwarmed: bool  # whether it is a post-LN transformer whose learning rate did not warm up
    output_signal: float  # |dL/dz| of the output layer at step 0: at most sqrt(2) for cross-entropy
    # loss at the first step, lately (median), and the largest one that is finite
    loss_first: float
    loss_now: float
    loss_max: float
    loss_before: float  # median of the stretch before the recent one: whether the loss still moves
    chance: float  # the loss of guessing: ln(classes), or the variance of the targets; nan where nobody has said it
    # share of the steps that were clipped; median of what was left of the norm
    clipped_share: float
    clip_coef: float
    # median over the layers with a gradient of |change of W| / |W|, in the first three steps and lately
    update_ratio_start: float
    update_ratio: float
    lr_left: float  # the learning rate now over that of the first step; nan where it is not known
    # Share of dead units in the hidden layer that has most of them, at step 0 and in the last three steps, and its
    # number. Layers whose weights are all 0, as a zero-initialised branch's are, do not count
    dead_start: float
    dead: float
    dead_layer: int
    # share of saturated units over the hidden layers
    saturated_start: float
    saturated: float
    # share of the hidden layers whose weight gradient is exactly 0 in every recent step, and the number of the first;
    # 0 if there is none
    silent: float
    silent_layer: int
    # leading layers whose weights an optimizer holds and no gradient ever reaches, while others have theirs
    cut_off: int
    zero_weights: bool  # whether every hidden weight matrix was exactly 0 at step 0
    # whether a divergence began with a NaN that came out of the first layer while its weights were sound
    bad_data: bool
    diverged: str  # the tensor in which the run left the finite numbers; empty while it has not
    # By how much the weight gradients have outgrown the backward signal since step 0, while doing so steadily; 1
    # where they have not. |dL/dW| is at most |delta| |h|, unless old gradients are still in it
    heaped: float
    lost_share: float  # share of the recent steps that were not finite
    # in half precision: share of exact zeros in the layer that lately has most of them, and its number; the largest
    # share of subnormal numbers in a layer; share of the recent steps with an entry beyond the format
    underflow: float
    underflow_layer: int
    subnormal: float
    overflow: float
    loss_scale: float
    scale_to_try: float  # at which 1 % would round to 0 where entries are normal; inf where all are 0

    @property
    def learned(self) -> bool:
        """Whether the loss is well below guessing, and below where it began."""
        return self.loss_now == 0 or self.loss_now < 0.7 * self.reference

    @property
    def falling(self) -> bool:
        """Whether the loss has begun to fall below guessing, and below where it began."""
        return self.loss_now == 0 or self.loss_now < 0.9 * self.reference

    @property
    def reference(self) -> float:
        """The loss that a network has to beat: the smaller of its first one and guessing.

        Where nobody has said what guessing costs, only what no number of classes explains counts as beating it.
        """
        return min(self.loss_first, _SURE / 0.7 if math.isnan(self.chance) else self.chance)

    @property
    def jumped(self) -> bool:
        """Whether the loss has been far above where it began."""
        return self.loss_first > 0 and self.loss_max > 2.0 * self.loss_first

    @property
    def needed(self) -> float:
        """The decades over the depth that make a signal explode or vanish."""
        if math.isnan(self.spread):  # layers of unknown and unlike widths: only what cannot be a change of shape
            return 2.0 if self.layers >= 4 else math.inf
        return SEVERE if self.learned else min(SEVERE, max(MILD, 3 * self.spread))

    def evidence(self) -> dict[str, float]:
        """Return the numbers that are known, as floats."""
        values = {name: float(value) for name, value in dataclasses.asdict(self).items() if name != "diverged"}
        return {name: value for name, value in values.items() if not math.isnan(value)}


def describes(config: Config | None, history: History) -> bool:
    """Whether a config's network is the one a history was recorded from (and not somebody's own)."""
    if config is None or not history.layer_names:
        return False
    if config.architecture != "mlp":
        named = ("conv1", "embed", f"{config.architecture}1.input")
        return history.layer_names[-1] == "readout" and history.layer_names[0] in named
    names = tuple(f"layer {i + 1}" for i in range(len(history.layer_names)))
    return history.layer_names == names and config.depth + 1 == len(names)


def find(history: History, config: Config | None, chance: float = math.nan) -> Findings:
    """Read the numbers off a history of at least one step; `chance` overrides what the history knows of guessing.

    Only the first and the recent rows are read of what is kept per layer, so that it takes as long after a million
    steps as after fifty.
    """
    n, n_layers = len(history), len(history.layer_names)
    hidden = slice(0, max(n_layers - 1, 1))  # the output layer's width, not its depth, sets its signal apart
    stretch = _stretch(history)
    recent = max(stretch, n - min(max((n - stretch) // 4, 1), _MOST_RECENT))
    before = slice(max(stretch, 2 * recent - n), recent)
    loss = history.column("loss")
    deltas, last = history.column("delta_norm", recent), history.column("weight_norm", max(n - 3, 0))
    grads = history.column("grad_norm", recent)[:, hidden]
    chance = history.chance_loss if math.isnan(chance) else chance
    opening = _opening(history)
    first = growth(history.row("delta_norm", opening))
    steepest, outstanding = _steepest(history.row("delta_norm", opening), 0.0 if first is None else first.decades)
    dead = np.min(np.where(last > 0, history.column("dead", max(n - 3, 0)), 0.0)[:, hidden], 0)
    dead_start = np.where(history.row("weight_norm", 0) > 0, history.row("dead", opening), 0.0)[hidden]
    saturated = history.column("saturated", recent)[:, hidden]
    coef = history.column("clip_coef", stretch)
    silent = (grads == 0).all(axis=0) & (history.column("has_gradient", recent)[:, hidden] == 1).all(axis=0)
    through, cut = _through_time(history.row("time_norm", opening))
    own = config if describes(config, history) else None
    return Findings(
        steps=int(history.row("step", n - 1)) + 1,
        seen=int(np.isfinite(deltas).any(axis=0).sum()),
        decades_start=math.nan if first is None else first.decades,
        decades_now=median_high([d for d in map(_decades, deltas) if not math.isnan(d)] or [math.nan]),
        rate=math.nan if first is None else first.per_layer,
        grad_decades_start=_decades(history.row("grad_norm", opening)),
        spread=_spread(first.layers, own.width) if first and own and own.architecture == "mlp" else math.nan,
        layers=0 if first is None else first.layers,
        steepest=steepest,
        outstanding=outstanding,
        stopped=_stopped(deltas),
        blind=float(np.isnan(deltas).all(axis=0).mean()) if n_layers else 1.0,
        through_time=through,
        cut=cut,
        gates=_largest(history, "saturated", r"(lstm|gru)\d+\.recurrent", recent),
        logits=_logits(history, config, recent),
        unwarmed=bool(own and own.architecture == "transformer" and own.norm_position == "post" and not own.warmup),
        output_signal=float(history.row("delta_norm", opening)[-1]) if n_layers else math.nan,
        loss_first=float(loss[0]),
        loss_now=_median(loss[recent:]),
        loss_max=float(np.max(loss[np.isfinite(loss)], initial=-math.inf)),
        loss_before=_median(loss[before]),
        chance=chance if chance > 0 else math.nan,  # to guess targets that are all alike costs, and tells, nothing
        clipped_share=float(np.mean(coef < _CLIPPED)),
        clip_coef=_median(coef),
        update_ratio_start=_median(np.array([_updates(history.row, i) for i in range(min(3, n))])),
        update_ratio=_median(_updates(history.column, recent)),
        lr_left=float(history.row("lr", -1)) / (float(history.row("lr", 0)) or math.nan),
        dead_start=float(np.nanmax(dead_start, initial=0.0)),
        dead=float(np.nanmax(dead, initial=0.0)),
        dead_layer=int(np.nan_to_num(dead).argmax()) + 1 if len(dead) else 0,
        saturated_start=_mean(history.row("saturated", 0)[hidden]),
        saturated=_mean(saturated),
        silent=float(np.mean(silent)) if silent.size else 0.0,
        silent_layer=int(silent.argmax()) + 1 if silent.any() else 0,
        cut_off=_cut_off(history, recent),
        zero_weights=bool(np.all(history.row("weight_norm", 0)[hidden] == 0)),
        bad_data=_bad_data(history),
        diverged=history.diverged.tensor if history.diverged else "",
        heaped=_heaped(history, opening),
        lost_share=float(np.mean(~np.isfinite(loss[recent:]))),
        **_in_format(history, recent),
    )


def _in_format(history: History, recent: int) -> dict[str, Any]:
    """Return what the format of half precision made of the recent gradients."""
    scale = float(history.row("loss_scale", -1))
    found = {"underflow": 0.0, "underflow_layer": 0, "subnormal": 0.0, "overflow": 0.0}
    if history.precision == "full" or not history.layer_names:
        return {**found, "loss_scale": scale, "scale_to_try": scale}
    shares = [history.column(name, recent) for name in ("zero_share", "subnormal_share")]
    zero, subnormal = (np.nan_to_num(np.median(share, axis=0)) for share in shares)
    over = np.max(np.nan_to_num(history.column("overflow_share", recent)), axis=1) > 0
    return {
        "underflow": float(zero.max()),
        "underflow_layer": int(zero.argmax()) + 1,
        "subnormal": float(subnormal.max()),
        "overflow": float(over[-1] if history.diverged is not None else np.mean(over)),
        "loss_scale": scale,
        "scale_to_try": _scale_to_try(float(zero.max()), scale),
    }


def _scale_to_try(share: float, scale: float) -> float:
    """Return the power of two by which a share of zeros, erf(floor / (s sqrt 2)) of N(0, s^2), falls to 1 %."""
    if not 0.01 < share < 0.999:
        return math.inf if share >= 0.999 else scale
    times = NormalDist().inv_cdf((1 + share) / 2) / NormalDist().inv_cdf(0.505)
    return scale * 2.0 ** math.ceil(math.log2(times))


def _stretch(history: History) -> int:
    """Return the row from which on the knobs were as they are now, or 0 if that is too recent to judge."""
    moved = [mark.step for mark in history.marks if mark.kind == "knob"]
    row = int(np.searchsorted(history.column("step"), moved[-1])) if moved else 0
    return row if len(history) - row >= 5 else 0


def _through_time(norms: Array) -> tuple[float, int]:
    """Return the decades from the last time step back to the first, and the first steps whose signal is exactly 0.

    Of norms ``(recurrent layers, T)``, the layer that loses or gains most.
    """
    found, cut = math.nan, 0
    for layer in norms:
        ends = layer[np.isfinite(layer)]
        if len(ends) and ends[-1] > 0:
            decades = math.log10(ends[0] / ends[-1]) if ends[0] > 0 else -math.inf
            found = found if abs(found) >= abs(decades) else decades
            nothing = int((ends > 0).argmax())
            cut = max(cut, nothing if ends[nothing] > _FAR_FROM_ZERO else 0)
    return found, cut


def _largest(history: History, measure: str, pattern: str, recent: int) -> float:
    """Return the largest recent mean of a measure over the layers of such a name, 0 without any."""
    named = [i for i, name in enumerate(history.layer_names) if re.fullmatch(pattern, name)]
    return float(np.nanmax(history.column(measure, recent)[:, named].mean(0), initial=0.0))


def _logits(history: History, config: Config | None, recent: int) -> float:
    """Return the standard deviation of q k / sqrt(d), of d entries per head each as large as the block's q, k, v."""
    if config is None or config.architecture != "transformer":
        return math.nan
    entries = _largest(history, "activation_std", r"block\d+\.qkv", recent)
    return entries**2 * math.sqrt(config.width / config.heads)


def _opening(history: History) -> int:
    """Return the first row whose backward signal reaches every layer, or 0.

    A zero-initialised output, or the zero factor of LoRA, lets nothing back in step 0 and everything from step 1 on.
    """
    rows = range(min(_OPENING, len(history)))
    return next((i for i in rows if not (history.row("delta_norm", i) == 0).any()), 0)


def _decades(norms: Array) -> float:
    found = growth(norms)
    return math.nan if found is None else found.decades


def _steepest(norms: Array, decades: float) -> tuple[int, bool]:
    """Return the number of the layer through whose weights the signal changes most, and whether it stands out."""
    seen = np.flatnonzero(np.isfinite(norms) & (norms > 0))
    if len(seen) < 2:
        return 0, False
    change = np.diff(np.log10(norms[seen])) * (-1 if decades > 0 else 1)
    most = float(change.max())
    return int(seen[1:][change.argmax()]) + 1, most > 0.5 and most > 3 * float(np.median(np.abs(change)))


def _stopped(deltas: Array) -> int:
    """Return the last layer whose signal is always 0 although the next one's is far from underflow, or 0."""
    zero, alive = np.all(deltas == 0, axis=0), np.any(deltas > _FAR_FROM_ZERO, axis=0)
    stops = np.flatnonzero(np.logical_and(zero[:-1], alive[1:]))
    return int(stops[-1]) + 1 if len(stops) else 0


def _updates(read: Callable[[str, int], Array], row: int) -> Array:
    """Return |change of W| / |W| at a row, or from it on; nan for a layer without gradient."""
    return np.where(read("has_gradient", row) == 1, read("update_ratio", row), math.nan)


def _cut_off(history: History, recent: int) -> int:
    has = history.column("has_gradient", recent).any(axis=0)
    idle = (history.column("update_ratio", recent) == 0).all(axis=0)  # nan where a layer is frozen
    return int(has.argmax()) if has.any() and idle[: has.argmax()].all() else 0


def _bad_data(history: History) -> bool:
    diverged = history.diverged
    if diverged is None or (diverged.layer, diverged.tensor) != (1, "activation") or not math.isnan(diverged.value):
        return False
    row = int(np.searchsorted(history.column("step"), diverged.step))
    if row >= len(history) or not math.isfinite(history.row("weight_norm", row)[0]):
        return False
    losses = history.column("loss")[:row]
    return not (losses > _BLOWN_UP * losses[:1]).any()  # else it overflowed inside the layer, as a recurrent one can


def _heaped(history: History, opening: int) -> float:
    """Return by how much weight gradients stand above the signal lately, if they heaped up from the start; else 1.

    A sum of k gradients is about k times as long as one while they agree, and sqrt(k) times where they are noise.
    Where `watch` saw them cleared, fresh ones can outgrow the signal as well, as samples come to agree.
    """
    rows = range(opening, min(opening + 5, len(history)))
    seen = any(mark.kind == "uncleared" for mark in history.marks)
    if not seen or len(rows) < 5 or history.row("step", rows[-1]) - history.row("step", rows[0]) != 4:
        return 1.0
    shares = np.array([_share_of_signal(history, i) for i in rows])
    if not shares[0] > 0:
        return 1.0
    grown = shares / (shares[0] * np.sqrt(np.arange(1, 6)))
    lately = [_share_of_signal(history, i) for i in range(max(opening + 1, len(history) - 9), len(history))]
    known = [share for share in lately if math.isfinite(share)]
    heaps = bool((grown[1:] >= 0.7).all()) and known
    return float(np.median(known) / shares[0]) if heaps else 1.0


def _share_of_signal(history: History, row: int) -> float:
    """Return |dL/dW| / |dL/dz|, the median over layers: if all is fresh, at most the size of what a layer is fed."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return _median(history.row("grad_norm", row) / history.row("delta_norm", row))


def _spread(layers: int, width: int) -> float:
    """Return the spread of log10 |delta|: Var log |delta|^2 is about 5 L / n for ReLU (Hanin 2018)."""
    return 0.5 * math.sqrt(5 * max(layers - 1, 0) / width) / math.log(10)


def _median(values: Array) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else math.nan


def _mean(values: Array) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else math.nan
