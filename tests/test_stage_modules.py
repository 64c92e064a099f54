"""The stage's JavaScript: its own tests under node, and that it is joined into one module that loads."""

import shutil
import subprocess
from pathlib import Path

import pytest

from gradlab.locale import STRINGS, Text
from gradlab.stage import stage_source, stage_words

TESTS = Path(__file__).parent / "stage"
STAGE = Path(__file__).parents[1] / "gradlab" / "stage"


@pytest.fixture(scope="module")
def node():
    found = shutil.which("node")
    if found is None:
        pytest.fail("node is not on PATH; the stage's modules are tested with it")
    return found


def test_scales_packets_layout_and_pace_hold_under_node(node):
    done = subprocess.run([node, "--test", *map(str, TESTS.glob("*.test.mjs"))], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


if TSC := shutil.which("tsc"):  # a tool of who writes the modules; where there is none, there is no such test

    def test_the_types_in_the_modules_comments_hold():
        options = ["--noEmit", "--checkJs", "--allowJs", "--strict", "--noUnusedLocals"]
        options += ["--noImplicitReturns", "--noFallthroughCasesInSwitch"]
        options += ["--target", "es2022", "--module", "es2022"]
        done = subprocess.run([str(TSC), *options, *map(str, STAGE.glob("*.js"))], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("entry", ["widget", "recorded"])
def test_the_modules_join_into_one_that_imports_nothing(node, tmp_path, entry):
    source = stage_source(entry)
    assert "\nimport " not in source
    file = tmp_path / "joined.mjs"
    file.write_text(source)
    done = subprocess.run([node, "--check", str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert source.count("export") == source.count("export default { render };")


def test_no_two_modules_use_one_name_at_the_top(node):
    """Joined, they share a scope; node --check finds the clash, and this says which."""
    seen: dict[str, str] = {}
    for file in sorted(STAGE.glob("*.js")):
        if file.stem == "recorded":
            continue
        for line in file.read_text().splitlines():
            words = line.removeprefix("export ").replace("async ", "").split()
            if words and words[0] in ("const", "function", "class", "let") and not line.startswith((" ", "}")):
                name = words[1].split("(")[0]
                assert name not in seen or name.startswith("["), f"{name} in {seen[name]} and {file.name}"
                seen[name] = file.name


def test_every_word_that_the_browser_asks_for_is_sent_in_both_languages():
    import re

    asked = set()
    for file in STAGE.glob("*.js"):
        text = file.read_text()
        asked |= set(re.findall(r'(?:words|\bw)\["([\w.]+)"\]', text)) | set(re.findall(r'say\("([\w.]+)"', text))
    for lang in STRINGS:
        assert asked <= set(stage_words(Text(lang)))
