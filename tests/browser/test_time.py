"""Looking back and going back, with mouse and keyboard, in real JupyterLab in a real Chromium."""

import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

OPEN = """from gradlab import GradLab
lab = GradLab(depth=8, activation="tanh", init="normal", gain=1.5, clip="global_norm", clip_threshold=0.5)
lab.run(30)
lab.set(lr=0.1)
lab.run(12)
lab"""
LEFT, WIDTH, MIDDLE = 0.062, 0.348, 0.25  # of the loss axis, as shares of the picture


@pytest.fixture
def panel(lab):
    lab.open(lab.write("time.ipynb", OPEN))
    assert lab.run_all()
    expect(scrubber(lab)).to_be_enabled()
    return lab


def scrubber(lab):
    return lab.notebook.get_by_role("slider", name="Step shown", exact=True)


def said(lab):
    return lab.notebook.locator(".gradlab-time")


def picture(lab):
    return lab.notebook.locator("img.gradlab-picture").get_attribute("src")


def test_the_mouse_drags_the_slider_through_the_steps_and_makes_one_live(panel):
    lab = panel
    latest = picture(lab)
    expect(said(lab)).to_contain_text("Step 41: loss")
    box = scrubber(lab).bounding_box()
    y = box["y"] + box["height"] / 2
    lab.page.mouse.move(box["x"] + box["width"] - 8, y)
    lab.page.mouse.down()
    lab.page.mouse.move(box["x"] + box["width"] * 0.73, y, steps=12)
    lab.page.mouse.up()
    expect(said(lab)).to_contain_text(re.compile(r"Looking back: the pictures show step (29|30|31);"))
    step = lab.evaluate("lab.time.shown_step")
    assert picture(lab) != latest
    expect(scrubber(lab)).to_have_attribute("aria-valuetext", re.compile(f"Step {step}: loss"))
    lab.screenshot("time-looking-back")
    lab.button("Make live").click()
    expect(lab.alert()).to_contain_text(f"Back at step {step}.")
    assert lab.evaluate("(lab.trainer.step_count, len(lab.history))") == (step, step)
    expect(scrubber(lab)).to_have_value(str(step - 1))
    expect(lab.button("Make live")).to_be_disabled()
    assert lab.console_errors == []


def test_the_keyboard_alone_walks_back_step_by_step_makes_live_and_plays_on(panel):
    lab = panel
    scrubber(lab).focus()
    for step in (40, 39, 38):
        lab.page.keyboard.press("ArrowLeft")
        expect(said(lab)).to_contain_text(f"Step {step}: loss")
    lab.page.keyboard.press("ArrowRight")
    expect(said(lab)).to_contain_text("Step 39: loss")
    lab.page.keyboard.press("Home")
    expect(said(lab)).to_contain_text("Step 0: loss")
    lab.page.keyboard.press("PageUp")
    lab.page.keyboard.press("End")
    expect(said(lab)).not_to_contain_text("Looking back")
    for _ in range(11):
        lab.page.keyboard.press("ArrowLeft")
    expect(said(lab)).to_contain_text(re.compile(r"Step 30: loss [\d.]+; lr 0.05 -> 0.1; clipped x 0\.\d+"))
    lab.page.keyboard.press("Alt+t")
    expect(lab.alert()).to_contain_text("Back at step 30.")
    expect(said(lab)).to_contain_text("Step 29: loss")
    expect(lab.button("Make live")).to_be_disabled()
    lab.page.keyboard.press("Alt+s")  # the keys stay with the panel although the button that had them is disabled
    expect(said(lab)).to_contain_text("Step 30: loss")
    assert lab.evaluate("(lab.trainer.step_count, lab.config.lr)") == (31, 0.1)
    assert len(lab.cells()) == 1


def test_the_slider_follows_while_training_plays_and_a_touch_pauses(panel):
    lab = panel
    lab.button("Play").click()
    expect(lab.button("Pause")).to_be_visible()
    lab.page.wait_for_function("() => Number(document.querySelector('.gradlab-scrubber input').max) > 80")
    scrubber(lab).focus()
    lab.page.keyboard.press("Home")
    expect(lab.button("Play")).to_be_visible()
    expect(lab.alert()).to_contain_text(re.compile(r"Paused after step \d+ to look back\."))
    expect(said(lab)).to_contain_text("Step 0: loss")
    lab.button("Latest").click()
    expect(said(lab)).not_to_contain_text("Looking back")
    assert lab.console_errors == []


def test_a_press_in_the_loss_or_the_heat_map_shows_that_step(panel):
    lab = panel
    image = lab.notebook.locator("img.gradlab-picture")
    box = image.bounding_box()
    for step, height in ((12, 0.2), (25, 0.7)):
        share = LEFT + WIDTH * (step + 0.1) / 50
        image.click(position={"x": share * box["width"], "y": height * box["height"]})
        expect(said(lab)).to_contain_text(f"Looking back: the pictures show step {step};")
    image.click(position={"x": 0.8 * box["width"], "y": 0.5 * box["height"]})
    x, y = box["x"] + (LEFT + WIDTH * 10 / 50) * box["width"], box["y"] + MIDDLE * box["height"]
    lab.page.mouse.move(x, y)
    lab.page.mouse.down()
    lab.page.mouse.move(box["x"] + (LEFT + WIDTH * 20 / 50) * box["width"], y, steps=8)
    lab.page.mouse.up()
    expect(said(lab)).to_contain_text("Looking back: the pictures show step 20;")


def test_it_can_be_read_in_the_dark_on_a_projector(panel):
    lab = panel
    lab.page.set_viewport_size({"width": 1280, "height": 720})
    lab.command("apputils:change-theme", theme="JupyterLab Dark")
    lab.evaluate("lab.show_step(30)")
    expect(said(lab)).to_contain_text("Looking back")
    said(lab).scroll_into_view_if_needed()
    lab.page.wait_for_timeout(500)
    lab.screenshot("time-dark-1280x720")
    lab.command("apputils:change-theme", theme="JupyterLab Light")
