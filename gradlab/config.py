"""`Config`: everything a run depends on, frozen, validated and hashable; each field carries its `Knob`."""

from __future__ import annotations

import dataclasses
import json
import math
import numbers
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

import numpy as np
import torch

from gradlab.data import DATASETS
from gradlab.locale import Said
from gradlab.network import ACTIVATIONS, ARCHITECTURES, INITS, NORMS, uses
from gradlab.network.transformer import RESIDUAL_INITS
from gradlab.registry import Registry, brief
from gradlab.rules.accumulation import ACCUMULATIONS, CARRY_OVERS
from gradlab.rules.clipping import CLIPS
from gradlab.rules.optimizers import OPTIMIZERS

MAX_WEIGHTS = 200_000_000
WRITERS: dict[str, Callable[..., str]] = {}
"""What a config can be written as by the layers above, which put it here: ``"code"`` by `gradlab.export`."""

MAX_FACTOR = 3e37  # of a step in float32, as Adam's first divides lr by 0.1
DTYPES = {"float32": torch.float32, "float64": torch.float64}
SEEDS = ("weight_seed", "data_seed", "batch_seed")
PRECISIONS = {"full": None, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Knob:
    """What a field of `Config` accepts and how a panel shows it.

    Attributes
    ----------
    label, help : str
        The words beside the control and its tooltip.
    kind : type
        bool, str, int or float: what is accepted, but for the `words`.
    live : bool
        True if it takes effect at the next step; False if it needs a fresh start from the seeds.
    choices : Registry or tuple of str or None
        The accepted names, where there are such.
    low, high : float or None
        Inclusive bounds of a number.
    above : float or None
        Exclusive lower bound of a number.
    slider : (min, max, scale) or None
        Range of the slider, ``"log"``, ``"linear"`` or ``"powers"`` (of two); presentation, narrower than what is
        accepted.
    words : tuple of str
        What is accepted beside numbers.
    """

    label: str
    help: str
    kind: type
    live: bool = False
    choices: Registry | tuple[str, ...] | None = None
    low: float | None = None
    high: float | None = None
    above: float | None = None
    slider: tuple[float, float, Literal["log", "linear", "powers"]] | None = None
    words: tuple[str, ...] = ()

    def validate(self, name: str, value: Any) -> Any:
        """Return `value` as a plain Python value of its kind, or raise ValueError."""
        kind = self.kind
        if (word := value if isinstance(value, str) else "") in self.words:
            return word
        if kind is bool:
            accepted = isinstance(value, bool | np.bool_)
        elif kind is str:
            accepted = isinstance(value, str) and value in (self.choices or ())
        elif kind is int:
            accepted = isinstance(value, numbers.Integral) and not isinstance(value, bool)
            accepted = accepted and self._in_bounds(int(value))
        else:
            accepted = isinstance(value, numbers.Real) and not isinstance(value, bool)
            accepted = accepted and _is_finite(value) and self._in_bounds(float(value))
        if not accepted:
            raise ValueError(f"{name}={brief(value)}; expected {self.accepted}")
        if kind is str:
            return str.__str__(value)  # pyright: ignore[reportArgumentType]  # what it is, whatever an Enum says it is
        return kind(value)  # pyright: ignore[reportArgumentType]

    def _in_bounds(self, value: float) -> bool:
        return (
            (self.low is None or value >= self.low)
            and (self.high is None or value <= self.high)
            and (self.above is None or value > self.above)
        )

    @property
    def accepted(self) -> str:
        """What values are accepted, in words."""
        if self.kind is bool:
            return "True or False"
        if self.kind is str:
            return f"one of {', '.join(self.choices or ())}"
        noun = "a whole number" if self.kind is int else "a finite number"
        bounds = ((">=", self.low), (">", self.above), ("<=", self.high))
        said = " and ".join(f"{sign} {bound}" for sign, bound in bounds if bound is not None)
        return f"{noun} {said}".strip() + "".join(f" or {word!r}" for word in self.words)


def _is_finite(value: Any) -> bool:
    try:
        return math.isfinite(float(value))
    except OverflowError:  # a whole number that no float can hold
        return False


def knob(default: Any, label: str, help: str, **facts: Any) -> Any:  # noqa: A002  (the word a reader expects)
    """Return a dataclass field that carries its `Knob`; a slider of two numbers is linear."""
    if len(facts.get("slider", ())) == 2:
        facts["slider"] = (*facts["slider"], "linear")
    return dataclasses.field(default=default, metadata={"knob": Knob(label, help, type(default), **facts)})


class Knobs(TypedDict, total=False):
    """The fields of `Config` as keywords, so that an editor completes and checks them where a panel is made."""

    dataset: str
    n_samples: int
    noise: float
    depth: int
    width: int
    activation: str
    norm: str
    residual: bool
    init: str
    gain: float
    bias_std: float
    sequence_length: int
    holdout: float
    architecture: str
    recurrent_init: str
    recurrent_gain: float
    forget_bias: float
    truncate: int
    norm_position: str
    heads: int
    causal: bool
    residual_init: str
    optimizer: str | Callable[..., Any]  # a panel takes a callable of your own, too
    lr: float
    momentum: float
    weight_decay: float
    warmup: int
    batch_size: int
    accumulation: str
    accumulation_steps: int
    carry_over: str
    clip: str
    clip_threshold: float
    clip_order: str
    nonfinite: str
    weight_seed: int
    data_seed: int
    batch_seed: int
    dtype: str
    precision: str
    loss_scale: float | str


@dataclass(frozen=True, kw_only=True, repr=False)
class Config:
    """Everything a run depends on: the same config gives the same numbers, bit for bit on one machine.

    Raises
    ------
    ValueError
        If a field is not accepted; the message names the field, the value and what is accepted.

    Notes
    -----
    ``Config.knobs()`` describes every field: its label, help, bounds and whether it is live.
    """

    dataset: str = knob("moons", "Dataset", "What the network learns", choices=DATASETS)
    n_samples: int = knob(512, "Samples", "Samples in the data set", low=2, high=1_000_000, slider=(16, 4096, "log"))
    noise: float = knob(0.1, "Noise", "Noise added to the data", low=0, slider=(0, 1))
    depth: int = knob(
        8, "Depth", "Hidden layers; one weight matrix more than that", low=0, high=1000, slider=(1, 100)
    )
    width: int = knob(32, "Width", "Units in a hidden layer", low=1, high=8192, slider=(2, 512, "log"))
    activation: str = knob("relu", "Activation", "The function phi after each matrix", choices=ACTIVATIONS)
    norm: str = knob("none", "Norm", "Normalise pre-activations before phi", choices=NORMS)
    residual: bool = knob(False, "Residual", "Add each hidden layer to its input")
    init: str = knob("kaiming", "Init", "Distribution of the first weights", choices=INITS)
    gain: float = knob(1.0, "Gain", "Multiplies the standard deviation of the init", low=0, slider=(0.01, 10, "log"))
    bias_std: float = knob(0.0, "Bias std", "Standard deviation of the first biases", low=0, slider=(0, 2))
    sequence_length: int = knob(
        32, "Sequence length", "Time steps of the sequence data sets", low=1, high=10_000, slider=(2, 200)
    )
    holdout: float = knob(
        0.0,
        "Held out",
        "Share of digits or own data kept out of training; other sets are drawn afresh",
        low=0,
        high=0.9,
        slider=(0, 0.5),
    )
    architecture: str = knob("mlp", "Architecture", "What kind of network", choices=ARCHITECTURES)
    recurrent_init: str = knob("orthogonal", "Recurrent init", "Distribution of the first W_hh", choices=INITS)
    recurrent_gain: float = knob(
        1.0, "Recurrent gain", "Multiplies the standard deviation of W_hh", low=0, slider=(0.01, 10, "log")
    )
    forget_bias: float = knob(
        1.0, "Forget bias", "Added to the forget gate's first bias (0: torch's default)", slider=(-3, 7)
    )
    truncate: int = knob(
        0, "Truncate", "Time steps that a gradient is sent back; 0: all", low=0, high=10_000, slider=(0, 200)
    )
    norm_position: str = knob(
        "pre", "Norm position", "Layer norm before or after each residual branch", choices=("pre", "post")
    )
    heads: int = knob(4, "Heads", "Attention heads; they divide the width", low=1, high=8192, slider=(1, 16))
    causal: bool = knob(False, "Causal", "Let a step look only at the steps before it")
    residual_init: str = knob(
        "plain", "Branch init", "The last matrix of each residual branch at first", choices=tuple(RESIDUAL_INITS)
    )
    optimizer: str = knob("sgd", "Optimizer", "What turns a gradient into a step", choices=OPTIMIZERS)
    lr: float = knob(0.05, "Learning rate", "Step size", live=True, low=0, slider=(1e-5, 10, "log"))
    momentum: float = knob(
        0.0, "Momentum", "Share of the last step kept (SGD, RMSprop)", live=True, low=0, high=1, slider=(0, 0.99)
    )
    weight_decay: float = knob(0.0, "Weight decay", "Pull of the weights toward 0", live=True, low=0, slider=(0, 0.1))
    warmup: int = knob(
        0,
        "Warm-up",
        "Steps over which the learning rate rises linearly to its value",
        live=True,
        low=0,
        high=1_000_000,
        slider=(0, 500),
    )
    batch_size: int = knob(
        32, "Batch size", "Samples in one micro-batch", live=True, low=1, high=1_000_000, slider=(1, 512, "log")
    )
    accumulation: str = knob(
        "none", "Accumulation", "How micro-batch gradients become one", live=True, choices=ACCUMULATIONS
    )
    accumulation_steps: int = knob(
        4,
        "Micro-batches",
        "Micro-batches in one step when accumulating",
        live=True,
        low=1,
        high=4096,
        slider=(1, 64, "log"),
    )
    carry_over: str = knob(
        "none", "Carry-over", "What a step keeps of earlier gradients", live=True, choices=CARRY_OVERS
    )
    clip: str = knob("none", "Clipping", "How gradients are bounded", live=True, choices=CLIPS)
    clip_threshold: float = knob(
        1.0, "Threshold", "Bound of the clipping rule", live=True, above=0, slider=(1e-3, 100, "log")
    )
    clip_order: str = knob(
        "after",
        "Clip order",
        "Once per step, or (wrong on purpose) after each micro-batch",
        live=True,
        choices=("after", "each_micro_batch"),
    )
    nonfinite: str = knob(
        "stop",
        "Non-finite",
        "What to do with a step that is not finite",
        live=True,
        choices=("stop", "skip", "continue"),
    )
    weight_seed: int = knob(0, "Weight seed", "Seed of the first weights", low=0, high=2**63 - 1)
    data_seed: int = knob(0, "Data seed", "Seed of the data", low=0, high=2**63 - 1)
    batch_seed: int = knob(0, "Batch seed", "Seed of the order of samples", low=0, high=2**63 - 1)
    dtype: str = knob("float32", "Number type", "Floating-point type of weights and data", choices=tuple(DTYPES))
    precision: str = knob(
        "full", "Precision", "Format of forward and backward pass; weights stay float32", choices=tuple(PRECISIONS)
    )
    loss_scale: float | str = knob(
        1.0,
        "Loss scale",
        "Multiplies the loss for the backward pass; or dynamic",
        live=True,
        low=1e-38,  # what float32 can divide by, and hold
        high=1e38,
        slider=(1, 2**24, "powers"),
        words=("dynamic",),
    )

    def __post_init__(self) -> None:
        for name, knob in self.knobs().items():
            object.__setattr__(self, name, knob.validate(name, getattr(self, name)))
        if NORMS[self.norm].options.get("couples_samples") and self.batch_size < 2:
            raise ValueError(Said("error.couples", norm=self.norm))
        if self.half_dtype is not None and self.dtype != "float32":
            raise ValueError(Said("error.half", precision=self.precision, dtype=self.dtype))
        self._check_architecture()
        factor = max(self.lr, self.weight_decay, self.lr * self.weight_decay)
        if self.dtype == "float32" and factor > MAX_FACTOR:
            raise ValueError(Said("error.factor", lr=self.lr, decay=self.weight_decay, most=MAX_FACTOR))
        weights = self.depth * self.width**2
        if weights > MAX_WEIGHTS:
            sizes = {"width": self.width, "depth": self.depth, "weights": float(weights), "most": MAX_WEIGHTS}
            raise ValueError(Said("error.weights", **sizes))

    def _check_architecture(self) -> None:
        if self.width % self.heads and "heads" in uses(self.architecture):
            raise ValueError(Said("error.heads", heads=self.heads, width=self.width))
        sequence = DATASETS[self.dataset].options.get("sequence")
        if sequence and self.truncate > self.sequence_length and "truncate" in uses(self.architecture):
            raise ValueError(Said("error.truncate", truncate=self.truncate, steps=self.sequence_length))
        shortest = DATASETS[self.dataset].options.get("shortest", 1)
        if self.sequence_length < shortest:
            words = {"length": self.sequence_length, "dataset": self.dataset, "shortest": shortest}
            raise ValueError(Said("error.length", **words))

    @classmethod
    def knobs(cls) -> dict[str, Knob]:
        """Return each field's `Knob`, in order."""
        return {field.name: field.metadata["knob"] for field in dataclasses.fields(cls)}

    @classmethod
    def check_names(cls, names: Mapping[str, Any]) -> None:
        """Raise ValueError if a name is not a field."""
        known = cls.knobs()
        for name, value in names.items():
            if name not in known:
                field = brief(name).strip("'")
                raise ValueError(f"{field}={brief(value)}: no such field; expected one of {', '.join(known)}")

    def replace(self, **knobs: Any) -> Config:
        """Return a copy with some fields changed, validated like a new one."""
        self.check_names(knobs)
        return dataclasses.replace(self, **knobs)

    def differences(self, other: Config) -> dict[str, tuple[Any, Any]]:
        """Return the fields that differ: name -> (here, there)."""
        mine, yours = self.to_dict(), other.to_dict()
        return {name: (mine[name], yours[name]) for name in mine if mine[name] != yours[name]}

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as plain Python values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Config:
        """Make a config of a mapping; fields left out take their defaults."""
        if not isinstance(values, Mapping):
            raise ValueError(f"Config.from_dict: {brief(values)}; expected a mapping of field names to values")
        cls.check_names(values)
        return cls(**values)

    def to_json(self) -> str:
        """Return all fields as a JSON object."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls, text: str) -> Config:
        """Read what `to_json` wrote."""
        try:
            values = json.loads(text)
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"Config.from_json: {error} in {brief(text)}; expected a JSON object") from None
        return cls.from_dict(values)

    def to_code(self, steps: int = 100) -> str:
        """Return a standalone script, torch only, that prints the losses of `steps` steps to the last digit."""
        return WRITERS["code"](self, steps)

    @property
    def micro_batches(self) -> int:
        """Micro-batches in a full step."""
        return 1 if ACCUMULATIONS[self.accumulation].options.get("single") else self.accumulation_steps

    @property
    def torch_dtype(self) -> torch.dtype:
        """The torch dtype of weights and data."""
        return DTYPES[self.dtype]

    @property
    def half_dtype(self) -> torch.dtype | None:
        """The torch dtype of the passes in half precision, None in full."""
        return PRECISIONS[self.precision]

    def __repr__(self) -> str:
        changed = self.differences(Config())
        return f"Config({', '.join(f'{name}={here!r}' for name, (here, _) in changed.items())})"
