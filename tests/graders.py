"""Let otter-grader and nbgrader grade an exercise: `python -m tests.graders`, where both are installed.

They are no dependency of gradlab and no part of the test suite: nbgrader brings extensions for JupyterLab that the
browser tests would meet. ``pip install otter-grader nbgrader -c constraints.txt`` changes no pinned package.
"""

import os
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

NAME = "learning-rate"
RIGHT, WRONG = "answer = {'lr': 0.0165}", "answer = {'lr': 0.1}"
SETUP = f"import torch\nimport gradlab\n\ntorch.set_num_threads(1)\ntask = gradlab.exercise({NAME!r})"
CHECK = "assert task.check(**answer, seeds=[71, 72, 73, 74, 75])"

ENVIRONMENT = os.environ | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}

OTTER_TEST = f"""OK_FORMAT = True
test = {{"name": "answer", "points": 2, "suites": [{{"type": "doctest", "scored": True, "setup": "", "teardown": "",
    "cases": [{{"code": ">>> {CHECK}", "hidden": False, "locked": False}}]}}]}}
"""

NBGRADER_COMMAND = (sys.executable, "-m", "nbgrader")
NBGRADER = """c = get_config()
c.CourseDirectory.root = {root!r}
c.CourseDirectory.course_id = "gradients"
c.ClearSolutions.code_stub = {{"python": "answer = {{}}"}}
"""


def main():
    with tempfile.TemporaryDirectory() as folder:
        scores = {"otter-grader": otter(Path(folder) / "otter"), "nbgrader": nbgrader(Path(folder) / "nbgrader")}
    for grader, (right, wrong) in scores.items():
        print(f"{grader}: right answer {right} of 2, wrong answer {wrong} of 2")
    if any(found != (2.0, 0.0) for found in scores.values()):
        sys.exit("expected 2 and 0")


# ---------------------------------------------------------------------- otter-grader
def otter(folder):
    """Return the points of the right and the wrong answer, by ``otter check``."""
    (folder / "tests").mkdir(parents=True)
    (folder / "tests" / "answer.py").write_text(OTTER_TEST)
    return tuple(_otter_points(folder, answer) for answer in (RIGHT, WRONG))


def _otter_points(folder, answer):
    path = folder / "submission.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(SETUP), new_code_cell(answer)]), path)
    command = [sys.executable, "-m", "otter", "check", str(path), "-t", str(folder / "tests")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=ENVIRONMENT)
    return 2.0 if "All tests passed" in done.stdout else 0.0


# ---------------------------------------------------------------------- nbgrader
def nbgrader(folder):
    """Return the points of the right and the wrong answer in nbgrader's gradebook, after generate and autograde."""
    made = {"source/gradients": RIGHT, "submitted/right/gradients": RIGHT, "submitted/wrong/gradients": WRONG}
    for place, answer in made.items():
        (folder / place).mkdir(parents=True)
        source = place.startswith("source")
        nbformat.write(_nbgrader_notebook(answer, source), folder / place / "exercise.ipynb")
    (folder / "nbgrader_config.py").write_text(NBGRADER.format(root=str(folder)))
    for command in ("generate_assignment", "autograde"):
        subprocess.run([*NBGRADER_COMMAND, command, "gradients"], cwd=folder, env=ENVIRONMENT, check=True)
    with import_module("nbgrader.api").Gradebook(f"sqlite:///{folder}/gradebook.db") as book:
        return tuple(book.find_submission("gradients", student).score for student in ("right", "wrong"))


def _nbgrader_notebook(answer, source):
    def cell(code, grade_id, **facts):
        found = {"grade": False, "solution": False, "locked": False, "task": False, "schema_version": 3}
        return new_code_cell(code, metadata={"nbgrader": found | facts | {"grade_id": grade_id}})

    asked = f"### BEGIN SOLUTION\n{answer}\n### END SOLUTION" if source else answer
    return new_notebook(
        cells=[
            cell(SETUP, "setup", locked=True),
            cell(asked, "answer", solution=True),
            cell(CHECK, "check", grade=True, locked=True, points=2),
        ],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )


if __name__ == "__main__":
    main()
