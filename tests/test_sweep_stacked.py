"""Stacked networks against one Trainer each: every rule, every optimizer, every way to diverge."""

import math

import numpy as np
import pytest
import torch

from gradlab import (
    ACCUMULATIONS,
    ACTIVATIONS,
    ARCHITECTURES,
    CARRY_OVERS,
    CLIPS,
    INITS,
    NORMS,
    OPTIMIZERS,
    Config,
    Trainer,
    build_network,
)
from gradlab.sweep import MEASURES, Sweep
from gradlab.sweep.mapped import StackedBatches, StackedNetwork

BASE = Config(
    dtype="float64",
    n_samples=60,  # four micro-batches of 16, the last one of 12: every epoch ends in a short tail
    batch_size=16,
    depth=4,
    width=8,
    init="normal",
    gain=1.2,
    activation="tanh",
)
STEPS = 10  # more than two epochs
CLOSE = 1e-6  # both add the same terms in another order; what rounding leaves grows along a chaotic run
LEARNED_BELOW = 0.3


def own_run(config, steps=STEPS, data=None):
    """Measure one network by a Trainer of its own, from nothing but its records."""
    trainer = Trainer(config, data=data)
    records = []
    trainer.run(steps, records.append)
    first, last = records[0], records[-1]
    skipped = [mark.step for mark in trainer.history.marks if mark.kind == "skipped"]
    diverged = trainer.history.diverged
    troubled = [diverged.step] if diverged else skipped
    found = trainer.evaluate()
    numbers = [last.loss, last.total_norm, *last.activation_std]
    fine = all(map(math.isfinite, numbers)) and last.step not in skipped and not trainer.stopped
    fine = fine and all(bool(torch.isfinite(p).all()) for p in trainer.network.parameters())
    with np.errstate(invalid="ignore"):  # at init "zeros" the signal is 0 / 0
        ratio = first.delta_norm[0] / first.delta_norm[config.depth - 1] if config.depth > 1 else math.nan
    return {
        "growth": ratio ** (1 / (config.depth - 1)) if config.depth > 1 else math.nan,
        "first_delta": first.delta_norm[0],
        "final_delta": last.delta_norm[0],
        "first_norm": first.total_norm,
        "final_norm": last.total_norm,
        "first_loss": first.loss,
        "final_loss": last.loss,
        "eval_loss": found["loss"],
        "accuracy": found.get("accuracy", math.nan),
        "survived": float(fine),
        "learned": float(fine and found["loss"] < LEARNED_BELOW),
        "diverged_at": float(troubled[0]) if troubled else math.nan,
        "clipped": sum(math.isfinite(r.clip_coef) and r.clip_coef != 1.0 for r in records) / len(records),
        "steps": float(len(records)),
    }


def assert_equal_to_own_runs(config, over, seeds=2, steps=STEPS, close=CLOSE, data=None):
    sweep = Sweep(config, over, steps=steps, seeds=seeds, data=data).run(progress=False)
    assert set(sweep.how.values()) == {"stacked"}
    assert not sweep.errors
    for number in range(sweep.grid.size):
        expected = own_run(sweep.grid.config_of(number), steps, data)
        outcome = sweep.outcome(number)
        for name in MEASURES:
            value = getattr(outcome, name)
            assert value == pytest.approx(expected[name], rel=close, abs=0, nan_ok=True), (name, number)
    return sweep


@pytest.mark.parametrize("accumulation", ACCUMULATIONS)
@pytest.mark.parametrize("carry_over", CARRY_OVERS)
def test_a_stacked_network_is_its_own_trainers_run_for_every_accumulation_and_carry_over(accumulation, carry_over):
    config = BASE.replace(accumulation=accumulation, carry_over=carry_over, accumulation_steps=3)
    assert_equal_to_own_runs(config, {"lr": [0.01, 0.05], "gain": [0.9, 1.2]})


def test_accumulation_rules_with_as_many_micro_batches_share_a_stack():
    rules = ["mean", "sum", "naive_mean"]
    sweep = Sweep(BASE.replace(accumulation_steps=4), {"accumulation": rules}, steps=STEPS, seeds=1)
    finished = [event.task.numbers for event in sweep.iterate() if event.task]
    assert finished == [(0, 1, 2)]
    for number, rule in enumerate(rules):
        expected = own_run(BASE.replace(accumulation_steps=4, accumulation=rule))
        assert sweep.outcome(number).final_loss == pytest.approx(expected["final_loss"], rel=CLOSE)


@pytest.mark.parametrize("order", ["after", "each_micro_batch"])
@pytest.mark.parametrize("clip", CLIPS)
def test_a_stacked_network_is_its_own_trainers_run_for_every_clip(clip, order):
    low, high = (0.005, 0.1) if clip == "agc" else (0.05, 0.5)
    config = BASE.replace(clip=clip, clip_order=order, accumulation="mean", accumulation_steps=2, lr=0.3)
    sweep = assert_equal_to_own_runs(config, {"clip_threshold": [low, high, 1e6]})
    shares = sweep.over_seeds("clipped")
    assert shares[2] == 0.0
    assert clip == "none" or shares[0] > 0.5


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("norm", NORMS)
def test_a_stacked_network_is_its_own_trainers_run_for_every_norm(norm, residual):
    assert_equal_to_own_runs(BASE.replace(norm=norm, residual=residual), {"gain": [0.5, 2.0], "lr": [0.02, 0.1]})


@pytest.mark.parametrize("weight_decay", [0.0, 0.05])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_stacked_network_is_its_own_trainers_run_for_every_optimizer(optimizer, momentum, weight_decay):
    config = BASE.replace(optimizer=optimizer, momentum=momentum, weight_decay=weight_decay)
    assert_equal_to_own_runs(config, {"lr": [0.001, 0.02], "gain": [0.9, 1.2]})


def test_networks_may_differ_in_momentum_and_weight_decay():
    config = BASE.replace(optimizer="sgd")
    assert_equal_to_own_runs(config, {"momentum": [0.3, 0.9], "weight_decay": [0.01, 0.1]}, seeds=1)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_stacked_network_is_its_own_trainers_run_for_every_activation(activation):
    assert_equal_to_own_runs(BASE.replace(activation=activation), {"gain": [0.8, 1.4]})


@pytest.mark.parametrize("init", INITS)
def test_a_stacked_network_is_its_own_trainers_run_for_every_init(init):
    """One output: equal weights would leave a classifier's backward signal nothing but rounding."""
    assert_equal_to_own_runs(BASE.replace(dataset="regression", init=init, bias_std=0.1), {"gain": [0.3, 0.6]})


@pytest.mark.parametrize("dataset", ["latch", "adding", "digits"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_stacked_network_is_its_own_trainers_run_for_every_architecture(architecture, dataset):
    config = BASE.replace(architecture=architecture, dataset=dataset, depth=2, sequence_length=9, heads=2)
    assert_equal_to_own_runs(config, {"gain": [0.9, 1.1]}, seeds=1, steps=5)


def test_a_learning_rate_that_warms_up_does_so_in_a_stack_too():
    assert_equal_to_own_runs(BASE.replace(warmup=6, optimizer="adam"), {"lr": [0.001, 0.02], "gain": [0.9, 1.2]})


@pytest.mark.parametrize("dataset", ["regression", "blobs", "article"])
def test_squared_errors_several_classes_and_a_tiny_data_set_are_stacked_too(dataset):
    assert_equal_to_own_runs(BASE.replace(dataset=dataset), {"gain": [0.8, 1.4]})


def test_networks_may_differ_in_data_noise_init_and_seeds():
    over = {"data_seed": [0, 5], "noise": [0.0, 0.3], "init": ["kaiming", "orthogonal"]}
    assert_equal_to_own_runs(BASE, over, seeds=[0, 7])


@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("depth", [0, 1])
def test_shallow_networks_have_no_growth_and_are_right_otherwise(depth, norm):
    assert_equal_to_own_runs(BASE.replace(depth=depth, norm=norm), {"lr": [0.01, 0.1]})


def test_own_data_are_stacked():
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(40, 3, 2, generator=generator), torch.randn(40, generator=generator)
    assert_equal_to_own_runs(BASE, {"gain": [0.8, 1.4]}, data=data)


@pytest.mark.parametrize("nonfinite", ["stop", "skip", "continue"])
@pytest.mark.parametrize("carry_over", ["none", "delayed", "running_sum"])
def test_each_network_diverges_at_its_own_step_and_by_its_own_rule(nonfinite, carry_over):
    """float64, so that the runs that stay finite can be compared; 1e200 makes losses, gradients, weights overflow."""
    config = BASE.replace(activation="relu", nonfinite=nonfinite, carry_over=carry_over)
    over = {"gain": [1.0, 1e30], "lr": [0.05, 1e100, 1e200, 1e300]}
    sweep = assert_equal_to_own_runs(config, over, seeds=1)
    survived = sweep.over_seeds("survived")
    assert survived[0, 0] == 1.0
    assert not survived.all()


@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_skipped_step_leaves_optimizer_and_batch_statistics_as_they_were(optimizer, norm):
    """One sample is so large that its loss overflows: in each epoch one step is skipped, the others are taken."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(60, 3, generator=generator, dtype=torch.float64)
    y = torch.randn(60, 1, generator=generator, dtype=torch.float64)
    y[7] = 1e200
    config = BASE.replace(
        nonfinite="skip", optimizer=optimizer, momentum=0.5, norm=norm, carry_over="delayed", lr=0.01
    )
    sweep = assert_equal_to_own_runs(config, {"gain": [0.8, 1.2]}, seeds=3, data=(x, y))
    assert len(set(sweep.column("diverged_at").ravel())) > 1  # each seed meets the sample at its own step


@pytest.mark.parametrize("carry_over", ["none", "delayed", "running_sum"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_an_update_that_overflows_is_undone_with_all_its_memory(optimizer, carry_over):
    """All samples but one are zeros and give no gradient at all; that one's update overflows, and is taken back.

    Momentum or a carry-over that kept its gradient would overflow again at every later step.
    """
    x, y = torch.zeros(60, 2, dtype=torch.float64), torch.zeros(60, 1, dtype=torch.float64)
    x[7], y[7] = 1.0, 1e150
    config = BASE.replace(nonfinite="skip", optimizer=optimizer, momentum=0.9, carry_over=carry_over, lr=1e170)
    assert_equal_to_own_runs(config, {"gain": [0.8, 1.2]}, seeds=3, data=(x, y))


def test_a_skipped_step_leaves_the_running_statistics_of_batch_norm_as_they_were():
    """One sample overflows in the first matrix; tanh bounds it in evaluation, where the running statistics count."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(60, 12, generator=generator, dtype=torch.float64)
    x[7] = 1.7e308
    data = x, (x[:, 0] > 0).long()
    config = BASE.replace(nonfinite="skip", norm="batch", init="xavier_uniform")
    sweep = assert_equal_to_own_runs(config, {"gain": [0.8, 0.9]}, seeds=3, data=data)
    assert np.isfinite(sweep.column("diverged_at")).any()
    assert np.isfinite(sweep.column("eval_loss")).all()


def test_an_infinite_output_is_seen_although_loss_and_gradient_are_finite():
    """The wrong class's logit is -inf, the right one's finite: the loss is 0, and so is its gradient."""
    config = BASE.replace(depth=0, n_samples=16)
    network = build_network(config, 12, 2, torch.Generator().manual_seed(0), torch.float64)
    wrong, right = network.linears[0].weight.detach()
    direction = -(wrong - right * (wrong @ right) / (right @ right))
    x = torch.zeros(16, 12, dtype=torch.float64)
    x[3] = 1.7e308 * direction / direction.abs().max()
    data = x, torch.ones(16, dtype=torch.long)
    assert np.isneginf(float(x[3] @ wrong))
    assert np.isfinite(float(x[3] @ right))
    sweep = assert_equal_to_own_runs(config, {"lr": [0.1, 0.2]}, seeds=1, data=data)
    assert sweep.column("diverged_at").tolist() == [[0.0], [0.0]]
    assert np.isfinite(sweep.column("first_loss")).all()


def test_finite_weights_whose_sum_overflows_are_no_divergence():
    data = torch.zeros(16, 2), torch.arange(16) % 2
    config = BASE.replace(dtype="float32", init="constant", gain=2e38, n_samples=16, lr=0.0)
    sweep = assert_equal_to_own_runs(config, {"clip_threshold": [1.0, 2.0]}, seeds=1, data=data)
    assert (sweep.column("survived") == 1.0).all()


def test_float32_networks_diverge_at_the_steps_their_trainers_do():
    config = BASE.replace(dtype="float32", activation="relu", depth=12)
    sweep = Sweep(config, {"gain": [1.4, 3.0, 10.0, 1e4], "lr": [0.1, 1.0]}, steps=STEPS, seeds=3).run(progress=False)
    for number in range(sweep.grid.size):
        expected = own_run(sweep.grid.config_of(number))
        assert sweep.outcome(number).diverged_at == pytest.approx(expected["diverged_at"], nan_ok=True)
        if math.isfinite(expected["first_norm"]):  # 1e-5: float32's digits, after a sum of some hundred terms
            assert sweep.outcome(number).first_norm == pytest.approx(expected["first_norm"], rel=1e-5)


def test_growth_is_seen_where_float32_squares_would_underflow_or_overflow():
    """A linear net of equal weights: |delta| changes by exactly width * weight per layer."""
    config = BASE.replace(dataset="regression", dtype="float32", activation="linear", init="constant", depth=9)
    sweep = Sweep(config, {"gain": [1e-4, 1.0, 10.0]}, steps=0, seeds=2).run(progress=False)
    expected = [8e-4, 8.0, 80.0]
    assert sweep.over_seeds("growth") == pytest.approx(expected, rel=1e-5)  # float32's digits
    assert sweep.over_seeds("first_delta")[0] < 1e-23  # below what a float32 norm can tell from 0


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_stacked_weights_are_bit_for_bit_those_of_build_network(norm, dtype):
    config = BASE.replace(norm=norm, dtype=dtype, bias_std=0.1)
    configs = [config.replace(gain=g, init=i, weight_seed=s) for g, i, s in ((1, "normal", 0), (0.3, "xavier", 4))]
    batches = StackedBatches([config] * 2, None, None)
    stacked = StackedNetwork(configs, batches)
    inputs, outputs = batches.first.x.shape[1], batches.first.outputs
    for number, one in enumerate(configs):
        generator = torch.Generator().manual_seed(one.weight_seed)
        network = build_network(one, inputs, outputs, generator, one.torch_dtype)
        for row, param in zip(stacked.views(stacked.weights), network.parameters(), strict=True):
            assert torch.equal(row[number], param)
