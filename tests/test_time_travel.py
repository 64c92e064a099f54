"""Rewind, stages and live knobs: the same bits whichever way a state is reached."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from gradlab import Config, CumulativeGradient, StepRecord, Trainer

COLUMNS = [name for name in StepRecord.__dataclass_fields__ if name != "seconds"]


def same_state(one, two):
    a, b = one.network.state_dict(), two.network.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def assert_same_history(one, two):
    for name in COLUMNS:
        np.testing.assert_array_equal(one.history.column(name), two.history.column(name), err_msg=name)


CONFIGS = {
    "plain": Config(n_samples=100, depth=3),
    "momentum and decay": Config(n_samples=100, depth=3, momentum=0.9, weight_decay=0.01),
    "adam": Config(n_samples=100, depth=3, optimizer="adam", lr=0.01),
    "adamw": Config(n_samples=100, depth=3, optimizer="adamw", lr=0.01),
    "rmsprop": Config(n_samples=100, depth=3, optimizer="rmsprop", lr=0.001, momentum=0.5),
    "batch norm": Config(n_samples=100, depth=3, norm="batch"),
    "running sum": Config(n_samples=100, depth=3, carry_over="running_sum", lr=0.001),
    "delayed": Config(n_samples=100, depth=3, carry_over="delayed"),
    "windows": Config(n_samples=100, depth=3, batch_size=8, accumulation="mean", accumulation_steps=5),
    "clipped": Config(n_samples=100, depth=3, clip="agc", clip_threshold=0.01),
}


def states_of_a_fresh_run(trainer, steps, moves=()):
    """Run without looking back and keep the state after each of some steps."""
    kept = {}
    for step in sorted(steps):
        move(trainer, moves, step)
        kept[step] = copy.deepcopy(trainer.network.state_dict())
    return kept


def has_state(trainer, state):
    mine = trainer.network.state_dict()
    return mine.keys() == state.keys() and all(torch.equal(mine[name], value) for name, value in state.items())


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_rewind_gives_the_state_after_that_many_steps_bit_for_bit(config):
    trainer, fresh = Trainer(config), Trainer(config)
    steps = (40, 33, 23, 16, 15, 1, 0)
    kept = states_of_a_fresh_run(fresh, steps)
    trainer.run(40)
    for step in steps:
        trainer.rewind(step)
        assert has_state(trainer, kept[step]), step
        assert trainer.step_count == step
        assert len(trainer.history) == step
    trainer.run(40)
    assert same_state(trainer, fresh)
    assert_same_history(trainer, fresh)


def move(trainer, moves, until):
    """Run to step `until`, moving knobs before the steps where they are due."""
    while trainer.step_count < until:
        for step, knobs in moves:
            if step == trainer.step_count:
                trainer.reconfigure(**knobs)
        trainer.step()


MOVES = [
    (0, {"momentum": 0.5}),
    (3, {"lr": 0.2}),
    (3, {"lr": 0.01, "batch_size": 10}),
    (9, {"accumulation": "mean", "accumulation_steps": 3}),
    (16, {"carry_over": "running_sum", "lr": 0.001}),
    (20, {"clip": "global_norm", "clip_threshold": 0.1}),
    (25, {"carry_over": "none", "weight_decay": 0.01}),
    (31, {"clip_order": "each_micro_batch", "nonfinite": "skip"}),
]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_rewind_replays_the_knobs_that_were_moved(optimizer):
    config = Config(n_samples=100, depth=3, optimizer=optimizer)
    trainer, fresh = Trainer(config), Trainer(config)
    steps = (39, 32, 22, 17, 16, 15, 8, 3, 2, 0)
    kept = states_of_a_fresh_run(fresh, steps, MOVES)
    move(trainer, MOVES, 40)
    for step in steps:
        trainer.rewind(step)
        assert has_state(trainer, kept[step]), step
    move(trainer, MOVES[1:], 39)  # the move before step 0 stays in force
    assert same_state(trainer, fresh)
    assert_same_history(trainer, fresh)
    assert trainer.history.marks == fresh.history.marks


def test_a_knob_moved_before_a_step_is_in_force_there_after_a_rewind():
    trainer = Trainer(Config(n_samples=100, depth=3))
    move(trainer, MOVES, 40)
    trainer.rewind(16)
    expected = {"momentum": 0.5, "lr": 0.001, "batch_size": 10, "accumulation": "mean", "accumulation_steps": 3}
    assert trainer.config == Config(n_samples=100, depth=3, carry_over="running_sum", **expected)
    trainer.rewind(15)
    assert (trainer.config.carry_over, trainer.config.lr) == ("none", 0.01)


@pytest.mark.parametrize("at", [0, 5, 16, 20])
def test_a_carry_over_switched_off_and_on_before_one_step_is_replayed(at):
    config = Config(n_samples=100, depth=3, carry_over="running_sum", lr=0.001)
    moves = [(at, {"carry_over": "none"}), (at, {"carry_over": "running_sum"})]
    trainer, fresh = Trainer(config), Trainer(config)
    move(trainer, moves, 30)
    move(fresh, moves, 25)
    trainer.rewind(25)
    assert same_state(trainer, fresh)


def test_rewinding_twice_and_forth_and_back_is_the_same_run():
    trainer, fresh = Trainer(CONFIGS["adam"]), Trainer(CONFIGS["adam"])
    trainer.run(50)
    trainer.rewind(33)
    trainer.rewind(7)
    trainer.run(30)
    trainer.rewind(20)
    trainer.run(10)
    fresh.run(30)
    assert same_state(trainer, fresh)
    assert_same_history(trainer, fresh)


def test_a_run_after_a_rewind_can_take_another_turn():
    trainer, fresh = Trainer(CONFIGS["plain"]), Trainer(CONFIGS["plain"])
    trainer.run(30)
    trainer.reconfigure(lr=0.5)
    trainer.run(10)
    trainer.rewind(20)
    assert trainer.config.lr == 0.05  # the move at step 30 has not happened
    trainer.reconfigure(lr=0.2)
    fresh.run(20)
    fresh.reconfigure(lr=0.2)
    for one in (trainer, fresh):
        one.run(10)
    assert same_state(trainer, fresh)
    assert [m.text for m in trainer.history.marks] == ["lr 0.05 -> 0.2"]


def test_a_rewind_forgets_the_knobs_moved_after_it():
    trainer, fresh = Trainer(CONFIGS["plain"]), Trainer(CONFIGS["plain"])
    trainer.run(30)
    trainer.reconfigure(lr=0.5)
    trainer.run(5)
    trainer.rewind(20)
    trainer.run(15)
    trainer.rewind(31)  # past the step at which the learning rate was moved in the stretch that is gone
    fresh.run(31)
    assert trainer.config.lr == 0.05
    assert same_state(trainer, fresh)
    assert_same_history(trainer, fresh)


class Drawing(nn.Module):
    """A network of one's own with dropout, batch norm and a running total."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Linear(2, 8), nn.BatchNorm1d(8)
        self.drop, self.total, self.last = nn.Dropout(0.3), CumulativeGradient(), nn.Linear(8, 2)

    def forward(self, x):
        return self.last(self.total(self.drop(torch.relu(self.norm(self.first(x))))))


@pytest.mark.parametrize("step", [0, 5, 16, 29])
def test_rewind_is_bit_exact_with_dropout_batch_norm_and_a_running_total_of_ones_own(step):
    network = Drawing()
    config = Config(n_samples=96, lr=0.001, optimizer="adam")
    trainer, fresh = (Trainer(config, network=network) for _ in range(2))
    trainer.run(30)
    fresh.run(step)
    trainer.rewind(step)
    trainer.run(4)
    fresh.run(4)
    assert same_state(trainer, fresh)
    assert_same_history(trainer, fresh)


@pytest.mark.parametrize("step", [3, 10, 25])
def test_rewind_is_bit_exact_through_skipped_steps(step):
    """A loss that is infinite on micro-batches with a certain sample: those steps are skipped, again on replay."""

    def loss(output, y):
        bad = (y == 7).any()
        return (output - y).square().mean() * (float("inf") if bad else 1.0)

    data = torch.linspace(-1, 1, 20)[:, None], torch.arange(20.0)
    config = Config(depth=1, batch_size=4, nonfinite="skip", optimizer="adam", norm="batch", lr=0.001)
    trainer, fresh = (Trainer(config, data=data, loss=loss) for _ in range(2))
    trainer.run(30)
    assert 0 < (trainer.history.column("applied") == 0).sum() < 30
    fresh.run(step)
    trainer.rewind(step)
    trainer.run(5)
    fresh.run(5)
    assert same_state(trainer, fresh)
    assert_same_history(trainer, fresh)
    assert trainer.history.marks == fresh.history.marks


def test_rewind_after_a_divergence_gives_the_last_finite_state():
    trainer = Trainer(Config(depth=3, lr=1e30))
    trainer.run(100)
    stopped = trainer.history.diverged.step
    trainer.rewind(stopped)
    assert trainer.history.diverged is None
    assert not trainer.stopped
    assert all(torch.isfinite(p).all() for p in trainer.network.parameters())
    assert len(trainer.history) == stopped
    fresh = Trainer(Config(depth=3, lr=1e30))
    fresh.run(stopped)
    assert same_state(trainer, fresh)


@pytest.mark.parametrize("step", [-1, 11, 2.5, "3", None, True])
def test_rewind_wants_a_step_that_was_taken(step):
    trainer = Trainer(Config(depth=1))
    trainer.run(10)
    with pytest.raises(ValueError, match=r"step=.*; expected (a whole number >= 0|at most 10)"):
        trainer.rewind(step)
    assert len(trainer.history) == 10


def test_rewinding_to_the_present_changes_nothing():
    trainer = Trainer(CONFIGS["adam"])
    trainer.run(10)
    before = copy.deepcopy(trainer.network.state_dict())
    trainer.rewind(10)
    assert all(torch.equal(before[name], value) for name, value in trainer.network.state_dict().items())
    assert len(trainer.history) == 10


def test_a_long_run_can_still_go_far_back():
    config = Config(n_samples=40, depth=1, width=4, optimizer="adam", lr=0.01)
    trainer, fresh = Trainer(config), Trainer(config)
    trainer.run(600)
    for step in (599, 400, 130, 3):
        trainer.rewind(step)
    fresh.run(3)
    assert same_state(trainer, fresh)


def test_knobs_moved_thousands_of_times_are_forgotten_far_back_with_a_clear_error():
    trainer = Trainer(Config(n_samples=8, depth=0, batch_size=8))
    trainer.run(20)
    for _ in range(2100):
        trainer.reconfigure(carry_over="delayed")
        trainer.reconfigure(carry_over="none")
    trainer.run(1)
    with pytest.raises(
        ValueError, match=r"step=5: the knobs moved before it are forgotten; expected one of \[0, 16\]"
    ):
        trainer.rewind(5)
    assert len(trainer.history) == 21
    trainer.rewind(16)
    trainer.rewind(0)
    assert len(trainer.history) == 0


# ---------------------------------------------------------------------- stages
STAGED = {
    "one micro-batch": Config(n_samples=61, depth=3, norm="batch"),
    "four": Config(n_samples=61, depth=3, batch_size=8, accumulation="mean", accumulation_steps=4, optimizer="adam"),
    "clipped each": Config(
        n_samples=61,
        depth=3,
        batch_size=8,
        accumulation="sum",
        accumulation_steps=4,
        clip="global_norm",
        clip_threshold=0.1,
        clip_order="each_micro_batch",
        carry_over="running_sum",
        lr=0.001,
    ),
}


@pytest.mark.parametrize("config", STAGED.values(), ids=STAGED)
def test_a_step_in_slow_motion_is_the_same_step(config):
    slow, fast = Trainer(config), Trainer(config)
    for _ in range(9):
        record = list(slow.stages())[-1].record
        assert record.step == fast.step().step
    assert same_state(slow, fast)
    assert_same_history(slow, fast)


def test_the_stages_come_in_the_order_of_the_pipeline():
    trainer = Trainer(STAGED["four"])
    stages = list(trainer.stages())
    names = [(s.name, s.micro_batch) for s in stages]
    expected = [(name, m) for m in (1, 2, 3, 4) for name in ("forward", "backward")]
    assert names == [*expected, ("accumulate", 4), ("clip", 4), ("update", 4)]
    assert [s.samples for s in stages] == [8] * 8 + [32] * 3
    assert all(s.micro_batches == 4 for s in stages)
    assert [s.record is None for s in stages] == [True] * 10 + [False]


def test_a_stage_measures_the_micro_batch_and_the_sum_so_far(plain_network):
    trainer = Trainer(STAGED["four"].replace(dtype="float64"))
    network, data = plain_network(trainer), trainer.data
    weights = [p for p in network.parameters() if p.dim() == 2]
    rows = torch.randperm(61, generator=torch.Generator().manual_seed(0))[:32].split(8)
    so_far = [torch.zeros_like(w) for w in weights]
    stages = trainer.stages()
    for part in rows:
        loss = nn.functional.cross_entropy(network(data.x[part]), data.y[part])
        gradients = torch.autograd.grad(loss, weights)
        so_far = [s + g / 4 for s, g in zip(so_far, gradients, strict=True)]
        forward, backward = next(stages), next(stages)
        assert forward.loss == backward.loss == pytest.approx(loss.item(), rel=1e-12)  # float64
        assert backward.grad_norm == pytest.approx([float(g.norm()) for g in gradients], rel=1e-12)
        assert backward.partial_norm == pytest.approx([float(g.norm()) for g in so_far], rel=1e-12)
    accumulated = next(stages)
    assert accumulated.grad_norm == pytest.approx([float(g.norm()) for g in so_far], rel=1e-12)


def test_before_the_first_backward_there_is_no_gradient_to_measure():
    first = next(Trainer(Config(depth=2)).stages())
    assert first.name == "forward"
    assert np.isnan(first.grad_norm).all()
    assert np.isnan(first.partial_norm).all()


@pytest.mark.parametrize("count", range(1, 11))
def test_a_step_abandoned_at_any_stage_leaves_no_trace(count):
    config = STAGED["four"].replace(norm="batch", clip="global_norm", carry_over="running_sum", lr=0.001)
    trainer, fresh = Trainer(config), Trainer(config)
    trainer.run(3)
    fresh.run(3)
    stages = trainer.stages()
    for _ in range(count):
        next(stages)
    trainer.step()  # instead of finishing the step
    fresh.step()
    assert list(stages) == []
    assert same_state(trainer, fresh)
    assert_same_history(trainer, fresh)


def test_stages_abandoned_by_rewind_reconfigure_or_garbage_leave_no_trace():
    config = STAGED["one micro-batch"]
    fresh = Trainer(config)
    fresh.run(4)
    for abandon in (
        lambda t: t.rewind(3),
        lambda t: t.reconfigure(lr=config.lr),
        lambda t: t.stages(),
        lambda t: list(t.stages())[:0] and None,
    ):
        trainer = Trainer(config)
        trainer.run(3)
        stages = trainer.stages()
        for _ in range(3):
            next(stages)
        abandon(trainer)
        del stages
        trainer.run(4 - trainer.step_count)
        assert same_state(trainer, fresh)


def test_an_exception_in_the_middle_of_a_step_leaves_no_trace():
    class Fragile(Drawing):
        broken = False

        def forward(self, x):
            out = super().forward(x)
            if self.broken:
                raise KeyboardInterrupt
            return out

    config = Config(n_samples=96, batch_size=16, accumulation="mean", accumulation_steps=2, lr=0.001)
    network = Fragile()
    trainer, fresh = (Trainer(config, network=network) for _ in range(2))
    trainer.run(3)
    trainer.network.broken = True
    with pytest.raises(KeyboardInterrupt):
        trainer.step()
    trainer.network.broken = False
    trainer.run(2)
    fresh.run(5)
    assert same_state(trainer, fresh)
    assert_same_history(trainer, fresh)


# ---------------------------------------------------------------------- live knobs
@pytest.mark.parametrize(
    "knobs",
    [{"lr": 0.2}, {"momentum": 0.9}, {"weight_decay": 0.1}],
    ids=str,
)
def test_a_live_knob_takes_effect_at_the_next_step_as_in_torch(knobs, plain_network, plain_batches):
    trainer = Trainer(Config(n_samples=100, depth=2))
    network, data = plain_network(trainer), trainer.data
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
    batches, losses = plain_batches(100, 32), []
    for step in range(12):
        if step == 6:
            trainer.reconfigure(**knobs)
            optimizer.param_groups[0].update(knobs)
        trainer.step()
        rows = next(batches)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(network(data.x[rows]), data.y[rows])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert trainer.history.column("loss").tolist() == losses
    (mark,) = trainer.history.marks
    assert (mark.step, mark.kind) == (6, "knob")


def test_reconfigure_keeps_the_weights_and_marks_the_history():
    trainer = Trainer(Config(depth=2))
    trainer.run(3)
    before = copy.deepcopy(trainer.network.state_dict())
    trainer.reconfigure(lr=0.1, clip="agc")
    assert all(torch.equal(before[name], value) for name, value in trainer.network.state_dict().items())
    assert trainer.config == Config(depth=2, lr=0.1, clip="agc")
    assert [(m.step, m.kind, m.text) for m in trainer.history.marks] == [
        (3, "knob", "lr 0.05 -> 0.1, clip none -> agc")
    ]


def test_reconfiguring_to_what_is_leaves_no_mark():
    trainer = Trainer(Config(depth=1))
    trainer.reconfigure(lr=0.05)
    trainer.reconfigure()
    assert trainer.history.marks == ()


@pytest.mark.parametrize("knobs", [{"lr": -1}, {"clip": "nrom"}, {"lr": 0.1, "depth": 3}, {"lrr": 0.1}], ids=str)
def test_a_refused_knob_leaves_the_run_as_it_was(knobs):
    trainer = Trainer(Config(depth=1))
    with pytest.raises(ValueError, match="expected"):
        trainer.reconfigure(**knobs)
    assert trainer.config == Config(depth=1)
    assert trainer.history.marks == ()


def test_a_batch_size_that_would_leave_batch_norm_one_sample_is_refused_before_and_during_a_run():
    with pytest.raises(
        ValueError, match=r"batch_size=9 leaves a last micro-batch of 1 of the 100 samples.*norm='batch'"
    ):
        Trainer(Config(n_samples=100, batch_size=9, norm="batch", depth=1))
    trainer = Trainer(Config(n_samples=100, batch_size=10, norm="batch", depth=1))
    trainer.step()  # 90 samples are left in this epoch: none over in 30s, one over in 89s
    with pytest.raises(ValueError, match="batch_size=89 leaves a last micro-batch of 1 of the 90 samples"):
        trainer.reconfigure(batch_size=89)
    trainer.reconfigure(batch_size=30)
    trainer.run(10)
    trainer.step()
