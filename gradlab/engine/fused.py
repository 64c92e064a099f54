"""The fused lane: linear layers, norms and residual blocks, forward and backward by the kernels autograd calls.

An optimisation that can be deleted: `FusedNetwork.offer` is the only way in, and without it every number is the same.
Autograd gives the same gradients, bit for bit, and the tests hold the two together. What it costs beside the
kernels (a graph, a fresh tensor at every node, a copy of every gradient) is half of a small network's step. Here
each layer's h_l and d loss / d z_l is written into one block for all layers, so that one operation measures them
all, and each gradient goes straight to where the optimizer reads it.

Whatever is not listed here (RMS norm, an activation, a norm, a network or a loss of one's own, a module or a
parameter with a hook) goes the general way: autograd.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Hashable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F
from torch.utils.hooks import RemovableHandle

from gradlab.data import Data, Loss
from gradlab.engine.autograd import TracedNetwork
from gradlab.engine.parameters import LINE, FlatParameters
from gradlab.engine.stats import Range, Stack, unrecorded
from gradlab.network import Network
from gradlab.network.build import hooked_everywhere

_aten = torch.ops.aten
_requires_grad, _in_training = attrgetter("requires_grad"), attrgetter("module.training")


class Kernels(NamedTuple):
    """What one activation does, entry by entry.

    Attributes
    ----------
    reads_h : bool
        Whether `backward` wants h; else it wants z.
    forward : callable
        ``(module, z, h)``: write phi(z) to h, which may be z itself if `reads_h`.
    backward : callable
        ``(module, delta, h or z)``: turn d loss / d h into d loss / d z, in place.
    """

    reads_h: bool
    forward: Callable[[Any, Tensor, Tensor], object]
    backward: Callable[[Any, Tensor, Tensor], object]


KERNELS: dict[type[nn.Module], Kernels] = {
    nn.Identity: Kernels(
        True,
        lambda m, z, h: h if h is z else h.copy_(z),
        lambda m, d, h: None,
    ),
    nn.ReLU: Kernels(
        True,
        lambda m, z, h: h.relu_() if h is z else torch.clamp_min(z, 0, out=h),
        lambda m, d, h: _aten.threshold_backward.grad_input(d, h, 0, grad_input=d),
    ),
    nn.Tanh: Kernels(
        True,
        lambda m, z, h: torch.tanh(z, out=h),
        lambda m, d, h: _aten.tanh_backward.grad_input(d, h, grad_input=d),
    ),
    nn.Sigmoid: Kernels(
        True,
        lambda m, z, h: torch.sigmoid(z, out=h),
        lambda m, d, h: _aten.sigmoid_backward.grad_input(d, h, grad_input=d),
    ),
    nn.LeakyReLU: Kernels(
        False,
        lambda m, z, h: _aten.leaky_relu.out(z, m.negative_slope, out=h),
        lambda m, d, z: _aten.leaky_relu_backward.grad_input(d, z, m.negative_slope, False, grad_input=d),
    ),
    nn.GELU: Kernels(
        False,
        lambda m, z, h: _aten.gelu.out(z, approximate=m.approximate, out=h),
        lambda m, d, z: _aten.gelu_backward.grad_input(d, z, approximate=m.approximate, grad_input=d),
    ),
    nn.SELU: Kernels(
        False,
        lambda m, z, h: _aten.elu.out(z, *_SELU, out=h),
        lambda m, d, z: _aten.elu_backward.grad_input(d, *_SELU, False, z, grad_input=d),
    ),
    nn.SiLU: Kernels(
        False,
        lambda m, z, h: _aten.silu.out(z, out=h),
        lambda m, d, z: _aten.silu_backward.grad_input(d, z, grad_input=d),
    ),
}
_SELU = (1.6732632423543772848170429916717, 1.0507009873554804934193349852946, 1.0)  # alpha, scale, as in torch


class BatchNormKernels:
    """What batch norm does in training, and of the last pass what its backward pass needs."""

    def __init__(self, module: nn.Module) -> None:
        self.module: Any = module
        self.weight, self.bias = (p.detach() for p in module.parameters())
        self.gradients: list[Tensor] = []

    def forward(self, z: Tensor) -> Tensor:
        """Return what the norm makes of `z`; its statistics move."""
        m, held = self.module, self.module._buffers
        held["num_batches_tracked"].add_(1)
        running = held["running_mean"], held["running_var"]
        found, *self._kept = torch.native_batch_norm(z, self.weight, self.bias, *running, True, m.momentum, m.eps)
        self._z, self._running = z, running
        return found

    def backward(self, delta: Tensor) -> Tensor:
        """Return dL/dz and keep the `gradients` of weight and bias."""
        kept = (self._z, self.weight, *self._running, *self._kept, True, self.module.eps)
        delta, *self.gradients = _aten.native_batch_norm_backward.default(delta, *kept, _ALL)
        return delta


class LayerNormKernels:
    """What layer norm does, and of the last pass what its backward pass needs."""

    def __init__(self, module: nn.Module) -> None:
        self.module: Any = module
        self.weight, self.bias = (p.detach() for p in module.parameters())
        self.gradients: list[Tensor] = []

    def forward(self, z: Tensor) -> Tensor:
        """Return what the norm makes of `z`."""
        m, self._z = self.module, z
        found, *self._kept = torch.native_layer_norm(z, m.normalized_shape, self.weight, self.bias, m.eps)
        return found

    def backward(self, delta: Tensor) -> Tensor:
        """Return dL/dz and keep the `gradients` of weight and bias."""
        kept = (self._z, self.module.normalized_shape, *self._kept, self.weight, self.bias)
        delta, *self.gradients = _aten.native_layer_norm_backward.default(delta, *kept, _ALL)
        return delta


_ALL = [True, True, True]  # gradients: of z, weight and bias
NORM_KERNELS: dict[type[nn.Module], Callable[[nn.Module], BatchNormKernels | LayerNormKernels] | None] = {
    nn.Identity: None,
    nn.BatchNorm1d: BatchNormKernels,
    nn.LayerNorm: LayerNormKernels,
}


class LossKernels(NamedTuple):
    """What one loss does: a loss of one's own may reach for more of the network than its output.

    Attributes
    ----------
    forward : callable
        ``(output, y) -> (loss, kept)``.
    backward : callable
        ``(one, output, y, kept) -> d loss / d output``.
    """

    forward: Callable[[Tensor, Tensor], tuple[Tensor, tuple[Tensor, ...]]]
    backward: Callable[[Tensor, Tensor, Tensor, tuple[Tensor, ...]], Tensor]


_MEAN, _IGNORED = 1, -100  # torch's number for reduction="mean", and its label that counts for nothing


def _cross_entropy(output: Tensor, y: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    logs = torch.log_softmax(output, 1)
    loss, weight = _aten.nll_loss_forward.default(logs, y, None, _MEAN, _IGNORED)
    return loss, (logs, weight)


def _cross_entropy_backward(one: Tensor, output: Tensor, y: Tensor, kept: tuple[Tensor, ...]) -> Tensor:
    logs, weight = kept
    delta = _aten.nll_loss_backward.default(one, logs, y, None, _MEAN, _IGNORED, weight)
    return _aten._log_softmax_backward_data.default(delta, logs, 1, output.dtype)


LOSS_KERNELS: dict[Loss, LossKernels] = {
    F.cross_entropy: LossKernels(_cross_entropy, _cross_entropy_backward),
    F.mse_loss: LossKernels(
        lambda output, y: (torch.nn.functional.mse_loss(output, y), ()),
        lambda one, output, y, kept: _aten.mse_loss_backward.default(one, output, y, _MEAN),
    ),
}


class Block(NamedTuple):
    """For one size of micro-batch, whatever a pass writes: of all hidden layers together, and layer by layer.

    `reads` is what each linear layer reads, the input first; `phi_reads` what each activation reads.
    """

    after: Tensor
    deltas: Tensor
    z: list[Tensor]
    h: list[Tensor]
    reads: list[Tensor]
    phi_reads: list[Tensor]
    delta: list[Tensor]
    delta_t: list[Tensor]


class Chain:
    """A network of `build_network` and a loss of torch's.

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
        self._handles = -1
        self.depth = len(network.norms)
        self.layers = tuple(range(self.depth)), (self.depth,)
        linear = [p.detach() for p in self._params[: 2 * self.depth + 2]]
        self._weights, self._biases = linear[0::2], linear[1::2]
        self._transposed = [w.t() for w in self._weights]
        self._phi: list[nn.Module] = list(network.activations)
        self._kernels = KERNELS[type(self._phi[-1])]
        self._norms = [make and make(m) for m in network.norms for make in [NORM_KERNELS[type(m)]]]
        self._normed = [norm for norm in self._norms if norm is not None]
        self._blocks: dict[int, Block] = {}
        self._into: Sequence[Tensor] = ()
        self._into_biases = torch.empty(0)
        self.one = torch.ones((), dtype=self._params[0].dtype)

    @staticmethod
    def fits(network: nn.Module, loss: Loss) -> bool:
        """Return whether this lane may do for a network and its loss all that autograd would."""
        if not isinstance(network, Network) or loss not in LOSS_KERNELS or not network.norms:
            return False
        linears, norms, activations = _held(network)[:3]
        kinds = {type(m) for m in activations[network.residual :]} or {nn.Identity}
        owners = [*linears, *(m for m in norms if type(m) is not nn.Identity)]
        return (
            {type(m) for m in linears} == {nn.Linear}
            and all(type(m) in NORM_KERNELS for m in norms)
            and len(kinds) == 1
            and kinds <= set(KERNELS)
            and (not network.residual or type(norms[0]) is type(activations[0]) is nn.Identity)
            and [id(p) for m in owners for p in (m.weight, m.bias)] == list(map(id, network.parameters()))
        )

    def signature(self, loss: Loss) -> Hashable:
        """Return what decides how the kernels compute: they, the modules' settings and the parameters' shapes."""
        settings = tuple((type(m), m.extra_repr()) for m in (*self._phi, *self.network.norms))
        shapes = tuple(p.shape for p in self._params)
        return settings, self.network.residual, self._kernels, LOSS_KERNELS[loss], shapes

    def untouched(self) -> bool:
        """Return whether nobody hung a hook on the network, froze a parameter or swapped a part since."""
        if self._handles != RemovableHandle.next_id:  # a hook was hung on something since
            if _hooked(self.network):
                return False
            self._handles = RemovableHandle.next_id
        if not all(map(_in_training, self._normed)):
            return False
        return _held(self.network) == self._held and all(map(_requires_grad, self._params))

    def forward(self, x: Tensor, y: Tensor, loss: Loss) -> ChainPass:
        """Run the network on `x`, compare with `y` and keep every layer."""
        with unrecorded():
            x = x.flatten(1)
            block = self._block(x)
            block.reads[0] = x
            (self._residual if self.network.residual else self._plain)(block)
            output = torch.addmm(self._biases[-1], block.reads[-1], self._transposed[-1])
            return ChainPass(self, block, output, y, LOSS_KERNELS[loss])

    def _plain(self, block: Block) -> None:
        h, forward = block.reads[0], self._kernels.forward
        for k, (bias, weight, norm, z, after) in enumerate(
            zip(self._biases, self._transposed, self._norms, block.z, block.h, strict=False)
        ):
            torch.addmm(bias, h, weight, out=z)
            if norm is not None:
                z = block.phi_reads[k] = norm.forward(z)
            forward(self._phi[k], z, after)
            h = after

    def _residual(self, block: Block) -> None:
        h = torch.addmm(self._biases[0], block.reads[0], self._transposed[0], out=block.h[0])
        for k in range(1, self.depth):
            norm, read = self._norms[k], block.reads[k]
            z = block.phi_reads[k] = h if norm is None else norm.forward(h)
            self._kernels.forward(self._phi[k], z, read)
            h = torch.addmm(self._biases[k], read, self._transposed[k], out=block.h[k]).add_(h)

    def _block(self, x: Tensor) -> Block:
        found = self._blocks.get(x.shape[0])  # of a tensor, `len` is slow
        if found is None:
            if len(self._blocks) > 1:  # a full micro-batch and the short one at the end of an epoch
                self._blocks.clear()
            shape = (self.depth, len(x), len(self._biases[0]))
            after, deltas = _aligned(x, shape), _aligned(x, shape)
            apart = self.network.residual or self._normed or not self._kernels.reads_h
            h, delta, delta_t = (list(t.unbind()) for t in (after, deltas, deltas.transpose(1, 2)))
            z = list(_aligned(x, shape).unbind()) if apart else h
            reads = [x, *z[1:], h[-1]] if self.network.residual else [x, *h]
            found = self._blocks[len(x)] = Block(after, deltas, z, h, reads, list(z), delta, delta_t)
        return found

    def backward(self, block: Block, delta: Tensor, into: Sequence[Tensor]) -> None:
        """Write dL/dp of every parameter to `into` and dL/dz of the hidden layers to the block."""
        last = 2 * self.depth
        torch.sum(delta, 0, out=into[last + 1])
        torch.mm(delta.t(), block.reads[-1], out=into[last])
        torch.mm(delta, self._weights[-1], out=block.delta[-1])
        (self._residual_backward if self.network.residual else self._plain_backward)(block, into)
        torch.mm(block.delta_t[0], block.reads[0], out=into[0])
        torch.sum(block.deltas, 1, out=self._hidden_biases(into))
        if self._normed:
            torch._foreach_copy_(list(into[last + 2 :]), [g for norm in self._normed for g in norm.gradients])

    def _plain_backward(self, block: Block, into: Sequence[Tensor]) -> None:
        kept, backward = block.h if self._kernels.reads_h else block.phi_reads, self._kernels.backward
        for k in range(self.depth - 1, -1, -1):
            norm, delta = self._norms[k], block.delta[k]
            backward(self._phi[k], delta, kept[k])
            if norm is not None:
                delta.copy_(norm.backward(delta))
            if k:
                torch.mm(block.delta_t[k], block.reads[k], out=into[2 * k])
                torch.mm(delta, self._weights[k], out=block.delta[k - 1])

    def _residual_backward(self, block: Block, into: Sequence[Tensor]) -> None:
        kept, backward = block.reads if self._kernels.reads_h else block.phi_reads, self._kernels.backward
        for k in range(self.depth - 1, 0, -1):
            norm, delta = self._norms[k], block.delta[k]
            torch.mm(block.delta_t[k], block.reads[k], out=into[2 * k])
            branch = torch.mm(delta, self._weights[k])
            backward(self._phi[k], branch, kept[k])
            torch.add(delta, branch if norm is None else norm.backward(branch), out=block.delta[k - 1])

    def _hidden_biases(self, into: Sequence[Tensor]) -> Tensor:
        """Return the gradients of all hidden biases as one tensor: `FlatParameters` lays them at equal distances."""
        if into is not self._into:
            first, size = into[1], into[1].element_size()
            apart = (into[3].data_ptr() - first.data_ptr()) // size  # of one layer alone, it does not matter
            self._into, self._into_biases = into, first.as_strided((self.depth, len(first)), (apart, 1))
        return self._into_biases


class ChainPass:
    """One forward pass of a `Chain`."""

    def __init__(self, chain: Chain, block: Block, output: Tensor, y: Tensor, of: LossKernels) -> None:
        self._chain, self._block, self._output, self._y, self._of = chain, block, output, y, of
        self.loss, self._kept = of.forward(output, y)
        self._hidden, self._last = chain.layers

    @property
    def stacks(self) -> list[Stack]:
        """What the layers hand on."""
        ranges = self._chain.ranges
        return [(self._hidden, self._block.after, ranges[0]), (self._last, self._output[None], ranges[-1])]

    def gradients(
        self, params: Sequence[nn.Parameter], into: Sequence[Tensor]
    ) -> tuple[Sequence[Tensor | None], list[Stack]]:
        """Go back through the loss and the layers, writing dL/dp of each parameter to `into`."""
        with unrecorded():
            delta = self._of.backward(self._chain.one, self._output, self._y, self._kept)
            self._chain.backward(self._block, delta, into)
            return into, [(self._hidden, self._block.deltas, None), (self._last, delta[None], None)]

    def time_norms(self, samples: int, step: int) -> list[Tensor]:
        """Return nothing: no layer of a chain is recurrent."""
        return []


def _aligned(like: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Return a block whose every layer starts at a cache line, as a tensor of its own would.

    Matrix products round differently where the memory lies differently.
    """
    line = LINE // like.element_size()
    stride = -(-shape[1] * shape[2] // line) * line
    return like.new_empty(shape[0], stride)[:, : shape[1] * shape[2]].unflatten(1, shape[1:])


def _held(network: Network) -> list[list[Any]]:
    """Return every part of a network, past `nn.Module.__getattr__`, which is slow."""
    return [list(part._modules.values()) for part in network._modules.values() if part is not None]


def _hooked(network: nn.Module) -> bool:
    """Return whether a hook hangs on a module, on a parameter or on all modules there are."""
    return (
        hooked_everywhere()
        or any(p._backward_hooks for p in network.parameters())
        or any(
            any((m._forward_hooks, m._forward_pre_hooks, m._backward_hooks, m._backward_pre_hooks))
            for m in network.modules()
        )
    )


_VERDICTS: dict[Hashable, bool] = {}  # filled once per process: what agrees does so whatever the weights


class FusedNetwork:
    """Hands a micro-batch to a chain only where that agrees with autograd, bit for bit, on the machine at hand.

    One pass of both ways is compared for every size of micro-batch, before the first of that size is trained on:
    the loss, every h_l, d loss / d z_l and dL/dp. Another processor, another torch or another BLAS may fail it:
    one size on which the two differ, and the rest of the run is autograd's. The trial runs on a twin of the network
    whose parameters lie as its own do; weights and inputs are drawn at the scale that keeps a signal alive, since of
    a gradient that has vanished or is nan nothing can be learnt.

    Parameters
    ----------
    chain : Chain
        The network, run by kernels.
    data : Data
        Gives the inputs' and targets' shapes, and the labels.
    """

    def __init__(self, chain: Chain, data: Data) -> None:
        self._chain, self._data = chain, data
        self._trusted: set[tuple[int, int]] = set()
        self._refused = False

    @classmethod
    def offer(cls, network: nn.Module, ranges: list[Range], data: Data) -> FusedNetwork | None:
        """Return the lane of a network, None if it is not of the kind that this file knows."""
        if not isinstance(network, Network) or not Chain.fits(network, data.loss):
            return None
        return cls(Chain(network, ranges), data)

    def chain(self, samples: int) -> Chain | None:
        """Return what runs a micro-batch of that size, None if it is autograd's."""
        if self._refused or not self._chain.untouched():
            return None
        if not self._trusts(samples):
            self._refused = True
            return None
        return self._chain

    def _trusts(self, samples: int) -> bool:
        """Return whether both ways agree on a micro-batch of that size; found once per process."""
        threads = torch.get_num_threads()  # which decides how sums are split
        if (samples, threads) in self._trusted:
            return True
        rows = torch.arange(samples)
        x, y = self._data.x[rows], self._data.y[rows]
        key = (self._chain.signature(self._data.loss), _layout(x), _layout(y), threads)
        if key not in _VERDICTS:
            _VERDICTS[key] = self._agree(x, y)
        if _VERDICTS[key]:
            self._trusted.add((samples, threads))
        return _VERDICTS[key]

    def _agree(self, x: Tensor, y: Tensor) -> bool:
        generator = Generator().manual_seed(0)
        x = torch.empty_like(x).normal_(generator=generator)
        y = torch.empty_like(y).normal_(generator=generator) if y.is_floating_point() else y
        with torch.enable_grad():
            try:
                wanted = self._run(TracedNetwork, x, y)
                found = self._run(lambda twin: Chain(twin, self._chain.ranges), x, y)
            except Exception:  # what this lane cannot do is left to autograd; what autograd cannot, its step says
                return False
        return all(map(_same_bits, found, wanted))

    def _run(self, way: Callable[[Network], Chain | TracedNetwork], x: Tensor, y: Tensor) -> list[Tensor]:
        """Return all that a pass through a twin gives and moves, joined into few tensors."""
        twin = copy.deepcopy(self._chain.network)
        flat = FlatParameters(list(twin.parameters()))
        flat.weights.normal_(generator=Generator().manual_seed(1))
        for p in flat.params:  # N(0, 1/fan_in): no activation of the table explodes at any depth
            p.detach().mul_(1 / math.sqrt(p.shape[-1]))
        done = way(twin).forward(x, y, self._data.loss)
        after = _joined([stack for _, stack, _ in done.stacks])
        found, deltas = done.gradients(flat.params, flat.scratch())
        given = [torch.zeros_like(p) if g is None else g for g, p in zip(found, flat.params, strict=True)]
        moved = [torch.zeros(1, dtype=torch.float64), *(b.double() for b in twin.buffers())]
        return [done.loss.detach(), after, _joined([d for _, d, _ in deltas]), _joined(given), _joined(moved)]


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
