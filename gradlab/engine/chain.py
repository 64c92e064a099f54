"""The fast lane: a plain chain of linear layers, run forward and backward by the kernels that autograd calls.

Autograd gives the same gradients, bit for bit, and the tests hold the two together. What it costs beside the
kernels (a graph, a fresh tensor at every node, a copy of every gradient) is half of a small network's step. Here
each layer's h_l and d loss / d z_l is written into one block for all layers, so that one operation measures them
all, and each gradient goes straight to where the optimizer reads it.

`Guard` compares the two on the machine at hand before the fast lane is used. Whatever is not listed in `kernels`
(a norm, a residual block, an activation or a network of one's own, a loss of one's own, a module or a parameter
with a hook) goes the general way: `NetworkProbe` and autograd.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from gradlab.data import Loss
from gradlab.engine.flat import LINE
from gradlab.engine.gauge import Gauge
from gradlab.engine.kernels import JUDGES, KERNELS, Judge
from gradlab.engine.passes import Found, Pass, Range, Stack
from gradlab.network import Network

_requires_grad = attrgetter("requires_grad")


class Block(NamedTuple):
    """For one size of micro-batch: h and delta of all hidden layers, z, h, delta layer by layer, their gauge."""

    after: Tensor
    deltas: Tensor
    z: list[Tensor]
    h: list[Tensor]
    delta: list[Tensor]
    delta_t: list[Tensor]
    gauge: Gauge


class Chain:
    """A network of `build_network` without norm and residual blocks, and a loss of torch's.

    Parameters
    ----------
    network : Network
        Its parameters must stay where they are: their memory is read at every pass.
    ranges : list
        The range of each layer's activation where it is bounded.
    """

    def __init__(self, network: Network, ranges: list[Range]) -> None:
        self.network, self.ranges = network, ranges
        self._held = _held(network)
        self._params = list(network.parameters())
        self._free = [True] * len(self._params)
        self._handles = -1
        self._weights = [p.detach() for p in self._params[0::2]]
        self._biases = [p.detach() for p in self._params[1::2]]
        self._transposed = [w.t() for w in self._weights]
        self._phi: list[nn.Module] = list(network.activations)
        self._kernels = KERNELS[type(self._phi[0])]
        self._blocks: dict[int, Block] = {}
        self._into: Sequence[Tensor] = ()
        self._into_biases = torch.empty(0)
        self.one = torch.ones((), dtype=self._params[0].dtype)

    @staticmethod
    def fits(network: nn.Module, loss: Loss) -> bool:
        """Return whether this lane does for a network and its loss all that autograd would."""
        if not isinstance(network, Network) or loss not in JUDGES or network.residual or not network.norms:
            return False
        linears, norms, activations = _parts(network)
        params = [p for linear in linears for p in (linear.weight, linear.bias)]
        return (
            {type(m) for m in linears} == {nn.Linear}
            and {type(m) for m in norms} == {nn.Identity}
            and len({type(m) for m in activations}) == 1
            and type(activations[0]) in KERNELS
            and list(map(id, params)) == list(map(id, network.parameters()))
        )

    def signature(self, loss: Loss) -> Hashable:
        """Return what decides how the kernels compute: they, the modules' settings and the parameters' shapes."""
        settings = frozenset(phi.extra_repr() for phi in self._phi)
        return type(self._phi[0]), settings, self._kernels, JUDGES[loss], tuple(p.shape for p in self._params)

    def untouched(self) -> bool:
        """Return whether nobody hung a hook on the network, froze a parameter or swapped a part since."""
        if self._handles != RemovableHandle.next_id:  # a hook was hung on something since
            if _hooked(self.network):
                return False
            self._handles = RemovableHandle.next_id
        return _held(self.network) == self._held and list(map(_requires_grad, self._params)) == self._free

    def forward(self, x: Tensor, y: Tensor, loss: Loss) -> ChainPass:
        """Run the network on `x`, compare with `y` and keep every layer."""
        x = x.flatten(1)
        block, h, forward = self._block(x), x, self._kernels.forward
        for bias, weight, phi, z, after in zip(
            self._biases, self._transposed, self._phi, block.z, block.h, strict=False
        ):
            torch.addmm(bias, h, weight, out=z)
            forward(phi, z, after)
            h = after
        output = torch.addmm(self._biases[-1], h, self._transposed[-1])
        return ChainPass(self, x, block, output, y, JUDGES[loss])

    def _block(self, x: Tensor) -> Block:
        found = self._blocks.get(x.shape[0])  # of a tensor, `len` is slow
        if found is None:
            if len(self._blocks) > 1:  # a full micro-batch and the short one at the end of an epoch
                self._blocks.clear()
            shape = (len(self._phi), len(x), len(self._biases[0]))
            after, deltas = _aligned(x, shape), _aligned(x, shape)
            z = after if self._kernels.reads_h else _aligned(x, shape)
            z_, h, delta, delta_t = (list(t.unbind()) for t in (z, after, deltas, deltas.transpose(1, 2)))
            gauge = Gauge([shape, (1, len(x), len(self._biases[-1]))], x.dtype)
            found = self._blocks[len(x)] = Block(after, deltas, z_, h, delta, delta_t, gauge)
        return found

    def backward(self, x: Tensor, block: Block, delta: Tensor, into: Sequence[Tensor]) -> None:
        """Write dL/dp of every parameter to `into` and dL/dz of the hidden layers to the block."""
        kept, backward = block.h if self._kernels.reads_h else block.z, self._kernels.backward
        torch.sum(delta, 0, out=into[-1])
        delta_t = delta.t()
        for k in range(len(self._phi), 0, -1):
            torch.mm(delta_t, block.h[k - 1], out=into[2 * k])
            delta, delta_t = torch.mm(delta, self._weights[k], out=block.delta[k - 1]), block.delta_t[k - 1]
            backward(self._phi[k - 1], delta, kept[k - 1])
        torch.mm(delta_t, x, out=into[0])
        torch.sum(block.deltas, 1, out=self._hidden_biases(into))

    def _hidden_biases(self, into: Sequence[Tensor]) -> Tensor:
        """Return the gradients of all hidden biases as one tensor: `FlatParameters` lays them at equal distances."""
        if into is not self._into:
            first, size = into[1], into[1].element_size()
            apart = (into[3].data_ptr() - first.data_ptr()) // size  # of one layer alone, it does not matter
            self._into, self._into_biases = into, first.as_strided((len(self._phi), len(first)), (apart, 1))
        return self._into_biases


class ChainPass(Pass):
    """One forward pass of a `Chain`."""

    def __init__(self, chain: Chain, x: Tensor, block: Block, output: Tensor, y: Tensor, judge: Judge) -> None:
        self._chain, self._x, self._block, self._output, self._y, self._judge = chain, x, block, output, y, judge
        self.loss, self._kept = judge.forward(output, y)
        self.gauge = block.gauge
        hidden = len(block.h)
        self._hidden, self._last = tuple(range(hidden)), (hidden,)

    @property
    def stacks(self) -> list[Stack]:
        """What the layers hand on."""
        ranges = self._chain.ranges
        return [(self._hidden, self._block.after, ranges[0]), (self._last, self._output[None], ranges[-1])]

    def gradients(self, params: list[nn.Parameter], into: list[Tensor]) -> Found:
        """Go back through the loss and the layers."""
        delta = self._judge.backward(self._chain.one, self._output, self._y, self._kept)
        self._chain.backward(self._x, self._block, delta, into)
        return into, [(self._hidden, self._block.deltas), (self._last, delta[None])]


def _aligned(like: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Return a block whose every layer starts at a cache line, as a tensor of its own would.

    Matrix products round differently where the memory lies differently.
    """
    line = LINE // like.element_size()
    stride = -(-shape[1] * shape[2] // line) * line
    return like.new_empty(shape[0], stride)[:, : shape[1] * shape[2]].unflatten(1, shape[1:])


def _parts(network: Network) -> list[list[Any]]:
    return [list(part._modules.values()) for part in (network.linears, network.norms, network.activations)]


def _held(network: Network) -> list[list[Any]]:
    """Return every part of a network, past `nn.Module.__getattr__`, which is slow."""
    return [list(part._modules.values()) for part in network._modules.values() if part is not None]


def _hooked(network: nn.Module) -> bool:
    """Return whether a hook hangs on a module, on a parameter or on all modules there are."""
    return (
        bool(torch.nn.modules.module._has_any_global_hook())
        or any(p._backward_hooks for p in network.parameters())
        or any(
            any((m._forward_hooks, m._forward_pre_hooks, m._backward_hooks, m._backward_pre_hooks))
            for m in network.modules()
        )
    )
