"""`Findings`: the numbers of a history that a diagnosis rests on."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np

from gradlab.config import Config
from gradlab.growth import growth
from gradlab.history import Array, History

CLASSES = {"moons": 2, "circles": 2, "spirals": 2, "xor": 2, "blobs": 3, "digits": 10, "article": 4}
_CLIPPED = 0.999  # a clip_coef below it was clipped, not rounded
_MOST_RECENT = 50


@dataclass(frozen=True)
class Findings:
    """The numbers that a diagnosis rests on; nan where a history does not tell.

    Attributes
    ----------
    steps : int
        Steps taken.
    decades_start, decades_now : float
        log10 of how much larger the backward signal |dL/dz| is at the first hidden layer than at the last one,
        at step 0 and lately: negative where it vanishes.
    rate : float
        Growth of the norm of the backward signal per layer toward the input, at step 0 (its square is chi).
    grad_decades_start : float
        The same decades for the weight gradients |dL/dW|.
    spread : float
        Standard deviation of `decades_start` that finite width alone makes (Hanin 2018); nan without a width.
    layers : int
        Hidden layers that showed a backward signal at step 0.
    loss_first, loss_now, loss_max : float
        Loss at the first step, lately (median), and the largest one that is finite.
    loss_before : float
        Median of the stretch before the recent one: whether the loss still moves.
    chance : float
        The loss of guessing all classes alike, ln(classes).
    clipped_share, clip_coef : float
        Share of the steps that were clipped; median of what was left of the norm.
    update_ratio_start, update_ratio : float
        Median over layers of |change of W| / |W|, in the first three steps and lately.
    dead_start, dead, dead_layer : float, float, int
        Share of dead units in the hidden layer that has most of them, at step 0 and in the last three steps,
        and its number.
    saturated_start, saturated : float
        Share of saturated units over the hidden layers.
    silent : float
        Share of the hidden layers whose weight gradient is exactly 0 lately.
    zero_weights : bool
        Whether every hidden weight matrix was exactly 0 at step 0.
    lost_share : float
        Share of the recent steps that were not finite.
    """

    steps: int
    decades_start: float
    decades_now: float
    rate: float
    grad_decades_start: float
    spread: float
    layers: int
    loss_first: float
    loss_now: float
    loss_max: float
    loss_before: float
    chance: float
    clipped_share: float
    clip_coef: float
    update_ratio_start: float
    update_ratio: float
    dead_start: float
    dead: float
    dead_layer: int
    saturated_start: float
    saturated: float
    silent: float
    zero_weights: bool
    lost_share: float

    @property
    def learned(self) -> bool:
        """Whether the loss is well below where it began, and below guessing."""
        return self.loss_now < 0.7 * self.reference

    @property
    def falling(self) -> bool:
        """Whether the loss has begun to fall below where it began, and below guessing."""
        return self.loss_now < 0.9 * self.reference

    @property
    def reference(self) -> float:
        """The loss that a network has to beat: the smaller of its first one and guessing."""
        return self.loss_first if math.isnan(self.chance) else min(self.loss_first, self.chance)

    @property
    def jumped(self) -> bool:
        """Whether the loss has been far above where it began."""
        return self.loss_max > 2.0 * self.loss_first

    def evidence(self) -> dict[str, float]:
        """Return the numbers that are known, as floats."""
        values = {name: float(value) for name, value in dataclasses.asdict(self).items()}
        return {name: value for name, value in values.items() if not math.isnan(value)}


def describes(config: Config | None, history: History) -> bool:
    """Whether a config's network is the one a history was recorded from (and not somebody's own)."""
    names = tuple(f"layer {i + 1}" for i in range(len(history.layer_names)))
    return config is not None and history.layer_names == names and config.depth + 1 == len(names)


def find(history: History, config: Config | None) -> Findings:
    """Read the numbers off a history of at least one step."""
    n_layers = len(history.layer_names)
    hidden = slice(0, max(n_layers - 1, 1))  # the output layer's width, not its depth, sets its signal apart
    stretch = _stretch(history)
    recent = slice(max(stretch, len(history) - _recent_length(len(history) - stretch)), None)
    before = slice(max(stretch, 2 * (recent.start or 0) - len(history)), recent.start)
    deltas, loss = history.column("delta_norm"), history.column("loss")
    dead = np.min(history.column("dead")[-3:, hidden], 0)
    saturated = history.column("saturated")[:, hidden]
    coef, ratio = history.column("clip_coef")[stretch:], history.column("update_ratio")
    first = growth(deltas[0])
    layers = 0 if first is None else first.layers
    known = config if describes(config, history) else None
    return Findings(
        steps=int(history.column("step")[-1]) + 1,
        decades_start=math.nan if first is None else first.decades,
        decades_now=_median(np.array([_decades(row) for row in deltas[recent]])),
        rate=math.nan if first is None else first.per_layer,
        grad_decades_start=_decades(history.column("grad_norm")[0]),
        spread=_spread(layers, known.width) if known else math.nan,
        layers=layers,
        loss_first=float(loss[0]),
        loss_now=_median(loss[recent]),
        loss_max=float(np.max(loss[np.isfinite(loss)], initial=-math.inf)),
        loss_before=_median(loss[before]),
        chance=math.log(CLASSES[known.dataset]) if known and known.dataset in CLASSES else math.nan,
        clipped_share=float(np.mean(coef < _CLIPPED)),
        clip_coef=_median(coef),
        update_ratio_start=_median(ratio[:3]),
        update_ratio=_median(ratio[recent]),
        dead_start=float(np.nanmax(history.column("dead")[0, hidden])),
        dead=float(dead.max()),
        dead_layer=int(dead.argmax()) + 1,
        saturated_start=float(np.mean(saturated[0])),
        saturated=float(np.mean(saturated[recent])),
        silent=float(np.mean(history.column("grad_norm")[recent, hidden] == 0)),
        zero_weights=bool(np.all(history.column("weight_norm")[0, hidden] == 0)),
        lost_share=float(np.mean(~np.isfinite(loss[recent]))),
    )


def _stretch(history: History) -> int:
    """Return the row from which on the knobs were as they are now, or 0 if that is too recent to judge."""
    moved = [mark.step for mark in history.marks if mark.kind == "knob"]
    row = int(np.searchsorted(history.column("step"), moved[-1])) if moved else 0
    return row if len(history) - row >= 5 else 0


def _recent_length(length: int) -> int:
    return min(max(length // 4, 1), _MOST_RECENT)


def _decades(norms: Array) -> float:
    found = growth(norms)
    return math.nan if found is None else found.decades


def _spread(layers: int, width: int) -> float:
    """Return the spread of log10 |delta|: Var log |delta|^2 is about 5 L / n for ReLU (Hanin 2018)."""
    return 0.5 * math.sqrt(5 * max(layers - 1, 0) / width) / math.log(10)


def _median(values: Array) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else math.nan
