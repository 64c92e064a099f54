"""Exercises: the broken start fails and says why, a known solution passes, no trick does."""

import functools
import json
import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from gradlab import Config, GradLab, Trainer
from gradlab.exercise import EXERCISES, Exercise, Goal, Result, Run, Setup, exercise
from gradlab.locale import STRINGS
from tests.science.exercises import ANSWERS

START = {
    "rescue-30": "The cause is there before the first step: the backward signal is multiplied by",
    "deep-sigmoid": "still above 0.4 (seeds 11, 12). The cause is there before the first step: the backward signal "
    "is multiplied by",
    "dead-relus": "All units of a layer are dead",
    "learning-rate": "diverges (seeds 11, 12). The backward signal is sound at step 0: it is the steps",
    "forgotten-division": "The accumulated gradient is not that of one large batch (seeds 11, 12).",
    "clip-order": "Clipping turns the gradient: its cosine falls below 0.999 (seeds 11, 12).",
    "batch-norm-depth": "differs more than 200-fold between the hidden layers (seeds 11, 12).",
    "no-clipping": "clip='global_norm' is not allowed here: it must be 'none'.",
    "two-changes": "still above 0.3 (seeds 11, 12). The cause is there before the first step: the backward signal "
    "is multiplied by",
    "remember-40": "The cause is there before the first step: on its way from the last time step back to the first",
    "choose-the-clip": "still above 0.3 (seeds 11, 12)",
    "post-ln-12": "still above 0.3 (seeds 11, 12).",
}
SOLUTION = {name: answers[0] for name, answers in ANSWERS.items()}
NAMES = list(EXERCISES)


@functools.cache
def start(name):
    return exercise(name).check()


@functools.cache
def solved(name):
    return exercise(name).check(**SOLUTION[name])


# ---------------------------------------------------------------------- start and solution
def test_there_are_the_exercises_of_the_lecture():
    assert set(START) == set(SOLUTION) == set(NAMES)
    assert len(NAMES) >= 6


@pytest.mark.parametrize("name", NAMES)
def test_the_broken_start_fails_and_says_what_is_wrong(name):
    result = start(name)
    assert not result
    assert not result.passed
    assert START[name] in result.sentence
    assert "Nothing was changed." in result.sentence
    assert result.changes == {}
    assert all(problem in result.sentence for problem in result.problems)


@pytest.mark.parametrize("name", NAMES)
def test_a_known_solution_passes_on_every_seed(name):
    result = solved(name)
    assert result.passed, result.sentence
    assert result
    assert result.problems == ()
    needed = exercise(name).setup.needed
    assert result.sentence.startswith(f"Passed (at least {needed} of seeds 11, 12, 13, 14, 15). Changes: ")
    assert {field: here for field, (_, here) in result.changes.items()} == SOLUTION[name]
    assert [run.seed for run in result.runs] == [11, 12, 13, 14][:needed]  # the last that is needed decides
    assert {run.steps for run in result.runs} == {exercise(name).setup.steps}


def test_other_solutions_pass_too():
    assert exercise("rescue-30").check(gain=1.42, init="orthogonal", lr=0.01, seeds=[0])
    assert exercise("deep-sigmoid").check(gain=8.0, lr=0.05, seeds=[0])
    assert exercise("forgotten-division").check(accumulation="naive_mean", accumulation_steps=16, seeds=[0])


@pytest.mark.parametrize(
    ("name", "knobs", "said"),
    [
        ("rescue-30", {"accumulation": "mean"}, "diverges"),  # what the article proposes
        ("rescue-30", {"carry_over": "running_sum"}, "diverges"),
        ("rescue-30", {"clip": "global_norm"}, "the backward signal is multiplied by"),
        ("dead-relus", {"clip": "global_norm"}, "All units of a layer are dead"),  # Adam divides it out
        ("learning-rate", {"lr": 0.05}, "The loss rises above"),
        (
            "learning-rate",
            {"lr": 0.001},
            "is below 0.6 of the largest stable one, 2/sharpness (seed 0).",
        ),
        ("learning-rate", {"lr": 1e-7}, "The steps are too short"),
        ("forgotten-division", {"clip": "global_norm"}, "not that of one large batch"),
        ("clip-order", {"clip": "value"}, "Clipping turns the gradient"),
        ("clip-order", {"clip_threshold": 10.0}, "longer than 0.1001"),
        ("no-clipping", {"clip": "none"}, "diverges"),
        ("remember-40", {"recurrent_gain": 1.0}, "still above 0.3"),
        ("remember-40", {"gain": 0.3}, "the signal is multiplied by"),
        ("choose-the-clip", {"clip": "per_layer_norm"}, "Clipping turns the gradient"),
    ],
)
def test_a_half_solution_fails_and_says_what_is_still_wrong(name, knobs, said):
    result = exercise(name).check(**knobs, seeds=[0])
    assert not result
    assert said in result.sentence
    assert result.runs  # the rules were kept


def test_a_sound_answer_may_miss_one_seed_in_five_and_a_graders_share_is_the_same():
    rules = exercise("no-clipping").setup
    assert (len(rules.seeds), rules.needed) == (5, 4)
    assert [rules.needed_of(n) for n in (1, 2, 3, 5, 10)] == [1, 2, 3, 4, 8]


# ---------------------------------------------------------------------- tricks
TRICKS = {
    "depth": 2,
    "width": 34,
    "n_samples": 4,
    "noise": 0.0,
    "dataset": "blobs",
    "activation": "leaky_relu",
    "dtype": "float64",
    "nonfinite": "skip",
    "batch_size": 511,
    "accumulation_steps": 5,
}


@pytest.mark.parametrize("name", NAMES)
def test_what_must_stay_is_refused_by_name_even_on_top_of_a_solution(name):
    for field, value in TRICKS.items():
        if field in exercise(name).setup.may:
            continue
        result = exercise(name).check(**(SOLUTION[name] | {field: value}))
        assert not result
        assert result.runs == ()  # nothing was trained
        assert f"{field}={value!r} is not allowed here: it must stay " in result.sentence


@pytest.mark.parametrize("name", NAMES)
def test_no_exercise_lets_the_task_itself_be_changed(name):
    fixed = {"depth", "width", "activation", "dataset", "n_samples", "noise", "dtype", "nonfinite"}
    assert not fixed & set(exercise(name).setup.may)


def test_continuing_after_a_divergence_is_refused_too():
    assert "nonfinite='continue' is not allowed" in exercise("rescue-30").check(nonfinite="continue").sentence


@pytest.mark.parametrize("name", [name for name in NAMES if exercise(name).setup.most_changes])
def test_one_change_too_many_is_refused(name):
    setup = exercise(name).setup
    other = {
        "gain": 0.9,
        "lr": 0.011,
        "accumulation": "mean",
        "clip_threshold": 0.7,
        "bias_std": 0.3,
        "norm": "rms",
        "init": "orthogonal",
    }
    more = {field: value for field, value in other.items() if field in setup.may and field not in SOLUTION[name]}
    knobs = SOLUTION[name] | dict(list(more.items())[: setup.most_changes + 1 - len(SOLUTION[name])])
    if name == "clip-order":
        knobs = SOLUTION[name] | {"clip_threshold": 0.05}
    assert len(knobs) == setup.most_changes + 1
    result = exercise(name).check(**knobs)
    assert result.runs == ()
    assert f"at most {setup.most_changes} field" in result.sentence
    assert len(result.changes) == setup.most_changes + 1


def test_only_the_values_that_the_rules_name_are_accepted():
    result = exercise("forgotten-division").check(accumulation="none")
    assert "accumulation='none' is not allowed here: it must be 'mean', 'sum' or 'naive_mean'." in result.sentence
    assert "clip='value' is not allowed" in exercise("no-clipping").check(clip="value", gain=1.0).sentence


@pytest.mark.parametrize("name", ["learning-rate", "dead-relus"])
def test_a_learning_rate_of_zero_fails(name):
    result = exercise(name).check(lr=0.0, seeds=[0])
    assert not result
    assert "A learning rate of 0 trains nothing." in result.sentence


def test_the_configs_seeds_count_for_nothing():
    other = exercise("learning-rate").check(weight_seed=11, data_seed=12, batch_seed=13)
    assert repr(other.runs) == repr(start("learning-rate").runs)  # repr, as nan is not equal to itself
    assert other.changes == {}


def test_a_grader_may_use_seeds_of_its_own():
    result = exercise("learning-rate").check(lr=0.0165, seeds=[40, 41])
    assert result.passed
    assert [run.seed for run in result.runs] == [40, 41]
    assert "(seeds 40, 41)" in result.sentence
    assert "(seed 40)" in exercise("learning-rate").check(seeds=[40]).sentence


def test_a_run_longer_than_the_budget_is_checked_over_the_budget_alone():
    trainer = Trainer(exercise("learning-rate").config.replace(lr=0.01))
    trainer.run(300)
    assert trainer.evaluate()["loss"] < 0.35  # the goal, after three times the steps
    result = exercise("learning-rate").check(trainer)
    assert not result
    assert "Your run took 300 steps; the check counts only the first 100." in result.sentence


def test_weights_that_were_trained_under_other_rules_do_not_count():
    trainer = Trainer(exercise("learning-rate").config.replace(lr=0.0165))
    trainer.run(100)
    trainer.reconfigure(lr=0.3)  # what is in force now is checked, from step 0
    assert repr(exercise("learning-rate").check(trainer).runs) == repr(start("learning-rate").runs)


def own_network():
    return nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2))


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"network": own_network()}, "a network of its own"),
        (
            {"data": (torch.tensor([[0.0, 0.0], [1.0, 1.0]] * 8), torch.tensor([0, 1] * 8))},
            "data or a loss of its own",
        ),
        ({"loss": lambda output, y: (output**2).mean()}, "data or a loss of its own"),
    ],
)
def test_a_network_data_or_loss_of_ones_own_is_refused(parts, said):
    trainer = Trainer(exercise("rescue-30").config.replace(**SOLUTION["rescue-30"]), **parts)
    result = exercise("rescue-30").check(trainer)
    assert said in result.sentence
    assert result.runs == ()


def test_a_config_that_lies_about_itself_is_read_by_its_fields():
    class Lying(Config):
        def replace(self, **knobs):
            return exercise("learning-rate").config.replace(lr=0.0165)

        def differences(self, other):
            return {}

    lying = Lying(**(exercise("learning-rate").config.to_dict() | {"depth": 0}))
    assert "depth=0 is not allowed" in exercise("learning-rate").check(lying).sentence


def test_a_config_that_cannot_be_trained_says_so():
    # a last micro-batch of one sample has no variance for batch norm to divide by
    result = exercise("two-changes").check(norm="batch", batch_size=511)
    assert result.sentence.startswith("Not yet. This config cannot be trained: ")
    assert not result


@pytest.fixture(scope="module")
def own_entries():
    """What own entries come to, in a process of its own, as tables keep what is registered."""
    script = Path(__file__).parent / "exercise_own_entries.py"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_an_entry_of_ones_own_is_refused_as_it_could_stand_for_anything(own_entries):
    refused = own_entries["refused"]
    assert not refused["passed"]
    assert "init='trained_elsewhere' is an entry of your own" in refused["sentence"]


def test_a_lecturers_exercise_is_one_function(own_entries):
    assert own_entries["title"] == "One of my own"
    assert own_entries["task"].startswith("Make the three blobs learnable.\n- ")
    assert own_entries["hint"] == "Shorter."
    assert not own_entries["broken"]["passed"]
    assert "学习率为 0" in own_entries["broken"]["sentence"]
    assert own_entries["solved"]["passed"]
    assert [run["seed"] for run in own_entries["solved"]["runs"]] == [5]
    assert own_entries["error"] == "exercise='no_setup': returned Config(); expected a Setup"


# ---------------------------------------------------------------------- what can be checked
def test_a_trainer_a_lab_and_a_config_are_the_same_to_a_check():
    broken = exercise("learning-rate")
    config = broken.config.replace(lr=0.3)
    lab = GradLab(config)
    try:
        attempts = [config, Trainer(config), lab, SimpleNamespace(config=config), Config.from_json(config.to_json())]
        found = {repr(broken.check(attempt).runs) for attempt in attempts}
    finally:
        lab.close()
    assert found == {repr(start("learning-rate").runs)}


def test_knobs_are_changes_to_what_is_given():
    config = exercise("clip-order").config.replace(clip_threshold=0.2)
    result = exercise("clip-order").check(config, clip_order="after")
    assert result.changes == {"clip_threshold": (0.1, 0.2), "clip_order": ("each_micro_batch", "after")}


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: exercise("rescue-31"), "exercise='rescue-31'; expected one of rescue-30, "),
        (lambda: exercise("rescue-30", "fr"), "lang='fr'; expected one of en, zh"),
        (lambda: exercise("rescue-30").hint(0), "hint=0; expected a whole number from 1 to 3"),
        (lambda: exercise("rescue-30").hint(4), "hint=4"),
        (lambda: exercise("rescue-30").check(3), "check: 3; expected a Config"),
        (lambda: exercise("rescue-30").check(steps=900), "steps=900: no such field"),
        (lambda: exercise("rescue-30").check(lr=-1.0), "lr=-1.0; expected"),
        (lambda: exercise("rescue-30").check(seeds=[]), r"seeds=\[\]; expected"),
        (lambda: exercise("rescue-30").check(seeds=[1, 1]), r"seeds=\[1, 1\]; expected"),
        (lambda: exercise("rescue-30").check(seeds=[-1]), "seed=-1; expected"),
        (lambda: exercise("rescue-30").check(seeds=3), "seeds=3; expected"),
    ],
)
def test_what_makes_no_sense_is_an_error(call, said):
    with pytest.raises(ValueError, match=said):
        call()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Goal("lost", at_most=1), "measure='lost'; expected one of loss, "),
        (lambda: Goal("loss"), "exactly one finite limit"),
        (lambda: Goal("loss", at_most=1.0, at_least=0.0), "exactly one finite limit"),
        (lambda: Goal("loss", at_most=math.nan), "exactly one finite limit"),
        (lambda: setup(config=3), "config=3; expected a Config"),
        (lambda: setup(may=("lrr",)), "lrr='...': no such field"),
        (lambda: setup(may=("lr", "data_seed")), "may=data_seed; expected no seed"),
        (lambda: setup(only={"clipp": ("none",)}), "no such field"),
        (lambda: setup(steps=0), "steps=0; expected a whole number >= 1"),
        (lambda: setup(most_changes=0), "most_changes=0; expected"),
        (lambda: setup(goals=()), "at least one Goal"),
        (lambda: setup(seeds=()), "seeds="),
    ],
)
def test_rules_that_make_no_sense_are_an_error(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def setup(**changed):
    whole = {"config": Config(), "may": ("lr",), "goals": (Goal("loss", at_most=0.3),), "steps": 5}
    return Setup(**(whole | changed))


def test_a_goal_includes_its_limit_and_is_never_met_by_what_is_no_number():
    assert Goal("loss", at_most=0.3).met(0.3)
    assert not Goal("loss", at_most=0.3).met(0.3001)
    assert Goal("cosine", at_least=0.999).met(0.999)
    assert not Goal("cosine", at_least=0.999).met(-1.0)
    assert not Goal("loss", at_most=0.3).met(math.nan)
    assert not Goal("cosine", at_least=-1.0).met(math.nan)


# ---------------------------------------------------------------------- the numbers
def test_the_numbers_are_those_of_a_trainer_with_that_seed():
    run = solved("forgotten-division").runs[2]
    config = exercise("forgotten-division").config.replace(
        **SOLUTION["forgotten-division"], weight_seed=13, data_seed=13, batch_seed=13
    )
    trainer = Trainer(config)
    history = trainer.run(40)
    found = trainer.evaluate()
    assert (run.loss, run.accuracy) == (found["loss"], found["accuracy"])
    losses = history.column("loss")
    assert run.peak == losses.max() / losses[0]
    assert run.longest == history.column("total_norm").max()  # nothing is clipped
    assert run.cosine == 1.0


def test_four_micro_batches_undivided_are_off_by_three_times_the_gradient():
    for run in start("forgotten-division").runs:
        assert run.batch_error == pytest.approx(3, rel=1e-5)  # float32 sums in another order
    assert all(run.batch_error < 1e-5 for run in solved("forgotten-division").runs)
    assert all(run.batch_error == 0 for run in solved("dead-relus").runs)  # one micro-batch a step


def test_the_rate_is_the_root_of_chi():
    rates = [np.log([run.rate for run in start(name).runs]).mean() for name in ("rescue-30", "deep-sigmoid")]
    # ReLU at Kaiming: the gain; sigmoid at sigma_w = 1: the root of 0.0557; two nets of width 64
    np.testing.assert_allclose(np.exp(rates), [3.0, math.sqrt(0.0557207)], rtol=0.06)


def test_spread_is_largest_over_smallest_of_the_hidden_layers():
    config = exercise("deep-sigmoid").config.replace(weight_seed=12, data_seed=12, batch_seed=12)
    delta = Trainer(config).step().delta_norm[:10]
    assert start("deep-sigmoid").runs[1].spread == delta.max() / delta.min()


def test_the_clipped_length_is_the_threshold_and_the_direction_is_kept():
    for run in solved("clip-order").runs:
        assert run.longest == pytest.approx(0.1, rel=2e-5)  # torch's norm + 1e-6
        assert run.cosine == pytest.approx(1, abs=1e-6)


def test_a_signal_of_exactly_zero_is_an_answer():
    result = exercise("rescue-30").check(gain=0.0, seeds=[0])
    assert "no backward signal arrives in some layer" in result.sentence
    assert result.runs[0].spread == math.inf


# ---------------------------------------------------------------------- words
@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("name", NAMES)
def test_an_exercise_has_title_task_rules_and_hints_in_both_languages(name, lang):
    shown = exercise(name, lang)
    assert shown.title == STRINGS[lang][f"exercise.{name}.title"]
    assert shown.task.startswith(STRINGS[lang][f"exercise.{name}.task"])
    assert str(shown.setup.steps) in shown.task
    assert all(field in shown.task for field in shown.setup.may)
    assert all(f"{goal.limit:g}" in shown.task for goal in shown.setup.goals)
    assert shown.hints >= 2
    assert len({shown.hint(n) for n in range(1, shown.hints + 1)}) == shown.hints
    assert shown.hint() == shown.hint(1)


def test_a_hint_does_not_give_the_solution_away():
    for name in NAMES:
        hints = " ".join(exercise(name).hint(n) for n in range(1, exercise(name).hints + 1))
        assert not any(f"{field}={value}" in hints for field, value in SOLUTION[name].items())


def test_a_check_speaks_the_language_of_its_exercise():
    result = exercise("learning-rate", "zh").check()
    assert result.sentence.startswith("还没有。训练发散（种子 11、12）。")
    assert result.lang == "zh"
    assert (
        exercise("learning-rate", "zh")
        .check(lr=0.0165)
        .sentence.startswith("通过（种子 11、12、13、14、15中至少 4 个）。改动：")
    )


# ---------------------------------------------------------------------- showing, grading
def test_what_a_notebook_shows_holds_no_measured_number():
    for name in ("clip-order", "learning-rate"):
        for result in (start(name), solved(name)):
            shown = repr(result) + result._repr_html_()
            assert not any(f"{run.loss:.3g}" in shown for run in result.runs)
            assert result.sentence in repr(result)
            assert "style" not in shown  # light or dark is the notebook's own


def test_print_adds_the_numbers():
    result = solved("clip-order")
    assert str(result).startswith(result.sentence)
    header, _, *rows = result.table().splitlines()
    assert header.startswith("| seed | steps | loss |")
    assert [row.split(" | ")[2] for row in rows] == [f"{run.loss:.3g}" for run in result.runs]
    assert str(start("no-clipping")) == start("no-clipping").sentence


def test_an_exercise_shows_its_task():
    shown = exercise("rescue-30")
    assert repr(shown) == "Exercise(rescue-30: Rescue thirty layers)"
    page = shown._repr_html_()
    assert page.startswith('<div lang="en"><b>Rescue thirty layers</b><p>Thirty ReLU layers')
    assert page.count("<li>") == len(shown.rules)
    assert isinstance(shown, Exercise)
    assert "&#x27;none&#x27;" in exercise("no-clipping")._repr_html_()


def test_a_grader_gets_plain_values():
    plain = json.loads(json.dumps(start("learning-rate").to_dict(), allow_nan=False))
    assert plain["exercise"] == "learning-rate"
    assert plain["passed"] is False
    assert plain["runs"][0]["loss"] is None  # it diverged
    assert plain["runs"][0]["diverged"].startswith("Diverged at step ")
    changed = solved("dead-relus").to_dict()
    assert changed["changes"] == {"lr": [0.3, 0.003]}
    assert set(changed["runs"][0]) == set(Run.__dataclass_fields__)


def test_a_result_is_frozen():
    with pytest.raises(AttributeError):
        start("learning-rate").passed = True
    with pytest.raises(TypeError):
        solved("dead-relus").changes["lr"] = (0.3, 0.3)
    assert isinstance(start("learning-rate"), Result)


def test_a_check_leaves_every_global_random_state_alone(untouched_rng):
    exercise("learning-rate").check(seeds=[0])
