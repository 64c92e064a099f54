"""An activation as a function of one number, with its autograd derivative and its kinks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from gradlab.history import Array
from gradlab.locale import Said
from gradlab.network import ACTIVATIONS
from gradlab.theory.silence import SilenceError

_JUMP = 1e-6  # relative to the largest value seen: below it a change is smooth
_BISECTIONS = 40  # an interval of 1/32 becomes 3e-14: what still changes in it jumps


@dataclass(frozen=True, eq=False)
class Phi:
    """A scalar function phi with its derivative, evaluated in float64.

    Attributes
    ----------
    function : callable
        Tensor to Tensor of the same shape, entry by entry.
    kinks : array (kinks,)
        Where phi or its derivative jumps, in ascending order.
    """

    function: Callable[[Tensor], Tensor]
    kinks: Array

    def __call__(self, x: Array) -> tuple[Array, Array]:
        """Return phi(x) and phi'(x), both of the shape of `x`."""
        return evaluate(self.function, x)


def evaluate(function: Callable[[Tensor], Tensor], x: Array) -> tuple[Array, Array]:
    """Return a function's values and its autograd derivative at `x`.

    Raises
    ------
    SilenceError
        If autograd finds no derivative, or the shape changes.
    """
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

    The global random state is left as it was.

    Raises
    ------
    SilenceError
        If it is no deterministic function of each entry alone, or not finite.
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

    Parameters
    ----------
    function : callable
        Tensor to Tensor, entry by entry.
    x : array (points,)
        Ascending.
    """
    ends = evaluate(function, x)
    found = [_jumps(function, x, values, part) for part, values in enumerate(ends)]
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
