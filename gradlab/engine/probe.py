"""A forward pass of any network with its layers observed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from gradlab.data import Loss
from gradlab.engine.passes import AutogradPass, Pass, Range
from gradlab.engine.time import TimeProbe
from gradlab.network import Network
from gradlab.network.activations import asymptotes

BOUNDED = (nn.Tanh, nn.Sigmoid, nn.Hardtanh, nn.Hardsigmoid, nn.Softsign)  # torch's, applied entry by entry


class Layer(NamedTuple):
    """A module that owns a weight: its name, its weights, and the range of a bounded activation after it."""

    name: str
    module: nn.Module
    weights: list[nn.Parameter]


def find_layers(network: nn.Module) -> list[Layer]:
    """List the layers of a network, in the order of its modules.

    A layer is a module that itself owns a parameter of two or more dimensions; in a network without such a
    module, one that owns any parameter. A module owns what its weight is parametrized by (weight norm).
    """
    owners = [(name, m, _own_parameters(m)) for name, m in network.named_modules() if not _is_part(name)]
    matrices = [(name, m, [p for p in own if p.dim() >= 2]) for name, m, own in owners]
    found = [o for o in matrices if o[2]] or [o for o in owners if o[2]]
    return [Layer(name or type(m).__name__, m, own) for name, m, own in found]


def _own_parameters(module: nn.Module) -> list[nn.Parameter]:
    parts = [part for name, part in module.named_children() if _is_part(name)]
    return [*module.parameters(recurse=False), *(p for part in parts for p in part.parameters())]


def _is_part(name: str) -> bool:
    return "parametrizations" in name.split(".")


def layer_of(layers: list[Layer], params: list[nn.Parameter], number: int) -> int:
    """Return the layer that parameter `number` belongs to: its own, or the last one before it."""
    module_of = {id(p): i for i, layer in enumerate(layers) for p in _own_parameters(layer.module)}
    owners = [module_of.get(id(p)) for p in params[: number + 1]]
    return next((o for o in reversed(owners) if o is not None), 0)


class NetworkProbe:
    """Observes a network made by `build_network`, which traces itself."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.layers = [
            Layer(f"layer {i + 1}", m, [m.weight])  # pyright: ignore[reportArgumentType]
            for i, m in enumerate(network.linears)
        ]
        hidden = [None if network.residual else asymptotes(m) for m in network.activations]
        self.ranges: list[Range] = [*hidden, None]

    def forward(self, x: Tensor, y: Tensor, loss: Loss) -> Pass:
        """Run the network on `x`, compare with `y` and note every layer."""
        trace = self.network.trace(x)
        edges = [(i, _edge(z)) for i, z in enumerate(trace.pre_activations) if z.requires_grad]
        after = [(i, h.detach(), self.ranges[i]) for i, h in enumerate(trace.activations)]
        return AutogradPass(loss(trace.output, y), edges, after)


def _edge(z: Tensor) -> GradientEdge:
    """Return where d loss / d z can be read; the same as `get_gradient_edge` without its checks."""
    return GradientEdge(z.grad_fn, z.output_nr) if z.grad_fn is not None else get_gradient_edge(z)


@dataclass(slots=True)
class Seen:
    """What a layer hands on, as far as it has been followed."""

    layer: int
    value: Tensor
    bounds: Range = None


class HookProbe:
    """Observes any network by forward hooks, which are idle outside `forward`.

    z_l is what the layer's module returns (the first tensor of it); its activation is z_l followed through
    the modules without weights applied straight to it (norm, activation, dropout).
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.layers = find_layers(network)
        self.time = TimeProbe(network)
        self._edges: list[tuple[int, GradientEdge]] | None = None
        self._seen: list[Seen] = []
        self._tails: dict[int, tuple[Seen, Tensor]] = {}
        self._ranges: dict[nn.Module, Range] = {}
        numbers = {id(layer.module): i for i, layer in enumerate(self.layers)}
        self._handles = [
            module.register_forward_hook(
                self._on_layer(numbers[id(module)]) if id(module) in numbers else self._on_follower
            )
            for module in network.modules()
            if id(module) in numbers or not list(module.children())
        ]

    def forward(self, x: Tensor, y: Tensor, loss: Loss) -> Pass:
        """Run the network on `x`, compare with `y` and note every layer that it calls."""
        self._edges = []
        self.time.begin()
        try:
            found = loss(self.network(x), y)
            return AutogradPass(found, self._edges, [(s.layer, s.value, s.bounds) for s in self._seen], self.time)
        finally:
            self.time.end()
            self._edges, self._seen, self._tails = None, [], {}

    def remove(self) -> None:
        """Take the hooks off the network."""
        self.time.remove()
        for handle in self._handles:
            handle.remove()

    def _on_layer(self, number: int) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            z = first_tensor(output)
            if z is not None:
                self._see_layer(number, z)

        return hook

    def _see_layer(self, number: int, z: Tensor) -> None:
        """Note that a layer returned z."""
        if self._edges is None:
            return
        if z.requires_grad:
            self._edges.append((number, get_gradient_edge(z)))
        self._seen.append(self._follow(number, z))

    def _follow(self, number: int, z: Tensor) -> Seen:
        seen = Seen(number, z.detach())
        self._tails[id(z)] = (seen, z)
        return seen

    def _on_follower(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        tail = self._tails.pop(id(inputs[0]), None) if inputs and isinstance(output, Tensor) else None
        if tail is not None:
            seen, _ = tail
            seen.value, seen.bounds = output.detach(), self._range(module) or seen.bounds
            self._tails[id(output)] = (seen, output)

    def _range(self, module: nn.Module) -> Range:
        if module not in self._ranges:
            self._ranges[module] = asymptotes(module) if isinstance(module, BOUNDED) else None
        return self._ranges[module]


def first_tensor(output: Any) -> Tensor | None:
    """Return the first tensor of what a module returned, None if it is not floating point."""
    while isinstance(output, tuple | list) and output:
        output = output[0]
    return output if isinstance(output, Tensor) and output.is_floating_point() else None
