"""The largest eigenvalue of a symmetric operator that is only known by its products with vectors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor


class Ritz(NamedTuple):
    """An estimate of the largest eigenvalue.

    Attributes
    ----------
    value : float
        The estimate, never above the truth but for rounding; nan if a product was not finite.
    residual : float
        An eigenvalue lies within this distance of `value`.
    iterations : int
        Products taken.
    converged : bool
        Whether `residual` came down to the tolerance.
    """

    value: float
    residual: float
    iterations: int
    converged: bool


def largest_eigenvalue(apply: Callable[[Tensor], Tensor], start: Tensor, iterations: int, tol: float) -> Ritz:
    """Return the largest (not the largest in size) eigenvalue by the method of Lanczos (1950).

    Power iteration would find the largest in size, and a network far from a minimum has large negative ones.
    Vectors are not orthogonalised again: three of them are kept, and the ends of the spectrum stay right (Paige
    1971).

    Parameters
    ----------
    apply : callable
        Product of the operator with a vector of shape ``(n,)``.
    start : Tensor
        First vector, shape ``(n,)``, with a share of every eigenvector (a random one).
    iterations : int
        Largest number of products.
    tol : float
        Largest residual, relative to the value, that counts as converged.
    """
    v, previous, beta = start / start.norm(), torch.zeros_like(start), 0.0
    alphas: list[float] = []
    betas: list[float] = []
    top = Ritz(math.nan, math.inf, 0, False)
    for i in range(1, iterations + 1):
        w = apply(v).sub_(previous, alpha=beta)
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


def random_start(n: int, dtype: torch.dtype) -> Tensor:
    """Return a Gaussian vector, always the same."""
    return torch.randn(n, generator=Generator().manual_seed(0), dtype=dtype)
