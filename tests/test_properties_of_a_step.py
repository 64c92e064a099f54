"""A whole step on losses from 1e-40 to 1e30, zero, infinite and NaN: finite numbers that are right, or the mark."""

import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gradlab import ACCUMULATIONS, CARRY_OVERS, CLIPS, Config, Trainer
from gradlab.history import PER_LAYER, SCALARS

DRAWS = settings(max_examples=40, deadline=None, derandomize=True, database=None)


def bits(trainer):
    return [p.detach().clone() for p in trainer.network.parameters()]


@st.composite
def runs(draw, nonfinite="stop"):
    """A config of every pipeline, on own data of 2 to 40 samples with an uneven tail now and then."""
    return (
        Config(
            depth=draw(st.integers(0, 4)), width=draw(st.integers(1, 9)), activation=draw(st.sampled_from(
                ["linear", "relu", "tanh", "sigmoid", "gelu"])),
            accumulation=draw(st.sampled_from(list(ACCUMULATIONS))), accumulation_steps=draw(st.integers(1, 5)),
            batch_size=draw(st.integers(1, 12)), carry_over=draw(st.sampled_from(list(CARRY_OVERS))),
            clip=draw(st.sampled_from(list(CLIPS))), clip_threshold=10.0 ** draw(st.integers(-6, 6)),
            clip_order=draw(st.sampled_from(["after", "each_micro_batch"])), nonfinite=nonfinite,
            lr=draw(st.sampled_from([0.0, 1e-12, 0.05])), weight_seed=draw(st.integers(0, 2**31)),
            dtype=draw(st.sampled_from(["float32", "float64"])),
        ),
        draw(st.integers(2, 40)),
    )  # fmt: skip


def scaled(factor):
    return lambda output, y: factor * (output - y).square().mean()


def trainer_of(config, n, loss):
    generator = torch.Generator().manual_seed(n)
    x, y = (torch.randn(n, c, generator=generator, dtype=torch.float64) for c in (3, 2))
    return Trainer(config, data=(x, y), loss=loss)


def reference_norms(trainer, factor):
    """Norm of each layer's accumulated gradient, from float64 autograd of the same loss with factor 1, scaled."""
    config, network = trainer.config, trainer.network.double()
    x, y = trainer.data.x.double(), trainer.data.y.double()
    rows = torch.randperm(len(x), generator=torch.Generator().manual_seed(config.batch_seed))
    count = 1 if config.accumulation == "none" else config.accumulation_steps
    parts = rows[: config.batch_size * count].split(config.batch_size)
    total = sum(len(p) for p in parts)
    weights = {"mean": lambda p: len(p) / total, "naive_mean": lambda p: 1 / len(parts)}
    layers = [linear.weight for linear in network.linears]
    found = [torch.zeros_like(w) for w in layers]
    for part in parts:
        loss = (network(x[part]) - y[part]).square().mean() * weights.get(config.accumulation, lambda p: 1.0)(part)
        for total_gradient, g in zip(found, torch.autograd.grad(loss, layers), strict=True):
            total_gradient += g
    return [factor * float(g.norm()) for g in found]


@DRAWS
@given(runs(), st.integers(-40, 30))
def test_a_step_measures_the_gradient_that_there_is_or_says_that_there_is_none(run, exponent):
    config, n = run
    factor = 10.0**exponent
    trainer = trainer_of(config, n, scaled(factor))
    twin = trainer_of(config, n, scaled(1.0))
    before = bits(trainer)
    record = trainer.step()
    trouble = trainer.history.diverged
    if trouble is not None:
        assert trouble.step == 0
        assert not record.applied
        assert trouble.tensor in ("activation", "loss", "gradient", "weight")
        assert not math.isfinite(trouble.value)
        assert all(torch.equal(a, b) for a, b in zip(before, bits(trainer), strict=True))
        return
    numbers = [getattr(record, name) for name in SCALARS]
    numbers += [v for name in PER_LAYER for v in getattr(record, name)]
    assert np.isfinite(numbers).all()
    assert all(torch.isfinite(p).all() for p in trainer.network.parameters())
    # float32: a few hundred roundings of 6e-8, and of 1.4e-45 where numbers are subnormal, the scale itself included
    tolerance, floor = (2e-4 + 1.4e-45 / factor, 1.4e-42) if config.dtype == "float32" else (1e-9, 0.0)
    expected = reference_norms(twin, factor)
    cancelled = tolerance * max(expected)  # a sum over micro-batches may cancel
    np.testing.assert_allclose(record.grad_norm, expected, rtol=tolerance, atol=cancelled + floor)


@DRAWS
@given(runs(), st.sampled_from([math.nan, math.inf, -math.inf]))
def test_a_loss_that_is_not_finite_is_marked_and_changes_nothing(run, value):
    config, n = run
    trainer = trainer_of(config, n, lambda output, y: output.square().mean() * 0 + value)
    before = bits(trainer)
    record = trainer.step()
    trouble = trainer.history.diverged
    assert (trouble.step, trouble.layer, trouble.tensor) == (0, None, "loss")
    assert not record.applied
    assert trainer.stopped
    assert all(torch.equal(a, b) for a, b in zip(before, bits(trainer), strict=True))
    trainer.rewind(0)
    assert trainer.history.diverged is None
    assert len(trainer.history) == 0


class Poison(torch.autograd.Function):
    """Identity forward; the gradient of one entry is not finite."""

    @staticmethod
    def forward(ctx, x, value):
        ctx.value = value
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        gradient = gradient.clone()
        gradient.view(-1)[0] = ctx.value
        return gradient, None


@DRAWS
@given(runs(), st.sampled_from([math.nan, math.inf, -math.inf]))
def test_a_gradient_that_is_not_finite_is_marked_before_a_clip_can_hide_it(run, value):
    """clip_grad_norm_ would turn one infinity into zeros and a NaN, and carry on."""
    config, n = run
    trainer = trainer_of(config, n, lambda output, y: (Poison.apply(output, value) - y).square().mean())
    before = bits(trainer)
    record = trainer.step()
    assert trainer.history.diverged.tensor == "gradient"
    assert trainer.history.diverged.layer == config.depth + 1  # the output layer meets it first
    assert not record.applied
    assert not math.isfinite(record.total_norm)
    assert all(torch.equal(a, b) for a, b in zip(before, bits(trainer), strict=True))


@DRAWS
@given(runs(nonfinite="skip"), st.sampled_from([math.nan, math.inf]))
def test_a_skipped_step_leaves_the_weights_and_a_mark(run, value):
    config, n = run
    trainer = trainer_of(config, n, lambda output, y: output.square().mean() * 0 + value)
    before = bits(trainer)
    trainer.run(3)
    assert [r.applied for r in trainer.history] == [False] * 3
    assert [m.kind for m in trainer.history.marks] == ["skipped"] * 3
    assert all(torch.equal(a, b) for a, b in zip(before, bits(trainer), strict=True))


@DRAWS
@given(runs(), st.booleans())
def test_zero_gradients_are_exact_zeros_and_missing_ones_are_none(run, frozen):
    config, n = run
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    with torch.no_grad():
        for number, param in enumerate(network.parameters()):
            param.copy_(torch.randn(param.shape, generator=torch.Generator().manual_seed(number)))
    network[0].requires_grad_(not frozen)
    generator = torch.Generator().manual_seed(n)
    data = tuple(torch.randn(n, c, generator=generator) for c in (3, 2))
    trainer = Trainer(config, network=network, data=data, loss=lambda output, y: 0.0 * output.sum())
    record = trainer.step()
    assert record.grad_norm[1] == 0.0
    assert record.has_gradient.tolist() == [0.0 if frozen else 1.0, 1.0]
    assert math.isnan(record.grad_norm[0]) if frozen else record.grad_norm[0] == 0.0
    assert record.total_norm == 0.0
    assert record.clip_coef == 1.0
    assert trainer.history.diverged is None
