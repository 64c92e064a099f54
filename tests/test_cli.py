"""The command `gradlab`: what it writes, what it leaves alone, and what it hands to JupyterLab."""

import ast
import os
from pathlib import Path

import nbformat
import pytest

import gradlab
from gradlab import cli
from gradlab.students import asking, student_edition

OLD, NEW, MINE = b'{"cells": ["old"]}', b'{"cells": ["new"]}', b'{"cells": ["mine"]}'


@pytest.fixture
def source(tmp_path):
    """Two lecture notebooks, as the package would hold them."""
    place = tmp_path / "source"
    place.mkdir()
    (place / cli.START).write_bytes(OLD)
    (place / "01_next.ipynb").write_bytes(OLD)
    return place


@pytest.fixture
def target(tmp_path):
    return tmp_path / "a" / "new place"


@pytest.fixture
def run(source, monkeypatch, capsys):
    """Run the command with JupyterLab replaced by a list of what it would have been given."""
    monkeypatch.setattr(cli, "notebooks", lambda: source)

    def run(*arguments):
        started = []
        status = cli.main([str(a) for a in arguments], start=started.append)
        return status, started, capsys.readouterr()

    return run


def visible(directory):
    return sorted(p.name for p in directory.iterdir() if not p.name.startswith("."))


def test_the_notebooks_are_laid_out_in_a_directory_that_did_not_exist(source, target):
    layout = cli.lay_out(source, target)
    assert layout == cli.Layout(written=(cli.START, "01_next.ipynb"))
    assert visible(target) == [cli.START, "01_next.ipynb"]
    assert (target / cli.START).read_bytes() == OLD


def test_the_lecture_notebooks_travel_with_the_package():
    here = Path(__file__).parents[1] / "notebooks"
    travelled = cli.notebooks()
    assert (travelled / cli.START).is_file()
    for notebook in here.glob("*.ipynb"):
        assert (travelled / notebook.name).read_bytes() == notebook.read_bytes()


def test_a_package_without_notebooks_says_where_it_looked(monkeypatch, tmp_path):
    monkeypatch.setattr(gradlab, "__file__", str(tmp_path / "gradlab" / "__init__.py"))
    with pytest.raises(FileNotFoundError, match=r"00_start\.ipynb is in none of .*install gradlab-jupyter again"):
        cli.notebooks()


def test_a_second_time_writes_nothing(source, target):
    cli.lay_out(source, target)
    assert cli.lay_out(source, target) == cli.Layout()


def test_an_unchanged_file_of_an_older_version_is_updated(source, target):
    cli.lay_out(source, target)
    (source / cli.START).write_bytes(NEW)
    assert cli.lay_out(source, target).written == (cli.START,)
    assert (target / cli.START).read_bytes() == NEW


@pytest.mark.parametrize("version", [OLD, NEW])
def test_a_changed_file_is_kept_whatever_the_version(source, target, version):
    cli.lay_out(source, target)
    (target / cli.START).write_bytes(MINE)
    (source / cli.START).write_bytes(version)
    for _ in range(2):  # keeping it once must not make it pass for ours
        assert cli.lay_out(source, target).kept == (cli.START,)
        assert (target / cli.START).read_bytes() == MINE


def test_a_file_of_the_same_name_that_was_there_before_is_kept(source, target):
    target.mkdir(parents=True)
    (target / cli.START).write_bytes(MINE)
    assert cli.lay_out(source, target) == cli.Layout(written=("01_next.ipynb",), kept=(cli.START,))
    assert (target / cli.START).read_bytes() == MINE


def test_a_deleted_file_comes_back(source, target):
    cli.lay_out(source, target)
    (target / cli.START).unlink()
    assert cli.lay_out(source, target).written == (cli.START,)


@pytest.mark.parametrize("manifest", ["", "{", "[]", "{}", '{"written": 3}', "\x00"])
def test_without_a_readable_manifest_every_differing_file_is_kept(source, target, manifest):
    cli.lay_out(source, target)
    (target / cli.MANIFEST).write_text(manifest)
    (source / cli.START).write_bytes(NEW)
    assert cli.lay_out(source, target).kept == (cli.START,)
    assert (target / cli.START).read_bytes() == OLD


def test_folders_are_laid_out_and_caches_and_hidden_files_are_not(source, target):
    for name in ("data/table.csv", ".ipynb_checkpoints/00_start-checkpoint.ipynb", "__pycache__/x.pyc"):
        (source / name).parent.mkdir()
        (source / name).write_bytes(b"1")
    assert "data/table.csv" in cli.lay_out(source, target).written
    assert visible(target) == [cli.START, "01_next.ipynb", "data"]


def test_an_interrupted_write_leaves_the_old_file_and_no_litter(source, target, monkeypatch):
    cli.lay_out(source, target)
    (source / cli.START).write_bytes(NEW)
    before = sorted(target.iterdir())

    def fail(self, other):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        cli.lay_out(source, target)
    assert (target / cli.START).read_bytes() == OLD
    assert sorted(target.iterdir()) == before


def test_jupyterlab_is_opened_on_the_start_notebook_of_the_directory(run, target):
    status, started, said = run(target)
    assert status == 0
    assert started == [[f"--ServerApp.root_dir={target}", f"--LabApp.default_url=/lab/tree/{cli.START}"]]
    assert said.out == f"gradlab: {target}: wrote {cli.START}, 01_next.ipynb\n"


def test_a_kept_file_is_told_in_one_line(run, target):
    run(target)
    (target / cli.START).write_bytes(MINE)
    said = run(target)[2].out
    assert said.count("\n") == 1
    assert f"kept {cli.START} as you changed it" in said


@pytest.mark.parametrize("options", [["--no-browser"], ["--port", "9000"], ["--ip=0.0.0.0", "--allow-root"]])
def test_further_options_go_to_jupyterlab_with_and_without_a_directory(run, target, options, tmp_path, monkeypatch):
    assert run(target, *options)[1][0][2:] == options
    monkeypatch.chdir(tmp_path)
    assert run(*options)[1][0][2:] == options
    assert visible(tmp_path / cli.DEFAULT_DIR) == [cli.START, "01_next.ipynb"]


def test_a_file_in_place_of_the_directory_is_refused_by_name(run, tmp_path):
    place = tmp_path / "notes.txt"
    place.write_text("mine")
    status, started, said = run(place)
    assert (status, started) == (2, [])
    assert said.err == f"gradlab: DIR={str(place)!r} is a file; expected a directory, or a name for a new one\n"
    assert place.read_text() == "mine"


def test_a_directory_below_a_file_is_refused(run, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    status, started, said = run(tmp_path / "notes.txt" / "lab")
    assert (status, started) == (2, [])
    assert "cannot be used" in said.err
    assert "expected a directory that you can write to" in said.err


def test_a_directory_that_cannot_be_written_is_refused(run, target, monkeypatch):
    def refuse(self, content):
        raise PermissionError(13, "Permission denied", str(self))  # root, as in a container, is refused nothing

    monkeypatch.setattr(Path, "write_bytes", refuse)
    status, started, said = run(target)
    assert (status, started) == (2, [])
    assert f"DIR={str(target)!r} cannot be used" in said.err
    assert "Permission denied" in said.err


@pytest.mark.parametrize("place", [[], ["lab"], ["lab", "--no-browser"]])
def test_help_and_version_start_nothing_wherever_they_stand(run, capsys, monkeypatch, tmp_path, place):
    monkeypatch.chdir(tmp_path)
    for option, text in (("--help", "usage: gradlab [DIR]"), ("--version", f"gradlab {gradlab.__version__}")):
        with pytest.raises(SystemExit) as end:
            run(*place, option)
        assert end.value.code == 0
        assert text in capsys.readouterr().out
    assert visible(tmp_path) == ["source"]


def test_kernels_compute_with_one_thread_unless_the_user_says_otherwise(run, target, monkeypatch):
    for setting, expected in ((None, "1"), ("3", "3")):
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        if setting is not None:
            monkeypatch.setenv("OMP_NUM_THREADS", setting)
        run(target)
        assert os.environ.get("OMP_NUM_THREADS") == expected


# ---------------------------------------------------------------------- the student edition
def lecture(*cells):
    kinds = {"code": {"execution_count": 1, "outputs": [{"output_type": "execute_result"}]}, "markdown": {}}
    made = [
        {"cell_type": kind, "metadata": {"tags": tags}, "source": [text], **kinds[kind]} for kind, text, tags in cells
    ]
    return {"cells": made, "nbformat": 4}


def test_students_get_questions_without_outputs_and_solutions_and_panels_that_ask_first():
    whole = lecture(
        ("code", "%matplotlib inline\nlab = GradLab(depth=3)\nother = GradLab()", []),
        ("markdown", "## Exercises\n1. **Why?**\n\n## Solutions\n\n<details>because</details>", []),
        ("code", "because = 1", ["solution"]),
        ("markdown", "<details>more</details>", []),
    )
    code, exercises = student_edition(whole)["cells"]
    asked = "%matplotlib inline\nlab = GradLab(depth=3, predict=True)\nother = GradLab(predict=True)"
    assert (code["source"], code["outputs"], code["execution_count"]) == (asked.splitlines(True), [], None)
    assert "".join(exercises["source"]) == "## Exercises\n1. **Why?**"
    assert len(whole["cells"]) == 4


@pytest.mark.parametrize(
    "call", ["GradLab(\n    courts['é'],\n    lr=1,\n)", "(GradLab(a(1), **k))", "f(GradLab(g(GradLab())))"]
)
def test_a_panel_is_made_to_ask_wherever_its_call_ends(call):
    panels = [
        n for n in ast.walk(ast.parse(asking(call))) if isinstance(n, ast.Call) and ast.unparse(n.func) == "GradLab"
    ]
    assert panels
    assert all("predict" in [keyword.arg for keyword in panel.keywords] for panel in panels)


def test_the_command_lays_the_student_edition_out_beside_the_answers_and_starts_nothing(tmp_path, capsys):
    started = []
    assert cli.main(["--students", str(tmp_path / "class")], start=started.append) == 0
    assert started == []
    names = {path.name for path in (Path(__file__).parents[1] / "notebooks").glob("*.ipynb")}
    assert {path.name for path in (tmp_path / "class").glob("*.ipynb")} == names
    assert {path.name for path in (tmp_path / "class" / "answers").glob("*.ipynb")} == names
    for path in (tmp_path / "class").glob("*.ipynb"):
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        assert all(cell.outputs == [] for cell in notebook.cells if cell.cell_type == "code")
        assert not any("<details>" in cell.source for cell in notebook.cells)
    assert cli.main(["--students", str(tmp_path / "class")], start=started.append) == 0
    assert "up to date" in capsys.readouterr().out
