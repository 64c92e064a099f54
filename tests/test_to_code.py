"""The script of a config prints the losses of its trainer, every digit of them, for every entry of every table."""

import ast
import contextlib
import io
import os
import subprocess
import sys

import pytest
import torch

from gradlab import (
    ACCUMULATIONS,
    ACTIVATIONS,
    CARRY_OVERS,
    CLIPS,
    DATASETS,
    INITS,
    NORMS,
    OPTIMIZERS,
    PRESETS,
    Config,
    Trainer,
)
from gradlab.export import config_to_code

TABLES = {
    "dataset": DATASETS,
    "activation": ACTIVATIONS,
    "init": INITS,
    "norm": NORMS,
    "optimizer": OPTIMIZERS,
    "accumulation": ACCUMULATIONS,
    "carry_over": CARRY_OVERS,
    "clip": CLIPS,
}
ENTRIES = [(field, name) for field, table in TABLES.items() for name in table if name != "copy_memory"]
SMALL = {"n_samples": 75, "depth": 3, "width": 7, "batch_size": 16}  # 75 leaves short tails; 7 no power of two


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def printed_by(code):
    """Run a script in a namespace of its own and return what it printed."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), torch.random.fork_rng(devices=[]):
        exec(compile(code, "script", "exec"), {"__name__": "script"})
    return out.getvalue()


def losses_of_the_trainer(config, steps):
    torch.set_num_threads(1)
    return "".join(f"step {record.step} loss {record.loss!r}\n" for record in Trainer(config).run(steps))


def check(config, steps=8):
    try:
        expected = losses_of_the_trainer(config, steps)
    except ValueError as error:
        sentence = str(error)
    else:
        assert printed_by(config_to_code(config, steps)) == expected
        return
    with pytest.raises(ValueError) as refused:
        config_to_code(config, steps)
    assert str(refused.value) == sentence


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("field", "name"), ENTRIES)
def test_the_script_of_every_entry_prints_the_losses_of_the_trainer_to_the_last_digit(field, name, dtype):
    rest = {"clip_threshold": 0.05, "lr": 0.1} | ({} if field == "accumulation" else {"accumulation": "mean"})
    check(Config(**(SMALL | rest | {field: name, "dtype": dtype})))


@pytest.mark.parametrize("knobs", [{"architecture": "rnn"}, {"dataset": "copy_memory"}, {"warmup": 3}], ids=str)
def test_what_has_no_script_is_refused_in_words(knobs):
    with pytest.raises(ValueError, match="a script is written of architecture='mlp' that answers once per sample"):
        config_to_code(Config(**knobs))


@pytest.mark.parametrize("name", [name for name in PRESETS if PRESETS[name].architecture == "mlp"])
def test_the_script_of_every_preset_prints_the_losses_of_the_trainer(name):
    check(PRESETS[name], steps=6)


@pytest.mark.parametrize(
    "knobs",
    [
        {},
        {"depth": 0},
        {"depth": 0, "residual": True, "norm": "layer"},
        {"depth": 1, "residual": True, "norm": "batch"},
        {"depth": 4, "residual": True, "norm": "batch", "activation": "selu", "init": "orthogonal"},
        {"depth": 4, "residual": True, "activation": "linear"},
        {"bias_std": 0.5, "gain": 1.7, "noise": 0.6, "weight_seed": 5, "data_seed": 6, "batch_seed": 2**63 - 1},
        {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 0.01},
        {"optimizer": "rmsprop", "momentum": 0.5, "weight_decay": 0.02},
        {"optimizer": "adamw", "weight_decay": 0.1, "carry_over": "delayed"},
        {"batch_size": 500},
        {"accumulation": "sum", "accumulation_steps": 3, "carry_over": "running_sum"},
        {"accumulation": "naive_mean", "batch_size": 11, "accumulation_steps": 64},
        {"clip": "agc", "clip_threshold": 0.01, "norm": "layer", "residual": True},
        {"precision": "float16", "loss_scale": "dynamic", "gain": 2.0, "lr": 1e-4, "depth": 4},
        {"precision": "bfloat16", "loss_scale": 1000.0, "accumulation": "mean", "norm": "layer", "optimizer": "adam"},
        {"loss_scale": 64.0, "accumulation": "sum", "nonfinite": "continue"},
    ],
    ids=repr,
)
def test_the_script_of_a_mixture_of_knobs_prints_the_losses_of_the_trainer(knobs):
    check(Config(**(SMALL | {"lr": 0.1} | knobs)))


@pytest.mark.parametrize("accumulation", list(ACCUMULATIONS))
@pytest.mark.parametrize("clip", list(CLIPS))
def test_the_script_clips_every_micro_batch_as_the_trainer_does(clip, accumulation):
    knobs = {"clip": clip, "clip_threshold": 0.01, "accumulation": accumulation, "clip_order": "each_micro_batch"}
    check(Config(**SMALL, **knobs), steps=6)


@pytest.mark.parametrize("nonfinite", ["stop", "skip", "continue"])
@pytest.mark.parametrize("accumulation", ["none", "mean"])
@pytest.mark.parametrize(
    "knobs",
    [
        {"dataset": "regression", "activation": "linear", "lr": 1e3},
        {"dataset": "regression", "lr": 1e12, "norm": "batch"},
        {"lr": 1e36, "optimizer": "adam", "carry_over": "running_sum"},
        {"gain": 1e30},
        {"gain": 1e30, "activation": "tanh", "init": "fixed"},
        {"dtype": "float64", "lr": 1e200, "clip": "global_norm", "carry_over": "delayed"},
        {"lr": 1e30, "clip": "value", "clip_threshold": 1e9, "optimizer": "sgd", "momentum": 0.9},
    ],
    ids=repr,
)
def test_the_script_ends_or_skips_where_the_trainer_does(knobs, accumulation, nonfinite):
    check(Config(**(SMALL | {"accumulation": accumulation, "nonfinite": nonfinite} | knobs)))


def test_a_run_that_diverges_is_among_those_compared():
    config = Config(**SMALL, dataset="regression", activation="linear", lr=1e3)
    assert 0 < printed_by(config.to_code(steps=50)).count("\n") < 50


def test_a_script_needs_nothing_but_torch_and_the_standard_library(tmp_path):
    script = tmp_path / "script.py"
    config = Config(accumulation="mean", clip="global_norm", carry_over="running_sum", norm="rms")
    script.write_text(config.to_code(steps=5), encoding="utf-8")
    tree = ast.parse(script.read_text(encoding="utf-8"))
    modules = {
        (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name).split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert modules <= {"torch", *sys.stdlib_module_names}
    # -I: neither this directory nor any variable of the environment helps it
    done = subprocess.run([sys.executable, "-I", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == losses_of_the_trainer(config, 5)
    assert done.stderr == ""


def test_the_digits_do_not_depend_on_the_threads_the_script_is_started_with(tmp_path):
    config = Config(width=128, batch_size=256, n_samples=1024, depth=3)
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", config.to_code(steps=4)], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout == losses_of_the_trainer(config, 4)


def test_the_loss_is_printed_with_all_its_digits():
    lines = printed_by(Config().to_code(steps=3)).splitlines()
    assert [line.split()[:3] for line in lines] == [["step", str(i), "loss"] for i in range(3)]
    record = Trainer(Config()).step()
    assert float(lines[0].split()[3]) == record.loss


def test_the_script_holds_only_what_the_config_needs():
    plain = Config().to_code()
    for word in ("clip", "carry", "norm(", "accumulate", "windows", "is_finite", "copy", "buffers"):
        assert word not in plain, word
    assert "finite(" not in Config(nonfinite="continue").to_code()


def test_the_words_of_an_entry_stand_in_the_script():
    code = Config(clip="global_norm", init="xavier").to_code()
    assert CLIPS["global_norm"].summary in code
    assert INITS["xavier"].summary in code


def test_zero_steps_print_nothing_and_a_negative_number_is_refused():
    assert printed_by(Config().to_code(steps=0)) == ""
    with pytest.raises(ValueError, match="steps=-1; expected a whole number >= 0"):
        Config().to_code(steps=-1)


def test_something_that_is_no_config_is_refused():
    with pytest.raises(ValueError, match="expected a Config"):
        config_to_code("relu")
