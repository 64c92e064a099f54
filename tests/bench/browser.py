"""A real JupyterLab in a real Chromium for the benchmarks that need one."""

import contextlib
import os
import sys
import tempfile
from pathlib import Path

import psutil
from playwright.sync_api import sync_playwright

from tests.browser.lab_page import LabPage
from tests.browser.lab_server import CHROMIUM_OPTIONS, require_chromium, serve


@contextlib.contextmanager
def jupyterlab():
    """Start JupyterLab and a headless Chromium, and yield a `LabPage` in it."""
    chromium = require_chromium(os.environ)
    with (
        tempfile.TemporaryDirectory() as folder,
        serve([sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={folder}"]) as url,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_OPTIONS)
        page = browser.new_context(viewport={"width": 1400, "height": 1000}).new_page()
        page.set_default_timeout(60_000)
        yield LabPage(page, url, Path(folder), Path(folder))
        browser.close()


def cpu_seconds():
    """Return the CPU seconds so far of the processes below this one: kernel, server, browser."""
    spent = {"kernel": 0.0, "server": 0.0, "browser": 0.0}
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            line = " ".join(process.cmdline())
            kind = "kernel" if "ipykernel" in line else "server" if "jupyter" in line else "browser"
            times = process.cpu_times()
            spent[kind] += times.user + times.system
    return spent
