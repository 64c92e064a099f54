"""Whether the fast lane gives the bits of autograd on this machine: both are tried before the fast one is used."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Generator, Tensor

from gradlab.data import Data
from gradlab.engine.chain import Chain
from gradlab.engine.flat import FlatParameters
from gradlab.engine.probe import NetworkProbe

_VERDICTS: dict[Hashable, bool] = {}  # a table filled once per process: what agrees does so whatever the weights


class Guard:
    """Lets a chain run only where it agrees with autograd, bit for bit.

    One pass of both lanes is compared for every size of micro-batch, before the first of that size is trained on:
    the loss, every h_l, d loss / d z_l and dL/dp. Another processor, another torch or another BLAS may fail it.
    Weights and inputs of the trial are drawn at the scale that keeps a signal alive, since of a gradient that has
    vanished or is nan nothing can be learnt; they lie where the run's own do, and the weights are put back.

    Parameters
    ----------
    chain : Chain
        The fast lane.
    probe : NetworkProbe
        The same network, run by autograd.
    flat : FlatParameters
        Its parameters.
    data : Data
        Gives the inputs' and targets' shapes, and the labels.
    """

    def __init__(self, chain: Chain, probe: NetworkProbe, flat: FlatParameters, data: Data) -> None:
        self.chain, self._probe, self._flat, self._data = chain, probe, flat, data
        self._trusted: set[tuple[int, int]] = set()

    def trusts(self, samples: int) -> bool:
        """Return whether both lanes agree on a micro-batch of that size; found once per process."""
        threads = torch.get_num_threads()  # which decides how sums are split
        if (samples, threads) in self._trusted:
            return True
        rows = torch.arange(samples)
        x, y = self._data.x[rows], self._data.y[rows]
        key = (self.chain.signature(self._data.loss), _layout(x), _layout(y), threads)
        if key not in _VERDICTS:
            _VERDICTS[key] = self._try(x, y)
        if _VERDICTS[key]:
            self._trusted.add((samples, threads))
        return _VERDICTS[key]

    def _try(self, x: Tensor, y: Tensor) -> bool:
        generator = Generator().manual_seed(0)
        x = torch.empty_like(x).normal_(generator=generator)
        y = torch.empty_like(y).normal_(generator=generator) if y.is_floating_point() else y
        with self._stand_in_weights(generator), torch.enable_grad():
            try:
                wanted, found = self._run(self._probe, x, y), self._run(self.chain, x, y)
            except Exception:  # what the fast lane cannot do is left to autograd; what autograd cannot, its step says
                return False
        return all(map(_same_bits, found, wanted))

    @contextmanager
    def _stand_in_weights(self, generator: Generator) -> Iterator[None]:
        """Draw N(0, 1/fan_in) in place: no activation of the table explodes at any depth."""
        kept = self._flat.weights.clone()
        try:
            self._flat.weights.normal_(generator=generator)
            for p in self._flat.params:
                p.detach().mul_(1 / math.sqrt(p.shape[-1]))
            yield
        finally:
            self._flat.weights.copy_(kept)

    def _run(self, lane: Chain | NetworkProbe, x: Tensor, y: Tensor) -> list[Tensor]:
        """Return all that a pass gives, joined into few tensors."""
        done = lane.forward(x, y, self._data.loss)
        after = _joined([stack for _, stack, _ in done.stacks])
        found, deltas = done.gradients(self._flat.params, self._flat.scratch())
        given = [torch.zeros_like(p) if g is None else g for g, p in zip(found, self._flat.params, strict=True)]
        return [done.loss.detach(), after, _joined([stack for _, stack in deltas]), _joined(given)]


def _layout(tensor: Tensor) -> Hashable:
    return tensor.dtype, tensor.shape, tensor.stride()


def _joined(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([t.reshape(-1) for t in tensors])


def _same_bits(one: Tensor, other: Tensor) -> bool:
    return torch.equal(_bits(one), _bits(other)) or torch.equal(_bits(_one_nan(one)), _bits(_one_nan(other)))


def _bits(tensor: Tensor) -> Tensor:
    return tensor.view({2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.element_size()])


def _one_nan(tensor: Tensor) -> Tensor:
    return tensor.masked_fill(tensor.isnan(), math.nan)
