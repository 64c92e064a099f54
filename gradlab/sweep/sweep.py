"""`Sweep`: many networks, trained at once or anywhere, results as they come."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from gradlab.config import Config
from gradlab.data import Loss
from gradlab.engine.check import check_count, prepare_data
from gradlab.sweep import storage
from gradlab.sweep.driving import Event, drive
from gradlab.sweep.grid import make_grid
from gradlab.sweep.outcome import MEASURES
from gradlab.sweep.progress import no_bar, open_bar
from gradlab.sweep.results import Results
from gradlab.sweep.task import Task, plan

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_BYTES = 256 * 2**20
_SAVE_EVERY = 2.0  # seconds


class Sweep(Results):
    """Networks over a grid of knobs: planned here, run by `run` or `iterate`.

    Parameters
    ----------
    config : Config
        The knobs that are not swept.
    over : mapping of str to list
        Knobs and the values each shall take; every combination is a cell.
    steps : int, default 50
        Optimizer steps of each network; 0 measures them at init only.
    seeds : int or list of int, default 4
        Networks per cell; each seed is added to the config's `weight_seed` and `batch_seed`.
    learned_below : float, default 0.3
        Evaluation loss below which a network has learned.
    max_bytes : int, default 256 MiB
        Bound on the memory of one stack of networks; an estimate, weights and activations counted.
    data, loss
        Own data and loss, as `Trainer` takes them.

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
        super().__init__(make_grid(config, over, seeds))
        check_count("steps", steps)
        check_count("max_bytes", max_bytes)
        self.steps, self.max_bytes, self.learned_below = int(steps), int(max_bytes), float(learned_below)
        if data is not None or loss is not None:
            prepare_data(config, data, loss)
        self._data = None if data is None else tuple(torch.as_tensor(part).detach() for part in data)
        self._loss = loss
        self._stopped = False
        self._adopted: frozenset[int] = frozenset()

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
            raise ValueError(f"executor={executor!r:.60}; expected a concurrent.futures.Executor, or None")
        self._stopped = False
        for event in drive(self._open_tasks(retry), executor, lambda: self._stopped):
            if event.task is not None:
                self.put(event.task.numbers, event.outcomes)
            if event.note and event.note not in self.notes:
                self.notes.append(event.note)
            yield event

    def _open_tasks(self, retry: bool) -> list[Task]:
        wanted = [n for n in range(self.grid.size) if n not in self._adopted]
        tasks = plan(self.grid, wanted, self.steps, self.learned_below, self.max_bytes, self._data, self._loss)
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
        saved, bar = time.monotonic(), open_bar(self, self.steps) if progress else no_bar
        try:
            for event in self.iterate(executor, retry):
                bar(event.network_steps)
                if event.task is None:
                    continue
                if callback is not None:
                    callback(self)
                if path is not None and time.monotonic() - saved > _SAVE_EVERY:
                    self.save(path)
                    saved = time.monotonic()
        except KeyboardInterrupt:
            self.stop()
        finally:
            bar(None)
        if path is not None:
            self.save(path)
        return self

    def adopt(self, other: Results) -> None:
        """Take over the outcomes of another sweep's networks that this one has too."""
        if not self.grid.differs_only_in_values(other.grid):
            return
        theirs = {(*other.grid.place(int(n)),): int(n) for n in np.flatnonzero(other.done.ravel())}
        known = {(tuple(other.grid.point(index).values()), seed): n for (index, seed), n in theirs.items()}
        taken = set(self._adopted)
        for number in range(self.grid.size):
            index, seed = self.grid.place(number)
            if (match := known.get((tuple(self.grid.point(index).values()), seed))) is not None:
                self.put([number], [other.outcome(match)])
                taken.add(number)
        self._adopted = frozenset(taken)

    # ------------------------------------------------------------------ files
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the sweep, finished or not, to one npz file; never half of it, never over another file.

        Raises
        ------
        ValueError
            If `path` holds something else: another sweep, a truncated file, no sweep.
        """
        notes = {"how": self.how, "errors": self.errors, "notes": self.notes}
        storage.write(path, storage.Stored(self._plan(), notes, self._values, self._done))

    def check_file(self, path: str | os.PathLike[str]) -> None:
        """Raise ValueError unless the file at `path` holds this very sweep."""
        storage.check_same(path, self._plan())

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
        sweep = cls(
            Config.from_dict(asked["config"]),
            asked["over"],
            steps=asked["steps"],
            seeds=asked["seeds"],
            learned_below=asked["learned_below"],
            max_bytes=asked["max_bytes"],
            data=data,
            loss=loss,
        )
        differing = [name for name, value in sweep._plan().items() if value != asked.get(name)]
        if differing:
            raise ValueError(
                f"path={str(path)!r}: its {differing[0]} is not the one given; expected the {differing[0]} that it "
                "was run with"
            )
        sweep._values[:], sweep._done[:] = stored.values, stored.done
        sweep.how, sweep.errors = (storage.integers(stored.notes[name]) for name in ("how", "errors"))
        sweep.notes = list(stored.notes["notes"])
        return sweep

    @classmethod
    def resume(cls, path: str | os.PathLike[str], *, data: Any = None, loss: Loss | None = None, **run: Any) -> Sweep:
        """Load a saved sweep, run what is not finished (keywords as for `run`) and save it again."""
        return cls.load(path, data=data, loss=loss).run(path=Path(path), **run)

    # ------------------------------------------------------------------ showing
    def plot(self, measure: str | None = None, **options: Any) -> Figure:
        """Return a matplotlib figure: a heat map over two knobs, lines over one (see `gradlab.plots.phase`)."""
        from gradlab.plots.phase import draw_sweep

        return draw_sweep(self, measure, **options)

    def __repr__(self) -> str:
        axes = " x ".join(f"{name} ({len(values)})" for name, values in self.grid.over.items()) or "one cell"
        state = f"{int(self._done.sum())} of {self.grid.size} networks"
        alone = sum(how != "stacked" for how in self.how.values())
        extras = [f"{alone} alone"] * bool(alone) + [f"{len(self.errors)} failed"] * bool(self.errors)
        return f"Sweep({', '.join([axes, f'{len(self.grid.seeds)} seeds', f'{self.steps} steps', state, *extras])})"
