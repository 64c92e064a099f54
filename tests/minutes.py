"""How long a section of a notebook takes: `python -m tests.minutes [--write] [NOTEBOOK ...]`.

Each notebook is run; a section's minutes are those of its cells, as they ran, and a reader's at the pace below.
The table is printed, and with ``--write`` the run's outputs and the minutes are written into the notebooks.
"""

import argparse
import base64
import io
import re
import tempfile
from datetime import datetime
from math import ceil
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
WORDS = 100  # of a technical text, a minute
FORMULA, LINE_OF_CODE, PICTURE, PANEL, PREDICTION = 0.5, 0.05, 0.8, 2.0, 1.5  # minutes each

HEADING = re.compile(r"^#{1,2} (.+)", re.M)
GOAL = re.compile(r"^\*Goal: (.+)\. \((\d+) min\)\*$", re.M)
LARGE = 100_000  # characters of a picture
NONE = ("Exercises", "Sources", "Solutions", "Where to go from here", "Part one: the code")


def sections(notebook):
    """Return heading -> cells of each section that is to be read, the text of a cell cut at its headings."""
    found, heading = {}, None
    for cell in notebook.cells:
        if cell.cell_type == "code":
            found.setdefault(heading, []).append(cell)
            continue
        first, *rest = re.split(r"^(?=#{1,2} )", cell.source, flags=re.M)
        found.setdefault(heading, []).append(first)
        for part in rest:
            heading = HEADING.match(part).group(1)
            found.setdefault(heading, []).append(part)
    head = notebook.cells[0].source.splitlines()[0][2:]
    return {name: cells for name, cells in found.items() if name not in (None, head, *NONE)}


def reading(cells):
    """Return the minutes that a reader takes over the cells of a section."""
    return sum(_of_text(cell) if isinstance(cell, str) else _of_code(cell) for cell in cells)


def _of_text(text):
    displayed = text.count("$$") // 2
    words = len(
        re.findall(r"[\w\u4e00-\u9fff’']+", re.sub(r"\$\$.*?\$\$|^\*Goal.*$|<.*?>", " ", text, flags=re.S | re.M))
    )
    return words / WORDS + FORMULA * displayed + PREDICTION * text.count("**Predict")


def _of_code(cell):
    pictures = [output for output in cell.outputs if "image/png" in output.get("data", {})]
    panels = [output for output in pictures if output.data["text/plain"].startswith("<GradLab")]
    return (
        LINE_OF_CODE * len(cell.source.splitlines()) + PICTURE * (len(pictures) - len(panels)) + PANEL * len(panels)
    )


def seconds(cells):
    """Return how long the cells of a section ran, by the times that nbclient wrote into them."""
    return sum(_seconds(cell.metadata.execution) for cell in cells if not isinstance(cell, str))


def _seconds(times):
    begun, ended = (datetime.fromisoformat(times[key]) for key in ("iopub.execute_input", "shell.execute_reply"))
    return (ended - begun).total_seconds()


def run(path, first=None):
    """Return a notebook as it is after a run from top to bottom, a line of code before its own cells if asked for."""
    notebook = nbformat.read(path, as_version=4)
    if first:
        notebook.cells.insert(0, nbformat.v4.new_code_cell(first))
    with tempfile.TemporaryDirectory() as empty:
        resources = {"metadata": {"path": empty}}
        NotebookClient(
            notebook, timeout=900, kernel_name="python3", store_widget_state=False, resources=resources
        ).execute()
    notebook.cells = notebook.cells[bool(first) :]
    return notebook


def state(notebook, minutes):
    """Write minutes into the goals, and their sum into the head."""
    for cell in notebook.cells:
        for name in HEADING.findall(cell.source) if cell.cell_type == "markdown" else ():
            if name in minutes:
                after = rf"(#{{1,2}} {re.escape(name)}\n\*Goal: .+\. \()\d+( min\)\*)"
                cell.source = re.sub(after, rf"\g<1>{minutes[name]}\2", cell.source)
    head = notebook.cells[0]
    head.source = re.sub(r"About \d+ minutes", f"About {sum(minutes.values())} minutes", head.source)


def clean(notebook):
    """Take out what differs from run to run and is no finding, and make large pictures small enough for a viewer."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", ()):
            if len(picture := output.get("data", {}).get("image/png", "")) > LARGE:
                output.data["image/png"] = in_a_palette(picture)
    notebook.metadata.pop("widgets", None)


def in_a_palette(picture):
    """Return a PNG, in base64, with 256 colours of its own: a third of the bytes."""
    made = io.BytesIO()
    Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB").quantize(256).save(made, "PNG", optimize=True)
    return base64.b64encode(made.getvalue()).decode()


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "names", nargs="*", default=[""], metavar="NOTEBOOK", help="the beginning of its name, e.g. 07"
    )
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args(arguments)
    print("| section | reading, min | cells, s | stated, min |\n|---|---|---|---|")
    for path in sorted(p for name in options.names for p in NOTEBOOKS.glob(f"{name}*.ipynb")):
        notebook, minutes = run(path), {}
        for name, cells in sections(notebook).items():
            minutes[name] = ceil(reading(cells) + seconds(cells) / 60)
            print(
                f"| {path.stem[:2]} {name} | {reading(cells):.1f} | {seconds(cells):.1f} | {minutes[name]} |",
                flush=True,
            )
        if options.write:
            state(notebook, minutes)
            clean(notebook)
            nbformat.write(notebook, path)


if __name__ == "__main__":
    main()
