"""A run against the same run written with plain PyTorch, and every measured column against its definition."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gradlab import ACTIVATIONS, DATASETS, Config, StepRecord, Trainer

STEPS = 20

OPTIMIZERS = {
    "sgd": lambda p, c: torch.optim.SGD(p, lr=c.lr, momentum=c.momentum, weight_decay=c.weight_decay),
    "adam": lambda p, c: torch.optim.Adam(p, lr=c.lr, weight_decay=c.weight_decay),
    "adamw": lambda p, c: torch.optim.AdamW(p, lr=c.lr, weight_decay=c.weight_decay),
    "rmsprop": lambda p, c: torch.optim.RMSprop(p, lr=c.lr, momentum=c.momentum, weight_decay=c.weight_decay),
}


@pytest.fixture
def compare(plain_network, plain_batches):
    """Train twice, here and in plain PyTorch, and demand the same bits."""

    def run(config, steps=STEPS, after_backward=None):
        trainer = Trainer(config)
        network, data = plain_network(trainer), trainer.data
        optimizer = OPTIMIZERS[config.optimizer](list(network.parameters()), config)
        batches = plain_batches(data.n, config.batch_size, config.batch_seed)
        losses = []
        for _ in range(steps):
            rows = next(batches)
            optimizer.zero_grad()
            loss = data.loss(network(data.x[rows]), data.y[rows])
            loss.backward()
            if after_backward:
                after_backward(network)
            optimizer.step()
            losses.append(loss.item())
        assert trainer.run(steps).column("loss").tolist() == losses
        mine = list(trainer.network.parameters())
        assert all(torch.equal(p, q) for p, q in zip(mine, network.parameters(), strict=True))
        return trainer

    return run


@pytest.mark.parametrize(
    "knobs",
    [
        {},
        {"momentum": 0.9},
        {"momentum": 0.9, "weight_decay": 0.01},
        {"optimizer": "adam", "lr": 0.01},
        {"optimizer": "adam", "lr": 0.01, "weight_decay": 0.1},
        {"optimizer": "adamw", "lr": 0.01, "weight_decay": 0.1},
        {"optimizer": "rmsprop", "lr": 0.001},
        {"optimizer": "rmsprop", "lr": 0.001, "momentum": 0.9, "weight_decay": 0.01},
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_run_is_bit_equal_to_plain_pytorch_for_every_optimizer(compare, knobs, dtype):
    compare(Config(n_samples=100, depth=4, dtype=dtype, **knobs))


@pytest.mark.parametrize("activation", [a for a in ACTIVATIONS if a != "linear"])
def test_a_run_is_bit_equal_to_plain_pytorch_for_every_activation(compare, activation):
    compare(Config(n_samples=100, depth=3, activation=activation, init="xavier"))


@pytest.mark.parametrize("dataset", [d for d in DATASETS if d not in ("article_literal", "copy_memory")])
def test_a_run_is_bit_equal_to_plain_pytorch_for_every_dataset(compare, dataset):
    compare(Config(dataset=dataset, n_samples=70, depth=2))


@pytest.mark.parametrize(
    "knobs",
    [
        {"depth": 0},
        {"depth": 1, "width": 1},
        {"depth": 30, "activation": "tanh", "init": "orthogonal"},
        {"batch_size": 1},
        {"batch_size": 1000},
        {"lr": 0.0},
        {"weight_seed": 5, "data_seed": 6, "batch_seed": 7, "bias_std": 0.3},
    ],
    ids=str,
)
def test_a_run_is_bit_equal_to_plain_pytorch_at_the_edges_of_the_knobs(compare, knobs):
    compare(Config(n_samples=50, **{"depth": 3, **knobs}))


def test_a_run_with_value_clipping_is_bit_equal_to_plain_pytorch(compare):
    def clip(network):
        torch.nn.utils.clip_grad_value_(network.parameters(), 0.01)

    compare(Config(n_samples=100, depth=4, clip="value", clip_threshold=0.01), after_backward=clip)


@pytest.mark.parametrize("norm", ["batch", "layer", "rms"])
def test_a_normalised_run_is_bit_equal_to_plain_pytorch(norm, plain_batches):
    modules = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm, "rms": nn.RMSNorm}
    trainer = Trainer(Config(n_samples=100, depth=2, norm=norm))
    network = nn.Sequential(
        nn.Linear(2, 32),
        modules[norm](32),
        nn.ReLU(),
        nn.Linear(32, 32),
        modules[norm](32),
        nn.ReLU(),
        nn.Linear(32, 2),
    )
    state = trainer.network.state_dict()
    for mine, theirs in ((0, "linears.0"), (1, "norms.0"), (3, "linears.1"), (4, "norms.1"), (6, "linears.2")):
        prefix = f"{theirs}."
        part = {k.removeprefix(prefix): v.clone() for k, v in state.items() if k.startswith(prefix)}
        network[mine].load_state_dict(part)
    optimizer, data = torch.optim.SGD(network.parameters(), lr=0.05), trainer.data
    losses, batches = [], plain_batches(100, 32)
    for _ in range(STEPS):
        rows = next(batches)
        optimizer.zero_grad()
        loss = F.cross_entropy(network(data.x[rows]), data.y[rows])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert trainer.run(STEPS).column("loss").tolist() == losses


EVERYTHING = Config(
    dataset="spirals",
    n_samples=100,
    depth=5,
    activation="gelu",
    norm="batch",
    residual=True,
    bias_std=0.1,
    optimizer="adam",
    lr=0.01,
    batch_size=16,
    accumulation="mean",
    carry_over="running_sum",
    clip="agc",
    clip_threshold=0.1,
)


@pytest.mark.parametrize("config", [Config(), EVERYTHING], ids=["default", "everything"])
def test_two_runs_of_one_config_are_bit_equal_in_every_column_but_the_clock(config):
    first, second = Trainer(config), Trainer(config)
    first.run(12)
    for _ in range(12):
        second.step()
    names = [name for name in StepRecord.__dataclass_fields__ if name != "seconds"]
    for name in names:
        np.testing.assert_array_equal(first.history.column(name), second.history.column(name))
    states = zip(first.network.state_dict().values(), second.network.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in states)


@pytest.mark.parametrize(("seed", "moved"), [("weight_seed", True), ("batch_seed", True), ("data_seed", True)])
def test_each_seed_changes_the_run(seed, moved):
    other = Trainer(Config(**{seed: 1})).run(3).column("loss")
    assert bool((other != Trainer(Config()).run(3).column("loss")).all()) is moved


def test_training_leaves_every_global_random_state_alone(untouched_rng):
    trainer = Trainer(EVERYTHING)
    trainer.run(3)
    trainer.reconfigure(lr=0.02)
    list(trainer.stages())
    trainer.rewind(1)
    trainer.evaluate()


def test_a_network_that_draws_leaves_the_global_random_state_alone(untouched_rng):
    network = nn.utils.skip_init(nn.Linear, 2, 8), nn.Dropout(0.5), nn.utils.skip_init(nn.Linear, 8, 2)
    for p in (p for m in network for p in m.parameters()):
        nn.init.constant_(p, 0.1)
    Trainer(Config(), network=nn.Sequential(*network)).run(3)


# ---------------------------------------------------------------------- the measured columns
MEASURED = Config(n_samples=61, depth=4, width=12, activation="tanh", gain=1.5, bias_std=0.2, dtype="float64")
WINDOW = MEASURED.replace(batch_size=16, accumulation="mean", accumulation_steps=4)  # 16, 16, 16, 13: one epoch


def first_rows(config, n):
    count = 1 if config.accumulation == "none" else config.accumulation_steps
    order = torch.randperm(n, generator=torch.Generator().manual_seed(config.batch_seed))
    return order[: config.batch_size * count]


def plain_pass(network, x, y, loss=F.cross_entropy):
    """Run modules one by one; return the loss, every linear's output z and every activation h, with their graphs."""
    zs, hs, h = [], [], x
    for module in network:
        h = module(h)
        if isinstance(module, nn.Linear):
            zs.append(h)
            hs.append(h)
        else:
            hs[-1] = h
    return loss(h, y), zs, hs


def per_sample_delta_norm(network, x, y, loss=F.cross_entropy):
    """Root-mean-square over samples of |d loss_i / d z_l|, one backward pass a sample."""
    squares = []
    for i in range(len(x)):
        value, zs, _ = plain_pass(network, x[i : i + 1], y[i : i + 1], loss)
        squares.append([float(g.square().sum()) for g in torch.autograd.grad(value, zs)])
    return np.sqrt(np.mean(squares, axis=0))


@pytest.fixture
def measured(plain_network):
    """A trainer about to take its first step, its plain twin and the rows of its first window."""

    def prepare(config):
        trainer = Trainer(config)
        rows = first_rows(config, trainer.data.n)
        return trainer, plain_network(trainer), trainer.data.x[rows], trainer.data.y[rows]

    return prepare


EXACT = 1e-12  # float64: sums of at most a few thousand terms in another order


@pytest.mark.parametrize("config", [MEASURED, WINDOW], ids=["one micro-batch", "16/16/16/13"])
def test_norms_of_gradients_and_weights_are_those_of_plain_pytorch(measured, config):
    trainer, network, x, y = measured(config)
    loss, _, _ = plain_pass(network, x, y)
    parameters = list(network.parameters())
    gradients = torch.autograd.grad(loss, parameters)
    record = trainer.step()
    matrices = [i for i, p in enumerate(parameters) if p.dim() == 2]
    assert record.loss == pytest.approx(loss.item(), rel=EXACT)
    assert record.grad_norm == pytest.approx([float(gradients[i].norm()) for i in matrices], rel=EXACT)
    assert record.weight_norm == pytest.approx([float(parameters[i].detach().norm()) for i in matrices], rel=EXACT)
    total = torch.cat([g.flatten() for g in gradients]).norm()
    assert record.total_norm == pytest.approx(float(total), rel=EXACT)
    assert record.clipped_total_norm == record.total_norm
    assert (record.has_gradient == 1).all()


@pytest.mark.parametrize("config", [MEASURED, WINDOW], ids=["one micro-batch", "16/16/16/13"])
def test_delta_norm_is_the_root_mean_square_of_per_sample_gradients(measured, config):
    trainer, network, x, y = measured(config)
    assert trainer.step().delta_norm == pytest.approx(per_sample_delta_norm(network, x, y), rel=EXACT)


def test_delta_norm_of_a_squared_error_is_that_of_its_samples(measured):
    trainer, network, x, y = measured(WINDOW.replace(dataset="regression"))
    assert trainer.step().delta_norm == pytest.approx(per_sample_delta_norm(network, x, y, F.mse_loss), rel=EXACT)


def test_neither_batch_size_nor_micro_batching_rescales_delta_norm():
    """The whole data set in one window, cut in three ways."""
    whole = MEASURED.replace(batch_size=61)
    seen = [
        Trainer(c).step().delta_norm for c in (whole, WINDOW, WINDOW.replace(batch_size=1, accumulation_steps=61))
    ]
    assert seen[1] == pytest.approx(seen[0], rel=EXACT)
    assert seen[2] == pytest.approx(seen[0], rel=EXACT)


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
@pytest.mark.parametrize("config", [MEASURED, WINDOW], ids=["one micro-batch", "16/16/16/13"])
def test_activation_std_is_the_standard_deviation_of_every_entry(measured, config, activation):
    trainer, network, x, y = measured(config.replace(activation=activation))
    _, _, hs = plain_pass(network, x, y)
    expected = [float(np.std(h.detach().numpy())) for h in hs]
    assert trainer.step().activation_std == pytest.approx(expected, rel=EXACT)


@pytest.mark.parametrize(("activation", "low", "high"), [("tanh", -1.0, 1.0), ("sigmoid", 0.0, 1.0)])
def test_saturated_counts_entries_near_the_ends_of_a_bounded_activation(measured, activation, low, high):
    trainer, network, x, y = measured(WINDOW.replace(activation=activation, gain=6.0))
    _, _, hs = plain_pass(network, x, y)
    margin = 0.025 * (high - low)
    expected = [float(((h < low + margin) | (h > high - margin)).double().mean()) for h in hs[:-1]]
    saturated = trainer.step().saturated
    assert saturated[:-1] == pytest.approx(expected, rel=EXACT)
    assert min(expected) > 0.05
    assert saturated[-1] == 0  # the readout is not bounded


@pytest.mark.parametrize("activation", ["relu", "gelu", "linear", "selu"])
def test_an_unbounded_activation_is_never_saturated(activation):
    assert (Trainer(Config(activation=activation, gain=3.0)).step().saturated == 0).all()


@pytest.mark.parametrize("config", [MEASURED, WINDOW], ids=["one micro-batch", "16/16/16/13"])
def test_dead_is_the_share_of_units_that_are_zero_for_every_sample_of_the_window(measured, config):
    trainer, network, x, y = measured(config.replace(activation="relu", bias_std=2.0))
    _, _, hs = plain_pass(network, x, y)
    expected = [float((h == 0).all(0).double().mean()) for h in hs]
    assert max(expected) > 0.05
    assert trainer.step().dead == pytest.approx(expected, abs=1e-15)


def test_update_ratio_is_the_norm_of_the_change_over_the_norm_before():
    config = MEASURED.replace(optimizer="adam", lr=0.03, weight_decay=0.1)
    trainer = Trainer(config)
    trainer.run(2)
    before = copy.deepcopy(trainer.network)
    record = trainer.step()
    pairs = zip(before.parameters(), trainer.network.parameters(), strict=True)
    expected = [float((q - p).detach().norm() / p.detach().norm()) for p, q in pairs if p.dim() == 2]
    assert record.update_ratio == pytest.approx(expected, rel=EXACT)


def test_a_zero_weight_that_moves_has_an_infinite_update_ratio_and_one_that_rests_zero():
    record = Trainer(Config(depth=2, init="zeros", bias_std=1.0)).step()
    assert math.isinf(record.update_ratio[-1])  # the readout sees the biased hidden layer and moves
    assert record.update_ratio[0] == 0.0  # nothing comes back through a zero matrix
    assert record.grad_norm[0] == 0.0


def test_the_counters_count_samples_micro_batches_epochs_and_updates():
    trainer = Trainer(WINDOW.replace(batch_size=10))  # 61 samples: 40, then 21 in three micro-batches
    trainer.run(5)
    column = trainer.history.column
    assert column("step").tolist() == [0, 1, 2, 3, 4]
    assert column("samples").tolist() == [40, 61, 101, 122, 162]
    assert column("micro_batches").tolist() == [4, 7, 11, 14, 18]
    assert column("epoch").tolist() == [0, 0, 1, 1, 2]
    assert column("updates").tolist() == [1, 2, 3, 4, 5]
    assert (np.diff(column("seconds")) > 0).all()


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
def test_for_one_sample_the_weight_gradient_is_the_backward_signal_times_the_layers_input(measured, activation):
    """|dL/dW_l| = |delta_l| |h_{l-1}|, P20."""
    trainer, network, x, y = measured(MEASURED.replace(batch_size=1, activation=activation))
    _, _, hs = plain_pass(network, x, y)
    inputs = [float(h.detach().norm()) for h in (x, *hs[:-1])]
    record = trainer.step()
    assert record.grad_norm == pytest.approx(record.delta_norm * np.array(inputs), rel=EXACT)


def test_in_a_bias_free_relu_net_the_product_of_weight_and_gradient_is_the_same_in_every_layer():
    """sum(W * dL/dW), P14: the network is homogeneous of degree one in every matrix."""
    trainer = Trainer(MEASURED.replace(activation="relu", bias_std=0.0, gain=1.0))
    weights = [p for p in trainer.network.parameters() if p.dim() == 2]
    loss = F.cross_entropy(trainer.network(trainer.data.x), trainer.data.y)
    products = [
        float((p * g).detach().sum()) for p, g in zip(weights, torch.autograd.grad(loss, weights), strict=True)
    ]
    assert products == pytest.approx([products[0]] * 5, rel=1e-10)


def test_the_first_layer_of_a_deep_sigmoid_net_has_a_norm_that_float32_cannot_square():
    """Squares of entries near 1e-42 are 0 in float32; in float64 they are not, and neither is this norm."""
    record = Trainer(Config(depth=50, activation="sigmoid", init="pytorch")).step()
    assert 0 < record.grad_norm[0] < 1e-35
    assert 0 < record.delta_norm[0] < 1e-35
    twin = Trainer(Config(depth=50, activation="sigmoid", init="pytorch", dtype="float64")).step()
    # float32 entries so small know one or two digits: the order of magnitude must agree
    assert abs(math.log10(record.grad_norm[0] / twin.grad_norm[0])) < 0.5
    assert record.grad_norm[-1] == pytest.approx(twin.grad_norm[-1], rel=1e-5)


def test_a_norm_beyond_float32s_squares_is_finite():
    record = Trainer(Config(depth=40, init="fixed", gain=0.9)).step()
    twin = Trainer(Config(depth=40, init="fixed", gain=0.9, dtype="float64")).step()
    assert record.total_norm > 1.9e19
    # forty float32 layers; relu masks agree, each product rounds by 6e-8 sqrt(32)
    np.testing.assert_allclose(record.grad_norm, twin.grad_norm, rtol=1e-3)


# ---------------------------------------------------------------------- running
def test_run_takes_n_steps_and_calls_back_with_each_record():
    seen = []
    trainer = Trainer(Config(depth=1))
    history = trainer.run(4, seen.append)
    assert [r.step for r in seen] == [0, 1, 2, 3]
    assert history is trainer.history
    assert trainer.step_count == 4
    assert len(trainer.run(0)) == 4


@pytest.mark.parametrize("n", [-1, 1.5, "3", None, True])
def test_run_wants_a_whole_number(n):
    with pytest.raises(ValueError, match=r"n=.*; expected a whole number >= 0"):
        Trainer(Config(depth=1)).run(n)


def test_the_layers_are_numbered_from_the_input():
    assert Trainer(Config(depth=2)).layer_names == ("layer 1", "layer 2", "layer 3")


def test_evaluate_is_the_loss_over_all_the_data_in_evaluation_mode():
    trainer = Trainer(Config(norm="batch", depth=2))
    trainer.run(5)
    network = copy.deepcopy(trainer.network).eval()
    output = network(trainer.data.x)
    found = trainer.evaluate()
    assert found["loss"] == F.cross_entropy(output, trainer.data.y).item()
    assert found["accuracy"] == (output.argmax(1) == trainer.data.y).double().mean().item()
    assert trainer.network.training
    assert "accuracy" not in Trainer(Config(dataset="regression", depth=1)).evaluate()


@pytest.mark.parametrize("dataset", ["moons", "circles", "xor"])
def test_a_healthy_network_learns(dataset):
    trainer = Trainer(Config(dataset=dataset, depth=3, lr=0.1))
    trainer.run(250)
    assert trainer.evaluate()["accuracy"] > 0.95


def test_the_repr_is_short():
    assert repr(Trainer(Config(depth=3))) == "Trainer(0 steps of Config(depth=3))"


def test_momentum_that_rmsprop_began_without_begins_at_zero_and_a_rewind_takes_it_back(plain_batches):
    config = Config(depth=2, width=4, n_samples=16, batch_size=16, optimizer="rmsprop", lr=0.01)
    trainer = Trainer(config)
    network = copy.deepcopy(trainer.network)
    optimizer = torch.optim.RMSprop(network.parameters(), config.lr)
    losses = []
    for step, rows in zip(range(6), plain_batches(16, 16), strict=False):
        if step == 2:
            optimizer.param_groups[0]["momentum"] = 0.9
            for p in network.parameters():
                optimizer.state[p]["momentum_buffer"] = torch.zeros_like(p)
        optimizer.zero_grad()
        loss = trainer.data.loss(network(trainer.data.x[rows]), trainer.data.y[rows])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    trainer.run(2)
    trainer.reconfigure(momentum=0.9)
    assert trainer.run(4).column("loss").tolist() == losses
    trainer.rewind(4)
    assert trainer.run(2).column("loss").tolist() == losses
