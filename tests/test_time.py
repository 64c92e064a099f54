"""The signal through time, against unrolled plain PyTorch, finite differences and closed forms."""

import copy
import itertools
import math
import warnings

import numpy as np
import pytest
import torch
from torch import nn

import gradlab
from gradlab import (
    Config,
    History,
    StepRecord,
    Trainer,
    build_network,
    compare,
    gradient_noise,
    sharpness,
    sweep,
)
from gradlab.engine.time import TimeProbe, edges_of_states, note_fused
from gradlab.history import PER_LAYER, SCALARS
from gradlab.inspect import gate_means, jacobian_spectrum, recurrent_matrices

T, BATCH, WIDTH = 6, 4, 5
KINDS = {"RNN": nn.RNN, "RELU": lambda *a, **k: nn.RNN(*a, nonlinearity="relu", **k), "LSTM": nn.LSTM, "GRU": nn.GRU}


def draw(*shape, seed=5):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def filled(module, seed=0):
    module = module.double()
    with torch.no_grad():
        for number, p in enumerate(module.parameters()):
            p.copy_(0.6 * draw(*p.shape, seed=100 * seed + number))
    return module


# ---------------------------------------------------------------------- an oracle in plain PyTorch
def next_state(mode, z, back, state):
    if mode == "LSTM":
        i, f, g, o = (z + back).chunk(4, 1)
        c = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c.clone()  # the clone is c as the next step sees it: h is not its function
    if mode == "GRU":
        (r, u, n), (rh, uh, nh) = z.chunk(3, 1), back.chunk(3, 1)
        keep = (u + uh).sigmoid()
        return ((1 - keep) * (n + (r + rh).sigmoid() * nh).tanh() + keep * state[0],)
    return ((z + back).tanh() if mode == "RNN_TANH" else (z + back).relu(),)


def unroll(module, x, first=None):
    """x (T, batch, c) -> outputs (T, batch, ways * width), the states of each layer and way, in the order of time."""
    ways, rows, read = 1 + module.bidirectional, [], x
    for layer in range(module.num_layers):
        made = []
        for way in range(ways):
            end = f"_l{layer}" + "_reverse" * way
            w_ih, w_hh = getattr(module, "weight_ih" + end), getattr(module, "weight_hh" + end)
            b_ih, b_hh = (getattr(module, name + end) if module.bias else 0.0 for name in ("bias_ih", "bias_hh"))
            zero = torch.zeros(x.shape[1], module.hidden_size, dtype=torch.float64)
            state = (zero, zero)
            if first is not None:
                state = tuple(part[layer * ways + way] for part in first)
            states = [()] * len(x)
            for t in range(len(x) - 1, -1, -1) if way else range(len(x)):
                state = states[t] = next_state(module.mode, read[t] @ w_ih.T + b_ih, state[0] @ w_hh.T + b_hh, state)
            rows.append(states)
            made.append(torch.stack([s[0] for s in states]))
        read = torch.cat(made, 2)
    return read, rows


def oracle(loss, rows, part):
    """d loss / d one part of each state of each row, stacked over time."""
    found = []
    for states in rows:
        own = [s[part] for s in states]
        grads = torch.autograd.grad(loss, own, retain_graph=True, allow_unused=True)
        found.append(torch.stack([torch.zeros_like(s) if g is None else g for g, s in zip(grads, own, strict=True)]))
    return found


def seen(probe, call, loss_of):
    probe.begin()
    output = call()
    edges = probe.end()
    return torch.autograd.grad(loss_of(output), edges, allow_unused=True)


def norms_of(network, x, loss_of):
    probe = TimeProbe(network)
    return probe.norms(seen(probe, lambda: network(x), loss_of), len(x))


CASES = list(itertools.product(KINDS, [1, 2], [False, True], [False, True], ["every output", "h_n", "given state"]))


@pytest.mark.parametrize(("kind", "layers", "both", "batch_first", "reads"), CASES)
def test_the_graph_and_the_recursion_are_the_unrolled_gradient(kind, layers, both, batch_first, reads):
    module = filled(KINDS[kind](3, WIDTH, layers, bidirectional=both, batch_first=batch_first, bias=reads != "h_n"))
    x, ways = draw(T, BATCH, 3), 1 + both
    first = None
    if reads == "given state":
        first = tuple(draw(layers * ways, BATCH, WIDTH, seed=seed) for seed in range(1 + (kind == "LSTM")))
    weights = draw(T, BATCH, ways * WIDTH, seed=8)

    def loss(outputs, last):
        if reads == "h_n":
            return sum(part.square().sum() for part in last)
        return (outputs * weights).sin().sum()

    def of_module(output):
        made, last = output
        made = made.transpose(0, 1) if batch_first else made
        return loss(made, last if isinstance(last, tuple) else (last,))

    probe = TimeProbe(module)
    given = x.transpose(0, 1) if batch_first else x
    state = (first if kind == "LSTM" else first[0]) if first else None
    found = probe.whole(seen(probe, lambda: module(given, state), of_module))
    output = module(given, state)
    noted = note_fused(module, (given, state), output)
    edges = [edge for edge in noted.edges if edge is not None]
    arrived = iter(torch.autograd.grad(of_module(output), edges, retain_graph=True, allow_unused=True))
    recursion = noted.whole([None if edge is None else next(arrived) for edge in noted.edges])
    assert (edges_of_states(module, output[0]) is None) == (kind == "LSTM")
    outputs, rows = unroll(module, x, first)
    ends = [states[0] if both and i % 2 else states[-1] for i, states in enumerate(rows)]
    last = [torch.stack([end[part] for end in ends]) for part in range(len(ends[0]))]
    value = loss(outputs, last)
    for part in range(len(rows[0][0])):
        for one, other, theirs in zip(found, recursion, oracle(value, rows, part), strict=True):
            torch.testing.assert_close(one[part], theirs, rtol=1e-10, atol=1e-13)
            torch.testing.assert_close(other[part], theirs, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
def test_unrolled_cells_and_the_fused_module_say_the_same(kind):
    config = Config(architecture=kind, depth=2, width=WIDTH, activation="tanh", dtype="float64", bias_std=0.3)
    network = build_network(config, (T, 3), 2, torch.Generator().manual_seed(0), torch.float64)
    module = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[kind](3, WIDTH, 2, batch_first=True).double()
    with torch.no_grad():
        for layer, cell in enumerate(network.cells):
            for part, linear in (("ih", cell.input), ("hh", cell.recurrent)):
                getattr(module, f"weight_{part}_l{layer}").copy_(linear.weight)
                getattr(module, f"bias_{part}_l{layer}").copy_(linear.bias)
    x, mine, theirs = draw(BATCH, T, 3), TimeProbe(network), TimeProbe(module)
    own = mine.norms(seen(mine, lambda: network(x), lambda y: y.square().mean()), BATCH)
    fused = theirs.norms(
        seen(theirs, lambda: network.readout(module(x)[0][:, -1]), lambda y: y.square().mean()), BATCH
    )
    for a, b in zip(own, fused, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=0)
    assert mine.rows == (f"{kind}1", f"{kind}2")


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_cells_called_in_a_loop_say_the_same_as_the_fused_module(kind):
    fused = filled(KINDS[kind](3, WIDTH))
    cell = {"RNN": nn.RNNCell, "LSTM": nn.LSTMCell, "GRU": nn.GRUCell}[kind](3, WIDTH).double()
    for name, p in cell.named_parameters():
        p.data.copy_(getattr(fused, f"{name}_l0"))
    x = draw(T, BATCH, 3)

    def loop():
        state = None
        for step in x:
            state = cell(step, state)
        return state[0] if isinstance(state, tuple) else state

    a, b = TimeProbe(cell), TimeProbe(fused)
    one = a.norms(seen(a, loop, lambda h: h.sin().mean()), BATCH)
    other = b.norms(seen(b, lambda: fused(x)[0][-1], lambda h: h.sin().mean()), BATCH)
    torch.testing.assert_close(one, other, rtol=1e-9, atol=0)  # o is h / tanh(c): a few digits fewer


def test_the_norm_is_a_root_mean_square_of_per_sample_gradients():
    """Each sample alone, its own loss undivided; the network's batch takes the mean."""
    config = Config(architecture="rnn", depth=1, width=WIDTH, activation="tanh", dtype="float64")
    network = build_network(config, (T, 3), 2, torch.Generator().manual_seed(0), torch.float64)
    x, y = draw(BATCH, T, 3), torch.arange(BATCH) % 2
    probe = TimeProbe(network)
    (norms,) = probe.norms(seen(probe, lambda: network(x), lambda out: nn.functional.cross_entropy(out, y)), BATCH)
    squares = torch.zeros(T, dtype=torch.float64)
    for i in range(BATCH):
        output, states = network.unroll(x[i : i + 1])
        loss = nn.functional.cross_entropy(output, y[i : i + 1])
        found = torch.autograd.grad(loss, [s[0] for s in states[0]])
        squares += torch.stack([g.square().sum() for g in found])
    torch.testing.assert_close(norms / math.sqrt(BATCH), (squares / BATCH).sqrt(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
def test_finite_differences_of_the_state_agree(kind):
    """Both parts of a state at t are moved after step t; the rest of the sequence runs from there."""
    config = Config(architecture=kind, depth=1, width=WIDTH, activation="tanh", dtype="float64", bias_std=0.5)
    network = build_network(config, (T, 3), 2, torch.Generator().manual_seed(0), torch.float64)
    x, probe, (cell,) = draw(1, T, 3), TimeProbe(network), network.cells
    (whole,) = probe.whole(seen(probe, lambda: network(x), lambda out: out.sin().sum()))

    def rest(state, t):
        for z in cell.input(x).unbind(1)[t + 1 :]:
            state = cell.step(z, state)
        return network.readout(state[0]).sin().sum().item()

    h = 1e-5
    states = network.unroll(x).states[0]
    for t in (0, 2, T - 1):
        for part in range(len(states[t])):
            for entry in range(WIDTH):
                moved = []
                for sign in (1, -1):
                    state = [s.detach().clone() for s in states[t]]
                    state[part][0, entry] += sign * h
                    moved.append(rest(tuple(state), t))
                slope = (moved[0] - moved[1]) / (2 * h)
                # central differences err by h^2 and by rounding / h: 1e-10 each
                assert float(whole[part][t, 0, entry]) == pytest.approx(slope, rel=1e-6, abs=1e-9)


def test_truncation_is_exactly_zero_beyond_the_window():
    for kind in ("rnn", "lstm", "gru"):
        config = Config(architecture=kind, depth=1, width=WIDTH, activation="tanh", truncate=4, dtype="float64")
        network = build_network(config, (9, 3), 2, torch.Generator().manual_seed(0), torch.float64)
        (norms,) = norms_of(network, draw(2, 9, 3), lambda out: out.sin().sum())
        assert (norms[:5] == 0).all()
        assert (norms[5:] > 0).all()


def test_a_linear_network_of_orthogonal_weights_loses_its_gain_at_every_step():
    for gain in (0.9, 1.0, 1.1):
        config = Config(
            architecture="rnn", depth=1, width=8, activation="linear", recurrent_gain=gain, dtype="float64"
        )
        network = build_network(config, (12, 2), 3, torch.Generator().manual_seed(0), torch.float64)
        (norms,) = norms_of(network, draw(5, 12, 2), lambda out: out.square().mean())
        torch.testing.assert_close(
            norms[:-1] / norms[1:], torch.full((11,), gain, dtype=torch.float64), rtol=1e-12, atol=0
        )


def test_norms_below_and_above_the_range_of_squares_keep_their_digits():
    """A linear network whose signal falls by 1e-40 or grows by 1e40 a step: squares leave float64."""
    for gain in (1e-40, 1e40):
        config = Config(
            architecture="rnn", depth=1, width=4, activation="linear", recurrent_gain=gain, dtype="float64"
        )
        network = build_network(config, (5, 1), 1, torch.Generator().manual_seed(0), torch.float64)
        (norms,) = norms_of(network, torch.zeros(1, 5, 1).double(), torch.sum)
        torch.testing.assert_close(
            norms[:-1] / norms[1:], torch.full((4,), gain, dtype=torch.float64), rtol=1e-12, atol=0
        )


# ---------------------------------------------------------------------- what has no time signal says why
def test_a_network_without_recurrence_has_no_rows():
    probe = TimeProbe(nn.Linear(2, 2))
    assert probe.rows == ()
    assert probe.norms(seen_nothing(probe), 1) == []


def seen_nothing(probe):
    probe.begin()
    assert probe.end() == []
    return []


@pytest.mark.parametrize(
    ("module", "given", "why"),
    [
        (nn.RNN(3, 4), nn.utils.rnn.pack_sequence([torch.ones(3, 3), torch.ones(2, 3)]), "a packed sequence has no"),
        (nn.GRU(3, 4), torch.ones(5, 3), "without a batch dimension"),
        (nn.LSTM(3, 4, proj_size=2), torch.ones(5, 2, 3), "an LSTM with proj_size has no time signal"),
        (nn.GRU(3, 4, 2, dropout=0.5), torch.ones(5, 2, 3), "dropout between recurrent layers"),
    ],
)
def test_what_is_not_covered_says_so_in_words(module, given, why):
    probe = TimeProbe(module)
    probe.begin()
    with warnings.catch_warnings(action="ignore"):  # of a kernel that projections do not have
        module(given)
    assert probe.end() == []
    assert why in str(probe.why)
    assert probe.norms([], 1)[0].shape == (0,)


def test_hooks_hang_on_a_network_during_a_pass_alone():
    module = nn.RNN(3, 4)
    probe = TimeProbe(module)
    hooks = [len(module._forward_hooks)]
    for turn in (probe.begin, probe.end):
        turn()
        hooks.append(len(module._forward_hooks))
    module(torch.ones(5, 2, 3))
    assert hooks == [0, 1, 0]
    assert probe.end() == []


# ---------------------------------------------------------------------- the closer look
def rnn_trainer(network=None, **knobs):
    base = {"architecture": "rnn", "dataset": "latch", "depth": 1, "width": 6, "n_samples": 16, "batch_size": 16}
    config = Config(**{**base, "sequence_length": 10, "activation": "tanh", **knobs})
    return Trainer(config, network=network)


class Own(nn.Module):
    def __init__(self, kind, layers=1, columns=1, width=6):
        super().__init__()
        self.rnn = filled(KINDS[kind](columns, width, layers, batch_first=True))
        self.head = filled(nn.Linear(width, 2))

    def forward(self, x):
        return self.head(self.rnn(x)[0][:, -1])


class Stepwise(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell, self.head = filled(nn.LSTMCell(1, 6)), filled(nn.Linear(6, 2))

    def forward(self, x):
        state = None
        for step in x.unbind(1):
            state = self.cell(step, state)
        return self.head(state[0])


def test_the_spectrum_of_an_orthogonal_linear_network_is_its_gain_to_the_power_of_the_lag():
    trainer = rnn_trainer(activation="linear", recurrent_gain=0.9)
    assert jacobian_spectrum(trainer, 2, 7) == pytest.approx([0.9**5] * 6, rel=1e-6)  # float32 weights
    assert jacobian_spectrum(trainer, 4, 4) == pytest.approx([1.0] * 6, rel=1e-12)


@pytest.mark.parametrize("kind", ["RNN", "RELU", "LSTM", "GRU"])
def test_the_spectrum_is_that_of_the_jacobian_autograd_finds(kind):
    trainer = rnn_trainer(Own(kind, 2), dtype="float64")
    x = trainer.data.x[3:4].transpose(0, 1)
    _, rows = unroll(trainer.network.rnn, x)
    first, last = rows[-1][2], rows[-1][6]
    jacobian = []
    for part in last:
        for entry in range(6):
            found = torch.autograd.grad(part[0, entry], first, retain_graph=True, allow_unused=True)
            jacobian.append(torch.cat([torch.zeros(6) if g is None else g[0] for g in found]))
    expected = np.linalg.svd(torch.stack(jacobian).numpy(), compute_uv=False)
    assert jacobian_spectrum(trainer, 2, 6, sample=3) == pytest.approx(expected, rel=1e-9, abs=1e-14)


def test_the_spectrum_of_the_built_lstm_is_that_of_the_fused_one():
    trainer = rnn_trainer(architecture="lstm", dtype="float64")
    own = Own("LSTM")
    cell = trainer.network.cells[0]
    with torch.no_grad():
        for part, linear in (("ih", cell.input), ("hh", cell.recurrent)):
            getattr(own.rnn, f"weight_{part}_l0").copy_(linear.weight)
            getattr(own.rnn, f"bias_{part}_l0").copy_(linear.bias)
    fused = rnn_trainer(own, dtype="float64")
    assert jacobian_spectrum(trainer, 1, 8) == pytest.approx(jacobian_spectrum(fused, 1, 8), rel=1e-9, abs=1e-14)


def test_the_spectrum_across_a_truncation_is_zero():
    assert not jacobian_spectrum(rnn_trainer(truncate=3), 2, 8).any()
    assert jacobian_spectrum(rnn_trainer(truncate=3), 7, 9).all()


def test_the_spectrum_refuses_what_is_no_time_step_and_what_has_no_time():
    for start, stop in ((5, 4), (-1, 3), (0, 10)):
        with pytest.raises(ValueError, match=rf"start={start}, stop={stop}; expected 0 <= start <= stop < 10"):
            jacobian_spectrum(rnn_trainer(), start, stop)
    with pytest.raises(ValueError, match="sample=16; expected a row of the data, 0 to 15"):
        jacobian_spectrum(rnn_trainer(), 0, 1, sample=16)
    with pytest.raises(ValueError, match="the network has no recurrent layer"):
        jacobian_spectrum(Trainer(Config(depth=1)), 0, 1)


def test_the_norm_and_the_radius_of_recurrent_matrices_by_hand():
    trainer = rnn_trainer(recurrent_gain=1.5, depth=2)
    for found, name in zip(recurrent_matrices(trainer), ("rnn1", "rnn2"), strict=True):
        assert found.name == name
        assert (found.norm, found.radius) == pytest.approx((1.5, 1.5), rel=1e-6)  # orthogonal: all of length 1.5
    own = Own("GRU")
    with torch.no_grad():
        own.rnn.weight_hh_l0.zero_()
        own.rnn.weight_hh_l0[0, 1] = 3.0
    found = recurrent_matrices(rnn_trainer(own))
    assert [f.name for f in found] == ["rnn.weight_hh_l0 r", "rnn.weight_hh_l0 u", "rnn.weight_hh_l0 n"]
    assert (found[0].norm, found[0].radius) == (3.0, 0.0)  # nilpotent: stretches, and yet dies out


def test_a_forget_bias_opens_the_forget_gate():
    trainer = rnn_trainer(architecture="lstm", forget_bias=3.0, recurrent_gain=0.0, init="zeros")
    means = gate_means(trainer)
    assert list(means) == ["lstm1 i", "lstm1 f", "lstm1 o"]
    assert means["lstm1 f"] == pytest.approx([1 / (1 + math.exp(-3))] * 10, rel=1e-6)  # float32 weights
    assert means["lstm1 i"] == pytest.approx([0.5] * 10, rel=1e-12)
    assert gate_means(rnn_trainer()) == {}


def test_the_gates_of_a_fused_module_are_those_of_its_own_states():
    trainer = rnn_trainer(Own("LSTM"), dtype="float64")
    x = trainer.data.x.transpose(0, 1)
    _, (states,) = unroll(trainer.network.rnn, x)
    rnn, h = trainer.network.rnn, torch.zeros(16, 6, dtype=torch.float64)
    for t, state in enumerate(states):
        z = x[t] @ rnn.weight_ih_l0.T + rnn.bias_ih_l0 + h @ rnn.weight_hh_l0.T + rnn.bias_hh_l0
        assert gate_means(trainer)["rnn f"][t] == pytest.approx(z[:, 6:12].sigmoid().mean().item(), rel=1e-12)
        h = state[0]


# ---------------------------------------------------------------------- in a history
def per_sample(network, x, y, states_of):
    """Root-mean-square over samples of |d loss_i / d h_t|, one backward pass a sample."""
    squares = 0.0
    for i in range(len(x)):
        output, rows = states_of(network, x[i : i + 1])
        loss = nn.functional.cross_entropy(output, y[i : i + 1])
        found = [torch.autograd.grad(loss, [s[0] for s in row], retain_graph=True) for row in rows]
        squares = squares + np.array([[float(g.square().sum()) for g in row] for row in found])
    return np.sqrt(squares / len(x))


@pytest.mark.parametrize("accumulation", ["none", "mean"])
def test_the_column_is_the_root_mean_square_over_all_samples_of_a_step(accumulation):
    config = Config(
        architecture="rnn", dataset="latch", depth=2, width=4, sequence_length=6, activation="tanh", n_samples=19,
        batch_size=8, accumulation=accumulation, accumulation_steps=3, dtype="float64",
    )  # fmt: skip
    trainer = Trainer(config)
    rows = torch.cat(trainer.next_window().micro_batches)
    expected = per_sample(trainer.network, trainer.data.x[rows], trainer.data.y[rows], lambda n, x: n.unroll(x))
    record = trainer.step()
    assert record.time_norm == pytest.approx(expected, rel=1e-12)
    assert trainer.history.column("time_norm").shape == (1, 2, 6)
    assert trainer.history.row("time_norm", 0).tolist() == record.time_norm.tolist()
    assert trainer.history[0].time_norm.tolist() == record.time_norm.tolist()
    assert trainer.history.time_names == ("rnn1", "rnn2")


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_a_network_of_ones_own_has_the_column_too(kind):
    trainer = rnn_trainer(Own(kind, 2), dtype="float64")
    assert trainer.run(2).column("time_norm").shape == (2, 2, 10)
    assert trainer.history.time_names == ("rnn 1", "rnn 2")
    assert (trainer.history.column("time_norm") > 0).all()


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU", "cell"])
@pytest.mark.parametrize("parts", [1, 2])
def test_a_watched_loop_has_the_column_of_the_trainer(kind, parts):
    trainer = rnn_trainer(Stepwise() if kind == "cell" else Own(kind, 2), dtype="float64", lr=0.1)
    network, (x, y) = copy.deepcopy(trainer.network), (trainer.data.x, trainer.data.y)
    hooks = [len(m._forward_hooks) for m in network.modules()]
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    with gradlab.watch(network, optimizer, on_error="raise") as history:
        for _ in range(2):
            optimizer.zero_grad()
            network(x).sum()  # of which nobody asks the gradient
            for rows in torch.arange(16).chunk(parts):
                (nn.functional.cross_entropy(network(x[rows]), y[rows]) / parts).backward()
            optimizer.step()
    # the same 16 samples, in another order or in two parts
    expected = trainer.run(2).column("time_norm")
    np.testing.assert_allclose(history.column("time_norm"), expected, rtol=1e-9)
    assert history.time_names == trainer.history.time_names
    assert [len(m._forward_hooks) for m in network.modules()] == hooks
    with gradlab.watch(network, optimizer, through_time=False) as history:
        nn.functional.cross_entropy(network(x), y).backward()
        optimizer.step()
    assert history.column("time_norm").shape == (1, 0, 0)


def test_without_recurrence_the_column_is_empty():
    for architecture in ("mlp", "transformer"):
        history = Trainer(Config(architecture=architecture, depth=1)).run(3)
        assert history.column("time_norm").shape == (3, 0, 0)
        assert history[-1].time_norm.shape == (0, 0)


def test_the_column_survives_rewind_stages_and_a_step_that_is_undone():
    trainer, plain = rnn_trainer(), rnn_trainer()
    expected = plain.run(8).column("time_norm")
    trainer.run(6)
    trainer.rewind(3)
    assert trainer.history.column("time_norm").tolist() == expected[:3].tolist()
    for _ in trainer.stages():
        pass
    stages = trainer.stages()
    next(stages), next(stages)
    trainer.run(4)
    assert trainer.history.column("time_norm").tolist() == expected.tolist()


@pytest.mark.parametrize(("kind", "measured"), [("LSTM", [0, 4]), ("GRU", range(7))])
def test_a_large_lstm_is_measured_at_every_fourth_step_and_stands_in_words_between(kind, measured):
    network, x = Own(kind, 1, 3, 64).float(), draw(32, 50, 3).float()
    trainer = Trainer(Config(batch_size=32, lr=0.1), network=network, data=(x, (x[:, 0, 0] > 0).long()))
    found = trainer.run(7).column("time_norm")
    anew = [step for step in range(7) if not step or (found[step] != found[step - 1]).any()]
    assert anew == list(measured)
    assert [mark.step for mark in trainer.history.marks if mark.kind == "seldom"] == [0] * (kind == "LSTM")
    trainer.preview()
    trainer.rewind(5)
    assert trainer.run(2).column("time_norm").tolist() == found.tolist()


def test_a_long_history_thins_the_column_with_its_steps():
    history = History(("a",), time_names=("r",))
    for step in range(6000):
        values = {**dict.fromkeys(SCALARS, 0.0), "step": step, "applied": True}
        arrays = dict.fromkeys(PER_LAYER, np.ones(1))
        history.append(StepRecord(**values, **arrays, time_norm=np.full((1, 800), float(step))))
    steps = history.column("step")
    assert len(steps) < 6000
    assert history.column("time_norm")[:, 0, 0].tolist() == steps.tolist()
    assert history.column("time_norm", start=len(steps) - 2)[:, 0, 799].tolist() == [5998.0, 5999.0]


def test_a_longer_sequence_leaves_nan_where_shorter_ones_ended():
    history = History(("a",), time_names=("r",))
    for steps in (3, 5, 2):
        values = {**dict.fromkeys(SCALARS, 0.0), "step": steps, "applied": True}
        arrays = dict.fromkeys(PER_LAYER, np.ones(1))
        history.append(StepRecord(**values, **arrays, time_norm=np.ones((1, steps))))
    assert np.isnan(history.column("time_norm")[:, 0]).sum(1).tolist() == [2, 0, 3]


def test_the_column_is_saved_and_loaded_with_its_names(tmp_path):
    history = rnn_trainer().run(3)
    history.save(tmp_path / "run")
    again = History.load(tmp_path / "run")
    assert again.column("time_norm").tolist() == history.column("time_norm").tolist()
    assert again.time_names == ("rnn1",)


def test_the_learning_rate_that_is_recorded_is_the_warmed_one():
    assert rnn_trainer(lr=0.5, warmup=4).run(6).column("lr").tolist() == [0.125, 0.25, 0.375, 0.5, 0.5, 0.5]


@pytest.mark.parametrize("architecture", ["rnn", "lstm", "gru", "conv", "transformer"])
def test_whatever_looks_at_a_run_looks_at_every_architecture(architecture):
    """Copies of the network, rewind, slow motion, replay, comparison and sweep; between steps and within one."""
    dataset = "digits" if architecture == "conv" else "latch"
    base = {"n_samples": 24, "batch_size": 8, "depth": 1, "width": 4, "sequence_length": 5, "activation": "tanh"}
    config = Config(architecture=architecture, dataset=dataset, **base)
    trainer = Trainer(config)
    trainer.run(2)
    assert trainer.check_gradients(samples=2).worst < 1e-5
    stages = trainer.stages()
    next(stages)
    sharpness(trainer)
    gradient_noise(trainer)
    trainer.rewind(1)
    assert trainer.run(1).column("loss").tolist() == Trainer(config).run(2).column("loss").tolist()
    page = gradlab.replay_html(trainer.history, config=config)
    assert f"architecture={architecture!r}" in page.replace("&#x27;", "'")
    lanes = compare({"a": config, "b": config.replace(lr=0.1)}, 2)
    assert all(len(history) == 2 for history in lanes.values())
    found = sweep(config, over={"lr": [0.01, 0.1]}, steps=2, seeds=2, progress=False)
    assert "4 of 4 networks" in repr(found)
    assert next(gradlab.phase_diagram(config, levels=1)).done.any()
    with pytest.raises(ValueError, match="a script is written of architecture='mlp'"):
        config.to_code()


def test_an_own_network_is_copied_with_its_hooks_in_the_middle_of_a_step():
    trainer = rnn_trainer(Own("LSTM"))
    stages = trainer.stages()
    next(stages)
    sharpness(trainer)
    assert [stage.name for stage in stages] == ["backward", "accumulate", "clip", "update"]
    assert trainer.history[0].time_norm.shape == (1, 10)
