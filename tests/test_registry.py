"""The tables: one decorated function is one entry, everywhere."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import gradlab
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
    Registry,
)

TABLES = {
    "dataset": (DATASETS, "moons circles spirals xor blobs regression digits article"),
    "activation": (ACTIVATIONS, "linear relu leaky_relu tanh sigmoid gelu selu silu"),
    "init": (
        INITS,
        "normal kaiming kaiming_uniform xavier xavier_uniform orthogonal pytorch fixed zeros constant",
    ),
    "norm": (NORMS, "none batch layer rms"),
    "accumulation": (ACCUMULATIONS, "none mean sum naive_mean"),
    "carry_over": (CARRY_OVERS, "none running_sum delayed scalar_sum"),
    "clip": (CLIPS, "none value global_norm per_layer_norm agc"),
    "optimizer": (OPTIMIZERS, "sgd adam rmsprop adamw"),
}


@pytest.fixture
def table():
    made = Registry("dish")

    @made.register("soup", "Soup of the day", hot=True)
    def soup(spoons):
        """Eaten with a spoon.

        More about soup.
        """
        return spoons + 1

    @made.register("bread", "Bread")
    def bread():
        """Eaten with the hand."""

    return made


def test_a_table_is_a_mapping_in_the_order_of_registration(table):
    assert list(table) == ["soup", "bread"]
    assert len(table) == 2
    assert "soup" in table
    assert "wine" not in table
    assert [entry.name for entry in table.values()] == ["soup", "bread"]


def test_an_entry_carries_label_summary_and_options_and_is_called_like_its_function(table):
    entry = table["soup"]
    assert (entry.name, entry.label, entry.summary) == ("soup", "Soup of the day", "Eaten with a spoon.")
    assert entry.options["hot"] is True
    assert entry(2) == entry.function(2) == 3


def test_an_unknown_name_is_answered_with_the_names_there_are(table):
    with pytest.raises(ValueError, match="dish='wine'; expected one of soup, bread"):
        table["wine"]
    with pytest.raises(KeyError):
        table["wine"]
    assert table.get("wine") is None


@pytest.mark.parametrize("odd", [None, 3, [], {}, ("soup",)])
def test_a_name_that_is_no_string_is_not_in_a_table(table, odd):
    assert odd not in table
    with pytest.raises(ValueError, match="expected one of soup, bread"):
        table[odd]


def test_a_duplicate_name_is_refused(table):
    with pytest.raises(ValueError, match="dish 'soup' is registered already"):

        @table.register("soup", "Another soup")
        def other():
            """Another soup."""

    assert table["soup"].label == "Soup of the day"


@pytest.mark.parametrize("doc", [None, "", "   \n  "])
def test_an_entry_without_a_summary_is_refused(table, doc):
    def mute():
        pass

    mute.__doc__ = doc
    with pytest.raises(ValueError, match="dish 'mute' has no summary; give its function a docstring"):
        table.register("mute", "Mute")(mute)
    assert "mute" not in table


def test_a_notebook_cell_can_be_run_again(table):
    for answer in (1, 2):

        def cell():
            """A function of a cell."""

        cell.__module__, cell.__qualname__ = "__main__", "cell"
        cell.answer = answer
        table.register("cell", "Cell")(cell)
    assert table["cell"].function.answer == 2


def test_another_function_of_a_notebook_cannot_take_a_name_that_is_taken(table):
    def first():
        """First."""

    def second():
        """Second."""

    for function, name in ((first, "first"), (second, "second")):
        function.__module__, function.__qualname__ = "__main__", name
    table.register("mine", "Mine")(first)
    with pytest.raises(ValueError, match="registered already"):
        table.register("mine", "Mine")(second)


def test_the_decorator_leaves_the_function_usable(table):
    @table.register("tea", "Tea")
    def tea():
        """Drunk."""
        return "hot"

    assert tea() == "hot"


def test_the_docs_table_has_one_row_an_entry(table):
    lines = table.table().splitlines()
    assert lines[0] == "| dish | label | what it does |"
    assert lines[2:] == [
        "| `soup` | Soup of the day | Eaten with a spoon. |",
        "| `bread` | Bread | Eaten with the hand. |",
    ]


@pytest.mark.parametrize("kind", TABLES)
def test_the_tables_hold_at_least_the_names_of_the_contract(kind):
    table, names = TABLES[kind]
    assert set(names.split()) <= set(table)
    assert table.kind == kind


@pytest.mark.parametrize("kind", TABLES)
def test_every_entry_says_in_one_line_what_it_does(kind):
    for entry in TABLES[kind][0].values():
        assert entry.label
        assert entry.summary
        assert "\n" not in entry.summary
        assert "|" not in entry.label + entry.summary  # it would break the Markdown table


def test_a_preset_is_read_as_its_config():
    assert isinstance(PRESETS["healthy"], Config)
    assert {"article", "article_literal"} <= set(PRESETS)
    assert all(isinstance(config, Config) for config in PRESETS.values())
    assert PRESETS.entry("article").label == "The article"


USER_CODE = '''
import torch
from torch import nn
from gradlab import *
from gradlab import ACCUMULATIONS, ACTIVATIONS, CARRY_OVERS, CLIPS, DATASETS, INITS, NORMS, OPTIMIZERS

@DATASETS.register("line", "Line")
def line(n, noise, generator):
    """Points on a line."""
    x = torch.linspace(-1, 1, n, dtype=torch.float64)[:, None]
    return x, 3 * x

@ACTIVATIONS.register("identity", "Identity")
def identity():
    """phi(z) = z."""
    return nn.Identity()

@INITS.register("half", "Half")
def half(weight, gain, generator):
    """Every weight a half."""
    nn.init.constant_(weight, 0.5)

@NORMS.register("double", "Double")
def double(width):
    """Twice the pre-activation."""
    class Double(nn.Module):
        def forward(self, z):
            return 2 * z
    return Double()

@ACCUMULATIONS.register("last", "Last")
def last(sizes):
    """The last micro-batch only."""
    return [0.0] * (len(sizes) - 1) + [1.0]

@CARRY_OVERS.register("flip", "Flip")
def flip(gradients, state):
    """Climb the hill."""
    for g in gradients:
        g.neg_()
    return True

@CLIPS.register("sign", "Sign")
def sign(params, threshold):
    """Every entry to its sign times the threshold."""
    for p in params:
        p.grad.sign_().mul_(threshold)

@OPTIMIZERS.register("plain", "Plain")
def plain(params, lr, momentum, weight_decay):
    """w - lr g."""
    return torch.optim.SGD(params, lr=lr)

config = Config(dataset="line", n_samples=4, depth=1, width=1, activation="identity", init="half", norm="double",
                accumulation="last", accumulation_steps=2, batch_size=2, carry_over="flip", clip="sign",
                clip_threshold=0.25, optimizer="plain", lr=1.0, dtype="float64")
trainer = Trainer(config)
record = trainer.step()
print(record.loss, [p.item() for p in trainer.network.parameters() if p.dim() == 2])

@NORMS.register("dropout", "Dropout")
def dropout(width):
    """Half of the units."""
    return nn.Dropout(0.5)

@ACTIVATIONS.register("softmax", "Softmax")
def softmax():
    """Units compete: no function of one entry."""
    return nn.Softmax(-1)

before = torch.get_rng_state()
config = Config(depth=2, norm="dropout", activation="softmax", n_samples=64)
first, again = Trainer(config), Trainer(config)
first.run(20)
again.run(20)
again.rewind(5)
again.run(15)
masks = len(set(Trainer(config.replace(lr=0, batch_size=64, n_samples=64)).run(5).column("loss")))
print(first.history.column("loss").tolist() == again.history.column("loss").tolist(), masks)
print(torch.equal(before, torch.get_rng_state()), first.history[-1].saturated.tolist())
'''


def test_what_a_user_registers_is_accepted_and_used_without_another_edit():
    """Output 0.5 * 2 * 0.5 x = x / 2 for the target 3x: loss (2.5 x)^2; more of either weight is better."""
    root = Path(gradlab.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", USER_CODE],
        env=os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    mean_square = (1 + 1 / 9 + 1 / 9 + 1) / 4
    one_step, repeated, untouched = done.stdout.strip().split("\n")
    loss, weights = one_step.split(" ", 1)
    assert float(loss) == pytest.approx(6.25 * mean_square, rel=1e-12)  # float64, a handful of operations
    assert weights == "[0.25, 0.25]"  # gradient < 0, its sign times .25, flipped, minus it: .5 - .25
    assert repeated == "True 5"  # the same bits in two runs and after a rewind; another mask every step
    assert untouched == "True [0.0, 0.0, 0.0]"


def test_another_distribution_adds_to_a_table_when_it_is_first_asked(tmp_path, monkeypatch):
    info = tmp_path / "gradlab_playthings-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: gradlab-playthings\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[gradlab.playthings]\nball = playthings\nbroken = no_such_module\n")
    (tmp_path / "playthings.py").write_text(
        "from own_table import TABLE\n@TABLE.register('ball', 'Ball')\ndef ball():\n    'Round.'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    table = Registry("plaything")
    monkeypatch.setitem(sys.modules, "own_table", SimpleNamespace(TABLE=table))
    gradlab.registry._installed.cache_clear()
    try:
        with pytest.warns(UserWarning, match="no_such_module could not be loaded"):
            assert list(table) == ["ball"]
        assert table["ball"].label == "Ball"
        assert table._ipython_key_completions_() == ["ball"]
    finally:
        gradlab.registry._installed.cache_clear()
