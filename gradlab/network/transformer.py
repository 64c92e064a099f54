"""A transformer whose every matrix is a module that is called, so that none is a gap in the picture."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gradlab.locale import Said
from gradlab.network.activations import ACTIVATIONS
from gradlab.network.build import Blocks, Knobs, Outputs, architecture, blank_linear
from gradlab.network.recurrent import as_sequence


class Block(nn.Module):
    """Self-attention and a feed-forward layer, each around a residual connection (Vaswani et al. 2017).

    With the norm before (``h + f(norm(h))``) or after (``norm(h + f(h))``), as `nn.TransformerEncoderLayer` computes
    it with ``norm_first`` true or false.
    """

    def __init__(self, config: Knobs) -> None:
        super().__init__()
        width = config.width
        self.heads, self.causal, self.before = config.heads, config.causal, config.norm_position == "pre"
        self.qkv = Blocks(width, width, 3)
        self.out = blank_linear(width, width)
        self.up = blank_linear(width, 4 * width)
        self.phi = ACTIVATIONS[config.activation]()
        self.down = blank_linear(4 * width, width)
        self.attention_norm, self.feed_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.share = RESIDUAL_INITS[config.residual_init](config.depth)

    def adjust(self) -> None:
        """Scale the last matrix of each branch."""
        self.out.weight.mul_(self.share)
        self.down.weight.mul_(self.share)

    def forward(self, h: Tensor) -> Tensor:
        """Map ``(batch, T, width)`` to the same shape."""
        if self.before:
            h = h + self._attend(self.attention_norm(h))
            return h + self._feed(self.feed_norm(h))
        h = self.attention_norm(h + self._attend(h))
        return self.feed_norm(h + self._feed(h))

    def _attend(self, h: Tensor) -> Tensor:
        q, k, v = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in self.qkv(h).chunk(3, 2))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        return self.out(mixed.transpose(1, 2).flatten(2))

    def _feed(self, h: Tensor) -> Tensor:
        return self.down(self.phi(self.up(h)))


RESIDUAL_INITS = {
    "plain": lambda depth: 1.0,
    "scaled": lambda depth: 1.0 / math.sqrt(2 * depth),  # Radford et al. 2019: 2 depth branches add up to one
    "zero": lambda depth: 0.0,  # every block starts as the identity
}
"""What the last matrix of each residual branch is multiplied by at init, given the number of blocks."""


class Transformer(nn.Module):
    """An embedding, the place of each step, ``depth`` blocks, and a readout of the last step or of every step.

    `shape` is that of a sequence: time steps and columns.
    """

    place: Tensor

    def __init__(self, config: Knobs, shape: tuple[int, int], outputs: Outputs) -> None:
        super().__init__()
        steps, columns = shape
        self.every_step = not isinstance(outputs, int)
        self.embed = blank_linear(columns, config.width)
        self.register_buffer("place", places(steps, config.width), persistent=False)
        self.layers = [f"block{i + 1}" for i in range(config.depth)]
        for name in self.layers:
            self.add_module(name, Block(config))
        before = config.norm_position == "pre"
        self.norm = nn.LayerNorm(config.width) if before else nn.Identity()  # after the last block, as GPT-2 has it
        self.readout = blank_linear(config.width, outputs if isinstance(outputs, int) else outputs[1])

    def forward(self, x: Tensor) -> Tensor:
        """Map sequences ``(batch, T, columns)`` to ``(batch, outputs)`` or ``(batch, T, outputs)``."""
        h = self.embed(x if x.dim() == 3 else x.unsqueeze(2)) + self.place
        for name in self.layers:
            h = self.get_submodule(name)(h)
        return self.readout(self.norm(h) if self.every_step else self.norm(h[:, -1]))


def places(steps: int, width: int) -> Tensor:
    """Return the sines and cosines ``(steps, width)`` that tell a step its place (Vaswani et al. 2017)."""
    column = torch.arange(width, dtype=torch.float64)
    angle = torch.arange(steps, dtype=torch.float64)[:, None] / 10000 ** (2 * (column // 2) / width)
    return torch.where(column % 2 == 0, angle.sin(), angle.cos())


@architecture(
    "transformer",
    "Transformer",
    uses=(
        *("depth", "width", "activation", "init", "gain", "bias_std"),
        *("norm_position", "heads", "causal", "residual_init"),
    ),
    matrices=12,
)
def transformer(config: Knobs, input_shape: tuple[int, ...], outputs: Outputs) -> nn.Module:
    """Blocks of self-attention, every step looking at all steps (or all before it): pre-LN or post-LN."""
    if config.width % config.heads:
        raise ValueError(Said("error.heads", heads=config.heads, width=config.width))
    return Transformer(config, as_sequence(input_shape, "transformer"), outputs)
