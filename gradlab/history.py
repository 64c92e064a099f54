"""What a run leaves behind: `StepRecord`, `Divergence`, `Mark`, and the append-only `History`, bounded in memory."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from html import escape
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from gradlab.locale import Said
from gradlab.registry import brief

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]
NO_TIME: Array = np.zeros((0, 0))
NO_TIME.flags.writeable = False


@dataclass(frozen=True, eq=False)
class StepRecord:
    """One optimizer step, measured; arrays have one entry per layer, from the input to the output.

    Attributes
    ----------
    step : int
        Number of steps before this one: the first step is 0.
    epoch : int
        Number of passes over the data completed before this step.
    samples, micro_batches, updates : int
        Samples and micro-batches processed, and updates applied by the optimizer, this step included.
    applied : bool
        Whether this step changed the weights.
    loss : float
        Mean loss over the window's samples, before the update.
    seconds : float
        Time spent in steps so far, pauses excluded.
    total_norm, clipped_total_norm : float
        2-norm of the accumulated gradient of all parameters, before and after clipping.
    clip_coef : float
        ``clipped_total_norm / total_norm``: 1 where nothing was clipped.
    clip_cosine : float
        Cosine between the gradient before and after clipping: 1 where the direction was kept.
    lr : float
        Learning rate of the update, the first one where there are several; nan where it is not known.
    loss_scale : float
        What the loss was multiplied with for the backward pass; every gradient recorded is without it.
    grad_norm, clipped_norm : array (layers,)
        Frobenius norm of dL/dW_l, accumulated, before and after clipping; nan for a layer without gradient.
    weight_norm : array (layers,)
        Frobenius norm of W_l before the update.
    update_ratio : array (layers,)
        Norm of the change of W_l over `weight_norm`.
    delta_norm : array (layers,)
        The backward signal: root-mean-square over samples of the norm of d loss_i / d z_l.
    activation_std : array (layers,)
        Standard deviation of the entries of h_l (of the output, for the last layer).
    saturated : array (layers,)
        Share of the entries of a bounded activation within 2.5 % of its range from an end; 0 for others.
    dead : array (layers,)
        Share of units whose activation was exactly 0 for every sample of the window.
    has_gradient : array (layers,)
        1 where the layer received a gradient, 0 where it is frozen or was not used.
    zero_share, subnormal_share, overflow_share : array (layers,)
        Shares of the entries of dL/dW_l that are exactly 0, too small for all their digits, and inf or nan, in the
        format that the gradient is computed in: of the accumulated gradient in full precision, in half precision
        of those of the micro-batches, times the loss scale. Subnormal numbers of float32 are looked for where
        a gradient's norm lies below 1e-15. nan for a layer without gradient.
    time_norm : array (recurrent layers, T)
        The backward signal through time: root-mean-square over samples of |d loss_i / d h_t|, all paths (of an LSTM,
        of the joint state (h_t, c_t)); shape (0, 0) without recurrence, nan for a time step that was not there.
        A `Trainer` measures that of a large `nn.LSTM` at every fourth step: the records between repeat it.
    """

    step: int
    epoch: int
    samples: int
    micro_batches: int
    updates: int
    applied: bool
    loss: float
    seconds: float
    total_norm: float
    clipped_total_norm: float
    clip_coef: float
    clip_cosine: float
    lr: float = field(default=math.nan, kw_only=True)
    loss_scale: float = field(default=1.0, kw_only=True)
    grad_norm: Array
    clipped_norm: Array
    weight_norm: Array
    update_ratio: Array
    delta_norm: Array
    activation_std: Array
    saturated: Array
    dead: Array
    has_gradient: Array
    zero_share: Array
    subnormal_share: Array
    overflow_share: Array
    time_norm: Array = field(default_factory=lambda: NO_TIME)

    @classmethod
    def of(cls, layers: Array, **scalars: Any) -> StepRecord:
        """Make a record of an array ``(measures, layers)``, from then on read-only, and of the numbers by name.

        The arrays come in the order of the fields. A frozen dataclass's own way sets 25 fields one by one, which
        costs as much as a layer.
        """
        record = object.__new__(cls)
        layers.flags.writeable = False
        scalars.update(zip(PER_LAYER, layers, strict=True))
        record.__dict__.update(scalars)
        return record

    def __repr__(self) -> str:
        return f"StepRecord(step={self.step}, loss={self.loss:.6g}, total_norm={self.total_norm:.6g})"


FIELDS = tuple(f.name for f in fields(StepRecord))
SCALARS = FIELDS[: FIELDS.index("grad_norm")]
PER_LAYER = FIELDS[FIELDS.index("grad_norm") : FIELDS.index("time_norm")]
COUNTS = ("step", "epoch", "samples", "micro_batches", "updates")


@dataclass(frozen=True)
class Divergence:
    """Where a run first left the finite numbers.

    Attributes
    ----------
    step : int
        The step that was not finite; ``rewind(step)`` is the last finite state.
    layer : int or None
        Number of the layer, 1 next to the input; None for the loss.
    tensor : str
        ``"activation"``, ``"loss"``, ``"gradient"`` or ``"weight"``.
    value : float
        inf or nan.
    layer_name : str
        The layer's name, empty for the loss.
    """

    step: int
    layer: int | None
    tensor: str
    value: float
    layer_name: str = ""

    @property
    def sentence(self) -> Said:
        """The divergence in one sentence."""
        what = Said("record.nan" if np.isnan(self.value) else "record.inf")
        if self.layer is None:
            return Said("record.diverged_loss", step=self.step, what=what)
        name = "" if self.layer_name in ("", f"layer {self.layer}") else f" ({self.layer_name})"
        tensor = Said(f"record.{self.tensor}")
        return Said("record.diverged", step=self.step, tensor=tensor, layer=self.layer, name=name, what=what)


@dataclass(frozen=True)
class Mark:
    """Something that happened between steps: a knob that moved, a step that was skipped, a divergence.

    Attributes
    ----------
    step : int
        The first step that it concerns.
    kind : str
        ``"knob"``, ``"skipped"`` or ``"diverged"``.
    text : str
        What happened, e.g. ``lr 0.05 -> 0.1``; a `Said` where it is a sentence.
    """

    step: int
    kind: str
    text: str


_BUDGET = 32 * 2**20  # bytes of rows before old stretches are thinned
_FEWEST_ROWS = 2048
_MOST_MARKS = 2000
_SCALARS_OF, _LAYERS_OF = attrgetter(*SCALARS), attrgetter(*PER_LAYER)


class HistoryState(NamedTuple):
    """What a history held at some moment."""

    rows: Array
    times: Array
    n: int
    marks: tuple[Mark, ...]
    diverged: Divergence | None


class History(Sequence[StepRecord]):
    """The steps of a run, oldest first.

    Appended to by its owner only. Memory is bounded: when the rows fill about 32 MB, older stretches are
    thinned to every 2nd, 4th, 8th ... step; step 0 and the newest stretch stay complete, and
    ``column("step")`` says which steps remain.

    Parameters
    ----------
    layer_names : sequence of str
        One name per layer, from the input to the output.
    tiny : float
        Smallest normal number of the network's dtype: a norm below it is made of subnormal entries.
    chance_loss : float
        The loss of an answer that ignores the inputs, nan where nobody knows it.
    kinds : sequence of str, optional
        What each layer's row is made of: ``"weight"`` (all, by default), or after those ``"bias"`` or ``"norm"``, a
        parameter of fewer than two dimensions: the squares of all rows' ``grad_norm`` then
        add up to the square of ``total_norm``.
    time_names : sequence of str, optional
        One name per recurrent layer and direction, from the input: the rows of ``time_norm``.

    Attributes
    ----------
    precision : str
        The format of the passes, as `Config.precision` says it; ``"full"`` unless the owner knows better.
    rewritten : int
        How often rows that were there went away or moved: while it stays, rows are only added at the end.
    """

    def __init__(
        self,
        layer_names: Sequence[str],
        tiny: float = float(np.finfo(np.float32).tiny),
        chance_loss: float = float("nan"),
        kinds: Sequence[str] | None = None,
        time_names: Sequence[str] = (),
    ) -> None:
        self.layer_names, self.time_names = tuple(layer_names), tuple(time_names)
        self.kinds = ("weight",) * len(self.layer_names) if kinds is None else tuple(kinds)
        self.tiny, self.chance_loss = tiny, chance_loss
        self.diverged: Divergence | None = None
        self.rewritten, self.precision = 0, "full"
        self._marks: tuple[Mark, ...] = ()
        self._width = len(SCALARS) + len(PER_LAYER) * len(self.layer_names)
        self._most_rows = max(_FEWEST_ROWS, _BUDGET // (8 * self._width))
        self._rows = np.empty((256, self._width))
        self._times = np.empty((256, 0, 0))  # time_norm of each row: (rows, recurrent layers, T)
        self._n = 0

    # ------------------------------------------------------------------ reading
    def __len__(self) -> int:
        return self._n

    @overload
    def __getitem__(self, index: int) -> StepRecord: ...
    @overload
    def __getitem__(self, index: slice) -> list[StepRecord]: ...
    def __getitem__(self, index: int | slice) -> StepRecord | list[StepRecord]:
        if isinstance(index, slice):
            return [self._record(i) for i in range(*index.indices(self._n))]
        if not -self._n <= index < self._n:
            raise IndexError(f"history[{index}]; expected an index from {-self._n} to {self._n - 1}")
        return self._record(index % self._n)

    def __iter__(self) -> Iterator[StepRecord]:
        return (self._record(i) for i in range(self._n))

    def _record(self, i: int) -> StepRecord:
        row = self._rows[i]
        values: dict[str, Any] = {name: float(v) for name, v in zip(SCALARS, row, strict=False)}
        values |= {name: int(values[name]) for name in COUNTS}
        values["applied"] = bool(values["applied"])
        layers = row[len(SCALARS) :].copy()
        layers.flags.writeable = False
        values |= dict(zip(PER_LAYER, layers.reshape(len(PER_LAYER), -1), strict=True))
        values["time_norm"] = self.row("time_norm", i)
        return StepRecord(**values)

    def column(self, name: str, start: int = 0) -> Array:
        """Return one measure over the steps kept.

        Parameters
        ----------
        name : str
            A field of `StepRecord`.
        start : int, default 0
            First row wanted, at least 0.

        Returns
        -------
        ndarray
            float64, a copy, of shape ``(steps,)`` for a number per step, ``(steps, layers)``, or of ``time_norm``
            ``(steps, recurrent layers, T)``.

        Raises
        ------
        ValueError
            If there is no such column; the message lists them.
        """
        if isinstance(name, str) and name == "time_norm":
            return self._times[start : self._n].copy()
        return self._rows[start : self._n, self._place(name)].copy()

    def row(self, name: str, index: int) -> Array:
        """Return one row of a column, ``column(name)[index]``, without a copy of the others."""
        if not -self._n <= index < self._n:
            raise IndexError(f"row {index}; expected an index from {-self._n} to {self._n - 1}")
        if name == "time_norm":
            return self._times[index % self._n].copy()
        return self._rows[index % self._n, self._place(name)].copy()

    def _place(self, name: str) -> int | slice:
        """Return where a column stands in a row."""
        if not isinstance(name, str) or name not in FIELDS:
            raise ValueError(f"column {brief(name)}; expected one of {', '.join(FIELDS)}")
        if name in SCALARS:
            return SCALARS.index(name)
        n_layers = len(self.layer_names)
        start = len(SCALARS) + PER_LAYER.index(name) * n_layers
        return slice(start, start + n_layers)

    @property
    def marks(self) -> tuple[Mark, ...]:
        """What happened between the steps, oldest first; at most the newest 2000."""
        return self._marks

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas DataFrame, one row a step; per-layer columns are named ``grad_norm_1`` and so on."""
        try:
            import pandas as pd
        except ImportError:
            raise ImportError(
                "History.to_frame needs pandas, which is not installed; run pip install 'gradlab-jupyter[frame]'"
            ) from None
        columns: dict[str, Array] = {name: self.column(name) for name in SCALARS}
        for name in PER_LAYER:
            values = self.column(name)
            columns |= {f"{name}_{i + 1}": values[:, i] for i in range(values.shape[1])}
        return pd.DataFrame(columns).astype(dict.fromkeys(COUNTS, "int64"))

    def of_weights(self) -> History:
        """Return this history without the rows of biases and norm parameters: itself if it has none, else a copy."""
        count = self.kinds.count("weight")
        if count == len(self.kinds):
            return self
        layers = [len(SCALARS) + i * len(self.kinds) + k for i in range(len(PER_LAYER)) for k in range(count)]
        found = History(self.layer_names[:count], self.tiny, self.chance_loss, time_names=self.time_names)
        rows = self._rows[: self._n, [*range(len(SCALARS)), *layers]]
        found._fill(rows, self._times[: self._n], self._marks, self.diverged)
        found.precision = self.precision
        return found

    def _fill(self, rows: Array, times: Array, marks: tuple[Mark, ...], diverged: Divergence | None) -> None:
        self._rows = np.concatenate([rows, np.empty((max(256 - len(rows), 1), self._width))])
        self._times = _resized(times, len(self._rows), np.arange(len(rows)))
        self._n, self._marks, self.diverged = len(rows), marks, diverged

    def save(self, path: str | Path) -> None:
        """Write everything to one file, a numpy archive of arrays and text (no pickle); `load` reads it."""
        about = {
            "layer_names": self.layer_names,
            "kinds": self.kinds,
            "time_names": self.time_names,
            "precision": self.precision,
            "tiny": self.tiny,
            "chance_loss": self.chance_loss,
            "columns": {"step": SCALARS, "layer": PER_LAYER},
            "marks": [[m.step, m.kind, _packed(m.text)] for m in self._marks],
            "diverged": self.diverged and asdict(self.diverged),
        }
        rows, times, buffer = self._rows[: self._n], self._times[: self._n], io.BytesIO()
        np.savez_compressed(buffer, rows=rows, times=times, about=np.array(json.dumps(about)))
        write_whole(Path(path), buffer.getbuffer())

    @classmethod
    def load(cls, path: str | Path) -> History:
        """Read what `save` wrote; a column that an older version did not know is nan.

        Raises
        ------
        ValueError
            If the file holds no history.
        """
        try:
            with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as held:
                rows, about = held["rows"], json.loads(str(held["about"]))
                times = held["times"] if "times" in held else np.empty((len(rows), 0, 0))
            names = (about["layer_names"], about["tiny"], about["chance_loss"], about["kinds"])
            found = cls(*names, about.get("time_names", ()))
            found.precision = about.get("precision", "full")
            scalars, layers, n = about["columns"]["step"], about["columns"]["layer"], len(found.layer_names)
            filled = np.full((len(rows), found._width), np.nan)
            for name in SCALARS:
                if name in scalars:
                    filled[:, found._place(name)] = rows[:, scalars.index(name)]
            for name in PER_LAYER:
                if name in layers:
                    start = len(scalars) + layers.index(name) * n
                    filled[:, found._place(name)] = rows[:, start : start + n]
            marks = tuple(Mark(step, kind, _unpacked(text)) for step, kind, text in about["marks"])
            found._fill(filled, times, marks, Divergence(**about["diverged"]) if about["diverged"] else None)
        except FileNotFoundError:
            raise
        except Exception as error:  # a damaged archive raises whatever its damaged bytes lead to
            raise ValueError(f"path={brief(str(path), 300)}; expected a file written by History.save") from error
        return found

    def __repr__(self) -> str:
        steps = f"{self._n} steps" if self._n != 1 else "1 step"
        end = f", {self.diverged.sentence}" if self.diverged else ""
        return f"History({steps}, {len(self.layer_names)} layers{end})"

    def _repr_html_(self) -> str:
        """Return the last step as a table of its rows, at most a dozen of the weights', in a notebook."""
        count = self.kinds.count("weight")
        if not (self._n and count):
            return f"<p>{escape(repr(self))}</p>"
        shown = sorted({round(i * (count - 1) / 11) for i in range(12)} | {0, count - 1})
        columns = {name: self.row(name, -1) for name in ("delta_norm", "grad_norm", "update_ratio", "activation_std")}
        cells = [[self.layer_names[i], *(f"{values[i]:.3g}" for values in columns.values())] for i in shown]
        lines = [f"<tr><th>{escape(name)}</th><td>{'</td><td>'.join(rest)}</td></tr>" for name, *rest in cells]
        head = "".join(f"<th>{name}</th>" for name in ("", *columns))
        losses = f"loss {self.row('loss', 0):.4g} -> {self.row('loss', -1):.4g}"
        said = escape(f"{self!r}: {losses}; step {self.row('step', -1):.0f}:")
        return f"<p>{said}</p><table><tr>{head}</tr>{''.join(lines)}</table>"

    # ------------------------------------------------------------------ writing, by the owner
    def append(self, record: StepRecord) -> None:
        """Add a step."""
        if self._n == len(self._rows):
            self._make_room()
        row = self._rows[self._n]
        row[: len(SCALARS)] = _SCALARS_OF(record)
        np.concatenate(_LAYERS_OF(record), out=row[len(SCALARS) :])
        if record.time_norm is not NO_TIME or self._times.size:
            self._put_time(record.time_norm)
        self._n += 1

    def _put_time(self, norms: Array) -> None:
        """Add a step's norms through time; where a sequence is longer than all before, those end in nan."""
        kept = self._times.shape
        layers, steps = max(kept[1], norms.shape[0]), max(kept[2], norms.shape[1])
        if kept[1:] != (layers, steps) or kept[0] != len(self._rows):
            times = np.full((len(self._rows), layers, steps), np.nan)
            times[: self._n, : kept[1], : kept[2]] = self._times[: self._n]
            self._times = times
            self._most_rows = max(_FEWEST_ROWS, _BUDGET // (8 * (self._width + layers * steps)))
        self._times[self._n] = np.nan
        self._times[self._n, : norms.shape[0], : norms.shape[1]] = norms

    def mark(self, mark: Mark) -> None:
        """Add a mark; moves of knobs before one and the same step become one mark, none if all are taken back."""
        marks = list(self._marks)
        same = [i for i, old in enumerate(marks[-20:]) if (old.step, old.kind) == (mark.step, mark.kind)]
        if mark.kind == "knob" and same:
            i = same[-1] + max(0, len(self._marks) - 20)
            mark = Mark(mark.step, mark.kind, _join(self._marks[i].text, mark.text))
            del marks[i]
        self._marks = tuple([*marks, mark] if mark.text else marks)[-_MOST_MARKS:]

    def rearrange(self, layer_names: Sequence[str], kinds: Sequence[str], places: Sequence[int | None]) -> None:
        """Give the rows other names, kinds and places: each the index it had, None for one that has no number yet."""
        rows = self._rows[: self._n]
        columns = {name: self.column(name) for name in PER_LAYER}
        self.layer_names, self.kinds = tuple(layer_names), tuple(kinds)
        self._width = len(SCALARS) + len(PER_LAYER) * len(self.layer_names)
        self._most_rows = max(_FEWEST_ROWS, _BUDGET // (8 * self._width))
        moved = np.full((self._n, self._width), np.nan)
        moved[:, : len(SCALARS)] = rows[:, : len(SCALARS)]
        for name, values in columns.items():
            block = moved[:, self._place(name)]
            block[:] = 0.0 if name == "has_gradient" else np.nan
            for i, place in enumerate(places):
                if place is not None:
                    block[:, i] = values[:, place]
        self._fill(moved, self._times[: self._n], self._marks, self.diverged)
        self.rewritten += 1

    def truncate(self, step: int) -> None:
        """Drop every step from number `step` on, with its marks and divergence."""
        self._n = int(np.searchsorted(self._rows[: self._n, 0], step))
        self.rewritten += 1
        self._marks = tuple(m for m in self._marks if m.step < step or (m.step == step and m.kind == "knob"))
        if self.diverged and self.diverged.step >= step:
            self.diverged = None

    def state(self) -> HistoryState:
        """Return where the history stands, to be given to `restore`; nothing is copied."""
        return HistoryState(self._rows, self._times, self._n, self._marks, self.diverged)

    def restore(self, state: HistoryState) -> None:
        """Go back to a state; between the two, rows may have been added or dropped, but not both."""
        if (self._rows is not state.rows) or self._n != state.n:
            self.rewritten += 1
        self._rows, self._times, self._n, self._marks, self.diverged = state

    def _make_room(self) -> None:
        if self._n < self._most_rows:
            bigger = np.empty((min(2 * self._n, self._most_rows), self._width))
            bigger[: self._n] = self._rows
            self._rows = bigger
            self._times = _resized(self._times, len(bigger), np.arange(self._n))
            return
        newest = self._n - self._n // 4
        steps = self._rows[:newest, 0]
        stride = 2
        while np.count_nonzero(steps % stride == 0) > self._n // 2:
            stride *= 2
        keep = np.concatenate([np.flatnonzero(steps % stride == 0), np.arange(newest, self._n)])
        rows = np.empty_like(self._rows)  # a new one: the old rows stay as they are for `restore`
        rows[: len(keep)] = self._rows[keep]
        self._times = _resized(self._times, len(rows), keep)
        self._rows, self._n = rows, len(keep)
        self.rewritten += 1


def _resized(times: Array, rows: int, keep: NDArray[np.intp]) -> Array:
    """Return a new array of so many rows, which begins with those to keep."""
    found = np.empty((rows, *times.shape[1:]))
    found[: len(keep)] = times[keep]
    return found


def _join(old: str, new: str) -> str:
    """Merge two texts of moved knobs: the same knob's first old and last new value."""
    moved = {}
    for part in f"{old}, {new}".split(", "):
        name, _, rest = part.partition(" ")
        before, _, after = rest.partition(" -> ")
        moved[name] = (moved.get(name, (before, after))[0], after)
    return ", ".join(f"{name} {before} -> {after}" for name, (before, after) in moved.items() if before != after)


def _packed(text: str) -> Any:
    """Return a text as JSON can hold it, so that a sentence can still say itself in another language."""
    if not isinstance(text, Said):
        return text
    (key,), values = text.__getnewargs_ex__()
    return {"key": key, "values": {name: _packed(v) if isinstance(v, str) else v for name, v in values.items()}}


def _unpacked(packed: Any) -> Any:
    if not isinstance(packed, dict):
        return packed
    return Said(packed["key"], **{name: _unpacked(v) for name, v in packed["values"].items()})


def write_whole(path: Path, content: bytes | memoryview) -> None:
    """Write a file whole or not at all: half of one would pass for one that is damaged, or that was changed."""
    draft = path.with_name(f".{path.name[:50]}.{os.getpid()}.part")
    try:
        draft.write_bytes(content)
        with draft.open("r+b") as file:
            os.fsync(file.fileno())  # or a crash of the machine could leave the name and not the content
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


# ---------------------------------------------------------------------- as a table
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
        texts[row].append(_said_at(mark, int(steps[row])))
    return ["; ".join(said) for said in texts]


def _said_at(mark: Mark, step: int) -> str:
    where = "" if mark.step == step else f"step {mark.step}: "
    return f"{where}{mark.kind}: {mark.text}"
