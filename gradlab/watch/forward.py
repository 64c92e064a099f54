"""Forward and backward passes of a network somebody else trains."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import count
from typing import Any
from weakref import ref

import torch
from torch import Tensor, nn

from gradlab.engine.layers import Layer, LayerObserver, in_backward
from gradlab.engine.stats import LARGE, LayerStats, Scratch, dense, stacked, unrecorded
from gradlab.engine.time import TimeProbe
from gradlab.locale import Said

_MOST = 256  # activations held at all: a part of a network may be called for ever, and no gradient come back
_HELD = 4  # large activations held until they are followed to their end; more would defeat gradient checkpointing


class ForwardPass:
    """One forward pass: what it showed, kept alive by the graph it built and gone with it."""

    __slots__ = ("reached", "samples", "seen", "stats")

    def __init__(self, samples: int, stats: LayerStats) -> None:
        self.samples, self.stats = samples, stats
        self.seen: set[int] = set()
        self.reached = False


Arrival = tuple[int | None, ForwardPass, int]  # a layer's number, None: the network itself; its pass; a serial number


class PassObserver:
    """Observes every pass through a network that a gradient can come back from.

    Parameters
    ----------
    network : torch.nn.Module
        The network.
    layers : list of Layer
        Its layers.
    others : sequence of Module
        Its modules that own vectors alone: their backward signal is seen too.
    batch_dim : int
        Dimension of the network's first tensor argument that counts samples.
    guard : callable
        ``guard(function)`` keeps an error of this instrument out of the loop.
    states : StateObserver
        Told of every call of a module, and of the ends of passes.

    Attributes
    ----------
    called : bool
        Whether a layer ever returned something that a gradient can come back from.
    deaf : bool
        Whether nothing is looked at until `renew`.

    Notes
    -----
    With gradient checkpointing a layer runs twice. Without reentry its first run counts; with reentry, when
    nothing is recorded the first time, the run inside the backward pass does.
    """

    def __init__(
        self,
        network: nn.Module,
        layers: list[Layer],
        others: Sequence[nn.Module],
        batch_dim: int,
        guard: Callable[[Callable[..., None]], Callable[..., None]],
        states: StateObserver,
    ) -> None:
        self._signals, self._layers = len(layers) + len(others), len(layers)
        self._batch_dim, self._guarded = batch_dim, guard(self._measure_large)
        self._scratch = Scratch()
        self._hooked: list[ref[Any]] = []
        self.called = False
        self._passes: list[ForwardPass] = []
        self._arrived: dict[Arrival, Tensor | None] = {}  # gradients of the backward pass, as they come
        self._serial = count()
        self._stats = LayerStats(self._signals, self._scratch)
        self._deltas: list[tuple[int, Tensor, None]] = []
        self._on = self.deaf = False
        self._open: ForwardPass | None = None
        self._current: ForwardPass | None = None
        self._large = 0
        self._states = states
        self._observer = LayerObserver(
            network, layers, self._returned, self._finished, others, guard, self._note if states.rows else None
        )

    def start(self) -> None:
        """Begin to look."""
        self._on, self.deaf = True, False
        self._observer.start()

    def stop(self) -> None:
        """Take all hooks off, also those on a graph that is still there."""
        self._on = False
        self._observer.stop()
        for hooks in filter(None, (hooked() for hooked in self._hooked)):
            for key in [key for key in hooks if isinstance(key, tuple) and key[0] is self]:
                del hooks[key]
        self.renew()

    def renew(self) -> LayerStats:
        """Return what was seen since the last time, not yet read, and let go of it."""
        self.settle()
        found = self._stats
        for watched in self._passes:
            found.absorb(watched.stats)
        self._open = self._current = None
        self._hooked = []
        self._stats, self._passes = LayerStats(self._signals, self._scratch), []
        self.deaf, self._large = False, 0
        return found

    @property
    def passes(self) -> list[ForwardPass]:
        """Those that a backward pass has come to since `renew`."""
        self._arrive()
        return self._passes

    def prepare(self) -> int:
        """Make ready for a backward pass, also of parts called one by one; return how many passes one came to."""
        self._states.end()
        return len(self.passes)

    def settle(self) -> None:
        """Measure what is still held of a backward pass that has ended."""
        self._arrive()
        if not self._on:  # what failed once must not be tried again on the way out
            self._deltas = []
            return
        if self._current is not None:
            self._measure(self._current)
        if self._deltas:
            with unrecorded():
                self._stats.see_deltas(stacked(self._deltas), 1)
            self._deltas = []
        self._states.settle()

    def ignore(self) -> None:
        """Look at nothing until `renew`: a closure that an optimizer calls again and again shows its first run."""
        self.deaf = True

    # ------------------------------------------------------------------ forward
    def _note(self, *call: Any) -> None:
        if not self.deaf:
            self._states.note(*call)

    def _returned(self, number: int, z: Tensor) -> bool:
        if self.deaf or not torch.is_grad_enabled():
            return False
        watched = self._pass_of(number, z)
        if watched is None:
            return False
        self.called = True
        if z.requires_grad and z.grad_fn is not None:
            self._hook(z, watched, number)
        if number >= self._layers:
            return False
        self._large += z.numel() > LARGE
        if self._large > _HELD or len(self._observer.seen) > _MOST:
            self._measure(watched)
        return True

    def _pass_of(self, number: int, z: Tensor) -> ForwardPass | None:
        """Return the pass that a layer's run belongs to, None if it is not to be counted."""
        if in_backward():  # gradient checkpointing runs the layer again
            if self._arrived:
                self._come_to(next(reversed(self._arrived))[1])
            if self._current is None:
                self._current = self._new_pass(z)
            return None if number in self._current.seen else self._current
        self._arrive()
        if self._open is None or self._open.reached:
            self._open = self._new_pass(z)
        self._open.seen.add(number)
        return self._open

    def _new_pass(self, tensor: Tensor | None) -> ForwardPass:
        return ForwardPass(self._samples_of(tensor), LayerStats(self._signals, self._scratch))

    def _samples_of(self, tensor: Tensor | None) -> int:
        return tensor.shape[self._batch_dim] if tensor is not None and tensor.dim() > self._batch_dim else 1

    def _finished(self, args: Any, kwargs: Any, output: Any) -> None:
        if self.deaf or in_backward() or not torch.is_grad_enabled():
            return
        self._states.end()
        watched, self._open = self._open, None
        inputs = next(_tensors((args, kwargs)), None)
        if watched is None or watched.reached:
            watched = self._new_pass(inputs)
        elif inputs is not None:
            watched.samples = self._samples_of(inputs)
        self._measure(watched)
        for tensor in _tensors(output):  # learn of the backward pass even if every layer is checkpointed
            if tensor.grad_fn is not None:
                self._hook(tensor, watched, None)

    def _measure(self, watched: ForwardPass) -> None:
        if not self._observer.seen:
            return
        seen = self._observer.take()
        self._large = 0
        with unrecorded():
            watched.stats.see_activations(stacked((s.layer, dense(s.value), s.bounds) for s in seen))

    # ------------------------------------------------------------------ backward
    def _hook(self, z: Tensor, watched: ForwardPass, number: int | None) -> None:
        """Do as ``z.register_hook``, without its handle: that costs as much as all else that is done for a layer."""
        hooks = z._backward_hooks
        if hooks is None:
            z._backward_hooks = hooks = OrderedDict()
            z.grad_fn._register_hook_dict(z)  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]
        key = (number, watched, next(self._serial))
        small = number is None or z.numel() <= LARGE
        # without a frame of Python's: that costs as much as all else that is done for a layer of a small network
        taken = partial(self._arrived.__setitem__, key) if small else partial(self._guarded, key)
        hooks[self, number] = taken  # pyright: ignore[reportArgumentType]
        self._hooked.append(ref(hooks))

    def _measure_large(self, key: Arrival, gradient: Tensor | None) -> None:
        if self._on and not self.deaf and gradient is not None:
            self._arrived[key] = None
            self._stats.see_deltas([((key[0] or 0,), dense(gradient).detach()[None], None)], 1)

    def _come_to(self, watched: ForwardPass) -> None:
        """Note that the backward pass has come to a forward pass; measure what it left of the one before."""
        if self._current is not watched:
            if self._current is not None:
                self._measure(self._current)
            self._current = watched
        if not watched.reached:
            watched.reached = True
            self._passes.append(watched)
            if self._open is watched:  # a part of the network was called by itself
                self._measure(watched)

    def _arrive(self) -> None:
        """Take note of the gradients that have come since the last time."""
        if not self._arrived:
            return
        if self._on and not self.deaf:
            for (number, watched, _), gradient in self._arrived.items():
                self._come_to(watched)
                if number is not None and gradient is not None:
                    self._deltas.append((number, dense(gradient), None))
        self._arrived.clear()


def _tensors(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in nested tuples, lists and mappings."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _tensors(item)


class StateObserver:
    """The recurrent states of every pass that a gradient comes back to, and what that makes of d loss / d h_t.

    Parameters
    ----------
    network : torch.nn.Module
        The network.
    on : bool
        False: it observes nothing.

    Attributes
    ----------
    rows : tuple of str
        A name per recurrent layer and direction.
    why : Said or None
        Why a recurrent module has no time signal.
    passes : list of list of Tensor
        What `TimeProbe.norms` found of each, for the sum of its samples' losses; emptied by who reads it.
    """

    def __init__(self, network: nn.Module, on: bool) -> None:
        self._network = network
        self.rows = TimeProbe(network, hooks=False).rows if on else ()
        self.why: Said | None = None
        self.passes: list[list[Tensor]] = []
        self._now: TimeProbe | None = None
        self._waiting: list[tuple[TimeProbe, list[Tensor | None]]] = []

    def note(self, module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any], output: Any) -> None:
        """Note a call of a module."""
        if in_backward() or not torch.is_grad_enabled():
            return
        if self._now is None:
            self._now = TimeProbe(self._network, hooks=False)
            self._now.begin()
        self._now.note(module, arguments, named, output)

    def end(self) -> None:
        """End a forward pass: wait for the gradients of its states."""
        probe, self._now = self._now, None
        if probe is None:
            return
        edges, self.why = probe.end(), probe.why or self.why
        if not edges:
            return
        found: list[Tensor | None] = [None] * len(edges)
        for i, edge in enumerate(edges):
            edge.node.register_prehook(partial(_keep, found, i, edge.output_nr))
        self._waiting = [*self._waiting[1 - _MOST :], (probe, found)]

    def settle(self) -> None:
        """Find d loss / d h_t where a backward pass has been, before the weights move."""
        for probe, found in self._waiting:
            if any(g is not None for g in found):
                self.passes.append(probe.norms(found, 1))
                found[:] = []
        self._waiting = [own for own in self._waiting if own[1]]

    def forget(self) -> list[list[Tensor]]:
        """Return what was found and let go of it."""
        passes, self.passes, self._now, self._waiting = self.passes, [], None, []
        return passes


def _keep(found: list[Tensor | None], i: int, output: int, gradients: tuple[Tensor | None, ...]) -> None:
    if found:  # else its backward pass is over, and this is another one through the same graph
        found[i] = gradients[output]
