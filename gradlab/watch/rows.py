"""The rows of a watched loop's history, and its numbers for others to log."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, Protocol

from torch import nn

from gradlab.engine.layers import Layer, plain_name
from gradlab.history import PER_LAYER, History
from gradlab.watch.window import Norms

OnError = Literal["warn", "raise"]
OnDivergence = Literal["mark", "trace"]
# a loss scale that is no power of 2 rounds every entry of a float16 gradient by less than this share
_UNCHANGED = 1e-3


class Logger(Protocol):
    """Takes the numbers of each recorded step somewhere else, as `gradlab.integrations.loggers` do."""

    def log(self, numbers: dict[str, float], step: int) -> None:
        """Take the numbers of a step, named ``gradlab/<measure>/<layer>``."""

    def close(self) -> None:
        """Take no more."""


class Row(NamedTuple):
    """One row of the history: a layer's weights, or one parameter without a matrix."""

    name: str
    kind: str
    numbers: list[int]
    signal: int | None


def rows_of(
    layers: list[Layer], others: list[nn.Module], network: nn.Module, params: list[nn.Parameter]
) -> list[Row]:
    """List the layers' weights, then every other parameter by itself."""
    number = {id(p): i for i, p in enumerate(params)}
    rows = [Row(la.name, "weight", [number[id(p)] for p in la.weights], i) for i, la in enumerate(layers)]
    taken = {i for row in rows for i in row.numbers}
    owner = {id(p): i for i, layer in enumerate(layers) for p in layer.others.values()}
    owner |= {id(p): len(layers) + i for i, module in enumerate(others) for p in module.parameters(recurse=False)}
    for name, p in network.named_parameters():
        i = number[id(p)]
        if i not in taken:
            kind = "bias" if name.endswith("bias") else "norm"
            rows.append(Row(plain_name(name), kind, [i], owner.get(id(p))))
    return rows


def cosine(raw: Norms, used: Norms) -> float:
    """Return 1 if nothing was clipped; else nan, as the gradient before is gone."""
    same = all(abs(used.get(i, 0.0) - norm) <= _UNCHANGED * norm for i, norm in raw.items())
    return 1.0 if same else math.nan


def scalars(history: History) -> dict[str, float]:
    """Return the numbers of the newest record, named ``gradlab/<measure>/<layer>``."""
    record = history[-1]
    numbers = {f"gradlab/{name}": float(getattr(record, name)) for name in ("loss", "total_norm", "lr")}
    for measure in PER_LAYER:
        values = zip(history.layer_names, getattr(record, measure), strict=True)
        numbers |= {f"gradlab/{measure}/{name}": float(v) for name, v in values if not math.isnan(v)}
    return numbers
