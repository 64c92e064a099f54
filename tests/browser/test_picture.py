"""The picture in a real browser: as many pixels as the screen shows, in every theme and at every width."""

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

OPEN = "from gradlab import GradLab\nlab = GradLab(depth=6, width=16)\nlab\n"
NATURAL = "document.querySelector('img.gradlab-picture').naturalWidth"
SHOWN = "Math.round(document.querySelector('img.gradlab-picture').clientWidth * devicePixelRatio)"


def open_panel(lab):
    lab.open(lab.write("picture.ipynb", OPEN))
    assert lab.run_all()
    expect(lab.notebook.locator("img.gradlab-picture")).to_be_visible()


def wait_until_sharp(lab):
    lab.page.wait_for_function(f"() => Math.abs({NATURAL} - {SHOWN}) <= 1")


def test_the_picture_has_the_pixels_of_the_screen_and_follows_a_narrower_window(lab):
    open_panel(lab)
    wait_until_sharp(lab)
    before = lab.page.evaluate(NATURAL)
    lab.page.set_viewport_size({"width": 1100, "height": 900})
    lab.page.wait_for_function(f"before => {NATURAL} < before - 50", arg=before)
    wait_until_sharp(lab)
    lab.button("Play").click()
    lab.page.wait_for_timeout(1500)
    lab.button("Pause").click()
    expect(lab.button("Play")).to_be_visible()
    wait_until_sharp(lab)
    lab.screenshot("picture-narrow")
    assert lab.console_errors == []


def test_every_frame_of_a_pause_is_acknowledged_though_not_every_frame_of_a_run_is(lab):
    open_panel(lab)
    lab.button("Play").click()
    lab.page.wait_for_timeout(3000)
    lab.button("Pause").click()
    expect(lab.button("Play")).to_be_visible()
    lab.page.wait_for_timeout(1000)
    frames, seen = lab.evaluate("lab.frames")
    assert frames == seen
    assert frames > 5
    lab.command("apputils:change-theme", theme="JupyterLab Dark")
    lab.page.wait_for_timeout(1000)
    lab.screenshot("picture-dark")
