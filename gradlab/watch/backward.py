"""`BackwardCalls`: sees where a backward pass begins, with what loss, and where it ends."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

import torch
from torch import Tensor


def in_backward() -> bool:
    """Whether this code runs inside a backward pass (in a hook, or in a layer that is checkpointed)."""
    return torch._C._current_graph_task_id() != -1


class BackwardCalls:
    """Stands in for ``torch.autograd.backward``, which every ``loss.backward()`` calls, for the length of a block.

    A loss is computed after the network's last hook, so only that call shows it. torch's own way to see calls,
    a TorchFunctionMode, is asked for every attribute of every tensor and makes a small network three times
    slower.

    Parameters
    ----------
    begin : callable
        Called before a backward pass.
    end : callable
        Called after it with the scalar it began at, or None if it began at no scalar.
    """

    def __init__(self, begin: Callable[[], object], end: Callable[[Tensor | None], object]) -> None:
        self._begin, self._end, self._active = begin, end, False
        self._original = torch.autograd.backward

    def __enter__(self) -> None:
        self._original, self._active = torch.autograd.backward, True
        torch.autograd.backward = self._backward

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._active = False
        if torch.autograd.backward == self._backward:  # else another stand-in came later, and calls this one
            torch.autograd.backward = self._original

    def _backward(self, *args: Any, **kwargs: Any) -> None:
        if not self._active or in_backward():
            return self._original(*args, **kwargs)
        given = args[1] if len(args) > 1 else kwargs.get("grad_tensors")
        loss = None if given is not None else _scalar(args[0] if args else kwargs.get("tensors"))
        self._begin()
        done = False
        try:
            self._original(*args, **kwargs)
            done = True
        finally:
            self._end(loss if done else None)
        return None


def _scalar(tensors: Any) -> Tensor | None:
    """Return the sum of the losses, copied, or None if they are no scalars."""
    losses = [tensors] if isinstance(tensors, Tensor) else list(tensors or ())
    if not losses or any(not isinstance(t, Tensor) or t.numel() != 1 for t in losses):
        return None
    return torch.stack([t.detach().double().reshape(()) for t in losses]).sum()
