"""The parts of a step mapped over networks that share a shape: every tensor has one row per network.

Forward pass, loss, clip and carry-over are the functions that one network is trained with, mapped by
`torch.func.vmap`; what cannot be mapped (a rule that branches on a number, a module that draws) raises.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import Any

import torch
from torch import Generator, Tensor, nn, optim
from torch.func import functional_call, vmap
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from gradlab.config import Config
from gradlab.data import Data, Loss
from gradlab.engine.check import check_inputs, check_micro_batches, prepare_data
from gradlab.engine.layers import find_layers, first_tensor
from gradlab.engine.sampler import Epoch
from gradlab.network import ACTIVATIONS, NORMS, Network, build_network
from gradlab.network.inits import initialise
from gradlab.rules.accumulation import CARRY_OVERS, State
from gradlab.rules.clipping import CLIPS
from gradlab.rules.optimizers import bare_step, make_optimizer

Tensors = list[Tensor]
Kept = list[tuple[Tensor, State]]  # numbers of networks, and what a carry-over keeps of them


class StackedBatches:
    """What stacked networks are fed: data sets and sample orders, made once where networks share them.

    The configs, one a network, are alike in the number of samples and the shape of a window; own data and loss are
    the same for all.
    """

    def __init__(self, configs: Sequence[Config], data: Any, loss: Loss | None) -> None:
        keys = [() if data is not None else (c.dataset, c.n_samples, c.noise, c.data_seed) for c in configs]
        sets, seeds = list(dict.fromkeys(keys)), list(dict.fromkeys(c.batch_seed for c in configs))
        made = [prepare_data(configs[keys.index(key)], data, loss) for key in sets]
        for one in made:
            check_inputs(one)
            check_micro_batches(configs[0], one.n)
        if len({(one.x.shape, one.y.shape, one.y.dtype, one.outputs) for one in made}) > 1:
            raise ValueError("data sets of several shapes; expected one shape in a stack")
        self.first, self.n = made[0], made[0].n
        self._x, self._y = torch.stack([one.x for one in made]), torch.stack([one.y for one in made])
        self._set_of = torch.tensor([sets.index(key) for key in keys])
        self._order_of = torch.tensor([seeds.index(c.batch_seed) for c in configs])
        self._epochs = [Epoch.first(self.n, seed) for seed in seeds]
        self._size, self._window = configs[0].batch_size, configs[0].batch_size * configs[0].micro_batches
        self._orders, self._position = self._epoch(), 0

    def _epoch(self) -> Tensor:
        """Return every order's next pass over the data, ``(orders, n)``."""
        orders = torch.stack([epoch.order for epoch in self._epochs])
        self._epochs = [epoch.next() for epoch in self._epochs]
        return orders

    def window(self) -> list[Tensor]:
        """Return the next window of each order, split into micro-batches ``(orders, n_m)``, and move on."""
        if self._position >= self.n:
            self._orders, self._position = self._epoch(), 0
        taken = self._orders[:, self._position : self._position + self._window]
        self._position += taken.shape[1]
        return list(taken.split(self._size, dim=1))

    def gather(self, samples: Tensor, networks: Tensor) -> tuple[Tensor, Tensor]:
        """Return a micro-batch ``(orders, n_m)`` of some networks: inputs and targets ``(networks, n_m, ...)``."""
        index = samples[self._order_of[networks]] + self._set_of[networks][:, None] * self.n
        return self._x.flatten(0, 1)[index], self._y.flatten(0, 1)[index]

    def slices(self, size: int, networks: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield all the data of some networks, `size` samples at a time."""
        chosen = self._set_of[networks]
        for start in range(0, self.n, size):
            yield self._x[:, start : start + size][chosen], self._y[:, start : start + size][chosen]


class StackedNetwork:
    """The weights of networks of one shape, a row each, and their forward pass.

    `weights` is ``(networks, weights)``: a row is all of a network's parameters, flattened and joined.
    """

    def __init__(self, configs: Sequence[Config], batches: StackedBatches) -> None:
        self._loss = batches.first.loss
        self._template, self.weights, self._buffers = draw_weights(configs, batches.first)
        held = [*self._template.named_parameters(), *self._template.named_buffers()]
        self._names = [name for name, _ in held]
        self._shapes = [p.shape for p in self._template.parameters()]
        layers = [layer.module for layer in find_layers(self._template)]
        output = {id(p) for p in layers[-1].parameters()}
        self.hidden = [i for i, p in enumerate(self._template.parameters()) if id(p) not in output]
        self._seen: tuple[list[Tensor], list[Tensor]] = ([], [])
        for number, layer in enumerate((layers[0], layers[max(configs[0].depth - 1, 0)])):
            layer.register_forward_hook(partial(self._see, number))

    def views(self, flat: Tensor) -> list[Tensor]:
        """Return views ``(networks, *shape)`` of rows ``(networks, weights)``, one per parameter."""
        pieces = flat.split([shape.numel() for shape in self._shapes], dim=1)
        return [piece.view(len(flat), *shape) for piece, shape in zip(pieces, self._shapes, strict=True)]

    def parameters(self) -> list[Tensor]:
        """Return the parameters, each ``(networks, *shape)``, as leaves of a new graph."""
        return [view.detach().requires_grad_() for view in self.views(self.weights)]

    def forward(self, params: list[Tensor], x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensors, Tensors]:
        """Run all networks on their own samples, in training mode: batch norm updates its statistics.

        Return losses ``(networks,)``, outputs ``(networks, samples, ...)``, and z of the first and of the last hidden
        layer, one tensor for each time that it was called.
        """
        output, (first, last) = vmap(self._run)(params, self._buffers, x)
        return self._losses(output, y), output, first, last

    def _run(self, params: list[Tensor], buffers: list[Tensor], x: Tensor) -> tuple[Tensor, Any]:
        """Run one network: the template with other tensors in its place."""
        self._seen = ([], [])
        tensors = dict(zip(self._names, [*params, *buffers], strict=True))
        with sdpa_kernel(SDPBackend.MATH):  # of the others, torch maps one network at a time
            return functional_call(self._template, tensors, x, tie_weights=False), self._seen

    def _see(self, number: int, module: nn.Module, inputs: Any, output: Any) -> None:
        z = first_tensor(output)
        assert z is not None
        self._seen[number].append(z)

    def _losses(self, output: Tensor, y: Tensor) -> Tensor:
        if self._loss is F.cross_entropy and output.dim() == 3:  # which is slow when mapped
            return F.cross_entropy(output.flatten(0, 1), y.flatten(), reduction="none").view(y.shape).mean(1)
        return vmap(self._loss)(output, y)

    @torch.no_grad()
    def evaluate(self, chosen: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean losses and the outputs of the networks marked in `chosen`, in evaluation mode."""
        self._template.eval()
        buffers = [buffer[chosen] for buffer in self._buffers]
        output = vmap(self._run)(self.views(self.weights[chosen]), buffers, x)[0]
        self._template.train()
        return self._losses(output, y), output

    def copy(self) -> list[Tensor]:
        """Return a copy of the weights and the buffers."""
        return [held.clone() for held in (self.weights, *self._buffers)]

    def restore(self, copied: list[Tensor], chosen: Tensor) -> None:
        """Go back to what a copy holds in some networks."""
        for held, earlier in zip((self.weights, *self._buffers), copied, strict=True):
            held[chosen] = earlier[chosen]

    def keep(self, chosen: Tensor) -> None:
        """Drop the other networks."""
        self.weights = self.weights[chosen]
        self._buffers = [buffer[chosen] for buffer in self._buffers]


def draw_weights(configs: Sequence[Config], data: Data) -> tuple[nn.Module, Tensor, list[Tensor]]:
    """Return a network to map, and the weights and buffers of all, bit for bit those of `build_network`."""
    config, shape, dtype = configs[0], (data.x.shape[1:], data.output_shape), configs[0].torch_dtype
    first = build_network(config, *shape, Generator().manual_seed(config.weight_seed), torch.float64)
    quick = isinstance(first, Network) and ACTIVATIONS[config.activation].shipped and NORMS[config.norm].shipped
    weights, buffers = list[Tensor](), list[list[Tensor]]()
    for one in configs:
        generator = Generator().manual_seed(one.weight_seed)
        network = first if quick else build_network(one, *shape, generator, torch.float64)
        if quick:  # only matrices are drawn
            initialise(network, one.init, one.gain, one.bias_std, generator)
        weights.append(torch.cat([p.detach().flatten() for p in network.parameters()]).to(dtype))
        buffers.append([b.clone() for b in network.buffers()])
    stacked = [torch.stack(own) for own in zip(*buffers, strict=True)]
    return first, torch.stack(weights), [b.to(dtype) if b.is_floating_point() else b for b in stacked]


def map_clip(name: str, network: StackedNetwork, gradient: Tensor, threshold: Tensor) -> None:
    """Clip the rows of `gradient` ``(networks, weights)`` in place, each network by its own threshold."""
    entry = CLIPS[name]
    if entry.options.get("as_one") and entry.shipped:
        weights, grads = [network.weights], [gradient]
    else:
        weights, grads = network.views(network.weights), network.views(gradient)
        if entry.options.get("exempt_output"):
            weights, grads = ([own[i] for i in network.hidden] for own in (weights, grads))

    def clip(weights: list[Tensor], grads: list[Tensor], threshold: Tensor) -> list[Tensor]:
        params = [weight.detach() for weight in weights]
        for param, grad in zip(params, grads, strict=True):
            param.grad = grad
        entry.function(params, threshold)
        return [param.grad for param in params if param.grad is not None]

    for grad, clipped in zip(grads, vmap(clip)(weights, grads, threshold), strict=True):
        if clipped.data_ptr() != grad.data_ptr():  # a rule may have put another tensor into .grad
            grad.copy_(clipped)


class StackedCarryOver:
    """A carry-over mapped over networks, with what it keeps from step to step: one state for those that go together.

    They part where some skip a step: the rule's answer may depend on the steps it has seen.
    """

    def __init__(self, name: str, networks: int) -> None:
        self._rule = None if name == "none" else CARRY_OVERS[name].function
        self._kept: Kept = [] if self._rule is None else [(torch.arange(networks), {})]

    def apply(self, gradients: list[Tensor], allowed: Tensor) -> Tensor:
        """Change the gradients in place; return which of the allowed networks shall update."""
        rule, answers = self._rule, list[bool]()
        if rule is None:
            return allowed

        def carry(own: list[Tensor], state: State) -> tuple[list[Tensor], State]:
            answers.append(bool(rule(own, state)))
            return own, state

        ready, moved = torch.zeros_like(allowed), _chosen(self._kept, allowed)
        self._kept = _chosen(self._kept, ~allowed)
        for rows, state in moved:
            changed, state = vmap(carry)([gradient[rows] for gradient in gradients], state)
            for gradient, own in zip(gradients, changed, strict=True):
                gradient[rows] = own
            ready[rows] = answers.pop()
            self._kept.append((rows, state))
        return ready

    def copy(self) -> Kept:
        """Return what is kept: a step puts something else in its place, and changes no tensor of it."""
        return self._kept

    def restore(self, copied: Kept, chosen: Tensor) -> None:
        """Go back to what a copy holds in some networks."""
        self._kept = _chosen(self._kept, ~chosen) + _chosen(copied, chosen)

    def keep(self, chosen: Tensor) -> None:
        """Drop the other networks."""
        place = chosen.cumsum(0) - 1
        self._kept = [(place[rows], state) for rows, state in _chosen(self._kept, chosen)]


def _chosen(kept: Kept, chosen: Tensor) -> Kept:
    """Return a copy of what is kept of some networks."""
    marked = [(rows, chosen[rows], state) for rows, state in kept if bool(chosen[rows].any())]
    return [(rows[m], {name: [t[m] for t in own] for name, own in state.items()}) for rows, m, state in marked]


# entry by entry, so that one tensor may hold several networks
_ENTRYWISE = (optim.SGD, optim.Adam, optim.AdamW, optim.RMSprop)


class StackedOptimizer:
    """The optimizers that the configs ask for, on rows of one matrix ``(networks, weights)``, updated in place.

    One of torch's that works entry by entry takes all networks of one lr, momentum and weight decay, which stand side
    by side, as a single tensor; where networks may skip steps, each is a tensor of its own, and any other optimizer
    is made per network.
    """

    def __init__(self, configs: Sequence[Config], network: StackedNetwork) -> None:
        self._network, weights = network, network.weights
        self._blocks: list[tuple[slice, Tensor, optim.Optimizer]] = []
        self._warmup, self._lr = configs[0].warmup, dict[optim.Optimizer, float]()
        self._skips, entry = configs[0].nonfinite == "skip", partial(make_optimizer, configs[0].optimizer)
        for knobs, own in groupby(range(len(configs)), key=lambda i: optimizer_knobs(configs[i])):
            members = list(own)
            whole = weights[members[0] : members[-1] + 1].detach().requires_grad_()
            made = entry([whole], *knobs)
            if type(made) in _ENTRYWISE and not self._skips:
                self._blocks.append((slice(members[0], members[-1] + 1), whole, made))
                continue
            rows = [weights[i].detach().requires_grad_() for i in members]
            common = entry(rows, *knobs) if type(made) in _ENTRYWISE else None
            self._blocks += [
                (slice(i, i + 1), row, common or entry([row], *knobs)) for i, row in zip(members, rows, strict=True)
            ]

    @torch.no_grad()
    def step(self, gradient: Tensor, ready: Tensor, number: int) -> None:
        """Update the networks marked in `ready` by their rows of `gradient`, in the step of that number."""
        for rows, param, _ in self._blocks:
            param.grad = gradient[rows].view(param.shape) if bool(ready[rows].any()) else None
        for optimizer in dict.fromkeys(optimizer for _, _, optimizer in self._blocks):
            if self._warmup:
                lr = self._lr.setdefault(optimizer, optimizer.param_groups[0]["lr"])
                optimizer.param_groups[0]["lr"] = lr * min(1.0, (number + 1) / self._warmup)
            bare_step(optimizer)()

    def copy(self) -> list[dict[str, Any]]:
        """Return copies of what the optimizers remember, one per tensor; nothing where no step is skipped."""
        states = [optimizer.state[param] for _, param, optimizer in self._blocks if self._skips]
        return [{k: v.clone() if isinstance(v, Tensor) else v for k, v in state.items()} for state in states]

    def restore(self, copied: list[dict[str, Any]], chosen: Tensor) -> None:
        """Go back to what a copy holds in some networks, each of which is a tensor of its own."""
        for (rows, param, optimizer), state in zip(self._blocks, copied, strict=False):
            if bool(chosen[rows].all()):
                optimizer.state[param] = state

    def keep(self, chosen: Tensor) -> None:
        """Drop the other networks, which the network has done before."""
        blocks, start, weights = [], 0, self._network.weights
        for rows, param, optimizer in self._blocks:
            mask, shape = chosen[rows], param.shape
            stop = start + int(mask.sum())
            param.grad = None  # of one that is dropped, the optimizer then takes no notice
            if stop > start:
                param.data = weights[start:stop].view(-1, *shape[1:]) if param.dim() > 1 else weights[start]
                state = optimizer.state[param]
                for name, value in state.items():
                    if param.dim() > 1 and isinstance(value, Tensor) and value.shape == shape:
                        state[name] = value[mask]
                blocks.append((slice(start, stop), param, optimizer))
            start = stop
        self._blocks = blocks


def optimizer_knobs(config: Config) -> tuple[float, float, float]:
    """Return what an optimizer's entry is given beside the weights."""
    return config.lr, config.momentum, config.weight_decay


def finite_rows(rows: Tensor) -> Tensor:
    """Return which rows ``(networks, ...)`` hold only finite numbers, as a boolean tensor ``(networks,)``."""
    return torch.isfinite(rows.detach().flatten(1).abs().amax(1))  # one number a row: isfinite is slow
