"""Every number that is measured of the layers: tensors on their device until one read tells them all.

Sums accumulate in float64, or in scaled float32 where the device has none. Nothing here asks a tensor for its value
before `read`, so an accelerator is not made to wait; nothing copies a large tensor, so memory does not grow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from operator import attrgetter
from typing import Any

import numpy as np
import torch
from torch import Tensor

_on_cpu = attrgetter("is_cpu")
unrecorded = torch._C._AutoDispatchBelowAutograd  # where autograd sees no call: it would take a tenth of a step
Range = tuple[float, float] | None
Stack = tuple[tuple[int, ...], Tensor, Range]  # layers, their tensors along the first dimension, their range

LARGE = 1 << 16  # entries above which a tensor is measured by itself and in parts, never copied whole
_STACK = 1 << 18  # entries of a stack: what a processor's cache holds
_SMALL, _TINY = 1 << 14, 1 << 8  # entries of a parameter that is copied side by side with others; that is padded
_KEPT = 1 << 22  # entries of wide copies whose memory is kept
_VIEWS = 256  # shapes whose views of that memory are kept
_PART = 1 << 22  # entries of a part on an accelerator, where a launch costs more than a call
_ROW = 1 << 8  # entries whose squares are summed in float32 (see `_quick_square`)
_LEAST = 1e-15  # root-mean-square above which they may be: the squares of what is lost below are 1e-8 of the sum
_SHALLOW = 0.9  # share of the mean in the sum of squares up to which the rest is exact to 1e-7
_ENDS = 0.025  # share of a bounded activation's range that counts as its end


# ---------------------------------------------------------------------- tensors of any kind
def dense(tensor: Tensor) -> Tensor:
    """Return the entries that are here: those of a sparse gradient, the local shard of a distributed tensor."""
    if type(tensor) is Tensor and tensor.layout is torch.strided:
        return tensor
    to_local = getattr(tensor, "to_local", None)
    if to_local is not None:
        tensor = to_local()
    return tensor.coalesce().values() if tensor.is_sparse else tensor


def wide_dtype(device: torch.device) -> torch.dtype:
    """Return the dtype that sums accumulate in on a device."""
    return torch.float32 if device.type == "mps" else torch.float64


class Scratch:
    """Memory for wide copies, kept: to get it anew from the system takes longer than what is computed in it."""

    def __init__(self) -> None:
        self._kept: dict[torch.device, Tensor] = {}
        self._views: dict[tuple[torch.Size, torch.device], tuple[Tensor, Tensor]] = {}  # made once: three calls each

    def rows(self, stack: Tensor) -> Tensor:
        """Return each ``stack[i]`` as a row of a copy in the wide dtype, which lasts until the next is asked for."""
        like, rows = self._views.get((stack.shape, stack.device)) or self._room(stack)
        like.copy_(stack)
        return rows

    def _room(self, stack: Tensor) -> tuple[Tensor, Tensor]:
        entries, device, kept = stack.numel(), stack.device, self._kept.get(stack.device)
        if kept is None or kept.numel() < entries:
            kept = torch.empty(entries, dtype=wide_dtype(device), device=device)
            if entries > _KEPT:
                return _both_ways(kept, stack)
            self._kept[device] = kept
            self._views.clear()  # which hold the memory before it
        if len(self._views) == _VIEWS:
            self._views.clear()
        views = self._views[stack.shape, device] = _both_ways(kept[:entries], stack)
        return views


def _both_ways(memory: Tensor, stack: Tensor) -> tuple[Tensor, Tensor]:
    """Return memory in the shape of a stack, and as one row for each of its layers."""
    return memory.view(stack.shape), memory.view(stack.shape[0], memory.numel() // stack.shape[0])


@torch.no_grad()
def stacked(items: Iterable[tuple[int, Tensor, Range]]) -> list[Stack]:
    """Stack what has one shape, dtype and range: few operations whatever the depth.

    A layer that is there twice stands in two stacks; a large tensor is a stack of its own, without a copy. No stack
    has a graph, so that what is measured of it needs no `no_grad`: each costs a small network's step 1 %.
    """
    found: list[Stack] = []
    groups: dict[Any, tuple[list[int], list[Tensor]]] = {}
    kind: Any = (None, None, None, None)
    entries, layers, tensors = 0, [], []
    for layer, tensor, bounds in items:
        shape, span, dtype, device = kind  # neighbours mostly are of one kind: a look into the table takes longer
        if tensor.shape != shape or bounds != span or tensor.dtype is not dtype or tensor.device != device:
            kind, entries = (tensor.shape, bounds, tensor.dtype, tensor.device), tensor.numel()
            layers, tensors = groups.get(kind) or groups.setdefault(kind, ([], []))
        if entries > LARGE:
            found.append(((layer,), tensor.detach()[None], bounds))
            continue
        if layers and (entries * len(layers) > _STACK or (layer <= layers[-1] and layer in layers)):
            found.append((tuple(layers), torch.stack(tensors), bounds))
            layers, tensors = groups[kind] = ([], [])
        layers.append(layer)
        tensors.append(tensor)
    found += [(tuple(layers), torch.stack(tensors), kind[1]) for kind, (layers, tensors) in groups.items() if layers]
    return found


def _flat(tensor: Tensor) -> Tensor:
    """Return the entries as a vector in the order of memory, without a copy where they lie together."""
    if tensor.is_contiguous():
        return tensor.view(-1)
    return tensor.permute(sorted(range(tensor.dim()), key=tensor.stride, reverse=True)).reshape(-1)


def _parts(flat: Tensor) -> Sequence[Tensor]:
    return flat.split(LARGE if flat.device.type == "cpu" else _PART)


# ---------------------------------------------------------------------- norms
_dots: Callable[..., Any] = getattr(np, "vecdot", lambda a, b: np.einsum("ij,ij->i", a, b))


def row_norms(stack: Tensor, scratch: Scratch | None = None) -> Tensor:
    """Return the 2-norm of each ``stack[i]``, in the wide dtype.

    inf or nan only where an entry is; 0 only where every entry is exactly 0. With a `scratch`, for what is measured
    and nothing made of, to 1e-8 (see `_quick_square`).
    """
    quick, scratch = scratch is not None, scratch or Scratch()
    entries, layers = stack.numel(), stack.shape[0]  # of a tensor, `len` is slow
    if entries <= LARGE * layers and (layers > 1 or entries <= _SMALL or not quick):
        return _row_norms(stack, scratch)
    norms = [large_norm(t, scratch, quick) for t in stack]
    return torch.cat(norms) if layers > 1 else norms[0]


def large_norm(tensor: Tensor, scratch: Scratch, quick: bool = True) -> Tensor:
    """Return the norm of one large tensor, shape (1,)."""
    flat = _flat(tensor)
    if quick and _is_quick(flat) and math.isfinite(square := _quick_square(flat)):
        return torch.tensor((math.sqrt(square),), dtype=torch.float64)
    return _norms_together([_row_norms(part[None], scratch) for part in _parts(flat)])[None]


def _is_quick(flat: Tensor) -> bool:
    return flat.dtype is torch.float32 and type(flat) is Tensor and flat.device.type == "cpu"


def _in_rows(flat: Tensor) -> list[Tensor]:
    rest = flat.numel() % _ROW
    if not rest:
        return [flat.view(-1, _ROW)]
    return [flat[:-rest].view(-1, _ROW), flat[-rest:].view(1, -1)]


def _quick_square(flat: Tensor) -> float:
    """Return the sum of the squares of a processor's float32, by BLAS; nan if it may be wrong by 1e-8.

    Squares summed in float32 along short rows, whose rounding averages out, and those sums in float64, take a fifth
    of the time. Whether they stayed in range is seen at once: nothing waits for a processor's own memory.
    """
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        square = sum(float(_dots(a, a).sum(dtype=np.float64)) for a in [rows.numpy() for rows in _in_rows(flat)])
    return square if _LEAST**2 * flat.numel() <= square < math.inf else math.nan


def _row_norms(stack: Tensor, scratch: Scratch) -> Tensor:
    if stack.dtype == wide_dtype(stack.device):
        return _scaled_norms(stack.flatten(1) if stack.dim() > 1 else stack[:, None])
    return torch.linalg.vector_norm(scratch.rows(stack), 2, 1)


def _scaled_norms(rows: Tensor) -> Tensor:
    """Return the norms of rows whose squares may leave the range of their dtype."""
    if rows.shape[1] == 0:
        return rows.new_zeros(len(rows))
    largest = rows.abs().amax(1)
    usable = torch.isfinite(largest) & (largest > 0)
    scale = torch.where(usable, largest, 1)
    return torch.where(usable, scale * torch.linalg.vector_norm(rows / scale[:, None], 2, 1), largest)


def _norms_together(norms: Sequence[Tensor]) -> Tensor:
    """Return the norm of what has these norms, shape ()."""
    return _scaled_norms(torch.cat(list(norms))[None])[0]


def norms_of(tensors: Sequence[Tensor]) -> Tensor:
    """Return the norm of each of a list of tensors, in the wide dtype."""
    return _of_each(tensors, row_norms)


def shares_of(tensors: Sequence[Tensor], narrow: torch.dtype | None = None) -> Tensor:
    """Return the shares of each tensor's entries that are 0, subnormal and not 0, and not finite: shape (tensors, 3).

    Subnormal in the dtype `narrow`, None: in the tensor's own.
    """
    return _of_each(tensors, lambda stack: _row_shares(stack, torch.finfo(narrow or stack.dtype).tiny))


def _of_each(tensors: Sequence[Tensor], measure: Callable[[Tensor], Tensor]) -> Tensor:
    """Measure a list of tensors in stacks of one shape; return the results in the list's order."""
    found = stacked((i, dense(t), None) for i, t in enumerate(tensors))
    results = torch.cat([measure(stack) for _, stack, _ in found])
    order = [i for numbers, _, _ in found for i in numbers]
    return results[torch.tensor(sorted(range(len(order)), key=order.__getitem__), device=results.device)]


def _row_shares(stack: Tensor, normal: float) -> Tensor:
    wide, layers = wide_dtype(stack.device), stack.shape[0]
    entries = stack.numel() // layers
    parts = [stack.reshape(layers, entries)] if entries <= LARGE else [p[None] for p in _parts(_flat(stack[0]))]
    counts = torch.zeros(layers, 3, dtype=wide, device=stack.device)
    for part in parts:
        size = part.abs()
        zero = size == 0
        kinds = (zero, (size < normal) & ~zero, ~torch.isfinite(size))
        counts += torch.stack([kind.sum(1, dtype=wide) for kind in kinds], 1)
    return counts / max(entries, 1)


class ListNorms:
    """The norms of a list of tensors of fixed shapes at several moments, in few operations however many there are.

    Small tensors are copied side by side, in the wide dtype, for all moments, and measured at once when they are
    asked for; large ones are measured as they come.

    Parameters
    ----------
    tensors : sequence of Tensor
        Tensors like those to be measured.
    moments : int
        Number of moments.

    Attributes
    ----------
    order : list of int
        Whose norms `of` returns, one after another.
    """

    def __init__(self, tensors: Sequence[Tensor], moments: int) -> None:
        here = [dense(t) for t in tensors]
        self._plain = all(a is b for a, b in zip(here, tensors, strict=True))
        groups: dict[Any, list[int]] = {}
        for i, t in enumerate(here):
            if (entries := t.numel()) <= _SMALL:
                groups.setdefault((max(entries, _TINY), t.dtype == wide_dtype(t.device), t.device), []).append(i)
        self._large = [i for i, t in enumerate(here) if t.numel() > _SMALL]
        self._small = [i for group in groups.values() for i in group]
        self.order = self._small + self._large
        self._rooms: list[tuple[Tensor, bool]] = []  # (moments, tensors, entries): what is not filled stays 0
        self._views: list[list[Tensor]] = [[] for _ in range(moments)]
        for (_, scaled, device), group in groups.items():
            sizes = [here[i].numel() for i in group]
            room = torch.zeros(moments, len(group), max(sizes), dtype=wide_dtype(device), device=device)
            self._rooms.append((room, scaled))
            for views, block in zip(self._views, room, strict=True):
                views += [row[:n].view(here[i].shape) for row, i, n in zip(block, group, sizes, strict=True)]
        self._norms: list[list[Tensor]] = [[] for _ in range(moments)]  # of the large ones
        self._copies: list[Tensor] = []
        self._all, self._scratch = list(range(moments)), Scratch()

    def forget(self) -> None:
        """Let go of copies that no `change` came for."""
        self._copies = []

    def take(self, moment: int, tensors: Sequence[Tensor], keep: bool = False) -> None:
        """Take note of tensors as they are; `keep` copies of the large ones too, for `change`."""
        here = self._copy(moment, tensors)
        self._norms[moment] = [large_norm(here[i], self._scratch) for i in self._large]
        if keep:
            self._copies = [here[i].clone() for i in self._large]

    def change(self, moment: int, before: int, tensors: Sequence[Tensor]) -> None:
        """Take note of how tensors have changed since they were kept."""
        here = self._copy(moment, tensors)
        for room, _ in self._rooms:
            room[moment].sub_(room[before])
        self._norms[moment] = []
        for i, old in zip(self._large, self._copies, strict=True):
            # a difference in half precision would be rounded to nothing
            exact = torch.float32 if old.dtype.itemsize < 4 else old.dtype
            moved = torch.sub(here[i], old, out=old) if old.dtype == exact else here[i].to(exact) - old.to(exact)
            self._norms[moment].append(large_norm(moved, self._scratch))
        self._copies = []

    def _copy(self, moment: int, tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        here = tensors if self._plain else [dense(t) for t in tensors]
        if self._small:
            torch._foreach_copy_(self._views[moment], [here[i] for i in self._small])
        return here

    def of(self, moments: Sequence[int]) -> Tensor:
        """Return the norms of the moments, each in `order`, as one vector."""
        columns = []
        for room, scaled in self._rooms:
            rows = (room if list(moments) == self._all else room[list(moments)]).flatten(0, 1)
            norms = _scaled_norms(rows) if scaled else torch.linalg.vector_norm(rows, 2, 1)
            columns.append(norms.view(len(moments), -1))
        if self._large:
            columns.append(torch.stack([torch.cat(self._norms[m]) for m in moments]))
        return torch.cat(columns, 1).reshape(-1)


# ---------------------------------------------------------------------- reading
def read(tensors: Sequence[Tensor]) -> list[list[float]]:
    """Return the entries of each tensor: the only place that waits for a device, once for all."""
    flat = [t if t.dim() == 1 else t.flatten() for t in tensors]
    if all(map(_on_cpu, flat)):
        return [t.tolist() for t in flat]
    device = flat[0].device
    joined = iter(torch.cat([t.to(device, wide_dtype(device)) for t in flat]).tolist())
    return [list(islice(joined, t.numel())) for t in flat]


# ---------------------------------------------------------------------- layers
Seen = tuple[tuple[Tensor, ...], Callable[..., None], tuple[Any, ...]]  # to be read, by what, which needs to know


class LayerStats:
    """What the micro-batches of one window show of each layer.

    Numbers are Python's floats: one at a time, numpy takes ten times as long.

    Parameters
    ----------
    layers : int
        Number of layers.
    scratch : Scratch, optional
        Memory that several of these share, one after another.

    Attributes
    ----------
    samples : int
        Samples seen.
    loss : float
        Their mean loss; like all numbers, of what was seen before the last `read`.
    first_not_finite : (int, float) or None
        The first layer with an activation that is not finite, and inf or nan.
    """

    def __init__(self, layers: int, scratch: Scratch | None = None) -> None:
        self._scratch = scratch or Scratch()
        self.layers, self.samples, self.loss = layers, 0, 0.0
        self.first_not_finite: tuple[int, float] | None = None
        self._count, self._mean, self._spread = [0] * layers, [0.0] * layers, [0.0] * layers
        self._ends, self._dead = [0.0] * layers, [0.0] * layers
        self._delta: list[float | None] = [None] * layers
        self._seen: list[Seen] = []
        self._alive: dict[tuple[int, ...], Tensor] = {}

    # ------------------------------------------------------------------ on the device
    def see_loss(self, loss: Tensor, n: int) -> None:
        """Add a micro-batch's mean loss over `n` samples."""
        self.samples += n
        self._seen.append(((loss.detach(),), LayerStats._take_loss, (n / self.samples,)))

    def see_activations(self, stacks: Iterable[Stack]) -> None:
        """Add what layers hand on in one micro-batch: stacks of shape ``(layers, samples, ...)``."""
        for layers, stack, bounds in stacks:
            if not stack.is_floating_point() or stack.numel() == 0:
                continue
            stack = stack.float() if stack.dtype.itemsize == 1 else stack
            if stack.numel() > LARGE * stack.shape[0]:
                for layer, tensor in zip(layers, stack, strict=True):
                    self._see_large(layer, tensor)
            else:
                wide = self._scratch.rows(stack)
                sums = wide.sum(1), torch.linalg.vector_norm(wide, 2, 1)
                self._seen.append((sums, LayerStats._take_moments, (layers, wide.shape[1], stack)))
                self._see_alive(layers, _alive(stack))
            if bounds is not None:
                self._seen.append(((_count_at_ends(stack, bounds),), LayerStats._take_ends, (layers,)))

    def _see_large(self, layer: int, tensor: Tensor) -> None:
        """Add one that is not kept for a second look, so where its mean is large it is counted from an entry.

        That lies within sqrt(n) standard deviations of the mean, and no spread drowns.
        """
        flat, samples = _flat(tensor), tensor.flatten(1) if tensor.dim() > 1 else tensor[:, None]
        if flat.is_cpu:
            sums = samples.sum(0)  # one pass says the mean, and who is alive for sure
            found, alive = _quick_moments(flat, sums, self._scratch), _alive_by_sums(samples, sums)
        else:
            found, alive = _moments_in_parts(flat, self._scratch), _alive(samples[None])
        self._seen.append(((found,), LayerStats._take_large, (layer, flat.numel())))
        self._see_alive((layer,), alive)

    def see_deltas(self, stacks: Iterable[Stack], n: float) -> None:
        """Add dL/dz of a micro-batch; the per-sample gradient is n, the samples over the loss scale, times a row."""
        for layers, stack, _ in stacks:
            self._seen.append(((row_norms(stack, self._scratch),), LayerStats._take_deltas, (layers, n)))

    def absorb(self, other: LayerStats) -> None:
        """Add the activations that another one, which was not read, has seen."""
        self._seen += other._seen
        for layers, alive in other._alive.items():
            self._see_alive(layers, alive)

    def _see_alive(self, layers: tuple[int, ...], alive: Tensor) -> None:
        known = self._alive.get(layers)
        self._alive[layers] = alive if known is None or known.shape != alive.shape else known | alive

    def read(self, *more: Tensor) -> list[float]:
        """Read all that was seen, and `more`, whose entries are returned."""
        alive = [alive.sum(1) for alive in self._alive.values()]
        found = iter(read([*more, *[t for tensors, _, _ in self._seen for t in tensors], *alive]))
        others = [value for _ in more for value in next(found)]
        for tensors, take, about in self._seen:
            take(self, *about, *[next(found) for _ in tensors])
        for layers, units in [(layers, alive.shape[1]) for layers, alive in self._alive.items()]:
            for layer, count in zip(layers, next(found), strict=True):
                self._dead[layer] = (units - count) / units
        self._seen = []
        return others

    # ------------------------------------------------------------------ on the host
    def _take_loss(self, share: float, found: list[float]) -> None:
        (loss,) = found
        self.loss += (loss - self.loss) * share if math.isfinite(loss) else loss

    def _take_ends(self, layers: tuple[int, ...], counts: list[float]) -> None:
        for layer, ends in zip(layers, counts, strict=True):
            self._ends[layer] += ends

    def _take_deltas(self, layers: tuple[int, ...], n: float, norms: list[float]) -> None:
        for layer, norm in zip(layers, norms, strict=True):
            known = self._delta[layer]
            self._delta[layer] = n * norm if known is None else math.hypot(known, n * norm)

    def _take_moments(
        self, layers: tuple[int, ...], n: int, stack: Tensor, sums: list[float], roots: list[float]
    ) -> None:
        for i, (layer, total, root) in enumerate(zip(layers, sums, roots, strict=True)):
            mean, square = total / n, root * root
            rest = square - n * mean * mean
            if not 1e-8 * square < rest < math.inf:  # it drowned in the mean, or its squares left the range
                self._merge(layer, n, *_two_passes(stack[i].reshape(-1)))
            elif self._count[layer]:
                self._merge(layer, n, mean, math.sqrt(rest))
            else:  # as mostly: the first that is seen of it, and finite
                self._count[layer], self._mean[layer], self._spread[layer] = n, mean, math.sqrt(rest)

    def _take_large(self, layer: int, n: int, found: list[float]) -> None:
        total, root, pivot = found
        mean = total / n
        share = n * (mean / root) ** 2 if root else 1.0  # of the mean in the sum of squares
        self._merge(layer, n, pivot + mean, root * math.sqrt(max(0.0, 1 - share)))

    def _merge(self, layer: int, n: int, mean: float, spread: float) -> None:
        """Merge the mean and the root of the summed squared deviations of `n` entries (Chan et al. 1979)."""
        if self.first_not_finite is None and not math.isfinite(mean + spread):
            self.first_not_finite = (layer, spread if math.isfinite(mean) else mean)
        old, before = self._count[layer], self._mean[layer]
        self._count[layer] = old + n
        if not old:
            self._mean[layer], self._spread[layer] = mean, spread
            return
        shift = mean - before
        self._mean[layer] = before + shift * n / (old + n)
        self._spread[layer] = math.hypot(self._spread[layer], spread, shift * math.sqrt(old * n / (old + n)))

    # ------------------------------------------------------------------ results, one per layer
    def delta_norm(self) -> list[float]:
        """Root-mean-square over the window's samples of the norm of d loss_i / d z_l; nan where not seen."""
        root = math.sqrt(max(self.samples, 1))
        return [math.nan if delta is None else delta / root for delta in self._delta]

    def activation_std(self) -> list[float]:
        """Standard deviation of the entries of each layer's activation; nan where not seen."""
        pairs = zip(self._spread, self._count, strict=True)
        return [spread / math.sqrt(n) if n else math.nan for spread, n in pairs]

    def saturated(self) -> list[float]:
        """Share of entries at the ends of a bounded activation's range."""
        return [ends / n if ends else 0.0 for ends, n in zip(self._ends, self._count, strict=True)]

    def dead(self) -> list[float]:
        """Share of units that were exactly 0 for every sample."""
        return self._dead


def _moments_in_parts(flat: Tensor, scratch: Scratch) -> Tensor:
    """Return the sum of the entries, the root of the sum of their squares, and what they are counted from."""
    pivot, sums, roots = flat[0].to(wide_dtype(flat.device)), [], []
    for part in _parts(flat):
        wide = scratch.rows(part[None]).sub_(pivot)
        sums.append(wide.sum(1))
        roots.append(torch.linalg.vector_norm(wide, 2, 1) if part.dtype != pivot.dtype else _scaled_norms(wide))
    return torch.stack([torch.cat(sums).sum(), _norms_together(roots), pivot])


def _quick_moments(flat: Tensor, sums: Tensor, scratch: Scratch) -> Tensor:
    """Do so by `_quick_square`: counted from 0, and where little is left beside the mean, from the first entry."""
    total, pivot = float(sums.sum(dtype=torch.float64)), 0.0
    square = _quick_square(flat) if _is_quick(flat) else math.nan
    if total * total >= _SHALLOW * flat.numel() * square:
        pivot, total, square = float(flat[0]), 0.0, 0.0
        for part in (part.sub(pivot) for part in _parts(flat)):
            total += sum(float(rows.sum(1).sum(dtype=torch.float64)) for rows in _in_rows(part))
            square += _quick_square(part)
    if not math.isfinite(square):
        return _moments_in_parts(flat, scratch)
    return torch.tensor((total, math.sqrt(square), pivot), dtype=torch.float64)


def _two_passes(row: Tensor) -> tuple[float, float]:
    wide = row.to(wide_dtype(row.device))
    mean = (wide / wide.numel()).sum()
    (mean,), (spread,) = read([mean, _scaled_norms((wide - mean)[None])])
    return mean, spread


def _alive(stack: Tensor) -> Tensor:
    """Return which units of each layer are not 0 for some sample, shape (layers, units)."""
    stack = stack if stack.dim() > 1 else stack[:, None]
    return torch.logical_or(stack.amax(1), stack.amin(1)).reshape(stack.shape[0], -1)


def _alive_by_sums(samples: Tensor, sums: Tensor) -> Tensor:
    """Do so for one layer: with a second look at the units alone whose sums are 0, mostly few."""
    alive = sums.ne(0)[None]
    dead = sums.numel() - np.count_nonzero(alive.numpy())
    if dead > sums.numel() // 8:
        return _alive(samples[None])
    if dead:
        rest = (~alive[0]).nonzero().squeeze(1)
        alive[0, rest] = _alive(samples.index_select(1, rest)[None])[0]
    return alive


def _count_at_ends(stack: Tensor, bounds: tuple[float, float]) -> Tensor:
    """Return how many entries of each ``stack[i]`` lie within 2.5 % of the range from an end."""
    low, high = bounds
    centre, half = (low + high) / 2, (high - low) / 2 - _ENDS * (high - low)
    wide = wide_dtype(stack.device)
    if stack.numel() <= LARGE * len(stack):
        return ((stack.flatten(1) - centre).abs_() > half).sum(1, dtype=wide)
    counts = [[((p - centre).abs_() > half).sum(dtype=wide) for p in _parts(_flat(t))] for t in stack]
    return torch.stack([torch.stack(own).sum() for own in counts])
