"""Fixtures of the browser tests: one JupyterLab for the session, one Chromium a module, one tab or panel a test."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from lab_page import LabPage
from lab_server import CHROMIUM_OPTIONS, end_kernels, require_chromium, running, serve
from panel_page import make_panel
from playwright.sync_api import Browser, BrowserContext, ViewportSize, expect, sync_playwright

expect.set_options(timeout=30_000)  # a shared machine can be ten times slower than a quiet one

SIZE: ViewportSize = {"width": 1400, "height": 1000}
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
    made = browser.new_context(viewport=SIZE)
    made.new_page().goto(f"{lab_url}/api/status")
    yield made
    made.close()


@pytest.fixture(scope="module")
def new_tab(
    context: BrowserContext, lab_url: str, lab_root: Path, pytestconfig: pytest.Config
) -> Callable[[], LabPage]:
    """A function that opens a tab."""

    def open_tab() -> LabPage:
        page = context.new_page()
        page.set_default_timeout(30_000)
        return LabPage(page, lab_url, lab_root, pytestconfig.rootpath / "test-results")

    return open_tab


def _failed(tab: LabPage, test: pytest.Item) -> bool:
    """Return whether the test failed, and photograph its page if so."""
    if failed := test.stash.get(_FAILED, False):
        tab.screenshot("failed-" + re.sub(r"\W+", "-", test.name))
    return failed


@pytest.fixture
def lab(
    new_tab: Callable[[], LabPage], context: BrowserContext, lab_url: str, request: pytest.FixtureRequest
) -> Iterator[LabPage]:
    """A fresh tab with JupyterLab; its kernels end with the test, and a failed test leaves a screenshot."""
    pages, kernels = context.pages, running(lab_url)
    tab = new_tab()
    yield tab
    _failed(tab, request.node)
    for page in context.pages:
        if page not in pages:
            page.close()
    end_kernels(lab_url, running(lab_url) - kernels)


@pytest.fixture(scope="module")
def shared_tab(lab_url: str) -> Iterator[list[LabPage]]:
    """The tab of `shared`, once there is one."""
    tabs: list[LabPage] = []
    yield tabs
    end_kernels(lab_url, running(lab_url))


@pytest.fixture
def shared(
    new_tab: Callable[[], LabPage], shared_tab: list[LabPage], lab_url: str, request: pytest.FixtureRequest
) -> Iterator[LabPage]:
    """A tab for `make_panel`, which the module's tests share until one fails.

    To load JupyterLab, start a kernel and import torch takes ten times as long as to run a cell again.
    """
    if not shared_tab:
        shared_tab.append(new_tab())
        shared_tab[0].open(shared_tab[0].write("shared.ipynb", ""))
    tab = shared_tab[0]
    tab.page.set_viewport_size(SIZE)
    tab.page.emulate_media(reduced_motion="null")
    tab.page.mouse.move(0, 0)
    tab.console_errors.clear()
    yield tab
    if _failed(tab, request.node):
        tab.page.close()
        shared_tab.clear()
        end_kernels(lab_url, running(lab_url))


@pytest.fixture
def panel(shared: LabPage, request: pytest.FixtureRequest) -> LabPage:
    """The panel of the module's `OPEN`, a new one for each test, in the shared tab."""
    make_panel(shared, request.module.OPEN)
    return shared
