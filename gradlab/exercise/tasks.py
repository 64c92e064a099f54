"""`EXERCISES`: each entry is ``() -> Setup``; its texts are in `words`, under its name."""

from __future__ import annotations

from gradlab.config import Config
from gradlab.exercise.setup import Goal, Setup
from gradlab.locale import STRINGS
from gradlab.registry import Registry

EXERCISES = Registry("exercise", "")

_LEARNED = Goal("loss", at_most=0.3)  # two classes by guessing: 0.69


def _title(name: str) -> str:
    return STRINGS["en"][f"exercise.{name}.title"]


@EXERCISES.register("rescue-30", _title("rescue-30"))
def rescue_30() -> Setup:
    """Thirty ReLU layers overflow in the first steps; three changes, and all the cures are on the table."""
    return Setup(
        config=Config(depth=30, gain=1.5, lr=0.02),
        may=("init", "gain", "norm", "residual", "lr", "clip", "clip_threshold", "accumulation", "carry_over"),
        goals=(_LEARNED,),
        steps=100,
        most_changes=3,
    )


@EXERCISES.register("deep-sigmoid", _title("deep-sigmoid"))
def deep_sigmoid() -> Setup:
    """Ten sigmoid layers learn nothing; the sigmoid stays."""
    return Setup(
        config=Config(depth=10, activation="sigmoid", init="normal"),
        may=("init", "gain", "bias_std", "norm", "residual", "optimizer", "lr", "clip", "clip_threshold"),
        goals=(Goal("loss", at_most=0.4),),
        steps=100,
        most_changes=2,
    )


@EXERCISES.register("dead-relus", _title("dead-relus"))
def dead_relus() -> Setup:
    """Adam has killed a layer of ReLUs; one change."""
    return Setup(
        config=Config(optimizer="adam", lr=0.3),
        may=("init", "gain", "lr", "batch_size", "weight_decay", "clip", "clip_threshold"),
        goals=(_LEARNED, Goal("dead", at_most=0.9)),
        steps=80,
        most_changes=1,
    )


@EXERCISES.register("learning-rate", _title("learning-rate"))
def learning_rate() -> Setup:
    """A sound gradient and a step past 2/sharpness: find the window between overflow and standstill."""
    return Setup(
        config=Config(dataset="regression", depth=3, batch_size=512, lr=0.3),
        may=("lr",),
        goals=(Goal("loss", at_most=0.35), Goal("peak", at_most=1.001)),
        steps=100,
    )


@EXERCISES.register("forgotten-division", _title("forgotten-division"))
def forgotten_division() -> Setup:
    """Eight micro-batches are added up and the steps run away; the learning rate stays."""
    return Setup(
        config=Config(depth=4, lr=0.3, accumulation="sum", accumulation_steps=8),
        may=("accumulation", "init", "gain", "norm", "optimizer", "momentum", "clip", "clip_threshold"),
        only={"accumulation": ("mean", "sum", "naive_mean")},
        goals=(_LEARNED, Goal("batch_error", at_most=1e-3)),
        steps=40,
        most_changes=1,
    )


@EXERCISES.register("clip-order", _title("clip-order"))
def clip_order() -> Setup:
    """Every step is bounded, but clipping turns it; bound it without turning it."""
    return Setup(
        config=Config(
            depth=6,
            lr=0.5,
            accumulation="mean",
            accumulation_steps=8,
            clip="global_norm",
            clip_threshold=0.1,
            clip_order="each_micro_batch",
        ),
        may=("clip", "clip_threshold", "clip_order", "accumulation"),
        only={"accumulation": ("mean", "sum", "naive_mean")},
        goals=(_LEARNED, Goal("cosine", at_least=0.999), Goal("longest", at_most=0.1001)),
        steps=40,
        most_changes=1,
    )


@EXERCISES.register("batch-norm-depth", _title("batch-norm-depth"))
def batch_norm_depth() -> Setup:
    """Thirty layers with batch norm, where no init helps; the batch norm stays."""
    return Setup(
        config=Config(depth=30, norm="batch", batch_size=64, lr=0.02),
        may=("init", "gain", "residual", "lr", "clip", "clip_threshold", "momentum"),
        goals=(_LEARNED, Goal("spread", at_most=200.0)),
        steps=60,
        most_changes=2,
    )


@EXERCISES.register("no-clipping", _title("no-clipping"))
def no_clipping() -> Setup:
    """Twenty ReLU layers live on clipping; take it away, and remove the cause."""
    return Setup(
        config=Config(depth=20, gain=1.3, lr=0.02, clip="global_norm"),
        may=("init", "gain", "norm", "residual", "clip"),
        only={"clip": ("none",)},
        goals=(_LEARNED, Goal("spread", at_most=30.0)),
        steps=120,
        most_changes=2,
    )


@EXERCISES.register("two-changes", _title("two-changes"))
def two_changes() -> Setup:
    """Several settings look odd, two are at fault; two changes."""
    return Setup(
        config=Config(
            depth=12,
            init="pytorch",
            lr=0.03,
            momentum=0.1,
            weight_decay=1e-3,
            bias_std=0.01,
            batch_size=24,
            clip="global_norm",
            clip_threshold=1e-3,
        ),
        may=(
            "init",
            "gain",
            "bias_std",
            "norm",
            "residual",
            "lr",
            "momentum",
            "weight_decay",
            "batch_size",
            "clip",
            "clip_threshold",
        ),
        goals=(_LEARNED,),
        steps=100,
        most_changes=2,
    )
