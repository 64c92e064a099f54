"""`PRESETS`: ready-made configs, each with a one-line lesson."""

from __future__ import annotations

from typing import Any

from gradlab.config import Config
from gradlab.registry import Registry


class PresetRegistry(Registry):
    """A table whose ``[name]`` is the preset's `Config`; `entry` gives label and summary."""

    def __getitem__(self, name: str) -> Any:
        return super().__getitem__(name)()

    def entry(self, name: str) -> Any:
        """Return the `Entry` of a preset."""
        return super().__getitem__(name)


PRESETS = PresetRegistry("preset")


@PRESETS.register("healthy", "A healthy network")
def healthy() -> Config:
    """Eight ReLU layers at Kaiming init learn two moons in a few dozen steps."""
    return Config()


@PRESETS.register("exploding_tanh", "Exploding: tanh, gain 2")
def exploding_tanh() -> Config:
    """Thirty tanh layers at gain 2: the gradient grows with every layer toward the input."""
    return Config(depth=30, width=64, activation="tanh", init="normal", gain=2.0, lr=0.02)


@PRESETS.register("vanishing_sigmoid", "Vanishing: deep sigmoid")
def vanishing_sigmoid() -> Config:
    """Twelve sigmoid layers: the gradient shrinks about fourfold with every layer toward the input."""
    return Config(depth=12, activation="sigmoid", init="normal")


@PRESETS.register("article", "The article")
def article() -> Config:
    """The article's network, made well-posed: four logits, its running sum of gradients switched on."""
    return Config(
        dataset="article",
        depth=1,
        width=64,
        init="xavier_uniform",
        optimizer="adam",
        lr=0.1,
        carry_over="running_sum",
    )


@PRESETS.register("article_literal", "The article, as printed")
def article_literal() -> Config:
    """One sigmoid output under a four-class loss: it cannot be trained, and the status line says why."""
    return article().replace(dataset="article_literal")
