"""The command `gradlab`: a directory that cannot be used is refused in one sentence, with exit code 2."""

import os
import socket
import subprocess
import sys

import pytest
from refusals import in_time

from gradlab import cli


def links(place):
    (place / "loop").symlink_to(place / "loop")
    (place / "one").symlink_to(place / "other")
    (place / "other").symlink_to(place / "one")


def files(place):
    (place / "file").write_text("mine")
    os.mkfifo(place / "pipe")


def directories(place):
    (place / "taken" / cli.START).mkdir(parents=True)
    (place / "manifest" / cli.MANIFEST).mkdir(parents=True)
    (place / "waiting").mkdir()
    os.mkfifo(place / "waiting" / cli.START)


@pytest.mark.parametrize(
    "directory",
    [
        *(
            "loop",
            "one/below",
            "x" * 300,
            "below/" + "y" * 300,
            "z/" * 3000,
            "file",
            "file/below",
            "pipe",
            "/dev/null",
        ),
        *("/dev/full", "/proc/none", "\0", "~no such user/here", "taken", "manifest", "waiting"),
    ],
    ids=lambda d: repr(d[:20]),
)
def test_a_directory_that_cannot_be_used(directory, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for make in (links, files, directories):
        make(tmp_path)
    started = []
    with in_time():
        assert cli.main([directory], start=started.append) == 2
    said = capsys.readouterr()
    assert (started, said.out) == ([], "")
    assert said.err.count("\n") == 1
    assert said.err.startswith("gradlab: DIR=")
    assert "expected a directory" in said.err


def test_a_port_that_is_taken(tmp_path):
    """JupyterLab takes the next one, unless it is told not to; then the command says so."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = [f"--port={taken.getsockname()[1]}", "--ServerApp.port_retries=0"]
        program = [sys.executable, "-c", "import sys; from gradlab.cli import main; sys.exit(main())", str(tmp_path)]
        options = ["--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1", *port]
        with in_time(60):
            ended = subprocess.run([*program, *options], capture_output=True, text=True)
    assert ended.returncode == 2
    said = ended.stderr.splitlines()[-1]
    assert said.startswith("gradlab: JupyterLab did not start with --no-browser")
    assert said.endswith("expected a free port")


@pytest.mark.parametrize(
    ("user", "expected"), [(0, "expected --allow-root, for you are root"), (1000, "expected a free port")]
)
def test_a_root_that_did_not_say_so(user, expected, tmp_path, monkeypatch, capsys):
    def refuse(arguments):
        raise SystemExit(1)

    monkeypatch.setattr(os, "geteuid", lambda: user)
    assert cli.main([str(tmp_path)], start=refuse) == 2
    assert capsys.readouterr().err.endswith(f"{expected}\n")


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), PermissionError(13, "Permission denied")])
def test_a_disk_that_takes_no_more(error, tmp_path, monkeypatch, capsys):
    def refuse(self, content):
        raise error  # root, as in a container, is refused nothing

    monkeypatch.setattr("pathlib.Path.write_bytes", refuse)
    with in_time():
        assert cli.main([str(tmp_path / "new")], start=print) == 2
    assert error.strerror in capsys.readouterr().err
