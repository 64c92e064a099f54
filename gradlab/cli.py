"""`gradlab [DIR]`: lay the lecture notebooks out in a directory and start JupyterLab on the first one."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import gradlab
from gradlab.history import write_whole
from gradlab.students import student_files

DEFAULT_DIR = "gradlab-notebooks"
START = "00_start.ipynb"
MANIFEST = ".gradlab.json"

_OURS = ("-h", "--help", "--version", "--students")
_EPILOG = f"""\
DIR comes first; every option after it goes to JupyterLab, e.g. `gradlab lecture --no-browser --port=9000`.
A notebook that you changed is never overwritten: delete or rename it to get the original back.
`gradlab --students DIR` lays out the student edition and ends: no outputs, no solutions, panels that ask
for a prediction first; the lectures with all answers are in DIR/answers.
JupyterLab opens on {START}.
Kernels compute with one thread, the quickest for small networks; set OMP_NUM_THREADS for more."""


# ---------------------------------------------------------------------- laying out
@dataclass(frozen=True)
class Layout:
    """What `lay_out` did, as file names relative to the directory."""

    written: tuple[str, ...] = ()  # new files, and files of an older version that nobody had changed
    kept: tuple[str, ...] = ()  # files that differ from the original and were left as they are


def notebooks() -> Path:
    """Return the directory of the lecture notebooks: inside the installed package, or beside its source."""
    package = Path(gradlab.__file__).parent
    places = (package / "notebooks", package.parent / "notebooks")
    for place in places:
        if (place / START).is_file():
            return place
    raise FileNotFoundError(f"{START} is in none of {', '.join(map(str, places))}; install gradlab-jupyter again")


def lay_out(source: Path, target: Path, edition: Callable[[dict[str, bytes]], dict[str, bytes]] = dict) -> Layout:
    """Copy the notebooks of `source` into `target`, which is made if need be; overwrite nothing a person changed.

    A file is replaced only if it still is, byte for byte, what an earlier call wrote there. What was written is
    remembered as SHA-256 hashes in a hidden file of `target`; without it, a file that differs counts as changed.
    `edition` makes of name -> content what is written; default: as it is.
    """
    target.mkdir(parents=True, exist_ok=True)
    hashes = _read_manifest(target / MANIFEST)
    written, kept = [], []
    for name, content in edition(_files(source)).items():
        there = _read_if_there(target / name)
        if there is None or (there != content and _hash(there) == hashes.get(name)):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            write_whole(target / name, content)
            written.append(name)
        elif there != content:
            kept.append(name)
            continue
        hashes[name] = _hash(content)
    write_whole(target / MANIFEST, json.dumps({"written": hashes}, indent=1).encode())
    return Layout(tuple(written), tuple(kept))


def _read_if_there(path: Path) -> bytes | None:
    if path.exists() and not path.is_file():  # to read a pipe would wait for ever
        raise FileExistsError(f"{path} is no file")
    return path.read_bytes() if path.exists() else None


def _files(source: Path) -> dict[str, bytes]:
    """Return name -> content of every file below `source`, but for hidden ones and caches."""
    found = {path.relative_to(source): path for path in sorted(source.rglob("*")) if path.is_file()}
    shown = {name: path for name, path in found.items() if not any(p.startswith((".", "__")) for p in name.parts)}
    return {name.as_posix(): path.read_bytes() for name, path in shown.items()}


def _read_manifest(path: Path) -> dict[str, str]:
    """Return name -> hash; a manifest that cannot be read as one knows of no file, so none is overwritten."""
    try:
        hashes = json.loads(path.read_text(encoding="utf-8"))["written"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return {}
    return {str(name): str(value) for name, value in hashes.items()} if isinstance(hashes, dict) else {}


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


# ---------------------------------------------------------------------- the command
def main(arguments: Sequence[str] | None = None, start: Callable[[list[str]], object] | None = None) -> int:
    """Run the command `gradlab`; return the exit status: 0, or 2 if the directory, or JupyterLab, cannot be used.

    `arguments` are ``sys.argv[1:]`` by default; `start` is called with JupyterLab's, by default `start_jupyterlab`.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    first = int(list(arguments[:1]) == ["--students"])  # where DIR stands
    ours = [word in _OURS or (i == first and not word.startswith("-")) for i, word in enumerate(arguments)]
    options = _parser().parse_args([word for word, own in zip(arguments, ours, strict=True) if own])
    passed_on = [word for word, own in zip(arguments, ours, strict=True) if not own]
    source, directory = notebooks(), Path(options.directory)
    try:
        directory = directory.expanduser().resolve()
        layout = lay_out(source, directory, student_files if options.students else dict)
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, an unknown ~user, a zero byte
        sys.stderr.write(f"gradlab: {_complaint(directory, error)}\n")
        return 2
    sys.stdout.write(f"gradlab: {directory}: {_report(layout)}\n")
    if options.students:
        return 0
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # torch's threads wait for one another beside a busy browser
    opened = [f"--ServerApp.root_dir={directory}", f"--LabApp.default_url=/lab/tree/{START}"]
    try:
        (start or start_jupyterlab)([*opened, *passed_on])
    except SystemExit as end:  # a port that is taken, say; JupyterLab has logged why
        if end.code:
            given, root = " ".join(passed_on) or "no options", getattr(os, "geteuid", lambda: 1)() == 0
            expected = "--allow-root, for you are root" if root and "--allow-root" not in passed_on else "a free port"
            sys.stderr.write(
                f"gradlab: JupyterLab did not start with {given}, see its log above; expected {expected}\n"
            )
            return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gradlab",
        usage="gradlab [DIR] [JupyterLab options ...]",
        description="Lay the gradlab lecture notebooks out in DIR and open them in JupyterLab.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "directory", metavar="DIR", nargs="?", default=DEFAULT_DIR, help=f"made if need be; default ./{DEFAULT_DIR}"
    )
    parser.add_argument("--students", action="store_true", help="the student edition, and no JupyterLab")
    parser.add_argument("--version", action="version", version=f"gradlab {gradlab.__version__}")
    return parser


def _complaint(directory: Path, error: Exception) -> str:
    if os.path.isfile(directory):
        return f"DIR={str(directory)!r} is a file; expected a directory, or a name for a new one"
    return f"DIR={str(directory)!r} cannot be used: {error}; expected a directory that you can write to"


def _report(layout: Layout) -> str:
    written, kept = ", ".join(layout.written), ", ".join(layout.kept)
    parts = [f"wrote {written}"] * bool(written)
    parts += [f"kept {kept} as you changed it (delete or rename it to get the original back)"] * bool(kept)
    return "; ".join(parts) or "up to date"


def start_jupyterlab(arguments: list[str]) -> None:
    """Start JupyterLab in this process with `arguments` and return when it is shut down."""
    from jupyterlab.labapp import LabApp  # here, so that --help needs no server

    LabApp.launch_instance(arguments)
