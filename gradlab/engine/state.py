"""Everything mutable of a run but its history, and how it is copied, restored and undone."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gradlab.config import Config
from gradlab.data import Data
from gradlab.engine.chain import Chain
from gradlab.engine.descent import Descent
from gradlab.engine.flat import FlatParameters
from gradlab.engine.guard import Guard
from gradlab.engine.meter import Meter
from gradlab.engine.passes import Pass
from gradlab.engine.probe import HookProbe, Layer, NetworkProbe, layer_of
from gradlab.engine.snapshots import Snapshot
from gradlab.engine.stream import Stream, Window
from gradlab.history import Array, StepRecord
from gradlab.rules.carry_over import State
from gradlab.rules.norms import root_sum_square


class RunState:
    """Everything mutable of a run but its history.

    Parameters
    ----------
    config : Config
        Its knobs for the optimizer and the seeds.
    probe : NetworkProbe or HookProbe
        The network, observed.
    data : Data
        What it is trained on.
    stochastic : bool
        Whether a forward pass draws from torch's global generator (dropout): it is then seeded for each pass
        and put back.
    """

    _pass: Pass  # the forward pass under way

    def __init__(self, config: Config, probe: NetworkProbe | HookProbe, data: Data, stochastic: bool) -> None:
        self.probe, self.data, self.stochastic = probe, data, stochastic
        self.network = probe.network
        self._guard: Guard | None = None
        self._buffer_slots = [(m, name) for m in self.network.modules() for name in m._buffers]
        params = [p for p in self.network.parameters() if p.requires_grad]
        numbers = {id(p): i for i, p in enumerate(params)}
        self.groups = [[numbers[id(p)] for p in layer.weights if id(p) in numbers] for layer in probe.layers]
        self.flat = FlatParameters(params)
        if isinstance(probe, NetworkProbe) and Chain.fits(probe.network, data.loss):
            self._guard = Guard(Chain(probe.network, probe.ranges), probe, self.flat, data)
        output = {id(p) for p in probe.layers[-1].module.parameters()}
        self.all_but_output = [p for p in self.flat.params if id(p) not in output]
        self.frozen_norm = _frozen_norms(probe.layers, self.groups)
        self.descent = Descent(config, self.flat.weights)
        self.carry: State = {}
        self.stream = Stream(data.n, config.batch_seed)
        self.step = self.samples = self.micro_batches = self.updates = 0
        self.seconds, self.resumed = 0.0, time.perf_counter()
        self.meter = Meter(len(probe.layers))
        self.window: Window = self.stream.peek(1, 1)
        self.weight_norms = self.new_weight_norms = self.flat.weight_norms()
        self._nothing = np.full(len(probe.layers), np.nan)
        self._found: Sequence[Tensor | None] = []
        self.micro_loss, self.micro_samples = math.nan, 0
        self._undo_optimizer: dict[str, Any] = {}
        self._undo_carry: State = {}
        self._updating = False
        self.lane(min(config.batch_size, data.n))  # a trial now rather than in the first step's time

    def lane(self, samples: int) -> Chain | NetworkProbe | HookProbe:
        """Return what runs a micro-batch: the fast lane where it does all that autograd would, to the bit.

        One size of micro-batch on which the two differ, and the rest of the run is autograd's.
        """
        if self._guard is None or not self._guard.chain.untouched():
            return self.probe
        if not self._guard.trusts(samples):
            self._guard = None
            return self.probe
        return self._guard.chain

    def commit(self, record: StepRecord) -> None:
        """Move on to the next step."""
        self.step += 1
        self.stream.advance(record.samples - self.samples)
        self.samples, self.micro_batches, self.updates = record.samples, record.micro_batches, record.updates
        if record.applied:
            self.weight_norms = self.new_weight_norms

    def remember(self) -> None:
        """Keep what an update changes, so that one that overflows can be undone."""
        self.flat.remember()
        self._undo_optimizer = {k: _copy(v) for k, v in self.descent.memory.items()}
        self._undo_carry = _copy_carry(self.carry)

    def undo(self) -> None:
        """Take back the last update, optimizer and carry-over included."""
        self.flat.recall()
        self.descent.recall(self._undo_optimizer)
        self.carry = self._undo_carry

    def layer_of(self, number: int) -> int:
        """Return the layer that a parameter belongs to: its own, or the last one before it."""
        return layer_of(self.probe.layers, self.flat.params, number)

    def optimizer_state(self) -> dict[str, Any]:
        """Copy what the optimizer knows of the flat weights: its settings, and what it remembers of them."""
        settings, weights, known = self.descent.settings, self.flat.weights, self.descent.memory.items()
        per_weight = {k for k, v in known if isinstance(v, Tensor) and v.shape == weights.shape}
        return settings | {k: self.flat.without_gaps(v) if k in per_weight else _copy(v) for k, v in known}

    def snapshot(self, config: Config) -> Snapshot:
        """Copy the state."""
        counters = (self.samples, self.micro_batches, self.updates, self.seconds)
        return Snapshot(
            self.step,
            self.flat.weights.clone(),
            self.copy_buffers(),
            self.descent.snapshot(),
            _copy_carry(self.carry),
            self.stream.state(),
            counters,
            config,
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot, bit for bit."""
        self.step = snapshot.step
        self.samples, self.micro_batches, self.updates, self.seconds = snapshot.counters
        self.flat.weights.copy_(snapshot.weights)
        self.put_buffers(snapshot.buffers)
        self.descent.restore(snapshot.optimizer, snapshot.config)
        self.carry = _copy_carry(snapshot.carry)
        self.stream.restore(snapshot.stream)
        self.weight_norms = self.flat.weight_norms()

    def configure(self, old: Config, new: Config) -> None:
        """Let the optimizer and the carry-over know of moved knobs."""
        self.descent.configure(new)
        if old.carry_over != new.carry_over:
            self.carry = {}

    def copy_buffers(self) -> list[Tensor | None]:
        """Copy the network's buffers (batch norm's statistics, a running total)."""
        values = [module._buffers[name] for module, name in self._buffer_slots]
        return [None if b is None else b.clone() for b in values]

    def put_buffers(self, buffers: list[Tensor | None]) -> None:
        """Put copied buffers back."""
        for (module, name), value in zip(self._buffer_slots, buffers, strict=True):
            module._buffers[name] = None if value is None else value.clone()


def _frozen_norms(layers: list[Layer], groups: list[list[int]]) -> Array | None:
    """Return the norm of each frozen layer, nan for the others; None if none is frozen."""
    if all(groups):
        return None
    return np.array([np.nan if g else _norm(layer.weights) for layer, g in zip(layers, groups, strict=True)])


def _copy(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value


def _copy_carry(carry: State) -> State:
    return {name: [t.clone() for t in tensors] for name, tensors in carry.items()}


def _norm(tensors: list[nn.Parameter]) -> float:
    return root_sum_square([float(torch.linalg.vector_norm(t.detach(), dtype=torch.float64)) for t in tensors])
