"""Many networks at once: `sweep`, `Sweep`, `phase_diagram`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from typing import Any

from gradlab.config import Config
from gradlab.data import Loss
from gradlab.sweep.grid import MEASURES, Outcome, Table
from gradlab.sweep.networks import MAX_BYTES, Sweep
from gradlab.sweep.phase_diagram import phase_axes, phase_diagram
from gradlab.sweep.schedule import Event

__all__ = ["MEASURES", "Event", "Outcome", "Sweep", "Table", "phase_axes", "phase_diagram", "sweep"]


def sweep(
    config: Config,
    over: Mapping[str, Iterable[Any]] | None = None,
    steps: int = 50,
    seeds: int | Iterable[int] = 4,
    executor: Executor | None = None,
    progress: bool = True,
    *,
    learned_below: float = 0.3,
    max_bytes: int = MAX_BYTES,
    data: Any = None,
    loss: Loss | None = None,
    callback: Callable[[Sweep], object] | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Sweep:
    """Train a network for every combination of some knobs' values and every seed, many at once.

    Networks that share shapes are trained as one stacked computation, with the numbers that each one's own
    `Trainer` would give; the others by a `Trainer` of their own, which the result says (`Sweep.how`).

    Parameters
    ----------
    config : Config
        The knobs that are not swept.
    over : mapping of str to list
        Knobs and the values each shall take, e.g. ``{"gain": [0.5, 1, 2], "depth": [5, 10, 20]}``.
    steps : int, default 50
        Optimizer steps of each network; 0 measures them at init only.
    seeds : int or list of int, default 4
        Networks per cell; each seed is added to the config's `weight_seed` and `batch_seed`.
    executor : concurrent.futures.Executor, optional
        Where to run, e.g. a ProcessPoolExecutor or dask's ``client.get_executor()``; default this process.
        Results are the same wherever and in whatever order; what a lost worker had runs again.
    progress : bool, default True
        Show a bar with rate and time left.
    learned_below : float, default 0.3
        Loss over all the data below which a network that survived has learned.
    max_bytes : int, default 256 MiB
        Bound on the memory of one stack of networks.
    data, loss
        Own data and loss, as `Trainer` takes them; an own loss is stacked if it can be mapped over networks.
    callback : callable, optional
        Called with the sweep whenever networks are finished; it may call `Sweep.stop`.
    path : path, optional
        Save there every few seconds. If the file holds this sweep already, it goes on from there.

    Returns
    -------
    Sweep
        Also when it was stopped or interrupted: then with what was finished.

    Raises
    ------
    ValueError
        If an argument is not accepted, or `path` holds something else.
    """
    asked = Sweep(
        config, over, steps=steps, seeds=seeds, learned_below=learned_below, max_bytes=max_bytes, data=data, loss=loss
    )
    return asked.run(executor, progress, callback, path)
