"""The numbers of a run, few and compact enough for a page."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from gradlab.history import Array, History
from gradlab.measures import HIGHEST, LOWEST, MEASURES, SQUEEZED, Measure, kinds_of

_CURVE = 1500  # stretches of the loss curve; each keeps its lowest and highest step
_MARKS = 400


def pack_run(history: History, frames: int, strings: Mapping[str, str]) -> dict[str, Any]:
    """Return what the page is told of a run, ready for JSON.

    Arrays are base64: float64 for what a step has one of; float32 logarithms (base 10), frame after frame,
    for what every layer has: -inf stands for exactly 0, +inf for what is not finite, NaN for no gradient.
    """
    rows = pick_rows(history, frames)
    steps, losses = history.column("step"), history.column("loss")
    curve = _curve_rows(losses)
    return {
        "recorded": len(history),
        "layers": list(history.layer_names),
        "steps": _doubles(steps[rows]),
        "loss": _doubles(losses[rows]),
        "epoch": _doubles(history.column("epoch")[rows]),
        "samples": _doubles(history.column("samples")[rows]),
        "curve": {"steps": _doubles(steps[curve]), "loss": _doubles(losses[curve])},
        "marks": [{"step": m.step, "kind": m.kind, "text": m.text} for m in history.marks[-_MARKS:]],
        "logTiny": math.log10(history.tiny),
        "measures": [_measure(history, m, rows, strings) for m in MEASURES.values()],
    }


def pick_rows(history: History, frames: int) -> np.ndarray:
    """Return the numbers of the rows to show: all, or evenly spaced ones with the first and the last."""
    n = len(history)
    return np.unique(np.linspace(0, n - 1, min(n, frames)).round().astype(int)) if frames > 1 else np.array([n - 1])


def _curve_rows(losses: Array) -> np.ndarray:
    if len(losses) <= 2 * _CURVE:
        return np.arange(len(losses))
    keep = [0, len(losses) - 1]
    for stretch in np.array_split(np.arange(len(losses)), _CURVE):
        values = losses[stretch]
        odd = stretch[~np.isfinite(values)]
        keep += [stretch[np.nanargmin(values)], stretch[np.nanargmax(values)]] if len(odd) < len(stretch) else []
        keep += list(odd[:1])
    return np.unique(keep)


def _measure(history: History, measure: Measure, rows: np.ndarray, strings: Mapping[str, str]) -> dict[str, Any]:
    positions, labels = measure.ticks()
    # clipping left the norms as they were: nothing to show beside them
    clipped = measure.after and np.any(history.column("clip_coef")[rows] != 1.0)
    return {
        "name": measure.name,
        "label": strings[measure.key],
        "knots": [LOWEST, measure.low, measure.high, HIGHEST],
        "squeezed": SQUEEZED,
        "ticks": [[float(p), label] for p, label in zip(positions, labels, strict=True)],
        "values": _logs(history, measure.name, rows),
        "after": _logs(history, measure.after, rows) if measure.after and clipped else "",
    }


def _logs(history: History, name: str, rows: np.ndarray) -> str:
    values = history.column(name)
    kinds = kinds_of(history, name, values)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log10(values)
    logs[kinds.nonfinite] = np.inf
    logs[kinds.missing] = np.nan
    return _base64(logs[rows].astype("<f4"))


def _doubles(values: Array) -> str:
    return _base64(values.astype("<f8"))


def _base64(values: np.ndarray) -> str:
    return base64.b64encode(values.tobytes()).decode("ascii")
