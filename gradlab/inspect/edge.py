"""The edge of stability: how large an eigenvalue the running optimizer and rules can take.

On a quadratic of curvature lambda every rule here is a linear recurrence of the weight. With s = lr * lambda
and d = lr * weight_decay it is stable while the roots of its characteristic polynomial lie inside the unit
circle (Jury's criterion); the tables hold the s at which one leaves it. Clipping is left out: where the gradient is
small nothing is clipped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gradlab.config import Config
from gradlab.locale import Said
from gradlab.rules.accumulation import ACCUMULATIONS

Root = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Edge:
    """What the running rules can take.

    Attributes
    ----------
    s : float or None
        Largest stable lr * eigenvalue; None if unknown.
    key : str
        Key of the words that say why not.
    root : callable or None
        Square root of the matrix P that the rules multiply a gradient with, applied to a flat vector; the
        eigenvalue that counts is then that of P H, not of the Hessian H itself.
    decay : float
        Weight decay that P multiplies too.
    """

    s: float | None
    key: str = ""
    root: Root | None = None
    decay: float = 0.0

    def words(self, config: Config) -> str:
        """Say why there is no edge, in one sentence; empty if there is one."""
        names = {"optimizer": config.optimizer, "carry_over": config.carry_over}
        return Said(f"closeup.reason.{self.key}", **names) if self.key else ""


def _running_sum(beta: float, d: float) -> float:
    """Heavy ball at beta = 1; momentum on top of it makes every curvature unstable, but for what decay takes out."""
    return 4 - 2 * d if beta == 0 else min(4 * (1 + beta) - 2 * d, d * (1 - beta) / beta)


_CARRIED: dict[str, Callable[[float, float], float]] = {
    "none": lambda beta, d: 2 * (1 + beta) - d,  # Polyak (1964)
    "running_sum": _running_sum,
    "delayed": lambda beta, d: 1 - beta,
    "scalar_sum": lambda beta, d: 2 * (1 + beta) - d,
}
"""Carry-over -> s at the edge for SGD, of momentum beta and d = lr * weight_decay."""


def gradient_scale(config: Config, n: int) -> float:
    """Return what accumulation multiplies the mean gradient with, in a full window: K for ``"sum"``, 1 for a mean."""
    entry = ACCUMULATIONS[config.accumulation]
    count = 1 if entry.options.get("single") else config.accumulation_steps
    seen = min(n, config.batch_size * count)
    full, tail = divmod(seen, config.batch_size)
    return sum(entry([config.batch_size] * full + ([tail] if tail else [])))


def edge_of(config: Config, state: Mapping[str, Any], sizes: list[int], cumulative: bool) -> Edge:
    """Return the edge of the running rules.

    Parameters
    ----------
    config : Config
        The knobs in force.
    state : mapping
        `Trainer.optimizer_state`.
    sizes : list of int
        Entries of each trainable parameter.
    cumulative : bool
        Whether the network holds a `CumulativeGradient`.
    """
    if cumulative:
        return Edge(None, "cumulative")
    if config.optimizer not in _EDGES:
        return Edge(None, "optimizer")
    return _EDGES[config.optimizer](config, state, sizes)


def _sgd(config: Config, state: Mapping[str, Any], sizes: list[int]) -> Edge:
    if config.carry_over not in _CARRIED:
        return Edge(None, "carry_over")
    s = max(0.0, _CARRIED[config.carry_over](config.momentum, config.lr * config.weight_decay))
    return Edge(s, root=_tensor_sums(sizes) if config.carry_over == "scalar_sum" else None)


def _tensor_sums(sizes: list[int]) -> Root:
    """Square root of "every entry becomes the sum of its tensor": of the matrix of ones, tensor by tensor."""

    def root(flat: Tensor) -> Tensor:
        return torch.cat([(p.sum() / math.sqrt(len(p))).expand(len(p)) for p in flat.split(sizes)])

    return root


def _adam(config: Config, state: Mapping[str, Any], sizes: list[int]) -> Edge:
    """Adam with its preconditioner held still (Cohen et al. 2022): 38 / lr at its usual betas."""
    if (problem := _adaptive_problem(config, state, "exp_avg_sq")) is not None:
        return problem
    beta1, beta2 = state["betas"]
    step = float(state["step"])
    scale = (state["exp_avg_sq"].double() / (1 - beta2**step)).sqrt() + state["eps"]
    s = 2 * (1 + beta1) / (1 - beta1)
    return Edge(s, root=_diagonal(scale * (1 - beta1**step)), decay=config.weight_decay)


def _adamw(config: Config, state: Mapping[str, Any], sizes: list[int]) -> Edge:
    """Adam, and weights that shrink by 1 - lr * weight_decay each step outside of it."""
    edge = _adam(config, state, sizes)
    if edge.s is None:
        return edge
    return Edge(max(0.0, edge.s * (1 - config.lr * config.weight_decay / 2)), root=edge.root)


def _rmsprop(config: Config, state: Mapping[str, Any], sizes: list[int]) -> Edge:
    """Gradient descent, or heavy ball, with the preconditioner held still (Cohen et al. 2022)."""
    if (problem := _adaptive_problem(config, state, "square_avg")) is not None:
        return problem
    scale = state["square_avg"].double().sqrt() + state["eps"]
    return Edge(2 * (1 + config.momentum), root=_diagonal(scale), decay=config.weight_decay)


def _adaptive_problem(config: Config, state: Mapping[str, Any], name: str) -> Edge | None:
    if config.carry_over != "none":
        return Edge(None, "carry_over")
    return None if name in state else Edge(None, "no_step")


def _diagonal(scale: Tensor) -> Root:
    inverse = scale.rsqrt()
    return lambda flat: flat * inverse


_EDGES: dict[str, Callable[[Config, Mapping[str, Any], list[int]], Edge]] = {
    "sgd": _sgd,
    "adam": _adam,
    "adamw": _adamw,
    "rmsprop": _rmsprop,
}
