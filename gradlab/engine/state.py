"""Everything mutable of a run but its history, copies of it, and where it stood earlier.

A step is a transaction: `RunState.remember` copies what a step can change before it starts, `RunState.restore` puts
it back, as often as need be. What is not a tensor is replaced as a whole and never changed in place.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import accumulate, chain
from operator import is_, itemgetter
from typing import Any, NamedTuple, TypeGuard

import torch
from torch import Tensor, nn

from gradlab.config import Config
from gradlab.data import Data
from gradlab.engine.autograd import ObservedNetwork, TracedNetwork
from gradlab.engine.fused import FusedNetwork
from gradlab.engine.parameters import LINE, FlatParameters, merged, root_sum_square
from gradlab.engine.precision import HalfNetwork, LossScale
from gradlab.engine.sampler import Epoch, Window, pass_seed
from gradlab.engine.stats import Scratch
from gradlab.engine.time import SELDOM
from gradlab.history import NO_TIME
from gradlab.locale import Said
from gradlab.rules.accumulation import ACCUMULATIONS, CARRY_OVERS, State
from gradlab.rules.clipping import CLIPS
from gradlab.rules.norms import norms
from gradlab.rules.optimizers import OPTIMIZERS, bare_step, make_optimizer


class Progress(NamedTuple):
    """How far a run has come.

    Attributes
    ----------
    step, samples, micro_batches, updates : int
        Taken so far.
    seconds : float
        Spent in steps.
    epoch : Epoch
        The pass over the data under way.
    start : int
        Samples seen of it.
    scaling : LossScale
        What the next loss is multiplied with.
    """

    step: int
    samples: int
    micro_batches: int
    updates: int
    seconds: float
    epoch: Epoch
    start: int
    scaling: LossScale


class OptimizerMemory(NamedTuple):
    """What an optimizer was told (lr and so on, group by group) and what it remembers (momentum, moments)."""

    settings: list[dict[str, Any]]
    memory: dict[Any, dict[str, Any]]


class Snapshot(NamedTuple):
    """A run's state at some moment; tensors are copies.

    Attributes
    ----------
    weights : Tensor
        All trainable parameters, flat.
    buffers : list of Tensor or None
        Batch norm's statistics and the like.
    optimizer : OptimizerMemory or None
        None before the optimizer was made.
    carry : dict of lists of tensors
        What the carry-over rule keeps.
    progress : Progress
        How far the run had come.
    weight_norms : sequence of float
        Norm of each parameter.
    config : Config
        The knobs in force.
    """

    weights: Tensor
    buffers: list[Tensor | None]
    optimizer: OptimizerMemory | None
    carry: State
    progress: Progress
    weight_norms: Sequence[float]
    config: Config

    @property
    def step(self) -> int:
        """Steps taken before it."""
        return self.progress.step

    @property
    def nbytes(self) -> int:
        """Size of the tensors held."""
        held = [self.weights, *self.buffers, *(t for ts in self.carry.values() for t in ts)]
        held += [t for known in self.optimizer.memory.values() for t in known.values()] if self.optimizer else []
        return sum(t.numel() * t.element_size() for t in held if isinstance(t, Tensor))


class TorchState(NamedTuple):
    """What torch keeps for the whole process, and what an interrupt may leave turned: gradients off, a seed set."""

    grad_enabled: bool
    generator: Tensor | None

    @classmethod
    def now(cls, drawing: bool) -> TorchState:
        """Return it as it is; the generator only where passes are `drawing` from it."""
        return cls(torch.is_grad_enabled(), torch.get_rng_state() if drawing else None)

    def restore(self) -> None:
        """Put it back."""
        torch.set_grad_enabled(self.grad_enabled)
        if self.generator is not None:
            torch.default_generator.set_state(self.generator)


class Rules(NamedTuple):
    """The entries that the knobs in force name, looked up once."""

    accumulate: Callable[[list[int]], list[float]]
    single: bool
    clip: Callable[[Iterable[Tensor], float], None]
    clips_as_one: bool
    clips_output: bool
    carry_over: Callable[[list[Tensor], State], bool] | None

    @classmethod
    def of(cls, config: Config) -> Rules:
        """Look up the rules of a config; without a carry-over there is nothing to call."""
        accumulation, carry = ACCUMULATIONS[config.accumulation], CARRY_OVERS[config.carry_over]
        single, clip = bool(accumulation.options.get("single")), CLIPS[config.clip]
        as_one = bool(clip.options.get("as_one")) and clip.shipped  # the flat gradient's gaps must stay zeros
        carry_over = None if config.carry_over == "none" else carry.direct
        whole = not clip.options.get("exempt_output")
        return cls(accumulation.direct, single, clip.direct, as_one, whole, carry_over)


class RunState:
    """Everything mutable of a run but its history.

    Parameters
    ----------
    config : Config
        The knobs in force from step 0.
    general : TracedNetwork or ObservedNetwork
        The network, run by autograd and observed.
    data : Data
        What it is trained on.
    stochastic : bool
        Whether a forward pass draws from torch's global generator (dropout): it is then seeded for each pass
        and put back.
    replays : bool
        Whether a pass repeated from the same state gives the same bits; a network that keeps a count outside of its
        buffers, or a generator of its own, does not.

    Attributes
    ----------
    half : HalfNetwork or None
        What does the passes where the precision is not full.
    normal : float
        Smallest normal number of the format in which gradients are computed.
    per_layer : callable
        Merges norms of parameters into norms of layers.
    recurrent : tuple of str
        A name per recurrent layer and direction, from the input.
    time_norm : array (recurrent layers, T)
        What was last measured of the signal through time; no part of a snapshot, as each has a step at which it is
        measured anew.
    fused : FusedNetwork or None
        The same network run by kernels alone, where it can be.
    """

    def __init__(
        self,
        config: Config,
        general: TracedNetwork | ObservedNetwork,
        data: Data,
        stochastic: bool,
        replays: bool = True,
        half: HalfNetwork | None = None,
    ) -> None:
        self.config, self.rules = config, Rules.of(config)
        self.network, self.general, self.data = general.network, general, data
        self.stochastic, self.replays, self.half = stochastic, replays, half
        self.normal = float(torch.finfo(config.half_dtype or config.torch_dtype).tiny)
        self.layers = general.layers
        self.recurrent = general.time.rows if isinstance(general, ObservedNetwork) else ()
        self.time_norm = NO_TIME
        params = [p for p in self.network.parameters() if p.requires_grad]
        numbers = {id(p): i for i, p in enumerate(params)}
        self.groups = [[numbers[id(p)] for p in layer.weights if id(p) in numbers] for layer in self.layers]
        single = len(self.groups) > 1 and all(len(group) == 1 for group in self.groups)
        self.per_layer = itemgetter(*chain(*self.groups)) if single else partial(merged, groups=self.groups)
        self.parameters = FlatParameters(params, self.groups)
        self.fused: FusedNetwork | None = None
        if isinstance(general, TracedNetwork) and half is None:
            self.fused = FusedNetwork.offer(general.network, general.ranges, data)
        output = {id(p) for p in self.layers[-1].module.parameters()}
        self.all_but_output = [p for p in params if id(p) not in output]
        self.frozen_norms = [
            None if group else root_sum_square(norms([w.detach() for w in layer.weights]))
            for layer, group in zip(self.layers, self.groups, strict=True)
        ]
        self.frozen = not all(self.groups)
        self.buffers = Buffers(self.network)
        self.scratch = Scratch()
        self.optimizer = OptimizerState(config, self.parameters.weights)
        self.carry: State = {}
        first = Epoch.first(data.n, config.batch_seed)
        self.progress = Progress(0, 0, 0, 0, 0.0, first, 0, LossScale.of(config.loss_scale))
        self.weight_norms = self.parameters.weight_norms()
        if self.fused is not None:
            self.fused.chain(min(config.batch_size, data.n))  # a trial now rather than in the first step's time

    @property
    def said_of_time(self) -> tuple[str, Said] | None:
        """Kind and text of a mark: that a recurrent module of the last pass is not, or seldom, measured."""
        time = self.general.time if isinstance(self.general, ObservedNetwork) else None
        if time is not None and time.why is not None:
            return "untimed", time.why
        return ("seldom", Said("record.seldom", every=SELDOM)) if time is not None and time.costly else None

    def draw_window(self) -> Window:
        """Return what the next step sees: a short tail of an epoch is a window of its own; nothing moves."""
        config, rules, progress = self.config, self.rules, self.progress
        epoch, start = progress.epoch, progress.start
        if start >= epoch.n:
            epoch, start = epoch.next(), 0
        count = 1 if rules.single else config.accumulation_steps
        rows = epoch.order[start : start + config.batch_size * count]
        micro_batches = [rows] if count == 1 else list(rows.split(config.batch_size))
        return Window(epoch, start, micro_batches, rules.accumulate([rows.shape[0] for rows in micro_batches]))

    def configure(self, config: Config) -> None:
        """Put moved knobs in force from the next step on; another carry-over starts with nothing carried."""
        self.optimizer.configure(config)
        if config.carry_over != self.config.carry_over:
            self.carry = {}
        if config.loss_scale != self.config.loss_scale:
            self.progress = self.progress._replace(scaling=LossScale.of(config.loss_scale))
        self.config, self.rules = config, Rules.of(config)

    @contextmanager
    def sealed_randomness(self, seen: int) -> Iterator[None]:
        """Seed torch's global generator for a forward pass after `seen` samples of this step, and put it back."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(pass_seed(self.config.batch_seed, self.progress.samples + seen))
            yield

    # ------------------------------------------------------------------ copies
    def remember(self) -> Snapshot:
        """Copy what a step can change, to memory that the next call overwrites."""
        self.parameters.before.copy_(self.parameters.weights)
        return self._snapshot(self.parameters.before, self.buffers.copy_over() if self.buffers.slots else [])

    def snapshot(self) -> Snapshot:
        """Copy the state."""
        found = self._snapshot(self.parameters.weights.clone(), self.buffers.copy())
        return found._replace(progress=found.progress._replace(epoch=found.progress.epoch.folded()))

    def _snapshot(self, weights: Tensor, buffers: list[Tensor | None]) -> Snapshot:
        carry = {name: [t.clone() for t in tensors] for name, tensors in self.carry.items()}
        return Snapshot(
            weights,
            buffers,
            self.optimizer.copy(),
            carry,
            self.progress,
            self.weight_norms,
            self.config,
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a copy of the state, bit for bit; interrupted, it can be begun again."""
        self.config, self.rules = snapshot.config, Rules.of(snapshot.config)
        self.revert(snapshot)
        self.progress = snapshot.progress

    def revert(self, snapshot: Snapshot) -> None:
        """Take back what a step did to the network, the optimizer and the carry-over."""
        self.parameters.weights.copy_(snapshot.weights)
        self.buffers.put(snapshot.buffers)
        self.optimizer.restore(snapshot.optimizer, snapshot.config)
        self.carry = {name: [t.clone() for t in tensors] for name, tensors in snapshot.carry.items()}
        self.weight_norms = snapshot.weight_norms


class Buffers:
    """The buffers of a network: batch norm's statistics, a running total, a count of passes.

    Where torch's modules alone have any, those of one dtype become views of one tensor, copied by one operation.
    """

    def __init__(self, network: nn.Module) -> None:
        self.slots = [(module._buffers, name) for module in network.modules() for name in module._buffers]
        self._own = self._values()
        owners = {type(m).__module__.partition(".nn.")[0] for m in network.modules() if m._buffers}
        kept = [b for b in self._own if _movable(b)] if owners == {"torch"} else []  # others may resize them
        self._whole: list[tuple[Tensor, Tensor]] = []
        self._room = kept.copy()
        if len({b.data_ptr() for b in kept}) == len(self.slots):
            for dtype in dict.fromkeys(b.dtype for b in kept):
                self._join([i for i, b in enumerate(kept) if b.dtype == dtype], kept)
        self._places = [b.data_ptr() for b in kept]

    def _join(self, members: list[int], kept: list[Tensor]) -> None:
        """Lay buffers side by side, each from a cache line on, and room for their copies alike."""
        line = LINE // kept[members[0]].element_size()
        starts = list(accumulate((-(-kept[i].numel() // line) * line for i in members), initial=0))
        whole, room = kept[members[0]].new_zeros(2, starts[-1])
        for i, start in zip(members, starts, strict=False):
            own, size = kept[i], kept[i].numel()
            view, self._room[i] = (flat[start : start + size].view(own.shape) for flat in (whole, room))
            view.copy_(own)
            own.data = view
        self._whole.append((room, whole))

    def _values(self) -> list[Tensor | None]:
        return [buffers[name] for buffers, name in self.slots]

    def copy(self) -> list[Tensor | None]:
        """Return copies."""
        return [None if b is None else b.detach().clone() for b in self._values()]

    def copy_over(self) -> list[Tensor | None]:
        """Return copies that the next call writes over, while all buffers lie where they were laid."""
        now: list[Any] = self._values()
        if not (self._whole and all(map(is_, now, self._own)) and list(map(Tensor.data_ptr, now)) == self._places):
            return self.copy()
        for room, whole in self._whole:
            room.copy_(whole)
        return list(self._room)

    def put(self, copies: list[Tensor | None]) -> None:
        """Put copies back: into the buffer itself where the network still has the one that it was made with."""
        for (buffers, name), own, value in zip(self.slots, self._own, copies, strict=True):
            if own is not None and buffers[name] is own and value is not None and own.shape == value.shape:
                own.detach().copy_(value)
            else:
                buffers[name] = None if value is None else value.clone()


def _movable(buffer: Tensor | None) -> TypeGuard[Tensor]:
    """Return whether a buffer is a plain tensor with memory of its own."""
    if type(buffer) is not Tensor or buffer.layout is not torch.strided:
        return False
    return buffer.nbytes == buffer.untyped_storage().nbytes()


class OptimizerState:
    """torch's optimizer on the flat weights of a run.

    It is made by `prepare` or else when it is first needed.

    Parameters
    ----------
    config : Config
        Names the optimizer; its lr, momentum and weight_decay are in force until `configure`.
    weights : Tensor
        All trainable parameters, flat; updated in place.

    Attributes
    ----------
    tidy : bool
        Whether the update leaves weights without gradient as they are, as one of somebody's own need not.
    update : callable
        Takes one step.
    """

    def __init__(self, config: Config, weights: Tensor) -> None:
        self._config, self._weights = config, weights
        self._made: torch.optim.Optimizer | None = None
        self.update: Callable[[], object] = self._first_update
        self.tidy = OPTIMIZERS[config.optimizer].shipped
        if not self.tidy:  # what is wrong with somebody's own should show at once
            self.prepare()

    def prepare(self) -> torch.optim.Optimizer:
        """Return the optimizer, made if need be."""
        if (made := self._made) is None:
            c = self._config
            made = make_optimizer(c.optimizer, [self._weights], c.lr, c.momentum, c.weight_decay)
            self.update, self._made = bare_step(made), made
        return made

    def _first_update(self) -> None:
        self.prepare()
        self.update()

    def configure(self, config: Config) -> None:
        """Let the optimizer know of moved knobs."""
        self._config = config
        for group in self._made.param_groups if self._made is not None else ():
            group["lr"], group["weight_decay"] = config.lr, config.weight_decay
            if "momentum" in group:
                group["momentum"] = config.momentum
        if config.momentum and self._made is not None:
            for known in self._made.state.values():
                if "square_avg" in known:  # torch's RMSprop begins this with its first step or never, and then fails
                    known.setdefault("momentum_buffer", torch.zeros_like(known["square_avg"]))

    def lr_at(self, step: int) -> float:
        """Return the learning rate of a step, from 0: over the first `warmup` steps it rises linearly to `lr`."""
        lr, warmup = self._config.lr, self._config.warmup
        return lr * min(1.0, (step + 1) / warmup) if warmup else lr

    def warm_up(self, step: int) -> None:
        """Put the learning rate of a step into force."""
        for group in self.prepare().param_groups:
            group["lr"] = self.lr_at(step)

    @property
    def known(self) -> dict[str, Any]:
        """What it was told, and what it remembers of the weights: lr, momentum buffer, moments. Not copied."""
        made = self.prepare()
        settings = {name: value for name, value in made.param_groups[0].items() if name != "params"}
        return settings | made.state.get(self._weights, {})

    def copy(self) -> OptimizerMemory | None:
        """Copy settings and memory; None before the optimizer is made."""
        if self._made is None:
            return None
        settings = [dict(group) for group in self._made.param_groups]
        return OptimizerMemory(settings, _copied(self._made.state))

    def restore(self, known: OptimizerMemory | None, config: Config) -> None:
        """Go back to a copy that was taken under a config."""
        self._config = config
        if known is None:
            self._made, self.update = None, self._first_update
            return
        made = self.prepare()
        for group, settings in zip(made.param_groups, known.settings, strict=True):
            group.update(settings)
        made.state.clear()
        made.state.update(_copied(known.memory))


def _copied(memory: Mapping[Any, dict[str, Any]]) -> dict[Any, dict[str, Any]]:
    """Copy what an optimizer remembers."""
    return {key: {k: copied(v) for k, v in known.items()} for key, known in memory.items()}


def copied(value: Any) -> Any:
    """Return a copy of a value that an optimizer remembers."""
    return value.clone() if isinstance(value, Tensor) else copy.deepcopy(value)
