"""`Blueprint`: the network that stacked networks share the shape of; its forward pass runs all of them at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from gradlab.config import Config
from gradlab.network import ACTIVATIONS, NORMS, build_network
from gradlab.network import activations as single
from gradlab.network.inits import initialise
from gradlab.sweep.rows import Rows

Affine = tuple[Tensor, ...]
StackedNorm = Callable[[nn.Module, Tensor, Affine, Tensor | None, Tensor | None, bool], Tensor]


class StackedTrace(NamedTuple):
    """One forward pass of all networks: outputs ``(networks, batch, outputs)`` and every layer's z_l."""

    output: Tensor
    pre_activations: list[Tensor]


class Blueprint:
    """What networks of one shape have in common.

    Parameters
    ----------
    config : Config
        Of any of the networks.
    inputs, outputs : int
        Columns of X, columns of the output.

    Attributes
    ----------
    shapes : list of torch.Size
        The parameters of one network, in the order in which `Trainer` meets them; a row of weights is all of
        them, flattened and joined.
    """

    def __init__(self, config: Config, inputs: int, outputs: int) -> None:
        self.depth, self.residual, self.dtype = config.depth, config.residual, config.torch_dtype
        generator = Generator().manual_seed(config.weight_seed)
        self._template = build_network(config, inputs, outputs, generator, torch.float64)
        self.shapes = [p.shape for p in self._template.parameters()]
        self._affine = [list(norm.parameters()) for norm in self._template.norms]
        self.output_shapes = 2  # how many of `shapes` belong to the readout, which clipping may exempt
        self.norm = STACKED_NORMS[NORMS[config.norm].function]

    def draw(self, configs: Sequence[Config]) -> Tensor:
        """Return first weights ``(networks, weights)``, bit for bit those of `build_network`."""
        rows = []
        with torch.no_grad():
            for config in configs:
                generator = Generator().manual_seed(config.weight_seed)
                initialise(self._template, config.init, config.gain, config.bias_std, generator)
                rows.append(torch.cat([p.flatten() for p in self._template.parameters()]))
        return torch.stack(rows).to(self.dtype)

    def statistics(self, networks: int) -> Rows:
        """Return the running statistics of batch norm at init, one entry per layer; empty for other norms."""
        found: Rows = {}
        for name in ("running_mean", "running_var"):
            values = [getattr(norm, name) for norm in self._template.norms if getattr(norm, name, None) is not None]
            if values:
                found[name] = torch.stack(values).to(self.dtype).expand(networks, -1, -1).clone()
        return found

    def views(self, flat: Tensor) -> list[Tensor]:
        """Return views ``(networks, *shape)`` of rows ``(networks, weights)``, one per parameter."""
        pieces = flat.split([shape.numel() for shape in self.shapes], dim=1)
        return [piece.view(len(flat), *shape) for piece, shape in zip(pieces, self.shapes, strict=True)]

    def output_span(self) -> slice:
        """Return where in the list of parameters the readout stands."""
        return slice(2 * self.depth, 2 * self.depth + self.output_shapes)

    def trace(self, params: list[Tensor], x: Tensor, statistics: Rows, training: bool) -> StackedTrace:
        """Run all networks forward on their own inputs ``(networks, batch, inputs)``.

        In training mode batch norm updates `statistics` in place.
        """
        before: list[Tensor] = []
        affine = self._affine_views(params)
        h = x
        for layer in range(self.depth):
            weight, bias = params[2 * layer], params[2 * layer + 1]
            first = layer == 0
            if self.residual:
                branch = h if first else self._phi(layer, self._normalise(layer, h, affine, statistics, training))
                z = torch.baddbmm(bias[:, None], branch, weight.mT)
                h = z if first else h + z
            else:
                z = torch.baddbmm(bias[:, None], h, weight.mT)
                h = self._phi(layer, self._normalise(layer, z, affine, statistics, training))
            before.append(z)
        span = self.output_span()
        weight, bias = params[span]
        z = torch.baddbmm(bias[:, None], h, weight.mT)
        return StackedTrace(z, [*before, z])

    def _phi(self, layer: int, z: Tensor) -> Tensor:
        return self._template.activations[layer](z)

    def _affine_views(self, params: list[Tensor]) -> list[Affine]:
        rest = iter(params[self.output_span().stop :])
        return [tuple(next(rest) for _ in own) for own in self._affine]

    def _normalise(self, layer: int, z: Tensor, affine: list[Affine], statistics: Rows, training: bool) -> Tensor:
        module = self._template.norms[layer]
        if isinstance(module, nn.Identity):
            return z
        number = layer - self.residual  # a residual network's first layer has no norm
        mean, variance = (
            statistics[name][:, number] if name in statistics else None for name in ("running_mean", "running_var")
        )
        return self.norm(module, z, affine[layer], mean, variance, training)


def _identity(
    module: nn.Module, z: Tensor, affine: Affine, mean: Tensor | None, variance: Tensor | None, training: bool
) -> Tensor:
    return z


def _batch(
    module: nn.Module, z: Tensor, affine: Affine, mean: Tensor | None, variance: Tensor | None, training: bool
) -> Tensor:
    """Each unit of each network over its own micro-batch (Ioffe & Szegedy 2015)."""
    assert isinstance(module, nn.BatchNorm1d)
    assert mean is not None
    assert variance is not None
    networks, samples, width = z.shape
    side_by_side = z.transpose(0, 1).reshape(samples, networks * width)  # each unit of each network a channel
    running_mean, running_variance = mean.flatten().clone(), variance.flatten().clone()
    weight, bias = (t.reshape(-1) for t in affine)
    share = module.momentum or 0.0
    found = F.batch_norm(side_by_side, running_mean, running_variance, weight, bias, training, share, module.eps)
    if training:
        mean.copy_(running_mean.view(networks, width))
        variance.copy_(running_variance.view(networks, width))
    return found.view(samples, networks, width).transpose(0, 1)


def _layer(
    module: nn.Module, z: Tensor, affine: Affine, mean: Tensor | None, variance: Tensor | None, training: bool
) -> Tensor:
    assert isinstance(module, nn.LayerNorm)
    return F.layer_norm(z, z.shape[-1:], eps=module.eps) * affine[0][:, None] + affine[1][:, None]


def _rms(
    module: nn.Module, z: Tensor, affine: Affine, mean: Tensor | None, variance: Tensor | None, training: bool
) -> Tensor:
    assert isinstance(module, nn.RMSNorm)
    return F.rms_norm(z, list(z.shape[-1:]), eps=module.eps) * affine[0][:, None]


STACKED_NORMS: dict[Callable[..., nn.Module], StackedNorm] = {
    single.none: _identity,
    single.batch: _batch,
    single.layer: _layer,
    single.rms: _rms,
}


def is_entrywise(activation: str) -> bool:
    """Whether an activation maps each entry alone, without parameters, state or chance, so that it can be stacked."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = ACTIVATIONS[activation]().double()
        if list(module.parameters()) or list(module.buffers()):
            return False
        probe = torch.linspace(-3.0, 3.0, 60, dtype=torch.float64).view(3, 4, 5)
        with torch.no_grad():
            whole = module(probe)
            entries = torch.stack([module(entry.view(1, 1)).view(()) for entry in probe.flatten()]).view(3, 4, 5)
    return whole.shape == probe.shape and torch.allclose(whole, entries, rtol=1e-12, atol=1e-15)
