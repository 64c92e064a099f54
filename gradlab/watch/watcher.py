"""`Watcher`: the hooks around somebody's own training loop, and the records that are made of what they see."""

from __future__ import annotations

import math
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gradlab.engine.layers import find_layers, layer_of
from gradlab.engine.parameters import merged, quotients, root_sum_square
from gradlab.engine.precision import is_half
from gradlab.engine.stats import LayerStats
from gradlab.engine.time import together
from gradlab.history import Array, Divergence, History, Mark, StepRecord
from gradlab.locale import Said
from gradlab.watch.calls import Calls
from gradlab.watch.forward import PassObserver, StateObserver
from gradlab.watch.rows import Logger, OnDivergence, OnError, cosine, rows_of, scalars
from gradlab.watch.trace import Tracer
from gradlab.watch.window import GRADIENT, USED, Arranged, Norms, ParameterNorms, Shown, Versions, Window

STAGES: dict[str, Callable[..., Any]] = {}
"""What `Watcher.show` displays; the panel, which stands above, puts it here."""


class Watcher:
    """Hooks around a loop; each of its steps becomes one record of a history. Made by `watch`.

    Attributes
    ----------
    history : History
        What was measured so far.
    stage : WatchStage or None
        What `show` displayed last.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizers: list[Optimizer],
        every: int,
        scaler: Any,
        batch_dim: int,
        through_time: bool,
        loggers: Sequence[Logger],
        on_error: OnError,
        on_divergence: OnDivergence,
    ) -> None:
        self._network, self._optimizers, self._every = network, optimizers, every
        self._scaler, self._loggers, self._on_error = scaler, loggers, on_error
        self._sizes = self._group_sizes()
        self._tracer = Tracer(network, self._guard) if on_divergence == "trace" else None
        self._batch_dim, self._states = batch_dim, StateObserver(network, through_time)
        self._arrange()
        self._calls = Calls(
            self._guard(self._begin_backward), self._guard(self._end_backward), self._guard(self._adopt)
        )
        self.history = History(
            [row.name for row in self._rows],
            tiny=float(torch.finfo(self._params[0].dtype).tiny),
            kinds=[row.kind for row in self._rows],
            time_names=self._states.rows,
        )
        self._lock = threading.RLock()  # a stage may read the history in a thread of the kernel's
        self.stage: Any = None
        self._hooks = ExitStack()
        self._state: Literal["new", "on", "tracing", "off"] = "new"
        self._began = time.perf_counter()
        self._step = self._samples = self._micro_batches = self._updates = self._per_pass = 0
        self._window, self._recording = Window(), False
        self._inside = False  # a backward pass
        self._stepping: Optimizer | None = None
        self._stepped: dict[int, None] = {}
        self._trainable: list[int] = []
        self._frozen: list[int] = []
        self._groups: list[list[int]] = []
        self._owned: dict[int, tuple[int, ...]] = {}
        self._known: Any = None
        self._versions: Versions = []
        self._used: Arranged | None = None
        self._moving: Arranged | None = None
        self._made = self._passes = 0

    def _arrange(self) -> None:
        """List the network's layers and parameters, and who measures them."""
        network = self._network
        self._layers = find_layers(network)
        own = {layer.module for layer in self._layers}
        others = [m for m in network.modules() if m not in own and any(True for _ in m.parameters(recurse=False))]
        self._params = list(network.parameters())
        self._rows = rows_of(self._layers, others, network, self._params)
        self._measured = ParameterNorms(self._params)
        self._observer = PassObserver(network, self._layers, others, self._batch_dim, self._guard, self._states)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Refuse to be copied or pickled: its hooks are on one network and its optimizers."""
        raise TypeError("a Watcher cannot be copied or pickled; expected watcher.history, or another gradlab.watch")

    # ------------------------------------------------------------------ on and off
    def __enter__(self) -> History:
        self.start()
        return self.history

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(quietly=kind is not None)

    def start(self) -> Watcher:
        """Begin to record, unless this is not the process of rank 0."""
        if self._state == "on":
            return self
        distributed = torch.distributed
        if distributed.is_available() and distributed.is_initialized() and distributed.get_rank() != 0:
            return self
        self._state = "on"
        try:
            for optimizer in self._optimizers:
                self._hooks.callback(optimizer.register_step_pre_hook(self._guard(self._before_step)).remove)
                self._hooks.callback(optimizer.register_step_post_hook(self._guard(self._after_step)).remove)
            self._calls.install()
            if self._tracer is not None:
                self._tracer.start()
            if any(type(m).__name__ == "OptimizedModule" for m in self._network.modules()):
                warnings.filterwarnings("ignore", "Using `torch.compile.module.` when there are global hooks")
                said: Any = warnings.filters[0]  # torch's own, that a hook for all modules is on
                self._hooks.callback(lambda: said in warnings.filters and warnings.filters.remove(said))  # pyright: ignore[reportAttributeAccessIssue]
            self._renew()
        except BaseException:
            self._remove()
            raise
        return self

    def stop(self, quietly: bool = False) -> None:
        """Take every hook off; record gradients that no step used if they are not finite.

        Parameters
        ----------
        quietly : bool, default False
            Do not warn of a loop in which nothing was seen.
        """
        if self._state != "on":
            return
        try:
            self._guard(self._finish)()
        finally:
            self._remove()
        for end in [*(lo.close for lo in self._loggers), *([self.stage.finish] if self.stage is not None else [])]:
            try:
                end()
            except Exception as error:
                if self._on_error == "raise":
                    raise
                warnings.warn(f"gradlab.watch could not end: {type(error).__name__}: {error}", stacklevel=2)
        if not quietly:
            self._warn_of_nothing()

    def show(self, *, blocks: bool = False, lang: str = "en") -> None:
        """Put the stage into the notebook, below the running cell: fed by the loop while it runs, and afterwards.

        Parameters
        ----------
        blocks : bool, default False
            Whether the layers are folded to the blocks they stand in (``h.3``); a menu does so too.
        lang : str, default "en"
            Language of the words.
        """
        self.stage = STAGES["watch"](self.history, self._lock, blocks, lang).show()

    def _finish(self) -> None:
        if self._stepped:
            self._close()
        elif self._recording:
            self._close_unused(skipped=False)

    def _remove(self) -> None:
        self._state, self._recording = "off", False
        self._hooks.close()
        self._calls.remove()
        if self._tracer is not None:
            self._tracer.stop()
        self._observer.stop()
        self._states.forget()
        self._window = Window()
        self._measured.forget()

    def _warn_of_nothing(self) -> None:
        if self._step == 0:
            warnings.warn(
                "gradlab.watch saw no step of the optimizer that it was given: call its step() inside the block",
                stacklevel=3,
            )
        elif len(self.history) and not self._observer.called:
            warnings.warn(
                "gradlab.watch saw no forward pass of the network's layers, so activations and backward signal are "
                "nan: inside a compiled network nothing is seen (watch it uncompiled), and of one that is copied "
                "(nn.DataParallel) give what is really called",
                stacklevel=3,
            )

    def _guard(self, function: Callable[..., Any]) -> Callable[..., None]:
        """Keep an error of this instrument out of the loop, or raise it where that is asked for."""

        def guarded(*args: Any, **kwargs: Any) -> None:
            if self._state != "on":
                return
            try:
                function(*args, **kwargs)
            except Exception as error:
                self._remove()
                if self._on_error == "raise":
                    raise
                warnings.warn(
                    f"gradlab.watch stopped at step {self._step}, and the loop runs on without it: "
                    f"{type(error).__name__}: {error}",
                    stacklevel=2,
                )

        return guarded

    # ------------------------------------------------------------------ backward passes
    def _adopt(self, scaler: Any) -> None:
        if self._scaler is None:
            self._scaler = scaler

    def _begin_backward(self) -> None:
        if self._tracer is not None:
            self._tracer.look(False)
        try:
            self._prepare_backward()
        finally:
            if self._tracer is not None:
                self._tracer.look(True)

    def _prepare_backward(self) -> None:
        self._inside, self._passes = True, self._observer.prepare()
        if self._stepping is not None:
            cleared = self._measured.versions(self._trainable) != self._versions
            if self._recording and self._window.gradient is not None and cleared:  # a closure, called again
                self._observer.ignore()
            return
        if self._stepped:
            self._close()
        if self._recording:
            self._look_at_old_gradients()

    def _look_at_old_gradients(self) -> None:
        window = self._window
        now = self._measured.versions(self._trainable)
        if window.gradient is None:
            self._see_scale()
            if any(now) and now == self._versions:
                window.uncleared = self._measured.norms(self._trainable)
        elif now != self._versions and self._gone():  # by zero_grad() without a step
            self._close_unused(skipped=True)
            self._see_scale()
        self._versions = now

    def _see_scale(self) -> None:
        """Note what the scaler multiplies the next losses with."""
        if self._scaler is not None:
            self._window.scale = float(self._scaler.get_scale())

    def _end_backward(self, loss: Tensor | None) -> None:
        self._inside = False
        if self._tracer is not None:
            self._tracer.rest()
        if not self._recording or self._observer.deaf:
            self._micro_batches += not self._recording
            self._samples += 0 if self._recording else self._per_pass
        else:
            self._observer.settle()
            window = self._window
            self._versions, before = self._measured.versions(self._trainable), self._versions
            if self._versions != before or len(self._observer.passes) > self._passes or window.inside:
                window.losses += [loss] if loss is not None else []  # else it was another network's
                window.backwards += 1
                window.gradient = self._measured.gradients(GRADIENT, self._trainable)
                window.shares = self._measured.shares(self._trainable, self._scaled_format)
                if self._stepping is not None:
                    self._used = self._measured.gradients(USED, self._owned[id(self._stepping)])
        if self._stepped and self._stepping is None:  # optimizers that step inside the backward pass
            self._close()

    @property
    def _scaled_format(self) -> torch.dtype | None:
        """The format that gradients come from where a scaler works: that of the loss scale's loop, float16."""
        enabled = getattr(self._scaler, "is_enabled", lambda: self._scaler is not None)()
        return torch.float16 if enabled else None

    def _gone(self) -> bool:
        """Whether there is no gradient left; asks their values only if somebody has changed them in place."""
        now = self._measured.norms(self._trainable)
        return now is None or not any(now.tolist())

    # ------------------------------------------------------------------ optimizer steps
    def _before_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if id(optimizer) in self._stepped and not self._inside:
            self._close()
        self._stepping = optimizer
        if not self._recording:
            return
        self._rescan()
        numbers, window = self._owned[id(optimizer)], self._window
        self._used, self._made = self._measured.gradients(USED, numbers), window.backwards
        if self._inside and self._used is not None:
            window.inside.append(self._used)
        self._moving = self._measured.weights(numbers) if numbers else None
        window.moved += [self._moving] if self._moving is not None else []
        window.unscaled += [s for s in [getattr(optimizer, "grad_scale", None)] if isinstance(s, Tensor)]

    def _after_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        self._stepping = None
        self._stepped[id(optimizer)] = None
        if self._recording:
            numbers, window = self._owned[id(optimizer)], self._window
            if window.backwards > self._made and not self._observer.deaf:  # a closure made them inside the step
                self._used = self._measured.gradients(USED, numbers)
            window.used += [self._used] if self._used is not None else []
            self._versions = self._measured.versions(self._trainable)
            if self._moving is not None:
                self._measured.change(self._moving)
            window.stepped = True
            window.refused += [r for r in [getattr(optimizer, "found_inf", None)] if isinstance(r, Tensor)]
            window.lr = self._optimizers[0].param_groups[0].get("lr", math.nan)
        if len(self._stepped) == len(self._optimizers) and not self._inside:
            self._close()

    def _grow(self) -> None:
        """Give rows to parameters that came after the start, once an optimizer has them."""
        if self._sizes == self._group_sizes():
            return
        self._sizes = self._group_sizes()
        place = {id(self._params[i]): k for k, row in enumerate(self._rows) for i in row.numbers}
        if all(id(p) in place for p in self._network.parameters()):
            return
        called = self._observer.called
        self._observer.stop()
        self._arrange()
        self._observer.called, self._known, self._recording = called, None, False
        names, kinds = zip(*((row.name, row.kind) for row in self._rows), strict=True)
        with self._lock:
            places = [place.get(id(self._params[row.numbers[0]])) for row in self._rows]
            self.history.rearrange(names, kinds, places)

    def _group_sizes(self) -> list[int]:
        return [len(group["params"]) for o in self._optimizers for group in o.param_groups]

    def _rescan(self) -> None:
        """Take note of parameters that were frozen, unfrozen or given to an optimizer."""
        flags = [p.requires_grad for p in self._params]
        known = (flags, self._group_sizes())
        if known == self._known:
            return
        self._known = known
        self._trainable = [i for i, flag in enumerate(flags) if flag]
        self._frozen = [i for i, flag in enumerate(flags) if not flag]
        self._groups = [[i for i in row.numbers if flags[i]] for row in self._rows]
        number = {id(self._params[i]): i for i in self._trainable}
        self._owned = {
            id(o): tuple(number[id(p)] for group in o.param_groups for p in group["params"] if id(p) in number)
            for o in self._optimizers
        }

    # ------------------------------------------------------------------ records
    def _renew(self) -> None:
        self._window, self._stepped = Window(), {}
        recording = self._step % self._every == 0
        if recording:
            self._grow()
            self._rescan()
            if self._tracer is not None:
                self._tracer.renew()
            self._window.frozen = self._frozen, self._measured.norms(self._frozen, gradients=False)
        if recording and not self._recording:
            self._versions = []
            self._observer.start()
        elif self._recording and not recording:
            self._observer.stop()
        self._recording = recording

    def _close(self) -> None:
        """Make a record of what was seen, or count the step if it is not to be recorded."""
        if not self._recording:
            self._step += 1
            self._updates += 1
            self._renew()
            return
        passes = self._observer.passes
        samples, micro_batches = sum(p.samples for p in passes), len(passes)
        self._per_pass = samples // max(micro_batches, 1)
        stats = self._observer.renew()
        shown = self._window.read(stats)
        trouble = self._trouble(stats, shown) or self._weight_trouble(shown.changes)
        with self._lock:
            self._append(stats, shown, samples, micro_batches, shown.applied)
            self._mark(trouble, skipped=not shown.applied)
            if shown.uncleared > 0 and not any(m.kind == "uncleared" for m in self.history.marks):
                step = self._step - 1
                self.history.mark(Mark(step, "uncleared", Said("record.uncleared", step=step)))
        if self._tracer is not None and self.history.diverged is not None and self._state == "on":
            self._trace(self._tracer, self.history.diverged)
        self._log()
        if self.stage is not None:
            self.stage.take()
        self._renew()

    def _trace(self, tracer: Tracer, diverged: Divergence) -> None:
        """Mark where what is not finite was born; from then on the loop runs without the tracer."""
        self._state = "tracing"  # what runs again is nobody's step
        try:
            found = Said("record.traced.update") if diverged.tensor == "weight" else tracer.find()
        finally:
            self._state = "on"
        self._tracer = None
        tracer.stop()
        with self._lock:
            self.history.mark(Mark(diverged.step, "traced", found))

    def _close_unused(self, skipped: bool) -> None:
        """Record gradients that no step used if they are not finite."""
        if self._window.gradient is None:
            return
        passes, window = self._observer.passes, self._window
        samples, micro_batches = sum(p.samples for p in passes), len(passes)
        window.moved = [self._measured.weights(tuple(self._trainable))]
        stats = self._observer.renew()
        shown = window.read(stats)
        trouble = self._trouble(stats, shown)
        if trouble is not None:
            with self._lock:
                self._append(stats, shown._replace(used=shown.gradient), samples, micro_batches, applied=False)
                self._mark(trouble, skipped or self._scaler is not None)
        self._window = Window(scale=window.scale)

    def _trouble(self, stats: LayerStats, shown: Shown) -> Divergence | None:
        """Name the first tensor that is not finite, in the order in which a step computes them."""
        if stats.first_not_finite is not None:
            return self._divergence("activation", *stats.first_not_finite)
        if shown.loss is not None and not math.isfinite(shown.loss):
            return Divergence(self._step, None, "loss", shown.loss)
        broken = {i: norm for i, norm in shown.gradient.items() if not math.isfinite(norm)}
        if not broken:
            return None
        # the backward pass runs from the output, so the last layer that is not finite was the first
        layer, number = max((layer_of(self._layers, self._params, i), -i) for i in broken)
        return self._divergence("gradient", layer, broken[-number])

    def _weight_trouble(self, changes: Norms) -> Divergence | None:
        broken = min((i for i, change in changes.items() if not math.isfinite(change)), default=None)
        if broken is None:
            return None
        return self._divergence("weight", layer_of(self._layers, self._params, broken), changes[broken])

    def _divergence(self, tensor: str, layer: int, value: float) -> Divergence:
        return Divergence(self._step, layer + 1, tensor, value, self._layers[layer].name)

    def _mark(self, trouble: Divergence | None, skipped: bool) -> None:
        step = self._step - 1
        if trouble is None:
            return
        if skipped:
            text = Said("record.skipped", step=step, sentence=trouble.sentence)
            self.history.mark(Mark(step, "skipped", text))
        elif self.history.diverged is None:
            self.history.diverged = trouble
            self.history.mark(Mark(step, "diverged", trouble.sentence))

    def _append(self, stats: LayerStats, shown: Shown, samples: int, micro_batches: int, applied: bool) -> None:
        raw, used = shown.used | shown.gradient, shown.used
        same = raw == used
        total = root_sum_square(list(raw.values()))
        used_total = total if same else root_sum_square(list(used.values()))
        self._samples += samples
        self._micro_batches += micro_batches
        self._updates += applied
        self.history.append(
            StepRecord.of(
                np.array(self._per_row(stats, shown, raw, max(samples, 1))),
                step=self._step,
                epoch=0,
                samples=self._samples,
                micro_batches=self._micro_batches,
                updates=self._updates,
                applied=applied,
                loss=math.nan if shown.loss is None else shown.loss,
                seconds=time.perf_counter() - self._began,
                total_norm=total,
                clipped_total_norm=used_total,
                clip_coef=used_total / total if total > 0 else 1.0,
                clip_cosine=1.0 if same else cosine(raw, used),
                lr=shown.lr,
                loss_scale=self._window.scale,
                time_norm=self._through_time(max(samples, 1)),
            )
        )
        self._step += 1

    def _through_time(self, samples: int) -> Array:
        """Return the signal of every time step, by the same factor as the layers' (see `_per_row`)."""
        found = together(self._states.forget(), 1) * (math.sqrt(samples) / self._window.scale)
        why = self._states.why or (Said("error.time_unseen") if self._states.rows and not found.size else None)
        if why and not any(m.kind == "untimed" for m in self.history.marks):
            self.history.mark(Mark(self._step, "untimed", why))
        return found

    def _per_row(self, stats: LayerStats, shown: Shown, raw: Norms, samples: int) -> list[list[float]]:
        """Return the record's numbers per row, in the order of its fields.

        The sum of the losses is taken as the mean over the window's N samples, so a sample's own gradient is N times
        its row of dL/dz, and their root-mean-square is sqrt(N) times the norm of dL/dz.
        """
        rows, groups, everything = self._rows, self._groups, range(len(self._params))

        def per_row(norms: Norms) -> list[float]:
            return merged([norms.get(i, 0.0) for i in everything], groups)

        weights, gradient = per_row(shown.weights), per_row(raw)
        for k in [k for k, group in enumerate(groups) if not group]:
            weights[k] = root_sum_square([shown.frozen.get(i, math.nan) for i in rows[k].numbers])
        factor = math.sqrt(samples) / self._window.scale
        signal = [*(delta * factor for delta in stats.delta_norm()), math.nan]
        nothing = [math.nan] * (len(rows) - len(self._layers))
        zeros = [0.0] * len(nothing)
        count = len(self._layers)
        return [
            gradient,
            gradient if raw == shown.used else per_row(shown.used),
            weights,
            quotients(per_row(shown.changes), weights),
            [signal[-1 if row.signal is None else row.signal] for row in rows],
            stats.activation_std()[:count] + nothing,
            stats.saturated()[:count] + zeros,
            stats.dead()[:count] + zeros,
            [float(any(i in raw for i in group)) for group in groups],
            *self._shares(shown),
        ]

    def _shares(self, shown: Shown) -> list[list[float]]:
        """Return zero, subnormal and overflow share of each row; nan where no half format is known of."""
        if not shown.shares:
            return [[math.nan] * len(self._rows)] * 3
        own = next((p.dtype for p in self._params if is_half(p.dtype)), torch.float16)
        self.history.precision = str(own).removeprefix("torch.")
        sizes, known = [p.numel() for p in self._params], shown.shares
        found = []
        for k in range(3):
            pairs = [[(known[i][k], sizes[i]) for i in group if i in known] for group in self._groups]
            found.append([sum(s * n for s, n in own) / (sum(n for _, n in own) or math.nan) for own in pairs])
        return found

    def _log(self) -> None:
        numbers = scalars(self.history) if self._loggers else {}
        for logger in self._loggers:
            logger.log(numbers, self.history[-1].step)
