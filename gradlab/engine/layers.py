"""The layers of any network, and what they return in a forward pass, seen without leaving a trace on it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from types import MethodType, TracebackType
from typing import Any, NamedTuple
from weakref import ref

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.utils.hooks import RemovableHandle

from gradlab.engine.stats import Range
from gradlab.network.activations import asymptotes

BOUNDED = (nn.Tanh, nn.Sigmoid, nn.Hardtanh, nn.Hardsigmoid, nn.Softsign)  # torch's, applied entry by entry
# what autograd calls the activations that are called as functions, entry by entry, and their range
FUNCTIONS: dict[str, Range] = {
    "ReluBackward0": None,
    "TanhBackward0": (-1.0, 1.0),
    "SigmoidBackward0": (0.0, 1.0),
    "GeluBackward0": None,
    "SiluBackward0": None,
    "LeakyReluBackward0": None,
    "EluBackward0": None,
    "MishBackward0": None,
    "HardtanhBackward0": None,
    "NativeDropoutBackward0": None,
    "MulBackward0": None,  # dropout on a processor: times a mask
}


class Layer(NamedTuple):
    """A module that owns a weight.

    Attributes
    ----------
    name : str
        Its name in the network.
    module : Module
        The module.
    weights : list of Parameter
        The parameters of two or more dimensions that it owns (any, in a network that has none of those).
    others : dict of str to Parameter
        What else it owns: biases, by their names in the network.
    """

    name: str
    module: nn.Module
    weights: list[nn.Parameter]
    others: dict[str, nn.Parameter]


def find_layers(network: nn.Module) -> list[Layer]:
    """List the layers of a network, in the order of its modules.

    A layer is a module that itself owns a parameter of two or more dimensions; in a network without such a
    module, one that owns any parameter. A module owns what its weight is parametrized by (weight norm). A wrapper's
    part of the names (``module.`` of DDP, ``_orig_mod.`` of a compiled network) is left out.
    """
    owners = [(plain_name(name), m, _own_parameters(m)) for name, m in network.named_modules() if not _is_part(name)]
    least = 2 if any(p.dim() >= 2 for _, _, own in owners for p in own.values()) else 0
    found = []
    for name, module, own in owners:
        weights = [p for p in own.values() if p.dim() >= least]
        others = {f"{name}.{k}" if name else k: p for k, p in own.items() if p.dim() < least}
        if weights:
            found.append(Layer(name or type(module).__name__, module, weights, others))
    return found


def _own_parameters(module: nn.Module) -> dict[str, nn.Parameter]:
    own = dict(module.named_parameters(recurse=False))
    for name, part in module.named_children():
        own |= {f"{name}.{k}": p for k, p in part.named_parameters()} if _is_part(name) else {}
    return own


def _is_part(name: str) -> bool:
    return "parametrizations" in name.split(".")


def plain_name(name: str) -> str:
    """Return a name in the network without the parts that are a wrapper's."""
    return ".".join(part for part in name.split(".") if part not in ("module", "_orig_mod", "_fsdp_wrapped_module"))


def layer_of(layers: list[Layer], params: list[nn.Parameter], number: int) -> int:
    """Return the layer that parameter `number` belongs to: its own, or the last one before it."""
    module_of = {id(p): i for i, layer in enumerate(layers) for p in _own_parameters(layer.module).values()}
    owners = [module_of.get(id(p)) for p in params[: number + 1]]
    return next((o for o in reversed(owners) if o is not None), 0)


class Seen:
    """What a layer hands on, as far as it has been followed."""

    __slots__ = ("bounds", "layer", "value")

    def __init__(self, layer: int, value: Tensor) -> None:
        self.layer, self.value = layer, value
        self.bounds: Range = None


class LayerObserver:
    """Sees what the layers of a network return, while it is on: in a ``with`` block, or from `start` to `stop`.

    z_l is what the layer's module returns (the first tensor of it); its activation is z_l followed through what is
    applied straight to it without a weight of two dimensions: norm, activation, dropout, as modules or functions.
    One hook sees the modules of the whole process, so that there is none on the network to be copied or saved with
    it; whoever is not the network's is passed by.

    Parameters
    ----------
    network : Module
        The network; may be called in parts.
    layers : list of Layer
        Its layers, by `find_layers`.
    returned : callable
        ``returned(layer, z) -> bool``: told what a layer returned; whether to follow it.
    others : sequence of Module
        Modules that own parameters of fewer dimensions alone, such as norms: `returned` is told of them, with numbers
        after the layers', and they are passed through like all that has no weight.
    guard : callable, optional
        Wraps the hook, such as to keep its errors from whoever calls the network.
    finished : callable, optional
        ``finished(args, kwargs, output)``: the network itself returned, or raised (output None).
    note : callable, optional
        ``note(module, args, kwargs, output)``: told of every module that returned.
    alone : bool, default False
        Whether the network is nobody else's: each module's `forward` is then replaced while it is on, where it can
        be, in half of the time that torch takes to call a hook. Only `returned` is then told of anything.

    Attributes
    ----------
    seen : list of Seen
        What was followed since the last `take`.
    """

    def __init__(
        self,
        network: nn.Module,
        layers: list[Layer],
        returned: Callable[[int, Tensor], bool],
        finished: Callable[[Any, Any, Any], object] | None = None,
        others: Sequence[nn.Module] = (),
        guard: Callable[[Callable[..., None]], Callable[..., None]] = lambda hook: hook,
        note: Callable[[nn.Module, tuple[Any, ...], Any, Any], object] | None = None,
        alone: bool = False,
    ) -> None:
        self._network, self._returned, self._finished, self._note = network, returned, finished, note
        self.seen: list[Seen] = []
        self._tails: dict[int, Seen] = {}
        self._handle: RemovableHandle | None = None
        self._numbers = {layer.module: i for i, layer in enumerate(layers)}
        self._guard = guard
        self._others = {module: len(layers) + i for i, module in enumerate(others)}
        leaves = [m for m in network.modules() if m not in self._numbers and not list(m.children())]
        self._followers: dict[nn.Module, Range] = {
            m: asymptotes(m) if isinstance(m, BOUNDED) else None for m in leaves
        }
        self._replaced: list[tuple[dict[str, Any], Callable[..., Any]]] = []
        if alone and all(map(_replaceable, network.modules())):
            self._replaced = [(m.__dict__, self._seen_through(m)) for m in (*self._numbers, *self._followers)]

    def _seen_through(self, module: nn.Module) -> Callable[..., Any]:
        """Return a module's `forward` that tells what it returned; bound, so that a copy of it is the copy's own."""
        is_compiling, layer = torch.compiler.is_compiling, module in self._numbers
        look: Callable[..., None] = LayerObserver._on_layer if layer else LayerObserver._on_follower
        key = self._numbers[module] if layer else module
        here = ref(self)  # it keeps what is returned here: a circle would keep the network until garbage is collected

        @functools.wraps(type(module).forward)
        def seen_through(own: nn.Module, *args: Any, **kwargs: Any) -> Any:
            output = type(own).forward(own, *args, **kwargs)
            if own is module and not is_compiling():
                look(here(), key, args, output)
            return output

        return MethodType(seen_through, module)

    def start(self) -> None:
        """Begin to look."""
        if self._handle is not None:
            return
        if self._replaced and all(own.get("forward", new) is new for own, new in self._replaced):
            for own, new in self._replaced:
                own["forward"] = new
            return
        look = self._guard(self._hook)

        def hook(module: nn.Module, args: Any, kwargs: Any, output: Any = None) -> None:
            if not torch.compiler.is_compiling():  # nothing of this becomes part of a compiled network
                look(module, args, kwargs, output)

        self._handle = torch_module.register_module_forward_hook(
            hook, with_kwargs=True, always_call=self._finished is not None
        )

    def stop(self) -> None:
        """Take the hook off and let go of everything."""
        for own, new in self._replaced:
            if own.get("forward") is new:
                del own["forward"]
        if self._handle is not None:
            self._handle.remove()
            for flags in (
                torch_module._global_forward_hooks_with_kwargs,
                torch_module._global_forward_hooks_always_called,
            ):
                flags.pop(self._handle.id, None)  # torch leaves the first behind, and then warns compiled networks
        self._handle = None
        self.take()

    def __enter__(self) -> None:
        self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def take(self) -> list[Seen]:
        """Return what was seen and let go of it."""
        seen, self.seen, self._tails = self.seen, [], {}
        return seen

    # ------------------------------------------------------------------ the hook
    def _hook(self, module: nn.Module, args: tuple[Any, ...], kwargs: Any, output: Any = None) -> None:
        # where a forward pass raised, torch calls without keywords and with None for the output
        number = self._numbers.get(module)
        if self._note is not None and output is not None:
            self._note(module, args, kwargs, output)
        if number is not None:
            self._on_layer(number, args, output)
        elif module in self._followers:
            self._on_follower(module, args, output)
        if module in self._others and isinstance(output, Tensor):
            self._returned(self._others[module], output)
        if module is self._network and self._finished is not None:
            self._finished(args, kwargs, output)

    def _on_layer(self, number: int, args: tuple[Any, ...], output: Any) -> None:
        z = output if isinstance(output, Tensor) else first_tensor(output)
        if z is None or not z.is_floating_point():
            return
        if args and id(args[0]) not in self._tails and self.seen:
            self._follow_function(args[0])
        if self._returned(number, z):
            self._tails[id(z)] = seen = Seen(number, z)
            self.seen.append(seen)

    def _on_follower(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        tails = self._tails
        seen = tails.pop(id(args[0]), None) if tails and args and isinstance(output, Tensor) else None
        if seen is not None:
            seen.value, seen.bounds = output, self._followers[module] or seen.bounds
            tails[id(output)] = seen

    def _follow_function(self, x: Any) -> None:
        """Follow the last layer's output through functions to x, the input of this one."""
        seen, bounds = self.seen[-1], None
        node, start = getattr(x, "grad_fn", None), seen.value.grad_fn
        while node is not None and start is not None and node is not start:
            name = type(node).__name__
            if name not in FUNCTIONS:
                return
            parents = [parent for parent, _ in node.next_functions if parent is not None]
            bounds, node = bounds or FUNCTIONS[name], parents[0] if len(parents) == 1 else None
        if node is not None and start is not None:
            self._tails.pop(id(seen.value), None)
            seen.value, seen.bounds = x, bounds or seen.bounds


def _replaceable(module: nn.Module) -> bool:
    """Return whether a module's own `forward` is what its calls end in."""
    compiled = hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None
    return not (compiled or isinstance(module, torch.jit.ScriptModule) or "forward" in module.__dict__)


def first_tensor(output: Any) -> Tensor | None:
    """Return the first tensor of what a module returned, None if there is none."""
    while isinstance(output, dict) and output:
        output = next(iter(output.values()))
    while isinstance(output, tuple | list) and output:
        output = output[0]
    return output if isinstance(output, Tensor) else None


def in_backward() -> bool:
    """Whether this code runs inside a backward pass (in a hook, or in a layer that is checkpointed)."""
    return torch._C._current_graph_task_id() != -1
