"""Slow motion, with mouse and keyboard, in real JupyterLab in a real Chromium."""

import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

OPEN = """from gradlab import GradLab
lab = GradLab(depth=6, activation="tanh", accumulation="mean", clip="global_norm", clip_threshold=0.3)
lab.run(5)
lab"""


@pytest.fixture
def panel(lab):
    lab.open(lab.write("slow.ipynb", OPEN))
    assert lab.run_all()
    lab.notebook.get_by_text("Slow motion", exact=True).click()
    expect(lab.button("Next stage")).to_be_visible()
    return lab


def said(lab):
    return lab.notebook.locator(".gradlab-slow-words")


def marked(lab):
    return lab.notebook.locator(".gradlab-slow-code [aria-current=step]")


def status(lab):
    return lab.notebook.locator(".gradlab-status")


def test_the_mouse_walks_through_a_step_and_finishes_it(panel):
    lab = panel
    expect(said(lab)).to_contain_text("Takes one step stage by stage")
    lab.button("Next stage").click()
    expect(said(lab)).to_contain_text("Forward, micro-batch 1 of 4: 32 samples")
    expect(lab.notebook.locator("img.gradlab-slow-picture")).to_be_visible()
    expect(marked(lab)).to_contain_text("loss = F.cross_entropy(network(x[rows]), y[rows])")
    for m in (1, 2, 3):
        lab.button("Next stage").click()
        expect(said(lab)).to_contain_text(f"Backward, micro-batch {m} of 4")
        lab.button("Next stage").click()
        expect(said(lab)).to_contain_text(f"Forward, micro-batch {m + 1} of 4")
    expect(status(lab)).to_contain_text("step 5 |")
    lab.button("Next stage").click()
    expect(said(lab)).to_contain_text("Backward, micro-batch 4 of 4")
    said(lab).scroll_into_view_if_needed()
    lab.screenshot("slow-backward")
    lab.button("Finish step").click()
    expect(said(lab)).to_contain_text(re.compile(r"Update: step 5 is taken\. Largest change: layer \d"))
    expect(status(lab)).to_contain_text("step 6 |")
    assert lab.console_errors == []


def test_the_keyboard_alone_walks_and_a_moved_knob_abandons_the_half_step(panel):
    lab = panel
    lab.button("Next stage").focus()
    lab.page.keyboard.press("Enter")
    expect(said(lab)).to_contain_text("Forward, micro-batch 1 of 4")
    for _ in range(9):
        before = said(lab).inner_text()
        lab.page.keyboard.press("Alt+m")
        expect(said(lab)).not_to_have_text(before)
    expect(said(lab)).to_contain_text(re.compile(r"Clip: norm [\d.]+ becomes 0\.3, x 0\.\d+"))
    expect(marked(lab)).to_contain_text("torch.nn.utils.clip_grad_norm_(params, 0.3)")
    lab.press("Learning rate", "ArrowRight")
    expect(said(lab)).to_contain_text("The half step is abandoned, without a trace")
    expect(lab.notebook.locator("img.gradlab-slow-picture")).to_be_hidden()
    lab.button("Next stage").press("Alt+m")
    expect(said(lab)).to_contain_text("Forward, micro-batch 1 of 4")
    lab.page.keyboard.press("Alt+s")
    expect(said(lab)).to_contain_text("The half step is abandoned")
    expect(status(lab)).to_contain_text("step 6 |")
    assert len(lab.cells()) == 1


def test_code_and_picture_are_seen_together_on_a_projector_light_and_dark(panel):
    lab = panel
    lab.page.set_viewport_size({"width": 1280, "height": 720})
    for _ in range(10):
        before = said(lab).inner_text()
        lab.button("Next stage").click()
        expect(said(lab)).not_to_have_text(before)
    picture, code = lab.notebook.locator("img.gradlab-slow-picture"), lab.notebook.locator(".gradlab-slow-code")
    picture.scroll_into_view_if_needed()
    lab.screenshot("slow-1280x720")
    assert picture.bounding_box()["y"] + picture.bounding_box()["height"] - code.bounding_box()["y"] < 600
    lab.command("apputils:change-theme", theme="JupyterLab Dark")
    lab.page.wait_for_timeout(500)
    lab.screenshot("slow-dark-1280x720")
    lab.command("apputils:change-theme", theme="JupyterLab Light")


def test_it_stands_in_chinese(lab):
    code = OPEN.replace("depth=6", "depth=6, lang='zh'").replace(
        "lab.run(5)", "lab.run(60)\nlab.set(lr=0.2)\nlab.run(20)"
    )
    lab.open(lab.write("slow-zh.ipynb", code))
    assert lab.run_all()
    lab.evaluate("lab.show_step(60)")
    expect(lab.notebook.locator(".gradlab-time")).to_contain_text("正在回看：图中显示第 60 步")
    lab.screenshot("time-zh")
    lab.notebook.get_by_text("慢动作", exact=True).click()
    for _ in range(10):
        before = said(lab).inner_text()
        lab.button("下一阶段").click()
        expect(said(lab)).not_to_have_text(before)
    expect(said(lab)).to_contain_text("裁剪：范数从")
    lab.notebook.locator("img.gradlab-slow-picture").scroll_into_view_if_needed()
    lab.page.wait_for_timeout(300)
    lab.screenshot("slow-zh")
