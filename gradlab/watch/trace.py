"""Where a value that is not finite was born: the first operation that made one of finite ones, with file and line."""

from __future__ import annotations

import linecache
import math
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gradlab.engine.layers import in_backward
from gradlab.locale import Said

_NOT_YOURS = (str(Path(torch.__file__).parent), str(Path(__file__).parents[1]))
_LINE = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+)')


class Operation(NamedTuple):
    """An operation that ran: its name, where it was called, in which pass, and whether its ends are not finite."""

    name: str
    place: str
    backward: bool
    before: Tensor | bool
    after: Tensor | bool


class FirstNotFinite(TorchDispatchMode):
    """Notes of every operation whether it was given and gave what is not finite; nothing is read until `first`."""

    def __init__(self) -> None:
        super().__init__()
        self.on = True
        self._seen: list[Operation] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation, and note its ends."""
        if not self.on:
            return func(*args, **(kwargs or {}))
        before = _not_finite((args, kwargs))
        out = func(*args, **(kwargs or {}))
        after = _not_finite(out)
        if after is not False and "empty" not in func.name():  # memory that nobody has written to yet
            backward = in_backward()
            place = _of_node() if backward else _of_frame()
            self._seen.append(Operation(str(func.overloadpacket), place, backward, before, after))
        return out

    def first(self) -> Operation | None:
        """Return the first operation that made what is not finite out of what is; forget all."""
        seen, self._seen = self._seen, []
        return next((op for op in seen if bool(op.after) and not bool(op.before)), None)


def _not_finite(values: Any) -> Tensor | bool:
    """Whether an entry of nested tensors and numbers is not finite; False if there is none to look at."""
    found: Tensor | bool = False
    for value in tree_leaves(values):
        if isinstance(value, float) and not math.isfinite(value):
            return True  # a mask's own -inf
        if isinstance(value, Tensor) and value.is_floating_point() and value.numel():
            found = found | ~torch.isfinite(value).all()
    return found


def _of_frame() -> str:
    """Return file and line of the newest frame that is neither torch's nor gradlab's."""
    frame = sys._getframe(2)
    while frame is not None:
        if not frame.f_code.co_filename.startswith(_NOT_YOURS):
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back
    return "?"


def _of_node() -> str:
    """Return file and line of the call in the forward pass that made the running node (kept by anomaly detection)."""
    node = torch._C._current_autograd_node()
    metadata: Any = node.metadata if node is not None else {}
    lines = metadata.get("traceback_", ())
    places = [m for line in lines if (m := _LINE.search(line)) and not m["file"].startswith(_NOT_YOURS)]
    return f"{places[-1]['file']}:{places[-1]['line']}" if places else "?"


class Pass(NamedTuple):
    """One call of the network, as far as it takes to run it again."""

    args: Any
    kwargs: Any
    random: tuple[Any, ...]
    autocast: tuple[str, bool, torch.dtype]
    gradients: dict[int, Tensor]  # dL/d output, by the output's place


class Tracer:
    """Keeps what a step needs to be run again, looks at the loss as it runs, and at the network when asked.

    Of a loop only the network can be called again, so what lies between it and ``backward()`` is looked at each time:
    a few operations. A copy of parameters and buffers and the inputs of the step are kept.

    Parameters
    ----------
    network : torch.nn.Module
        The network.
    guard : callable
        ``guard(function)`` keeps an error of this instrument out of the loop.
    """

    def __init__(self, network: nn.Module, guard: Callable[[Callable[..., None]], Callable[..., None]]) -> None:
        self._network, self._guard, self._mode = network, guard, FirstNotFinite()
        self._entered = self._anomaly = False
        self._random: tuple[Any, ...] = ()
        self._passes: list[Pass] = []
        self._before: list[tuple[Tensor, Tensor]] = []
        self._handles: list[Any] = []

    def start(self) -> None:
        """Begin to look."""
        before, after = self._guard(self._called), self._guard(self._returned)
        self._handles = [
            torch_module.register_module_forward_pre_hook(lambda module, args: before(module)),
            torch_module.register_module_forward_hook(
                lambda module, args, kwargs, output: after(module, args, kwargs, output), with_kwargs=True
            ),
        ]
        self.renew()

    def stop(self) -> None:
        """Look no more, and let go of everything."""
        self.rest()
        for handle in self._handles:
            handle.remove()
            torch_module._global_forward_hooks_with_kwargs.pop(handle.id, None)  # torch leaves it behind
        self._handles, self._passes, self._before = [], [], []

    def renew(self) -> None:
        """Begin a step."""
        tensors = [*self._network.parameters(), *self._network.buffers()]
        self._before, self._passes = [(t, t.detach().clone()) for t in tensors], []
        self._mode.first()

    def look(self, on: bool) -> None:
        """Look at what runs, or not: the instrument's own measurements are nobody's fault."""
        self._mode.on = on

    def rest(self) -> None:
        """Look no more until the network returns again: a backward pass has ended."""
        if self._entered:
            self._entered = False
            self._mode.__exit__(None, None, None)
            _detect_anomaly(self._anomaly, torch.is_anomaly_check_nan_enabled())

    def _called(self, module: nn.Module) -> None:
        if module is self._network and torch.is_grad_enabled() and not in_backward():
            self.look(False)
            self._random = _random_state()

    def _returned(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        if module is not self._network or not torch.is_grad_enabled() or in_backward():
            return
        gradients: dict[int, Tensor] = {}
        outputs = [
            (i, t) for i, t in enumerate(tree_leaves(output)) if isinstance(t, Tensor) and t.grad_fn is not None
        ]
        for place, tensor in outputs:
            tensor.register_hook(self._guard(partial(self._came, gradients, place)))  # pyright: ignore[reportArgumentType]
        if not outputs:
            return
        kind = outputs[0][1].device.type
        autocast = kind, torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)
        self._passes.append(Pass(args, kwargs, self._random, autocast, gradients))
        self.look(True)
        if not self._entered:
            self._entered, self._anomaly = True, torch.is_anomaly_enabled()
            _detect_anomaly(True, False)
            self._mode.__enter__()

    def _came(self, gradients: dict[int, Tensor], place: int, gradient: Tensor) -> None:
        """Note the gradient that enters the network; what follows is looked at when it runs again."""
        self.look(False)
        gradients[place] = gradient.detach()

    # ------------------------------------------------------------------ the step, run again
    def find(self) -> Said:
        """Run the step's passes through the network again, and say where what is not finite was born."""
        if any(
            _not_finite([t for t in tree_leaves((p.args, p.kwargs)) if isinstance(t, Tensor)]) for p in self._passes
        ):
            return Said("record.traced.data")
        loss = self._mode.first()
        devices = range(torch.cuda.device_count() if torch.cuda.is_initialized() else 0)
        with self._restored(), self._mode_of_rerun() as mode, torch.random.fork_rng(devices):
            outputs = []
            for one in self._passes:
                torch.set_rng_state(one.random[0])
                if devices:
                    torch.cuda.set_rng_state_all(one.random[1])
                kind, on, dtype = one.autocast
                with mode, torch.autocast(kind, dtype, on):
                    outputs.append(tree_leaves(self._network(*one.args, **one.kwargs)))
                if (found := mode.first()) is not None:
                    return _said(found)
            if loss is not None:
                return _said(loss)
            params = [p for p in self._network.parameters() if p.requires_grad]
            for one, found in zip(self._passes, outputs, strict=True):
                ends = [found[place] for place in one.gradients]
                with mode:
                    torch.autograd.grad(ends, params, list(one.gradients.values()), allow_unused=True)
                if (first := mode.first()) is not None:
                    return _said(first)
        return Said("record.traced.nothing")

    @contextmanager
    def _mode_of_rerun(self) -> Iterator[FirstNotFinite]:
        enabled, checked = torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()
        _detect_anomaly(True, False)
        try:
            yield FirstNotFinite()
        finally:
            _detect_anomaly(enabled, checked)

    @contextmanager
    def _restored(self) -> Iterator[None]:
        """Give parameters and buffers the values they had before the step, and then those of now."""
        now = [(t, t.data) for t, _ in self._before]
        for tensor, value in self._before:
            tensor.data = value
        try:
            yield
        finally:
            for tensor, value in now:
                tensor.data = value


def _said(found: Operation) -> Said:
    key = "record.traced.backward" if found.backward else "record.traced.forward"
    file, _, line = found.place.rpartition(":")
    code = linecache.getline(file, int(line)).strip() if line.isdigit() else ""
    place = f"{Path(file).name if 'ipykernel' in file else file}:{line}"
    return Said(key, op=found.name.removeprefix("aten."), place=place, code=code)


def _detect_anomaly(on: bool, check: bool) -> None:
    with warnings.catch_warnings(action="ignore"):  # it warns of its cost
        torch.autograd.set_detect_anomaly(on, check_nan=check)


def _random_state() -> tuple[Any, ...]:
    return torch.get_rng_state(), (torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [])
