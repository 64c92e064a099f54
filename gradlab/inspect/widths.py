"""Coordinate check: how much a few steps move every layer's activations, width by width (Yang et al. 2022).

In the maximal-update parametrization (muP) the change of an activation does not depend on the width, so that a
learning rate found at one width is right at another; in the standard one it grows or shrinks with a power of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, optim

from gradlab.config import Config
from gradlab.engine import Trainer
from gradlab.engine.check import check_count
from gradlab.history import Array
from gradlab.network import Network
from gradlab.registry import brief
from gradlab.rules.optimizers import bare_step, make_optimizer

WIDTHS = (32, 64, 128, 256, 512, 1024)


@dataclass(frozen=True, eq=False)
class CoordinateCheck:
    """What `coordinate_check` found; a sequence of rows that pandas reads.

    Attributes
    ----------
    widths : tuple of int
        Widths of the hidden layers.
    change : dict of str to array (widths, layers)
        ``"standard"`` and ``"mup"``: root-mean-square change of a layer's activations after the steps (of the
        output's entries for the last), geometric mean over seeds; inf or nan where a run diverged.
    slopes : dict of str to array (layers,)
        Slope of log change against log width; nan where a run diverged.
    layer_names : tuple of str
        From the input to the output.
    """

    widths: tuple[int, ...]
    change: dict[str, Array]
    slopes: dict[str, Array]
    layer_names: tuple[str, ...]

    @property
    def columns(self) -> list[str]:
        """The names of the columns, ``layer`` and a slope for each parametrization."""
        return ["layer", *(f"slope_{name}" for name in self.slopes)]

    def __getitem__(self, column: str) -> list[float | str]:
        """Return one column, an entry a layer."""
        if column not in self.columns:
            raise KeyError(f"column={brief(column)}; expected one of {', '.join(self.columns)}")
        return [*self.layer_names] if column == "layer" else self.slopes[column.removeprefix("slope_")].tolist()

    def rows(self) -> list[dict[str, float | str]]:
        """Return one row a layer: its name and its slope in each parametrization."""
        rows = zip(*(self[column] for column in self.columns), strict=True)
        return [dict(zip(self.columns, row, strict=True)) for row in rows]

    def __repr__(self) -> str:
        worst = ", ".join(f"{name} {np.nanmax(np.abs(s), initial=0.0):.2f}" for name, s in self.slopes.items())
        return f"CoordinateCheck(widths {self.widths[0]} to {self.widths[-1]}; steepest slope: {worst})"


def coordinate_check(
    config: Config | None = None, widths: Sequence[int] = WIDTHS, steps: int = 4, seeds: int = 4
) -> CoordinateCheck:
    """Train networks of several widths for a few steps, with and without muP's scaling of init and learning rate.

    The scaling is relative to the narrowest width, where both parametrizations are the same network: the readout's
    weights shrink by ``sqrt(base / width)`` more, and the learning rates of input, hidden and readout matrices are
    multiplied by width, 1 and 1/width for SGD, by 1, 1/width and 1/width for optimizers that divide the gradient
    by its own size (Yang et al. 2022, table 3).

    Parameters
    ----------
    config : Config, optional
        Everything but the width; a multilayer perceptron without clipping, carry-over and accumulation.
    widths : sequence of int
        At least two, rising.
    steps : int, default 4
        Optimizer steps, all on the first micro-batch of the run.
    seeds : int, default 4
        Weight seeds, from that of the config on.

    Returns
    -------
    CoordinateCheck
        Changes and slopes per layer.

    Raises
    ------
    ValueError
        If the widths do not rise, a number is below 1, or the config asks for what muP says nothing about.
    """
    config = Config() if config is None else config
    _check(config, widths, steps, seeds)
    moved: dict[str, list[Array]] = {"standard": [], "mup": []}
    layers: tuple[str, ...] = ()
    for width in widths:
        for seed in range(seeds):
            trainer = Trainer(config.replace(width=width, weight_seed=config.weight_seed + seed))
            layers = trainer.layer_names
            x, y = (t[trainer.next_window().micro_batches[0]] for t in (trainer.data.x, trainer.data.y))
            first = {name: value.clone() for name, value in trainer.network.state_dict().items()}
            for name, found in moved.items():
                trainer.network.load_state_dict(first)
                found.append(_change(trainer, config, x, y, steps, width / widths[0] if name == "mup" else 1.0))
    with np.errstate(divide="ignore"):
        logs = {name: np.log(found).reshape(len(widths), seeds, -1).mean(1) for name, found in moved.items()}
    change = {name: np.exp(rows) for name, rows in logs.items()}
    slopes = {name: _slopes(np.array(widths, dtype=float), rows) for name, rows in change.items()}
    return CoordinateCheck(tuple(widths), change, slopes, layers)


def _check(config: Config, widths: Any, steps: int, seeds: int) -> None:
    given = widths if isinstance(widths, Sequence) and not isinstance(widths, str | bytes) else []
    if len(given) < 2 or not all(isinstance(n, int) for n in given) or any(a >= b for a, b in pairwise(given)):
        raise ValueError(f"widths={brief(widths)}; expected at least two whole numbers, rising")
    for name, value in (("steps", steps), ("seeds", seeds)):
        check_count(name, value, 1)
    plain = {"accumulation": "none", "carry_over": "none", "clip": "none"}
    for name, value in plain.items():
        if getattr(config, name) != value:
            raise ValueError(f"{name}={getattr(config, name)!r}; expected {value!r}: muP says nothing about it")


def _change(trainer: Trainer, config: Config, x: Tensor, y: Tensor, steps: int, ratio: float) -> Array:
    """Train with learning rates for a network `ratio` times as wide as the base; return each layer's change."""
    network = trainer.network
    if not isinstance(network, Network):
        raise ValueError("coordinate_check: expected a config of a multilayer perceptron")
    with torch.no_grad():
        network.linears[-1].weight.mul_(1 / math.sqrt(ratio))  # pyright: ignore[reportCallIssue, reportArgumentType]
        before = network.trace(x).activations
    updates = [bare_step(optimizer) for optimizer in _optimizers(network, config, ratio)]
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(config.batch_seed)
        for _ in range(steps):
            network.zero_grad()
            trainer.data.loss(network(x), y).backward()
            with torch.no_grad():
                for update in updates:
                    update()
    with torch.no_grad():
        after = network.trace(x).activations
    moved = [float((a - b).double().square().mean().sqrt()) for a, b in zip(after, before, strict=True)]
    network.zero_grad()
    return np.array(moved)


def _optimizers(network: Network, config: Config, ratio: float) -> list[optim.Optimizer]:
    """Return an optimizer each for input layer, hidden biases and norms; hidden matrices; readout; its bias."""
    first, *hidden, last = network.linears
    narrow = [*first.parameters(), *(p for m in hidden for n, p in m.named_parameters() if n == "bias")]
    narrow += [p for norm in network.norms for p in norm.parameters()]
    adaptive = config.optimizer != "sgd"
    groups = [
        (narrow, 1.0 if adaptive else ratio),
        ([m.weight for m in hidden], 1 / ratio if adaptive else 1.0),
        ([last.weight], 1 / ratio),
        ([last.bias], 1.0),
    ]
    name, lr, *knobs = config.optimizer, config.lr, config.momentum, config.weight_decay
    return [make_optimizer(name, params, lr * factor, *knobs) for params, factor in groups if params]


def _slopes(widths: Array, change: Array) -> Array:
    """Return the least-squares slope of log change on log width, layer by layer."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(change)
    x = np.log(widths) - np.log(widths).mean()
    slopes = (x[:, None] * (logs - logs.mean(0))).sum(0) / (x**2).sum()
    return np.where(np.isfinite(slopes), slopes, np.nan)
