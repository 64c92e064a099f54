"""`Sweep`: many networks, trained at once or anywhere, results as they come, as arrays over a grid."""

from __future__ import annotations

import math
import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from gradlab.config import Config
from gradlab.data import Loss
from gradlab.engine.check import check_count, check_number, prepare_data
from gradlab.history import Array
from gradlab.registry import brief
from gradlab.sweep import storage
from gradlab.sweep.grid import MEASURES, Outcome, Table, Training, make_grid
from gradlab.sweep.schedule import Event, Task, plan, run_tasks

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

MAX_BYTES = 256 * 2**20
_SAVE_EVERY = 2.0  # seconds
_LOG_MEAN = ("growth", "first_norm", "final_norm", "first_delta", "final_delta")
_MEDIAN = ("first_loss", "final_loss", "eval_loss")
_HIGH_IS_GOOD = ("accuracy", "survived", "learned")
_SHOWN = ("growth", "eval_loss", "accuracy", "survived", "learned", "diverged_at", "clipped")

PICTURES: dict[str, Callable[..., Figure]] = {}
"""What can be drawn of a sweep by the layer above, which puts it here: ``"sweep"`` by `gradlab.plots.phase`."""


class Sweep:
    """Networks over a grid of knobs: planned here, run by `run` or `iterate`.

    Parameters
    ----------
    config, over, steps, seeds, learned_below, max_bytes, data, loss
        As `gradlab.sweep` takes them.

    Attributes
    ----------
    grid : Grid
        The networks.
    errors : dict of int to str
        Number of a network -> the exception that ended it.
    how : dict of int to str
        Number of a network -> ``"stacked"``, or ``"alone: "`` and why.
    notes : list of str
        What went wrong on the way without costing a result, such as a worker that was lost.

    Raises
    ------
    ValueError
        If a knob, a value or another argument is not accepted.
    """

    def __init__(
        self,
        config: Config,
        over: Mapping[str, Iterable[Any]] | None = None,
        *,
        steps: int = 50,
        seeds: int | Iterable[int] = 4,
        learned_below: float = 0.3,
        max_bytes: int = MAX_BYTES,
        data: Any = None,
        loss: Loss | None = None,
    ) -> None:
        self.grid = make_grid(config, over, seeds)
        check_count("steps", steps)
        check_count("max_bytes", max_bytes)
        self.steps, self.max_bytes = int(steps), int(max_bytes)
        self.learned_below = check_number("learned_below", learned_below)
        if data is not None or loss is not None:
            prepare_data(config, data, loss)
        self._data = None if data is None else tuple(torch.as_tensor(part).detach() for part in data)
        self._loss = loss
        self._stopped = False
        self._adopted: set[int] = set()
        self.errors: dict[int, str] = {}
        self.how: dict[int, str] = {}
        self.notes: list[str] = []
        self._values = np.full((len(MEASURES), self.grid.size), np.nan)
        self._done = np.zeros(self.grid.size, dtype=bool)

    # ------------------------------------------------------------------ running
    def stop(self) -> None:
        """Stop `run` or `iterate` at the next step of a network; what is finished stays, what is not runs again."""
        self._stopped = True

    def iterate(self, executor: Executor | None = None, retry: bool = False) -> Iterator[Event]:
        """Run what is not finished, yielding an `Event` at every step of a stack and every finished task.

        Parameters
        ----------
        executor : concurrent.futures.Executor, optional
            Runs the tasks; default this process. The results are the same.
        retry : bool, default False
            Whether networks that ended in an exception run again.
        """
        if executor is not None and not callable(getattr(executor, "submit", None)):
            raise ValueError(f"executor={brief(executor)}; expected a concurrent.futures.Executor, or None")
        self._stopped = False
        for event in run_tasks(self._open_tasks(retry), executor, lambda: self._stopped):
            if event.task is not None:
                self.put(event.task.numbers, event.outcomes)
            if event.note and event.note not in self.notes:
                self.notes.append(event.note)
            yield event

    def _open_tasks(self, retry: bool) -> list[Task]:
        wanted = [n for n in range(self.grid.size) if n not in self._adopted]
        training = Training(self.steps, self.learned_below, self._data, self._loss)
        tasks = plan(self.grid, wanted, training, self.max_bytes)
        again = set(self.errors) if retry else set()
        return [t for t in tasks if not all(self._done[n] for n in t.numbers) or again.intersection(t.numbers)]

    def run(
        self,
        executor: Executor | None = None,
        progress: bool = True,
        callback: Callable[[Sweep], object] | None = None,
        path: str | os.PathLike[str] | None = None,
        retry: bool = False,
    ) -> Sweep:
        """Run what is not finished and return the sweep itself.

        A KeyboardInterrupt (the notebook's stop button) ends it like `stop`: what is finished stays.

        Parameters
        ----------
        executor, retry
            As for `iterate`.
        progress : bool, default True
            Show a bar with rate and time left; its unit is one step of one network.
        callback : callable, optional
            Called with the sweep whenever networks are finished; it may call `stop`.
        path : path, optional
            Save there every few seconds and at the end.
        """
        if path is not None:
            self.save(path)  # what is wrong with the path shows before anything is trained
        try:
            self._run(executor, progress, callback, path, retry)
        except KeyboardInterrupt:
            self.stop()
        finally:  # also when the callback raises
            self._try_to_save(path)
        return self

    def _run(self, executor: Executor | None, progress: bool, callback: Any, path: Any, retry: bool) -> None:
        from tqdm.auto import tqdm

        saved, each = time.monotonic(), max(self.steps, 1)
        total, initial = self.grid.size * each, int(self._done.sum()) * each
        with tqdm(total=total, initial=initial, unit="step", unit_scale=True, disable=not progress) as bar:
            for event in self.iterate(executor, retry):
                bar.update(event.network_steps)
                if event.task is None:
                    continue
                if time.monotonic() - saved > _SAVE_EVERY:
                    self._try_to_save(path)
                    saved = time.monotonic()
                if callback is not None:
                    callback(self)

    def _try_to_save(self, path: str | os.PathLike[str] | None) -> None:
        """Save; a disk that is full in the middle of a sweep costs the file, not the results."""
        try:
            if path is not None:
                self.save(path)
        except OSError as error:
            note = f"not saved to {str(path)!r} ({error}); the results are in memory, Sweep.save writes elsewhere"
            if note not in self.notes:
                self.notes.append(note)
                warnings.warn(note, RuntimeWarning, stacklevel=3)

    def adopt(self, other: Sweep) -> None:
        """Take over the outcomes of another sweep's networks that this one has too."""
        known = {other.grid.key(n): n for n in np.flatnonzero(other.done).tolist()}
        for number in range(self.grid.size):
            if (match := known.get(self.grid.key(number))) is not None:
                self.put([number], [other.outcome(match)])
                self._adopted.add(number)

    # ------------------------------------------------------------------ writing
    def put(self, numbers: Sequence[int], outcomes: Sequence[Outcome]) -> None:
        """Keep the outcomes of the networks with these numbers."""
        for number, outcome in zip(numbers, outcomes, strict=True):
            self._values[:, number] = [getattr(outcome, name) for name in MEASURES]
            self._done[number] = True
            self.how[number] = outcome.how
            self.errors.pop(number, None)
            if outcome.error:
                self.errors[number] = outcome.error

    # ------------------------------------------------------------------ reading
    @property
    def done(self) -> NDArray[np.bool_]:
        """Which networks are finished, of shape ``(*values per knob, seeds)``; a copy."""
        return self._done.reshape(self.grid.shape).copy()

    @property
    def finished(self) -> bool:
        """Whether every network is."""
        return bool(self._done.all())

    def column(self, name: str) -> Array:
        """Return one measure of every network; nan where it is not known (yet).

        Returns
        -------
        ndarray
            float64, a copy, of shape ``(*values per knob, seeds)``.

        Raises
        ------
        ValueError
            If there is no such measure; the message lists them.
        """
        if name not in MEASURES:
            raise ValueError(f"measure {brief(name)}; expected one of {', '.join(MEASURES)}")
        return self._values[MEASURES.index(name)].reshape(self.grid.shape).copy()

    def outcome(self, number: int) -> Outcome:
        """Return the outcome of one network."""
        if not self._done[number]:
            raise ValueError(f"number={brief(number)}: this network is not finished; expected one that is")
        values = dict(zip(MEASURES, self._values[:, number].tolist(), strict=True))
        return Outcome(**values, how=self.how[number], error=self.errors.get(number, ""))

    def over_seeds(self, name: str) -> Array:
        """Return one number per cell, of shape ``(*values per knob,)``; nan for a cell without any.

        Growth, norms and delta: the geometric mean, as theory speaks of the mean of logs (Hanin & Nica 2019).
        Losses: the median, an infinite or undefined loss counting as infinite. Others: the mean, so `survived`
        and `learned` become shares.
        """
        values, known = self._known(name)
        if name in _LOG_MEAN:
            with np.errstate(divide="ignore", invalid="ignore"):
                return np.exp(_per_cell(np.log(values), known, np.mean))
        return _per_cell(values, known, np.median if name in _MEDIAN else np.mean)

    def spread(self, name: str) -> tuple[Array, Array]:
        """Return the smallest and the largest value over the seeds, each of shape ``(*values per knob,)``."""
        values, known = self._known(name)
        return _per_cell(values, known, np.min), _per_cell(values, known, np.max)

    def _known(self, name: str) -> tuple[Array, NDArray[np.bool_]]:
        values = self.column(name)
        if name in ("final_loss", "eval_loss"):
            values[(self.column("steps") > 0) & np.isnan(values)] = np.inf
        return values, ~np.isnan(values)

    def config_at(self, index: Sequence[int], seed: int = 0) -> Config:
        """Return the config of the cell at `index`, one whole number per swept knob, with `seed` added."""
        return self.grid.config_at(index, seed)

    # ------------------------------------------------------------------ tables
    def best(self, n: int = 5, by: str | None = None) -> Table:
        """Return the `n` best cells, by `eval_loss`; a sweep of 0 steps by how near growth is to 1."""
        return self._ranked(n, by, 1.0)

    def worst(self, n: int = 5, by: str | None = None) -> Table:
        """Return the `n` worst cells, the worst first."""
        return self._ranked(n, by, -1.0)

    def _ranked(self, n: int, by: str | None, sign: float) -> Table:
        trained = bool((self.column("steps") > 0).any())
        by = by or ("eval_loss" if trained else "growth")
        badness = self.over_seeds(by)
        if by == "growth":
            with np.errstate(divide="ignore"):
                badness = np.abs(np.log(badness))
        if by in _HIGH_IS_GOOD:
            badness = -badness
        known = [index for index in np.ndindex(badness.shape) if not math.isnan(badness[index])]
        ranked = sorted(known, key=lambda index: sign * badness[index])[:n]
        means = {name: self.over_seeds(name) for name in dict.fromkeys((by, *_SHOWN))}
        return Table({**self.grid.point(i), **{k: float(v[i]) for k, v in means.items()}} for i in ranked)

    def rows(self) -> list[dict[str, Any]]:
        """Return one dict per finished network: its knobs, its seed, its measures, `how` and `error`."""
        found = []
        for number in np.flatnonzero(self._done).tolist():
            index, seed = self.grid.place(number)
            found.append({**self.grid.point(index), "seed": seed, **asdict(self.outcome(number))})
        return found

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas DataFrame, one row a finished network."""
        try:
            import pandas as pd
        except ImportError:
            raise ImportError(
                "Sweep.to_frame needs pandas, which is not installed; run pip install 'gradlab-jupyter[frame]'"
            ) from None
        return pd.DataFrame(self.rows(), columns=[*self.grid.over, "seed", *MEASURES, "how", "error"])

    # ------------------------------------------------------------------ files
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the sweep, finished or not, to one npz file; never half of it, never over another file.

        What the file knows of networks that are not finished here is kept: two may write to one file.

        Raises
        ------
        ValueError
            If `path` holds something else: another sweep, a truncated file, no sweep.
        OSError
            If it cannot be written.
        """
        if Path(path).is_dir():
            raise ValueError(f"path={str(path)!r} is a directory; expected a file, such as sweep.npz in it")
        if Path(path).exists():
            stored = storage.read(path)
            if what := storage.difference(stored, self._plan()):
                raise ValueError(
                    f"path={str(path)!r} holds another sweep, its {what} is different; expected a new path, this one "
                    "is left as it is"
                )
            self._take_over(stored)
        notes = {"how": self.how, "errors": self.errors, "notes": self.notes}
        storage.write(path, storage.Stored(self._plan(), notes, self._values, self._done))

    def _take_over(self, stored: storage.Stored) -> None:
        """Take over the stored networks that are not finished here."""
        fresh = np.flatnonzero(stored.done & ~self._done)
        self._values[:, fresh], self._done[fresh] = stored.values[:, fresh], True
        for number in fresh.tolist():
            self.how[number] = str(stored.notes["how"][str(number)])
            if error := stored.notes["errors"].get(str(number)):
                self.errors[number] = str(error)
        self.notes += [note for note in stored.notes["notes"] if note not in self.notes]

    def _plan(self) -> dict[str, Any]:
        return {
            "config": self.grid.config.to_dict(),
            "over": {name: list(values) for name, values in self.grid.over.items()},
            "seeds": list(self.grid.seeds),
            "steps": self.steps,
            "learned_below": self.learned_below,
            "max_bytes": self.max_bytes,
            "data": storage.fingerprint(self._data),
            "loss": "" if self._loss is None else getattr(self._loss, "__qualname__", type(self._loss).__name__),
            "measures": list(MEASURES),
        }

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, data: Any = None, loss: Loss | None = None) -> Sweep:
        """Read a saved sweep; own data and loss are not in the file, so they are passed again.

        Raises
        ------
        FileNotFoundError
            If there is no file.
        ValueError
            If it is truncated or damaged, of a newer version, or was run on other data or another loss.
        """
        stored = storage.read(path)
        asked = stored.plan
        same = {name: asked[name] for name in ("steps", "seeds", "learned_below", "max_bytes")}
        sweep = cls(Config.from_dict(asked["config"]), asked["over"], **same, data=data, loss=loss)
        if what := storage.difference(stored, sweep._plan()):
            raise ValueError(
                f"path={str(path)!r}: its {what} is not the one given; expected the {what} that it was run with"
            )
        sweep._take_over(stored)
        return sweep

    @classmethod
    def resume(cls, path: str | os.PathLike[str], *, data: Any = None, loss: Loss | None = None, **run: Any) -> Sweep:
        """Load a saved sweep, run what is not finished (keywords as for `run`) and save it again."""
        return cls.load(path, data=data, loss=loss).run(path=Path(path), **run)

    # ------------------------------------------------------------------ showing
    def plot(self, measure: str | None = None, **options: Any) -> Figure:
        """Return a matplotlib figure: a heat map over two knobs, lines over one (see `gradlab.plots.phase`)."""
        return PICTURES["sweep"](self, measure, **options)

    def __repr__(self) -> str:
        axes = " x ".join(f"{name} ({len(values)})" for name, values in self.grid.over.items()) or "one cell"
        state = f"{int(self._done.sum())} of {self.grid.size} networks"
        alone = sum(how != "stacked" for how in self.how.values())
        extras = [f"{alone} alone"] * bool(alone) + [f"{len(self.errors)} failed"] * bool(self.errors)
        return f"Sweep({', '.join([axes, f'{len(self.grid.seeds)} seeds', f'{self.steps} steps', state, *extras])})"


def _per_cell(values: Array, known: NDArray[np.bool_], reduce: Any) -> Array:
    """Reduce the known values over the seeds, the last axis; nan where there are none."""
    found = np.full(values.shape[:-1], np.nan)
    with np.errstate(invalid="ignore"):
        for index in np.ndindex(found.shape):
            chosen = values[index][known[index]]
            found[index] = reduce(chosen) if len(chosen) else np.nan
    return found
