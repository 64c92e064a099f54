"""Several configs in lockstep: paired lanes, what differs, who is ahead."""

import numpy as np
import pytest
import torch

from gradlab import Config, Divergence, History, StepRecord, Trainer
from gradlab.compare import compare, differences, differing, who_is_ahead
from gradlab.history import PER_LAYER, SCALARS

SMALL = Config(depth=3, width=8, n_samples=64, batch_size=16)


def history_of(losses, samples=16, diverged=None):
    made = History(["layer 1"])
    for step, loss in enumerate(losses):
        values = dict.fromkeys(SCALARS, 1.0) | {"step": step, "loss": loss, "samples": samples * (step + 1)}
        made.append(StepRecord(**(values | {name: np.ones(1) for name in PER_LAYER} | {"applied": True})))
    made.diverged = diverged
    return made


# ---------------------------------------------------------------------- lanes
@pytest.mark.parametrize(
    "knobs",
    [
        {"lr": 0.5},
        {"momentum": 0.9},
        {"weight_decay": 0.1},
        {"clip": "value", "clip_threshold": 1e-3},
        {"carry_over": "delayed"},
        {"nonfinite": "skip"},
        {"optimizer": "adam"},
    ],
    ids=repr,
)
def test_lanes_start_from_identical_weights_and_see_identical_batches(knobs):
    histories = compare({"here": SMALL, "there": SMALL.replace(**knobs)}, 1)
    here, there = (history[0] for history in histories.values())
    assert here.loss == there.loss  # bit for bit: the same numbers were added in the same order
    for name in ("grad_norm", "weight_norm", "delta_norm", "activation_std"):
        assert np.array_equal(getattr(here, name), getattr(there, name)), name


def test_with_nothing_learnt_two_lanes_see_the_same_batches_for_epochs():
    still = SMALL.replace(lr=0.0)
    histories = compare({"plain": still, "clipped": still.replace(clip="global_norm")}, 12)  # three epochs
    plain, clipped = (history.column("loss") for history in histories.values())
    assert np.array_equal(plain, clipped)
    assert len(set(plain)) > 4  # the batches themselves do change


def test_a_lane_is_the_same_run_as_alone_whoever_is_beside_it():
    alone = Trainer(SMALL).run(10)
    beside = compare({"x": SMALL.replace(optimizer="adam"), "y": SMALL, "z": SMALL.replace(depth=5)}, 10)["y"]
    assert np.array_equal(alone.column("loss"), beside.column("loss"))


def test_a_diverged_lane_stops_and_the_others_go_on():
    wild = SMALL.replace(dataset="regression", activation="linear", lr=1e6)
    histories = compare({"wild": wild, "calm": SMALL}, 30)
    diverged = histories["wild"].diverged
    assert diverged is not None
    assert len(histories["wild"]) == diverged.step + 1 < 30
    assert len(histories["calm"]) == 30
    assert histories["calm"].diverged is None


def test_lanes_go_step_by_step_in_turn():
    seen = []
    compare(
        {"a": SMALL, "b": SMALL}, 3, callback=lambda records: seen.append({k: r.step for k, r in records.items()})
    )
    assert seen == [{"a": i, "b": i} for i in range(3)]


def test_all_lanes_lost_end_the_comparison_early():
    wild = SMALL.replace(gain=1e30)
    rounds = []
    histories = compare({"a": wild, "b": wild.replace(lr=1.0)}, 50, callback=rounds.append)
    assert [len(h) for h in histories.values()] == [1, 1]
    assert len(rounds) == 1


def test_any_number_of_lanes_keeps_its_order_and_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    labels = [f"lane {i}" for i in range(7)]
    assert list(compare(dict.fromkeys(labels, SMALL), 1)) == labels
    assert [len(h) for h in compare({"one": SMALL}, 0).values()] == [0]
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("configs", "steps", "sentence"),
    [
        ({}, 1, "at least one lane"),
        ([SMALL], 1, "expected a mapping of label to Config"),
        ({1: SMALL}, 1, "label 1; expected a string"),
        ({"a": "relu"}, 1, r"configs\['a'\]='relu'; expected a Config"),
        ({"a": SMALL}, -1, "steps=-1; expected a whole number >= 0"),
    ],
)
def test_what_cannot_be_compared_is_refused(configs, steps, sentence):
    with pytest.raises(ValueError, match=sentence):
        compare(configs, steps)


# ---------------------------------------------------------------------- what differs
def test_the_knobs_that_differ_are_said_in_their_words():
    lanes = {"A": SMALL, "B": SMALL.replace(lr=0.5, clip="global_norm", residual=True)}
    assert differing(lanes) == {
        "residual": {"A": False, "B": True},
        "lr": {"A": 0.05, "B": 0.5},
        "clip": {"A": "none", "B": "global_norm"},
    }
    assert differences(lanes) == (
        "Residual: A off, B on. Learning rate: A 0.05, B 0.5. Clipping: A Off, B By global norm. "
        "Same first weights, same batches."
    )


def test_equal_lanes_are_called_equal():
    assert differences({"A": SMALL, "B": SMALL}) == "All lanes are equal: every knob is the same."
    assert differing({"A": SMALL}) == {}


@pytest.mark.parametrize(
    ("knobs", "end"),
    [
        ({"gain": 2.0}, "First weights differ (gain), same batches."),
        ({"activation": "tanh"}, "Same first weights, same batches."),
        ({"norm": "layer"}, "Same first weights, same batches."),
        ({"batch_seed": 1}, "Same first weights, batches differ (batch seed)."),
        ({"weight_seed": 1, "depth": 4}, "First weights differ (depth, weight seed), same batches."),
        ({"dataset": "circles"}, "Same first weights, batches differ (dataset)."),
        ({"dataset": "regression"}, "First weights differ (dataset), batches differ (dataset)."),
        ({"accumulation": "mean"}, "Same first weights, batches differ (accumulation)."),
        ({"accumulation_steps": 9}, "Same first weights, same batches."),
        ({"dtype": "float64"}, "First weights differ (number type), batches differ (number type)."),
    ],
    ids=repr,
)
def test_whether_weights_and_batches_are_shared_is_said_and_is_true(knobs, end):
    lanes = {"A": SMALL, "B": SMALL.replace(**knobs)}
    assert differences(lanes).endswith(end)
    trainers = [Trainer(config) for config in lanes.values()]
    here, there = (
        [p.detach() for linear in trainer.network.linears for p in linear.parameters()] for trainer in trainers
    )
    same = len(here) == len(there) and all(
        a.shape == b.shape and a.dtype == b.dtype and torch.equal(a, b) for a, b in zip(here, there, strict=False)
    )
    assert same == ("Same first weights" in end)


def test_a_mean_and_a_sum_of_the_same_micro_batches_share_their_batches():
    lanes = {"A": SMALL.replace(accumulation="mean"), "B": SMALL.replace(accumulation="sum")}
    assert differences(lanes).endswith("same batches.")


# ---------------------------------------------------------------------- who is ahead
def test_a_clear_lead_is_named_with_its_numbers():
    wave = np.tile([0.01, -0.01], 50)  # noise that both lanes share cancels in pairs
    said = who_is_ahead({"slow": history_of(0.5 + wave), "fast": history_of(0.2 + wave)})
    assert said.startswith("fast is ahead: the difference to slow, 0.3, is more than its noise of ")
    assert said.endswith(" Mean loss of the last 20 steps: fast 0.2, slow 0.5.")


def test_a_difference_within_the_noise_is_no_lead():
    rng = np.random.default_rng(3)
    said = who_is_ahead({"a": history_of(1 + rng.normal(size=100)), "b": history_of(1.01 + rng.normal(size=100))})
    assert said.startswith("Nobody is clearly ahead")


def test_chance_alone_is_called_a_lead_about_once_in_twenty():
    rng = np.random.default_rng(0)
    leads = sum(
        " is ahead" in who_is_ahead({label: history_of(rng.normal(5, 1, 60)) for label in "ab"}) for _ in range(400)
    )
    # 400 draws at 5 %: mean 20, standard deviation 4.4; four of them either side
    assert 20 - 18 <= leads <= 20 + 18


def test_identical_lanes_are_level():
    assert who_is_ahead({"a": history_of([0.5] * 20), "b": history_of([0.5] * 20)}).startswith("a and b are level.")


def test_few_steps_are_too_early():
    assert "Too early" in who_is_ahead({"a": history_of([1.0] * 9), "b": history_of([0.1] * 9)})


def test_a_diverged_lane_is_never_ahead():
    lost = history_of([0.1] * 12, diverged=Divergence(11, 1, "gradient", float("inf")))
    said = who_is_ahead({"lost": lost, "a": history_of([0.9] * 40), "b": history_of([0.8] * 40)})
    assert said.startswith("b is ahead")
    assert said.endswith("lost diverged at step 11.")
    assert who_is_ahead({"lost": lost}) == "Nobody is ahead: no lane is left. lost diverged at step 11."


def test_a_lane_with_losses_that_are_not_finite_ranks_last():
    said = who_is_ahead({"bad": history_of([0.1] * 39 + [float("nan")]), "good": history_of([0.8] * 40)})
    assert said.startswith("good is ahead: the others' losses are not finite.")
    both = {label: history_of([float("inf")] * 20) for label in "ab"}
    assert who_is_ahead(both).startswith("Nobody is ahead: no lane has finite losses.")


def test_a_lane_that_saw_more_samples_for_its_steps_is_said_to():
    said = who_is_ahead({"one": history_of([0.9] * 20), "four": history_of([0.8] * 20, samples=64)})
    assert said.endswith(" Samples seen by then, against the lane with fewest: four 4 times as many.")


def test_one_lane_is_alone_and_none_is_refused():
    assert who_is_ahead({"a": history_of([0.5] * 30)}) == "a is alone; mean loss of the last 10 steps: a 0.5."
    with pytest.raises(ValueError, match="at least one"):
        who_is_ahead({})
    with pytest.raises(ValueError, match=r"histories\['a'\]=1; expected a History"):
        who_is_ahead({"a": 1})
