"""`history_to_csv`: a `History` as a table that any program reads."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

import numpy as np

from gradlab.history import COUNTS, PER_LAYER, SCALARS, History, Mark


def history_to_csv(history: History, path: str | os.PathLike[str] | None = None) -> str:
    """Return a history as CSV: one row a step, the columns of `History.to_frame`, and the marks.

    With a path it is written there too, in UTF-8.

    Numbers are written with all their digits, what is not finite as ``nan``, ``inf`` and ``-inf``, whether a
    step was applied as 1 or 0. The last column, ``marks``, says what happened before or at the step, e.g.
    ``knob: lr 0.05 -> 0.1``; a mark whose own step has no row stands in the next row that is there, or else in
    the last, with its step's number. A mark without any row stands nowhere.
    """
    layers = range(1, len(history.layer_names) + 1)
    names = [*SCALARS, *(f"{name}_{layer}" for name in PER_LAYER for layer in layers), "marks"]
    whole = {*COUNTS, "applied"}
    columns = [
        [int(v) for v in history.column(name)] if name in whole else history.column(name).tolist() for name in SCALARS
    ]
    columns += [values.tolist() for name in PER_LAYER for values in history.column(name).T]
    table = io.StringIO(newline="")
    writer = csv.writer(table)
    writer.writerow(names)
    writer.writerows(zip(*columns, _marks(history), strict=True))
    if path is not None:
        Path(path).write_text(table.getvalue(), encoding="utf-8", newline="")
    return table.getvalue()


def _marks(history: History) -> list[str]:
    steps = history.column("step")
    texts: list[list[str]] = [[] for _ in steps]
    for mark in history.marks if len(steps) else ():
        row = min(int(np.searchsorted(steps, mark.step)), len(steps) - 1)
        texts[row].append(_said(mark, int(steps[row])))
    return ["; ".join(said) for said in texts]


def _said(mark: Mark, step: int) -> str:
    where = "" if mark.step == step else f"step {mark.step}: "
    return f"{where}{mark.kind}: {mark.text}"
