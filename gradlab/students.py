"""The student edition of the lecture notebooks: questions without answers, panels that ask before they show.

Made from the lectures as they are committed, so that there is one text: `gradlab --students DIR`.
"""

from __future__ import annotations

import ast
import copy
import json
from collections.abc import Iterator
from typing import Any

ANSWERS = "answers"
SOLUTIONS = "## Solutions"


def student_files(files: dict[str, bytes]) -> dict[str, bytes]:
    """Return name -> content of the student edition, and of the lectures themselves below ``answers``.

    Parameters
    ----------
    files : dict of str to bytes
        The lectures by name; what is no notebook, such as the glossary, goes to both as it is.
    """
    made = {}
    for name, content in files.items():
        made[name] = made[f"{ANSWERS}/{name}"] = content
        if name.endswith(".ipynb"):
            edition = student_edition(json.loads(content))
            made[name] = (json.dumps(edition, indent=1, ensure_ascii=False) + "\n").encode()
    return made


def student_edition(notebook: dict[str, Any]) -> dict[str, Any]:
    """Return a notebook without outputs and solutions, whose panels ask for a prediction first.

    Parameters
    ----------
    notebook : dict
        A lecture in Jupyter's format 4; it is left as it is.
    """
    made = copy.deepcopy(notebook)
    made["cells"] = list(_cells(made["cells"]))
    return made


def _cells(cells: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for cell in cells:
        text = "".join(cell["source"])
        if cell["cell_type"] == "code":
            if "solution" in cell["metadata"].get("tags", []):
                continue
            cell.update(outputs=[], execution_count=None)
            text = asking(text)
        elif "<details>" in text or SOLUTIONS in text:
            text = text.partition(SOLUTIONS)[0].partition("<details>")[0].rstrip()
        if text:
            cell["source"] = text.splitlines(keepends=True)
            yield cell


def asking(code: str) -> str:
    """Return the code of a cell with ``predict=True`` in every panel that it makes."""
    plain = "\n".join("" if line.startswith("%") else line for line in code.split("\n"))  # of IPython's magics
    lines = code.encode().split(b"\n")  # a syntax tree counts columns in bytes
    ends = [
        ((node.end_lineno or 0) - 1, (node.end_col_offset or 0) - 1)
        for node in ast.walk(ast.parse(plain))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "GradLab"
    ]
    for row, column in sorted(ends, reverse=True):
        head, tail = lines[row][:column], lines[row][column:]
        before = b"\n".join([*lines[:row], head]).rstrip()
        comma = b" " if before.endswith(b",") else b"" if before.endswith(b"(") else b", "
        lines[row] = head + comma + b"predict=True" + tail
    return b"\n".join(lines).decode()
