"""The lecture notebooks as they are committed: the form that all of them share.

nbval runs them and compares every value with the committed one; what it does not look at, that pictures are there and
how long it takes, `conftest.py` at the top asks after the same run.
"""

import ast
import re
from pathlib import Path

import nbformat
import pytest

from tests import minutes

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
LECTURES = [path for path in NOTEBOOKS if path.name[:2] != "00"]
MODULES = {"copy", "functools", "math", "statistics", "matplotlib", "numpy", "torch", "gradlab"}
OTHERS = {"11": {"lightning", "logging", "re", "sys", "torchvision", "transformers", "warnings"}}  # extras
NOISE = {"print", "display", "clear_output", "Output", "Thread", "open", "eval", "exec"}

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
each_lecture = pytest.mark.parametrize("path", LECTURES, ids=lambda path: path.stem)


def read(path):
    return nbformat.read(path, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook):
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def text(notebook):
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def section(notebook, title):
    """What stands under a heading of the second level, up to the next one."""
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", text(notebook), re.M | re.S).group(1)


def tree(notebook):
    """The program, without IPython's magics."""
    return ast.parse(re.sub(r"^%.*", "", "\n".join(cell.source for cell in code_cells(notebook)), flags=re.M))


def value(output):
    """What a value cell found, or None for pictures, panels and other objects."""
    try:
        return ast.literal_eval(output.data["text/plain"])
    except (SyntaxError, ValueError):
        return None


# ---------------------------------------------------------------------- as committed
def test_there_are_a_start_notebook_and_the_lectures_each_with_a_number_of_its_own():
    numbers = [int(path.name[:2]) for path in NOTEBOOKS]
    assert numbers[:9] == list(range(9))
    assert len(set(numbers)) == len(numbers)


@each_notebook
def test_it_is_committed_as_one_run_from_top_to_bottom_without_errors_or_noise(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert [cell.execution_count for cell in code_cells(notebook)] == list(range(1, len(code_cells(notebook)) + 1))
    assert {output.output_type for output in outputs(notebook)} == {"execute_result"}
    assert "widgets" not in notebook.metadata  # the state of panels whose kernel is gone


@each_notebook
def test_its_head_has_a_badge_that_opens_this_very_notebook_on_binder_and_a_line_to_download_it(path):
    head = read(path).cells[0].source
    assert head.startswith("# ")
    badge = r"\[!\[Launch on Binder\]\(https://mybinder\.org/badge_logo\.svg\)\]"
    link = rf"\(https://mybinder\.org/v2/gh/[\w.-]+/[\w.-]+/HEAD\?urlpath=lab/tree/notebooks/{re.escape(path.name)}\)"
    assert re.search(badge + link, head)
    assert f"Download: [{path.name}]({path.name})" in head


@each_notebook
def test_its_head_leads_to_the_glossary_and_it_keeps_torch_to_one_thread(path):
    notebook = read(path)
    assert "[glossary](glossary.md)" in notebook.cells[0].source
    assert (path.parent / "glossary.md").is_file()
    assert "torch.set_num_threads(1)" in "\n".join(cell.source for cell in code_cells(notebook))


@each_notebook
def test_each_section_has_one_goal_and_states_the_minutes_that_its_reader_takes(path):
    notebook, stated = read(path), {}
    for name, cells in minutes.sections(notebook).items():
        goals = minutes.GOAL.findall("\n".join(cell for cell in cells if isinstance(cell, str)))
        assert len(goals) == 1, name
        stated[name] = int(goals[0][1])
        # cells add seconds, less than a minute a section: nbval's run of the whole says so
        assert 0 <= stated[name] - minutes.reading(cells) <= 2, name
    head = re.search(r"About (\d+) minutes without the exercises", notebook.cells[0].source)
    assert head is not None
    assert int(head.group(1)) == sum(stated.values())


def test_every_word_of_the_glossary_is_used_where_it_says():
    glossary = (NOTEBOOKS[0].parent / "glossary.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]+?) \((\d+(?:, \d+)*)\) \|", glossary, re.M)
    assert len(rows) >= 25
    for word, numbers in rows:
        for number in numbers.split(", "):
            book = "\n".join(
                cell.source for path in NOTEBOOKS if path.name[:2] == f"{int(number):02}" for cell in read(path).cells
            )
            stems = [re.split(r"[\s-]", part.strip("$\\"))[0][:7].lower() for part in word.split(", ")]
            assert any(stem in book.lower() for stem in stems), (word, number)


@each_notebook
def test_every_picture_and_panel_is_there_without_a_kernel(path):
    pictures = [output.data for output in outputs(read(path)) if value(output) is None]
    drawn = [data for data in pictures if re.match("<(Figure|GradLab)", data["text/plain"])]
    assert any(data["text/plain"].startswith("<GradLab") for data in drawn)
    assert all("image/png" in data for data in drawn)
    # a front end would look for a widget that no kernel holds, and show an error in the picture's place
    assert [data for data in pictures if "application/vnd.jupyter.widget-view+json" in data] == []


@each_notebook
def test_its_findings_are_values_of_no_more_digits_than_another_machine_can_repeat(path):
    found = [output.data["text/plain"] for output in outputs(read(path)) if value(output) is not None]
    assert len(found) >= 6
    assert sum("True" in plain or "holds" in plain for plain in found) >= 4
    assert [plain for plain in found if re.search(r"\d\.\d{4}", plain)] == []  # three decimals are the most


@each_notebook
def test_it_needs_no_download_and_no_other_package_and_prints_nothing(path):
    nodes = list(ast.walk(tree(read(path))))
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in imported} <= MODULES | OTHERS.get(path.name[:2], set())
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    names |= {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    assert names & NOISE == set()


@each_notebook
def test_it_is_small_enough_for_githubs_viewer(path):
    assert path.stat().st_size < 500_000


@each_lecture
def test_a_lecture_asks_for_predictions_shows_the_panel_and_repeats_the_experiment_without_it(path):
    notebook = read(path)
    program = "\n".join(cell.source for cell in code_cells(notebook))
    assert text(notebook).count("**Predict") >= 2
    assert "GradLab(" in program
    assert re.search(r"\b(Trainer|sweep|compare)\(", program)
    assert len(re.findall(r"\$[^$]+\$", text(notebook))) >= 3  # formulas


@each_lecture
def test_a_lecture_names_its_sources_and_has_a_folded_solution_to_each_exercise(path):
    notebook = read(path)
    assert len(re.findall(r"\((19|20)\d\d\)", section(notebook, "Sources"))) >= 4
    exercises = re.findall(r"^\d\. \*\*(.+?)[.?]?\*\*", section(notebook, "Exercises"), re.M)
    assert len(exercises) in (2, 3)
    solved = re.findall(r"<details><summary>\d\. (.+?)\??</summary>", text(notebook))
    assert solved == exercises
    solutions = [cell for cell in code_cells(notebook) if "solution" in cell.metadata.get("tags", [])]
    assert [cell.source[:12] for cell in solutions if cell.source[0] == "#"] == [
        f"# Solution {number}" for number in range(1, len(exercises) + 1)
    ]
    assert all(cell.metadata.jupyter == {"source_hidden": True, "outputs_hidden": True} for cell in solutions)
