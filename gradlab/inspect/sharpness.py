"""The sharpness of the loss, and how far it is from the edge of stability.

The edge is how large an eigenvalue the running optimizer and rules can take. On a quadratic of curvature lambda every
rule here is a linear recurrence of the weight. With s = lr * lambda and d = lr * weight_decay it is stable while the
roots of its characteristic polynomial lie inside the unit circle (Jury's criterion); the tables hold the s at which
one leaves it. Clipping is left out: where the gradient is small nothing is clipped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from gradlab.config import Config
from gradlab.engine import Trainer
from gradlab.engine.check import check_count
from gradlab.inspect.copied import SECONDS, Batch, Copied, subject, timed
from gradlab.locale import Said
from gradlab.registry import brief
from gradlab.rules.accumulation import ACCUMULATIONS

Operator = Callable[[Tensor], Tensor]  # linear, of a flat vector

_BYTES = 128 * 2**20  # that the graphs of the two backward passes may hold


class Ritz(NamedTuple):
    """An estimate of the largest eigenvalue."""

    value: float  # the estimate, never above the truth but for rounding; nan if a product was not finite
    residual: float  # an eigenvalue lies within this distance of `value`
    iterations: int  # products taken
    converged: bool  # whether `residual` came down to the tolerance


def largest_eigenvalue(apply: Operator, start: Tensor, iterations: int, tol: float) -> Ritz:
    """Return the largest (not the largest in size) eigenvalue by the method of Lanczos (1950).

    `apply` multiplies the operator with a vector ``(n,)``, at most `iterations` times; `start` has a share of every
    eigenvector (a random one); `tol` is the residual, relative to the value, that counts as converged.

    Power iteration would find the largest in size, and a network far from a minimum has large negative ones.
    Vectors are not orthogonalised again: three of them are kept, and the ends of the spectrum stay right (Paige
    1971).

    Where `apply` raises TimeoutError the estimate is what was found by then.
    """
    v, previous, beta = start / start.norm(), torch.zeros_like(start), 0.0
    alphas: list[float] = []
    betas: list[float] = []
    top = Ritz(math.nan, math.inf, 0, False)
    for i in range(1, iterations + 1):
        try:
            w = apply(v).sub_(previous, alpha=beta)
        except TimeoutError:
            return top._replace(converged=False)
        alpha = float(w @ v)
        w.sub_(v, alpha=alpha)
        beta = float(w.norm())
        if not (math.isfinite(alpha) and math.isfinite(beta)):
            return Ritz(math.nan, math.inf, i, False)
        alphas.append(alpha)
        last, top = top.value, _top(alphas, betas, beta, tol)
        settled = i > 1 and abs(top.value - last) <= tol * abs(top.value)
        if beta == 0.0 or i == len(start) or (top.converged and settled):
            return top._replace(converged=True)
        betas.append(beta)
        previous, v = v, w / beta
    return top._replace(converged=False)


def _top(alphas: list[float], betas: list[float], beta: float, tol: float) -> Ritz:
    scale = max(max(map(abs, alphas)), max(betas, default=0.0)) or 1.0
    values, vectors = np.linalg.eigh((np.diag(alphas) + np.diag(betas, 1) + np.diag(betas, -1)) / scale)
    value, residual = float(values[-1]) * scale, beta * abs(float(vectors[-1, -1]))
    return Ritz(value, residual, len(alphas), residual <= tol * abs(value))


@dataclass(frozen=True)
class Edge:
    """What the running rules can take."""

    s: float | None  # largest stable lr * eigenvalue; None if unknown
    key: str = ""  # key of the words that say why not
    # square root of the matrix P that the rules multiply a gradient with, applied to a flat vector; the eigenvalue
    # that counts is then that of P H, not of the Hessian H itself
    root: Operator | None = None
    decay: float = 0.0  # weight decay that P multiplies too


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
    seen = min(n, config.batch_size * config.micro_batches)
    full, tail = divmod(seen, config.batch_size)
    return sum(entry([config.batch_size] * full + ([tail] if tail else [])))


def edge_of(config: Config, state: Mapping[str, Any], sizes: list[int], cumulative: bool) -> Edge:
    """Return the edge of the running rules.

    Of the knobs in force, `Trainer.optimizer_state`, the entries of each trainable parameter, and whether the network
    holds a `CumulativeGradient`.
    """
    if cumulative or config.optimizer not in _EDGES:
        return Edge(None, "cumulative" if cumulative else "optimizer")
    return _EDGES[config.optimizer](config, state, sizes)


def _sgd(config: Config, state: Mapping[str, Any], sizes: list[int]) -> Edge:
    if config.carry_over not in _CARRIED:
        return Edge(None, "carry_over")
    s = max(0.0, _CARRIED[config.carry_over](config.momentum, config.lr * config.weight_decay))
    return Edge(s, root=_tensor_sums(sizes) if config.carry_over == "scalar_sum" else None)


def _tensor_sums(sizes: list[int]) -> Operator:
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
    decayed = None if edge.s is None else max(0.0, edge.s * (1 - config.lr * config.weight_decay / 2))
    return replace(edge, s=decayed, decay=0.0)


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


def _diagonal(scale: Tensor) -> Operator:
    inverse = scale.rsqrt()
    return lambda flat: flat * inverse


_EDGES: dict[str, Callable[[Config, Mapping[str, Any], list[int]], Edge]] = {
    "sgd": _sgd,
    "adam": _adam,
    "adamw": _adamw,
    "rmsprop": _rmsprop,
}


@dataclass(frozen=True)
class Sharpness:
    """The largest eigenvalue of the Hessian of the mean loss, against what the running rules can take.

    Notes
    -----
    The edge is that of steps with the gradient of the whole data; the noise of small micro-batches keeps a run
    below it (Cohen et al. 2021).
    """

    step: int  # steps taken when it was measured
    value: float  # the sharpness, lambda; nan where the loss or a derivative is not finite
    error: float  # an eigenvalue of the Hessian lies within this distance of `value`
    iterations: int  # hessian-vector products taken for it
    converged: bool  # whether `error` came down to the tolerance
    samples: int  # samples whose mean loss it is of
    # Where the rules multiply the gradient with a matrix P (Adam, RMSprop, ``scalar_sum``): the largest eigenvalue of
    # P H, the one that counts (Cohen et al. 2022); else None
    preconditioned: float | None
    # The eigenvalue at the edge of stability, of P H where there is a P: 2 / lr for gradient descent. Above it the
    # weights swing ever wider along that direction. inf at lr 0; None where it is not known
    limit: float | None
    reason: str  # why there is no `limit`, a `Said`; else empty

    @property
    def compared(self) -> float:
        """The eigenvalue that `limit` is for."""
        return self.value if self.preconditioned is None else self.preconditioned

    @property
    def ratio(self) -> float | None:
        """`compared` / `limit`: above 1 is past the edge; None without a limit."""
        if self.limit is None:
            return None
        if self.limit == 0:
            return math.copysign(math.inf, self.compared) if self.compared else math.nan
        return self.compared / self.limit


def sharpness(
    trainer: Trainer | nn.Module,
    loss_fn: Any = None,
    batch: Any = None,
    *,
    samples: int | None = None,
    iterations: int = 60,
    tol: float = 1e-3,
    seconds: float | None = None,
) -> Sharpness:
    """Measure the sharpness at the present weights by Hessian-vector products (Pearlmutter 1994), in float64.

    A network of your own with more than a million parameters is measured in its own dtype and on fewer samples.

    Parameters
    ----------
    trainer : Trainer, or Module
        The run; or a network of your own with its loss and a batch, which has no rules and so no edge. It stays as it
        is.
    loss_fn, batch
        With a network: ``loss_fn(output, y)``, the mean loss, and the tensors (X, y).
    samples : int, optional
        Samples that the mean loss is over, all if there are fewer; always the same ones. Default: 512, of a large
        network 16, and no more than the two backward passes of which fit into 128 MiB. In a chaotic network one
        sample can make most of the sharpness, so leave none out there. Batch norm sees them as one batch.
    iterations : int, default 60
        Largest number of Hessian-vector products.
    tol : float, default 1e-3
        Relative distance to an eigenvalue at which it is good enough.
    seconds : float, optional
        After which no further product is begun. Default: 15 for a network of your own, where a bar shows how far it
        is; for a run none, so that its numbers are the same on every machine.

    Returns
    -------
    Sharpness
        Frozen.

    Raises
    ------
    ValueError
        If a number is not accepted, or the network cannot be differentiated twice.
    """
    run = subject(trainer, loss_fn, batch)
    large = isinstance(run, Batch) and run.large
    check_count("samples", 1 if samples is None else samples, 1)
    check_count("iterations", iterations, 1)
    if isinstance(tol, bool) or not isinstance(tol, int | float) or not 0 < tol < 1:
        raise ValueError(f"tol={brief(tol)}; expected a number between 0 and 1")
    config, n = run.config, run.data.n
    copied = Copied(run, None if large else torch.float64, plain=True)
    sizes = [p.numel() for p in copied.params]
    own = isinstance(run, Batch)
    edge = Edge(None, "batch") if own else edge_of(config, run.optimizer_state(), sizes, copied.cumulative)
    like = copied.params[0]
    start = torch.randn(sum(sizes), generator=Generator().manual_seed(0), dtype=like.dtype).to(like.device)
    scale, preconditioned = gradient_scale(config, n), None
    seconds = (SECONDS if own else math.inf) if seconds is None else seconds
    with _twice_differentiable():
        samples = min(n, _most_samples(copied, n, 16 if large else 512) if samples is None else samples)
        with timed(_hessian_product(copied, _rows(n, samples)), iterations, seconds, "sharpness", own) as product:
            found = largest_eigenvalue(product, start, iterations, tol)
            if (root := edge.root) is not None:

                def rooted(flat: Tensor) -> Tensor:
                    """Multiply with R (scale H + decay) R, R the root of P: as P (scale H + decay), but symmetric."""
                    inner = root(flat)
                    return root(scale * product(inner) + edge.decay * inner)

                preconditioned = largest_eigenvalue(rooted, root(start), iterations, tol).value
    lr = config.lr * (scale if edge.root is None else 1.0)
    limit = None if edge.s is None else edge.s / lr if lr > 0 else math.inf
    names = {"optimizer": config.optimizer, "carry_over": config.carry_over}
    reason = Said(f"closeup.reason.{edge.key}", **names) if edge.key else ""
    return Sharpness(run.step_count, *found, samples, preconditioned, limit, reason)


def _rows(n: int, samples: int) -> Tensor:
    """Choose the samples, always the same ones; data sorted by class must not give one class alone."""
    if samples >= n:
        return torch.arange(n)
    return torch.randperm(n, generator=Generator().manual_seed(0))[:samples].sort().values


def _most_samples(copied: Copied, n: int, most: int) -> int:
    """Return how many samples, `most` at most, have graphs that are small enough: two of them are tried."""
    few = min(n, 2)
    held = copied.held(lambda: _hessian_product(copied, _rows(n, few)))
    return max(1, min(most, _BYTES * few // max(1, held)))


@contextmanager
def _twice_differentiable() -> Iterator[None]:
    """Choose an attention that has a second derivative, and say in words what else has none."""
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    except (NotImplementedError, RuntimeError) as error:
        raise ValueError(Said("closeup.reason.derivative", error=error)) from error


def _hessian_product(copied: Copied, rows: Tensor) -> Operator:
    """Return the product of the mean loss's Hessian with a flat vector."""
    params = copied.params
    loss = copied.loss(rows, seed=0)
    gradients = torch.autograd.grad(loss, params, create_graph=True, allow_unused=True, materialize_grads=True)
    if _differentiable_once(gradients):
        raise RuntimeError("a backward pass is differentiable once only")
    curved = [i for i, g in enumerate(gradients) if g.requires_grad]
    outputs, sizes = [gradients[i] for i in curved], [p.numel() for p in params]

    def product(flat: Tensor) -> Tensor:
        if not curved:
            return torch.zeros_like(flat)
        pieces = flat.split(sizes)
        vectors = [pieces[i].view_as(params[i]) for i in curved]
        found = torch.autograd.grad(
            outputs, params, vectors, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        return torch.cat([h.reshape(-1) for h in found])

    return product


def _differentiable_once(gradients: Sequence[Tensor]) -> bool:
    """Whether a `once_differentiable` took part: autograd steps around its error and leaves zeros behind."""
    waiting: list[Any] = [g.grad_fn for g in gradients]
    seen = {None}
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if node.name() == "torch::autograd::Error":
            return True
        waiting += [parent for parent, _ in node.next_functions]
    return False
