"""What mybinder.org builds, checked piece by piece: nothing here can build the image itself."""

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

ROOT = Path(__file__).parents[1]
BINDER = ROOT / "binder"


def lines(path):
    """The lines of a pip file that mean something."""
    stripped = (re.sub(r"(^|\s)#.*", "", line).strip() for line in path.read_text().splitlines())
    return [line for line in stripped if line]


@pytest.fixture(scope="module")
def pins():
    """Name -> version, of constraints.txt."""
    return dict(line.split("==") for line in lines(ROOT / "constraints.txt"))


@pytest.fixture(scope="module")
def requirements():
    """Name -> Requirement, of what binder/requirements.txt asks for by name."""
    named = [line for line in lines(BINDER / "requirements.txt") if line[0].isalpha()]
    return {requirement.name: requirement for requirement in map(Requirement, named)}


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_package_itself_and_the_pins_are_installed():
    asked = lines(BINDER / "requirements.txt")
    assert ".[digits,integrations]" in asked  # which notebook 11 runs with
    constraint = next(line.split()[1] for line in asked if line.startswith("-c "))
    assert (BINDER / constraint).resolve() == ROOT / "constraints.txt"


def test_torch_is_the_cpu_build_of_the_pinned_version_from_pytorchs_own_index(requirements, pins):
    assert requirements["torch"].specifier == SpecifierSet(f"=={pins['torch']}+cpu")
    # repo2docker splits an option from its value at the space; with "=" it stumbles
    assert "--extra-index-url https://download.pytorch.org/whl/cpu" in lines(BINDER / "requirements.txt")


def test_the_kernel_is_new_enough_for_widgets_written_from_a_thread(requirements, pins):
    assert not requirements["ipykernel"].specifier.contains("7.0.1")
    assert pins["ipykernel"] in requirements["ipykernel"].specifier


def test_the_python_asked_for_is_one_the_package_accepts(project):
    name, version = (BINDER / "runtime.txt").read_text().strip().split("-")
    assert name == "python"
    assert version in SpecifierSet(project["requires-python"])


def test_every_dependency_and_test_tool_is_pinned_to_an_accepted_version(project, pins):
    extras = project["optional-dependencies"]
    asked = [line for extra in ("digits", "docs", "frame", "test") for line in extras[extra]]
    wanted = map(Requirement, project["dependencies"] + asked)
    for requirement in wanted:
        if requirement.name != project["name"]:
            assert pins[requirement.name] in requirement.specifier, requirement


def test_what_binder_installs_is_part_of_the_environment_that_this_suite_runs_in(requirements, project, pins):
    """CI makes that environment afresh, from the same pins. Only torch's build is another, and it may be newer."""
    assert Version(version("torch")) >= Version(pins["torch"])
    others = [requirement for name, requirement in requirements.items() if name != "torch"]
    for requirement in [*others, *map(Requirement, project["dependencies"])]:
        assert version(requirement.name) in requirement.specifier, requirement


def test_the_start_script_runs_its_command_with_one_thread_and_its_arguments_untouched():
    program = "import os, sys; print(os.environ['OMP_NUM_THREADS'], sys.argv[1:])"
    command = ["bash", BINDER / "start", sys.executable, "-c", program, "two words", "*", "$HOME"]
    environment = os.environ | {"OMP_NUM_THREADS": "8"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert result.stdout == "1 ['two words', '*', '$HOME']\n"
    assert subprocess.run(["bash", BINDER / "start", "false"]).returncode == 1
    assert os.access(BINDER / "start", os.X_OK)


def test_the_start_notebook_is_where_the_link_points():
    link = "urlpath=lab/tree/notebooks/00_start.ipynb"
    assert link in (ROOT / "README.md").read_text()
    assert (ROOT / "notebooks" / "00_start.ipynb").is_file()
