"""The sweep as a user meets it: what it is asked for, what it answers, and what it does when something fails."""

import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from torch.nn import functional as F

from gradlab import Config, Trainer
from gradlab.sweep import MEASURES, Sweep, phase_diagram, sweep

SMALL = Config(n_samples=48, batch_size=16, depth=3, width=6, dtype="float64")


def run(config=SMALL, over=None, **options):
    return sweep(config, over, progress=False, **{"steps": 3, "seeds": 2, **options})


# ---------------------------------------------------------------------- what it is asked for
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"config": {"depth": 3}}, ["config", "expected a Config"]),
        ({"over": [("lr", [1])]}, ["over", "mapping"]),
        ({"over": {"learning_rate": [1]}}, ["learning_rate", "no such field", "lr"]),
        ({"over": {"lr": [0.1, -1]}}, ["lr=-1", ">= 0"]),
        ({"over": {"clip": ["nrom"]}}, ["clip='nrom'", "global_norm"]),
        ({"over": {"lr": []}}, ["lr=()", "at least one value"]),
        ({"over": {"lr": [0.1, 0.1]}}, ["lr=(0.1, 0.1)", "each once"]),
        ({"over": {"clip": "value"}}, ["clip='value'", "a list"]),
        ({"seeds": 0}, ["seeds=0", "from 1"]),
        ({"seeds": [1, 1]}, ["seeds=[1, 1]", "distinct"]),
        ({"steps": -1}, ["steps=-1", ">= 0"]),
        ({"max_bytes": 1.5}, ["max_bytes=1.5", "whole number"]),
        ({"executor": 4}, ["executor=4", "Executor"]),
        ({"data": ([1.0], [1.0, 2.0])}, ["data", "same number of samples"]),
    ],
)
def test_bad_input_is_named_with_what_is_accepted(arguments, words):
    with pytest.raises(ValueError) as error:
        sweep(**{"config": SMALL, "progress": False, **arguments})
    assert all(word in str(error.value) for word in words)


def test_results_lie_on_the_grid_and_seeds_are_paired():
    found = run(over={"lr": [0.1, 0.2, 0.3], "gain": [0.5, 1.0]}, seeds=[0, 5])
    assert found.column("first_loss").shape == (3, 2, 2)
    assert found.over_seeds("first_loss").shape == (3, 2)
    loss = found.column("first_loss")
    assert (loss[0] == loss[1]).all()  # before the first update lr plays no part
    assert loss[0, 0, 0] != loss[0, 0, 1]
    other = Trainer(SMALL.replace(lr=0.3, gain=0.5, weight_seed=5, batch_seed=5)).step()
    assert loss[2, 0, 1] == pytest.approx(other.loss, rel=1e-12)  # one forward pass of rounding
    assert found.config_at((2, 0), seed=5) == SMALL.replace(lr=0.3, gain=0.5, weight_seed=5, batch_seed=5)


def test_an_unknown_measure_lists_those_there_are():
    with pytest.raises(ValueError, match="growth, first_delta"):
        run().column("los")


def test_a_sweep_without_knobs_is_one_cell():
    assert run(seeds=3).column("final_loss").shape == (3,)


def test_zero_steps_measure_the_networks_at_init_only():
    found = run(over={"gain": [0.5, 2.0]}, steps=0)
    first = Trainer(SMALL.replace(gain=2.0)).step()
    assert found.column("first_norm")[1, 0] == pytest.approx(first.total_norm, rel=1e-12)
    assert (found.column("steps") == 0).all()
    assert np.isnan(found.column("eval_loss")).all()


def test_zero_steps_alone_measure_the_same_as_stacked():
    stacked, alone = (run(over={"gain": [1.0, 1e200]}, steps=0, max_bytes=size) for size in (2**28, 0))
    assert set(alone.how.values()) != set(stacked.how.values())
    for name in MEASURES:
        assert alone.column(name) == pytest.approx(stacked.column(name), rel=1e-9, nan_ok=True), name


def test_the_global_random_state_is_left_alone(untouched_rng):
    run(over={"gain": [0.5, 2.0]})
    next(phase_diagram(SMALL))


# ---------------------------------------------------------------------- summaries
def test_seeds_are_summed_up_by_the_mean_of_logs_the_median_and_the_share():
    found = run(over={"lr": [0.05, 1e300]}, seeds=3)
    growth, loss = found.column("growth"), found.column("eval_loss")
    assert found.over_seeds("growth") == pytest.approx(np.exp(np.log(growth).mean(-1)), rel=1e-12)
    assert found.over_seeds("eval_loss")[0] == np.median(loss[0])
    assert found.over_seeds("survived").tolist() == [1.0, 0.0]
    low, high = found.spread("growth")
    assert (low <= found.over_seeds("growth")).all()
    assert (found.over_seeds("growth") <= high).all()


def test_the_tables_put_the_best_and_the_worst_first():
    found = run(over={"lr": [0.0, 0.3, 1e300]}, steps=30)
    best, worst = found.best(2), found.worst(1)
    assert [row["lr"] for row in best] == [0.3, 0.0]
    assert [row["lr"] for row in worst] == [1e300]
    assert "0.3" in repr(best).splitlines()[1]
    assert best._repr_markdown_().startswith("| lr |")
    assert [row["gain"] for row in run(over={"gain": [0.1, 1.0, 30.0]}, steps=0).best(1)] == [1.0]


def test_the_frame_has_one_row_a_network():
    frame = run(over={"clip": ["none", "value"], "lr": [0.1, 0.2]}).to_frame()
    assert len(frame) == 8
    assert set(frame.columns) >= {"clip", "lr", "seed", "growth", "eval_loss", "how", "error"}
    assert frame.loc[frame["clip"] == "value", "seed"].tolist() == [0, 1, 0, 1]


# ---------------------------------------------------------------------- what fails, and what is not stacked
def test_an_exception_is_recorded_in_its_cell_and_the_sweep_goes_on():
    found = run(over={"dataset": ["moons", "article_literal"]})
    assert found.finished
    assert set(found.errors) == {2, 3}
    assert "ValueError" in found.errors[2]
    assert "outside [0, 1)" in found.errors[2]
    assert np.isfinite(found.column("final_loss")[0]).all()
    assert np.isnan(found.column("final_loss")[1]).all()
    assert "2 failed" in repr(found)


def test_values_that_are_accepted_one_by_one_but_not_together_fail_in_their_cell():
    found = run(over={"norm": ["none", "batch"], "batch_size": [1, 16]})
    assert set(found.errors) == {4, 5}
    assert "batch_size=1 with norm='batch'" in found.errors[4]


def test_networks_of_different_shapes_are_stacked_apart_and_a_single_one_runs_alone():
    found = run(over={"depth": [2, 3]}, seeds=1)
    assert set(found.how.values()) == {"alone: no other network of its shape"}
    assert set(run(over={"depth": [2, 3]}, seeds=2).how.values()) == {"stacked"}


@pytest.fixture(scope="module")
def own_entries(pytestconfig):
    """What came of sweeps over registered entries, in a process of their own."""
    script = Path(__file__).parent / "sweep_own_entries.py"
    strict = [f"-W{rule}" for rule in pytestconfig.getini("filterwarnings")]
    done = subprocess.run([sys.executable, *strict, script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_registered_entry_is_stacked_where_it_can_be_mapped_and_else_runs_alone_and_says_so(own_entries):
    how = own_entries["how"]
    for name in ("relu", "clamped", "slope", "mixing"):  # weights of its own, units that depend on each other
        for clip in ("none", "halve"):
            assert how[f"{clip}/{name}"] == "stacked"
    assert how["none/noisy"].startswith(
        "alone: activation='noisy' cannot be mapped over networks (RuntimeError: vmap"
    )
    assert how["bounded/relu"].startswith("alone: clip='bounded' cannot be mapped over networks")
    for clip in ("halve", "bounded"):  # float64: the same sums in another order
        assert own_entries[clip] == pytest.approx(own_entries[f"{clip}_by_trainer"], rel=1e-12)
    assert not own_entries["errors"]


def test_registered_activations_that_draw_or_learn_are_each_networks_own_trainers_run(own_entries):
    for name, (stacked, alone) in own_entries["activations"].items():
        assert stacked == pytest.approx(alone, rel=1e-9), name  # float64 over a few steps


def test_a_registered_optimizer_and_a_registered_carry_over_are_used_as_they_are(own_entries):
    for how, stacked, alone in own_entries["rules"]:
        assert how == "stacked"
        assert stacked == pytest.approx(alone, rel=1e-9)


def test_data_sets_whose_shape_depends_on_the_seed_are_trained_network_by_network(own_entries):
    how, errors = own_entries["seeds"]
    assert all("several shapes" in text for text in how.values())
    assert not errors


def test_a_worker_that_lacks_a_registered_entry_says_so_in_the_cell(own_entries):
    errors, finished = own_entries["there"]
    assert finished
    assert "clip='halve' is not registered in the worker process" in errors["0"]
    assert "executor=None" in errors["0"]


def test_an_own_loss_is_mapped_like_everything_else_and_is_used():
    found = run(over={"gain": [0.5, 1.0]}, loss=lambda output, y: 2 * F.cross_entropy(output, y))
    plain = run(over={"gain": [0.5, 1.0]})
    assert set(found.how.values()) == {"stacked"}
    assert found.column("first_loss") == pytest.approx(2 * plain.column("first_loss"), rel=1e-12)


def test_an_own_loss_that_branches_on_a_number_runs_alone():
    def capped(output, y):
        loss = F.cross_entropy(output, y)
        return loss if loss < 5 else 0.1 * loss

    found = run(over={"gain": [0.5, 1.0]}, loss=capped)
    assert all(how.startswith("alone: an own loss cannot be mapped over networks") for how in found.how.values())
    assert np.isfinite(found.column("final_loss")).all()


# ---------------------------------------------------------------------- memory
def test_the_memory_bound_divides_a_stack_and_changes_no_result():
    over = {"gain": [0.5, 1.0, 1.5, 2.0]}
    whole, parted, single = (Sweep(SMALL, over, steps=3, seeds=4, max_bytes=size) for size in (2**28, 1_000_000, 100))
    tasks = [
        [len(event.task.numbers) for event in found.iterate() if event.task] for found in (whole, parted, single)
    ]
    assert tasks[0] == [16]
    assert 1 < max(tasks[1]) < 16
    assert tasks[2] == [1] * 16
    assert all("max_bytes=100" in how for how in single.how.values())
    for name in MEASURES:
        for other in (parted, single):  # rounding of the same sums in stacks of another size
            assert other.column(name) == pytest.approx(whole.column(name), rel=1e-9, nan_ok=True), name


# ---------------------------------------------------------------------- as they come, and stop
def test_results_appear_as_they_come_and_stop_keeps_what_is_there():
    seen = []

    def callback(found):
        seen.append(int(found.done.sum()))
        if len(seen) == 2:
            found.stop()

    found = run(over={"depth": [1, 2, 3, 4]}, callback=callback)
    assert seen == [2, 4]
    assert not found.finished
    assert np.isfinite(found.column("final_loss")[:2]).all()
    assert np.isnan(found.column("final_loss")[2:]).all()
    assert found.run(progress=False).finished
    assert found.column("final_loss").tolist() == run(over={"depth": [1, 2, 3, 4]}).column("final_loss").tolist()


def test_stop_works_from_another_thread_in_the_middle_of_a_stack():
    found = Sweep(SMALL, {"gain": [0.5, 1.0]}, steps=10**9, seeds=2)
    timer = threading.Timer(0.2, found.stop)
    timer.start()
    found.run(progress=False)
    timer.join()
    assert not found.done.any()


def test_the_notebooks_stop_button_keeps_what_is_there():
    def callback(found):
        raise KeyboardInterrupt

    found = run(over={"depth": [1, 2]}, callback=callback)
    assert found.done.sum() == 2


def test_iterate_moves_step_by_step_so_that_a_panel_stays_awake():
    found = Sweep(SMALL, {"gain": [0.5, 1.0]}, steps=5, seeds=2)
    events = list(found.iterate())
    assert [event.network_steps for event in events] == [4, 4, 4, 4, 4, 0]
    assert events[-1].task.numbers == (0, 1, 2, 3)


def test_the_bar_counts_steps_of_networks(capsys):
    sweep(SMALL, {"gain": [0.5, 1.0]}, steps=5, seeds=2)
    shown = capsys.readouterr().err
    assert "20.0/20.0" in shown
    assert "step/s" in shown


# ---------------------------------------------------------------------- the phase diagram
def test_the_phase_diagram_comes_coarse_first_and_then_finer():
    sizes = []
    for found in phase_diagram(Config(width=64, gain=1.0), budget_s=1000.0, levels=3):
        if found.grid.size not in sizes:
            sizes.append(found.grid.size)
        assert found.done.any()
    assert len(sizes) == 3
    assert sizes[0] < sizes[1] < sizes[2]
    assert found.finished
    gains = np.array(found.grid.over["gain"])
    growth = found.over_seeds("growth")[:, -1]
    assert growth[gains > 1.3].min() > 1.0 > growth[gains < 0.75].max()  # ReLU at Kaiming init: critical at gain 1


@pytest.mark.parametrize("config", [Config(init="fixed", gain=0.2), Config(init="zeros"), Config(gain=50.0)])
def test_the_phase_diagram_holds_the_network_at_hand(config):
    found = next(phase_diagram(config, levels=1))
    gains, depths = found.grid.over["gain"], found.grid.over["depth"]
    assert min(gains) <= config.gain <= max(gains)
    assert min(depths) <= config.depth <= max(depths)


def test_the_phase_diagram_of_a_recurrent_network_is_one_of_recurrent_gain_and_sequence_length():
    knobs = {"dataset": "latch", "depth": 1, "width": 4, "n_samples": 32, "activation": "linear", "dtype": "float64"}
    *_, found = phase_diagram(Config(architecture="rnn", sequence_length=6, **knobs), levels=1, seeds=1)
    gains, lengths = (found.grid.over[name] for name in ("recurrent_gain", "sequence_length"))
    assert min(gains) < 1 < max(gains)
    assert min(lengths) < 6 < max(lengths)
    # a linear RNN of orthogonal weights: exactly the gain per time step; large ones saturate the loss over 32 steps
    for gain, growth in zip(gains, found.over_seeds("growth"), strict=True):
        assert growth[: None if gain < 2 else 2] == pytest.approx(gain, rel=1e-9)


def test_the_phase_diagram_ends_when_its_time_is_over():
    grids = {found.grid.size for found in phase_diagram(Config(), budget_s=1e-6)}
    assert len(grids) <= 1
