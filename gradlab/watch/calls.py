"""Stand-ins for what a loop calls that has no hooks: where a backward pass begins and ends, who scales a loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gradlab.engine.layers import in_backward


class Calls:
    """Stands in for ``torch.autograd.backward``, which every ``loss.backward()`` calls, and ``GradScaler.scale``.

    A loss is computed after the network's last hook, so only that call shows it. torch's own way to see calls,
    a TorchFunctionMode, is asked for every attribute of every tensor and makes a small network three times
    slower.

    Parameters
    ----------
    begin : callable
        Called before a backward pass.
    end : callable
        ``end(loss, done)`` after it: the scalar it began at, or None if it began at no scalar or raised.
    scales : callable
        ``scales(scaler)`` when a scaler scales a loss.
    """

    def __init__(
        self,
        begin: Callable[[], object],
        end: Callable[[Tensor | None], object],
        scales: Callable[[Any], object],
    ) -> None:
        self._begin, self._end, self._scales, self._active = begin, end, scales, False
        self._backward_before, self._scale_before = torch.autograd.backward, torch.amp.GradScaler.scale
        self._scale_of_mine: Any = None

    def install(self) -> None:
        """Begin to stand in."""
        self._backward_before, self._active = torch.autograd.backward, True
        torch.autograd.backward = self._backward
        before, scales = torch.amp.GradScaler.scale, self._scales

        def scale(scaler: Any, outputs: Any) -> Any:
            scales(scaler)
            return before(scaler, outputs)

        self._scale_before, self._scale_of_mine = before, scale
        torch.amp.GradScaler.scale = scale  # pyright: ignore[reportAttributeAccessIssue]

    def remove(self) -> None:
        """Put back what was there, unless another stand-in came later and calls this one."""
        self._active = False
        if torch.autograd.backward == self._backward:
            torch.autograd.backward = self._backward_before
        if torch.amp.GradScaler.scale is self._scale_of_mine:
            torch.amp.GradScaler.scale = self._scale_before

    def _backward(self, *args: Any, **kwargs: Any) -> None:
        if not self._active or in_backward():
            return self._backward_before(*args, **kwargs)
        given = args[1] if len(args) > 1 else kwargs.get("grad_tensors")
        loss = None if given is not None else _scalar(args[0] if args else kwargs.get("tensors"))
        self._begin()
        done = False
        try:
            self._backward_before(*args, **kwargs)
            done = True
        finally:
            self._end(loss if done else None)
        return None


def _scalar(tensors: Any) -> Tensor | None:
    """Return the sum of the losses, or None if they are no scalars."""
    losses = [tensors] if isinstance(tensors, Tensor) else list(tensors or ())
    if not losses or any(not isinstance(t, Tensor) or t.numel() != 1 for t in losses):
        return None
    if len(losses) == 1:
        return losses[0].detach()
    return torch.stack([t.detach().double().reshape(()) for t in losses]).sum()
