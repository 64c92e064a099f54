"""The replay of a run, played in a real browser from a file."""

import re

import pytest
from playwright.sync_api import expect

from gradlab import Config, Trainer, replay_html

pytestmark = pytest.mark.browser


@pytest.fixture
def replay_page(browser, tmp_path):
    """Open a replay from its file; the page must neither complain nor ask for anything."""
    contexts, complaints, requests = [], [], []

    def open_page(history, scheme="light", **options):
        path = tmp_path / "replay.html"
        replay_html(history, path, **options)
        context = browser.new_context(viewport={"width": 1280, "height": 720}, color_scheme=scheme, offline=True)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
    assert all(url.startswith("file:") for url in requests)
    assert len(requests) == len(contexts)


@pytest.fixture(scope="module")
def run():
    trainer = Trainer(Config(depth=6, width=8, activation="tanh", clip="global_norm", clip_threshold=1e-3))
    trainer.run(20)
    trainer.reconfigure(lr=0.25)
    return trainer.run(20)


def test_it_plays_to_the_end_and_pauses_without_a_kernel_and_without_a_network(replay_page, run):
    page = replay_page(run)
    slider = page.get_by_role("slider", name="Step shown")
    page.get_by_role("radio", name="max", exact=True).click()
    page.get_by_role("button", name="Play", exact=True).click()
    expect(slider).to_have_attribute("aria-valuenow", "39")
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()


def test_the_slider_reaches_every_step_by_keys_and_changes_the_picture(replay_page, run):
    page = replay_page(run, config=Config(depth=6))
    slider = page.get_by_role("slider", name="Step shown")
    page.get_by_role("radio", name="max", exact=True).click()
    page.get_by_role("button", name="Play", exact=True).click()
    expect(slider).to_have_attribute("aria-valuenow", "39")
    slider.focus()
    page.keyboard.press("Home")
    expect(slider).to_have_attribute("aria-valuenow", "0")
    page.wait_for_timeout(300)
    first = page.locator(".gl-picture canvas").evaluate("c => c.toDataURL()")
    page.keyboard.press("ArrowRight")
    expect(slider).to_have_attribute("aria-valuenow", "1")
    page.wait_for_function("seen => document.querySelector('.gl-picture canvas').toDataURL() !== seen", arg=first)


def test_it_is_dark_where_the_reader_wants_it(replay_page, run):
    page = replay_page(run, scheme="dark", lang="zh")
    expect(page.locator(".gl-stage")).to_have_attribute("data-theme", "dark")
    assert re.search(r"[\u4e00-\u9fff]", page.locator(".gl-stage").inner_text())
