"""The link of the Binder badge, on a server started as Binder starts it, in a real browser."""

import re
import shutil
import sys
from pathlib import Path

import pytest
from lab_page import LabPage
from lab_server import serve
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]


@pytest.fixture
def repository(tmp_path):
    """What the image holds and the test may write to."""
    for name in ("binder", "notebooks"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


def test_the_badges_link_opens_the_start_notebook_and_its_panel_runs(browser, repository):
    head = (repository / "notebooks" / "00_start.ipynb").read_text(encoding="utf-8")
    (place,) = set(re.findall(r"mybinder\.org/v2/gh/[^/]+/[^/]+/HEAD\?urlpath=lab/tree/([\w/.]+)\)", head))
    command = [repository / "binder" / "start", sys.executable, "-m", "jupyter", "lab"]
    with serve([*map(str, command), f"--ServerApp.root_dir={repository}"]) as url:
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(30_000)
        tab = LabPage(page, url, repository, repository)
        tab.open(place)
        assert page.title().startswith("00_start")
        expect(tab.notebook.locator(".jp-RenderedImage img").first).to_be_visible()  # before anything has run

        assert tab.run_all()
        assert tab.errors() == []
        expect(tab.notebook.locator(".gl-stage").first).to_be_visible()
        expect(tab.button("Play").first).to_be_visible()
        page.close()
