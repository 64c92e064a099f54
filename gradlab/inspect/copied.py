"""A private copy of a trainer's network: whatever is measured on it, the run never knows."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from gradlab.config import Config
from gradlab.data import Data
from gradlab.engine import Trainer
from gradlab.engine.autograd import AutogradPass
from gradlab.engine.check import check_seconds
from gradlab.engine.gradient_check import GradientCheck, differentiate
from gradlab.engine.gradient_check import check_gradients as compare_gradients
from gradlab.engine.layers import find_layers, layer_of
from gradlab.engine.sampler import NextWindow
from gradlab.rules.accumulation import CumulativeGradient

LARGE = 1_000_000  # parameters from which a look takes a sample, in float32 where it can
_GOOD_ENOUGH = 1e-6  # of a difference in a large one: half the forward passes
SECONDS = 15.0  # that a look at a network of your own may take


class Batch:
    """A network of your own, its mean loss ``loss_fn(output, y)`` and one batch (X, y), in the place of a run.

    No rules, and no step was taken; the network stays as it is.
    """

    step_count = 0

    def __init__(self, network: nn.Module, loss_fn: Any, batch: Any) -> None:
        if not isinstance(network, nn.Module):
            raise ValueError(f"network={network!r:.60}; expected a torch.nn.Module (or a Trainer alone)")
        if not callable(loss_fn):
            raise ValueError(f"loss_fn={loss_fn!r:.60}; expected a callable loss_fn(output, y) -> mean loss")
        pair = isinstance(batch, tuple | list) and len(batch) == 2 and all(isinstance(t, Tensor) for t in batch)
        if not pair or not len(batch[0]) or len(batch[0]) != len(batch[1]):
            raise ValueError(f"batch={batch!r:.60}; expected tensors (X, y) with the same number of samples")
        loss: Any = loss_fn
        self.network, self.data = network, Data(*batch, outputs=0, loss=loss)
        self.parameters = [p for p in network.parameters() if p.requires_grad]
        if not self.parameters:
            raise ValueError("network: no parameter requires a gradient; expected one to train")
        self.layer_names = tuple(layer.name for layer in find_layers(network))
        self.config = Config(batch_size=max(1, self.data.n // 8))
        self.large = sum(p.numel() for p in self.parameters) > LARGE

    def next_window(self) -> NextWindow:
        """Return the whole batch as one micro-batch."""
        return NextWindow([torch.arange(self.data.n)], [1.0], [0])


def subject(of: Trainer | nn.Module, loss_fn: Any, batch: Any) -> Trainer | Batch:
    """Return a run as it is, or a network with its loss and batch."""
    if isinstance(of, Trainer) and loss_fn is batch is None:
        return of
    return Batch(of, loss_fn, batch)  # pyright: ignore[reportArgumentType]


@contextmanager
def timed(
    work: Callable[..., Any], most: int, seconds: float, name: str, shown: bool = True
) -> Iterator[Callable[..., Any]]:
    """Give `work` with a bar, which shows after a second; once the time is over it raises TimeoutError instead."""
    from tqdm.auto import tqdm

    check_seconds(seconds)
    end, took = time.perf_counter() + seconds, 0.0
    with tqdm(total=most, desc=name, delay=1, leave=False) if shown else nullcontext() as bar:  # a bar has a thread

        def within(*args: Any) -> Any:
            nonlocal took
            start = time.perf_counter()
            if start + took > end:
                raise TimeoutError
            found = work(*args)
            took = time.perf_counter() - start
            if bar is not None:
                bar.update()
            return found

        yield within


class Copied:
    """A copy of a trainer's network, in training mode, that computes losses and gradients of chosen samples.

    Copy and data are cast to `dtype`, if there is one; with `plain` every `CumulativeGradient` is left out, so that
    gradients are those of the loss. `params` are the trainable parameters, in the network's order; `groups` the
    numbers of those that are weights, layer by layer; `cumulative` is whether there was a `CumulativeGradient`.
    """

    def __init__(self, trainer: Trainer | Batch, dtype: torch.dtype | None = None, plain: bool = False) -> None:
        self.network = _copy_network(trainer.network)
        cumulative = [m for m in self.network.modules() if isinstance(m, CumulativeGradient)]
        self.cumulative = bool(cumulative)
        for module in cumulative if plain else ():
            module.forward = lambda x: x
        if dtype is not None:
            self.network.to(dtype)
        self._data, self._dtype = trainer.data, dtype
        self.params = [p for p in self.network.parameters() if p.requires_grad]
        numbers = {id(p): i for i, p in enumerate(self.params)}
        self.groups = [
            [numbers[id(p)] for p in layer.weights if id(p) in numbers] for layer in find_layers(self.network)
        ]

    def loss(self, rows: Tensor, seed: int) -> Tensor:
        """Return the mean loss of the samples `rows`; dropout draws from `seed`."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            return self._data.loss(self.network(self._cast(self._data.x[rows])), self._cast(self._data.y[rows]))

    def gradients(self, rows: Tensor, seed: int) -> Sequence[Tensor | None]:
        """Return the gradient of that loss by each of `params`; None for one that received none."""
        return AutogradPass(self.loss(rows, seed), [], []).gradients(self.params)[0]

    def held(self, work: Callable[[], object]) -> int:
        """Return the bytes, the weights left out, that the graphs hold which `work` makes and returns."""
        held, weights = dict[int, int](), {p.untyped_storage().data_ptr() for p in self.params}

        def count(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            held[storage.data_ptr()] = 0 if storage.data_ptr() in weights else storage.nbytes()
            return tensor

        with saved_tensors_hooks(count, lambda tensor: tensor):
            _made = work()  # kept while it is counted, so that no memory is counted twice or not at all
        return sum(held.values())

    def _cast(self, tensor: Tensor) -> Tensor:
        return tensor.to(self._dtype) if tensor.is_floating_point() and self._dtype else tensor


def _copy_network(network: nn.Module) -> nn.Module:
    """Copy a network, with what its last forward pass left in its attributes (attention maps) detached."""
    memo: dict[int, Any] = {
        id(value): value.detach().clone()
        for module in network.modules()
        for value in vars(module).values()
        if isinstance(value, Tensor) and not value.is_leaf
    }
    return copy.deepcopy(network, memo)


def check_gradients(
    network: nn.Module,
    loss_fn: Any,
    batch: Any,
    *,
    samples: int | None = None,
    entries_per_layer: int = 4,
    seconds: float = SECONDS,
) -> GradientCheck:
    """Compare autograd with finite differences on a float64 copy of your network: the worst error of each layer.

    Parameters
    ----------
    network, loss_fn, batch
        The network, which stays as it is; ``loss_fn(output, y)``, the mean loss; and the tensors (X, y).
    samples : int, optional
        Of the batch, from its beginning. Default: 8, of a network of more than a million parameters 2.
    entries_per_layer : int, default 4
        Entries compared in each layer, the largest gradients and some drawn at random (always the same).
    seconds : float, default 15
        After which no further entry is begun; every layer has its first before one has its second. A bar shows how
        far it is.

    Returns
    -------
    GradientCheck
        Layer name -> worst relative error; ``compared`` says of how many entries.

    Raises
    ------
    ValueError
        If an argument is not accepted, or the loss is not finite.
    """
    own = Batch(network, loss_fn, batch)
    layers = find_layers(network)
    owner = [layer_of(layers, own.parameters, number) for number in range(len(own.parameters))]
    samples = (2 if own.large else 8) if samples is None else samples
    differences = partial(differentiate, good_enough=_GOOD_ENOUGH) if own.large else differentiate
    with timed(differences, entries_per_layer * len(layers), seconds, "check_gradients") as compare:
        return compare_gradients(
            network, own.data, own.layer_names, owner.__getitem__, samples, entries_per_layer, compare
        )
