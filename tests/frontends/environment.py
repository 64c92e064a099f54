"""A throw-away virtual environment with every front end, and their servers."""

import contextlib
import importlib.metadata
import os
import socket
import subprocess
import sysconfig
import time
import tomllib
import urllib.error
import urllib.request
import venv
from pathlib import Path

from tests.browser.lab_server import stop

ROOT = Path(__file__).parents[2]
START_SECONDS = 180
WITH_FILES = (
    "anywidget",
    "jupyterlab",
    "jupyterlab_widgets",
    "widgetsnbextension",
    "jupyter_server",
    "nbconvert",
    "notebook_shim",  # without its file nbclassic loads no widgets
)
"""What lays files beside the Python that it is installed for, where front ends look for them."""


def make(place):
    """Make the environment, unless it stands, and return its Python.

    What this Python has installed, torch and ipywidgets among it, is seen from there, too.
    """
    python = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        venv.create(place, with_pip=True)
        site = subprocess.check_output(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
        ).strip()
        (Path(site) / "below.pth").write_text(f"{ROOT}\n{sysconfig.get_path('purelib')}\n")
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        install = [python, "-m", "pip", "install", "--quiet"]
        subprocess.run([*install, *extras["frontends"]], check=True)
        here = [f"{name}=={importlib.metadata.version(name)}" for name in WITH_FILES]
        subprocess.run([*install, "--ignore-installed", "--no-deps", *here], check=True)
    return python


def surroundings(home):
    """Return an environment in which nobody's settings are seen."""
    return os.environ | {
        "HOME": str(home),
        "IPYTHONDIR": str(home / "ipython"),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "XDG_CONFIG_HOME": str(home / "config"),
        "OMP_NUM_THREADS": "1",
    }


def version(python, distribution):
    """Return the version of a distribution in the environment."""
    code = f"import importlib.metadata as m; print(m.version({distribution!r}))"
    return subprocess.check_output([python, "-c", code], text=True).strip()


@contextlib.contextmanager
def server(command, home, path=""):
    """Run a server whose command has a place for its port, and yield its address once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = home / "server.log"
    with log.open("w") as sink:
        process = subprocess.Popen(
            [str(word).format(port=port) for word in command],
            cwd=home,
            env=surroundings(home),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
        try:
            yield _answering(process, f"http://127.0.0.1:{port}{path}", log)
        finally:
            stop(process)


def _answering(process, url, log):
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=30).close()
            return url
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    raise RuntimeError(f"no answer from {url}; the log ends with\n{log.read_text()[-2000:]}")
