"""What README and the site's guides promise: their code runs, README's commands are CI's, links lead somewhere."""

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gradlab import Config, Trainer
from tests.promises import PROMISES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {"README.md": README} | {
    str(page.relative_to(ROOT)): page.read_text(encoding="utf-8") for page in sorted(ROOT.glob("docs/guide/*.md"))
}
RUN = """
import contextlib, io, json, linecache, sys

printed = {}
for name, code in json.load(sys.stdin).items():
    linecache.cache[name] = len(code), None, code.splitlines(keepends=True), name  # its source, as a notebook has it
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(code, name, "exec"), {"__name__": "__main__"})
    printed[name] = out.getvalue().splitlines()
print(json.dumps(printed))
"""


def command(name):
    """The one line in the block behind the marker `name`."""
    (block,) = re.findall(rf"^<!-- command: {name} -->\n```sh\n(.*?)^```$", README, re.M | re.S)
    (line,) = block.splitlines()
    return line


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """What the Python blocks of each page print, run from top to bottom, every page in a namespace of its own."""
    blocks = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)
    codes = {name: "\n".join(blocks.findall(page)) for name, page in PAGES.items()}
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    where, codes = tmp_path_factory.mktemp("pages"), json.dumps(codes)
    process = subprocess.run(
        [sys.executable, "-c", RUN], cwd=where, env=environment, input=codes, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


def test_the_four_steps_end_as_told(printed):
    """Plain and accumulated runs diverge, the clipped one survives, the one at gain 1 learns."""
    plain, accumulated, clipped, cured = printed["README.md"][:4]
    assert "Diverged at step" in plain
    assert "Diverged at step" in accumulated
    loss = [float(line.rsplit("loss ", 1)[1]) for line in (clipped, cured)]
    assert loss[0] > 0.7  # log 2 = 0.69 is what guessing between two classes costs
    assert loss[1] < 0.35  # half of that


@pytest.mark.parametrize("seed", range(8))
def test_the_four_steps_end_so_for_other_seeds_too(seed):
    seeds = {"weight_seed": seed, "data_seed": seed, "batch_seed": seed}
    ends = []
    for change in ({}, {"accumulation": "mean"}, {"clip": "global_norm"}, {"gain": 1.0}):
        trainer = Trainer(Config(depth=20, gain=1.5).replace(**seeds, **change))
        ends.append("diverged" if trainer.run(200).diverged else trainer.evaluate()["loss"])
    assert ends[:2] == ["diverged", "diverged"]
    assert ends[2] > math.log(2) > 3 * ends[3]


def test_the_slow_motion_shows_every_stage(printed):
    lines = printed["docs/guide/engineer.md"]
    stages = [line for line in lines if line in ("forward", "backward", "accumulate", "clip", "update")]
    assert stages == ["forward", "backward", "accumulate", "clip", "update"]


def test_a_check_of_the_graders_page_passes_the_cure_and_no_other(printed):
    verdicts = [line.split("} ")[1] for line in printed["docs/guide/grader.md"] if line.startswith("{")]
    assert verdicts == ["False", "False", "True"]


def test_the_choice_added_in_a_cell_stands_in_its_table(printed):
    assert (
        "| `two_point` | Plus or minus 1/√fan_in | Every weight has the same size; only its sign is drawn. |"
        in printed["docs/guide/extending.md"]
    )


def test_ci_runs_the_test_command_word_for_word(tmp_path):
    """.ci/run is run with a python3 that only notes what it is asked; it stops where the command fails."""
    for folder in ("repo/.ci", "bin"):
        (tmp_path / folder).mkdir(parents=True)
    for name in (".ci/run", "README.md"):
        (tmp_path / "repo" / name).write_bytes((ROOT / name).read_bytes())
    stub = tmp_path / "bin" / "python3"
    stub.write_text('#!/bin/sh\necho "$@" >> asked\ntest "$1" != -m\n')
    stub.chmod(0o755)
    environment = os.environ | {"PATH": f"{stub.parent}{os.pathsep}{os.environ['PATH']}", "CHROMIUM": "/bin/true"}
    fonts = stub.with_name("fc-list")
    fonts.write_text("#!/bin/sh\necho some font\n")
    fonts.chmod(0o755)
    script = tmp_path / "repo" / ".ci" / "run"
    process = subprocess.run(["bash", script], env=environment, capture_output=True, text=True)
    assert process.returncode == 1  # the stub failed the command, and set -e took notice
    assert process.stdout.splitlines() == [f"+ {command('test')}"]
    assert "-m venv .venv-test" in (tmp_path / "repo" / "asked").read_text()


def test_the_start_command_ends_in_the_lab_and_the_test_command_in_one_thread():
    assert command("start").endswith(".venv/bin/gradlab")
    assert "OMP_NUM_THREADS=1 .venv-test/bin/pytest" in command("test")


def test_the_lines_for_powershell_are_the_commands_in_another_shell():
    shell = {"py": "python3", "$env:OMP_NUM_THREADS=1": "OMP_NUM_THREADS=1"}
    said = re.findall(r"`(py -m venv [^`]+)`", README)
    found = [
        [shell.get(w, w).replace("\\Scripts\\", "/bin/") for w in line.replace(";", " ").split()] for line in said
    ]
    assert found == [command(name).replace("&&", " ").split() for name in ("start", "test")]


def test_the_cpu_build_named_is_the_torch_that_is_pinned():
    (version,) = re.findall(r"`torch==([\d.]+)\+cpu`", README)
    assert f"torch=={version}" in (ROOT / "constraints.txt").read_text().split()


@pytest.mark.parametrize("name", PAGES)
def test_every_link_into_the_repository_leads_to_a_file(name):
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", PAGES[name]) if "://" not in link]
    assert [link for link in links if not (ROOT / name).parent.joinpath(link).is_file()] == []


@pytest.mark.parametrize("name", PAGES)
def test_every_promise_stands_on_its_page_and_has_a_test_that_is_there(name):
    words = " ".join(PAGES[name].split())
    tests = {
        found
        for path in ROOT.glob("tests/**/test_*.py")
        for found in re.findall(r"^def (test_\w+)", path.read_text(), re.M)
    }
    assert [promise for promise in PROMISES.get(name, {}) if promise not in words] == []
    assert [test for held in PROMISES.get(name, {}).values() for test in held.split() if test not in tests] == []


@pytest.mark.parametrize("name", PAGES)
def test_every_command_of_the_repository_can_be_started(name):
    modules = set(re.findall(r"python -m ((?:tests|docs)[\w.]*\w)", PAGES[name]))
    places = [ROOT.joinpath(*module.split(".")) for module in modules]
    assert [at for at in places if not at.with_suffix(".py").exists() and not (at / "__main__.py").exists()] == []
