"""`LearnedLooks`: what a network makes of its data, looked at now and then; `Seldom`: when that is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gradlab.data import Data
from gradlab.engine import Trainer
from gradlab.growth import number_words
from gradlab.history import Array
from gradlab.locale import Text
from gradlab.stage.shown import GRID, Learned

_POINTS, _SAMPLES = 160, 6
_PRODUCTS = 10**10  # multiplications of one look: less than half a second
_REST = 30  # times what a costly look takes, until there is another
_MARGIN = 0.12  # of the data's width, on each side of the boundary's grid


class Seldom:
    """Says when something costly is due while a run plays: now and then, and at most a thirtieth of the time."""

    def __init__(self, every: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._every, self._clock, self._next = every, clock, 0.0

    @property
    def due(self) -> bool:
        """Whether enough time has passed since the last."""
        return self._clock() >= self._next

    @contextmanager
    def spend(self, rest: float = _REST) -> Iterator[None]:
        """Note what it takes: the next is due `every` seconds after it began, or after a rest of many times that."""
        start = self._clock()
        yield
        now = self._clock()
        self._next = max(start + self._every, now + rest * (now - start))


class LearnedLooks:
    """Looks at one lane's network in evaluation mode."""

    def __init__(self, text: Text) -> None:
        self._text, self._seldom = text, Seldom(0.4)
        self._of: Trainer | None = None
        self._step = -1
        self._fixed: dict[str, Any] = {}
        self._inputs: Tensor | None = None
        self._found: Learned | None = None

    def look(self, trainer: Trainer, now: bool) -> Learned | None:
        """Return the newest look, a new one if it is time, or `now` if the run has moved."""
        if trainer is not self._of:
            self._begin(trainer)
        elif trainer.step_count == self._step or not (now or self._seldom.due):
            return self._found
        with self._seldom.spend():
            self._found = self._look(trainer)
        self._step = trainer.step_count
        return self._found

    def _begin(self, trainer: Trainer) -> None:
        data = trainer.data
        self._of, self._inputs, self._fixed = trainer, None, {}
        if data.x.dim() == 2 and data.x.shape[1] == 2 and data.classification and not data.every_step:
            points = _points(data.x, data.y)
            held = trainer.held_out
            extent = _extent(points)
            self._inputs = _grid(extent).to(data.x.dtype)
            self._fixed = {"classes": data.outputs, "extent": extent, "points": points}
            self._fixed |= {} if held is None else {"held": _points(*held)}
        elif not data.classification and not data.every_step and data.y[0].numel() == 1:
            self._fixed = {"classes": 0, "extent": _extent(_points(data.y.reshape(-1, 1).repeat(1, 2), data.y), 0.25)}

    def _look(self, trainer: Trainer) -> Learned | None:
        try:
            most = max(_POINTS, _PRODUCTS // max(1, _products(trainer)))
            rows = tuple(self._rows(trainer.evaluate(most), most if most < trainer.data.n else None))
            if self._inputs is not None:
                grid = _classes(_answers(trainer, self._inputs), self._fixed["classes"])
                return Learned(grid=grid, rows=rows, **self._fixed)
            if self._fixed:  # a regression
                held = trainer.held_out
                found: dict[str, Any] = {"points": self._answered(trainer, trainer.data.x, trainer.data.y)}
                found |= {} if held is None else {"held": self._answered(trainer, *held)}
                return Learned(rows=rows, **self._fixed, **found)
            return Learned(rows=rows, samples=self._samples(trainer))
        except (ValueError, RuntimeError) as error:  # an own network that answers its own data only, say
            return Learned(rows=((self._text("learned.unknown"), str(error)[:80]),))

    def _answered(self, trainer: Trainer, x: Tensor, y: Tensor) -> Array:
        """Return what was asked of some samples and what was answered; beyond the square stands at its edge."""
        some = torch.linspace(0, len(x) - 1, min(_POINTS, len(x))).long()
        answers = _answers(trainer, x[some]).reshape(len(some), -1)[:, -1]
        found = _points(torch.stack([y[some].reshape(-1).double(), answers.double()], 1), torch.zeros(len(some)))
        low, high = self._fixed["extent"][2:]
        found[:, 1] = np.clip(found[:, 1], low, high)
        return found

    def _rows(self, found: dict[str, float], samples: int | None) -> list[tuple[str, str]]:
        """Return accuracy and loss in words, of what is held out if anything is; of how many, if not of all."""
        held = {name: value for name, value in found.items() if name.startswith("holdout")}
        of = "" if samples is None else self._text("learned.of", samples=samples)
        return [
            (self._text(f"learned.{name}"), (f"{value:.0%}" if "accuracy" in name else number_words(value)) + of)
            for name, value in sorted((held or found).items())
        ]

    def _samples(self, trainer: Trainer) -> tuple[tuple[Array, str, str, bool], ...]:
        """Return pictures or series of a few samples, what was asked of each and what was answered."""
        data = trainer.data
        if data.x.dim() < 2 or data.x[0].numel() < 4:
            return ()
        rows = torch.linspace(0, data.n - 1, min(_SAMPLES, data.n)).long()
        answers = _answers(trainer, data.x[rows])
        return tuple(_sample(data, int(row), answer) for row, answer in zip(rows, answers, strict=True))


def _products(trainer: Trainer) -> int:
    """Return about how many multiplications one sample takes: every weight at every place of it."""
    x = trainer.data.x
    places = {3: x[0, ..., 0].numel(), 4: x[0, 0].numel()}.get(x.dim(), 1)
    return places * sum(p.numel() for p in trainer.network.parameters())


def _answers(trainer: Trainer, x: Tensor) -> Tensor:
    """Return the network's outputs in evaluation mode; what training sees of it stays as it is."""
    training = [module for module in trainer.network.modules() if module.training]
    trainer.network.eval()
    try:
        with torch.no_grad():
            return trainer.network(x.clone())
    finally:
        for module in training:
            module.training = True


def _points(x: Tensor, y: Tensor) -> Array:
    some = torch.linspace(0, len(x) - 1, min(_POINTS, len(x))).long()
    return torch.cat([x[some].double(), y[some].reshape(-1, 1).double()], 1).numpy()


def _extent(points: Array, margin: float = _MARGIN) -> tuple[float, float, float, float]:
    """Return a square around the points: a plane whose axes are stretched apart bends every boundary."""
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    middle, half = (low + high) / 2, float((high - low).max()) / 2 * (1 + 2 * margin) or 1.0
    return middle[0] - half, middle[0] + half, middle[1] - half, middle[1] + half


def _grid(extent: tuple[float, float, float, float]) -> Tensor:
    left, right, bottom, top = extent
    x, y = torch.linspace(left, right, GRID), torch.linspace(bottom, top, GRID)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).reshape(-1, 2)


def _classes(answers: Tensor, classes: int) -> bytes:
    if classes == 2:
        share = torch.softmax(answers.double(), 1)[:, 1]
        return torch.nan_to_num(share * 255, nan=127.5).round().to(torch.uint8).numpy().tobytes()
    return answers.argmax(1).to(torch.uint8).numpy().tobytes()


def _sample(data: Data, row: int, answer: Tensor) -> tuple[Array, str, str, bool]:
    x = data.x[row].double().numpy()
    y = data.y[row]
    if data.classification:
        target, said = _symbols(y), _symbols(answer.argmax(-1))
        right = bool(torch.equal(answer.argmax(-1), y))
    else:
        target, said = (f"{float(v.reshape(-1)[-1]):.2g}" for v in (y, answer))
        right = bool(abs(float((answer - y).reshape(-1)[-1])) < 0.1)
    return _image(x), target, said, right


def _symbols(labels: Tensor) -> str:
    return "".join(map(str, labels.reshape(-1).tolist()[-10:]))


def _image(x: Array) -> Array:
    """Return a sample as an image where its size is a square's, as a series of its first channel else; 0 to 1."""
    side = round(x.size**0.5)
    if x.ndim > 2:
        found = x[0]
    elif x.ndim == 2:
        found = x[:, 0]
    else:
        found = x.reshape(side, side) if side * side == x.size and side > 2 else x
    low, high = float(found.min()), float(found.max())
    return (found - low) / (high - low) if high > low else np.zeros_like(found)
