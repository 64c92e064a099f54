"""Accumulated against one batch: the measured difference against plain PyTorch, and the reason given."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import gradlab
from gradlab import ACCUMULATIONS, Config, CumulativeGradient, Equality, Trainer, accumulation_equality

TOLERANCE = {"float32": 3e-6, "float64": 6e-15}  # as SEMANTICS promises of `mean`
EVEN = {"depth": 3, "width": 16, "activation": "tanh", "n_samples": 64, "batch_size": 16}
UNEVEN = {**EVEN, "n_samples": 61}  # 16 + 16 + 16 + 13


def plain_gradients(network, data, micro_batches, scale):
    """Let PyTorch add up ``scale(n) * loss`` of each micro-batch in .grad."""
    network = copy.deepcopy(network)
    network.zero_grad()
    for rows in micro_batches:
        (F.cross_entropy(network(data.x[rows]), data.y[rows]) * scale(len(rows))).backward()
    return [p.grad for p in network.parameters()]


def plain_difference(trainer, scale):
    """Return the worst relative difference of a tensor, computed by PyTorch alone."""
    rows = torch.randperm(trainer.data.n, generator=torch.Generator().manual_seed(0))
    parts = rows.split(trainer.config.batch_size)[: trainer.config.accumulation_steps]
    found = plain_gradients(trainer.network, trainer.data, parts, scale)
    large = plain_gradients(trainer.network, trainer.data, [torch.cat(parts)], lambda n: 1.0)
    return max(float((a - b).norm() / b.norm()) for a, b in zip(found, large, strict=True))


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("knobs", [EVEN, UNEVEN])
def test_the_mean_over_samples_is_one_batch_for_even_and_uneven_micro_batches(knobs, dtype):
    trainer = Trainer(Config(**knobs, accumulation="mean", dtype=dtype))
    found = accumulation_equality(trainer)
    assert (found.equal, found.causes, found.reason) == (True, (), "")
    assert 0 <= found.relative_difference <= TOLERANCE[dtype]
    assert plain_difference(trainer, lambda n: n / knobs["n_samples"]) <= TOLERANCE[dtype]
    assert (found.samples, found.micro_batches) == (knobs["n_samples"], 4)


@pytest.mark.parametrize(
    ("rule", "knobs", "scale", "causes"),
    [
        ("sum", EVEN, lambda n: 1.0, ("sum",)),
        ("sum", UNEVEN, lambda n: 1.0, ("sum", "uneven")),
        ("naive_mean", UNEVEN, lambda n: 0.25, ("uneven",)),
    ],
)
def test_the_difference_is_the_one_that_pytorch_leaves_in_grad_and_the_rule_is_the_reason(rule, knobs, scale, causes):
    trainer = Trainer(Config(**knobs, accumulation=rule))
    found = accumulation_equality(trainer)
    assert found.relative_difference == pytest.approx(plain_difference(trainer, scale), rel=1e-4)
    assert (found.equal, found.causes) == (False, causes)
    if rule == "sum" and knobs is EVEN:
        assert found.relative_difference == pytest.approx(3, rel=1e-5)  # 4 times the mean is 3 too much
        assert found.reason == "a sum of 4, not divided: 4 times the mean"


def test_the_naive_mean_of_even_micro_batches_is_one_batch():
    assert accumulation_equality(Trainer(Config(**EVEN, accumulation="naive_mean"))).equal


def test_without_accumulation_and_with_one_micro_batch_there_is_nothing_to_differ():
    for knobs in ({"accumulation": "none"}, {"accumulation": "sum", "accumulation_steps": 1}):
        found = accumulation_equality(Trainer(Config(**EVEN, **knobs)))
        assert (found.equal, found.relative_difference, found.micro_batches) == (True, 0.0, 1)


def test_batch_norm_sees_the_micro_batch_and_layer_norm_does_not():
    found = accumulation_equality(Trainer(Config(**EVEN, accumulation="mean", norm="batch")))
    assert (found.equal, found.causes) == (False, ("batch_norm",))
    assert found.relative_difference > 0.01
    assert accumulation_equality(Trainer(Config(**EVEN, accumulation="mean", norm="layer"))).equal


def test_clipping_each_micro_batch_is_told_only_where_it_cuts():
    early = {**EVEN, "accumulation": "mean", "clip": "global_norm", "clip_order": "each_micro_batch"}
    trainer = Trainer(Config(**early, clip_threshold=0.05))
    found = accumulation_equality(trainer)
    assert (found.equal, found.causes) == (False, ("clip",))
    network, parts = copy.deepcopy(trainer.network), trainer.next_window().micro_batches
    network.zero_grad()
    for rows in parts:
        (F.cross_entropy(network(trainer.data.x[rows]), trainer.data.y[rows]) / 4).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 0.05)
    running = [p.grad.clone() for p in network.parameters()]
    network.zero_grad()
    rows = torch.cat(parts)
    F.cross_entropy(network(trainer.data.x[rows]), trainer.data.y[rows]).backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 0.05)
    pairs = zip(running, network.parameters(), strict=True)
    assert found.relative_difference == pytest.approx(
        max(float((a - p.grad).norm() / p.grad.norm()) for a, p in pairs), rel=1e-3
    )
    assert accumulation_equality(Trainer(Config(**early, clip_threshold=100.0))).equal
    assert accumulation_equality(Trainer(Config(**{**early, "clip_order": "after"}, clip_threshold=0.05))).equal


class Dropping(nn.Module):
    def __init__(self, *middle):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 16), *middle, nn.Tanh(), nn.Linear(16, 2))

    def forward(self, x):
        return self.layers(x)


@pytest.mark.parametrize(
    ("middle", "causes"),
    [
        ((nn.Dropout(0.5),), ("dropout",)),
        ((nn.BatchNorm1d(16),), ("batch_norm",)),
        ((nn.BatchNorm1d(16), nn.Dropout(0.5)), ("batch_norm", "dropout")),
        ((nn.LayerNorm(16),), ()),
    ],
)
def test_an_own_network_with_dropout_or_batch_norm_is_told_so(middle, causes):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Dropping(*middle)
    trainer = Trainer(Config(n_samples=64, batch_size=16, accumulation="mean"), network=network)
    found = accumulation_equality(trainer)
    assert (found.equal, found.causes) == (not causes, causes)


def test_a_loss_that_is_no_mean_is_told_so():
    x = torch.linspace(-1, 1, 64).reshape(-1, 2)
    trainer = Trainer(
        Config(depth=2, width=8, activation="tanh", batch_size=8, accumulation="mean"),
        data=(x, x[:, :1].sin()),
        loss=lambda output, y: ((output - y) ** 2).sum(),
    )
    found = accumulation_equality(trainer)
    assert found.causes == ("coupled",)
    assert found.relative_difference == pytest.approx(0.75, rel=1e-3)  # each sum is of a quarter of the samples


def test_the_articles_layer_carries_gradients_from_pass_to_pass():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(2, 8), CumulativeGradient(), nn.Tanh(), nn.Linear(8, 2))
    trainer = Trainer(Config(n_samples=64, batch_size=16, accumulation="mean"), network=network)
    trainer.step()
    found = accumulation_equality(trainer)
    assert (found.equal, found.causes) == (False, ("cumulative",))


def test_a_gradient_that_is_not_finite_cannot_be_compared():
    data = (torch.full((64, 2), 1e38), torch.arange(64) % 2)
    config = Config(**{**EVEN, "activation": "relu"}, init="normal", gain=100.0, accumulation="mean")
    found = accumulation_equality(Trainer(config, data=data))
    assert math.isnan(found.relative_difference)
    assert (found.equal, found.causes, found.reason) == (False, ("nonfinite",), "a gradient is not finite")


def test_rounding_of_gradients_near_underflow_is_told_from_a_real_difference():
    vanishing = Config(depth=50, activation="sigmoid", init="normal", gain=0.5, accumulation="mean", batch_size=8)
    found = accumulation_equality(Trainer(vanishing))
    assert (found.equal, found.causes) == (False, ("rounding",))
    assert found.in_float64 < 6e-15 < 1e-3 < found.relative_difference
    assert found.reason.startswith("only rounding, of gradients too small or cancelling: ")
    assert accumulation_equality(Trainer(vanishing.replace(accumulation="sum"))).causes == ("sum",)
    assert accumulation_equality(Trainer(vanishing.replace(dtype="float64"))).equal


@pytest.mark.parametrize(
    "knobs",
    [
        {"norm": "batch", "optimizer": "adam"},
        {"accumulation": "sum", "carry_over": "running_sum", "lr": 0.001},
        {"clip": "agc", "clip_threshold": 0.01, "clip_order": "each_micro_batch"},
        {"clip": "value", "clip_threshold": 0.001, "clip_order": "each_micro_batch", "dtype": "float64"},
    ],
)
def test_a_run_that_was_looked_at_is_the_run_that_was_not_bit_for_bit(knobs, untouched_rng):
    runs = []
    for looked in (False, True):
        trainer = Trainer(Config(**{**UNEVEN, "accumulation": "mean", **knobs}))
        for _ in range(6):
            if looked:
                accumulation_equality(trainer)
            trainer.step()
        runs.append(trainer)
    plain, looked = runs
    assert plain.history.column("loss").tolist() == looked.history.column("loss").tolist()
    for mine, theirs in zip(plain.network.state_dict().values(), looked.network.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)


def test_a_half_step_goes_on_after_a_look():
    trainer = Trainer(Config(**EVEN, accumulation="mean"))
    walk = trainer.stages()
    next(walk)
    accumulation_equality(trainer)
    assert [stage.name for stage in walk][-1] == "update"


def test_every_accumulation_rule_gets_a_verdict_with_a_reason_or_none_is_needed():
    for rule in ACCUMULATIONS:
        found = accumulation_equality(Trainer(Config(**UNEVEN, accumulation=rule)))
        assert isinstance(found, Equality)
        assert found.equal == (found.reason == "")
    assert gradlab.Equality is Equality


# ---------------------------------------------------------------------- the badge
