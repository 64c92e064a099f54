"""What crosses from step to step, and the article's layer, against torch.optim, numpy and closed forms."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gradlab import CARRY_OVERS, Config, CumulativeGradient, Trainer


def descend(trainer, batches, loss_of, apply, steps):
    """Train the copy of a network with `apply(parameters, gradients)` and return its losses."""
    losses = []
    network = copy.deepcopy(trainer.network)
    for _ in range(steps):
        rows = next(batches)
        loss = loss_of(network, rows)
        parameters = list(network.parameters())
        gradients = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            apply(parameters, gradients)
        losses.append(loss.item())
    return losses


@pytest.fixture
def run_both(plain_batches):
    def run(apply, steps=25, **knobs):
        trainer = Trainer(Config(n_samples=100, depth=3, activation="tanh", lr=0.02, **knobs))
        data = trainer.data

        def loss_of(network, rows):
            return F.cross_entropy(network(data.x[rows]), data.y[rows])

        plain = descend(trainer, plain_batches(100, 32), loss_of, apply, steps)
        return trainer.run(steps).column("loss").tolist(), plain, trainer

    return run


def test_running_sum_is_sgd_with_momentum_one_bit_for_bit(plain_batches):
    trainer = Trainer(Config(n_samples=100, depth=3, lr=0.02, carry_over="running_sum"))
    data, network = trainer.data, copy.deepcopy(trainer.network)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.02, momentum=1.0, dampening=0.0)
    batches, losses = plain_batches(100, 32), []
    for _ in range(25):
        rows = next(batches)
        optimizer.zero_grad()
        loss = F.cross_entropy(network(data.x[rows]), data.y[rows])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert trainer.run(25).column("loss").tolist() == losses
    for mine, plain in zip(trainer.network.parameters(), network.parameters(), strict=True):
        assert torch.equal(mine, plain)


def test_delayed_applies_the_gradient_of_the_step_before(run_both):
    previous = []

    def apply(parameters, gradients):
        for parameter, gradient in zip(parameters, previous, strict=False):
            parameter -= 0.02 * gradient
        previous[:] = gradients

    losses, plain, trainer = run_both(apply, carry_over="delayed")
    assert losses == pytest.approx(plain, rel=1e-5)  # float32: w - lr * g against torch's fused add
    assert not trainer.history[0].applied
    assert trainer.history[0].updates == 0
    assert (trainer.history[0].update_ratio == 0).all()
    assert trainer.history[24].updates == 24


def test_delayed_leaves_weight_decay_and_momentum_idle_at_step_zero():
    trainer = Trainer(Config(carry_over="delayed", weight_decay=0.5, momentum=0.9))
    before = copy.deepcopy(trainer.network.state_dict())
    trainer.step()
    assert all(torch.equal(before[name], value) for name, value in trainer.network.state_dict().items())


def test_scalar_sum_applies_numpys_sum_of_each_tensor(run_both):
    def apply(parameters, gradients):
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter -= 0.02 * float(np.sum(gradient.numpy()))

    losses, plain, _ = run_both(apply, steps=8, carry_over="scalar_sum", dtype="float64")
    assert losses == pytest.approx(plain, rel=1e-10)  # float64: sums of up to 1024 entries in another order


@pytest.mark.parametrize("rule", CARRY_OVERS)
def test_the_record_measures_the_gradient_and_not_what_is_carried(rule):
    """Before the first update all rules see the same gradient; the second step of `none` and `delayed` differ."""
    record = Trainer(Config(carry_over=rule)).step()
    plain = Trainer(Config()).step()
    assert record.total_norm == plain.total_norm
    np.testing.assert_array_equal(record.grad_norm, plain.grad_norm)


class Weight(nn.Module):
    """A network that is one vector of weights, whatever the input."""

    def __init__(self, *start):
        super().__init__()
        self.w = nn.Parameter(torch.tensor(start, dtype=torch.float64))

    def forward(self, x):
        return self.w.expand(len(x), -1)


def on_a_parabola(s, steps, start=(1.0,), **knobs):
    """Descend on 1/2 |w|^2 with lr = s and return w after each step, from w_0 on."""
    config = Config(lr=s, dtype="float64", batch_size=1, **knobs)
    data = torch.zeros(1, 1), torch.zeros(1, 1)
    trainer = Trainer(config, network=Weight(*start), data=data, loss=lambda w, y: w.square().sum() / 2)
    seen = [trainer.network.w.detach().clone()]
    for _ in range(steps):
        trainer.step()
        seen.append(trainer.network.w.detach().clone())
    return torch.stack(seen).numpy()


@pytest.mark.parametrize(
    ("rule", "limit", "start"),
    [
        ("none", 2.0, (1.0,)),
        ("delayed", 1.0, (1.0,)),
        ("running_sum", 4.0, (1.0,)),
        ("scalar_sum", 2.0 / 5, (1.0, 1.0, 1.0, 1.0, 1.0)),
    ],
)
def test_the_largest_stable_learning_rate_on_a_parabola(rule, limit, start):
    """3 % either side of the limit, 250 steps: beyond it |w| has grown past 20, below it stays under 20."""
    bounded = np.abs(on_a_parabola(0.97 * limit, 250, start, carry_over=rule))
    growing = np.abs(on_a_parabola(1.03 * limit, 250, start, carry_over=rule))
    assert bounded.max() < 20
    assert growing.max() > 20
    if rule in ("none", "delayed", "scalar_sum"):
        assert bounded[-1].max() < 0.05


@pytest.mark.parametrize("s", [0.1, 1.0, 3.5])
def test_running_sum_swings_for_ever_as_a_cosine(s):
    """w_t = cos((t + 1/2) a) / cos(a / 2), cos a = 1 - s/2; 1e-10: float64 roundings over 200 undamped swings."""
    a = math.acos(1 - s / 2)
    expected = [math.cos((t + 0.5) * a) / math.cos(a / 2) for t in range(201)]
    np.testing.assert_allclose(on_a_parabola(s, 200, carry_over="running_sum")[:, 0], expected, rtol=0, atol=1e-10)


def test_scalar_sum_moves_only_the_mean_direction():
    seen = on_a_parabola(0.1, 50, (1.0, 2.0, 6.0), carry_over="scalar_sum")
    np.testing.assert_allclose(seen - seen.mean(1, keepdims=True), np.tile([-2, -1, 3], (51, 1)), atol=1e-12)


def test_switching_carry_over_starts_without_what_was_carried_before():
    trainer = Trainer(Config(carry_over="running_sum", lr=0.02))
    trainer.run(5)
    trainer.reconfigure(carry_over="none")
    trainer.reconfigure(carry_over="delayed")
    before = copy.deepcopy(trainer.network.state_dict())
    assert not trainer.step().applied
    assert all(torch.equal(before[name], value) for name, value in trainer.network.state_dict().items())


# ---------------------------------------------------------------------- the layer
def two_linears(seed=0):
    first, second = nn.Linear(3, 4).double(), nn.Linear(4, 2).double()
    generator = torch.Generator().manual_seed(seed)
    for parameter in [*first.parameters(), *second.parameters()]:
        nn.init.normal_(parameter, generator=generator)
    return first, second


def inputs(passes=3, batch=5):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(passes, batch, 3, generator=generator, dtype=torch.float64)


def backward_signals(first, second, xs):
    """Plain autograd: dL/dh between the two layers, for the loss sum(out^2)."""
    found = []
    for x in xs:
        h = first(x)
        found.append(torch.autograd.grad(second(h).square().sum(), h)[0])
    return found


@pytest.mark.parametrize("keep_dim", [True, False])
def test_the_layer_passes_on_the_running_total_of_the_gradients_it_has_seen(keep_dim):
    first, second = two_linears()
    network = nn.Sequential(first, CumulativeGradient(keep_dim=keep_dim), second)
    total = torch.zeros(5, 4, dtype=torch.float64)
    for x, signal in zip(inputs(), backward_signals(first, second, inputs()), strict=True):
        network.zero_grad()
        network(x).square().sum().backward()
        total = total + signal
        passed = total if keep_dim else torch.full_like(total, float(total.sum()))
        torch.testing.assert_close(first.weight.grad, passed.T @ x, rtol=1e-12, atol=1e-12)  # float64 sums of 5
        torch.testing.assert_close(first.bias.grad, passed.sum(0), rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(network[1].total, total, rtol=1e-12, atol=1e-12)


def test_the_layer_changes_nothing_forward_and_nothing_downstream():
    first, second = two_linears()
    x = inputs()[0]
    plain = nn.Sequential(copy.deepcopy(first), copy.deepcopy(second))
    network = nn.Sequential(first, CumulativeGradient(), second)
    assert torch.equal(network(x), plain(x))
    for _ in range(2):
        for model in (network, plain):
            model.zero_grad()
            model(x).square().sum().backward()
    assert torch.equal(second.weight.grad, plain[1].weight.grad)


def test_the_first_backward_pass_is_plain_back_propagation():
    first, second = two_linears()
    x = inputs()[0]
    expected = torch.autograd.grad(second(first(x)).square().sum(), first.weight)[0]
    nn.Sequential(first, CumulativeGradient(), second)(x).square().sum().backward()
    assert torch.equal(first.weight.grad, expected)


def test_two_layers_in_one_network_keep_two_totals():
    """Identity maps of one number: the inner layer sums what the outer one passes on, so 1, 1+2 = 3, 3+3 = 6."""
    inner, outer = CumulativeGradient(), CumulativeGradient()
    x = torch.ones(1, 1, requires_grad=True)
    seen = [torch.autograd.grad(outer(inner(x)).sum(), x)[0].item() for _ in range(3)]
    assert seen == [1.0, 3.0, 6.0]
    assert (inner.total.item(), outer.total.item()) == (6.0, 3.0)


def test_one_layer_used_twice_in_a_pass_sees_two_gradients():
    """The second use is met first and passes on 1; the first use adds that 1 to the total and passes on 2."""
    layer = CumulativeGradient()
    x = torch.ones(1, 1, requires_grad=True)
    assert torch.autograd.grad(layer(layer(x)).sum(), x)[0].item() == 2.0
    assert layer.total.item() == 2.0


def test_without_gradients_nothing_is_accumulated():
    layer = CumulativeGradient()
    with torch.no_grad():
        assert torch.equal(layer(torch.ones(2, 3)), torch.ones(2, 3))
    assert not layer(torch.ones(2, 3)).requires_grad
    assert layer.total is None
    x = torch.ones(2, 3, requires_grad=True)
    layer(x)  # forward alone
    assert layer.total is None


def test_the_layer_never_hands_out_its_own_total():
    layer = CumulativeGradient()
    x = torch.ones(2, requires_grad=True)
    layer(x).sum().backward()
    x.grad.fill_(99.0)
    assert layer.total.tolist() == [1.0, 1.0]


def test_the_total_travels_through_state_dict_into_a_fresh_layer_and_back():
    first, second = two_linears()
    network = nn.Sequential(first, CumulativeGradient(), second)
    x = inputs()[0]
    network(x).square().sum().backward()
    saved = copy.deepcopy(network.state_dict())
    assert "1.total" in saved
    fresh = nn.Sequential(*two_linears(seed=4))
    fresh.insert(1, CumulativeGradient())
    fresh.load_state_dict(saved)
    for model in (network, fresh):
        model.zero_grad()
        model(x).square().sum().backward()
    assert torch.equal(network[0].weight.grad, fresh[0].weight.grad)
    assert torch.equal(network[1].total, fresh[1].total)


def test_loading_the_state_of_an_unused_layer_forgets_the_total():
    used, unused = CumulativeGradient(), CumulativeGradient()
    x = torch.ones(2, requires_grad=True)
    used(x).sum().backward()
    used.load_state_dict(unused.state_dict())
    assert used.total is None


def test_reset_forgets_and_a_copy_keeps():
    layer = CumulativeGradient()
    x = torch.ones(2, requires_grad=True)
    layer(x).sum().backward()
    copied = copy.deepcopy(layer)
    layer.reset()
    assert layer.total is None
    assert copied.total.tolist() == [1.0, 1.0]
    assert layer(torch.ones(7, requires_grad=True)).shape == (7,)


def test_another_batch_shape_is_a_clear_error_and_a_reset_helps():
    layer = CumulativeGradient()
    layer(torch.ones(4, 2, requires_grad=True)).sum().backward()
    x = torch.ones(3, 2, requires_grad=True)
    with pytest.raises(ValueError, match=r"CumulativeGradient: gradient of shape \(3, 2\); expected \(4, 2\).*reset"):
        layer(x).sum().backward()
    layer.reset()
    layer(x).sum().backward()
    assert layer.total.shape == (3, 2)


@pytest.mark.parametrize("odd", ["yes", 1, None, 0.0])
def test_keep_dim_is_true_or_false(odd):
    with pytest.raises(ValueError, match=r"keep_dim=.*expected True or False"):
        CumulativeGradient(keep_dim=odd)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_total_has_the_dtype_of_the_gradient(dtype):
    layer = CumulativeGradient()
    layer(torch.ones(2, dtype=dtype, requires_grad=True)).sum().backward()
    assert layer.total.dtype == dtype
    assert layer.double().total.dtype == torch.float64


def test_the_repr_shows_keep_dim():
    assert repr(CumulativeGradient(keep_dim=False)) == "CumulativeGradient(keep_dim=False)"


def test_a_carry_over_switched_off_and_on_starts_with_nothing_carried():
    trainer = Trainer(Config(n_samples=40, depth=1, carry_over="delayed"))
    assert [record.applied for record in trainer.run(3)] == [False, True, True]
    trainer.reconfigure(carry_over="none")
    trainer.reconfigure(carry_over="delayed")
    assert [trainer.step().applied for _ in range(2)] == [False, True]
