"""Clear errors for a network, its data and its loss before the first step."""

from __future__ import annotations

import copy
import math
import numbers
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parameter import is_lazy
from torch.utils.data import DataLoader, Dataset

from gradlab.config import Config
from gradlab.data import DATASETS, Data, Loss, as_data, cross_entropy_of_steps, draw_again, hold_out, make_dataset
from gradlab.engine.precision import is_half, narrowed, widened
from gradlab.engine.state import Buffers
from gradlab.locale import Said
from gradlab.network import ACTIVATIONS, NORMS, Network
from gradlab.registry import brief

MOST_OUTPUTS = 1_000_000


@contextmanager
def _refusing(what: str, expected: str) -> Iterator[None]:
    """Name what fails inside, and say what is expected: it is somebody's own code, which may raise anything."""
    try:
        yield
    except Exception as error:
        raise ValueError(f"{what} ({type(error).__name__}: {error}); expected {expected}") from error


def prepare_data(config: Config, data: Any, loss: Loss | None) -> Data:
    """Return the data to train on: own data checked and cast, or the config's data set."""
    return split_data(config, data, loss)[0]


def split_data(config: Config, data: Any, loss: Loss | None) -> tuple[Data, Data | None]:
    """Return what to train on, and what `holdout` keeps out of own data and of sets that are always the same."""
    everything = _all_data(config, data, loss)
    if data is None and not DATASETS[config.dataset].options.get("fixed"):
        return everything, None
    return hold_out(everything, config.holdout, config.data_seed)


def fresh_data(config: Config) -> Data | None:
    """Return fresh points of the config's data set, None if it is always the same."""
    return draw_again(*_drawn(config))


def _drawn(config: Config) -> tuple[str, int, float, int, torch.dtype, int]:
    """Return what a data set is drawn from."""
    c = config
    return c.dataset, c.n_samples, c.noise, c.data_seed, c.torch_dtype, c.sequence_length


def _all_data(config: Config, data: Any, loss: Loss | None) -> Data:
    if loss is not None and not callable(loss):
        raise ValueError(f"loss={brief(loss)}; expected a callable loss(output, y) -> mean loss, a scalar tensor")
    if data is None:
        made = make_dataset(*_drawn(config))
        return made if loss is None else replace(made, loss=loss)
    return as_data(*_pair(data), config.torch_dtype, loss=loss)


def _pair(data: Any) -> tuple[Any, Any]:
    """Return X and y of a pair, a dict of two, or all that a data set or its loader gives.

    Raises
    ------
    ValueError
        If it is something else, or what it gives are no pairs of one shape.
    """
    if isinstance(data, Mapping) and len(data) == 2:
        data = tuple(data.values())
    if isinstance(data, tuple | list) and len(data) == 2:
        return data[0], data[1]
    loader = DataLoader(data, batch_size=256) if isinstance(data, Dataset) else data
    if not isinstance(loader, DataLoader):
        raise ValueError(
            f"data={type(data).__name__}; expected a pair (X, y) of tensors, a dict of the two, a torch Dataset or a "
            "DataLoader of such pairs"
        )
    with _refusing(f"data: {type(data).__name__} gives no pairs", "(X, y) of one shape each"):
        with torch.random.fork_rng(devices=[]):  # a loader draws, if only a seed
            batches = [batch.values() if isinstance(batch, Mapping) else batch for batch in loader]
        x, y = (torch.cat(parts) for parts in zip(*batches, strict=True))
    return x, y


def check_micro_batches(config: Config, n: int) -> None:
    """Raise ValueError if batch norm would meet a micro-batch of one sample."""
    if NORMS[config.norm].options.get("couples_samples") and n % config.batch_size == 1:
        raise ValueError(Said("error.tail", batch_size=config.batch_size, n=n, norm=config.norm))


def check_inputs(data: Data) -> None:
    """Raise ValueError if a built-in network cannot read X or cannot return what y asks for."""
    if not data.x.is_floating_point():
        raise ValueError(
            f"data X: dtype {data.x.dtype}; expected floating point for the built-in network (X.float()); "
            "whole numbers need an own network that starts with an embedding"
        )
    if data.x.dim() < 2 or data.x[0].numel() == 0:
        raise ValueError(f"data X: shape {tuple(data.x.shape)}; expected (samples, features), at least 1 feature")
    of_steps = data.every_step and data.x.dim() == 3 and data.y.shape[:2] == data.x.shape[:2]
    if data.outputs > MOST_OUTPUTS:
        what = f"label {data.outputs - 1}" if data.classification else f"shape {tuple(data.y.shape)}"
        raise ValueError(
            f"data y: {what}; expected at most {MOST_OUTPUTS} outputs of the built-in network (labels are numbered "
            "from 0, without gaps)"
        )
    if not data.classification and ((data.y.dim() != 2 and not of_steps) or data.y.shape[-1] == 0):
        raise ValueError(f"data y: shape {tuple(data.y.shape)}; expected (samples,) or (samples, columns >= 1)")


def check_loss(network: nn.Module, data: Data, batch_size: int) -> None:
    """Raise ValueError unless an own loss gives one real number for what a built-in network returns."""
    if data.loss not in (F.cross_entropy, F.mse_loss, cross_entropy_of_steps):
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            _loss(data, copy.deepcopy(network)(data.x[:batch_size]), data.y[:batch_size])


def check_activation(config: Config) -> None:
    """Raise ValueError unless a registered activation makes modules that keep the shape of what they read."""
    entry, what = ACTIVATIONS[config.activation], f"activation={config.activation!r}"
    if entry.shipped or config.architecture != "mlp" or not config.depth:
        return
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        module = entry()
        z = torch.zeros(2, config.width, dtype=config.torch_dtype)
        failed = f"{what}: fails on a tensor of shape {tuple(z.shape)}"
        with _refusing(failed, "a module that maps it to one of the same shape"):
            h = copy.deepcopy(module).to(config.torch_dtype)(z)
    found = tuple(h.shape) if isinstance(h, Tensor) else type(h).__name__
    if found != tuple(z.shape):
        raise ValueError(f"{what}: maps shape {tuple(z.shape)} to {found}; expected the same shape")


def draws(config: Config, network: Network) -> bool:
    """Return whether a registered activation or norm draws from the global generator when it is applied."""
    modules = [m for group in (network.norms, network.activations) for m in list(group)[-1:]]
    with torch.random.fork_rng(devices=[]):
        before = torch.get_rng_state()
        for module in modules:
            copy.deepcopy(module)(torch.zeros(2, config.width, dtype=config.torch_dtype))
        return not torch.equal(before, torch.get_rng_state())


def adopt_network(network: Any, dtype: torch.dtype) -> nn.Module:
    """Return a private copy of somebody's network in training mode, cast to `dtype`.

    Raises
    ------
    ValueError
        If it is no module, lazy, complex, or has nothing to train.
    """
    if not isinstance(network, nn.Module) or isinstance(network, torch.jit.ScriptModule):
        raise ValueError(
            f"network={brief(network)}; expected a torch.nn.Module, of TorchScript the one it was made of"
        )
    params = dict(network.named_parameters())
    if lazy := [name for name, p in params.items() if is_lazy(p)]:
        raise ValueError(f"network: parameter {lazy[0]!r} has no shape yet; run one batch through the network first")
    if not params:
        raise ValueError(f"network: {type(network).__name__} has no parameters; expected at least one to train")
    for name, p in params.items():
        if not p.is_floating_point() or p.is_meta:
            where = " on the meta device, where it has no numbers" * p.is_meta
            raise ValueError(f"network: parameter {name!r} has dtype {p.dtype}{where}; expected real floating point")
    if not any(p.requires_grad for p in params.values()):
        raise ValueError("network: every parameter is frozen (requires_grad=False); expected one to train")
    copies = "a network that copy.deepcopy accepts, so that yours stays as it is"
    with _refusing("network: cannot be copied", copies):
        return copy.deepcopy(network).to(dtype).train()


def with_own_precision(config: Config, network: Any) -> Config:
    """Return the config with the precision of a network that was given in half: it is trained in that.

    Raises
    ------
    ValueError
        If its formats are several or none of torch's half formats, or the config says something else.
    """
    params = list(network.parameters()) if isinstance(network, nn.Module) else []
    narrow = sorted({str(p.dtype).removeprefix("torch.") for p in params if p.dtype.itemsize < 4})
    if not narrow or not all(p.is_floating_point() for p in params):
        return config
    if len(narrow) > 1 or not all(is_half(p.dtype) for p in params if p.dtype.itemsize < 4):
        raise ValueError(Said("error.half_formats", formats=", ".join(narrow)))
    if config.dtype != "float32" or config.precision not in ("full", narrow[0]):
        own, given = f"dtype={config.dtype!r}, precision={config.precision!r}", narrow[0]
        raise ValueError(Said("error.half_network", own=own, given=given))
    return config.replace(precision=narrow[0])


class Rehearsal(NamedTuple):
    """What a first pass of a network shows."""

    data: Data  # fit for it
    stochastic: bool  # whether it draws from torch's global generator (dropout)
    replays: bool  # whether a second pass from the same state and seed gives the same bits


def rehearse(network: nn.Module, data: Data, batch_size: int, dtype: torch.dtype | None = None) -> Rehearsal:
    """Run a first micro-batch through a copy, twice, and a last, short one; in half precision in that `dtype`.

    Raises
    ------
    ValueError
        If a pass fails, the loss is no real scalar, the output does not fit y, or a parameter that could be
        trained receives no gradient.
    """
    copied = copy.deepcopy(network)
    buffers = Buffers(copied)
    trainable = {name: p for name, p in copied.named_parameters() if p.requires_grad}
    first = narrowed(data.x[:batch_size], dtype)
    with torch.random.fork_rng(devices=[]), torch.enable_grad():  # and as it was, whatever a forward pass turns off
        torch.default_generator.manual_seed(0)
        seeded, state = torch.get_rng_state(), buffers.copy()
        output = _forward(copied, first)
        data = _fit(data, output)
        loss = _loss(data, output, data.y[:batch_size])
        drew = not torch.equal(seeded, torch.get_rng_state())
        found = _backward(loss, list(trainable.values()))
        torch.set_rng_state(seeded)
        buffers.put(state)
        again = _loss(data, _forward(copied, first), data.y[:batch_size])
        replays = _same((loss, *found), (again, *_backward(again, list(trainable.values()))))
        if data.n > batch_size and data.n % batch_size:
            _rehearse_tail(copied, data, batch_size, list(trainable.values()), dtype)
    unused = [name for name, g in zip(trainable, found, strict=True) if g is None]
    if unused:
        raise ValueError(
            f"network: parameter {unused[0]!r} receives no gradient from the loss ({len(unused)} such); expected "
            "every trainable parameter to be used, or frozen by requires_grad_(False)"
        )
    return Rehearsal(data, drew, replays)


def _same(first: tuple[Tensor | None, ...], second: tuple[Tensor | None, ...]) -> bool:
    """Return whether tensors are equal, nan and all."""
    pairs = ((a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None)
    return all(torch.allclose(a.to_dense(), b.to_dense(), rtol=0, atol=0, equal_nan=True) for a, b in pairs)


def _forward(network: nn.Module, x: Tensor) -> Any:
    failed = f"network: failed on X of shape {tuple(x.shape)} and dtype {x.dtype}"
    with _refusing(failed, "a network that maps X to outputs"):
        return widened(network(x.clone()))  # it may change what it is given


def _backward(loss: Tensor, trainable: list[nn.Parameter]) -> tuple[Tensor | None, ...]:
    with _refusing("network: the backward pass failed", "a network and a loss that autograd can differentiate"):
        return torch.autograd.grad(loss, trainable, allow_unused=True)


def _rehearse_tail(
    network: nn.Module, data: Data, batch_size: int, trainable: list[nn.Parameter], dtype: torch.dtype | None
) -> None:
    """Run the last, short micro-batch of an epoch: batch norm and a running total may not take it."""
    tail = data.n % batch_size
    left = f"batch_size={batch_size} leaves a last micro-batch of {tail} of the {data.n} samples"
    other = f"a batch_size that divides {data.n}, or a network for any number of samples"
    with _refusing(f"{left}, on which the network fails", other):
        loss = data.loss(widened(network(narrowed(data.x[-tail:], dtype).clone())), data.y[-tail:])
        torch.autograd.grad(loss, trainable, allow_unused=True)


def _fit(data: Data, output: Any) -> Data:
    """Check an output's shape against y; a network that returns (n,) gets targets of that shape."""
    if data.loss not in (F.cross_entropy, F.mse_loss):
        return data
    if not isinstance(output, Tensor) or not output.is_floating_point():
        what = output.dtype if isinstance(output, Tensor) else type(output).__name__
        raise ValueError(f"network: returned {what}; expected one real floating-point tensor, or an own loss")
    if data.classification:
        if output.dim() < 2 or output.shape[1] < data.outputs:
            raise ValueError(
                f"network: output of shape {tuple(output.shape)} for labels up to {data.outputs - 1}; expected "
                f"at least {data.outputs} columns, one logit per class"
            )
        return data
    if output.dim() == 1 and data.y.shape[1:] == (1,):
        return replace(data, y=data.y[:, 0])
    if output.shape[1:] != data.y.shape[1:]:
        raise ValueError(
            f"network: output of shape {tuple(output.shape)} for targets of shape {tuple(data.y.shape)}; "
            "expected the same shape after the first dimension"
        )
    return data


def _loss(data: Data, output: Any, y: Tensor) -> Tensor:
    with _refusing("loss: failed", "loss(output, y) to accept the network's output"):
        loss = data.loss(output, y)
    if not isinstance(loss, Tensor) or loss.numel() != 1 or not loss.is_floating_point():
        what = f"{tuple(loss.shape)} {loss.dtype}" if isinstance(loss, Tensor) else type(loss).__name__
        raise ValueError(f"loss: returned {what}; expected the mean loss, one real number")
    if not loss.requires_grad:
        raise ValueError("loss: does not depend on a trainable parameter; expected a differentiable loss")
    return loss


def check_count(name: str, value: Any, least: int = 0) -> None:
    """Raise ValueError unless `value` is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or not least <= int(value) < 2**63:
        raise ValueError(f"{name}={brief(value)}; expected a whole number >= {least}")


def check_seconds(value: Any) -> None:
    """Raise ValueError unless `value` is a number of seconds, inf for as long as it takes."""
    if not isinstance(value, float) or value != math.inf:
        check_number("seconds", value)


def check_number(name: str, value: Any, above: float = -math.inf) -> float:
    """Return `value` as a float; raise ValueError unless it is a finite number above `above`."""
    try:
        number = float(value) if isinstance(value, numbers.Real) and not isinstance(value, bool) else math.nan
    except OverflowError:  # a whole number that no float can hold
        number = math.nan
    if not above < number < math.inf:
        raise ValueError(f"{name}={brief(value)}; expected a finite number{f' > {above}' * (above == 0)}")
    return number
