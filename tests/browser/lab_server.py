"""What a browser test needs around it: a Chromium, and a throw-away JupyterLab that only this machine can reach."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
NO_CHROMIUM = (
    "no Chromium: set CHROMIUM to its path, or put it on PATH as "
    f"{', '.join(NAMES[:-1])} or {NAMES[-1]} (Debian, Ubuntu: apt-get install chromium)"
)
CHROMIUM_OPTIONS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-sync",
    "--no-first-run",
    "--process-per-site",  # scripts of a site that is open in another tab are compiled: JupyterLab's take seconds
)
# a notice over the notebook would catch the mouse
QUIET = {"notification": {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True}}
START_SECONDS, STOP_SECONDS = 90, 20


def require_chromium(environ: Mapping[str, str]) -> str:
    """Return the path of a Chromium; without one skip the test, or fail it where CI=true."""
    if named := environ.get("CHROMIUM"):
        if (found := shutil.which(named)) is None:
            pytest.fail(f"CHROMIUM={named!r} is not a program; expected the path of a Chromium, or leave it unset")
        return found
    for name in NAMES:
        if found := shutil.which(name, path=environ.get("PATH")):
            return found
    if environ.get("CI") == "true":
        pytest.fail(NO_CHROMIUM)
    pytest.skip(NO_CHROMIUM)


@contextlib.contextmanager
def serve(command: Sequence[str]) -> Iterator[str]:
    """Run JupyterLab without a token, on the loopback address only, and yield its URL.

    Parameters
    ----------
    command : sequence of str
        What starts it; options that keep it to itself are added.
    """
    with tempfile.TemporaryDirectory(prefix="lab-", ignore_cleanup_errors=True) as home:
        own = Path(home)
        _write_settings(own / "settings")
        log = own / "lab.log"
        with log.open("w") as sink:
            process = subprocess.Popen(
                [*command, *_options(own)],
                cwd=own,
                env=_environment(own),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
            )
            try:
                yield _wait_until_up(process, own / "runtime", log)
            finally:
                stop(process)


def _options(own: Path) -> list[str]:
    return [
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        "--expose-app-in-browser",
        "--IdentityProvider.token=",
        "--PasswordIdentityProvider.hashed_password=",
        "--ServerApp.disable_check_xsrf=True",
        "--ServerApp.terminals_enabled=False",
        "--KernelManager.shutdown_wait_time=0",  # a kernel that is torn down is not waited for
        f"--LabApp.user_settings_dir={own / 'settings'}",
        f"--LabApp.workspaces_dir={own / 'workspaces'}",
        "--LabApp.news_url=",
    ]


def _environment(own: Path) -> dict[str, str]:
    """Return an environment in which nobody's Jupyter settings, kernels or IPython profile are seen."""
    return os.environ | {
        "JUPYTER_CONFIG_DIR": str(own / "config"),
        "JUPYTER_DATA_DIR": str(own / "data"),
        "JUPYTER_RUNTIME_DIR": str(own / "runtime"),
        "JUPYTER_PLATFORM_DIRS": "1",
        "IPYTHONDIR": str(own / "ipython"),
        "OMP_NUM_THREADS": "1",
    }


def _write_settings(place: Path) -> None:
    for name, values in QUIET.items():
        path = place / "@jupyterlab" / "apputils-extension" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))


def _wait_until_up(process: subprocess.Popen[bytes], runtime: Path, log: Path) -> str:
    """Return the URL that the server wrote down, once it answers there."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        for note in runtime.glob("jpserver-*.json"):
            with contextlib.suppress(ValueError, urllib.error.URLError):  # half written, or not listening yet
                url = json.loads(note.read_text())["url"].rstrip("/")
                ask(f"{url}/api/status")
                return url
        time.sleep(0.05)
    raise RuntimeError(f"JupyterLab did not start; its log ends with\n{log.read_text()[-4000:]}")


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()  # it shuts its kernels down first
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def ask(url: str, method: str = "GET") -> Any:
    """Send a request to the server's REST interface and return the JSON it answers with, if any."""
    with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=10) as reply:
        body = reply.read()
    return json.loads(body) if body else None


def running(url: str) -> set[str]:
    """Return the ids of the server's kernels."""
    return {kernel["id"] for kernel in ask(f"{url}/api/kernels")}  # two notebooks can share one


def end_kernels(url: str, kernels: set[str]) -> None:
    """Shut kernels of the server down."""
    for kernel in kernels:
        ask(f"{url}/api/kernels/{kernel}", "DELETE")
