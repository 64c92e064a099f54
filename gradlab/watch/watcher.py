"""`watch`: record the history of somebody's own training loop."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from gradlab.engine.layers import Layer, find_layers, layer_of
from gradlab.engine.parameters import merged
from gradlab.engine.stats import LayerStats
from gradlab.history import NO_TIME, PER_LAYER, Divergence, History, Mark, StepRecord
from gradlab.locale import Said
from gradlab.rules.norms import quotients, root_sum_square
from gradlab.watch.calls import Calls
from gradlab.watch.forward import PassObserver
from gradlab.watch.window import GRADIENT, USED, Arranged, Norms, ParameterNorms, Shown, Versions, Window

OnError = Literal["warn", "raise"]
# a loss scale that is no power of 2 rounds every entry of a float16 gradient by less than this share
_UNCHANGED = 1e-3


class Logger(Protocol):
    """Takes the numbers of each recorded step somewhere else, as `gradlab.integrations.loggers` do."""

    def log(self, numbers: dict[str, float], step: int) -> None:
        """Take the numbers of a step, named ``gradlab/<measure>/<layer>``."""

    def close(self) -> None:
        """Take no more."""


def watch(
    network: nn.Module,
    optimizers: Optimizer | Iterable[Optimizer],
    *,
    every: int = 1,
    scaler: Any = None,
    batch_dim: int = 0,
    through_time: bool = True,
    loggers: Sequence[Logger] = (),
    on_error: OnError = "warn",
) -> Watcher:
    """Record the steps of your own training loop, without changing it: one line around it is enough.

    Nothing is put on the network: one hook sees the modules of the process, two see each optimizer's step, and a
    stand-in for ``torch.autograd.backward`` sees the loss; they are gone after the block, also after an exception.
    Weights, gradients and random state are bit for bit those of the same loop unwatched.

    Parameters
    ----------
    network : torch.nn.Module
        The network; trained, evaluated, checkpointed, wrapped, frozen in part as you like.
    optimizers : torch.optim.Optimizer or sequence of them
        Between them they have every parameter of `network` that requires a gradient, in any number of groups; one
        of accelerate's may stand for its own. What happens until each has stepped, or until the next backward
        pass after a step, is a step of the history.
    every : int, default 1
        Record only every so many steps; the others cost next to nothing, and their samples are counted as the
        last recorded step's.
    scaler : torch.amp.GradScaler, optional
        All numbers are recorded without its scale, and a step that it skips is marked as skipped. One that is not
        given is found when it scales the first loss.
    batch_dim : int, default 0
        Dimension of the network's first tensor argument that counts samples.
    through_time : bool, default True
        Whether recurrent layers show the gradient of every time step (column ``time_norm``).
    loggers : sequence of Logger
        Get the numbers of each recorded step: see `gradlab.integrations.loggers`.
    on_error : {"warn", "raise"}
        What an error inside this instrument does: warn once, take every hook off and let the loop run on; or raise.

    Returns
    -------
    Watcher
        A context manager that gives the `History`. With several processes only that of rank 0 records.

    Raises
    ------
    ValueError
        If the network has nothing to train, or a parameter to train that no optimizer has.

    Notes
    -----
    The columns are the Trainer's:

    ``loss``
        sum of the scalars that ``backward()`` was called on since the last step, which is the function whose
        gradient the optimizer gets (nan if a backward pass did not start at a scalar).
    ``grad_norm``, ``total_norm``
        of ``.grad`` as the last backward pass left it, so after accumulation and before clipping; for an optimizer
        that calls a closure again and again (LBFGS), of its first call.
    ``clipped_norm``, ``clipped_total_norm``
        of ``.grad`` as ``optimizer.step()`` found it.
    ``delta_norm``
        the backward signal, if the loss is a mean over the samples since the last step.
    ``clip_cosine``
        1, or nan where the gradient was changed between: the one before is not kept.
    ``micro_batches``, ``samples``
        forward passes that a backward pass came back to, and what went into them.
    ``epoch``
        0: a loop does not say.

    Rows are the layers, which are modules with a matrix; after them come biases and norm parameters, with the
    backward signal of their module (``history.kinds`` tells them apart, ``history.of_weights()`` leaves them out).
    A divergence is recorded in ``history.diverged`` and does not stop the loop.

    Examples
    --------
    >>> with watch(network, optimizer) as history:  # doctest: +SKIP
    ...     for x, y in batches:
    ...         optimizer.zero_grad()
    ...         loss(network(x), y).backward()
    ...         optimizer.step()
    """
    given = [optimizers] if not isinstance(optimizers, Iterable) else list(optimizers)
    _check(network, given, scaler, batch_dim, every, on_error)
    return Watcher(network, [_unwrapped(o) for o in given], every, scaler, batch_dim, loggers, on_error)


def _unwrapped(optimizer: Any) -> Optimizer:
    """Return the optimizer inside one of accelerate's."""
    while isinstance(inner := getattr(optimizer, "optimizer", None), Optimizer):
        optimizer = inner
    return optimizer


def _check(network: Any, optimizers: list[Any], scaler: Any, batch_dim: Any, every: Any, on_error: Any) -> None:
    if not isinstance(network, nn.Module):
        raise ValueError(f"network={network!r:.60}; expected a torch.nn.Module")
    for optimizer in optimizers or [None]:
        if not isinstance(optimizer, Optimizer):
            raise ValueError(f"optimizers={optimizer!r:.60}; expected a torch.optim.Optimizer, or a sequence of them")
    if scaler is not None and not callable(getattr(scaler, "get_scale", None)):
        raise ValueError(f"scaler={scaler!r:.60}; expected a torch.amp.GradScaler or None")
    for name, value, least in (("batch_dim", batch_dim, 0), ("every", every, 1)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"{name}={value!r}; expected a whole number >= {least}")
    if on_error not in ("warn", "raise"):
        raise ValueError(f"on_error={on_error!r}; expected 'warn' or 'raise'")
    _check_parameters(network, optimizers)


def _check_parameters(network: nn.Module, optimizers: list[Any]) -> None:
    known = {id(p) for o in optimizers for group in o.param_groups for p in group["params"]}
    trainable = {name: p for name, p in network.named_parameters() if p.requires_grad}
    if not trainable:
        raise ValueError("network: no parameter requires a gradient; expected one to train")
    for name, p in trainable.items():
        if is_lazy(p):
            raise ValueError(f"network: parameter {name!r} has no shape yet; run one batch through the network first")
        if not p.is_floating_point():
            raise ValueError(f"network: parameter {name!r} has dtype {p.dtype}; expected real floating point")
    missing = [name for name, p in trainable.items() if id(p) not in known]
    if missing:
        raise ValueError(
            f"optimizers: none has the network's parameter {missing[0]!r} ({len(missing)} such); expected every one "
            "that requires a gradient (freeze the others by requires_grad_(False), or give every optimizer)"
        )


class Row(NamedTuple):
    """One row of the history: a layer's weights, or one parameter without a matrix."""

    name: str
    kind: str
    numbers: list[int]
    signal: int | None


class _Filter(NamedTuple):
    """A filter of warnings that can be taken off again: torch's own, that a hook for all modules is on."""

    entry: Any

    def remove(self) -> None:
        if self.entry in warnings.filters:
            warnings.filters.remove(self.entry)  # pyright: ignore[reportAttributeAccessIssue]


class Watcher:
    """Hooks around a loop; each of its steps becomes one record of a history. Made by `watch`.

    Attributes
    ----------
    history : History
        What was measured so far.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizers: list[Optimizer],
        every: int,
        scaler: Any,
        batch_dim: int,
        loggers: Sequence[Logger],
        on_error: OnError,
    ) -> None:
        self._network, self._optimizers, self._every = network, optimizers, every
        self._scaler, self._loggers, self._on_error = scaler, loggers, on_error
        self._layers = find_layers(network)
        own = {layer.module for layer in self._layers}
        others = [m for m in network.modules() if m not in own and any(True for _ in m.parameters(recurse=False))]
        named = dict(network.named_parameters())
        self._params = list(named.values())
        self._rows = _rows(self._layers, others, network, self._params)
        self._measured = ParameterNorms(self._params)
        self._observer = PassObserver(network, self._layers, others, batch_dim, self._guard)
        self._calls = Calls(
            self._guard(self._begin_backward), self._guard(self._end_backward), self._guard(self._adopt)
        )
        self.history = History(
            [row.name for row in self._rows],
            tiny=float(torch.finfo(self._params[0].dtype).tiny),
            kinds=[row.kind for row in self._rows],
        )
        self._handles: list[Any] = []
        self._state: Literal["new", "on", "off"] = "new"
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
                self._handles.append(optimizer.register_step_pre_hook(self._guard(self._before_step)))
                self._handles.append(optimizer.register_step_post_hook(self._guard(self._after_step)))
            self._calls.install()
            if any(type(m).__name__ == "OptimizedModule" for m in self._network.modules()):
                warnings.filterwarnings("ignore", "Using `torch.compile.module.` when there are global hooks")
                self._handles.append(_Filter(warnings.filters[0]))
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
        for logger in self._loggers:
            logger.close()
        if not quietly:
            self._warn_of_nothing()

    def _finish(self) -> None:
        if self._stepped:
            self._close()
        elif self._recording:
            self._close_unused(skipped=False)

    def _remove(self) -> None:
        self._state = "off"
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self._calls.remove()
        self._observer.stop()
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
        self._inside, self._passes = True, len(self._observer.passes)
        if self._stepping is not None:
            if self._recording and self._window.gradient is not None and self._cleared():  # a closure, called again
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
            if self._scaler is not None:
                window.scale = float(self._scaler.get_scale())
            if any(now) and now == self._versions:
                window.uncleared = self._measured.norms(self._trainable)
        elif now != self._versions and self._gone():  # by zero_grad() without a step
            self._close_unused(skipped=True)
        self._versions = now

    def _end_backward(self, loss: Tensor | None) -> None:
        self._inside = False
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
                if self._stepping is not None:
                    self._used = self._measured.gradients(USED, self._owned[id(self._stepping)])
        if self._stepped and self._stepping is None:  # optimizers that step inside the backward pass
            self._close()

    def _cleared(self) -> bool:
        """Whether gradients were changed since the last backward pass."""
        return self._measured.versions(self._trainable) != self._versions

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

    def _rescan(self) -> None:
        """Take note of parameters that were frozen, unfrozen or given to an optimizer."""
        flags = [p.requires_grad for p in self._params]
        known = (flags, [len(group["params"]) for o in self._optimizers for group in o.param_groups])
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
            self._rescan()
            self._window.frozen = self._frozen, self._measured.fixed(self._frozen)
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
        self._append(stats, shown, samples, micro_batches, shown.applied)
        self._mark(trouble, skipped=not shown.applied)
        if shown.uncleared > 0 and not any(m.kind == "uncleared" for m in self.history.marks):
            step = self._step - 1
            self.history.mark(Mark(step, "uncleared", Said("record.uncleared", step=step)))
        self._log()
        self._renew()

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
        for i, change in sorted(changes.items()):
            if not math.isfinite(change):
                return self._divergence("weight", layer_of(self._layers, self._params, i), change)
        return None

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
        total, used_total = root_sum_square(list(raw.values())), root_sum_square(list(used.values()))
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
                clip_cosine=_cosine(raw, used),
                lr=shown.lr,
                time_norm=NO_TIME,
            )
        )
        self._step += 1

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
        ]

    def _log(self) -> None:
        if not self._loggers:
            return
        record = self.history[-1]
        numbers = {f"gradlab/{name}": float(getattr(record, name)) for name in ("loss", "total_norm", "lr")}
        for measure in PER_LAYER:
            values = getattr(record, measure)
            numbers |= {
                f"gradlab/{measure}/{name}": float(v)
                for name, v in zip(self.history.layer_names, values, strict=True)
                if not math.isnan(v)
            }
        for logger in self._loggers:
            logger.log(numbers, record.step)


def _rows(layers: list[Layer], others: list[nn.Module], network: nn.Module, params: list[nn.Parameter]) -> list[Row]:
    """List the layers' weights, then every other parameter by itself."""
    number = {id(p): i for i, p in enumerate(params)}
    rows = [Row(la.name, "weight", [number[id(p)] for p in la.weights], i) for i, la in enumerate(layers)]
    taken = {i for row in rows for i in row.numbers}
    owner = {id(p): i for i, layer in enumerate(layers) for p in layer.others.values()}
    owner |= {id(p): len(layers) + i for i, module in enumerate(others) for p in module.parameters(recurse=False)}
    for name, p in network.named_parameters():
        i = number[id(p)]
        if i not in taken:
            kind = "bias" if name.endswith("bias") else "norm"
            rows.append(Row(name, kind, [i], owner.get(id(p))))
    return rows


def _cosine(raw: Norms, used: Norms) -> float:
    """Return 1 if nothing was clipped; else nan, as the gradient before is gone."""
    same = all(abs(used.get(i, 0.0) - norm) <= _UNCHANGED * norm for i, norm in raw.items())
    return 1.0 if same else math.nan
