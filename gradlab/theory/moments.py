"""Gaussian averages of an activation: what a wide layer does to a signal of given variance."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradlab.history import Array
from gradlab.theory.phi import Phi

Q_RANGE = (1e-120, 1e120)  # fourth powers of a signal inside it are finite in float64
_REACH = 13.0  # standard deviations; the mass beyond is 1e-38
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)
# where activations bend, in units of x: panels end here, so a bend is resolved at any variance
_BENDS = np.concatenate([np.arange(0.0, 4.0, 0.5), 4.0 * 2.0 ** np.arange(0.0, 9.0, 0.5)])


@dataclass(frozen=True, eq=False)
class Moments:
    """Averages over z ~ N(0, q) for each variance q; every array has shape ``(variances,)``.

    Attributes
    ----------
    second, slope : array
        E phi(z)^2 and E phi'(z)^2.
    variance, mean_slope : array
        Var phi(z) and E phi'(z).
    d_second, d_slope : array
        d log(second) / d log q and d log(slope) / d log q.
    spread_second, spread_slope : array
        Var phi^2 / (E phi^2)^2 and Var phi'^2 / (E phi'^2)^2.
    joint : array
        Cov(phi^2, phi'^2) / (E phi^2 E phi'^2).
    """

    second: Array
    slope: Array
    variance: Array
    mean_slope: Array
    d_second: Array
    d_slope: Array
    spread_second: Array
    spread_slope: Array
    joint: Array

    @property
    def linear(self) -> NDArray[np.bool_]:
        """Where phi' is one constant: Var phi' = 0 to the accuracy of the quadrature."""
        return np.isclose(self.mean_slope**2, self.slope, rtol=1e-9)


class Quadrature:
    """Composite Gauss-Legendre quadrature, split at the kinks of the activation.

    Parameters
    ----------
    phi : Phi
        The activation.
    refinement : int
        Each panel is cut into ``2 ** refinement``.

    Notes
    -----
    Across a kink a Gauss rule is wrong in the third digit; between kinks it converges exponentially.
    """

    def __init__(self, phi: Phi, refinement: int = 0) -> None:
        self.phi = phi
        self.refinement = refinement
        self._bends = np.unique(np.concatenate([-_BENDS, _BENDS, phi.kinks]))

    def _nodes(self, root: Array) -> tuple[Array, Array]:
        """Return the nodes in standard deviations and their weights, density included, ``(variances, nodes)``."""
        grid = np.arange(-_REACH, _REACH + 0.5)
        bends = np.clip(self._bends / root[:, None], -_REACH, _REACH)
        edges = np.sort(np.concatenate([np.broadcast_to(grid, (len(root), len(grid))), bends], axis=1))
        cuts = np.arange(2**self.refinement) / 2**self.refinement
        width = np.diff(edges)[..., None] / 2**self.refinement
        left = edges[:, :-1, None] + np.diff(edges)[..., None] * cuts
        z = left[..., None] + width[..., None] * (_NODES + 1) / 2
        weight = width[..., None] / 2 * _WEIGHTS * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
        shape = (len(root), -1)
        return z.reshape(shape), np.broadcast_to(weight, z.shape).reshape(shape)

    def moments(self, q: Array) -> Moments:
        """Return the averages at the variances `q`, of shape ``(variances,)``, kept inside `Q_RANGE`."""
        root = np.sqrt(np.clip(q, *Q_RANGE))
        z, weight = self._nodes(root)
        value, slope = self.phi(z * root[:, None])
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
