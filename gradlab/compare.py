"""`compare`: several configs trained in lockstep, and in words what differs and who is ahead."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from typing import Any, NamedTuple

import numpy as np

from gradlab.config import Config
from gradlab.engine import Trainer
from gradlab.engine.check import check_count, prepare_data
from gradlab.growth import number_words
from gradlab.history import Array, History, StepRecord
from gradlab.locale import Text
from gradlab.registry import Registry, brief

_WEIGHTS = ("depth", "width", "init", "gain", "bias_std", "weight_seed", "dtype")
_DATA = ("dataset", "n_samples", "noise", "data_seed", "dtype", "batch_seed")
_WINDOW = ("batch_size", "accumulation", "accumulation_steps")
_SIZED = ("dataset", "n_samples", "data_seed")  # may change the widths of the data, and so the first weights
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
    _check("configs", configs, Config)
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


def _check(what: str, lanes: Any, kind: type) -> None:
    """Raise ValueError unless `lanes` maps at least one label to a thing of some kind."""
    if not isinstance(lanes, Mapping) or not lanes:
        raise ValueError(f"{what}={brief(lanes)}; expected a mapping of label to {kind.__name__}, at least one lane")
    for label, lane in lanes.items():
        if not isinstance(label, str):
            raise ValueError(f"{what}: label {brief(label)}; expected a string")
        if not isinstance(lane, kind):
            raise ValueError(f"{what}[{brief(label)}]={brief(lane)}; expected a {kind.__name__}")


def differing(configs: Mapping[str, Config]) -> dict[str, dict[str, Any]]:
    """Return the fields that are not equal in all lanes: field -> label -> value, in the order of `Config`."""
    _check("configs", configs, Config)
    lanes = {label: config.to_dict() for label, config in configs.items()}
    values = {name: {label: lane[name] for label, lane in lanes.items()} for name in Config.knobs()}
    return {name: by_label for name, by_label in values.items() if len(set(map(repr, by_label.values()))) > 1}


def differences(configs: Mapping[str, Config], lang: str = "en") -> str:
    """Say in words which knobs differ, and whether the lanes share first weights and batches.

    E.g. ``Learning rate: A 0.05, B 0.5. Same first weights, same batches.``
    """
    found, text = differing(configs), Text(lang)
    if not found:
        return text("compare.equal")
    said = [
        text(
            "compare.knob",
            label=_label(name, text),
            values=_listed((f"{label} {_word(name, value, text)}" for label, value in values.items()), text),
        )
        for name, values in found.items()
    ]
    clauses = {}
    for what, fields in (("weights", _weights_differ(configs, found)), ("batches", _batches_differ(configs, found))):
        knobs = _listed([_label(name, text).lower() for name in fields], text)
        clauses[what] = text(f"compare.{what}_{'differ' if knobs else 'same'}", knobs=knobs)
    return text("compare.between").join([*said, text("compare.ends", **clauses)])


def _label(name: str, text: Text) -> str:
    return text.name(f"knob.{name}.label", Config.knobs()[name].label)


def knob_words(name: str, value: Any, text: Text) -> str:
    """Return a knob and its value in a few words, e.g. ``Clipping By global norm``."""
    return f"{_label(name, text)} {number_words(value) if isinstance(value, float) else _word(name, value, text)}"


def _listed(words: Iterable[str], text: Text) -> str:
    return text("compare.comma").join(words)


def _word(name: str, value: Any, text: Text) -> str:
    choices = Config.knobs()[name].choices
    if isinstance(choices, Registry):
        return text.name(f"label.{choices.kind}.{value}", choices[value].label)
    if isinstance(value, bool):
        return text("compare.on" if value else "compare.off")
    return text.name(f"choice.{name}.{value}", str(value))


def _weights_differ(configs: Mapping[str, Config], found: Mapping[str, Any]) -> list[str]:
    """Name the knobs for which the first matrices or biases differ; a data set counts by its widths."""
    moved = [name for name in _SIZED if name in found]
    data = (prepare_data(config, None, None) for config in configs.values()) if moved else ()
    sizes = {(each.x[0].numel(), each.outputs) for each in data}
    return [name for name in _WEIGHTS if name in found] + (moved if len(sizes) > 1 else [])


def _batches_differ(configs: Mapping[str, Config], found: Mapping[str, Any]) -> list[str]:
    """Name the knobs for which a step sees other samples, or the same ones cut in another way."""
    windows = {(config.batch_size, config.micro_batches) for config in configs.values()}
    return [name for name in (*_DATA, *(_WINDOW if len(windows) > 1 else ())) if name in found]


class _Lane(NamedTuple):
    label: str
    losses: Array  # of the steps that are averaged
    mean: float
    samples: float  # seen until the last of them


def who_is_ahead(histories: Mapping[str, History], lang: str = "en") -> str:
    """Say in words whose loss is lowest, and whether that is more than noise.

    The losses of the last fifth of the steps that all running lanes have (10 to 50 of them) are averaged. The
    noise of the difference between the best two is estimated from the means of five stretches of it (batch
    means, Conway 1963), step by step in pairs, as lanes that share batches share much of their noise; the two
    are told apart where it exceeds the 95 % interval of Student's t. Losses are compared as numbers: the lanes
    should learn the same data.
    """
    _check("histories", histories, History)
    text = Text(lang)
    diverged = {label: history.diverged for label, history in histories.items() if history.diverged}
    lost = [text("compare.lost", lane=label, step=where.step) for label, where in diverged.items()]
    running = {label: history for label, history in histories.items() if label not in diverged}
    said = _ranking(running, text) if running else [text("compare.none_left")]
    return text("compare.between").join([*said, *lost])


def _ranking(running: Mapping[str, History], text: Text) -> list[str]:
    steps = _last_steps(running)
    if len(steps) < 2 * _BLOCKS:
        return [text("compare.too_early", steps=2 * _BLOCKS)]
    lanes = [_lane(label, history, steps) for label, history in running.items()]
    # a skipped step leaves a loss that is not finite: such a lane ranks last
    lanes.sort(key=lambda lane: lane.mean if math.isfinite(lane.mean) else math.inf)
    means = _listed([f"{lane.label} {lane.mean:.4g}" for lane in lanes], text)
    if len(lanes) == 1:
        return [text("compare.alone", lane=lanes[0].label, steps=len(steps), means=means)]
    said = text("compare.means", steps=len(steps), means=means)
    return [_verdict(lanes[0], lanes[1], text), said, *_samples(lanes, text)]


def _last_steps(running: Mapping[str, History]) -> Array:
    """Return the numbers of the steps to average over: those that every lane has kept."""
    common = reduce(np.intersect1d, [history.column("step") for history in running.values()])
    return common[-min(max(len(common) // 5, 2 * _BLOCKS), 50) :]


def _lane(label: str, history: History, steps: Array) -> _Lane:
    rows = np.searchsorted(history.column("step"), steps)
    losses = history.column("loss")[rows]
    return _Lane(label, losses, float(losses.mean()), float(history.column("samples")[rows[-1]]))


def _verdict(best: _Lane, second: _Lane, text: Text) -> str:
    if not math.isfinite(best.mean):
        return text("compare.none_finite")
    if not math.isfinite(second.mean):
        return text("compare.others_lost", lane=best.label)
    difference = second.losses - best.losses
    blocks = np.array([block.mean() for block in np.array_split(difference, _BLOCKS)])
    noise = _T * float(blocks.std(ddof=1)) / math.sqrt(_BLOCKS)
    gap = float(difference.mean())
    if gap == 0.0:
        return text("compare.level", lane=best.label, second=second.label)
    words = {"lane": best.label, "second": second.label, "gap": f"{gap:.2g}", "noise": f"{noise:.2g}"}
    return text("compare.ahead" if gap > noise else "compare.unclear", **words)


def _samples(lanes: list[_Lane], text: Text) -> list[str]:
    """Say if the lanes have paid differently for their steps."""
    fewest = min(lane.samples for lane in lanes)
    ratios = {lane.label: f"{lane.samples / fewest:.3g}" for lane in lanes if lane.samples > fewest}
    more = [text("compare.times", lane=label, ratio=ratio) for label, ratio in ratios.items()]
    return [text("compare.samples", lanes=_listed(more, text))] if more else []
