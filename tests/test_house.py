"""The house, counted: what a step runs through, circles, base classes, names, lines. Limits only ever go down."""

import ast
import functools
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import gradlab
from gradlab import Config, Trainer

PACKAGE = Path(gradlab.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

MOST_LINES = 23_240
MOST_FILES_OF_A_STEP = 10
MOST_SWITCHES_OF_A_STEP = 45


def files_run_through(act):
    """Return the files of gradlab that a call runs through, call by call."""
    found = []

    def profile(frame, event, arg):
        if event == "call" and frame.f_code.co_filename.startswith(str(PACKAGE)):
            found.append(str(Path(frame.f_code.co_filename).relative_to(PACKAGE)))

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        act()
    finally:
        sys.setprofile(before)
    return found


def switches(calls):
    """Return how often the next call is in another file than the last."""
    return sum(one != other for one, other in pairwise(calls))


def test_a_plain_step_runs_through_few_files_with_few_switches_between_them():
    config = Config(depth=5, accumulation="mean", accumulation_steps=2, clip="global_norm", clip_threshold=0.1)
    trainer = Trainer(config)
    trainer.run(3)
    calls = files_run_through(trainer.step)
    assert len(set(calls)) <= MOST_FILES_OF_A_STEP, Counter(calls)
    assert switches(calls) <= MOST_SWITCHES_OF_A_STEP, calls


def test_the_files_of_a_call_are_counted_without_pythons_own():
    calls = files_run_through(lambda: Config(depth=3).to_json())
    assert set(calls) <= {str(path.relative_to(PACKAGE)) for path in FILES}
    assert calls
    assert switches(["a", "a", "b", "a"]) == 2


# ---------------------------------------------------------------------- imports
@functools.cache
def parse(path):
    return ast.parse(path.read_text())


def module_of(name):
    """Return the file of a dotted name, None if it is none of gradlab's."""
    parts = name.split(".")
    if parts[0] != "gradlab":
        return None
    path = PACKAGE.joinpath(*parts[1:])
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file in FILES:
            return file
    return None


def imported(path):
    """Return the files that a file imports, wherever in it and whenever."""
    package = ("gradlab", *path.relative_to(PACKAGE).parts[:-1])
    found = set()
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            found |= {module_of(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) + 1 - node.level]) if node.level else ""
            source = ".".join(part for part in (base, node.module) if part)
            found |= {module_of(f"{source}.{alias.name}") or module_of(source) for alias in node.names}
    return found - {None, path}


def edge(path, other):
    return str(path.relative_to(PACKAGE)), str(other.relative_to(PACKAGE))


def circles(graph):
    """Return the edges that lead back to where they come from."""
    reach = {node: set(others) for node, others in graph.items()}
    changed = True
    while changed:
        changed = False
        for node in reach:
            more = set().union(*(reach[other] for other in reach[node])) - reach[node]
            if more:
                reach[node] |= more
                changed = True
    return {(node, other) for node, others in graph.items() for other in others if node in reach[other]}


def test_no_file_imports_itself_round_a_corner_delayed_imports_included():
    graph = {path: imported(path) for path in FILES}
    assert {edge(*pair) for pair in circles(graph)} == set()


def test_a_circle_is_found():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}
    assert circles(graph) == {("b", "c"), ("c", "b")}


# ---------------------------------------------------------------------- classes, names, lines
EXTENDED_BY_OTHERS: set[str] = set()
"""Public base classes that are there for somebody's own child."""


def test_no_base_class_has_a_single_child():
    classes = [node for path in FILES for node in ast.walk(parse(path)) if isinstance(node, ast.ClassDef)]
    own = {node.name for node in classes}
    children = Counter(ast.unparse(base).split("[")[0].split(".")[-1] for node in classes for base in node.bases)
    alone = {name for name, count in children.items() if count == 1 and name in own}
    assert alone == EXTENDED_BY_OTHERS


def test_no_two_modules_have_one_name():
    names = Counter(path.parent.name if path.name == "__init__.py" else path.stem for path in FILES)
    assert [name for name, count in names.items() if count > 1] == []


def test_the_package_has_no_more_lines_than_it_may():
    assert sum(len(path.read_text().splitlines()) for path in FILES) <= MOST_LINES


def test_a_file_fits_a_sitting():
    long = [path for path in FILES if len(path.read_text().splitlines()) > 640]
    assert long == [], "more than one sitting: one subject a file"
