"""What README promises: its code runs, its commands are the ones that CI runs, its links lead somewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def command(name):
    """The one line in the block behind the marker `name`."""
    (block,) = re.findall(rf"^<!-- command: {name} -->\n```sh\n(.*?)^```$", README, re.M | re.S)
    (line,) = block.splitlines()
    return line


def run_python(code, cwd):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.run([sys.executable, "-c", code], cwd=cwd, env=environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    return process.stdout.splitlines()


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """What README's Python blocks print, run from top to bottom in one process."""
    code = "\n".join(re.findall(r"^```python\n(.*?)^```$", README, re.M | re.S))
    return run_python(code, tmp_path_factory.mktemp("readme"))


def test_the_four_steps_end_as_told(printed):
    """Plain and accumulated runs diverge, the clipped one survives, the one at gain 1 learns."""
    plain, accumulated, clipped, cured = printed[:4]
    assert "Diverged at step" in plain
    assert "Diverged at step" in accumulated
    loss = [float(line.rsplit("loss ", 1)[1]) for line in (clipped, cured)]
    assert loss[0] > 0.7  # log 2 = 0.69 is what guessing between two classes costs
    assert loss[1] < 0.35  # half of that


def test_the_slow_motion_shows_every_stage(printed):
    stages = [line for line in printed if line in ("forward", "backward", "accumulate", "clip", "update")]
    assert stages == ["forward", "backward", "accumulate", "clip", "update"]


def test_the_choice_added_in_a_cell_stands_in_its_table(printed):
    assert (
        "| `two_point` | Plus or minus 1/√fan_in | Every weight has the same size; only its sign is drawn. |"
        in printed
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


def test_every_link_into_the_repository_leads_to_a_file():
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert "docs/panel.png" in links
    assert [link for link in links if not (ROOT / link).is_file()] == []
