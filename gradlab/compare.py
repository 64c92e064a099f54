"""`compare`: several configs trained in lockstep, and in words what differs and who is ahead."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from gradlab.accumulation import ACCUMULATIONS
from gradlab.config import Config
from gradlab.data import make_dataset
from gradlab.history import Array, History, StepRecord
from gradlab.registry import Registry
from gradlab.trainer import Trainer
from gradlab.trainer.check import check_count

_WEIGHTS = ("depth", "width", "init", "gain", "bias_std", "weight_seed", "dtype")
_DATA = ("dataset", "n_samples", "noise", "data_seed", "dtype", "batch_seed")
_WINDOW = ("batch_size", "accumulation", "accumulation_steps")
_BLOCKS = 5  # the noise is read from the means of so many stretches of the last steps
_T = 2.776  # Student's t, 95 % two-sided, for that many less one degrees of freedom


def compare(
    configs: Mapping[str, Config], steps: int, callback: Callable[[dict[str, StepRecord]], object] | None = None
) -> dict[str, History]:
    """Train several configs in lockstep: one step of each, then the next.

    Lanes whose seeds and sizes agree start from identical weights and see identical batches; `differences`
    says whether they do. A lane that diverges under ``nonfinite="stop"`` ends there, the others go on.

    Parameters
    ----------
    configs : mapping of str to Config
        The lanes, by label; any number, at least one.
    steps : int
        Steps of each lane, at least 0.
    callback : callable, optional
        Called after each round with the records of the lanes that took a step, by label.

    Returns
    -------
    dict of str to History
        One history a lane, in the order given.

    Raises
    ------
    ValueError
        If there is no lane, a label is no string, a value no `Config`, or a config cannot be trained.
    """
    _check(configs)
    check_count("steps", steps)
    lanes = {label: Trainer(config) for label, config in configs.items()}
    for _ in range(steps):
        running = {label: lane for label, lane in lanes.items() if not lane.stopped}
        if not running:
            break
        records = {label: lane.step() for label, lane in running.items()}
        if callback is not None:
            callback(records)
    return {label: lane.history for label, lane in lanes.items()}


def _check(configs: Any) -> None:
    if not isinstance(configs, Mapping) or not configs:
        raise ValueError(f"configs={configs!r:.60}; expected a mapping of label to Config with at least one lane")
    for label, config in configs.items():
        if not isinstance(label, str):
            raise ValueError(f"configs: label {label!r:.60}; expected a string")
        if not isinstance(config, Config):
            raise ValueError(f"configs[{label!r}]={config!r:.60}; expected a Config")


def differing(configs: Mapping[str, Config]) -> dict[str, dict[str, Any]]:
    """Return the fields that are not equal in all lanes: field -> label -> value, in the order of `Config`."""
    _check(configs)
    lanes = {label: config.to_dict() for label, config in configs.items()}
    values = {name: {label: lane[name] for label, lane in lanes.items()} for name in Config.knobs()}
    return {name: by_label for name, by_label in values.items() if len(set(map(repr, by_label.values()))) > 1}


def differences(configs: Mapping[str, Config]) -> str:
    """Say in words which knobs differ, and whether the lanes share first weights and batches.

    Returns
    -------
    str
        E.g. ``Learning rate: A 0.05, B 0.5. Same first weights, same batches.``
    """
    found = differing(configs)
    if not found:
        return "All lanes are equal: every knob is the same."
    said = [
        f"{Config.knobs()[name].label}: {', '.join(f'{label} {_word(name, v)}' for label, v in values.items())}."
        for name, values in found.items()
    ]
    weights, batches = _weights_differ(configs, found), _batches_differ(configs, found)
    return (
        f"{' '.join(said)} {f'First weights differ ({weights})' if weights else 'Same first weights'}, "
        f"{f'batches differ ({batches})' if batches else 'same batches'}."
    )


def _word(name: str, value: Any) -> str:
    choices = Config.knobs()[name].choices
    if isinstance(choices, Registry):
        return choices[value].label
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


def _weights_differ(configs: Mapping[str, Config], found: Mapping[str, Any]) -> str:
    """Name the knobs for which the first matrices or biases differ; a data set counts by its widths."""
    sizes = set()
    if {"dataset", "n_samples", "data_seed"} & set(found):
        for config in configs.values():
            data = make_dataset(config.dataset, config.n_samples, config.noise, config.data_seed, config.torch_dtype)
            sizes.add((data.x[0].numel(), data.outputs))
    return _named([*_WEIGHTS, *(["dataset", "n_samples", "data_seed"] if len(sizes) > 1 else [])], found)


def _batches_differ(configs: Mapping[str, Config], found: Mapping[str, Any]) -> str:
    """Name the knobs for which a step sees other samples, or the same ones cut in another way."""
    windows = {
        (c.batch_size, 1 if ACCUMULATIONS[c.accumulation].options.get("single") else c.accumulation_steps)
        for c in configs.values()
    }
    return _named([*_DATA, *(_WINDOW if len(windows) > 1 else ())], found)


def _named(fields: list[str], found: Mapping[str, Any]) -> str:
    return ", ".join(Config.knobs()[name].label.lower() for name in fields if name in found)


@dataclass(frozen=True)
class _Lane:
    label: str
    losses: Array
    samples: float

    @property
    def mean(self) -> float:
        return float(self.losses.mean())


def who_is_ahead(histories: Mapping[str, History]) -> str:
    """Say in words whose loss is lowest, and whether that is more than noise.

    The losses of the last fifth of the steps that all running lanes have (10 to 50 of them) are averaged. The
    noise of the difference between the best two is estimated from the means of five stretches of it (batch
    means, Conway 1963), step by step in pairs, as lanes that share batches share much of their noise; the two
    are told apart where it exceeds the 95 % interval of Student's t. Losses are compared as numbers: the lanes
    should learn the same data.

    Raises
    ------
    ValueError
        If there is no lane, or one is no `History`.
    """
    if not isinstance(histories, Mapping) or not histories:
        raise ValueError(f"histories={histories!r:.60}; expected a mapping of label to History, at least one")
    for label, history in histories.items():
        if not isinstance(history, History):
            raise ValueError(f"histories[{label!r}]={history!r:.60}; expected a History")
    lost = [f"{label} diverged at step {h.diverged.step}" for label, h in histories.items() if h.diverged]
    running = {label: history for label, history in histories.items() if not history.diverged}
    said = _ranking(running) if running else "Nobody is ahead: no lane is left."
    return " ".join([said, *(f"{sentence}." for sentence in lost)])


def _ranking(running: Mapping[str, History]) -> str:
    steps = _last_steps(running)
    if len(steps) < 2 * _BLOCKS:
        return f"Too early to say who is ahead: fewer than {2 * _BLOCKS} steps."
    lanes = [_lane(label, history, steps) for label, history in running.items()]
    # a skipped step leaves a loss that is not finite: such a lane ranks last
    lanes.sort(key=lambda lane: lane.mean if math.isfinite(lane.mean) else math.inf)
    means = ", ".join(f"{lane.label} {lane.mean:.4g}" for lane in lanes)
    over = f"mean loss of the last {len(steps)} steps: {means}"
    if len(lanes) == 1:
        return f"{lanes[0].label} is alone; {over}."
    return f"{_verdict(lanes[0], lanes[1])} {over[0].upper()}{over[1:]}.{_samples(lanes)}"


def _last_steps(running: Mapping[str, History]) -> Array:
    """Return the numbers of the steps to average over: those that every lane has kept."""
    common = reduce(np.intersect1d, [history.column("step") for history in running.values()])
    return common[-min(max(len(common) // 5, 2 * _BLOCKS), 50) :]


def _lane(label: str, history: History, steps: Array) -> _Lane:
    rows = np.searchsorted(history.column("step"), steps)
    return _Lane(label, history.column("loss")[rows], float(history.column("samples")[rows[-1]]))


def _verdict(best: _Lane, second: _Lane) -> str:
    if not math.isfinite(best.mean):
        return "Nobody is ahead: no lane has finite losses."
    if not math.isfinite(second.mean):
        return f"{best.label} is ahead: the others' losses are not finite."
    difference = second.losses - best.losses
    blocks = np.array([block.mean() for block in np.array_split(difference, _BLOCKS)])
    noise = _T * float(blocks.std(ddof=1)) / math.sqrt(_BLOCKS)
    gap = float(difference.mean())
    if gap == 0.0:
        return f"{best.label} and {second.label} are level."
    size = f"the difference to {second.label}, {gap:.2g}, is"
    if gap > noise:
        return f"{best.label} is ahead: {size} more than its noise of {noise:.2g}."
    return f"Nobody is clearly ahead: {best.label} is lowest, but {size} within its noise of {noise:.2g}."


def _samples(lanes: list[_Lane]) -> str:
    """Say if the lanes have paid differently for their steps."""
    fewest = min(lane.samples for lane in lanes)
    more = [f"{lane.label} {lane.samples / fewest:.3g} times" for lane in lanes if lane.samples > fewest]
    return f" Samples seen by then, against the lane with fewest: {', '.join(more)} as many." if more else ""
