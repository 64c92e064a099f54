"""The fast lane: a plain chain of linear layers, run forward and backward by the kernels that autograd calls.

Autograd gives the same gradients, bit for bit, and the tests hold the two together. What it costs beside the
kernels (a graph, a fresh tensor at every node, a copy of every gradient) is half of a small network's step. Here
each layer's h_l and d loss / d z_l is written into one block for all layers, so that one operation measures them
all, and each gradient goes straight to where the optimizer reads it.

Whatever is not listed in `_KERNELS` (a norm, a residual block, an activation or a network of one's own, a loss of
one's own, a module or a parameter with a hook) goes the general way: `NetworkProbe` and autograd.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gradlab.data import Loss
from gradlab.network import Network
from gradlab.trainer.flat import LINE
from gradlab.trainer.probe import Found, Pass, Range, Stack

_aten = torch.ops.aten


class Kernels(NamedTuple):
    """What one activation does, entry by entry.

    Attributes
    ----------
    reads_h : bool
        Whether `backward` wants h; else it wants z.
    forward : callable
        ``(module, z, h)``: write phi(z) to h, which is z itself if `reads_h`.
    backward : callable
        ``(module, delta, h or z)``: turn d loss / d h into d loss / d z, in place.
    """

    reads_h: bool
    forward: Callable[[Any, Tensor, Tensor], object]
    backward: Callable[[Any, Tensor, Tensor], object]


_KERNELS: dict[type[nn.Module], Kernels] = {
    nn.Identity: Kernels(
        True,
        lambda m, z, h: None,
        lambda m, d, h: None,
    ),
    nn.ReLU: Kernels(
        True,
        lambda m, z, h: h.relu_(),
        lambda m, d, h: _aten.threshold_backward(d, h, 0, grad_input=d),
    ),
    nn.Tanh: Kernels(
        True,
        lambda m, z, h: h.tanh_(),
        lambda m, d, h: _aten.tanh_backward(d, h, grad_input=d),
    ),
    nn.Sigmoid: Kernels(
        True,
        lambda m, z, h: h.sigmoid_(),
        lambda m, d, h: _aten.sigmoid_backward(d, h, grad_input=d),
    ),
    nn.LeakyReLU: Kernels(
        False,
        lambda m, z, h: _aten.leaky_relu(z, m.negative_slope, out=h),
        lambda m, d, z: _aten.leaky_relu_backward(d, z, m.negative_slope, False, grad_input=d),
    ),
    nn.GELU: Kernels(
        False,
        lambda m, z, h: _aten.gelu(z, approximate=m.approximate, out=h),
        lambda m, d, z: _aten.gelu_backward(d, z, approximate=m.approximate, grad_input=d),
    ),
    nn.SELU: Kernels(
        False,
        lambda m, z, h: _aten.elu(z, *_SELU, out=h),
        lambda m, d, z: _aten.elu_backward(d, *_SELU, False, z, grad_input=d),
    ),
    nn.SiLU: Kernels(
        False,
        lambda m, z, h: _aten.silu(z, out=h),
        lambda m, d, z: _aten.silu_backward(d, z, grad_input=d),
    ),
}
_SELU = (1.6732632423543772848170429916717, 1.0507009873554804934193349852946, 1.0)  # alpha, scale, as in torch
_LOSSES = (F.cross_entropy, F.mse_loss)  # another one may reach for more of the network than its output


class Block(NamedTuple):
    """Buffers for one size of micro-batch: z, h and delta of all hidden layers, and the same layer by layer."""

    after: Tensor
    delta: Tensor
    z: list[Tensor]
    h: list[Tensor]
    d: list[Tensor]


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
        self._network, self._ranges = network, ranges
        self._parts = _parts(network)
        self._params = list(network.parameters())
        self._hooks = [
            hooks
            for m in network.modules()
            for hooks in (m._forward_hooks, m._forward_pre_hooks, m._backward_hooks, m._backward_pre_hooks)
        ]
        self._weights = [p.detach() for p in self._params[0::2]]
        self._biases = [p.detach() for p in self._params[1::2]]
        self._transposed = [w.t() for w in self._weights]
        self._phi: list[nn.Module] = list(network.activations)
        self._kernels = _KERNELS[type(self._phi[0])]
        self._blocks: dict[int, Block] = {}

    @staticmethod
    def fits(network: nn.Module, loss: Loss) -> bool:
        """Return whether this lane does for a network and its loss all that autograd would."""
        if not isinstance(network, Network) or loss not in _LOSSES or network.residual or not network.norms:
            return False
        linears, norms, activations = _parts(network)
        params = [p for linear in linears for p in (linear.weight, linear.bias)]
        return (
            {type(m) for m in linears} == {nn.Linear}
            and {type(m) for m in norms} == {nn.Identity}
            and len({type(m) for m in activations}) == 1
            and type(activations[0]) in _KERNELS
            and list(map(id, params)) == list(map(id, network.parameters()))
        )

    def untouched(self) -> bool:
        """Return whether nobody hung a hook on the network, froze a parameter or swapped a part since."""
        if any(self._hooks) or torch.nn.modules.module._has_any_global_hook() or _parts(self._network) != self._parts:
            return False
        return all(p.requires_grad and not p._backward_hooks for p in self._params)

    def forward(self, x: Tensor) -> ChainPass:
        """Run the network on `x` and keep every layer."""
        x = x.flatten(1)
        block, h = self._block(x), x
        for bias, weight, phi, z, after in zip(
            self._biases, self._transposed, self._phi, block.z, block.h, strict=False
        ):
            torch.addmm(bias, h, weight, out=z)
            self._kernels.forward(phi, z, after)
            h = after
        output = torch.addmm(self._biases[-1], h, self._transposed[-1])
        return ChainPass(self, x, block, output.requires_grad_())

    def _block(self, x: Tensor) -> Block:
        found = self._blocks.get(len(x))
        if found is None:
            if len(self._blocks) > 1:  # a full micro-batch and the short one at the end of an epoch
                self._blocks.clear()
            shape = (len(self._phi), len(x), len(self._biases[0]))
            after, delta = _aligned(x, shape), _aligned(x, shape)
            before = after if self._kernels.reads_h else _aligned(x, shape)
            found = Block(after, delta, *(list(t.unbind()) for t in (before, after, delta)))
            self._blocks[len(x)] = found
        return found

    def backward(self, done: ChainPass, delta: Tensor, into: list[Tensor]) -> None:
        """Write dL/dp of every parameter to `into` and dL/dz of the hidden layers to the pass's block."""
        block = done.block
        kept = block.h if self._kernels.reads_h else block.z
        for k in range(len(self._phi), -1, -1):
            torch.mm(delta.t(), block.h[k - 1] if k else done.x, out=into[2 * k])
            torch.sum(delta, 0, out=into[2 * k + 1])
            if k:
                delta = torch.mm(delta, self._weights[k], out=block.d[k - 1])
                self._kernels.backward(self._phi[k - 1], delta, kept[k - 1])


class ChainPass(Pass):
    """One forward pass of a `Chain`."""

    def __init__(self, chain: Chain, x: Tensor, block: Block, output: Tensor) -> None:
        self.chain, self.x, self.block, self.output = chain, x, block, output
        self._hidden = tuple(range(len(block.h)))
        self._last = (len(block.h),)

    @property
    def stacks(self) -> list[Stack]:
        """What the layers hand on."""
        ranges = self.chain._ranges
        return [(self._hidden, self.block.after, ranges[0]), (self._last, self.output.detach()[None], ranges[-1])]

    def gradients(self, loss: Tensor, params: list[nn.Parameter], into: list[Tensor]) -> Found:
        """Let autograd go through the loss, and the chain through the layers."""
        (delta,) = torch.autograd.grad(loss, self.output)
        self.chain.backward(self, delta, into)
        return into, [(self._hidden, self.block.delta), (self._last, delta[None])]


def _aligned(like: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Return a block whose every layer starts at a cache line, as a tensor of its own would.

    Matrix products round differently where the memory lies differently.
    """
    line = LINE // like.element_size()
    stride = -(-shape[1] * shape[2] // line) * line
    return like.new_empty(shape[0], stride)[:, : shape[1] * shape[2]].unflatten(1, shape[1:])


def _parts(network: Network) -> list[list[Any]]:
    return [list(part._modules.values()) for part in (network.linears, network.norms, network.activations)]
