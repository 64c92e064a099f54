"""Fixtures of the browser tests: one JupyterLab, one Chromium, and two tabs that the tests are lent."""

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
from playwright.sync_api import Browser, ViewportSize, expect, sync_playwright

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


@pytest.fixture(scope="package")
def browser(chromium: str) -> Iterator[Browser]:
    """A headless Chromium.

    Not of session scope: playwright keeps an event loop running in this thread as long as it lives, and other
    tests want to run their own.
    """
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_OPTIONS)
        yield started
        started.close()


@pytest.fixture(scope="package")
def new_tab(browser: Browser, lab_url: str, lab_root: Path, pytestconfig: pytest.Config) -> Callable[[], LabPage]:
    """A function that opens a tab for JupyterLab.

    What tabs share is storage, and the panel keeps nothing there; JupyterLab is opened with ``?reset``.
    """
    context = browser.new_context(viewport=SIZE)

    def open_tab() -> LabPage:
        page = context.new_page()
        page.set_default_timeout(30_000)
        return LabPage(page, lab_url, lab_root, pytestconfig.rootpath / "test-results")

    return open_tab


def _as_new(tab: LabPage) -> LabPage:
    """Take back what a test may have done to a tab."""
    tab.page.set_viewport_size(SIZE)
    tab.page.emulate_media(reduced_motion="null")
    tab.page.mouse.move(0, 0)
    tab.console_errors.clear()
    return tab


def _failed(tab: LabPage, test: pytest.Item) -> bool:
    """Return whether the test failed; if so, photograph its page and close it."""
    if failed := test.stash.get(_FAILED, False):
        tab.screenshot("failed-" + re.sub(r"\W+", "-", test.name))
        tab.page.close()
    return failed


@pytest.fixture(scope="package")
def lab_tab() -> list[LabPage]:
    """The tab of `lab`, once there is one."""
    return []


@pytest.fixture
def lab(
    new_tab: Callable[[], LabPage], lab_tab: list[LabPage], lab_url: str, request: pytest.FixtureRequest
) -> Iterator[LabPage]:
    """A tab for JupyterLab in which no notebook is open; what the test opens and starts ends with it.

    The tests share it until one fails, as to load JupyterLab takes seconds.
    """
    if not lab_tab:
        lab_tab.append(new_tab())
    tab, kernels = _as_new(lab_tab[0]), running(lab_url)
    yield tab
    if _failed(tab, request.node):
        lab_tab.clear()
    else:
        tab.close_all()
    end_kernels(lab_url, running(lab_url) - kernels)


@pytest.fixture(scope="package")
def shared_tab() -> list[LabPage]:
    """The tab of `shared`, once there is one."""
    return []


@pytest.fixture
def shared(
    new_tab: Callable[[], LabPage], shared_tab: list[LabPage], lab_url: str, request: pytest.FixtureRequest
) -> Iterator[LabPage]:
    """A tab for `make_panel`, whose notebook and kernel the tests share until one fails.

    To load JupyterLab, start a kernel and import torch takes ten times as long as to run a cell again.
    """
    if not shared_tab:
        tab = new_tab()
        tab.open(tab.write("shared.ipynb", ""))
        shared_tab.append(tab)
    tab = _as_new(shared_tab[0])
    yield tab
    if _failed(tab, request.node):
        shared_tab.clear()
        end_kernels(lab_url, running(lab_url))
    else:
        tab.retype("")  # a panel that plays would play on behind the next test


@pytest.fixture
def panel(shared: LabPage, request: pytest.FixtureRequest) -> LabPage:
    """The panel of the module's `OPEN`, a new one for each test, in the shared tab."""
    make_panel(shared, request.module.OPEN)
    return shared
