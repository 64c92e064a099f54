"""A convolutional network for small images."""

from __future__ import annotations

import math

from torch import Tensor, float64, nn

from gradlab.locale import Said
from gradlab.network.activations import ACTIVATIONS, NORMS
from gradlab.network.build import Knobs, Outputs, architecture, blank_linear


class _BlankConv(nn.Conv2d):
    def reset_parameters(self) -> None:
        """Leave the weights to `initialise`."""


class Convolutional(nn.Module):
    """``depth`` 3 x 3 convolutions of ``width`` channels, the mean over all pixels, and a readout.

    A layer is ``phi(norm(conv(h)))``, with `residual` from the second on ``h + conv(phi(norm(h)))``; the norm
    sees each pixel as a sample of its channels, so batch norm is `BatchNorm2d`. `shape` is that of an image:
    channels, height and width.
    """

    def __init__(self, config: Knobs, shape: tuple[int, int, int], outputs: int) -> None:
        super().__init__()
        self.shape, self.residual = shape, config.residual
        channels = shape[0]
        self.layers = [f"conv{i + 1}" for i in range(config.depth)]
        for name in self.layers:
            self.add_module(name, _BlankConv(channels, config.width, 3, padding=1, dtype=float64))
            channels = config.width
        self.norms = nn.ModuleList(NORMS[config.norm](config.width) for _ in self.layers)
        self.activations = nn.ModuleList(ACTIVATIONS[config.activation]() for _ in self.layers)
        if config.residual and config.depth:  # the first layer of a residual network has no branch
            self.norms[0], self.activations[0] = nn.Identity(), nn.Identity()
        self.readout = blank_linear(channels, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map images ``(batch, ...)`` to ``(batch, outputs)``."""
        h = x.reshape(len(x), *self.shape)
        for i, (name, norm, phi) in enumerate(zip(self.layers, self.norms, self.activations, strict=True)):
            conv = self.get_submodule(name)
            if not self.residual:
                h = phi(_over_channels(norm, conv(h)))
            else:
                h = h + conv(phi(_over_channels(norm, h))) if i else conv(h)
        return self.readout(h.mean((2, 3)))


def _over_channels(norm: nn.Module, h: Tensor) -> Tensor:
    if isinstance(norm, nn.Identity):
        return h
    last = h.movedim(1, -1)
    return norm(last.flatten(0, 2)).view(last.shape).movedim(-1, 1)


def as_image(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return (channels, height, width) of a sample: three sizes, two, or the pixels of a square."""
    side = math.isqrt(math.prod(shape))
    sizes = (side, side) if shape == (side**2,) else shape
    if len(sizes) not in (2, 3) or 0 in sizes:
        raise ValueError(Said("error.image", shape=str(shape)))
    channels, height, width = (1, *sizes)[-3:]
    return channels, height, width


@architecture(
    "conv",
    "Convolutional",
    uses=("depth", "width", "activation", "norm", "residual", "init", "gain", "bias_std"),
    matrices=9,
)
def conv(config: Knobs, input_shape: tuple[int, ...], outputs: Outputs) -> nn.Module:
    """A convolutional network: the same small matrix at every pixel, for digits and images of one's own."""
    if not isinstance(outputs, int):
        raise ValueError(Said("error.image_steps"))
    return Convolutional(config, as_image(input_shape), outputs)
