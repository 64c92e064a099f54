"""The backward signal through time: d loss / d h_t of every recurrent layer and time step, all paths.

Unrolled cells have each state as a tensor, and autograd says its gradient. A fused `nn.RNN`, `nn.LSTM` or `nn.GRU`
returns all h_t as one tensor whose gradient is the direct part alone, through the output at t; what came back from
t + 1 stays inside. On a CPU the graph of `nn.RNN` and `nn.GRU` still has a node per time step, and autograd says what
arrives there. Where one node makes all steps, it is found again by the recursion of backpropagation through time,

    d loss / d s_t = direct_t + J_t^T d loss / d s_{t+1},    J_t = d s_{t+1} / d s_t,

with the module's own weights, the slopes of all time steps taken at once. The state s is h, of an LSTM the joint
(h, c): its two parts are varied apart, so the gradient of c_t is what the next step does with it, not
h_t's share of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, Node, get_gradient_edge
from torch.utils.hooks import RemovableHandle

from gradlab.history import NO_TIME, Array
from gradlab.locale import Said
from gradlab.network.recurrent import Cell
from gradlab.rules.norms import norm

SELDOM = 4
"""A trainer measures a recursion over more than `LARGE` numbers, T x batch x width, at every fourth step alone."""
LARGE = 100_000

Whole = tuple[Tensor, ...]
"""d loss / d state of a layer at every time step: ``(T, batch, width)``, one of h and, of an LSTM, one of c."""


# ---------------------------------------------------------------------- one layer of a fused module
class Weights(NamedTuple):
    """W_ih, W_hh, b_ih, b_hh of one layer and direction."""

    w_ih: Tensor
    w_hh: Tensor
    b_ih: Tensor | None
    b_hh: Tensor | None


class Run(NamedTuple):
    """What one layer and direction read and made, in the order of its own time: ``(T, batch, ...)``, detached."""

    weights: Weights
    x: Tensor
    h: Tensor
    before: Tensor  # h_{t-1}
    c_first: Tensor | None


def _steps(tensor: Tensor) -> tuple[Tensor, ...]:
    return tensor.unbind(0)


def _back_rnn(run: Run, direct: Tensor, last_c: Tensor | None, relu: bool) -> tuple[Whole, Tensor]:
    """Return d loss / d h_t and d loss / d z_t, z_t what phi is applied to."""
    slope = (run.h > 0).to(run.h.dtype) if relu else 1 - run.h * run.h
    whole = direct.clone()
    found, slopes, parts = _steps(whole), _steps(slope), _steps(direct)
    inside = torch.empty_like(found[0])
    for t in range(len(found) - 2, -1, -1):
        torch.mul(found[t + 1], slopes[t + 1], out=inside)
        torch.addmm(parts[t], inside, run.weights.w_hh, out=found[t])
    return (whole,), whole * slope


def _back_lstm(run: Run, direct: Tensor, last_c: Tensor | None) -> tuple[Whole, Tensor]:
    w, both = run.weights, torch.cat([run.x, run.before], 2)
    bias = None if w.b_ih is None or w.b_hh is None else w.b_ih + w.b_hh
    z = nn.functional.linear(both, torch.cat([w.w_ih, w.w_hh], 1), bias).unflatten(2, (4, -1))
    z[:, :, 2].tanh_()
    for gates in (z[:, :, :2], z[:, :, 3]):
        gates.sigmoid_()
    i, f, g, o = z.unbind(2)
    assert run.c_first is not None
    c = torch.empty(len(z) + 1, *i.shape[1:], dtype=z.dtype, device=z.device)
    c[0] = run.c_first
    torch.mul(i, g, out=c[1:])
    cells, keeps = _steps(c), _steps(f)
    for t, keep in enumerate(keeps):
        cells[t + 1].addcmul_(keep, cells[t])
    squashed = c[1:].tanh()
    through = torch.addcmul(o, o * squashed, squashed, value=-1)  # d h / d c
    slopes = 1 - z  # d (i, f, g, o) / d z by what each multiplies, but for g
    slopes *= z
    torch.addcmul(i, i * g, g, value=-1, out=slopes[:, :, 2])
    slopes[:, :, 0] *= g
    slopes[:, :, 1] *= c[:-1]
    slopes[:, :, 3] *= squashed
    whole, whole_c = direct.clone(), torch.zeros_like(direct)
    if last_c is not None:
        whole_c[-1] = last_c
    found, found_c, parts, gates = _steps(whole), _steps(whole_c), _steps(direct), _steps(slopes)
    flat, total = (
        _steps(slopes.flatten(2)),
        torch.empty(len(direct[0]), 2, direct.shape[2], dtype=z.dtype, device=z.device),
    )
    of_c, of_h = total[:, :1].expand(-1, 3, -1), total[:, 0]
    for t, slope in zip(range(len(found) - 1, -1, -1), reversed(_steps(through)), strict=True):
        torch.addcmul(found_c[t], found[t], slope, out=of_h)
        gates[t][:, :3].mul_(of_c)
        gates[t][:, 3].mul_(found[t])
        if t:
            torch.addmm(parts[t - 1], flat[t], w.w_hh, out=found[t - 1])
            torch.mul(of_h, keeps[t], out=found_c[t - 1])
    return (whole, whole_c), slopes.flatten(2)


def _back_gru(run: Run, direct: Tensor, last_c: Tensor | None) -> tuple[Whole, Tensor]:
    w = run.weights
    back = nn.functional.linear(run.before, w.w_hh, w.b_hh).unflatten(2, (3, -1))
    z = nn.functional.linear(run.x, w.w_ih, w.b_ih).unflatten(2, (3, -1))
    from_h = back[:, :, 2]
    r, u = z[:, :, :2].add_(back[:, :, :2]).sigmoid_().unbind(2)
    n = z[:, :, 2].addcmul_(r, from_h).tanh_()
    slopes = 1 - z
    slopes *= z
    of_n = torch.addcmul(1 - u, (1 - u) * n, n, value=-1)  # d h / d (n before its function)
    slopes[:, :, 0] *= of_n * from_h
    slopes[:, :, 1] *= run.before - n
    torch.mul(of_n, r, out=slopes[:, :, 2])  # what reaches the third block of W_hh
    whole = direct.clone()
    found, parts, keeps, gates, flat = map(_steps, (whole, direct, u, slopes, slopes.flatten(2)))
    for t in range(len(found) - 1, -1, -1):
        gates[t].mul_(found[t].unsqueeze(1))
        if t:
            torch.addmm(parts[t - 1], flat[t], w.w_hh, out=found[t - 1])
            found[t - 1].addcmul_(found[t], keeps[t])
    torch.mul(of_n, whole, out=slopes[:, :, 2])
    return (whole,), slopes.flatten(2)


# ---------------------------------------------------------------------- a fused module
@dataclass(frozen=True, eq=False)
class FusedPass:
    """One call of an `nn.RNN`, `nn.LSTM` or `nn.GRU`, noted by a forward hook.

    Attributes
    ----------
    module : nn.RNNBase
        Its weights are read when the gradients are asked for: before they are updated.
    x, first, output
        What it was given and what it returned; time first.
    edges : list of GradientEdge or None
        Of the output, of h_n and, of an LSTM, of c_n; None where autograd does not pass.
    """

    module: nn.RNNBase
    x: Tensor
    first: tuple[Tensor, ...]
    output: Tensor
    edges: list[GradientEdge | None]

    @torch.no_grad()
    def whole(self, found: Sequence[Tensor | None]) -> list[Whole]:
        """Return the whole gradient per layer and direction, from the input, given the direct ones of `edges`."""
        module, (steps, batch) = self.module, self.x.shape[:2]
        ways, width = 1 + module.bidirectional, module.hidden_size
        output, *last = (None if g is None else _working(g) for g in found)
        if output is None:
            output = self.x.new_zeros(steps, batch, ways * width)
        else:
            output = output.transpose(0, 1) if module.batch_first else output
        direct, wholes = list(output.chunk(ways, 2)), []
        layers = self.layers()
        for layer in range(module.num_layers - 1, -1, -1):
            below: Tensor | None = None
            for way in range(ways - 1, -1, -1):
                run, row = layers[layer][way], layer * ways + way
                own = direct[way].flip(0) if way else direct[way].clone()
                if last[0] is not None:
                    own[-1] += last[0][row]
                end = last[1][row] if len(last) > 1 and last[1] is not None else None
                whole, to_input = self._back(run, own, end)
                wholes.append(tuple(part.flip(0) for part in whole) if way else whole)
                if layer:
                    share = to_input @ run.weights.w_ih
                    share = share.flip(0) if way else share
                    below = share if below is None else below + share
            direct = [] if below is None else list(below.chunk(ways, 2))
        return wholes[::-1]

    @torch.no_grad()
    def jacobian(self, start: int, stop: int, rows: int) -> Tensor:
        """Return d s_stop / d s_start of the last layer, its forward way; the batch begins with a sample per row."""
        run = self.layers()[-1][0]
        x, h, before = (part[: stop + 1, :rows] for part in (run.x, run.h, run.before))
        run = run._replace(x=x, h=h, before=before, c_first=None if run.c_first is None else run.c_first[:rows])
        eye, width = torch.eye(rows, dtype=h.dtype, device=h.device), h.shape[2]
        direct = torch.zeros_like(run.h)
        direct[-1] = eye[:, :width]
        whole, _ = self._back(run, direct, eye[:, width:] if run.c_first is not None else None)
        return torch.cat([part[start] for part in whole], 1)

    def _back(self, run: Run, direct: Tensor, last_c: Tensor | None) -> tuple[Whole, Tensor]:
        mode = self.module.mode
        if mode == "LSTM":
            return _back_lstm(run, direct, last_c)
        return _back_gru(run, direct, None) if mode == "GRU" else _back_rnn(run, direct, None, mode == "RNN_RELU")

    def layers(self) -> list[list[Run]]:
        """Return what each layer and direction read and made; the layers below the last are run again."""
        module, x, found = self.module, self.x, []
        ways = 1 + module.bidirectional
        for layer in range(module.num_layers):
            weights = [self._weights(layer, way) for way in range(ways)]
            rows = slice(layer * ways, (layer + 1) * ways)
            first = [part[rows] for part in self.first]
            top = layer == module.num_layers - 1
            made = self.output if top else _run_layer(module, x, first, weights)
            runs = []
            for way, (own, h) in enumerate(zip(weights, made.chunk(ways, 2), strict=True)):
                read, h = (x.flip(0), h.flip(0)) if way else (x, h)
                before = torch.cat([first[0][way][None], h[:-1]])
                runs.append(Run(own, read, h, before, first[1][way] if len(first) > 1 else None))
            found.append(runs)
            x = made
        return found

    def _weights(self, layer: int, way: int) -> Weights:
        end, dtype = f"_l{layer}{'_reverse' if way else ''}", self.x.dtype
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        own = [getattr(self.module, name + end, None) for name in names]
        return Weights(*(None if p is None else p.detach().to(dtype) for p in own))  # pyright: ignore


def _run_layer(module: nn.RNNBase, x: Tensor, first: list[Tensor], weights: list[Weights]) -> Tensor:
    """Run one layer of a module forward by the same kernels."""
    flat = [p for own in weights for p in own if p is not None]
    common = (flat, module.bias, 1, 0.0, False, module.bidirectional, False)
    if module.mode == "LSTM":
        return torch._VF.lstm(x, first, *common)[0]  # pyright: ignore[reportAttributeAccessIssue]
    kernel = {"GRU": "gru", "RNN_TANH": "rnn_tanh", "RNN_RELU": "rnn_relu"}[module.mode]
    return getattr(torch._VF, kernel)(x, first[0], *common)[0]  # pyright: ignore[reportAttributeAccessIssue]


def note_fused(module: nn.RNNBase, arguments: tuple[Any, ...], output: Any) -> FusedPass:
    """Note what a call of a fused module read and made, from what it was given (positional) and returned."""
    x = arguments[0].detach()
    out, last = output
    last = last if isinstance(last, tuple) else (last,)
    x = x.transpose(0, 1) if module.batch_first else x
    hidden = arguments[1] if len(arguments) > 1 and arguments[1] is not None else None
    if hidden is None:
        first = tuple(torch.zeros_like(part) for part in last)
    else:
        first = hidden if isinstance(hidden, tuple) else (hidden,)
    made = _working(out.transpose(0, 1) if module.batch_first else out)
    return FusedPass(module, _working(x), tuple(map(_working, first)), made, [_edge(t) for t in (out, *last)])


def _working(tensor: Tensor) -> Tensor:
    """Detach, and widen what half precision made: the recursion runs on any device in these."""
    return tensor.detach() if tensor.dtype in (torch.float32, torch.float64) else tensor.detach().float()


def why_not(module: nn.RNNBase, arguments: tuple[Any, ...]) -> Said | None:
    """Say why a call of a fused module has no time signal here; None if it has."""
    if not arguments or not isinstance(arguments[0], Tensor):
        return Said("error.time_packed")
    if arguments[0].dim() != 3:
        return Said("error.time_unbatched")
    if module.proj_size:
        return Said("error.time_projection")
    if module.dropout and module.training and module.num_layers > 1:
        return Said("error.time_dropout")
    return None


# ---------------------------------------------------------------------- a fused module whose graph has every step
_TO_INPUT = {"RNN_TANH": (0, 1), "RNN_RELU": (0, 1), "GRU": (1, 0, 0, 0)}
"""Which way leads from the node of h_t to what all steps read from the layer below, input by input."""

_BELOW = {"UnbindBackward0": 0, "ViewBackward0": 0, "UnsafeViewBackward0": 0, "AddmmBackward0": 1, "MmBackward0": 0}


def edges_of_states(module: nn.RNNBase, output: Tensor) -> list[list[GradientEdge]] | None:
    """Return where each h_t is made, per layer and direction from the input; None if the graph is another."""
    node = output.grad_fn
    if node is not None and module.batch_first:
        node = node.next_functions[0][0]
    found: list[list[GradientEdge]] = []
    for layer in range(module.num_layers if module.mode in _TO_INPUT else 0):
        if layer:
            node = _below(found[0][-1].node, module.mode)
        stacks = [(node, 0)] if node is None or not module.bidirectional else node.next_functions
        found[:0] = [
            [GradientEdge(made, number) for made, number in own.next_functions if made is not None]
            for own, _ in stacks
            if own is not None and own.name() == "StackBackward0"
        ]
        if len(found) != (layer + 1) * (1 + module.bidirectional):
            return None
    return found or None


def _below(node: Node | None, mode: str) -> Node | None:
    """Go from the node of an h_t to the one that stacked the states of the layer below."""
    for place in _TO_INPUT[mode]:
        if node is None or place >= len(node.next_functions):
            return None
        node = node.next_functions[place][0]
    while node is not None and node.name() in _BELOW:
        node = node.next_functions[_BELOW[node.name()]][0]
    return node


# ---------------------------------------------------------------------- any network
@dataclass(eq=False)
class _Row:
    """One recurrent layer and direction: its name, and what is known of it in the pass under way."""

    name: str
    states: list[tuple[GradientEdge | None, ...]] = field(default_factory=list)
    corrections: list[Tensor] = field(default_factory=list)  # of an nn.LSTMCell: d h / d c, inside c's gradient


class TimeProbe:
    """Observes the recurrent layers of a network: fused modules, cells called in a loop, gradlab's unrolled cells.

    Parameters
    ----------
    network : nn.Module
        Hooks hang on its recurrent modules from `begin` to `end`.
    hooks : bool, default True
        False: none are, and whoever sees the modules' calls tells `note` of them.

    Attributes
    ----------
    rows : tuple of str
        A name per recurrent layer and direction, from the input.
    why : Said or None
        Why a recurrent module seen in the last pass has no time signal.
    costly : bool
        Whether a recursion of the last pass is one that a trainer measures seldom.
    """

    def __init__(self, network: nn.Module, hooks: bool = True) -> None:
        self.why: Said | None = None
        self.costly = False
        self._on, self._hooks = False, hooks
        self._first: dict[nn.Module, int] = {}
        self._rows: list[_Row] = []
        self._fused: list[tuple[int, FusedPass]] = []
        self._handles: list[RemovableHandle] = []
        for name, module in network.named_modules():
            if isinstance(module, nn.RNNBase | nn.RNNCellBase | Cell):
                self._first[module] = len(self._rows)
                self._rows += map(_Row, _names(name or type(module).__name__, module))
        self.rows = tuple(row.name for row in self._rows)

    def begin(self) -> None:
        """Forget the last pass and note the next one."""
        self._on, self.why, self.costly = True, None, False
        self._forget()
        for module in self._first if self._hooks else ():
            self._handles.append(module.register_forward_hook(self.note, with_kwargs=True))

    def _forget(self) -> None:
        self._fused = []
        for row in self._rows:
            row.states, row.corrections = [], []

    def end(self) -> list[GradientEdge]:
        """Stop noting; return where the gradients can be read that `norms` wants, in this order."""
        self._on = False
        while self._handles:
            self._handles.pop().remove()
        return [edge for edge in self._edges() if edge is not None]

    def _edges(self) -> list[GradientEdge | None]:
        of_states = [edge for row in self._rows for state in row.states for edge in state]
        return of_states + [edge for _, seen in self._fused for edge in seen.edges]

    def note(self, module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any], output: Any) -> None:
        """Note a call of a module, if it is a recurrent one: the forward hook."""
        first = self._first.get(module)
        if not self._on or first is None:
            return
        if isinstance(module, Cell):
            self._rows[first].states += [tuple(map(_edge, state)) for state in output]
        elif isinstance(module, nn.RNNCellBase):
            self._note_cell(self._rows[first], output)
        elif isinstance(module, nn.RNNBase):
            given = (*arguments, *(named[name] for name in ("input", "hx") if name in named))
            if why := why_not(module, given):
                self.why = why
            elif found := edges_of_states(module, output[0]):
                for row, edges in zip(self._rows[first:], found, strict=False):
                    row.states += [(edge,) for edge in edges]
            else:
                self.costly = self.costly or output[0].numel() > LARGE
                self._fused.append((first, note_fused(module, given, output)))

    @staticmethod
    def _note_cell(row: _Row, output: Any) -> None:
        state = output if isinstance(output, tuple) else (output,)
        row.states.append(tuple(map(_edge, state)))
        if (slope := lstm_cell_slope(state)) is not None:
            row.corrections.append(slope)

    def whole(self, found: Sequence[Tensor | None]) -> list[Whole | None]:
        """Return d loss / d state of each row, ``(T, batch, width)`` per part, from the gradients at the edges."""
        given = iter(found)
        every = [None if edge is None else next(given) for edge in self._edges()]
        wholes: list[Whole | None] = []
        place = 0
        for row in self._rows:
            parts = len(row.states[0]) if row.states else 0
            own = every[place : place + parts * len(row.states)]
            place += len(own)
            wholes.append(_stacked(own, parts, row.corrections))
        for first, seen in self._fused:
            for row, whole in enumerate(seen.whole(every[place : place + len(seen.edges)])):
                wholes[first + row] = _joined(wholes[first + row], whole)
            place += len(seen.edges)
        return wholes

    def norms(self, found: Sequence[Tensor | None], samples: int) -> list[Tensor]:
        """Return per row the root of the sum over samples of |d loss_i / d state|^2, float64 ``(T,)``.

        Parameters
        ----------
        found : sequence of Tensor or None
            The gradients of the *mean* loss at the edges that `end` returned.
        samples : int
            Of the pass; divided by the root of all samples of a step, the norms become root-mean-squares.
        """
        rows, wholes = [], self.whole(found)
        self._forget()
        for whole in wholes:
            if whole is None:
                rows.append(torch.zeros(0, dtype=torch.float64))
                continue
            parts = [norm(part, (1, 2)) for part in whole]
            total = parts[0] if len(parts) == 1 else torch.hypot(*parts)
            rows.append(samples * total)
        return rows


def lstm_cell_slope(state: tuple[Tensor, ...]) -> Tensor | None:
    """Return d h / d c of a state of `nn.LSTMCell`, which autograd counts to c's gradient; None where it does not."""
    if len(state) < 2 or state[0].grad_fn is state[1].grad_fn:
        return None  # made by one node, as on an accelerator: varied apart as they are
    h, c = (part.detach() for part in state)
    squashed = c.tanh()
    # o = h / tanh(c); where c is 0 so is h, and o is not known: its share of the slope is left out
    return torch.where(c == 0, 0.0, h / squashed * (1 - squashed * squashed))


def _edge(state: Tensor) -> GradientEdge | None:
    return get_gradient_edge(state) if state.requires_grad else None


def _names(name: str, module: nn.Module) -> list[str]:
    if not isinstance(module, nn.RNNBase):
        return [name]
    ways = ("", " back") if module.bidirectional else ("",)
    layers = [""] if module.num_layers == 1 else [f" {i + 1}" for i in range(module.num_layers)]
    return [name + layer + way for layer in layers for way in ways]


def _stacked(own: list[Tensor | None], parts: int, corrections: list[Tensor]) -> Whole | None:
    """Stack a row's gradients step by step; a state that no loss depends on has gradient 0."""
    like = next((g for g in own if g is not None), None)
    if like is None:
        return None
    filled = [torch.zeros_like(like) if g is None else g for g in own]
    whole = [torch.stack(filled[part::parts]) for part in range(parts)]
    if corrections:
        whole[1] = whole[1] - whole[0] * torch.stack(corrections)
    return tuple(whole)


def _joined(known: Whole | None, more: Whole) -> Whole:
    """Return the gradients of a module called more than once, one call's steps after another's."""
    return more if known is None else tuple(torch.cat(pair) for pair in zip(known, more, strict=True))


def together(passes: Sequence[Sequence[Tensor]], samples: int) -> Array:
    """Return root-mean-squares over the samples of a step from the `TimeProbe.norms` of its passes.

    Returns
    -------
    ndarray
        Shape (recurrent layers, T), nan where a layer has fewer steps or no signal; (0, 0) without any.
    """
    rows = [norm(torch.stack(own), (0,)) for own in zip(*passes, strict=True) if len({len(o) for o in own}) == 1]
    steps = max(map(len, rows), default=0)
    if not steps:
        return NO_TIME
    found = np.full((len(rows), steps), np.nan)
    for row, norms in zip(found, rows, strict=True):
        row[: len(norms)] = norms.cpu().numpy() / math.sqrt(samples)
    return found
