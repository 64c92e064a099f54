"""Recurrent networks as unrolled cells, so that the state of every time step is a tensor with a gradient.

The equations, the order of the gates and the two biases are those of `torch.nn.RNN`, `LSTM` and `GRU`: from the same
weights come the same numbers.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from gradlab.locale import Said
from gradlab.network.activations import ACTIVATIONS
from gradlab.network.build import Blocks, Knobs, Outputs, architecture, blank_linear

State = tuple[Tensor, ...]
"""What a layer hands to its next time step: ``(h,)``, or ``(h, c)`` of an LSTM, each ``(batch, width)``."""


class Unrolled(NamedTuple):
    """One forward pass: the output, and per recurrent layer and time step the state."""

    output: Tensor
    states: list[list[State]]


class Cell(nn.Module):
    """One recurrent layer: ``z = W_ih x_t + b_ih``, ``W_hh h_{t-1} + b_hh`` added, then what the kind makes of them.

    After `truncate` steps, counted from the sequence's end, the state is cut from its past; 0: never.
    """

    gates = 1  # matrices one above the other in W_ih and in W_hh
    carries_cell = False  # whether the state has a second part, c

    def __init__(self, config: Knobs, inputs: int) -> None:
        super().__init__()
        width = self.width = config.width
        self.truncate = config.truncate
        self.input = Blocks(inputs, width, self.gates)
        self.recurrent = Blocks(width, width, self.gates, (config.recurrent_init, config.recurrent_gain))

    def forward(self, x: Tensor) -> list[State]:
        """Run over a sequence ``(batch, T, inputs)``; return the state after each step."""
        read = self.input(x).unbind(1)
        state: State = tuple(x.new_zeros(len(x), self.width) for _ in range(1 + self.carries_cell))
        states: list[State] = []
        for t, z in enumerate(read):
            if t and self.truncate and (len(read) - t) % self.truncate == 0:
                state = tuple(part.detach() for part in state)
            state = self.step(z, state)
            states.append(state)
        return states

    def step(self, z: Tensor, state: State) -> State:
        """Return the next state from what the input says and the last state."""
        raise NotImplementedError


class RnnCell(Cell):
    """``h_t = phi(z + back)`` (Elman 1990)."""

    def __init__(self, config: Knobs, inputs: int) -> None:
        super().__init__(config, inputs)
        self.phi = ACTIVATIONS[config.activation]()

    def step(self, z: Tensor, state: State) -> State:
        """Return ``(h_t,)``."""
        return (self.phi(self.recurrent(state[0], z)),)


class LstmCell(Cell):
    """``c_t = f c_{t-1} + i g``, ``h_t = o tanh(c_t)`` (Hochreiter & Schmidhuber 1997; Gers et al. 2000)."""

    gates = 4
    carries_cell = True

    def __init__(self, config: Knobs, inputs: int) -> None:
        super().__init__(config, inputs)
        self.forget_bias = config.forget_bias
        self.gate = nn.Sigmoid()

    def adjust(self) -> None:
        """Add `forget_bias` to the forget gate's bias."""
        self.input.bias[self.width : 2 * self.width] += self.forget_bias

    def step(self, z: Tensor, state: State) -> State:
        """Return ``(h_t, c_t)``; the gradient of this c_t is that of the next step alone, not h_t's share."""
        z = self.recurrent(state[0], z)
        i, f, _, o = self.gate(z).chunk(4, 1)  # of all four: a module whose ends are counted takes the whole of z
        c = f * state[1] + i * z[:, 2 * self.width : 3 * self.width].tanh()
        return o * c.tanh(), c.view_as(c)


class GruCell(Cell):
    """``h_t = (1 - u) n + u h_{t-1}``, ``n = tanh(z_n + r back_n)`` (Cho et al. 2014, as torch computes it)."""

    gates = 3

    def __init__(self, config: Knobs, inputs: int) -> None:
        super().__init__(config, inputs)
        self.gate = nn.Sigmoid()

    def step(self, z: Tensor, state: State) -> State:
        """Return ``(h_t,)``."""
        width = self.width
        back = self.recurrent(state[0], nn.functional.pad(z[:, : 2 * width], (0, width)))
        r, u, _ = self.gate(back).chunk(3, 1)
        n = (z[:, 2 * width :] + r * back[:, 2 * width :]).tanh()
        return (n + u * (state[0] - n),)


class Recurrent(nn.Module):
    """``depth`` layers of one kind of cell, called ``rnn1``, ``rnn2`` and so on by the `kind`, and a readout.

    It reads the last step's h or, where `outputs` are (time steps, columns), every step's.
    """

    def __init__(self, config: Knobs, shape: tuple[int, ...], outputs: Outputs, kind: str, cell: type[Cell]) -> None:
        super().__init__()
        steps, columns = as_sequence(shape, kind)
        if config.truncate > steps:
            raise ValueError(Said("error.truncate", truncate=config.truncate, steps=steps))
        self.every_step = not isinstance(outputs, int)
        self.layers = [f"{kind}{i + 1}" for i in range(config.depth)]
        for name in self.layers:
            self.add_module(name, cell(config, columns))
            columns = config.width
        self.readout = blank_linear(columns, outputs if isinstance(outputs, int) else outputs[1])

    @property
    def cells(self) -> list[Cell]:
        """The recurrent layers, from the input."""
        return [self.get_submodule(name) for name in self.layers]  # pyright: ignore[reportReturnType]

    def forward(self, x: Tensor) -> Tensor:
        """Map sequences ``(batch, T, columns)`` to ``(batch, outputs)`` or ``(batch, T, outputs)``."""
        return self.unroll(x).output

    def unroll(self, x: Tensor) -> Unrolled:
        """Run forward and keep the state of every layer and time step."""
        h = x if x.dim() == 3 else x.unsqueeze(2)
        found: list[list[State]] = []
        for cell in self.cells:
            found.append(cell(h))
            h = torch.stack([state[0] for state in found[-1]], 1)
        return Unrolled(self.readout(h if self.every_step else h[:, -1]), found)


def as_sequence(shape: tuple[int, ...], architecture: str) -> tuple[int, int]:
    """Return (time steps, columns) of a sample; of f plain features, f steps of one."""
    if len(shape) not in (1, 2) or 0 in shape:
        raise ValueError(Said("error.sequence", shape=str(shape), architecture=architecture))
    return (shape[0], 1) if len(shape) == 1 else (shape[0], shape[1])


_COMMON = ("depth", "width", "init", "gain", "bias_std", "recurrent_init", "recurrent_gain", "truncate")


@architecture("rnn", "RNN", uses=(*_COMMON, "activation"), recurrent=True, matrices=2)
def rnn(config: Knobs, input_shape: tuple[int, ...], outputs: Outputs) -> nn.Module:
    """A plain recurrent network, h_t = phi(W h_{t-1} + U x_t + b): the one whose gradient explodes through time."""
    return Recurrent(config, input_shape, outputs, "rnn", RnnCell)


@architecture("lstm", "LSTM", uses=(*_COMMON, "forget_bias"), recurrent=True, matrices=8)
def lstm(config: Knobs, input_shape: tuple[int, ...], outputs: Outputs) -> nn.Module:
    """Long short-term memory: a cell that a forget gate lets pass, so that a gradient can cross many steps."""
    return Recurrent(config, input_shape, outputs, "lstm", LstmCell)


@architecture("gru", "GRU", uses=_COMMON, recurrent=True, matrices=6)
def gru(config: Knobs, input_shape: tuple[int, ...], outputs: Outputs) -> nn.Module:
    """Gated recurrent unit: the LSTM's idea with one state and two gates."""
    return Recurrent(config, input_shape, outputs, "gru", GruCell)
