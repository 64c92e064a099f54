"""`watch`: the columns of a history from plain training loops, against norms computed by hand in the loop."""

from __future__ import annotations

import copy
import math
import weakref

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from gradlab import Config, Trainer
from gradlab.watch import watch

# Norms in float64 of the same float32 gradients, computed in another order of operations.
EXACT = 1e-9
# Norms that float32 itself rounds on the way (dL/dz times the number of samples, a scale, a mean).
ROUNDED = 1e-5


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


class Conv(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten()
        )
        self.head = nn.Linear(4 * 16, 3)

    def forward(self, x):
        return self.head(self.body(x))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(7, 5)
        self.lstm = nn.LSTM(5, 6, num_layers=2, batch_first=True)
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        return self.head(self.lstm(self.words(x))[0][:, -1])


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(7, 8)
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.encoder(self.words(x)).mean(1))


def images(n=12):
    return torch.randn(n, 1, 8, 8), torch.arange(n) % 3


def sentences(n=12):
    return torch.randint(0, 7, (n, 5)), torch.arange(n) % 3


ZOO = {"conv": (Conv, images), "lstm": (Recurrent, sentences), "transformer": (Transformer, sentences)}


def mlp(width=8, depth=3, inputs=4):
    layers = [nn.Linear(inputs, width), nn.Tanh()]
    for _ in range(depth - 1):
        layers += [nn.Linear(width, width), nn.Tanh()]
    return nn.Sequential(*layers, nn.Linear(width, 3))


def points(n=12, inputs=4):
    return torch.randn(n, inputs), torch.arange(n) % 3


def norm(tensors):
    tensors = [t for t in tensors if t is not None]
    return math.sqrt(sum(float((t.detach().double() ** 2).sum()) for t in tensors))


def layer_norms(network, names, what):
    """Norm over the matrices that each named module owns itself, or of a named parameter, of `what(parameter)`."""
    modules, own = dict(network.named_modules()), dict(network.named_parameters())
    chosen = [
        [own[name]] if name in own else [p for p in modules[name].parameters(recurse=False) if p.dim() >= 2]
        for name in names
    ]
    return [norm([what(p) for p in params]) for params in chosen]


def grads(network, names):
    return layer_norms(network, names, lambda p: p.grad)


def hooks_of(network, optimizer):
    counts = [len(optimizer._optimizer_step_pre_hooks), len(optimizer._optimizer_step_post_hooks)]
    counts += [len(torch.nn.modules.module._global_forward_hooks)]
    counts += [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in network.modules()]
    counts += [len(p._post_accumulate_grad_hooks or ()) + len(p._backward_hooks or ()) for p in network.parameters()]
    return sum(counts)


# ---------------------------------------------------------------------- against norms by hand
@pytest.mark.parametrize("kind", list(ZOO))
def test_every_column_is_what_one_computes_by_hand(kind):
    make, data = ZOO[kind]
    network = make()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    loss_of = nn.CrossEntropyLoss()
    expected = []
    with watch(network, optimizer) as history:
        names = history.layer_names
        for _ in range(3):
            x, y = data()
            optimizer.zero_grad()
            loss = loss_of(network(x), y)
            loss.backward()
            before = copy.deepcopy(network)
            optimizer.step()
            change = {  # float64: a difference of float32 numbers need not be one
                id(p): p.detach().double() - q.detach().double()
                for p, q in zip(network.parameters(), before.parameters(), strict=True)
            }
            weights = layer_norms(before, names, lambda p: p)
            changes = layer_norms(network, names, lambda p, change=change: change[id(p)])
            expected.append(
                {
                    "loss": loss.item(),
                    "grad_norm": grads(network, names),
                    "clipped_norm": grads(network, names),
                    "total_norm": norm([p.grad for p in network.parameters()]),
                    "weight_norm": weights,
                    "update_ratio": [
                        0 if c == 0 else c / w if w else math.inf for c, w in zip(changes, weights, strict=True)
                    ],
                }
            )
    assert len(history) == 3
    for name in expected[0]:
        np.testing.assert_allclose(history.column(name), [e[name] for e in expected], rtol=EXACT, err_msg=name)
    assert history.column("samples").tolist() == [12, 24, 36]
    assert history.column("micro_batches").tolist() == [1, 2, 3]
    assert history.column("clip_coef").tolist() == [1, 1, 1]
    assert history.column("has_gradient").all()
    assert history.diverged is None


@pytest.mark.parametrize("kind", list(ZOO))
def test_the_backward_signal_and_the_activations_are_what_retain_grad_shows(kind):
    make, data = ZOO[kind]
    network = make()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    kept = {}

    def keep(name):
        def hook(module, inputs, output):
            z = output[0] if isinstance(output, tuple) else output
            kept[name] = z
            z.register_hook(lambda g: kept.__setitem__(f"{name} delta", g.clone()))

        return hook

    x, y = data()
    with watch(network, optimizer) as history:
        modules = dict(network.named_modules())
        layers = history.layer_names[: history.kinds.count("weight")]
        handles = [modules[name].register_forward_hook(keep(name)) for name in layers]
        F.cross_entropy(network(x), y).backward()
        optimizer.step()
    for handle in handles:
        handle.remove()
    for i, name in enumerate(layers):
        found = history[0].delta_norm[i]
        if name not in kept:  # out_proj of attention: its weight is used without calling the module
            assert math.isnan(found)
            continue
        # the gradient of one sample's own loss is 12 times its row, and the mean of 12 squares is taken
        rows = kept[f"{name} delta"].double().reshape(12, -1) * 12
        assert found == pytest.approx(float(rows.square().sum(1).mean().sqrt()), rel=ROUNDED)
    assert history[0].activation_std[len(layers) - 1] == pytest.approx(
        float(kept[layers[-1]].detach().double().std(correction=0)), rel=ROUNDED
    )


def test_a_watched_loop_and_the_trainer_record_the_same_numbers():
    config = Config(
        depth=5, width=16, activation="tanh", accumulation="mean", accumulation_steps=2, clip="global_norm"
    )
    config = config.replace(clip_threshold=0.05, n_samples=64, dtype="float64")
    trainer = Trainer(config)
    twin = copy.deepcopy(trainer.network)
    x, y = trainer.data.x, trainer.data.y
    generator = torch.Generator().manual_seed(config.batch_seed)
    order = torch.randperm(64, generator=generator)
    optimizer = torch.optim.SGD(twin.parameters(), lr=config.lr)
    with watch(twin, optimizer) as history:
        optimizer.zero_grad()
        for rows in order.split(32):
            (F.cross_entropy(twin(x[rows]), y[rows]) / 2).backward()
        torch.nn.utils.clip_grad_norm_(twin.parameters(), 0.05)
        optimizer.step()
    theirs, ours = trainer.step(), history[0]
    for name in ("loss", "total_norm", "clipped_total_norm", "clip_coef", "samples", "micro_batches", "updates"):
        assert getattr(ours, name) == pytest.approx(getattr(theirs, name), rel=1e-12), name  # float64, other order
    for name in ("grad_norm", "clipped_norm", "weight_norm", "update_ratio", "delta_norm", "dead"):
        found = getattr(ours, name)[: len(trainer.layer_names)]
        np.testing.assert_allclose(found, getattr(theirs, name), rtol=1e-10, err_msg=name)


# ---------------------------------------------------------------------- what people do between the steps
def test_several_backwards_accumulate_into_one_step():
    network = mlp()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    losses = []
    with watch(network, optimizer) as history:
        for _ in range(4):
            x, y = points()
            loss = F.cross_entropy(network(x), y) / 4
            loss.backward()
            losses.append(loss.item())
        expected = grads(network, history.layer_names)
        optimizer.step()
        optimizer.zero_grad()
    assert len(history) == 1
    assert (history[0].samples, history[0].micro_batches, history[0].updates) == (48, 4, 1)
    assert history[0].loss == pytest.approx(sum(losses), rel=1e-6)
    np.testing.assert_allclose(history[0].grad_norm, expected, rtol=EXACT)


def test_dividing_the_loss_leaves_the_backward_signal_as_one_big_batch_has_it():
    network = mlp()
    x, y = points(24)
    found = []
    for parts in (1, 4):
        twin = copy.deepcopy(network)
        optimizer = torch.optim.SGD(twin.parameters(), lr=0.1)
        with watch(twin, optimizer) as history:
            for xs, ys in zip(x.chunk(parts), y.chunk(parts), strict=True):
                (F.cross_entropy(twin(xs), ys) / parts).backward()
            optimizer.step()
        found.append(history[0].delta_norm)
    np.testing.assert_allclose(found[0], found[1], rtol=ROUNDED)


@pytest.mark.parametrize("clip", ["norm", "value"])
def test_gradients_before_and_after_clipping_are_told_apart(clip):
    network = mlp()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    x, y = points()
    with watch(network, optimizer) as history:
        F.cross_entropy(network(x), y).backward()
        before = grads(network, history.layer_names), norm([p.grad for p in network.parameters()])
        if clip == "norm":
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1e-3)
        else:
            torch.nn.utils.clip_grad_value_(network.parameters(), 1e-3)
        after = grads(network, history.layer_names), norm([p.grad for p in network.parameters()])
        optimizer.step()
    record = history[0]
    np.testing.assert_allclose(record.grad_norm, before[0], rtol=EXACT)
    np.testing.assert_allclose(record.clipped_norm, after[0], rtol=EXACT)
    assert record.total_norm == pytest.approx(before[1], rel=EXACT)
    assert record.clip_coef == pytest.approx(after[1] / before[1], rel=EXACT)
    assert math.isnan(record.clip_cosine)


@pytest.mark.parametrize("unscale", [False, True])
def test_numbers_under_a_grad_scaler_are_those_without_it(unscale):
    network = mlp()
    x, y = points()
    plain = copy.deepcopy(network)
    F.cross_entropy(plain(x), y).backward()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=3000.0)
    with watch(network, optimizer, scaler=scaler) as history:
        scaler.scale(F.cross_entropy(network(x), y)).backward()
        if unscale:
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1e-3)
        scaler.step(optimizer)
        scaler.update()
    record = history[0]
    np.testing.assert_allclose(record.grad_norm, grads(plain, history.layer_names), rtol=ROUNDED)
    assert record.loss == pytest.approx(F.cross_entropy(plain(x), y).item(), rel=ROUNDED)
    assert record.clipped_total_norm == pytest.approx(1e-3 if unscale else record.total_norm, rel=2e-3)
    assert record.clip_cosine == 1 or unscale


def test_a_step_that_the_scaler_skips_is_marked_and_is_no_divergence():
    network = mlp()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=1e38, backoff_factor=1e-4)
    applied = []
    with watch(network, optimizer, scaler=scaler) as history:
        for _ in range(4):
            x, y = points()
            before = network[0].weight.detach().clone()
            optimizer.zero_grad()
            scaler.scale(F.cross_entropy(network(x), y) * 100).backward()
            scaler.step(optimizer)
            scaler.update()
            applied.append(not torch.equal(before, network[0].weight))
    assert not applied[0]
    assert applied[-1]
    assert history.column("applied").astype(bool).tolist() == applied
    assert history.diverged is None
    assert history.marks[0].kind == "skipped"


def test_several_parameter_groups_are_one_network():
    network = mlp()
    optimizer = torch.optim.Adam(
        [{"params": network[0].parameters()}, {"params": network[2:].parameters(), "lr": 1e-4}]
    )
    x, y = points()
    with watch(network, optimizer) as history:
        F.cross_entropy(network(x), y).backward()
        optimizer.step()
    np.testing.assert_allclose(history[0].grad_norm, grads(network, history.layer_names), rtol=EXACT)


def test_a_frozen_layer_has_no_gradient_but_an_activation_and_a_weight():
    network = mlp()
    network[0].requires_grad_(False)
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    x, y = points()
    with watch(network, optimizer) as history:
        F.cross_entropy(network(x), y).backward()
        optimizer.step()
    record = history[0]
    assert math.isnan(record.grad_norm[0])
    assert math.isnan(record.delta_norm[0])
    assert record.has_gradient.tolist() == 2 * [0, 1, 1, 1]
    assert record.weight_norm[0] == pytest.approx(norm([network[0].weight]), rel=EXACT)
    assert record.activation_std[0] == pytest.approx(float(network[:2](x).double().std(correction=0)), rel=ROUNDED)


def test_shared_weights_have_the_sum_of_their_gradients_in_both_places():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.words = nn.Embedding(7, 5)
            self.mix = nn.Linear(5, 5)
            self.out = nn.Linear(5, 7, bias=False)
            self.out.weight = self.words.weight

        def forward(self, x):
            return self.out(self.mix(self.words(x)).tanh())

    network = Tied()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    x = torch.randint(0, 7, (6,))
    with watch(network, optimizer) as history:
        F.cross_entropy(network(x), x).backward()
        expected = norm([network.words.weight.grad])
        optimizer.step()
    first, _, last, _ = history[0].grad_norm
    assert first == pytest.approx(expected, rel=EXACT)
    assert last == pytest.approx(expected, rel=EXACT)


def test_a_layer_called_twice_adds_both_backward_signals():
    shared, out = nn.Linear(4, 4), nn.Linear(4, 3)

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.shared, self.out = shared, out

        def forward(self, x):
            self.first = self.shared(x)
            self.second = self.shared(self.first.tanh())
            self.first.retain_grad()
            self.second.retain_grad()
            return self.out(self.second.tanh())

    network = Twice()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    x, y = points(5)
    with watch(network, optimizer) as history:
        F.cross_entropy(network(x), y).backward()
        optimizer.step()
    both = torch.cat([network.first.grad, network.second.grad], 1).double() * 5
    assert history[0].delta_norm[0] == pytest.approx(float(both.square().sum(1).mean().sqrt()), rel=ROUNDED)
    assert history[0].samples == 5


class Checkpointed(nn.Module):
    """Blocks that run again in the backward pass; `reentrant` None runs them once."""

    def __init__(self, network, reentrant, whole):
        super().__init__()
        self.network, self.reentrant, self.whole = network, reentrant, whole

    def forward(self, x):
        if self.reentrant is None:
            return self.network(x)
        if self.whole:
            return checkpoint(self.network, x, use_reentrant=self.reentrant)
        h = checkpoint(self.network[2:4], self.network[:2](x), use_reentrant=self.reentrant)
        return self.network[6:](checkpoint(self.network[4:6], h, use_reentrant=self.reentrant))


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("whole", [False, True])
def test_gradient_checkpointing_changes_no_number(reentrant, whole):
    network = mlp()
    x, y = points()
    x.requires_grad_(True)  # reentrant checkpoints of the first layer need it
    found = []
    for mode in (None, reentrant):
        twin = Checkpointed(copy.deepcopy(network), mode, whole)
        optimizer = torch.optim.SGD(twin.parameters(), lr=0.1)
        with watch(twin, optimizer) as history:
            for _ in range(2):
                optimizer.zero_grad()
                for half in (slice(0, 6), slice(6, 12)):
                    (F.cross_entropy(twin(x[half]), y[half]) / 2).backward()
                optimizer.step()
        found.append(history)
    plain, again = found
    assert again.column("samples").tolist() == [12, 24]
    for name in ("loss", "grad_norm", "clipped_norm", "delta_norm", "activation_std", "saturated", "update_ratio"):
        np.testing.assert_allclose(again.column(name), plain.column(name), rtol=ROUNDED, err_msg=name)


def test_a_validation_pass_leaves_no_trace_with_or_without_gradients():
    network = mlp()
    x, y = points()
    histories = []
    for validate in (False, True):
        twin = copy.deepcopy(network)
        optimizer = torch.optim.SGD(twin.parameters(), lr=0.1)
        with watch(twin, optimizer) as history:
            for _ in range(2):
                optimizer.zero_grad()
                F.cross_entropy(twin(x), y).backward()
                if validate:
                    with torch.no_grad():
                        twin(100 * x)
                    twin(100 * x)
                optimizer.step()
        histories.append(history)
    for name in ("activation_std", "samples", "delta_norm", "loss"):
        np.testing.assert_array_equal(histories[0].column(name), histories[1].column(name))


@pytest.mark.parametrize("set_to_none", [True, False])
def test_gradients_thrown_away_do_not_count_for_the_next_step(set_to_none):
    network = mlp()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    x, y = points()
    with watch(network, optimizer) as history:
        F.cross_entropy(network(x), y).backward()
        optimizer.zero_grad(set_to_none=set_to_none)
        loss = F.cross_entropy(network(x[:6]), y[:6])
        loss.backward()
        optimizer.step()
    assert len(history) == 1
    assert history[0].loss == pytest.approx(loss.item(), rel=EXACT)
    assert history[0].samples == 6


def test_a_closure_works_too():
    network = mlp()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    x, y = points()

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(network(x), y)
        loss.backward()
        return loss

    with watch(network, optimizer) as history:
        for _ in range(2):
            optimizer.step(closure)
    assert len(history) == 2
    np.testing.assert_allclose(history[1].clipped_norm, grads(network, history.layer_names), rtol=EXACT)
    np.testing.assert_allclose(history[1].grad_norm, history[1].clipped_norm, rtol=EXACT)


@pytest.mark.parametrize("how", ["torch.autograd.backward", "a gradient given", "torch.autograd.grad"])
def test_other_ways_to_a_gradient_are_recorded_too(how):
    network = mlp()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    x, y = points()
    with watch(network, optimizer) as history:
        loss = F.cross_entropy(network(x), y)
        if how == "torch.autograd.backward":
            torch.autograd.backward(loss)
        elif how == "a gradient given":
            loss.backward(torch.tensor(1.0))
        else:
            for p, g in zip(network.parameters(), torch.autograd.grad(loss, list(network.parameters())), strict=True):
                p.grad = g
        optimizer.step()
    if how == "torch.autograd.backward":
        assert history[0].loss == pytest.approx(loss.item(), rel=EXACT)
    else:
        assert math.isnan(history[0].loss)
    np.testing.assert_allclose(history[0].grad_norm, grads(network, history.layer_names), rtol=EXACT)
    assert history.diverged is None


def test_a_network_called_in_parts_is_recorded():
    network = nn.ModuleDict({"encoder": nn.Linear(4, 5), "decoder": nn.Linear(5, 3)})
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    x, y = points()
    with watch(network, optimizer) as history:
        for _ in range(2):
            optimizer.zero_grad()
            F.cross_entropy(network["decoder"](network["encoder"](x).tanh()), y).backward()
            optimizer.step()
    assert history.column("samples").tolist() == [12, 24]
    np.testing.assert_allclose(history[1].grad_norm, grads(network, history.layer_names), rtol=EXACT)
    assert np.isfinite(history.column("delta_norm")).all()


def test_another_batch_dimension_counts_the_samples():
    network = nn.LSTM(4, 3)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    with watch(network, optimizer, batch_dim=1) as history:
        network(torch.randn(5, 2, 4))[0].square().mean().backward()
        optimizer.step()
    assert history[0].samples == 2


def test_norms_beyond_float32_are_recorded():
    network = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    with torch.no_grad():
        for layer, size in zip(network, (1e-20, 1e-25), strict=True):
            layer.weight.fill_(size)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.0)
    with watch(network, optimizer) as history:
        network(torch.ones(1, 2)).sum().backward()
        optimizer.step()
    # dL/dW2 = h, twice 2e-20 in each of two rows; dL/dW1 = 2e-25 in all four entries
    assert history[0].grad_norm[1] == pytest.approx(4e-20, rel=1e-6)
    assert history[0].grad_norm[0] == pytest.approx(4e-25, rel=1e-6)


# ---------------------------------------------------------------------- divergence
def test_a_divergence_is_named_and_the_loop_goes_on():
    network = mlp()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    x, y = points()
    with watch(network, optimizer) as history:
        for step in range(4):
            optimizer.zero_grad()
            loss = F.cross_entropy(network(x), y)
            (loss * (math.inf if step == 2 else 1.0)).backward()
            optimizer.step()
    assert len(history) == 4
    assert (history.diverged.step, history.diverged.tensor) == (2, "loss")
    assert history.marks[0].kind == "diverged"


def test_a_gradient_that_overflows_is_traced_to_the_layer_where_it_did():
    class Overflow(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, *grads):
            return grads[0] * math.inf

    class Bad(nn.Module):
        def forward(self, x):
            return Overflow.apply(x)

    network = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), Bad(), nn.Linear(4, 3))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    x, y = points()
    with watch(network, optimizer) as history:
        F.cross_entropy(network(x), y).backward()
        optimizer.step()
    assert (history.diverged.layer, history.diverged.tensor, history.diverged.layer_name) == (2, "gradient", "2")


def test_an_activation_and_a_weight_that_overflow_are_named():
    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3))
    optimizer = torch.optim.SGD(network.parameters(), lr=1e38)
    x, y = points()
    with watch(network, optimizer) as history:
        for _ in range(2):
            optimizer.zero_grad()
            (F.cross_entropy(network(x), y) * 100).backward()
            optimizer.step()
    assert (history.diverged.step, history.diverged.tensor) == (0, "weight")
    with torch.no_grad():
        network[0].weight.fill_(math.nan)
    with watch(network, optimizer) as history:
        optimizer.zero_grad()
        F.cross_entropy(network(x), y).backward()
        optimizer.step()
    assert (history.diverged.layer, history.diverged.tensor) == (1, "activation")


def test_a_loop_that_stops_before_the_step_still_records_what_stopped_it():
    network = mlp()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    x, y = points()
    histories = []

    def loop():
        with watch(network, optimizer) as history:
            histories.append(history)
            (F.cross_entropy(network(x), y) * math.nan).backward()
            raise FloatingPointError

    with pytest.raises(FloatingPointError):
        loop()
    history = histories[0]
    assert (history.diverged.step, history.diverged.tensor) == (0, "loss")
    assert not history[-1].applied


def test_a_step_somebody_skips_is_marked_as_skipped():
    network = mlp()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    x, y = points()
    with watch(network, optimizer) as history:
        for factor in (1.0, math.nan, 1.0):
            optimizer.zero_grad()
            loss = F.cross_entropy(network(x), y) * factor
            loss.backward()
            if math.isfinite(loss.item()):
                optimizer.step()
    assert history.column("applied").tolist() == [1, 0, 1]
    assert [m.kind for m in history.marks] == ["skipped"]
    assert history.diverged is None


# ---------------------------------------------------------------------- leaving no trace
@pytest.mark.parametrize("kind", list(ZOO))
def test_a_watched_loop_is_bit_for_bit_the_unwatched_one(kind):
    make, data = ZOO[kind]
    network, batches = make(), [data() for _ in range(3)]

    def train(network, optimizer):
        torch.manual_seed(1)
        for x, y in batches:
            optimizer.zero_grad()
            F.cross_entropy(network(x), y).backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 0.5)
            optimizer.step()
        return [*(t.clone() for t in network.state_dict().values()), *(p.grad.clone() for p in network.parameters())]

    plain, watched = copy.deepcopy(network), copy.deepcopy(network)
    expected = [*train(plain, torch.optim.AdamW(plain.parameters(), lr=0.01)), torch.get_rng_state()]
    optimizer = torch.optim.AdamW(watched.parameters(), lr=0.01)
    with watch(watched, optimizer):
        found = [*train(watched, optimizer), torch.get_rng_state()]
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))


@pytest.mark.parametrize("failure", [None, "forward", "body"])
def test_every_hook_is_gone_after_the_block(failure):
    network = mlp()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    x, y = points()
    before, backward = hooks_of(network, optimizer), torch.autograd.backward
    kept = None
    try:
        with watch(network, optimizer) as history:
            assert hooks_of(network, optimizer) > before
            F.cross_entropy(network(x), y).backward()
            optimizer.step()
            kept = network(x)  # a graph that outlives the block
            if failure == "forward":
                network(torch.randn(2, 99))
            elif failure == "body":
                raise RuntimeError
    except RuntimeError:
        assert failure
    assert hooks_of(network, optimizer) == before
    assert torch.autograd.backward is backward
    assert len(kept._backward_hooks or {}) == 0
    kept.sum().backward()
    optimizer.step()
    assert len(history) == 1


@pytest.mark.parametrize("backward", [True, False])
def test_graphs_are_freed_with_the_users_last_reference(backward):
    network = mlp()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    x, y = points()
    outputs = []
    network[2].register_forward_hook(lambda module, inputs, output: outputs.append(weakref.ref(output)))
    with watch(network, optimizer):
        for _ in range(3):
            loss = F.cross_entropy(network(x), y)
            if backward:
                loss.backward()
                optimizer.step()
            del loss
            assert outputs[-1]() is None  # without the garbage collector: there are no cycles
        optimizer.step()


def test_two_watches_of_two_networks_do_not_mix():
    networks = mlp(), mlp()
    optimizers = [torch.optim.SGD(n.parameters(), lr=0.1) for n in networks]
    x, y = points()
    losses = []
    with watch(networks[0], optimizers[0]) as one, watch(networks[1], optimizers[1]) as two:
        for network, optimizer, factor in zip(networks, optimizers, (1.0, 2.0), strict=True):
            loss = factor * F.cross_entropy(network(x), y)
            loss.backward()
            losses.append(loss.item())
            optimizer.step()
    assert len(one) == len(two) == 1
    assert [one[0].loss, two[0].loss] == pytest.approx(losses, rel=1e-6)
    np.testing.assert_allclose(two[0].grad_norm, grads(networks[1], two.layer_names), rtol=EXACT)


# ---------------------------------------------------------------------- bad input
def test_a_parameter_the_optimizer_does_not_have_is_named():
    network = mlp()
    optimizer = torch.optim.SGD(network[0].parameters(), lr=0.1)
    with (
        pytest.raises(ValueError, match=r"none has the network's parameter '2.weight' \(6 such\)"),
        watch(network, optimizer),
    ):
        pass
    assert hooks_of(network, optimizer) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"network": "net"}, "network='net'; expected a torch.nn.Module"),
        ({"optimizers": 0.1}, "optimizers=0.1; expected a torch.optim.Optimizer"),
        ({"optimizers": []}, "optimizers=None; expected a torch.optim.Optimizer"),
        ({"every": 0}, "every=0; expected a whole number >= 1"),
        ({"loggers": 3}, "loggers=3; expected objects with the methods log and close"),
        ({"through_time": "x"}, "through_time='x'; expected True or False"),
        ({"on_error": "ignore"}, "on_error='ignore'; expected 'warn' or 'raise'"),
        ({"scaler": 65536}, "scaler=65536; expected a torch.amp.GradScaler"),
        ({"batch_dim": -1}, "batch_dim=-1; expected a whole number >= 0"),
        ({"network": nn.ReLU()}, "no parameter requires a gradient"),
        ({"network": nn.LazyLinear(3)}, "has no shape yet"),
    ],
)
def test_bad_arguments_are_refused_by_name(arguments, message):
    network = mlp()
    given = {"network": network, "optimizers": torch.optim.SGD(network.parameters(), lr=0.1)} | arguments
    with pytest.raises(ValueError, match=message), watch(**given):
        pass
