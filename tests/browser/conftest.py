"""Fixtures of the browser tests: one JupyterLab for the session, one Chromium a module, one tab a test."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from lab_page import LabPage
from lab_server import CHROMIUM_OPTIONS, end_sessions, require_chromium, serve
from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright

expect.set_options(timeout=30_000)  # a shared machine can be ten times slower than a quiet one

_FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember a failure, so that the page's end can be photographed."""
    report = yield
    if report.failed:
        item.stash[_FAILED] = True
    return report


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of a Chromium; skips without one, or fails where CI=true."""
    return require_chromium(os.environ)


@pytest.fixture(scope="session")
def lab_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory that JupyterLab shows."""
    return tmp_path_factory.mktemp("lab-root")


@pytest.fixture(scope="session")
def lab_url(chromium: str, lab_root: Path) -> Iterator[str]:  # without a Chromium nothing is started
    """Where a throw-away JupyterLab listens."""
    with serve([sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={lab_root}"]) as url:
        yield url


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """A headless Chromium.

    Of module scope: playwright keeps an event loop running in this thread as long as it lives, and other
    tests want to run their own.
    """
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_OPTIONS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def context(browser: Browser, lab_url: str) -> Iterator[BrowserContext]:
    """A window with a tab of the server's that stays: it keeps JupyterLab's scripts compiled for the tests' tabs.

    What the tabs share is storage, and the panel keeps nothing there; JupyterLab is opened with ``?reset``.
    """
    made = browser.new_context(viewport={"width": 1400, "height": 1000})
    made.new_page().goto(f"{lab_url}/api/status")
    yield made
    made.close()


@pytest.fixture
def lab(
    context: BrowserContext, lab_url: str, lab_root: Path, request: pytest.FixtureRequest, pytestconfig: pytest.Config
) -> Iterator[LabPage]:
    """A fresh tab with JupyterLab; its kernels end with the test, and a failed test leaves a screenshot."""
    page = context.new_page()
    page.set_default_timeout(30_000)
    tab = LabPage(page, lab_url, lab_root, pytestconfig.rootpath / "test-results")
    yield tab
    if request.node.stash.get(_FAILED, False):
        tab.screenshot("failed-" + re.sub(r"\W+", "-", request.node.name))
    for page in context.pages[1:]:
        page.close()
    end_sessions(lab_url)
