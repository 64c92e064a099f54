"""Gaussian averages of an activation: what a wide layer does to a signal of given variance.

An activation is read as a function of one number, with its autograd derivative and its kinks; where it is no such
function theory is silent.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gradlab.history import Array
from gradlab.locale import Said
from gradlab.network import ACTIVATIONS


class SilenceError(Exception):
    """Theory is silent; the message, a `Said`, completes the sentence "no prediction, because ..."."""


_JUMP = 1e-6  # relative to the largest value seen: below it a change is smooth
_BISECTIONS = 40  # an interval of 1/32 becomes 3e-14: what still changes in it jumps


class Phi(NamedTuple):
    """A scalar function phi, and where it or its derivative jumps."""

    function: Callable[[Tensor], Tensor]  # tensor to Tensor of the same shape, entry by entry
    kinks: Array  # (kinks,): in ascending order


def evaluate(function: Callable[[Tensor], Tensor], x: Array) -> tuple[Array, Array]:
    """Return a function's values and its autograd derivative at `x`; theory is silent where there is none."""
    leaf = torch.as_tensor(x).requires_grad_(True)
    with torch.enable_grad():
        value = function(leaf.clone())  # a clone, for an activation that works in place
        if value.shape != leaf.shape:
            raise SilenceError(Said("silence.shape"))
        if not value.requires_grad:
            raise SilenceError(Said("silence.derivative"))
        (slope,) = torch.autograd.grad(value.sum(), leaf)
    return value.detach().numpy(), slope.numpy()


def read_phi(name: str) -> Phi:
    """Return the registered activation `name`, also one registered in a notebook cell.

    Theory is silent if it is no deterministic function of each entry alone, or not finite.
    """
    x = _grid()
    with torch.random.fork_rng(devices=[]):
        module, other = _make(name, 0), _make(name, 1)
        value, slope = evaluate(module, x)
        again, _ = evaluate(module, x)
        elsewhere, _ = evaluate(other, x)
        half, _ = evaluate(module, x[::2].copy())
        if not np.array_equal(value, again, equal_nan=True):
            raise SilenceError(Said("silence.random"))
        if not np.array_equal(value, elsewhere, equal_nan=True):
            raise SilenceError(Said("silence.random_made"))
        if not np.allclose(half, value[::2], rtol=1e-12, atol=1e-12, equal_nan=True):
            raise SilenceError(Said("silence.mixes"))
        if not (np.isfinite(value).all() and np.isfinite(slope).all()):
            raise SilenceError(Said("silence.not_finite"))
        return Phi(module, find_kinks(module, x))


def _make(name: str, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return ACTIVATIONS[name]().double()


def _grid() -> Array:
    """Return points -1e3 ... 1e3, neither round numbers nor each other's mirror images."""
    near = np.arange(-16, 16, 1 / 32) + 1 / 299
    far = np.geomspace(16.1, 1e3, 200)
    return np.concatenate([-far[::-1] - 0.05, near, far])


def find_kinks(function: Callable[[Tensor], Tensor], x: Array) -> Array:
    """Return the points between the grid points `x` where a function or its derivative jumps.

    Every interval is halved again and again, keeping the half with the larger change: of a smooth function
    the change goes to 0 with the width, of a jump it stays. Two jumps of one kind in one interval count once.
    """
    found = [_jumps(function, x, values, part) for part, values in enumerate(evaluate(function, x))]
    return np.unique(np.concatenate(found))


def _jumps(function: Callable[[Tensor], Tensor], x: Array, values: Array, part: int) -> Array:
    """Bisect all intervals at once; `part` 0 looks at the function, 1 at its derivative."""
    threshold = _JUMP * max(float(np.abs(values).max()) if part else 1.0, 1e-300)
    low, high, at_low, at_high = x[:-1], x[1:], values[:-1], values[1:]
    for _ in range(_BISECTIONS):
        keep = np.abs(at_high - at_low) > threshold
        low, high, at_low, at_high = (a[keep] for a in (low, high, at_low, at_high))
        if not len(low):
            break
        middle = (low + high) / 2
        at_middle = evaluate(function, middle)[part]
        right = np.abs(at_high - at_middle) > np.abs(at_middle - at_low)
        low, at_low = np.where(right, middle, low), np.where(right, at_middle, at_low)
        high, at_high = np.where(right, high, middle), np.where(right, at_high, at_middle)
    return np.where(np.abs(low + high) < 1e-12, 0.0, (low + high) / 2)


Q_RANGE = (1e-120, 1e120)  # fourth powers of a signal inside it are finite in float64
_REACH = 13.0  # standard deviations; the mass beyond is 1e-38
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)
# where activations bend, in units of x: panels end here, so a bend is resolved at any variance
_BENDS = np.concatenate([np.arange(0.0, 4.0, 0.5), 4.0 * 2.0 ** np.arange(0.0, 9.0, 0.5)])


@dataclass(frozen=True, eq=False)
class Moments:
    """Averages over z ~ N(0, q) for each variance q; every array has shape ``(variances,)``."""

    # E phi(z)^2 and E phi'(z)^2
    second: Array
    slope: Array
    # Var phi(z) and E phi'(z)
    variance: Array
    mean_slope: Array
    # d log(second) / d log q and d log(slope) / d log q
    d_second: Array
    d_slope: Array
    # Var phi^2 / (E phi^2)^2 and Var phi'^2 / (E phi'^2)^2
    spread_second: Array
    spread_slope: Array
    joint: Array  # Cov(phi^2, phi'^2) / (E phi^2 E phi'^2)

    @property
    def linear(self) -> NDArray[np.bool_]:
        """Where phi' is one constant: Var phi' = 0 to the accuracy of the quadrature."""
        return np.isclose(self.mean_slope**2, self.slope, rtol=1e-9)


def _nodes(root: Array, kinks: Array, refinement: int) -> tuple[Array, Array]:
    """Return the nodes in standard deviations and their weights, density included, ``(variances, nodes)``."""
    grid = np.arange(-_REACH, _REACH + 0.5)
    bends = np.clip(np.unique(np.concatenate([-_BENDS, _BENDS, kinks])) / root[:, None], -_REACH, _REACH)
    edges = np.sort(np.concatenate([np.broadcast_to(grid, (len(root), len(grid))), bends], axis=1))
    cuts = np.arange(2**refinement) / 2**refinement
    width = np.diff(edges)[..., None] / 2**refinement
    left = edges[:, :-1, None] + np.diff(edges)[..., None] * cuts
    z = left[..., None] + width[..., None] * (_NODES + 1) / 2
    weight = width[..., None] / 2 * _WEIGHTS * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    shape = (len(root), -1)
    return z.reshape(shape), np.broadcast_to(weight, z.shape).reshape(shape)


def moments(phi: Phi, q: Array, refinement: int = 0) -> Moments:
    """Return the averages at the variances `q`, of shape ``(variances,)``, kept inside `Q_RANGE`.

    By Gauss-Legendre quadrature over panels split at the kinks, each cut in ``2 ** refinement``: across a kink a
    Gauss rule is wrong in the third digit; between kinks it converges exponentially.
    """
    root = np.sqrt(np.clip(q, *Q_RANGE))
    z, weight = _nodes(root, phi.kinks, refinement)
    value, slope = evaluate(phi.function, z * root[:, None])
    value = value / root[:, None]  # so that fourth powers stay in range

    def mean(x: Array) -> Array:
        return np.sum(weight * x, axis=1)

    hermite = z**2 - 1  # E[f(z) (z^2 - 1)] = 2 dE[f]/dlog q
    forward, backward = value**2, slope**2
    second, slope_2 = mean(forward), mean(backward)
    with np.errstate(divide="ignore", invalid="ignore"):  # phi' = 0 nearly everywhere: the caller says so
        return Moments(
            second=second * root**2,
            slope=slope_2,
            variance=mean((value - mean(value)[:, None]) ** 2) * root**2,
            mean_slope=mean(slope),
            d_second=mean(hermite * forward) / (2 * second),
            d_slope=mean(hermite * backward) / (2 * slope_2),
            spread_second=mean(forward**2) / second**2 - 1,
            spread_slope=mean(backward**2) / slope_2**2 - 1,
            joint=mean(forward * backward) / (second * slope_2) - 1,
        )
