"""The replay of a run, played in a real browser from a file."""

import re

import pytest
from playwright.sync_api import expect

from gradlab import Config, Trainer
from gradlab.export import replay_html

pytestmark = pytest.mark.browser

# colours of the pixels of a canvas, to see that something of a colour was drawn
COUNT = """(canvas, wanted) => {
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  const rgb = [1, 3, 5].map((i) => parseInt(wanted.slice(i, i + 2), 16));
  let found = 0;
  for (let i = 0; i < data.length; i += 4) {
    if (data[i + 3] === 255 && rgb.every((v, k) => data[i + k] === v)) found += 1;
  }
  return found;
}"""
BLUE, LIGHT_BLUE, VERMILION = "#0072b2", "#56b4e9", "#c24e00"


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


def pixels(page, picture, colour):
    return page.locator(f"#{picture}").evaluate(COUNT, colour)


def test_it_plays_to_the_end_and_pauses(replay_page, run):
    page = replay_page(run)
    now, button = page.locator("#now"), page.get_by_role("button", name="Play")
    expect(now).to_have_text("Step 0")
    page.get_by_label("Frames a second").select_option("30")
    button.click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    expect(now).to_have_text("Step 39")
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    expect(page.get_by_role("status")).to_contain_text("Step 39: loss ")


def test_the_scrubber_moves_every_picture(replay_page, run):
    page = replay_page(run, config=Config(depth=6))
    expect(page.locator("#config")).to_have_text("GradLab(depth=6)")
    scrubber = page.get_by_role("slider", name="Step shown")
    before = {
        name: page.locator(f"#{name}").evaluate("c => c.toDataURL()") for name in ("loss", "profile", "heatmap")
    }
    scrubber.fill("21")
    expect(page.locator("#now")).to_have_text("Step 21")
    expect(scrubber).to_have_attribute("aria-valuetext", "Step 21")
    loss = run[21].loss
    expect(page.get_by_role("status")).to_contain_text(f"Step 21: loss {loss:.4g}")
    for name, old in before.items():
        assert page.locator(f"#{name}").evaluate("c => c.toDataURL()") != old
    scrubber.fill("20")
    expect(page.get_by_role("status")).to_contain_text("knob moved: lr 0.05 -> 0.25.")


def test_the_keyboard_alone_plays_and_moves(replay_page, run):
    page = replay_page(run)
    now = page.locator("#now")
    page.keyboard.press("End")
    expect(now).to_have_text("Step 39")
    page.keyboard.press("ArrowLeft")
    expect(now).to_have_text("Step 38")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    expect(now).to_have_text("Step 1")
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    order = []
    for _ in range(6):
        page.keyboard.press("Tab")
        order.append(page.evaluate("document.activeElement.id"))
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"
    assert order == ["play", "back", "forward", "scrub", "measure", "speed"]


def test_the_measure_can_be_chosen_and_clipping_is_shown_beside(replay_page, run):
    page = replay_page(run)
    profile, legend = page.locator("#profile"), page.locator("#profile-legend")
    expect(legend).not_to_contain_text("after clipping")
    page.get_by_label("Measure").select_option("Gradient norm |dL/dW|")
    expect(legend).to_contain_text("after clipping")
    expect(page.locator("#heatmap-title")).to_contain_text("Gradient norm |dL/dW|")
    expect(profile).to_have_attribute("aria-label", re.compile(r"Gradient norm \|dL/dW\|: largest in layer \d"))


def test_the_pictures_are_described_with_the_numbers_of_the_run(replay_page, run):
    page = replay_page(run)
    page.keyboard.press("End")
    delta = run[-1].delta_norm
    largest, smallest = int(delta.argmax()), int(delta.argmin())
    label = page.locator("#profile").get_attribute("aria-label")
    assert f"largest in layer {largest + 1} at {delta[largest]:.4g}" in label
    assert f"smallest in layer {smallest + 1} at {delta[smallest]:.4g}" in label
    assert f"loss {run[-1].loss:.4g}" in page.locator("#loss").get_attribute("aria-label")
    assert "7 layers over 40 steps" in page.locator("#heatmap").get_attribute("aria-label")


def test_zero_underflow_and_what_is_not_finite_have_marks_in_the_legend(replay_page):
    vanished = Trainer(Config(depth=60, width=8, activation="sigmoid", init="normal")).run(2)
    page = replay_page(vanished)
    expect(page.locator("#profile-legend")).to_contain_text("underflow")
    assert pixels(page, "profile", VERMILION) > 10
    page = replay_page(Trainer(Config(depth=3, width=8, init="zeros")).run(2))
    expect(page.locator("#profile-legend")).to_contain_text("exactly 0")
    page = replay_page(Trainer(Config(depth=3, width=8, gain=1e30)).run(2))
    expect(page.locator("#profile-legend")).to_contain_text("inf or NaN")
    expect(page.locator("#heatmap-legend")).to_contain_text("inf or NaN")
    expect(page.locator("#loss-legend")).to_contain_text("diverged")
    expect(page.get_by_role("status")).to_contain_text("Diverged at step 0")
    assert pixels(page, "heatmap", "#d55e00") > 1000


@pytest.mark.parametrize(("scheme", "line", "back"), [("light", BLUE, "255"), ("dark", LIGHT_BLUE, "17")])
def test_it_follows_the_colour_scheme_of_the_system(replay_page, run, scheme, line, back):
    page = replay_page(run, scheme)
    assert pixels(page, "profile", line) > 50
    assert pixels(page, "loss", line) > 20
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert colour == f"rgb({back}, {back}, {back})"


def test_everything_fits_a_projector_and_a_narrow_window_scrolls_only_down(replay_page, run):
    page = replay_page(run)
    assert page.evaluate("document.documentElement.scrollHeight") <= 720
    page.set_viewport_size({"width": 380, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 380


def test_a_title_with_markup_is_shown_as_it_is_written(replay_page, run):
    page = replay_page(run, title="<img src=x onerror=alert(1)> & co")
    expect(page.get_by_role("heading")).to_have_text("<img src=x onerror=alert(1)> & co")
