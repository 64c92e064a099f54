"""A lecture on a projector: large type, predictions, the dark, Chinese."""

import re

import pytest
from panel_page import make_panel, stage, wait_for_step
from playwright.sync_api import expect

pytestmark = pytest.mark.browser


def test_a_lecture_fits_a_projector_and_a_prediction_is_asked_scored_and_then_the_run_goes_on(shared):
    lab = shared
    lab.page.set_viewport_size({"width": 1280, "height": 720})
    make_panel(lab, "from gradlab import GradLab\nlab = GradLab(lecture=True, predict=True, depth=20)\nlab")
    lab.notebook.locator(".gradlab").scroll_into_view_if_needed()
    place = lab.notebook.locator(".gradlab").bounding_box()
    view = lab.notebook.locator(".jp-WindowedPanel-outer").bounding_box()
    assert place["height"] <= view["height"]
    expect(lab.notebook.locator(".gl-lesson")).to_contain_text("Predict before you look")
    expect(lab.button("Play")).to_be_disabled()
    assert float(lab.notebook.locator(".gl-lesson").evaluate("e => parseFloat(getComputedStyle(e).fontSize)")) >= 18
    lab.button("Growing").click()
    expect(lab.notebook.locator(".gl-question")).to_contain_text("growing")
    lab.button("Reveal").click()
    expect(lab.notebook.locator(".gl-lesson")).to_contain_text(re.compile(r"\d+ of 100 points"))
    lab.screenshot("lecture-scored")
    lab.button("Play").click()
    wait_for_step(lab, 3)
    lab.button("Pause").click()
    assert lab.console_errors == []


def test_under_predict_no_name_of_a_lesson_gives_the_answer_away(shared):
    lab = shared
    make_panel(lab, "from gradlab import GradLab\nlab = GradLab(preset='vanishing_sigmoid', predict=True)\nlab")
    words = stage(lab).inner_text()
    assert not re.search(r"vanish|explod", words.lower().replace("predict before you look", ""))


def test_it_speaks_chinese_in_the_dark(shared):
    lab = shared
    lab.page.set_viewport_size({"width": 1366, "height": 768})
    make_panel(lab, "from gradlab import GradLab\nlab = GradLab(depth=20, gain=1.5, lang='zh')\nlab.run(5)\nlab")
    lab.command("apputils:change-theme", theme="JupyterLab Dark")
    expect(stage(lab)).to_have_attribute("data-theme", "dark")
    expect(stage(lab)).to_have_attribute("lang", "zh")
    expect(lab.button("播放")).to_be_visible()
    background = stage(lab).evaluate("e => getComputedStyle(e).backgroundColor")
    assert max(int(v) for v in re.findall(r"\d+", background)[:3]) < 90
    lab.screenshot("chinese-dark")
    lab.command("apputils:change-theme", theme="JupyterLab Light")
    expect(stage(lab)).to_have_attribute("data-theme", "light")
