"""What is left of a panel in a page made from its notebook: a picture or a replay, without a kernel and a network."""

from types import SimpleNamespace

import pytest
from ipywidgets import Widget
from nbconvert import HTMLExporter
from nbformat.v4 import new_code_cell, new_notebook, new_output
from playwright.sync_api import expect

from gradlab import GradLab

pytestmark = pytest.mark.browser


def test_an_exported_page_shows_the_picture_and_plays_the_replay_offline(browser, tmp_path, monkeypatch):
    cells, labs = [], []
    kernel = SimpleNamespace(get_parent=lambda: {"content": {"allow_stdin": False}})  # nbclient asks so
    monkeypatch.setattr("gradlab.panel.start.get_ipython", lambda: SimpleNamespace(kernel=kernel))
    for replay in (False, True):
        lab = GradLab(depth=3, width=8, replay=replay)
        lab.run(12)
        labs.append(lab)
        bundle = lab._repr_mimebundle_()
        cells.append(new_code_cell("lab", outputs=[new_output("execute_result", data=bundle, execution_count=1)]))
    state = {"state": Widget.get_manager_state()["state"], "version_major": 2, "version_minor": 0}
    notebook = new_notebook(cells=cells, metadata={"widgets": {"application/vnd.jupyter.widget-state+json": state}})
    page_text, _ = HTMLExporter().from_notebook_node(notebook)
    (tmp_path / "page.html").write_text(page_text, encoding="utf-8")
    context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
    page = context.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    picture = page.locator(".jp-RenderedImage img")
    assert picture.evaluate("e => e.complete && e.naturalWidth") > 500
    run = page.frame_locator("iframe")
    run.get_by_role("radio", name="max", exact=True).click()
    run.get_by_role("button", name="Play", exact=True).click()
    expect(run.locator(".gl-track")).to_have_attribute("aria-valuenow", "11")
    context.close()
    for lab in labs:
        lab.close()
