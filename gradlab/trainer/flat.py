"""All parameters of a network in one flat buffer, so that a step costs few operations at any depth."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from gradlab.history import Array
from gradlab.measure import FlatNorms, root_sum_square

_DOT_IS_SAFE = (1e-12, 1e12)  # norms whose float32 products neither underflow nor overflow


class FlatParameters:
    """Flat weights and gradients; the network's parameters become views of them.

    Parameters
    ----------
    params : list of Parameter
        The trainable parameters, of one dtype; their ``.data`` and ``.grad`` are replaced by views.

    Attributes
    ----------
    separate : bool
        Whether the gradient is clipped while it accumulates, so that the unclipped one is kept apart.
    received : list of bool
        Which parameters the current window gave a gradient.
    """

    def __init__(self, params: list[nn.Parameter]) -> None:
        self.params = params
        self.weights = torch.cat([p.detach().reshape(-1) for p in params])
        self.gradient = torch.zeros_like(self.weights)
        self._unclipped = torch.zeros_like(self.weights)
        self._before = self.weights.clone()
        self._change = torch.zeros_like(self.weights)
        self.gradients = self._views(self.gradient)
        self._unclipped_views = self._views(self._unclipped)
        sizes = [p.numel() for p in params]
        self._gradient_norms = FlatNorms(self.gradient, sizes)
        self._unclipped_norms = FlatNorms(self._unclipped, sizes)
        self._weight_norms = FlatNorms(self.weights, sizes)
        self._change_norms = FlatNorms(self._change, sizes)
        for param, view in zip(params, self._views(self.weights), strict=True):
            param.data = view
        self.weights.grad = self.gradient
        self.separate = False
        self._none, self._all = [False] * len(params), [True] * len(params)
        self.received = self._none
        self._first = True

    def _views(self, flat: Tensor) -> list[Tensor]:
        pieces = flat.split([p.numel() for p in self.params])
        return [piece.view(p.shape) for piece, p in zip(pieces, self.params, strict=True)]

    def attach(self) -> None:
        """Make every parameter's ``.grad`` the view of the flat gradient."""
        for param, view in zip(self.params, self.gradients, strict=True):
            param.grad = view

    def start(self, separate: bool) -> None:
        """Begin a window."""
        self.separate, self._first = separate, True
        self.received = self._none

    def accumulate(self, gradients: list[Tensor | None], weight: float) -> None:
        """Add ``weight`` times the gradients to the flat gradient; the first ones replace it (NaN * 0 is NaN)."""
        found = self._receive(gradients)
        targets = [(self.gradient, self.gradients)]
        if self.separate:
            targets.append((self._unclipped, self._unclipped_views))
        for flat, views in targets:
            if not self._first:
                torch._foreach_add_(views, found, alpha=weight)
                continue
            torch._foreach_copy_(views, found)
            if weight != 1.0:
                flat.mul_(weight)
        self._first = False

    def _receive(self, gradients: list[Tensor | None]) -> list[Tensor]:
        """Note who received a gradient; a missing one counts as zeros."""
        found = [g for g in gradients if g is not None]
        if len(found) == len(gradients):
            self.received = self._all
            return found
        self.received = [r or g is not None for r, g in zip(self.received, gradients, strict=True)]
        return [torch.zeros_like(p) if g is None else g for g, p in zip(gradients, self.params, strict=True)]

    def keep_unclipped(self) -> None:
        """Copy the gradient before it is clipped."""
        self._unclipped.copy_(self.gradient)

    def gradient_norms(self) -> list[float]:
        """Return the norm of each parameter's accumulated gradient, unclipped."""
        return self._unclipped_norms() if self.separate else self._gradient_norms()

    def clipped_norms(self) -> list[float]:
        """Return the norm of each parameter's gradient as it stands."""
        return self._gradient_norms()

    def cosine(self, norm: float, clipped_norm: float) -> float:
        """Return the cosine between the unclipped gradient and the one that stands; 1 where one is 0."""
        if norm == 0 or clipped_norm == 0:
            return 1.0
        a, b = self._unclipped, self.gradient
        if not all(_DOT_IS_SAFE[0] < v < _DOT_IS_SAFE[1] for v in (norm, clipped_norm)):
            a, b = a.double() / norm, b.double() / clipped_norm
            norm = clipped_norm = 1.0
        return min(1.0, max(-1.0, float(torch.dot(a, b)) / (norm * clipped_norm)))

    def weight_norms(self) -> list[float]:
        """Return the norm of each parameter."""
        return self._weight_norms()

    def remember(self) -> None:
        """Keep the weights as they are before an update."""
        self._before.copy_(self.weights)

    def recall(self) -> None:
        """Go back to the weights remembered."""
        self.weights.copy_(self._before)

    def change_norms(self) -> list[float]:
        """Return the norm of each parameter's change since `remember`."""
        torch.sub(self.weights, self._before, out=self._change)
        return self._change_norms()


def per_layer(values: list[float], groups: list[list[int]]) -> Array:
    """Merge norms of parameters into norms of layers; nan for a layer without a trainable weight."""
    return np.array([root_sum_square([values[i] for i in g]) if g else np.nan for g in groups])
