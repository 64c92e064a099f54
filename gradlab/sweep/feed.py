"""What stacked networks are fed: each its own data set and its own order of samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from gradlab.config import Config
from gradlab.engine.check import check_inputs, check_micro_batches, prepare_data
from gradlab.engine.sampler import Epoch
from gradlab.rules.accumulation import ACCUMULATIONS
from gradlab.sweep.rows import Rows


class Batch(NamedTuple):
    """A micro-batch of every network: inputs ``(networks, n, features)`` and targets ``(networks, n, ...)``."""

    x: Tensor
    y: Tensor


class Feed:
    """Data sets and sample orders, made once where networks share them.

    Parameters
    ----------
    configs : sequence of Config
        One per network, alike in the number of samples and the shape of a window.
    data : pair of tensors or None
        Own data, the same for all.

    Raises
    ------
    ValueError
        If the data cannot be trained on, or differ in shape between networks.
    """

    def __init__(self, configs: Sequence[Config], data: Any) -> None:
        sets: dict[tuple[Any, ...], int] = {}
        seeds: dict[int, int] = {}
        self._made = []
        for config in configs:
            key = () if data is not None else (config.dataset, config.n_samples, config.noise, config.data_seed)
            if key not in sets:
                sets[key] = len(sets)
                self._made.append(prepare_data(config, data, None))
                check_inputs(self._made[-1])
                check_micro_batches(config, self._made[-1].n)
            seeds.setdefault(config.batch_seed, len(seeds))
        self._check_shapes()
        self._config, first = configs[0], self._made[0]
        self.n, self.inputs, self.outputs = first.n, first.x[0].numel(), first.outputs
        self.classification = first.classification
        self._x = torch.stack([made.x.flatten(1) for made in self._made])
        self._y = torch.stack([made.y for made in self._made])
        keys = [
            () if data is not None else (config.dataset, config.n_samples, config.noise, config.data_seed)
            for config in configs
        ]
        self._set_of = torch.tensor([sets[key] for key in keys])
        self._order_of = torch.tensor([seeds[config.batch_seed] for config in configs])
        self._epochs = [Epoch.first(self.n, seed) for seed in seeds]
        self._orders, self._position = self._epoch(), 0

    def _check_shapes(self) -> None:
        shapes = {(made.x.shape, made.y.shape, made.y.dtype, made.outputs) for made in self._made}
        if len(shapes) > 1:
            raise ValueError("data sets of several shapes; expected one shape in a stack")

    def rows(self) -> Rows:
        """Return, per network, the numbers of its data set and of its order."""
        return {"set": self._set_of, "order": self._order_of}

    def _epoch(self) -> Tensor:
        """Return every stream's next pass over the data, ``(streams, n)``."""
        orders = torch.stack([epoch.order for epoch in self._epochs])
        self._epochs = [epoch.next() for epoch in self._epochs]
        return orders

    def window(self) -> list[Tensor]:
        """Return the next window of each order, split into micro-batches ``(streams, n_m)``, and move on."""
        if self._position >= self.n:
            self._orders, self._position = self._epoch(), 0
        size = self._config.batch_size
        taken = self._orders[:, self._position : self._position + size * micro_batches(self._config)]
        self._position += taken.shape[1]
        return list(taken.split(size, dim=1))

    def gather(self, samples: Tensor, rows: Rows) -> Batch:
        """Return the samples of a micro-batch, ``(streams, n_m)``, for the networks still in `rows`."""
        index = samples[rows["order"]] + rows["set"][:, None] * self.n
        return Batch(self._x.flatten(0, 1)[index], self._y.flatten(0, 1)[index])

    def slices(self, size: int, rows: Rows) -> Iterator[Batch]:
        """Yield all the data of the networks in `rows`, `size` samples at a time."""
        for start in range(0, self.n, size):
            part = slice(start, start + size)
            yield Batch(self._x[:, part][rows["set"]], self._y[:, part][rows["set"]])


def micro_batches(config: Config) -> int:
    """Return the number of micro-batches in a full window."""
    single = ACCUMULATIONS[config.accumulation].options.get("single")
    return 1 if single else config.accumulation_steps


def losses(output: Tensor, y: Tensor) -> Tensor:
    """Return the loss of every sample: cross-entropy for labels, mean squared error for float targets.

    Parameters
    ----------
    output : Tensor
        ``(networks, n, outputs)``.
    y : Tensor
        Labels ``(networks, n)`` or targets ``(networks, n, outputs)``.

    Returns
    -------
    Tensor
        ``(networks, n)``.
    """
    if y.is_floating_point():
        return F.mse_loss(output, y, reduction="none").mean(2)
    return F.cross_entropy(output.flatten(0, 1), y.flatten(), reduction="none").view(y.shape)
