"""The networks besides the perceptron: torch's own modules as oracles, what init reaches, and what is refused."""

import copy
import math

import pytest
import torch
from torch import nn

from gradlab import ARCHITECTURES, INITS, Config, Trainer, build_network
from gradlab.network import KNOBS, uses
from gradlab.network.transformer import places

EXACT = {"rtol": 0, "atol": 1e-12}
FUSED = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
SEQUENCES = ["rnn", "lstm", "gru", "transformer"]


def noise(*shape, seed=5):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def build(architecture, shape=(7, 3), outputs=2, **knobs):
    knobs = {"depth": 2, "width": 8, "dtype": "float64", "bias_std": 0.3, **knobs}
    return ARCHITECTURES[architecture](Config(architecture=architecture, **knobs), shape, outputs)


def fused(network, kind, inputs=3):
    """torch's module with the weights of an unrolled network."""
    module = FUSED[kind](inputs, 8, len(network.cells), batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        for layer, cell in enumerate(network.cells):
            for part, linear in (("ih", cell.input), ("hh", cell.recurrent)):
                getattr(module, f"weight_{part}_l{layer}").copy_(linear.weight)
                getattr(module, f"bias_{part}_l{layer}").copy_(linear.bias + noise(len(linear.bias)))
                linear.bias.copy_(getattr(module, f"bias_{part}_l{layer}"))
    return module


# ---------------------------------------------------------------------- the same numbers as torch's modules
@pytest.mark.parametrize("kind", FUSED)
def test_unrolled_cells_give_the_numbers_and_gradients_of_torchs_fused_module(kind):
    network = build(kind, outputs=(7, 2), activation="tanh")
    module, x = fused(network, kind), noise(5, 7, 3)
    expected = network.readout(module(x)[0])
    torch.testing.assert_close(network(x), expected, **EXACT)
    expected.square().sum().backward()
    network(x).square().sum().backward()
    for layer, cell in enumerate(network.cells):
        ours = (cell.input.weight, cell.recurrent.weight, cell.input.bias, cell.recurrent.bias)
        for name, p in zip(("weight_ih", "weight_hh", "bias_ih", "bias_hh"), ours, strict=True):
            torch.testing.assert_close(p.grad, getattr(module, f"{name}_l{layer}").grad, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("kind", FUSED)
def test_one_output_per_sequence_is_read_from_the_last_step(kind):
    network = build(kind, activation="tanh")
    module, x = fused(network, kind), noise(5, 7, 3)
    torch.testing.assert_close(network(x), network.readout(module(x)[0][:, -1]), **EXACT)


@pytest.mark.parametrize("position", ["pre", "post"])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_a_block_is_torchs_encoder_layer(position, causal, activation):
    block = build("transformer", norm_position=position, causal=causal, activation=activation).block1
    oracle = nn.TransformerEncoderLayer(
        8, 4, 32, 0.0, activation, batch_first=True, norm_first=position == "pre", dtype=torch.float64
    )
    with torch.no_grad():
        oracle.self_attn.in_proj_weight.copy_(block.qkv.weight)
        oracle.self_attn.in_proj_bias.copy_(block.qkv.bias)
    for theirs, ours in (
        (oracle.self_attn.out_proj, block.out),
        (oracle.linear1, block.up),
        (oracle.linear2, block.down),
        (oracle.norm1, block.attention_norm),
        (oracle.norm2, block.feed_norm),
    ):
        theirs.load_state_dict(ours.state_dict())
    h = noise(5, 7, 8)
    mask = nn.Transformer.generate_square_subsequent_mask(7, dtype=torch.float64) if causal else None
    torch.testing.assert_close(block(h), oracle(h, src_mask=mask), **EXACT)


def test_places_are_sines_and_cosines_by_hand():
    assert places(3, 4)[2].tolist() == pytest.approx([math.sin(2), math.cos(2), math.sin(0.02), math.cos(0.02)])


def test_a_convolution_of_one_layer_is_torchs():
    network, x = build("conv", (1, 4, 4), depth=1, norm="batch", activation="tanh"), noise(6, 16)
    z = nn.functional.conv2d(x.view(6, 1, 4, 4), network.conv1.weight, network.conv1.bias, padding=1)
    normed = nn.BatchNorm2d(8, dtype=torch.float64)(z)
    torch.testing.assert_close(network(x), network.readout(normed.tanh().mean((2, 3))), **EXACT)


def test_a_residual_convolution_adds_its_branch():
    network, x = build("conv", (4, 4), residual=True, activation="tanh"), noise(6, 4, 4)
    h = network.conv1(x[:, None])
    h = h + network.conv2(h.tanh())
    torch.testing.assert_close(network(x), network.readout(h.mean((2, 3))), **EXACT)


# ---------------------------------------------------------------------- first weights
@pytest.mark.parametrize("kind", FUSED)
def test_init_and_gain_fill_each_gates_matrix_and_recurrent_init_fills_w_hh(kind):
    network = build(kind, init="orthogonal", gain=2.0, recurrent_init="constant", recurrent_gain=0.25, width=8)
    for cell in network.cells:
        for gate in cell.input.weight.detach().chunk(cell.gates):
            singular = torch.linalg.svdvals(gate)
            torch.testing.assert_close(singular, torch.full_like(singular, 2.0), rtol=1e-12, atol=0)
        assert (cell.recurrent.weight == 0.25).all()
        assert (cell.recurrent.bias == 0).all()


def test_w_hh_is_orthogonal_times_its_gain_by_default():
    for gate in build("lstm", recurrent_gain=0.9).lstm2.recurrent.weight.detach().chunk(4):
        torch.testing.assert_close(gate @ gate.T, 0.81 * torch.eye(8).double(), **EXACT)


def test_the_forget_bias_is_added_to_the_forget_gates_bias_alone():
    with_bias, without = (
        build("lstm", forget_bias=2.0).lstm1.input.bias,
        build("lstm", forget_bias=0.0).lstm1.input.bias,
    )
    moved = (with_bias - without).detach()
    torch.testing.assert_close(moved[8:16], torch.full((8,), 2.0).double(), **EXACT)
    assert (moved[:8] == 0).all()
    assert (moved[16:] == 0).all()


def test_init_reaches_every_matrix_of_every_architecture():
    """`constant` leaves no matrix as torch would have drawn it."""
    for name in ARCHITECTURES:
        network = build(name, (16,), init="constant", gain=0.125, recurrent_init="constant", recurrent_gain=0.125)
        for label, p in network.named_parameters():
            assert p.dim() < 2 or (p == 0.125).all(), (name, label)


@pytest.mark.parametrize(("choice", "share"), [("plain", 1.0), ("scaled", 1 / math.sqrt(6)), ("zero", 0.0)])
def test_the_last_matrix_of_each_branch_is_scaled_at_init(choice, share):
    plain, network = build("transformer", depth=3), build("transformer", depth=3, residual_init=choice)
    for label, p in network.named_parameters():
        factor = share if label.endswith((".out.weight", "down.weight")) else 1.0
        torch.testing.assert_close(p, factor * plain.get_parameter(label), rtol=1e-14, atol=0)


def test_the_weights_are_the_weight_seeds_and_the_global_generator_is_left_alone(untouched_rng):
    for name in ARCHITECTURES:
        config = Config(architecture=name, depth=2, width=8, weight_seed=3, dtype="float64")
        direct = ARCHITECTURES[name](config, (16,), 2)
        built = build_network(config, 16, 2, torch.Generator().manual_seed(3), torch.float64)
        assert [p.tolist() for p in direct.parameters()] == [p.tolist() for p in built.parameters()]


def test_an_architecture_says_which_knobs_it_uses_and_those_alone_matter():
    for name in ARCHITECTURES:
        assert set(uses(name)) <= set(KNOBS)
    x = noise(2, 16)
    other = {"width": 4, "depth": 1, "activation": "tanh", "norm": "layer", "residual": True, "init": "fixed"}
    other |= {"gain": 2.0, "bias_std": 1.5, "recurrent_init": "normal", "recurrent_gain": 2.0, "forget_bias": -1.0}
    other |= {"norm_position": "post", "heads": 2, "causal": True, "residual_init": "zero", "truncate": 3}
    assert set(other) == set(KNOBS)
    for name in ARCHITECTURES:
        plain = build(name, (16,)).eval()
        for knob, value in other.items():
            changed = build(name, (16,), **{knob: value}).eval()
            same = str(plain) == str(changed) and torch.equal(plain(x), changed(x))
            assert same == (knob not in uses(name) or knob == "truncate"), (name, knob)


# ---------------------------------------------------------------------- truncation
def test_a_truncated_state_is_cut_every_window_counted_from_the_end():
    x = noise(3, 7, 3)
    for kind in FUSED:
        cell = build(kind, truncate=3, depth=1).cells[0]
        states = cell(x)
        found = torch.autograd.grad(states[-1][0].sum(), [s[0] for s in states], allow_unused=True)
        assert [g is None for g in found] == [True] * 4 + [False] * 3


def test_truncation_changes_no_output():
    x = noise(3, 7, 3)
    for kind in FUSED:
        assert torch.equal(build(kind, truncate=2)(x), build(kind)(x))


# ---------------------------------------------------------------------- training
@pytest.mark.parametrize("architecture", SEQUENCES)
@pytest.mark.parametrize("dataset", ["latch", "adding", "copy_memory", "parity", "moons"])
def test_every_sequence_architecture_trains_on_every_task(architecture, dataset):
    config = Config(architecture=architecture, dataset=dataset, sequence_length=21, depth=1, width=8, n_samples=64)
    trainer = Trainer(config.replace(lr=0.01))
    before = copy.deepcopy(trainer.network)
    assert math.isfinite(trainer.run(2).column("loss")[-1])
    moved = [not torch.equal(p, q) for p, q in zip(before.parameters(), trainer.network.parameters(), strict=True)]
    assert all(moved)


def test_a_convolutional_network_learns_the_digits():
    config = Config(architecture="conv", dataset="digits", n_samples=200, depth=2, width=8, optimizer="adam", lr=0.03)
    loss = Trainer(config).run(80).column("loss")
    assert loss[-5:].mean() < 0.8 * loss[:5].mean()


def test_own_sequences_may_be_answered_step_by_step():
    x, y = noise(12, 5, 3), torch.arange(60).view(12, 5) % 4
    config = Config(architecture="gru", depth=1, width=8, batch_size=12, dtype="float64")
    trainer = Trainer(config, data=(x, y))
    rows = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    output = trainer.network(x[rows])
    assert output.shape == (12, 5, 4)
    expected = nn.functional.cross_entropy(output.reshape(60, 4), y[rows].reshape(60))
    assert trainer.step().loss == pytest.approx(expected.item(), rel=1e-12)
    targets = Trainer(config, data=(x, noise(12, 5, 2)))
    assert targets.network(x).shape == (12, 5, 2)


def test_an_architecture_of_ones_own_is_one_function(monkeypatch):
    monkeypatch.setattr(ARCHITECTURES, "_own", dict(ARCHITECTURES._entries))

    @ARCHITECTURES.register("double", "Two matrices")
    def double(config, input_shape, outputs):
        """Two matrices and nothing between them."""
        return nn.Sequential(nn.Linear(math.prod(input_shape), config.width), nn.Linear(config.width, outputs))

    trainer = Trainer(Config(architecture="double", init="constant", gain=0.5, width=4))
    assert all((p == 0.5).all() for p in trainer.network.parameters() if p.dim() == 2)
    assert trainer.layer_names == ("0", "1")
    assert math.isfinite(trainer.step().loss)


# ---------------------------------------------------------------------- what is refused
@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"architecture": "transformer", "width": 10}, "heads=4; expected a number that divides width=10"),
        (
            {"architecture": "rnn", "dataset": "latch", "sequence_length": 9, "truncate": 10},
            r"truncate=10; expected 0 \(none\) to 9, the time steps",
        ),
        ({"architecture": "lstm", "truncate": 3}, r"truncate=3; expected 0 \(none\) to 2"),
        ({"dataset": "latch", "sequence_length": 0}, "sequence_length=0; expected"),
        ({"architecture": "conv"}, r"samples of shape \(2,\) for architecture='conv'; expected images"),
        ({"architecture": "conv", "dataset": "copy_memory"}, "one target per time step for architecture='conv'"),
    ],
)
def test_knobs_that_do_not_fit_together_are_refused_by_name(knobs, message):
    with pytest.raises(ValueError, match=message):
        Trainer(Config(**knobs))


@pytest.mark.parametrize("architecture", SEQUENCES)
@pytest.mark.parametrize("shape", [(2, 3, 4), (0, 3), (5, 0)])
def test_what_is_no_sequence_is_refused(architecture, shape):
    with pytest.raises(
        ValueError, match=rf"shape \({shape[0]}, .*for architecture='{architecture}'; expected sequences"
    ):
        ARCHITECTURES[architecture](Config(architecture=architecture), shape, 2)


def test_ragged_sequences_are_refused():
    with pytest.raises(ValueError, match="data X: a list that is no array"):
        Trainer(Config(architecture="rnn"), data=([[[1.0], [2.0]], [[1.0]]], [0, 1]))


def test_knobs_that_an_architecture_does_not_use_are_kept_and_not_judged():
    assert Config(architecture="mlp", width=10, heads=4, truncate=500).truncate == 500
    assert set(INITS) >= {Config().recurrent_init}


# ---------------------------------------------------------------------- warm-up
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_warm_up_is_torchs_linear_schedule(optimizer):
    config = Config(depth=2, n_samples=64, optimizer=optimizer, lr=0.05, warmup=4, dtype="float64", batch_size=64)
    trainer = Trainer(config)
    network = copy.deepcopy(trainer.network)
    maker = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[optimizer]
    oracle = maker(network.parameters(), lr=0.05)
    schedule = torch.optim.lr_scheduler.LambdaLR(oracle, lambda step: min(1.0, (step + 1) / 4))
    for _ in range(7):
        order = torch.arange(64)
        loss = nn.functional.cross_entropy(network(trainer.data.x[order]), trainer.data.y[order])
        oracle.zero_grad()
        loss.backward()
        oracle.step()
        schedule.step()
        # the trainer sees the same 64 samples in another order: sums of 64 terms
        assert trainer.step().loss == pytest.approx(loss.item(), rel=1e-12)


def test_warm_up_is_live_and_survives_a_rewind():
    config = Config(depth=2, n_samples=64, warmup=10)
    plain, moved = Trainer(config), Trainer(config)
    moved.run(3)
    moved.reconfigure(warmup=0)
    moved.run(3)
    moved.rewind(3)
    moved.reconfigure(warmup=10)
    moved.run(5)
    assert plain.run(8).column("loss").tolist() == moved.history.column("loss").tolist()
