"""`LossCatcher`: notes the number that ``backward()`` is called on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_BACKWARD = (Tensor.backward, torch.autograd.backward)


class LossCatcher(TorchFunctionMode):
    """Hands on the scalar of each backward pass that went through a watched network.

    A loss is computed after the network's last hook, so only the call of ``backward()`` itself shows it; this
    is torch's own way to see calls. Nothing is changed.

    Parameters
    ----------
    progress : callable
        Returns a number that grows when a backward pass goes through the watched network.
    note : callable
        Called with the loss, a tensor of no dimension.
    """

    def __init__(self, progress: Callable[[], int], note: Callable[[Tensor], object]) -> None:
        super().__init__()
        self._progress, self._note = progress, note

    def __torch_function__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call `func`; if it is ``backward``, note its loss."""
        if func not in _BACKWARD:
            return func(*args, **(kwargs or {}))
        loss = _scalar(args[0]) if args else None
        before = self._progress()
        result = func(*args, **(kwargs or {}))
        if loss is not None and self._progress() != before:
            self._note(loss)
        return result


def _scalar(tensors: Any) -> Tensor | None:
    """Return the sum of the losses, copied, or None if they are no scalars."""
    losses = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    if not losses or any(not isinstance(t, Tensor) or t.numel() != 1 for t in losses):
        return None
    return torch.stack([t.detach().double().reshape(()) for t in losses]).sum()
