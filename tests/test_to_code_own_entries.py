"""Entries registered by a user are copied into the script with all that they use, or refused by name."""

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import gradlab

WORKING = {
    "activation": "class Wobble(nn.Module):",
    "residual": "skip_init",
    "norm": "class Double(nn.Module):",
    "clip": "def step_2(params, threshold: float = 1.0) -> None:",
    "class of torch": "import Mish",
    "carry-over": "every_other(gradients, carry)",
    "arrays": "y = y.to(torch.float32).reshape(-1, 1)",
    "cell": "class Cell(nn.Module):",
}
REFUSED = {
    "tensor": "activation='shifted' cannot be written as a script: it uses 'shift', a Tensor",
    "lambda": "activation='nameless' cannot be written as a script: '<lambda>' is not written as a def",
    "no source": "activation='sourceless' cannot be written as a script: ",
}


@pytest.fixture(scope="module")
def found():
    # a program of its own: the tables of this process stay as they are
    notebook = Path(__file__).with_name("own_entries.py")
    root = Path(gradlab.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, notebook],
        env=os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    return json.loads(done.stdout)


def printed_by(code):
    out, threads = io.StringIO(), torch.get_num_threads()
    with contextlib.redirect_stdout(out), torch.random.fork_rng(devices=[]):
        exec(compile(code, "script", "exec"), {"__name__": "script"})
    torch.set_num_threads(threads)
    return out.getvalue()


@pytest.mark.parametrize(("number", "words"), list(enumerate(WORKING.values())), ids=list(WORKING))
def test_the_script_of_an_entry_of_ones_own_prints_the_losses_of_the_trainer(found, number, words):
    code, losses = found[number]
    assert code, losses
    assert words in code
    assert losses.count("\n") == 8
    assert printed_by(code) == losses


def test_an_entry_stands_in_the_script_as_it_stands_in_its_file_but_for_a_name_that_clashes(found):
    code, _ = found[list(WORKING).index("clip")]
    assert "# a comment that stays – whatever its letters" in code
    assert "def halve(tensor, by: float = 2.0, *others: float, **more: int) -> None:" in code
    assert "A second paragraph" in code
    assert "halve(p.grad, by=factor)" in code
    assert "register(" not in code


def test_the_name_of_an_entry_is_data_and_runs_nothing(found):
    code, losses = found[len(WORKING)]
    assert "PWNED" in code
    assert printed_by(code) == losses
    assert losses.count("\n") == 8


@pytest.mark.parametrize(
    ("number", "sentence"), list(enumerate(REFUSED.values(), start=len(WORKING) + 1)), ids=list(REFUSED)
)
def test_an_entry_that_cannot_be_copied_is_refused_by_name(found, number, sentence):
    code, message = found[number]
    assert code == ""
    assert sentence in message
    assert "expected a function whose source can be read" in message
