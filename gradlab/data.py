"""Small data sets that need no download: `DATASETS` and what a network is trained on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from gradlab.locale import Said
from gradlab.registry import Registry

Loss = Callable[[Tensor, Tensor], Tensor]

DATASETS = Registry(
    "dataset",
    "n, noise, generator",
    gives="a pair (X, y)",
    fits=lambda made, *_: isinstance(made, tuple | list) and len(made) == 2,
)


@dataclass(frozen=True)
class Data:
    """What a network is trained on."""

    x: Tensor  # inputs, shape ``(n, ...)``
    # integer labels ``(n,)`` or float targets ``(n, outputs)``; for a target at each time step of a sequence ``(n,
    # T)`` or ``(n, T, outputs)``
    y: Tensor
    outputs: int  # columns that the network must return: classes, or target columns
    loss: Loss  # ``loss(output, y)``, the *mean* over the samples given

    @property
    def n(self) -> int:
        """Number of samples."""
        return self.x.shape[0]

    @property
    def classification(self) -> bool:
        """Whether `y` holds labels."""
        return not self.y.is_floating_point()

    @property
    def every_step(self) -> bool:
        """Whether each time step of a sequence has its own target."""
        return self.y.dim() == (2 if self.classification else 3)

    @property
    def output_shape(self) -> int | tuple[int, int]:
        """Columns that a network returns, or (time steps, columns)."""
        return (self.y.shape[1], self.outputs) if self.every_step else self.outputs

    @property
    def chance(self) -> float:
        """The loss of an answer that ignores X: the mean log of the labels that occur, or the targets' variance.

        Of a sequence answered step by step the mean over the steps: 10 ln 8 / T for copy memory.
        """
        if not self.classification:
            return float(self.y.double().var(0, correction=0).mean())
        steps = self.y.unbind(1) if self.every_step else None
        counts = [self.outputs] if steps is None else [len(step.unique()) for step in steps]
        return sum(map(math.log, counts)) / len(counts)


def make_dataset(name: str, n: int, noise: float, seed: int, dtype: torch.dtype, length: int = 32) -> Data:
    """Generate the data set `name` in float64 from `seed` and cast it to `dtype`.

    Sequences have `length` time steps; the other sets do not use it.
    """
    entry = DATASETS[name]
    sizes = (length,) if entry.options.get("sequence") else ()
    try:
        x, y = entry(n, noise, Generator().manual_seed(seed), *sizes)
    except ImportError:
        if "missing" not in entry.options:
            raise
        raise ValueError(Said(entry.options["missing"])) from None
    return as_data(x, y, dtype, outputs=entry.options.get("outputs"), name=name)


def draw_again(name: str, n: int, noise: float, seed: int, dtype: torch.dtype, length: int = 32) -> Data | None:
    """Draw as many fresh points of a generated set, after those that `make_dataset` draws.

    None if the set is always the same. A regression draws its teacher too: its entry's option `again` draws more
    points of the same one.
    """
    entry, generator = DATASETS[name], Generator().manual_seed(seed)
    sizes = (length,) if entry.options.get("sequence") else ()
    if "again" in entry.options:
        x, y = entry.options["again"](n, noise, generator)
    else:
        (first, _), (x, y) = (entry(n, noise, generator, *sizes) for _ in range(2))
        if entry.options.get("fixed") or torch.equal(first, x):
            return None
    return as_data(x, y, dtype, outputs=entry.options.get("outputs"), name=name)


def hold_out(data: Data, share: float, seed: int) -> tuple[Data, Data | None]:
    """Split data into what is trained on, in its order, and a random `share` that is not; None for a share of 0.

    At least one sample goes to either side.
    """
    if share == 0 or data.n < 2:
        return data, None
    held = torch.zeros(data.n, dtype=torch.bool)
    count = min(max(round(share * data.n), 1), data.n - 1)
    held[torch.randperm(data.n, generator=Generator().manual_seed(seed))[:count]] = True
    return replace(data, x=data.x[~held], y=data.y[~held]), replace(data, x=data.x[held], y=data.y[held])


def as_data(
    x: Any,
    y: Any,
    dtype: torch.dtype,
    *,
    loss: Loss | None = None,
    outputs: int | None = None,
    name: str = "own data",
) -> Data:
    """Check a pair of arrays and make it `Data`: float inputs and targets are cast to `dtype`.

    Both are copied. Integer inputs stay as they are (an embedding wants them). Labels become int64; a float
    target of shape ``(n,)`` becomes ``(n, 1)``. With sequences X ``(n, T, c)``, labels ``(n, T)`` are one per step.
    Refused are lengths that differ, no sample, an entry that is complex, NaN or infinite, a negative label.
    """
    x, y = (_as_tensor(value, field) for value, field in ((x, "data X"), (y, "data y")))
    if x.dim() == 0 or y.dim() == 0 or x.shape[0] != y.shape[0] or x.shape[0] == 0:
        raise ValueError(
            f"data: X has shape {tuple(x.shape)} and y {tuple(y.shape)}; expected the same number of "
            "samples, at least 1, as first dimension"
        )
    x, y = (part.to(dtype) if part.is_floating_point() else part for part in (x, y))
    _check_finite(x, "data X")
    _check_finite(y, "data y")
    if y.is_floating_point():
        y = y.reshape(-1, 1) if y.dim() == 1 else y
        return Data(x, y, outputs or y.shape[-1], loss or F.mse_loss)
    y = y.long()
    if loss is None:
        _check_labels(y, outputs, name, x)
    default = F.cross_entropy if y.dim() == 1 else cross_entropy_of_steps
    return Data(x, y, outputs or max(1, int(y.max()) + 1), loss or default)


def cross_entropy_of_steps(output: Tensor, y: Tensor) -> Tensor:
    """Mean cross-entropy of logits ``(batch, T, classes)`` against labels ``(batch, T)``."""
    return F.cross_entropy(output.transpose(1, 2), y)


def _as_tensor(value: Any, field: str) -> Tensor:
    try:  # a copy: the run stays reproducible whatever happens to the caller's array
        if isinstance(value, np.ndarray):
            tensor = torch.as_tensor(np.array(value, order="C"))
        else:
            tensor = torch.as_tensor(value).detach().clone()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"{field}: a {type(value).__name__} that is no array ({error}); expected a tensor or array"
        ) from None
    if tensor.layout != torch.strided or tensor.is_meta or tensor.is_quantized or tensor.is_nested:
        what = f"{str(tensor.layout).removeprefix('torch.')} {tensor.dtype} on {tensor.device}"
        raise ValueError(f"{field}: {what}; expected a dense tensor of plain numbers (X.to_dense(), X.dequantize())")
    if tensor.is_complex():
        raise ValueError(f"{field}: dtype {tensor.dtype}; expected real numbers (X.real, or X.abs())")
    return tensor


def _check_finite(tensor: Tensor, field: str) -> None:
    bad = (~torch.isfinite(tensor)).nonzero()
    if len(bad):
        where = tuple(int(i) for i in bad[0])
        raise ValueError(
            f"{field}: {len(bad)} entries are NaN or infinite, the first is {float(tensor[where])} at index "
            f"{list(where)}; expected finite numbers"
        )


def _check_labels(y: Tensor, outputs: int | None, name: str, x: Tensor) -> None:
    of_steps = x.dim() == 3 and y.shape == x.shape[:2] and y.numel()
    if y.dim() != 1 and not of_steps:
        raise ValueError(
            f"data y: integer labels of shape {tuple(y.shape)}; expected shape (n,), (n, T) for "
            "sequences X (n, T, c), or floats for targets"
        )
    if int(y.min()) < 0:
        raise ValueError(f"data y: label {int(y.min())}; expected labels 0, 1, 2, ...")
    if outputs is not None and int(y.max()) >= outputs:
        label = int(y.max())
        raise ValueError(Said("error.labels", name=name, label=label, outputs=outputs, needed=label + 1))


def _uniform(n: int, low: float, high: float, generator: Generator) -> Tensor:
    return low + (high - low) * torch.rand(n, generator=generator, dtype=torch.float64)


def _jitter(x: Tensor, noise: float, generator: Generator) -> Tensor:
    return x + noise * torch.randn(x.shape, generator=generator, dtype=torch.float64)


def _halves(n: int) -> Tensor:
    return (torch.arange(n) >= n // 2).long()


@DATASETS.register("moons", "Two moons")
def moons(n: int, noise: float, generator: Generator) -> tuple[Tensor, Tensor]:
    """Two interleaved half circles, two classes."""
    y = _halves(n)
    angle = _uniform(n, 0.0, math.pi, generator)
    upper = torch.stack([angle.cos(), angle.sin()], 1)
    lower = torch.stack([1.0 - angle.cos(), 0.5 - angle.sin()], 1)
    x = torch.where(y[:, None] == 0, upper, lower) - torch.tensor([0.5, 0.25], dtype=torch.float64)
    return _jitter(x, noise, generator), y


@DATASETS.register("circles", "Two circles")
def circles(n: int, noise: float, generator: Generator) -> tuple[Tensor, Tensor]:
    """A circle inside a circle, two classes."""
    y = _halves(n)
    angle = _uniform(n, 0.0, 2 * math.pi, generator)
    radius = torch.where(y == 0, 1.0, 0.5).double()
    return _jitter(torch.stack([angle.cos(), angle.sin()], 1) * radius[:, None], noise, generator), y


@DATASETS.register("spirals", "Two spirals")
def spirals(n: int, noise: float, generator: Generator) -> tuple[Tensor, Tensor]:
    """Two spirals of one and a half turns, two classes: the hardest of the planar sets."""
    y = _halves(n)
    t = _uniform(n, 0.0, 1.0, generator).sqrt()
    angle = 3 * math.pi * t + math.pi * y
    return _jitter(torch.stack([angle.cos(), angle.sin()], 1) * (1.5 * t)[:, None], noise / 4, generator), y


@DATASETS.register("xor", "XOR")
def xor(n: int, noise: float, generator: Generator) -> tuple[Tensor, Tensor]:
    """Four quadrants, the class is whether the signs agree."""
    x = torch.stack([_uniform(n, -1.5, 1.5, generator), _uniform(n, -1.5, 1.5, generator)], 1)
    y = (x[:, 0] * x[:, 1] > 0).long()
    return _jitter(x, noise, generator), y


@DATASETS.register("blobs", "Three blobs")
def blobs(n: int, noise: float, generator: Generator) -> tuple[Tensor, Tensor]:
    """Three Gaussian clouds on a circle, three classes; `noise` widens them."""
    y = torch.arange(n) % 3
    angle = 2 * math.pi * y.double() / 3
    return _jitter(1.5 * torch.stack([angle.cos(), angle.sin()], 1), 0.3 + noise, generator), y


def _ask_the_teacher_again(n: int, noise: float, generator: Generator) -> tuple[Tensor, Tensor]:
    x, first, second = _teacher(n, generator)
    _jitter(x[:, :1], noise, generator)
    x = torch.randn(n, 8, generator=generator, dtype=torch.float64)
    return x, _jitter(torch.tanh(2.0 * x @ first) @ second, noise, generator)


def _teacher(n: int, generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
    x = torch.randn(n, 8, generator=generator, dtype=torch.float64)
    first = torch.randn(8, 16, generator=generator, dtype=torch.float64) / math.sqrt(8)
    second = torch.randn(16, 1, generator=generator, dtype=torch.float64) / math.sqrt(16)
    return x, first, second


@DATASETS.register("regression", "Teacher and student", again=_ask_the_teacher_again)
def regression(n: int, noise: float, generator: Generator) -> tuple[Tensor, Tensor]:
    """Targets of a random tanh teacher network on 8 Gaussian inputs, squared error."""
    x, first, second = _teacher(n, generator)
    return x, _jitter(torch.tanh(2.0 * x @ first) @ second, noise, generator)


@DATASETS.register("digits", "Handwritten digits", fixed=True, missing="error.digits")
def digits(n: int, noise: float, generator: Generator) -> tuple[Tensor, Tensor]:
    """8 x 8 images of handwritten digits, ten classes (needs scikit-learn; at most 1797)."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    chosen = torch.randperm(len(images), generator=generator)[:n]
    x = (torch.as_tensor(images, dtype=torch.float64)[chosen] - 4.884) / 6.017  # the pixels' mean and std
    return _jitter(x, noise, generator), torch.as_tensor(labels)[chosen].long()


@DATASETS.register("article", "The article's three numbers", fixed=True)
def article(n: int, noise: float, generator: Generator) -> tuple[Tensor, Tensor]:
    """x = 1, 2, 3 with labels 2, 3, 1, four classes: always three samples, never noise."""
    return torch.tensor([[1.0], [2.0], [3.0]], dtype=torch.float64), torch.tensor([2, 3, 1])


@DATASETS.register("article_literal", "The article's numbers, one output", outputs=1, fixed=True)
def article_literal(n: int, noise: float, generator: Generator) -> tuple[Tensor, Tensor]:
    """The article's data as printed, under a single output: cannot be trained, and says why."""
    return article(n, noise, generator)


# ---------------------------------------------------------------------- sequences: X (n, T, c)
@DATASETS.register("latch", "Latch: the first symbol", sequence=True)
def latch(n: int, noise: float, generator: Generator, length: int = 32) -> tuple[Tensor, Tensor]:
    """The label is the first symbol, +1 or -1; after it comes noise of std 5 `noise` (Bengio et al. 1994)."""
    y = torch.randperm(n, generator=generator) % 2
    x = 5 * noise * torch.randn(n, length, 1, generator=generator, dtype=torch.float64)
    x[:, 0, 0] = 2.0 * y - 1.0
    return x, y


@DATASETS.register("adding", "Adding", sequence=True, shortest=2)
def adding(n: int, noise: float, generator: Generator, length: int = 32) -> tuple[Tensor, Tensor]:
    """The sum of two marked numbers of [0, 1], one in each half; the mean's error is 1/6 (Hochreiter 1997)."""
    values = torch.rand(n, length, generator=generator, dtype=torch.float64)
    half, row = length // 2, torch.arange(n)
    first = torch.randint(half, (n,), generator=generator)
    second = half + torch.randint(length - half, (n,), generator=generator)
    marks = torch.zeros(n, length, dtype=torch.float64)
    marks[row, first] = marks[row, second] = 1.0
    return torch.stack([values, marks], 2), (values[row, first] + values[row, second])[:, None]


@DATASETS.register("copy_memory", "Copy memory", sequence=True, shortest=21, every_step=True, outputs=9)
def copy_memory(n: int, noise: float, generator: Generator, length: int = 32) -> tuple[Tensor, Tensor]:
    """Ten symbols of eight, a pause, a signal: say the ten again, and blank before (Hochreiter 1997; Arjovsky 2016).

    X is one-hot over 8 symbols, blank (8) and signal (9); y is a label per step. The pause is what `length` leaves.
    """
    symbols = torch.randint(8, (n, 10), generator=generator)
    read, y = torch.full((n, length), 8), torch.full((n, length), 8)
    read[:, :10], read[:, length - 11], y[:, length - 10 :] = symbols, 9, symbols
    return F.one_hot(read, 10).double(), y


@DATASETS.register("parity", "Parity", sequence=True)
def parity(n: int, noise: float, generator: Generator, length: int = 32) -> tuple[Tensor, Tensor]:
    """Whether the number of +1 among symbols +1 and -1 is odd: every step counts, none alone says anything."""
    ones = torch.randint(2, (n, length), generator=generator)
    return (2.0 * ones - 1.0)[:, :, None].double(), ones.sum(1) % 2
