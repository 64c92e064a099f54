"""Forward and backward passes of a network somebody else trains, as its own hooks show them."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from gradlab.engine.meter import Meter
from gradlab.engine.probe import HookProbe, Seen
from gradlab.watch.backward import in_backward

_HELD = 8  # activations held until they are followed to their end; more would defeat gradient checkpointing


class WatchedPass:
    """One forward pass: what it showed, kept alive by the graph it built and gone with it.

    Parameters
    ----------
    samples : int
        Samples that went in.
    layers : int
        Number of layers of the network.
    """

    def __init__(self, samples: int, layers: int) -> None:
        self.samples = samples
        self.meter = Meter(layers)
        self.layers_seen: set[int] = set()
        self.handles: list[RemovableHandle] = []
        self.reached = False
        self._seen: list[Seen] = []

    def see(self, seen: Seen) -> list[Seen]:
        """Add an activation; return those that are measured and let go."""
        self._seen.append(seen)
        return self.measure(keep=_HELD) if len(self._seen) >= 2 * _HELD else []

    def measure(self, keep: int = 0) -> list[Seen]:
        """Measure all but the newest `keep` activations and return them."""
        done, self._seen = self._seen[: len(self._seen) - keep], self._seen[len(self._seen) - keep :]
        self.meter.see_activations([(s.layer, s.value, s.bounds) for s in done])
        return done


class LoopProbe(HookProbe):
    """Observes every pass through a network that a gradient can come back from.

    Parameters
    ----------
    network : torch.nn.Module
        The network.
    batch_dim : int
        Dimension of the network's first tensor argument that counts samples.
    reached : callable
        ``reached(pass)``: a backward pass has come to this forward pass; called again for each layer.
    delta : callable
        ``delta(layer, gradient)``: dL/dz of a layer.

    Notes
    -----
    With gradient checkpointing a layer runs twice. Without reentry its first run counts; with reentry, when
    nothing is recorded the first time, the run inside the backward pass does.
    """

    def __init__(
        self,
        network: nn.Module,
        batch_dim: int,
        reached: Callable[[WatchedPass], object],
        delta: Callable[[int, Tensor], object],
    ) -> None:
        super().__init__(network)
        self._batch_dim, self._reached, self._delta = batch_dim, reached, delta
        self._open: WatchedPass | None = None
        self._current: WatchedPass | None = None
        self._passes: weakref.WeakSet[WatchedPass] = weakref.WeakSet()
        self._handles.append(network.register_forward_pre_hook(self._begin, with_kwargs=True))
        self._handles.append(network.register_forward_hook(self._end, always_call=True))

    def remove(self) -> None:
        """Take every hook off the network and off the graphs it has built."""
        super().remove()
        for watched in list(self._passes):
            for handle in watched.handles:
                handle.remove()
        self._open = None
        self.forget()

    def forget(self) -> None:
        """Let go of the last pass."""
        self._current, self._tails = None, {}

    # ------------------------------------------------------------------ forward
    def _begin(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if in_backward():
            return
        self._current = None
        self._open = self._new_pass((args, kwargs)) if torch.is_grad_enabled() else None

    def _end(self, module: nn.Module, args: Any, output: Any) -> None:
        if in_backward():
            return
        watched, self._open = self._open, None
        if watched is not None:
            watched.measure()
            self._tails = {}
            self._hook_output(watched, output)

    def _new_pass(self, inputs: Any) -> WatchedPass:
        tensor = next(_tensors(inputs), None)
        samples = tensor.shape[self._batch_dim] if tensor is not None and tensor.dim() > self._batch_dim else 1
        watched = WatchedPass(samples, len(self.layers))
        self._passes.add(watched)
        self._tails = {}
        return watched

    def _hook_output(self, watched: WatchedPass, output: Any) -> None:
        """Learn of the backward pass even if every layer is checkpointed."""
        for tensor in _tensors(output):
            if tensor.requires_grad and tensor.grad_fn is not None:
                watched.handles.append(tensor.register_hook(partial(self._come_back, watched, None)))

    def _see_layer(self, number: int, z: Tensor) -> None:
        watched = self._pass_of(number, z)
        if watched is None:
            return
        if z.requires_grad and z.grad_fn is not None:
            watched.handles.append(z.register_hook(partial(self._come_back, watched, number)))
        done = watched.see(self._follow(number, z))
        if done:
            gone = {id(s) for s in done}
            self._tails = {key: tail for key, tail in self._tails.items() if id(tail[0]) not in gone}

    def _pass_of(self, number: int, z: Tensor) -> WatchedPass | None:
        """Return the pass that a layer's run belongs to, None if it is not to be counted."""
        if not torch.is_grad_enabled():
            return None
        if in_backward():  # gradient checkpointing runs the layer again
            if self._current is None:
                self._current = self._new_pass(z)
            return None if number in self._current.layers_seen else self._current
        if self._open is not None:
            self._open.layers_seen.add(number)
            return self._open
        if self._current is None or self._current.reached:  # a part of the network is called by itself
            self._current = self._new_pass(z)
        self._current.layers_seen.add(number)
        return self._current

    # ------------------------------------------------------------------ backward
    def _come_back(self, watched: WatchedPass, number: int | None, gradient: Tensor) -> None:
        self._current, watched.reached = watched, True
        self._reached(watched)
        if number is not None:
            self._delta(number, gradient)


def _tensors(value: Any) -> Any:
    """Yield the tensors in nested tuples, lists and mappings."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _tensors(item)
