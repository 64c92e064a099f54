"""What a recurrent network does to a signal on its way through time: Jacobians, recurrent weights, gates."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from gradlab.engine import Trainer
from gradlab.engine.time import FusedPass, Run, Weights, lstm_cell_slope, note_fused, why_not
from gradlab.history import Array
from gradlab.locale import Said
from gradlab.network.recurrent import Cell
from gradlab.registry import brief

RECURRENT = (nn.RNNBase, nn.RNNCellBase, Cell)
_SAMPLES = 64


def jacobian_spectrum(trainer: Trainer, start: int, stop: int, sample: int = 0) -> Array:
    """Return the singular values of d h_stop / d h_start of the last recurrent layer, for one sample.

    How each direction of the state at one time step is stretched on its way to a later one: all near 1, and a
    signal arrives; the largest below 1, and it dies out (Pascanu et al. 2013). Of an LSTM the state is (h, c), its
    two parts varied apart.

    Parameters
    ----------
    trainer : Trainer
        Its network as it stands, copied to float64 and put in eval mode; nothing is changed.
    start, stop : int
        Time steps, from 0, ``start <= stop``.
    sample : int, default 0
        Row of the trainer's data.

    Returns
    -------
    ndarray
        Largest first; ``width`` of them, of an LSTM twice as many. Exactly 0 across a truncation.

    Raises
    ------
    ValueError
        If the network has no recurrent layer, or the time steps are not those of a sequence.
    """
    n = trainer.data.n
    if not 0 <= sample < n:
        raise ValueError(f"sample={brief(sample)}; expected a row of the data, 0 to {n - 1}")
    return _spectrum(_calls(trainer, _copies(trainer, sample))[-1], start, stop)


def _copies(trainer: Trainer, sample: int) -> Tensor:
    """Return a sample as often as the widest recurrent state has numbers, and so a Jacobian rows."""
    x = trainer.data.x[sample : sample + 1]
    widths = [_width(module) for module in trainer.network.modules() if isinstance(module, RECURRENT)]
    return x.expand(max(widths, default=1), *x.shape[1:])


def _width(module: nn.Module) -> int:
    """Return how many numbers the state of a recurrent module has, of an LSTM h and c."""
    if isinstance(module, Cell):
        return module.width * (1 + module.carries_cell)
    assert isinstance(module, nn.RNNBase | nn.RNNCellBase)
    return module.hidden_size * (2 if isinstance(module, nn.LSTM | nn.LSTMCell) else 1)


def _spectrum(call: _Call, start: int, stop: int) -> Array:
    steps = len(call.states) if call.fused is None else len(call.fused.x)
    if not 0 <= start <= stop < steps:
        said = f"start={brief(start)}, stop={brief(stop)}"
        raise ValueError(f"{said}; expected 0 <= start <= stop < {steps}, the time steps")
    width = _width(call.module)
    fused = call.fused.jacobian(start, stop, width) if call.fused is not None else None
    return torch.linalg.svdvals(_jacobian(call, start, stop, width) if fused is None else fused).numpy()


class _Call(NamedTuple):
    """What the last recurrent module to be called made: unrolled states, or a fused pass."""

    name: str
    module: nn.Module
    states: list[tuple[Tensor, ...]]
    fused: FusedPass | None
    x: Tensor

    def runs(self) -> list[Run]:
        """Return what each layer, forward in time, read and made; nothing of cells called one step at a time."""
        if self.fused is not None:
            return [ways[0] for ways in self.fused.layers()]
        if not isinstance(self.module, Cell):
            return []
        h = torch.stack([state[0] for state in self.states])
        before = torch.cat([torch.zeros_like(h[:1]), h[:-1]])
        linears = (self.module.input, self.module.recurrent)
        weights = Weights(*(m.weight for m in linears), *(m.bias for m in linears))
        return [Run(weights, self.x.transpose(0, 1), h, before, None)]


def _calls(trainer: Trainer, x: Tensor) -> list[_Call]:
    """Run a float64 copy of the network; return the recurrent modules' calls, a cell's steps as one."""
    network = copy.deepcopy(trainer.network).double().eval()
    found: dict[nn.Module, _Call] = {}

    names = {module: name for name, module in network.named_modules()}

    def note(module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any], output: Any) -> None:
        given = (*arguments, *(named[name] for name in ("input", "hx") if name in named))
        call = found.pop(module, _Call(names[module], module, [], None, given[0]))
        if isinstance(module, nn.RNNBase):
            if why := why_not(module, given):
                raise ValueError(why)
            call = call._replace(fused=note_fused(module, given, output))
        elif isinstance(module, Cell):
            call = call._replace(states=output)
        else:
            call.states.append(output if isinstance(output, tuple) else (output,))
        found[module] = call

    for module in network.modules():
        if isinstance(module, RECURRENT):
            module.register_forward_hook(note, with_kwargs=True)
    with torch.random.fork_rng(devices=[]):
        network(x.double() if x.is_floating_point() else x)
    if not found:
        raise ValueError(Said("error.time_none"))
    return list(found.values())


def _jacobian(call: _Call, start: int, stop: int, width: int) -> Tensor:
    """Return d state_stop / d state_start: row i from the i-th of as many copies of the sample."""
    first, last = call.states[start], call.states[stop]
    eye = torch.eye(width, dtype=torch.float64).chunk(len(last), 1)
    along = sum((part[:width] * row).sum() for part, row in zip(last, eye, strict=True))
    found = torch.autograd.grad(along, list(first), allow_unused=True) if isinstance(along, Tensor) else ()
    parts = [torch.zeros_like(s) if g is None else g for g, s in zip(found, first, strict=True)]
    if not isinstance(call.module, Cell) and (slope := lstm_cell_slope(first)) is not None:
        parts[1] = parts[1] - parts[0] * slope
    return torch.cat(parts, 1)[:width]


class RecurrentMatrix(NamedTuple):
    """One matrix of W_hh: its largest singular value, and its largest eigenvalue in absolute value."""

    name: str
    norm: float
    radius: float


def recurrent_matrices(trainer: Trainer) -> list[RecurrentMatrix]:
    """Return norm and spectral radius of every W_hh, gate by gate, from the input."""
    found = []
    for name, module in trainer.network.named_modules():
        if isinstance(module, Cell):
            weights = [(name, module.recurrent.weight)]
        elif isinstance(module, nn.RNNBase | nn.RNNCellBase):
            weights = [(f"{name}.{own}", p) for own, p in module.named_parameters() if own.startswith("weight_hh")]
        else:
            continue
        for own, weight in weights:
            blocks = weight.detach().double().split(weight.shape[1])
            names = {4: "ifgo", 3: "run"}.get(len(blocks), "")
            for i, block in enumerate(blocks):
                label = f"{own} {names[i]}" if names else own
                norm, radius = torch.linalg.matrix_norm(block, 2), torch.linalg.eigvals(block).abs().max()
                found.append(RecurrentMatrix(label, float(norm), float(radius)))
    return found


def gate_means(trainer: Trainer, samples: int = _SAMPLES) -> dict[str, Array]:
    """Return how far the gates of each LSTM (i, f, o) or GRU (r, u) stand open, per time step.

    Parameters
    ----------
    trainer : Trainer
        Its network as it stands; nothing is changed.
    samples : int, default 64
        The first so many of its data.

    Returns
    -------
    dict of str to ndarray
        ``"lstm1 f"`` and so on: mean over samples and units, shape ``(T,)``. Empty without gates.
    """
    return _gates(_calls(trainer, trainer.data.x[:samples]), samples)


def _gates(calls: list[_Call], samples: int) -> dict[str, Array]:
    """Return what `gate_means` does, of the last so many samples of a pass."""
    found: dict[str, Array] = {}
    for call in calls:
        for layer, run in enumerate(call.runs()):
            gates = {4: {"i": 0, "f": 1, "o": 3}, 3: {"r": 0, "u": 1}}.get(
                len(run.weights.w_hh) // run.h.shape[2], {}
            )
            w = run.weights
            x, before = run.x[:, -samples:], run.before[:, -samples:]
            z = nn.functional.linear(x, w.w_ih, w.b_ih) + nn.functional.linear(before, w.w_hh, w.b_hh)
            means = z.unflatten(2, (-1, run.h.shape[2])).sigmoid().mean((1, 3))
            name = call.name if len(call.runs()) == 1 else f"{call.name} {layer + 1}"
            found |= {f"{name} {gate}": means[:, row].detach().numpy() for gate, row in gates.items()}
    return found


class ThroughTime(NamedTuple):
    """What the network at hand does to a signal on its way from the first time step to the last."""

    singular_values: Array  # of d h_T / d h_1, largest first
    gates: dict[str, Array]  # as `gate_means` returns them
    matrices: list[RecurrentMatrix]


def through_time(trainer: Trainer) -> ThroughTime:
    """Return the spectrum over the whole sequence, the gates and the recurrent matrices, of one forward pass.

    Raises
    ------
    ValueError
        If the network has no recurrent layer whose time can be measured.
    """
    if not trainer.history.time_names:
        raise ValueError(Said("error.time_none"))
    samples = trainer.data.x[:_SAMPLES]
    calls = _calls(trainer, torch.cat([_copies(trainer, 0), samples]))
    spectrum = _spectrum(calls[-1], 0, trainer.data.x.shape[1] - 1)
    return ThroughTime(spectrum, _gates(calls, len(samples)), recurrent_matrices(trainer))
