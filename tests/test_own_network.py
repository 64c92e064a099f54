"""Networks, data and losses that somebody brings: what is measured, and what is refused before the first step."""

import copy
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations
from torch.utils.data import DataLoader, TensorDataset

from gradlab import (
    Config,
    CumulativeGradient,
    GradLab,
    Trainer,
    check_gradients,
    gradient_histogram,
    gradient_noise,
    sharpness,
)


def fill(network, seed=0, std=0.3):
    """Draw every parameter from a seeded generator, so that no test depends on the global one."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in network.parameters():
            p.copy_(std * torch.randn(p.shape, generator=generator))
    return network


def noise(*shape, seed=5, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def labels(n, classes=3):
    return torch.arange(n) % classes


EXACT = 1e-11  # float64: sums of at most a few thousand terms in another order
CONFIG = Config(dtype="float64", batch_size=8, lr=0.05)


def rows_of(n, batch_size=8):
    return torch.randperm(n, generator=torch.Generator().manual_seed(0))[:batch_size]


class Sequences(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(4, 5, batch_first=True), nn.Linear(5, 3)

    def forward(self, x):
        return self.head(self.lstm(x)[0][:, -1])


class Words(nn.Module):
    def __init__(self, sparse=False):
        super().__init__()
        self.embedding, self.head = nn.Embedding(11, 6, sparse=sparse), nn.Linear(6, 3)

    def forward(self, x):
        return self.head(self.embedding(x).mean(1))


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention, self.head = nn.MultiheadAttention(4, 2, batch_first=True), nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.attention(x, x, x)[0].mean(1))


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.block(x).mean(1))


def convolutions():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(8, 3))


CASES = {
    "conv": (convolutions, lambda: noise(20, 1, 6, 6), ["0", "2", "5"]),
    "embedding": (Words, lambda: (noise(20, 7).abs() * 5).long().clamp(0, 10), ["embedding", "head"]),
    "sparse embedding": (
        lambda: Words(True),
        lambda: (noise(20, 7).abs() * 5).long().clamp(0, 10),
        ["embedding", "head"],
    ),
    "lstm": (Sequences, lambda: noise(20, 6, 4), ["lstm", "head"]),
    "attention": (Attention, lambda: noise(20, 6, 4), ["attention", "attention.out_proj", "head"]),
    "transformer": (
        Transformer,
        lambda: noise(20, 6, 4),
        ["block.self_attn", "block.self_attn.out_proj", "block.linear1", "block.linear2", "head"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_any_module_that_owns_a_weight_is_a_layer_and_trains_as_in_plain_pytorch(case, plain_batches):
    build, make_x, names = CASES[case]
    network, x, y = fill(build()), make_x(), labels(20)
    trainer = Trainer(CONFIG, network=network, data=(x, y))
    assert list(trainer.layer_names) == names
    plain = copy.deepcopy(network).double()
    optimizer, batches = torch.optim.SGD(plain.parameters(), lr=0.05), plain_batches(20, 8)
    for _ in range(6):
        rows = next(batches)
        optimizer.zero_grad()
        loss = F.cross_entropy(plain(x[rows]), y[rows])
        loss.backward()
        grads = [p.grad.to_dense() for p in plain.parameters()]
        layers = [
            [p for p in dict(plain.named_modules())[name].parameters(recurse=False) if p.dim() >= 2] for name in names
        ]
        weights = [sum(float(p.detach().square().sum()) for p in own) ** 0.5 for own in layers]
        norms = [sum(float(p.grad.to_dense().square().sum()) for p in own) ** 0.5 for own in layers]
        optimizer.step()
        record = trainer.step()
        assert record.loss == pytest.approx(loss.item(), rel=EXACT)
        assert record.grad_norm == pytest.approx(norms, rel=EXACT)
        assert record.weight_norm == pytest.approx(weights, rel=EXACT)
        assert record.total_norm == pytest.approx(float(torch.cat([g.flatten() for g in grads]).norm()), rel=EXACT)
    for mine, theirs in zip(trainer.network.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=EXACT, atol=1e-13)


def captured(network, module, x, y, loss=F.cross_entropy):
    """Per-sample |d loss_i / d z| of what `module` returns, summed over its calls; and its activations."""
    squares, values = [], []
    for i in range(len(x)):
        outputs = []

        def keep(m, inputs, output, outputs=outputs):
            z = output[0] if isinstance(output, tuple) else output
            outputs.append(z)
            kept = z.clone()  # whatever follows in place does not touch z
            return (kept, *output[1:]) if isinstance(output, tuple) else kept

        handle = module.register_forward_hook(keep)
        value = loss(network(x[i : i + 1]), y[i : i + 1])
        handle.remove()
        grads = torch.autograd.grad(value, outputs)
        squares.append(sum(float(g.square().sum()) for g in grads))
        values.append([z.detach() for z in outputs])
    return np.sqrt(np.mean(squares)), values


@pytest.mark.parametrize(
    ("case", "module"),
    [
        *(("conv", name) for name in ("0", "2", "5")),
        *(("lstm", name) for name in ("lstm", "head")),
        *(("transformer", name) for name in ("block.self_attn", "block.linear1")),
        ("embedding", "embedding"),
        ("attention", "attention"),
    ],
)
def test_the_backward_signal_of_any_layer_is_that_of_its_samples(case, module):
    build, make_x, names = CASES[case]
    network, x, y = fill(build()).double(), make_x(), labels(20)
    rows = rows_of(20)
    expected, _ = captured(network, dict(network.named_modules())[module], x[rows], y[rows])
    record = Trainer(CONFIG, network=network, data=(x, y)).step()
    assert record.delta_norm[names.index(module)] == pytest.approx(expected, rel=EXACT)


@pytest.mark.parametrize("inplace", [False, True])
def test_an_activation_in_place_changes_neither_the_signal_nor_what_is_measured(inplace):
    network = fill(
        nn.Sequential(nn.Linear(2, 6), nn.ReLU(inplace), nn.Linear(6, 6), nn.ReLU(inplace), nn.Linear(6, 3))
    )
    x, y = noise(20, 2), labels(20)
    record = Trainer(CONFIG, network=network, data=(x, y)).step()
    plain, rows = copy.deepcopy(network).double(), rows_of(20)
    for position, index in enumerate((0, 2, 4)):
        expected, _ = captured(plain, plain[index], x[rows], y[rows])
        assert record.delta_norm[position] == pytest.approx(expected, rel=EXACT)
    h = x[rows]
    for position, index in enumerate((0, 2)):
        h = F.relu(plain[index](h)).detach()
        assert record.activation_std[position] == pytest.approx(float(h.std(correction=0)), rel=EXACT)
        assert record.dead[position] == pytest.approx(float((h == 0).all(0).double().mean()), abs=1e-15)


def test_a_bounded_activation_after_a_layer_shows_saturation():
    network = fill(
        nn.Sequential(nn.Linear(2, 9), nn.BatchNorm1d(9), nn.Tanh(), nn.Dropout(0.0), nn.Linear(9, 3)), std=3.0
    )
    x, y = noise(20, 2), labels(20)
    record = Trainer(CONFIG, network=network, data=(x, y)).step()
    h = copy.deepcopy(network).double()[:3](x[rows_of(20)])
    expected = float((h.abs() > 0.95).double().mean())
    assert expected > 0.05
    assert record.saturated.tolist() == pytest.approx([expected, 0.0], rel=EXACT)


class Twice(nn.Module):
    """One layer used twice."""

    def __init__(self):
        super().__init__()
        self.first, self.shared, self.last = nn.Linear(2, 4), nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x):
        h = torch.tanh(self.first(x))
        h = torch.tanh(self.shared(h))
        return self.last(torch.tanh(self.shared(h)))


def test_a_layer_used_twice_is_one_layer_with_both_signals():
    network, x, y = fill(Twice()), noise(20, 2), labels(20)
    trainer = Trainer(CONFIG, network=network, data=(x, y))
    assert trainer.layer_names == ("first", "shared", "last")
    record = trainer.step()
    plain, rows = copy.deepcopy(network).double(), rows_of(20)
    expected, values = captured(plain, plain.shared, x[rows], y[rows])
    assert record.delta_norm[1] == pytest.approx(expected, rel=EXACT)  # root of both calls' squares
    entries = torch.cat([z.tanh().flatten() for calls in values for z in calls])  # followed through functions
    assert record.activation_std[1] == pytest.approx(float(entries.std(correction=0)), rel=EXACT)
    gradient = torch.autograd.grad(F.cross_entropy(plain(x[rows]), y[rows]), plain.shared.weight)[0]
    assert record.grad_norm[1] == pytest.approx(float(gradient.norm()), rel=EXACT)


class Tied(nn.Module):
    """One matrix owned by two modules."""

    def __init__(self):
        super().__init__()
        self.embedding, self.head = nn.Embedding(5, 4), nn.Linear(4, 5, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, x):
        return self.head(self.embedding(x)[:, 0])


def test_tied_weights_stay_tied_and_are_counted_once():
    network, x = fill(Tied()), torch.arange(20)[:, None] % 5
    trainer = Trainer(CONFIG, network=network, data=(x, labels(20, 5)))
    trainer.run(3)
    assert trainer.network.head.weight is trainer.network.embedding.weight
    record = trainer.history[0]
    assert record.total_norm == pytest.approx(record.grad_norm[0], rel=EXACT)


def test_a_frozen_layer_is_shown_without_gradient_and_keeps_its_weights():
    network = fill(nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 3)))
    network[2].requires_grad_(False)
    trainer = Trainer(CONFIG, network=network, data=(noise(20, 2), labels(20)))
    trainer.run(3)
    record = trainer.history[-1]
    assert record.has_gradient.tolist() == [1, 0, 1]
    assert np.isnan(record.grad_norm).tolist() == [False, True, False]
    assert np.isnan(record.update_ratio).tolist() == [False, True, False]
    assert record.weight_norm[1] == pytest.approx(float(network[2].weight.detach().double().norm()), rel=1e-12)
    assert record.delta_norm[1] > 0  # the signal passes through it
    assert torch.equal(trainer.network[2].weight, network[2].weight.double())


def test_a_frozen_first_layer_has_no_backward_signal():
    network = fill(nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 3)))
    network[0].requires_grad_(False)
    record = Trainer(CONFIG, network=network, data=(noise(20, 2), labels(20))).step()
    assert np.isnan(record.delta_norm[0])
    assert record.delta_norm[1] > 0
    assert np.isfinite(record.activation_std).all()


@pytest.mark.parametrize("wrap", [parametrizations.weight_norm, parametrizations.spectral_norm])
def test_a_parametrized_weight_belongs_to_the_module_that_uses_it(wrap):
    with torch.random.fork_rng():  # spectral norm draws its first vectors
        network = fill(nn.Sequential(wrap(nn.Linear(2, 6)), nn.Tanh(), nn.Linear(6, 3)))
    x, y = noise(20, 2), labels(20)
    trainer = Trainer(CONFIG, network=network, data=(x, y))
    assert trainer.layer_names == ("0", "2")
    record, plain = trainer.step(), copy.deepcopy(network).double()
    output = plain[:2](x[rows_of(20)])
    assert record.activation_std[0] == pytest.approx(float(output.detach().std(correction=0)), rel=EXACT)


@pytest.mark.parametrize(
    "activation", [nn.Softmax(1), nn.GLU(), nn.LogSoftmax(1), nn.RReLU(), nn.Threshold(0.1, 0.0)]
)
def test_an_activation_that_mixes_entries_or_draws_is_never_saturated(activation):
    width = 3 if isinstance(activation, nn.GLU) else 6
    network = fill(nn.Sequential(nn.Linear(2, 6), activation, nn.Linear(width, 3)))
    trainer, again = (Trainer(CONFIG, network=network, data=(noise(20, 2), labels(20))) for _ in range(2))
    trainer.run(20)
    again.run(20)
    again.rewind(4)
    again.run(16)
    assert (trainer.history.column("saturated") == 0).all()
    assert again.history.column("loss").tolist() == trainer.history.column("loss").tolist()


class Line(nn.Module):
    """Parameters of no and of one dimension only."""

    def __init__(self):
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.tensor(2.0)), nn.Parameter(torch.zeros(3))

    def forward(self, x):
        return x * self.scale + self.shift


@pytest.mark.parametrize("clip", ["none", "value", "global_norm", "per_layer_norm", "agc"])
def test_a_network_without_a_matrix_has_its_modules_as_layers(clip):
    x, y = noise(20, 3), noise(20, 3, seed=6)
    trainer = Trainer(CONFIG.replace(clip=clip, clip_threshold=1e3), network=Line(), data=(x, y))
    assert trainer.layer_names == ("Line",)
    record, rows = trainer.step(), rows_of(20)
    plain = Line().double()
    grads = torch.autograd.grad(F.mse_loss(plain(x[rows]), y[rows]), list(plain.parameters()))
    assert record.grad_norm[0] == pytest.approx(float(torch.cat([g.flatten() for g in grads]).norm()), rel=EXACT)
    assert record.weight_norm[0] == 2.0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_network_and_data_are_cast_to_the_precision_and_the_originals_stay(dtype):
    network = fill(nn.Linear(2, 3))
    before = copy.deepcopy(network.state_dict())
    x, y = noise(20, 2).numpy(), labels(20).numpy()
    trainer = Trainer(Config(dtype=dtype, batch_size=8), network=network, data=(x, y))
    trainer.run(3)
    assert trainer.network.weight.dtype == getattr(torch, dtype)
    assert trainer.network is not network
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert network.weight.grad is None


def test_a_network_that_returns_a_flat_output_fits_a_column_of_targets():
    network = fill(nn.Sequential(nn.Linear(2, 1), nn.Flatten(0)))
    x, y = noise(20, 2), noise(20, seed=6)
    rows = rows_of(20)
    expected = F.mse_loss(copy.deepcopy(network).double()(x[rows]), y[rows]).item()
    assert Trainer(CONFIG, network=network, data=(x, y)).step().loss == pytest.approx(expected, rel=EXACT)


def test_a_network_of_ones_own_may_learn_a_built_in_dataset():
    network = fill(nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2)))
    trainer = Trainer(Config(dataset="moons"), network=network)
    assert trainer.step().applied
    assert set(trainer.evaluate()) == {"loss", "accuracy", "holdout_loss", "holdout_accuracy"}


def test_a_loss_of_ones_own_may_take_any_output():
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.mean, self.spread = nn.Linear(2, 1), nn.Linear(2, 1)

        def forward(self, x):
            return {"mean": self.mean(x), "log_var": self.spread(x)}

    def likelihood(output, y):
        return ((output["mean"] - y).square() / output["log_var"].exp() + output["log_var"]).mean() / 2

    x, y, network, rows = noise(20, 2), noise(20, 1, seed=6), fill(Pair()), rows_of(20)
    expected = likelihood(copy.deepcopy(network).double()(x[rows]), y[rows]).item()
    assert Trainer(CONFIG, network=network, data=(x, y), loss=likelihood).step().loss == pytest.approx(
        expected, rel=EXACT
    )


def test_dropout_is_decided_by_the_batch_seed_and_drawn_anew_for_each_pass():
    network = fill(nn.Sequential(nn.Linear(2, 64), nn.Dropout(0.5), nn.Linear(64, 3)))
    data = noise(8, 2), labels(8)
    config = CONFIG.replace(lr=0.0)  # the same samples and weights every step: only the mask differs
    first = Trainer(config, network=network, data=data).run(4).column("loss")
    torch.rand(3)
    again = Trainer(config, network=network, data=data).run(4).column("loss")
    other = Trainer(config.replace(batch_seed=1), network=network, data=data).run(4).column("loss")
    assert first.tolist() == again.tolist()
    assert len(set(first)) == 4
    assert not set(first) & set(other)


# ---------------------------------------------------------------------- CumulativeGradient in a run
@pytest.mark.parametrize("keep_dim", [True, False])
def test_the_articles_layer_inside_a_network_trains_as_in_plain_pytorch(keep_dim, plain_batches):
    def build():
        return fill(nn.Sequential(nn.Linear(2, 6), CumulativeGradient(keep_dim), nn.Tanh(), nn.Linear(6, 3)))

    x, y = noise(24, 2), labels(24)
    trainer = Trainer(CONFIG.replace(lr=0.001), network=build(), data=(x, y))
    plain, batches = build().double(), plain_batches(24, 8)
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.001)
    for _ in range(10):
        rows = next(batches)
        optimizer.zero_grad()
        loss = F.cross_entropy(plain(x[rows]), y[rows])
        loss.backward()
        optimizer.step()
        assert trainer.step().loss == pytest.approx(loss.item(), rel=1e-9)  # roundings grow over ten steps
    torch.testing.assert_close(trainer.network[1].total, plain[1].total, rtol=1e-9, atol=1e-12)


def test_the_articles_layer_with_a_short_tail_is_a_clear_error_before_the_first_step():
    network = fill(nn.Sequential(nn.Linear(2, 6), CumulativeGradient(), nn.Linear(6, 3)))
    message = (
        r"batch_size=8 leaves a last micro-batch of 4 of the 20 samples.*"
        r"CumulativeGradient: gradient of shape \(4, 6\); expected \(8, 6\).*expected a batch_size that divides 20"
    )
    with pytest.raises(ValueError, match=message):
        Trainer(CONFIG, network=network, data=(noise(20, 2), labels(20)))
    assert network[1].total is None


def test_batch_norm_of_ones_own_with_a_last_micro_batch_of_one_is_a_clear_error_before_the_first_step():
    network = fill(nn.Sequential(nn.Linear(2, 6), nn.BatchNorm1d(6), nn.Linear(6, 3)))
    with pytest.raises(ValueError, match="batch_size=8 leaves a last micro-batch of 1 of the 17 samples"):
        Trainer(CONFIG, network=network, data=(noise(17, 2), labels(17)))


def test_the_rehearsal_leaves_no_trace_in_the_network():
    network = fill(nn.Sequential(nn.Linear(2, 6), nn.BatchNorm1d(6), CumulativeGradient(), nn.Linear(6, 3)))
    trainer = Trainer(CONFIG, network=network, data=(noise(16, 2), labels(16)))
    assert int(trainer.network[1].num_batches_tracked) == 0
    assert trainer.network[2].total is None


# ---------------------------------------------------------------------- what is refused
class Failing(nn.Linear):
    def forward(self, x):
        raise RuntimeError("shapes do not match")


class Unused(nn.Module):
    def __init__(self):
        super().__init__()
        self.used, self.forgotten = nn.Linear(2, 3), nn.Linear(2, 3)

    def forward(self, x):
        return self.used(x)


class Detached(nn.Linear):
    def forward(self, x):
        return super().forward(x).detach()


class Tuple(nn.Linear):
    def forward(self, x):
        return super().forward(x), x


class Whole(nn.Linear):
    def forward(self, x):
        return super().forward(x).argmax(1)


class Overwritten(nn.Linear):
    def forward(self, x):
        h = super().forward(x).exp()
        h.mul_(2)
        return h


class Uncopyable(nn.Linear):
    def __deepcopy__(self, memo):
        raise TypeError("cannot pickle '_thread.lock' object")


def complex_network():
    return nn.Linear(2, 3, dtype=torch.complex64)


def frozen_network():
    return nn.Linear(2, 3).requires_grad_(False)


BAD_NETWORKS = {
    "not a module": (lambda: lambda x: x, "network=<function.*; expected a torch.nn.Module"),
    "a class": (lambda: nn.Linear, "network=<class .*; expected a torch.nn.Module"),
    "no parameters": (
        lambda: nn.Sequential(nn.Flatten()),
        "network: Sequential has no parameters; expected at least one",
    ),
    "all frozen": (frozen_network, r"network: every parameter is frozen \(requires_grad=False\)"),
    "lazy": (lambda: nn.LazyLinear(3), "network: parameter 'weight' has no shape yet; run one batch through"),
    "complex": (
        complex_network,
        "network: parameter 'weight' has dtype torch.complex64; expected real floating point",
    ),
    "unused": (Unused, r"network: parameter 'forgotten.weight' receives no gradient from the loss \(2 such\)"),
    "failing forward": (
        lambda: Failing(2, 3),
        r"network: failed on X of shape \(8, 2\).*RuntimeError: shapes do not",
    ),
    "wrong input": (lambda: nn.Linear(5, 3), r"network: failed on X of shape \(8, 2\) and dtype torch.float64"),
    "embedding of floats": (lambda: nn.Embedding(4, 3), "network: failed on X .* torch.float64"),
    "detached": (lambda: Detached(2, 3), "loss: does not depend on a trainable parameter"),
    "too few outputs": (
        lambda: nn.Linear(2, 2),
        r"network: output of shape \(8, 2\) for labels up to 2; .*at least 3 col",
    ),
    "a tuple": (
        lambda: Tuple(2, 3),
        "network: returned tuple; expected one real floating-point tensor, or an own loss",
    ),
    "whole numbers": (lambda: Whole(2, 3), "network: returned torch.int64; expected one real"),
    "failing backward": (lambda: Overwritten(2, 3), "network: the backward pass failed .RuntimeError: .*inplace"),
    "uncopyable": (lambda: Uncopyable(2, 3), "network: cannot be copied .TypeError: cannot pickle"),
}


@pytest.mark.parametrize("case", BAD_NETWORKS)
def test_a_weird_network_gets_a_clear_error_before_the_first_step(case, untouched_rng):
    build, message = BAD_NETWORKS[case]
    with torch.random.fork_rng():
        network = build()
    with pytest.raises(ValueError, match=message):
        Trainer(CONFIG, network=network, data=(noise(20, 2), labels(20)))


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (noise(20, 2), r"network: output of shape \(8, 3\) for targets of shape \(20, 2\); expected the same shape"),
        (noise(20), r"network: output of shape \(8, 3\) for targets of shape \(20, 1\); expected the same shape"),
        (noise(20, 3, 2), r"network: output of shape \(8, 3\) for targets of shape \(20, 3, 2\)"),
    ],
)
def test_an_output_that_does_not_fit_the_targets_is_refused(targets, message):
    with pytest.raises(ValueError, match=message):
        Trainer(CONFIG, network=fill(nn.Linear(2, 3)), data=(noise(20, 2), targets))


def vanish(output, y):
    raise KeyError("y")


BAD_LOSSES = {
    "not callable": (3, "loss=3; expected a callable"),
    "text": ("mse", "loss='mse'; expected a callable"),
    "a vector": (
        lambda o, y: o.mean(1),
        r"loss: returned \(8,\) torch.float64; expected the mean loss, one real number",
    ),
    "a float": (lambda o, y: 1.0, "loss: returned float; expected the mean loss"),
    "none": (lambda o, y: None, "loss: returned NoneType"),
    "complex": (lambda o, y: o.mean() * 1j, r"loss: returned \(\) torch.complex128"),
    "constant": (lambda o, y: torch.zeros(()), "loss: does not depend on a trainable parameter"),
    "failing": (vanish, "loss: failed .KeyError: 'y'.; expected loss.output, y. to accept"),
}


@pytest.mark.parametrize("case", BAD_LOSSES)
def test_a_weird_loss_gets_a_clear_error_before_the_first_step(case):
    loss, message = BAD_LOSSES[case]
    with pytest.raises(ValueError, match=message):
        Trainer(CONFIG, network=fill(nn.Linear(2, 3)), data=(noise(20, 2), labels(20)), loss=loss)


def test_a_loss_of_shape_one_counts_as_a_number():
    trainer = Trainer(
        CONFIG,
        network=fill(nn.Linear(2, 3)),
        data=(noise(20, 2), labels(20)),
        loss=lambda o, y: F.cross_entropy(o, y).reshape(1),
    )
    assert trainer.step().applied


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (noise(20, 2) * 1j, "data X: dtype torch.complex128; expected real numbers"),
        (
            noise(20, 2).masked_fill(torch.arange(20)[:, None] == 3, float("nan")),
            r"data X: 2 entries are NaN .* \[3, 0\]",
        ),
        (noise(19, 2), r"data: X has shape \(19, 2\) and y \(20,\)"),
    ],
)
def test_weird_data_for_a_network_of_ones_own_are_refused(x, message):
    with pytest.raises(ValueError, match=message):
        Trainer(CONFIG, network=fill(nn.Linear(2, 3)), data=(x, labels(20)))


# ---------------------------------------------------------------------- what cannot be undone or repeated
class InPlace(nn.Module):
    """A network that normalises its input where it lies."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(x.sub_(x.mean()).mul_(2.0))


def test_a_network_that_changes_its_input_in_place_trains_on_the_data_as_given():
    x, y = torch.randn(64, 4, generator=torch.Generator().manual_seed(1)), torch.arange(64) % 3
    trainer = Trainer(Config(batch_size=16, lr=0.1), network=InPlace(), data=(x, y))
    found = trainer.evaluate()
    assert trainer.evaluate() == found
    head = copy.deepcopy(trainer.network.head)
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1)
    for _ in range(9):
        (rows,) = trainer.next_window().micro_batches
        optimizer.zero_grad()
        loss = F.cross_entropy(head((x[rows] - x[rows].mean()) * 2.0), y[rows])
        loss.backward()
        optimizer.step()
        assert trainer.step().loss == loss.item()
        trainer.evaluate()
    assert torch.equal(trainer.data.x, x)


class Restless(nn.Module):
    """A network whose passes differ by what no buffer knows."""

    def __init__(self, source):
        super().__init__()
        self.head, self.source, self.passes = nn.Linear(4, 3), source, 0
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, x):
        self.passes += 1
        shift = {
            "python": random.random,
            "own generator": lambda: float(torch.rand(1, generator=self.generator)),
            "count": lambda: self.passes / 10,
            "buffer and torch": lambda: float(torch.rand(1)),
        }[self.source]()
        return self.head(x + shift)


@pytest.mark.parametrize("source", ["python", "own generator", "count"])
def test_rewind_says_in_words_that_a_network_cannot_be_replayed(source):
    x, y = torch.randn(40, 4, generator=torch.Generator().manual_seed(1)), torch.arange(40) % 3
    trainer = Trainer(Config(batch_size=16), network=Restless(source), data=(x, y))
    trainer.run(16)
    kept = copy.deepcopy(trainer.network.state_dict())
    trainer.run(5)
    with pytest.raises(ValueError, match=r"step=19: this network draws .* cannot be replayed .*, \[0, 16\]"):
        trainer.rewind(19)
    assert trainer.step_count == 21
    trainer.rewind(21)
    trainer.rewind(16)  # a step that was kept needs no replay
    assert len(trainer.history) == trainer.step_count == 16
    assert all(torch.equal(kept[name], value) for name, value in trainer.network.state_dict().items())


def test_a_network_that_draws_from_torchs_global_generator_is_replayed():
    x, y = torch.randn(40, 4, generator=torch.Generator().manual_seed(1)), torch.arange(40) % 3
    network = Restless("buffer and torch")
    trainer, fresh = (Trainer(Config(batch_size=16), network=network, data=(x, y)) for _ in range(2))
    trainer.run(21)
    trainer.rewind(19)
    fresh.run(19)
    assert torch.equal(trainer.network.head.weight, fresh.network.head.weight)


def test_dropout_draws_anew_in_every_micro_batch_from_the_seeds_that_next_window_tells():
    x, y = torch.randn(40, 4, generator=torch.Generator().manual_seed(1)), torch.arange(40) % 3
    network = fill(nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 3)))
    trainer = Trainer(Config(batch_size=8, accumulation="mean", accumulation_steps=3), network=network, data=(x, y))
    for _ in range(3):
        window, plain, losses = trainer.next_window(), copy.deepcopy(trainer.network), []
        for rows, seed in zip(window.micro_batches, window.seeds, strict=True):
            with torch.random.fork_rng():
                torch.manual_seed(seed)
                losses.append(len(rows) * F.cross_entropy(plain(x[rows]), y[rows]).item())
        samples = sum(map(len, window.micro_batches))
        assert trainer.step().loss == pytest.approx(sum(losses) / samples, rel=1e-12)  # a sum in another order
        assert len(set(window.seeds)) == len(window.micro_batches)


# ---------------------------------------------------------------------- network, loss and batch alone
class Halved(torch.autograd.Function):
    """An identity whose backward pass forgets a half."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, g):
        return g / 2


def test_the_looks_at_a_network_and_a_batch_are_those_at_a_run_of_one_batch():
    network = fill(nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 3)))
    x, y = noise(8, 3, dtype=torch.float32), labels(8)
    trainer = Trainer(Config(batch_size=8), network=network, data=(x, y))
    mine = sharpness(network, F.cross_entropy, (x, y))
    assert mine.value == pytest.approx(sharpness(trainer).value, rel=1e-9)
    assert mine.limit is None
    assert "optimizer is not known" in mine.reason
    counts = gradient_histogram(network, F.cross_entropy, (x, y)).counts
    assert counts.tolist() == gradient_histogram(trainer).counts.tolist()
    checked = check_gradients(network, F.cross_entropy, (x, y))
    assert checked.errors == trainer.check_gradients().errors
    spread = gradient_noise(network, F.cross_entropy, (x, y), micro_batches=8)
    assert (spread.micro_batches, spread.batch_size) == (8, 1)


def test_a_wrong_backward_pass_of_your_own_is_found_and_time_that_is_over_leaves_the_rest_out():
    class Wrong(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(3, 5), nn.Linear(5, 3)

        def forward(self, x):
            return self.second(Halved.apply(torch.tanh(self.first(x))))

    batch = noise(8, 3, dtype=torch.float32), labels(8)
    found = check_gradients(fill(Wrong()), F.cross_entropy, batch)
    assert found["first"] == pytest.approx(0.5)
    assert found["second"] < 1e-6
    assert check_gradients(fill(Wrong()), F.cross_entropy, batch, seconds=0).compared == (0, 0)
    assert sharpness(nn.Linear(3, 3), F.cross_entropy, batch, seconds=0).converged is False


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((3, F.cross_entropy, (torch.ones(2, 3), torch.ones(2))), "network=3"),
        ((nn.Linear(3, 3), None, (torch.ones(2, 3), torch.ones(2))), "loss_fn=None"),
        ((nn.Linear(3, 3), F.cross_entropy, torch.ones(2, 3)), "batch="),
        ((nn.Linear(3, 3), F.cross_entropy, (torch.ones(2, 3), torch.ones(3))), "same number of samples"),
        ((nn.Linear(3, 3).requires_grad_(False), F.mse_loss, (torch.ones(2, 3), torch.ones(2, 3))), "to train"),
    ],
)
def test_what_is_no_network_loss_or_batch_is_refused_by_name(arguments, message):
    for look in (sharpness, gradient_histogram, gradient_noise, check_gradients):
        with pytest.raises(ValueError, match=message):
            look(*arguments)


@pytest.mark.parametrize("form", ["dict", "dataset", "loader", "loader of dicts"])
def test_data_may_be_a_dict_a_dataset_or_a_loader(form, untouched_rng):
    x, y = noise(10, 2, dtype=torch.float32), labels(10)
    dataset = TensorDataset(x, y)
    rows = [{"x": a, "label": b} for a, b in dataset]
    data = {
        "dict": {"x": x, "y": y},
        "dataset": dataset,
        "loader": DataLoader(dataset, batch_size=4),
        "loader of dicts": DataLoader(rows, batch_size=4),  # pyright: ignore
    }[form]
    trainer = Trainer(Config(depth=1, batch_size=5), data=data)
    assert torch.equal(trainer.data.x, x)
    assert torch.equal(trainer.data.y, y)


def test_a_loader_that_gives_no_pairs_is_refused_by_name():
    with pytest.raises(ValueError, match="TensorDataset gives no pairs"):
        Trainer(data=TensorDataset(torch.ones(4, 2)))
    with pytest.raises(ValueError, match="Dataset or a DataLoader"):
        Trainer(data="moons")


def test_a_panel_takes_an_optimizer_of_your_own():
    lab = GradLab(depth=1, lr=0.3, optimizer=torch.optim.Adagrad)
    lab.step(2)
    again = GradLab(depth=1, lr=0.3, optimizer=torch.optim.Adagrad)
    assert (lab.config.optimizer, again.config.optimizer) == ("adagrad", "adagrad")
    fixed = GradLab(depth=1, optimizer=lambda params: torch.optim.SGD(params, lr=0.0))
    fixed.step(2)
    assert np.all(fixed.history.column("update_ratio") == 0)
    with pytest.raises(ValueError, match="optimizer="):
        GradLab(optimizer=3)
    for panel in (lab, again, fixed):
        panel.close()
