"""Close-ups: entries, noise and sharpness of the gradient against plain PyTorch, torch.func and numpy."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, jacrev
from torch.nn import functional as F

from gradlab import Config, CumulativeGradient, Trainer
from gradlab.inspect import gradient_histogram, gradient_noise, sharpness

TINY = {"depth": 2, "width": 4, "activation": "tanh", "dtype": "float64", "n_samples": 24, "batch_size": 8}


def look(trainer):
    return gradient_histogram(trainer), gradient_noise(trainer), sharpness(trainer)


class Awkward(nn.Module):
    """Dropout, batch norm, a counter in Python, and a kept intermediate: all that a look could disturb."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.drop = nn.Linear(2, 16), nn.BatchNorm1d(16), nn.Dropout(0.3)
        self.last, self.calls, self.kept = nn.Linear(16, 2), 0, None

    def forward(self, x):
        self.calls += 1
        self.kept = torch.tanh(self.norm(self.first(x)))
        return self.last(self.drop(self.kept)) * (1 + 0.01 * self.calls)


class Recorder(nn.Module):
    """Two layers with the article's layer between them."""

    def __init__(self):
        super().__init__()
        self.first, self.total, self.last = nn.Linear(2, 8), CumulativeGradient(), nn.Linear(8, 2)

    def forward(self, x):
        return self.last(self.total(torch.tanh(self.first(x))))


# ---------------------------------------------------------------------- training never knows


@pytest.mark.parametrize(
    ("knobs", "network"),
    [
        ({"norm": "batch", "optimizer": "adam", "lr": 0.01}, None),
        ({"accumulation": "sum", "carry_over": "running_sum", "lr": 0.001, "clip": "global_norm"}, None),
        ({"optimizer": "rmsprop", "lr": 0.001, "momentum": 0.5}, Awkward),
        ({"accumulation": "mean"}, Recorder),
    ],
    ids=["batch norm and adam", "rules", "dropout, counter, batch norm", "cumulative gradient"],
)
def test_a_run_with_close_ups_in_between_is_the_run_without_bit_for_bit(knobs, network, untouched_rng):
    runs = []
    for looked in (False, True):
        config = Config(depth=2, width=8, n_samples=64, batch_size=16, **knobs)
        with torch.random.fork_rng():
            torch.manual_seed(3)
            own = network() if network else None
        trainer = Trainer(config, network=own)
        for _ in range(5):  # past the end of an epoch
            if looked:
                look(trainer)
            trainer.step()
        runs.append(trainer)
    plain, looked = runs
    assert plain.history.column("loss").tolist() == looked.history.column("loss").tolist()
    assert plain.history.column("grad_norm").tolist() == looked.history.column("grad_norm").tolist()
    for mine, theirs in zip(plain.network.state_dict().values(), looked.network.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)


def test_a_close_up_leaves_gradients_buffers_optimizer_and_generators_as_they_were():
    trainer = Trainer(Config(depth=2, width=8, norm="batch", optimizer="adam", clip="value"))
    trainer.run(3)
    network = trainer.network

    def state():
        optimizer = {k: v for k, v in trainer.optimizer_state().items() if isinstance(v, torch.Tensor)}
        grads = [p.grad for p in network.parameters()]
        tensors = [*network.state_dict().values(), *optimizer.values(), *grads, torch.get_rng_state()]
        return [t.clone() for t in tensors], [id(g) for g in grads], len(trainer.history), trainer.step_count

    before = state()
    look(trainer)
    after = state()
    assert all(torch.equal(a, b) for a, b in zip(before[0], after[0], strict=True))
    assert before[1:] == after[1:]


def test_a_walk_through_the_stages_goes_on_after_a_close_up():
    trainer = Trainer(Config(depth=2, width=8))
    walk = trainer.stages()
    next(walk)
    look(trainer)
    assert [stage.name for stage in walk] == ["backward", "accumulate", "clip", "update"]


# ---------------------------------------------------------------------- histogram


def test_the_histogram_is_numpys_of_the_gradient_that_plain_pytorch_computes(plain_network, plain_batches):
    config = Config(depth=3, width=16, activation="relu", batch_size=32, accumulation="mean", accumulation_steps=3)
    trainer = Trainer(config)
    network, batches = plain_network(trainer), plain_batches(512, 32)
    for _ in range(3):
        rows = next(batches)
        (F.cross_entropy(network(trainer.data.x[rows]), trainer.data.y[rows]) / 3).backward()
    found = gradient_histogram(trainer)
    linears = [m for m in network if isinstance(m, nn.Linear)]
    for layer, linear in enumerate(linears):
        sizes = linear.weight.grad.double().abs().numpy().ravel()
        assert found.zeros[layer] == (sizes == 0).sum()
        expected, _ = np.histogram(np.log10(sizes[sizes > 0]), np.arange(-46, 41))
        # an entry that rounding carries over the edge of a decade moves two bins by one
        assert np.abs(found.counts[layer] - expected).sum() <= 4
        assert found.entries[layer] == len(sizes)
    assert found.counts.shape == (4, 86)
    assert found.shares().sum(1) + found.zeros / found.entries == pytest.approx(1.0)  # nothing is lost


class Planted(nn.Module):
    """A weight whose gradient is what was planted: the loss is its product with it."""

    def __init__(self, gradient):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, len(gradient), dtype=gradient.dtype))
        self.frozen = nn.Linear(2, 1).requires_grad_(False)
        self.register_buffer("gradient", gradient)

    def forward(self, x):
        return (self.weight * self.gradient).sum().expand(len(x), 1) + 0 * self.frozen(x)


def planted(gradient, dtype="float32"):
    values = torch.tensor(gradient, dtype=getattr(torch, dtype))
    return Trainer(
        Config(batch_size=4, dtype=dtype),
        network=Planted(values),
        data=(torch.ones(4, 2), torch.ones(4, 1)),
        loss=lambda output, y: output.mean(),
    )


def test_zeros_subnormal_huge_and_non_finite_entries_have_their_bins():
    found = gradient_histogram(planted([0.0, -0.0, 2e-44, -3e-1, 4e37, math.inf, -math.inf, math.nan]))
    row = list(found.layer_names).index("Planted")
    assert (found.zeros[row], found.nonfinite[row], found.entries[row]) == (2, 3, 8)
    bins = {int(found.edges[i]): int(found.counts[row, i]) for i in np.flatnonzero(found.counts[row])}
    assert bins == {-44: 1, -1: 1, 37: 1}


def test_a_frozen_layer_has_no_entries_and_the_end_bins_are_open():
    found = gradient_histogram(planted([1e-300, 1e300, 1.5], dtype="float64"), bins=43)
    assert found.entries.tolist() == [3, 0]
    assert np.flatnonzero(found.counts[0]).tolist() == [0, 23, 42]  # 0.17 decades are in bin 23 of 2 decades each
    assert np.isnan(found.shares()[1]).all()


def test_the_histogram_is_of_the_step_that_comes_next_dropout_included():
    """SGD at lr 1 subtracts the gradient itself."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 2))
    trainer = Trainer(Config(lr=1.0, dtype="float64", accumulation="sum", accumulation_steps=2), network=network)
    trainer.run(2)
    found, before = gradient_histogram(trainer), trainer.network[0].weight.detach().clone()
    trainer.step()
    gradient = (before - trainer.network[0].weight.detach()).abs().numpy()
    expected, _ = np.histogram(np.log10(gradient[gradient > 1e-12]), np.arange(-46, 41))
    assert found.counts[0].tolist() == expected.tolist()


# ---------------------------------------------------------------------- noise


def per_sample_gradients(trainer):
    """torch.func's gradient of every sample, shape (samples, parameters)."""
    network, data = trainer.network, trainer.data
    params = {name: p.detach() for name, p in network.named_parameters()}

    def loss(p, x, y):
        return data.loss(functional_call(network, p, (x[None],)), y[None])

    each = torch.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))(params, data.x, data.y)
    return {name: g.flatten(1) for name, g in each.items()}


def test_all_the_data_in_micro_batches_gives_the_full_gradient_and_the_spread_of_torch_func():
    """One sample each, all samples: nothing is left to chance."""
    trainer = Trainer(Config(**{**TINY, "batch_size": 1}))
    found = gradient_noise(trainer, micro_batches=24)
    each = per_sample_gradients(trainer)
    everything = torch.cat(list(each.values()), 1)
    assert found.micro_batches == 24
    assert found.total_mean_norm == pytest.approx(float(everything.mean(0).norm()), rel=1e-12)  # float64 sums
    assert found.total_spread == pytest.approx(float(everything.var(0).sum().sqrt()), rel=1e-12)
    assert found.total_signal == pytest.approx(found.total_mean_norm**2, rel=1e-12)  # it is the full gradient
    for layer in range(3):
        weights = each[f"linears.{layer}.weight"]
        assert found.mean_norm[layer] == pytest.approx(float(weights.mean(0).norm()), rel=1e-12)
        assert found.spread[layer] == pytest.approx(float(weights.var(0).sum().sqrt()), rel=1e-12)


def test_one_look_is_the_spread_of_the_micro_batch_gradients_of_plain_pytorch(plain_network):
    """24 samples make three micro-batches of 8 and no other: their mean is the full gradient."""
    trainer = Trainer(Config(**TINY))
    trainer.run(2)
    found, network = gradient_noise(trainer, micro_batches=8), plain_network(trainer)
    F.cross_entropy(network(trainer.data.x), trainer.data.y).backward()
    full = math.sqrt(sum(float(p.grad.square().sum()) for p in network.parameters()))
    assert (found.micro_batches, found.batch_size) == (3, 8)
    assert found.total_mean_norm == pytest.approx(full, rel=1e-12)
    assert found.accumulated(4) == pytest.approx(found.spread / 2)
    assert found.signal_to_noise == pytest.approx(found.mean_norm / found.spread)


def test_signal_and_noise_are_estimated_without_bias():
    """P17: over many looks the estimates meet |grad L|^2 and tr(Sigma) / b of torch.func's per-sample gradients."""
    trainer = Trainer(Config(**{**TINY, "n_samples": 512, "batch_size": 4, "lr": 0.0}))
    looks = []
    for _ in range(150):
        looks.append(gradient_noise(trainer, micro_batches=4))
        trainer.step()  # lr 0: only the draw changes
    rows = torch.cat(list(per_sample_gradients(trainer).values()), 1)
    signal, trace = float(rows.mean(0).square().sum()), float(rows.var(0).sum())
    # 150 looks at 3 degrees of freedom or more: at most sqrt(2 / 450) = 7 %, twice over
    assert np.mean([n.total_spread**2 for n in looks]) == pytest.approx(trace / 4, rel=0.14)
    estimates = np.array([n.total_signal for n in looks])
    assert abs(estimates.mean() - signal) < 3 * estimates.std() / math.sqrt(150)  # three standard errors
    assert np.median([n.noise_scale for n in looks]) == pytest.approx(trace / signal, rel=0.3)  # P17 has 20 % of it
    biased = np.mean([n.total_mean_norm**2 for n in looks])
    assert biased - signal > 3 * estimates.std() / math.sqrt(150)  # the correction is what makes the difference


def test_one_batch_that_is_all_the_data_has_no_noise():
    found = gradient_noise(Trainer(Config(**{**TINY, "batch_size": 100})))
    assert found.total_spread == 0.0
    assert found.total_signal_to_noise == math.inf
    assert found.noise_scale == 0.0


def test_a_look_repeats_itself_and_the_next_step_draws_other_micro_batches():
    trainer = Trainer(Config(depth=2, width=8, lr=0.0))
    first, again = gradient_noise(trainer), gradient_noise(trainer)
    trainer.step()
    assert first.spread.tolist() == again.spread.tolist()
    assert first.spread.tolist() != gradient_noise(trainer).spread.tolist()


def test_noise_far_below_float32s_squares_is_not_lost():
    trainer = Trainer(Config(depth=30, width=16, activation="sigmoid", init="normal"))
    found = gradient_noise(trainer)
    assert (found.mean_norm > 0).all()
    assert (found.spread > 0).all()
    assert found.mean_norm[0] < 1e-15  # its squares are below 1e-30, its entries' squares near 1e-35 and less


# ---------------------------------------------------------------------- sharpness


def dense_hessian(trainer):
    """torch.func's whole Hessian of the mean loss over all the data, shape (parameters, parameters)."""
    network, data = trainer.network, trainer.data
    names, params = zip(*network.named_parameters(), strict=True)
    shapes, sizes = [p.shape for p in params], [p.numel() for p in params]

    def loss(flat):
        pieces = [piece.view(shape) for piece, shape in zip(flat.split(sizes), shapes, strict=True)]
        return data.loss(functional_call(network, dict(zip(names, pieces, strict=True)), (data.x,)), data.y)

    return jacrev(jacrev(loss))(torch.cat([p.detach().reshape(-1) for p in params]).double())


@pytest.mark.parametrize("steps", [0, 25])
@pytest.mark.parametrize("activation", ["tanh", "relu", "gelu"])
def test_the_sharpness_is_the_largest_eigenvalue_of_torch_funcs_hessian(activation, steps):
    trainer = Trainer(Config(**{**TINY, "activation": activation}))
    trainer.run(steps)
    found = sharpness(trainer, tol=1e-6)
    expected = float(torch.linalg.eigvalsh(dense_hessian(trainer))[-1])
    assert found.converged
    assert found.value == pytest.approx(expected, rel=1e-6)  # the residual asked for
    assert found.samples == 24


def test_it_is_the_largest_eigenvalue_and_not_the_largest_in_size():
    """1/2 w^T diag(1, 2, -5) w: power iteration would find -5."""
    curvature = torch.tensor([1.0, 2.0, -5.0], dtype=torch.float64)
    trainer = quadratic(curvature, lr=0.1)
    found = sharpness(trainer)
    assert found.value == pytest.approx(2.0, rel=1e-12)  # three steps of Lanczos are exact in three dimensions
    assert found.iterations <= 3


class Point(nn.Module):
    """Returns its parameter for every sample."""

    def __init__(self, start):
        super().__init__()
        self.w = nn.Parameter(start.clone())

    def forward(self, x):
        return self.w.expand(len(x), -1)


def quadratic(curvature, lr, n=8, **knobs):
    """A trainer on 1/2 sum(curvature * w^2), whatever the batch."""
    config = Config(lr=lr, dtype="float64", **{"batch_size": n, **knobs})
    zeros = torch.zeros(n, 1, dtype=torch.float64)
    return Trainer(
        config,
        network=Point(torch.ones(len(curvature), dtype=torch.float64)),
        data=(zeros, zeros),
        loss=lambda output, y: 0.5 * (curvature * output.square()).sum(1).mean(),
    )


RULES = [
    {},
    {"momentum": 0.5},
    {"momentum": 0.9, "weight_decay": 0.5},
    {"accumulation": "mean", "batch_size": 4},
    {"accumulation": "sum", "batch_size": 4, "accumulation_steps": 2},
    {"accumulation": "sum", "batch_size": 4, "accumulation_steps": 2, "momentum": 0.3, "weight_decay": 0.2},
    {"carry_over": "delayed"},
    {"carry_over": "delayed", "momentum": 0.5, "weight_decay": 0.1},
    {"carry_over": "running_sum", "weight_decay": 1.0},
    {"carry_over": "running_sum", "weight_decay": 10.0, "momentum": 0.3},
    {"carry_over": "scalar_sum"},
    {"carry_over": "scalar_sum", "momentum": 0.4},
]


@pytest.mark.parametrize("knobs", RULES, ids=lambda k: " ".join(f"{a}={b}" for a, b in k.items()) or "plain")
def test_a_real_run_settles_below_ratio_1_and_blows_up_above(knobs):
    """P15 for every rule and their mixtures: only the trainer's own runs decide.

    5 % beside the edge the slowest root is about 1 - 0.05/4 or 1 + 0.05/4: 200 steps make 12 of it, or 1/12.
    """
    curvature, lr = 1.0, 0.05
    limit = sharpness(quadratic(torch.full((3,), curvature, dtype=torch.float64), lr, **knobs))
    per_curvature = limit.compared / curvature  # 3 for scalar_sum in three dimensions, else 1
    for factor, settles in ((0.95, True), (1.05, False)):
        scaled = torch.full((3,), limit.limit / per_curvature * factor, dtype=torch.float64)
        trainer = quadratic(scaled, lr, **knobs)
        assert sharpness(trainer).ratio == pytest.approx(factor, rel=1e-6)
        sizes = trainer.run(200).column("weight_norm")[:, 0]
        late = sizes[-40:].max()
        assert late < 0.3 * sizes[0] if settles else late > 3 * sizes[0]


def test_a_running_sum_swings_for_ever_below_4_and_with_momentum_is_never_stable():
    found = sharpness(quadratic(torch.ones(2, dtype=torch.float64), 0.1, carry_over="running_sum"))
    assert found.limit == pytest.approx(40.0)
    never = sharpness(quadratic(torch.ones(2, dtype=torch.float64), 0.1, carry_over="running_sum", momentum=0.5))
    assert never.limit == 0.0
    assert never.ratio == math.inf
    sizes = quadratic(torch.ones(2, dtype=torch.float64), 0.1, carry_over="running_sum", momentum=0.5).run(300)
    assert sizes.column("weight_norm")[-1, 0] > 1e3


@pytest.mark.parametrize(("optimizer", "limit"), [("adam", 38.0), ("adamw", 38.0), ("rmsprop", 2.0)])
def test_the_preconditioned_sharpness_is_that_of_the_dense_matrix(optimizer, limit, plain_network):
    """P from torch's own optimizer run beside it, P^-1/2 H P^-1/2 diagonalised whole (Cohen et al. 2022)."""
    trainer, lr = Trainer(Config(**{**TINY, "batch_size": 24, "optimizer": optimizer, "lr": 0.003})), 0.003
    network = plain_network(trainer)
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "rmsprop": torch.optim.RMSprop}
    extra = {"weight_decay": 0.0} if optimizer == "adamw" else {}
    own = kinds[optimizer](network.parameters(), lr=lr, **extra)
    for _ in range(12):
        own.zero_grad()
        F.cross_entropy(network(trainer.data.x), trainer.data.y).backward()
        own.step()
    trainer.run(12)
    state = [own.state[p] for p in network.parameters()]
    if optimizer == "rmsprop":
        scale = torch.cat([s["square_avg"].sqrt().flatten() + 1e-8 for s in state])
    else:
        moments = torch.cat([s["exp_avg_sq"].flatten() for s in state])
        scale = (1 - 0.9**12) * ((moments / (1 - 0.999**12)).sqrt() + 1e-8)
    matrix = dense_hessian(trainer) / (scale.sqrt()[:, None] * scale.sqrt())
    expected = float(torch.linalg.eigvalsh(matrix)[-1])
    found = sharpness(trainer, tol=1e-6, iterations=200)
    # the sample order differs: rounding of the gradients, grown by 12 adaptive steps
    assert found.preconditioned == pytest.approx(expected, rel=1e-4)
    assert found.limit == pytest.approx(limit / lr)
    assert found.ratio == pytest.approx(expected * lr / limit, rel=1e-4)


def test_adams_limit_is_where_its_recurrence_with_a_still_preconditioner_leaves_the_unit_circle():
    """m = b m + (1 - b) g, w -= lr m and the decoupled decay: the roots of the 2 x 2 recurrence decide."""
    lr, decay, beta = 0.5, 0.4, 0.9
    trainer = quadratic(torch.ones(2, dtype=torch.float64), lr, optimizer="adamw", weight_decay=decay)
    trainer.run(3)
    limit = sharpness(trainer).limit
    radius = []
    for factor in (0.99, 1.01):
        curvature = limit * factor
        step = np.array([[beta, (1 - beta) * curvature], [-lr * beta, 1 - lr * decay - lr * (1 - beta) * curvature]])
        radius.append(max(abs(np.linalg.eigvals(step))))
    assert radius[0] < 1 < radius[1]


def test_p19_the_sharpness_settles_at_the_edge_of_stability():
    """Cohen et al. (2021): gradient descent at lr .2 brings it to 2 / lr = 10."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(50, 10, generator=generator, dtype=torch.float64)
    y = torch.randn(50, 1, generator=generator, dtype=torch.float64)
    config = Config(activation="tanh", init="pytorch", depth=2, width=32, lr=0.2, batch_size=50, dtype="float64")
    trainer = Trainer(config, data=(x, y))
    assert sharpness(trainer).ratio < 0.5
    trainer.run(400)
    found = sharpness(trainer)
    assert found.limit == pytest.approx(10.0)
    assert found.ratio == pytest.approx(1.0, rel=0.05)  # SCIENCE's tolerance: it hovers


def test_where_no_line_is_known_the_words_say_why():
    fresh = sharpness(Trainer(Config(**TINY, optimizer="adam")))
    assert (fresh.limit, fresh.ratio) == (None, None)
    assert "first step of adam" in fresh.reason
    carried = sharpness(Trainer(Config(**TINY, optimizer="rmsprop", carry_over="delayed")))
    assert "delayed with rmsprop" in carried.reason
    layered = Trainer(Config(batch_size=16), network=Recorder())
    layered.run(2)
    found = sharpness(layered)
    assert "CumulativeGradient" in found.reason
    assert found.value == pytest.approx(float(torch.linalg.eigvalsh(plain_recorder_hessian(layered))[-1]), rel=1e-3)


def plain_recorder_hessian(trainer):
    """The article's layer passes everything on as it is, so the loss is that of the network without it."""
    first, last = trainer.network.first, trainer.network.last
    plain = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2)).double()
    plain[0].load_state_dict(first.state_dict())
    plain[2].load_state_dict(last.state_dict())

    class Double:
        network = plain

        class data:  # noqa: N801
            x, y, loss = trainer.data.x.double(), trainer.data.y, staticmethod(F.cross_entropy)

    return dense_hessian(Double)


def test_lr_zero_has_no_edge_and_a_flat_loss_no_sharpness():
    assert sharpness(Trainer(Config(**TINY, lr=0.0))).limit == math.inf
    flat = sharpness(planted([1.0, 2.0]))  # a linear loss
    assert (flat.value, flat.converged) == (0.0, True)


def test_weights_that_are_not_finite_give_nan_and_no_crash():
    trainer = Trainer(Config(depth=30, width=16, gain=1e3, init="fixed", nonfinite="continue", lr=1.0))
    trainer.run(2)
    histogram, noise, sharp = look(trainer)
    assert histogram.nonfinite.sum() > 0
    assert not math.isfinite(noise.total_mean_norm)
    assert math.isnan(sharp.value)
    assert not sharp.converged


def test_a_transformer_has_a_sharpness():
    """The fused attention has no second derivative."""

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.block = nn.Linear(1, 8), nn.MultiheadAttention(8, 2, batch_first=True)
            self.read = nn.Linear(8, 2)

        def forward(self, x):
            h = self.embed(x[:, :, None])
            return self.read(self.block(h, h, h, need_weights=False)[0].mean(1))

    torch.manual_seed(0)
    trainer = Trainer(Config(batch_size=16, n_samples=32), network=Attention())
    found = sharpness(trainer, tol=1e-5)
    assert found.converged
    assert found.value > 0


class Twice(torch.autograd.Function):
    """Doubles, with a backward pass that cannot be differentiated."""

    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        return 2 * gradient


def test_a_network_without_second_derivative_is_told_so():
    class Doubled(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, x):
            return Twice.apply(self.layer(x))

    trainer = Trainer(Config(batch_size=16), network=Doubled())
    with pytest.raises(ValueError, match="differentiated twice"):
        sharpness(trainer)


def test_the_sharpness_is_over_as_many_samples_as_memory_is_for_or_as_one_asks():
    """Sixty recurrent steps of ten layers, all 512 samples at once, held a gigabyte."""
    config = Config(dataset="latch", architecture="rnn", depth=4, width=32, sequence_length=60, activation="tanh")
    trainer = Trainer(config)
    found = sharpness(trainer, seconds=0)
    assert 100 < found.samples < 512
    assert sharpness(trainer, samples=3, seconds=0).samples == 3
    assert sharpness(Trainer(Config()), seconds=0).samples == 512


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda t: gradient_histogram(t, bins=0), "bins=0"),
        (lambda t: gradient_histogram(t, bins=2.5), "bins=2.5"),
        (lambda t: gradient_noise(t, micro_batches=1), "micro_batches=1"),
        (lambda t: gradient_noise(t).accumulated(0), "k=0"),
        (lambda t: sharpness(t, samples=0), "samples=0"),
        (lambda t: sharpness(t, iterations=True), "iterations=True"),
        (lambda t: sharpness(t, tol=0), "tol=0"),
    ],
)
def test_bad_numbers_are_named(call, field):
    with pytest.raises(ValueError, match=field):
        call(Trainer(Config(**TINY)))
