"""All parameters of a network in one flat buffer, and their norms: a step costs few operations at any depth."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from operator import itemgetter, truediv

import numpy as np
import torch
from torch import Tensor, nn

from gradlab.rules.norms import refined

_DOT_IS_SAFE = (1e-12, 1e12)  # norms whose float32 products neither underflow nor overflow

LINE = 64  # bytes: where torch lets a tensor begin
_HEALTHY = 1e-15  # norm of a float32 gradient above which its subnormal entries are fewer than 1 in 1e18
_SMALL = 256  # entries, up to which a call costs more than the zeros that it reads
_ALONE = 10_000  # entries of a piece above which numpy's BLAS takes several threads
_WIDE = 1 << 20  # entries of all parameters up to which a wide copy of them is kept


Shares = tuple[list[float], list[float], list[float]]


class FlatParameters:
    """Flat weights and gradients; the network's parameters become views of them.

    Each parameter begins at a cache line, as a tensor of its own does: a matrix product rounds differently where
    its operands lie differently, and a run shall have the bits of a plain loop. Small parameters get slots of one
    length, so that one operation measures them all. The gaps between are zeros, which no norm sees.

    Parameters
    ----------
    params : list of Parameter
        The trainable parameters, of one dtype; their ``.data`` and ``.grad`` are replaced by views.
    groups : sequence of sequence of int, optional
        The parameters of each layer, by number.

    Attributes
    ----------
    weights, gradient : Tensor
        Flat; `gradients` are the parameters' views of the latter.
    before : Tensor
        Room for the weights as they are before an update.
    separate : bool
        Whether the gradient is clipped while it accumulates, so that the unclipped one is kept apart.
    received : list of bool
        Which parameters the current window gave a gradient.
    """

    def __init__(self, params: list[nn.Parameter], groups: Sequence[Sequence[int]] = ()) -> None:
        self.params = params
        self._sizes = [p.numel() for p in params]
        self._offsets, slots = _layout(self._sizes, LINE // params[0].element_size())
        moved = torch.zeros(2, sum(slots), dtype=params[0].dtype)  # measured together: the weights and their change
        self.weights, self._change = moved
        self.gradient, self._unclipped, self.before = (torch.zeros_like(self.weights) for _ in range(3))
        self.gradients = self._views(self.gradient)
        self._unclipped_views = self._views(self._unclipped)
        self._fresh: list[Tensor] = []
        places = [[slice(self._offsets[i], self._offsets[i] + self._sizes[i]) for i in group] for group in groups]
        self._shares = EntryShares(places, len(self.weights), sum(self._sizes))
        quick = moved.dtype == torch.float32 and len(self.weights) <= _WIDE and max(slots) <= _ALONE
        wide = torch.empty(moved.shape, dtype=torch.float64) if quick and hasattr(np, "vecdot") else None
        ones = (self.gradient[None], self._unclipped[None], self.weights[None], moved)
        norms = [FlatNorms(flats, self._offsets, slots, wide) for flats in ones]
        self._gradient_norms, self._unclipped_norms, self._weight_norms, self._moved_norms = norms
        self._adopt()
        self.weights.grad = self.gradient
        self.separate = False
        self._none, self._all = [False] * len(params), [True] * len(params)
        self.received = self._none
        self._first = True

    def _adopt(self) -> None:
        for param, view in zip(self.params, self._views(self.weights), strict=True):
            view.copy_(param.detach())
            param.data = view

    def _views(self, flat: Tensor) -> list[Tensor]:
        places = zip(self.params, self._offsets, self._sizes, strict=True)
        return [flat[offset : offset + size].view(p.shape) for p, offset, size in places]

    def without_gaps(self, flat: Tensor) -> Tensor:
        """Return a copy of a flat tensor in which the parameters follow one another directly."""
        return torch.cat([view.reshape(-1) for view in self._views(flat)])

    def clear_gaps(self) -> None:
        """Make the gaps between the weights zeros again, after code that may have written to them (noise)."""
        used = torch.zeros_like(self.weights, dtype=torch.bool)
        for view in self._views(used):
            view.fill_(True)
        self.weights.masked_fill_(~used, 0)

    def hold_frozen(self) -> None:
        """Take back what an update did to parameters that somebody froze since the run began (momentum, decay)."""
        for param, old in zip(self.params, self._views(self.before), strict=True):
            if not param.requires_grad:
                param.data.copy_(old)

    def attach(self, keep: bool) -> None:
        """Make every parameter's ``.grad`` the view of the flat gradient; `keep` a copy of it, unclipped."""
        if keep:
            self._unclipped.copy_(self.gradient)
        for param, view in zip(self.params, self.gradients, strict=True):
            if param.grad is not view:
                param.grad = view

    def start(self, weights: Sequence[float], separate: bool) -> list[list[Tensor]]:
        """Begin a window; return where each micro-batch's gradients may be written: one alone, in place."""
        self.separate, self._first = separate, True
        self.received = self._none
        if len(weights) == 1 and weights[0] == 1.0 and not separate:
            return [self.gradients]
        if not self._fresh:
            self._fresh_flat = torch.zeros_like(self.gradient)
            self._fresh = self._views(self._fresh_flat)
        return [self._fresh] * len(weights)

    def scratch(self) -> list[Tensor]:
        """Return new tensors for gradients, which lie as those of the run do."""
        return self._views(torch.zeros_like(self.gradient))

    def unscaled(
        self, gradients: Sequence[Tensor | None], room: list[Tensor], inverse: float, normal: float
    ) -> tuple[Sequence[Tensor | None], Shares]:
        """Take over a micro-batch's gradients in the master's dtype, without the loss scale; shares are with it.

        Parameters
        ----------
        gradients : sequence of Tensor or None
            One per parameter, in the format in which they were computed.
        room : list of Tensor
            Where they go, by `start`.
        inverse : float
            One over the loss scale.
        normal : float
            The format's smallest normal number.
        """
        there = [(view, g) for view, g in zip(room, gradients, strict=True) if g is not None]
        views = [view for view, _ in there]
        torch._foreach_copy_(views, [g for _, g in there])
        shares = self._shares(self.gradient if room is self.gradients else self._fresh_flat, normal)
        torch._foreach_mul_(views, inverse)
        if len(there) < len(room):
            return [None if g is None else v for v, g in zip(room, gradients, strict=True)], shares
        return room, shares

    def looked_at(self, normal: float) -> tuple[Sequence[float], Shares]:
        """Return the norm of each parameter's accumulated gradient, unclipped, and what `EntryShares` says of it."""
        norms = self.gradient_norms()
        return norms, self._shares(self._unclipped if self.separate else self.gradient, normal, norms)

    def accumulate(self, gradients: Sequence[Tensor | None], weight: float) -> None:
        """Add ``weight`` times the gradients to the flat gradient; the first ones replace it (NaN * 0 is NaN)."""
        found = self._receive(gradients)
        if found is self.gradients:
            self._first = False
            return
        targets = [(self.gradient, self.gradients)]
        if self.separate:
            targets.append((self._unclipped, self._unclipped_views))
        for flat, views in targets:
            if not self._first:
                torch._foreach_add_(views, found, alpha=weight)
                continue
            torch._foreach_copy_(views, found)
            if weight != 1.0:
                flat.mul_(weight)
        self._first = False

    def _receive(self, gradients: Sequence[Tensor | None]) -> list[Tensor]:
        """Note who received a gradient; a missing one counts as zeros."""
        if gradients is self.gradients:
            self.received = self._all
            return self.gradients
        found = [g for g in gradients if g is not None]
        if len(found) == len(gradients):
            self.received = self._all
            return found
        self.received = [r or g is not None for r, g in zip(self.received, gradients, strict=True)]
        return [torch.zeros_like(p) if g is None else g for g, p in zip(gradients, self.params, strict=True)]

    @property
    def complete(self) -> bool:
        """Whether every parameter received a gradient from the last micro-batch."""
        return self.received is self._all

    def gradient_norms(self) -> Sequence[float]:
        """Return the norm of each parameter's accumulated gradient, unclipped."""
        return (self._unclipped_norms if self.separate else self._gradient_norms)()[0]

    def clipped_norms(self) -> Sequence[float]:
        """Return the norm of each parameter's gradient as it stands."""
        return self._gradient_norms()[0]

    def cosine(self, raw: Sequence[float], clipped: Sequence[float]) -> float:
        """Return the cosine between the gradient unclipped and as it stands, by their norms; 1 where one is 0."""
        norm, clipped_norm = root_sum_square(raw), root_sum_square(clipped)
        if norm == 0 or clipped_norm == 0:
            return 1.0
        a, b = self._unclipped, self.gradient
        if not all(_DOT_IS_SAFE[0] < v < _DOT_IS_SAFE[1] for v in (norm, clipped_norm)):
            a, b = a.double() / norm, b.double() / clipped_norm
            norm = clipped_norm = 1.0
        return min(1.0, max(-1.0, float(torch.dot(a, b)) / (norm * clipped_norm)))

    def weight_norms(self) -> Sequence[float]:
        """Return the norm of each parameter."""
        return self._weight_norms()[0]

    def moved_norms(self) -> tuple[Sequence[float], Sequence[float]]:
        """Return the norm of each parameter, and that of its change since it was copied to `before`."""
        torch.sub(self.weights, self.before, out=self._change)
        weights, changes = self._moved_norms()
        return weights, changes


class EntryShares:
    """Which shares of each layer's gradient entries are exactly 0, subnormal, and not finite.

    numpy's comparisons into memory that is there already take a third of the time of torch's, which counts.

    Parameters
    ----------
    places : sequence of sequence of slice
        Where each layer's entries lie in a flat gradient.
    entries, used : int
        Of a flat gradient, and of all parameters; what is beyond them is zeros.
    """

    def __init__(self, places: Sequence[Sequence[slice]], entries: int, used: int) -> None:
        self._mask = np.empty(entries, dtype=bool)
        self._pieces = [[self._mask[place] for place in own] for own in places]
        self._alone = [own[0] for own in self._pieces] if all(len(own) == 1 for own in places) else None
        self._totals = [sum(map(len, own)) or math.nan for own in self._pieces]
        self._gaps = entries - used
        self._none = [0.0] * len(places)

    def __call__(self, flat: Tensor, normal: float, norms: Sequence[float] = ()) -> Shares:
        """Return the three shares of each layer; nan for one without entries.

        Parameters
        ----------
        flat : Tensor
            A flat gradient.
        normal : float
            The format's smallest normal number.
        norms : sequence of float, optional
            What is known of the parameters: it saves a look for what cannot be there.
        """
        entries, mask = flat.numpy(), self._mask
        np.equal(entries, 0, out=mask)
        zero = subnormal = overflow = self._none
        if np.count_nonzero(mask) > self._gaps:
            zero = self._of_mask()
        if not norms or (min(norms) < _HEALTHY and any(0.0 < norm < _HEALTHY for norm in norms)):
            np.less(np.abs(entries), normal, out=mask)
            subnormal = [below - own for below, own in zip(self._of_mask(), zero, strict=True)]
        if not all(map(math.isfinite, norms)) or not norms:
            np.logical_not(np.isfinite(entries), out=mask)
            overflow = self._of_mask()
        return zero, subnormal, overflow

    def _of_mask(self) -> list[float]:
        if self._alone is not None:
            return list(map(truediv, map(np.count_nonzero, self._alone), self._totals))
        return [sum(map(np.count_nonzero, own)) / n for own, n in zip(self._pieces, self._totals, strict=True)]


def _layout(sizes: list[int], line: int) -> tuple[list[int], list[int]]:
    """Return where each parameter begins and how long its slot is: whole lines, the small ones side by side."""
    lines = [-(-size // line) * line for size in sizes]
    longest = max((length for length in lines if length <= _SMALL), default=0)
    slots = [longest if length <= _SMALL else length for length in lines]
    order = sorted(range(len(sizes)), key=lambda i: lines[i] <= _SMALL)
    starts = dict(zip(order, itertools.accumulate((slots[i] for i in order), initial=0), strict=False))
    return [starts[i] for i in range(len(sizes))], slots


class FlatNorms:
    """The norms of pieces of flat buffers, in as few operations as the pieces' layout allows.

    Pieces of one length at regular distances, as the layers of a network are, form one strided block.

    Parameters
    ----------
    flats : Tensor
        The buffers, shape ``(buffers, n)``; the pieces lie alike in all of them.
    offsets, sizes : sequences of int
        Where the pieces begin, and their lengths.
    wide : Tensor, optional
        Room for a float64 copy of float32 buffers, of which numpy's dot products take a third of the time of torch's
        norms. Squares of float32 stay in its range.
    """

    def __init__(
        self, flats: Tensor, offsets: Sequence[int], sizes: Sequence[int], wide: Tensor | None = None
    ) -> None:
        self._flats, self._wide = flats, None if wide is None else wide[: len(flats)]
        blocks: list[Tensor] = []
        order: list[int] = []
        measured = flats if self._wide is None else self._wide
        row, _ = measured.stride()
        for size in dict.fromkeys(sizes):
            for run in _regular([i for i, own in enumerate(sizes) if own == size], offsets):
                stride = offsets[run[1]] - offsets[run[0]] if len(run) > 1 else max(size, 1)
                shape, strides = (len(flats), len(run), size), (row, stride, 1)
                blocks.append(measured.as_strided(shape, strides, measured.storage_offset() + offsets[run[0]]))
                order += run
        self._found = torch.empty(len(flats), len(order), dtype=torch.float64)
        outs = self._found.split([block.shape[1] for block in blocks], 1)
        self._pairs = list(zip(blocks, outs, strict=True))
        self._arrays = [(block.numpy(), out.numpy()) for block, out in self._pairs]
        places = [order.index(i) for i in range(len(sizes))]
        self._in_order = itemgetter(*places) if len(places) > 1 else tuple
        self._refine = flats.dtype == torch.float64

    def __call__(self) -> list[Sequence[float]]:
        """Return for each buffer the norm of each piece, in order."""
        if self._wide is not None:
            self._wide.copy_(self._flats)
            for array, out in self._arrays:
                np.vecdot(array, array, out=out)
            self._found.sqrt_()
        else:
            for block, out in self._pairs:
                torch.linalg.vector_norm(block, 2, 2, dtype=torch.float64, out=out)
        found = self._found.tolist()
        if self._refine:
            pieces = ((piece for block, _ in self._pairs for piece in block[row]) for row in range(len(found)))
            found = [list(map(refined, row, own)) for row, own in zip(found, pieces, strict=True)]
        return list(map(self._in_order, found))


def _regular(members: list[int], offsets: Sequence[int]) -> list[list[int]]:
    """Split pieces into runs whose offsets lie at one distance."""
    runs: list[list[int]] = []
    for i in members:
        run = runs[-1] if runs else []
        if len(run) == 1 or (run and offsets[i] - offsets[run[-1]] == offsets[run[1]] - offsets[run[0]]):
            run.append(i)
        else:
            runs.append([i])
    return runs


# ---------------------------------------------------------------------- norms as Python's floats
def root_sum_square(values: Sequence[float]) -> float:
    """Return the norm of a vector of norms, without leaving float64's range on the way."""
    total = math.hypot(*values)
    return total if math.isfinite(total) else sum(abs(v) for v in values)  # hypot(inf, nan) is inf


def quotients(parts: Sequence[float], wholes: Sequence[float]) -> list[float]:
    """Divide norms by norms: 0 of anything is 0, something of 0 is infinite."""
    pairs = zip(parts, wholes, strict=True)
    return [0.0 if part == 0.0 else part / whole if whole else part * math.inf for part, whole in pairs]


def merged(values: Sequence[float], groups: list[list[int]]) -> list[float]:
    """Merge norms of parameters into norms of layers; nan for a layer without a trainable weight."""
    return [
        values[g[0]] if len(g) == 1 else root_sum_square([values[i] for i in g]) if g else math.nan for g in groups
    ]
