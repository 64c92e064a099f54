"""Predict, then reveal, with mouse and keyboard in real JupyterLab in a real Chromium."""

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

OPEN = "from gradlab import GradLab\nlab = GradLab(preset='vanishing_sigmoid', predict=True)\nlab"


def open_panel(lab, code=OPEN):
    lab.open(lab.write("predict.ipynb", code))
    assert lab.run_all()
    assert lab.errors() == []
    picture = lab.notebook.locator("img.gradlab-picture")
    expect(picture).to_be_visible()
    return picture


def settled(lab, picture):
    """Where the picture is once it has stopped moving: what stands above it may still be on its way."""
    before, box = None, picture.bounding_box()
    while before != box:
        lab.page.wait_for_timeout(500)
        before, box = box, picture.bounding_box()
    return box


def test_a_line_drawn_in_the_picture_is_a_prediction_and_reveal_scores_it(lab):
    picture = open_panel(lab)
    expect(lab.button("Play")).to_be_disabled()
    expect(lab.button("Reveal")).to_be_disabled()
    picture.scroll_into_view_if_needed()
    box = settled(lab, picture)
    x, y, width, height = (box[side] for side in ("x", "y", "width", "height"))
    lab.page.mouse.move(x + 0.66 * width, y + 0.3 * height)
    lab.page.mouse.down()
    lab.page.mouse.move(x + 0.5 * width, y + 0.62 * height, steps=5)
    lab.page.mouse.up()
    expect(lab.notebook.get_by_text("Your prediction: shrinking")).to_be_visible()
    lab.screenshot("predict-drawn")
    lab.button("Reveal").click()
    expect(lab.notebook.get_by_text("of 100 points. You said shrinking")).to_be_visible()
    expect(lab.button("Play")).to_be_enabled()
    lab.screenshot("predict-revealed")
    assert lab.console_errors == []


def test_the_keyboard_alone_predicts_reveals_and_goes_on(lab):
    open_panel(lab)
    lab.button("Growing").focus()
    lab.page.keyboard.press("Enter")
    expect(lab.notebook.get_by_text("Your prediction: growing, x 2 per layer")).to_be_visible()
    lab.press("Per layer", "ArrowLeft")
    expect(lab.notebook.get_by_text("Your prediction: growing, x 1.8 per layer")).to_be_visible()
    lab.page.keyboard.press("Alt+g")
    expect(lab.notebook.get_by_text("You said growing")).to_be_visible()
    lab.page.keyboard.press("Alt+s")
    expect(lab.notebook.locator(".gradlab-status")).to_contain_text("step 1 |")
    assert lab.console_errors == []


def test_a_projector_shows_question_and_picture_and_then_the_score_without_scrolling(lab):
    lab.page.set_viewport_size({"width": 1280, "height": 720})
    picture = open_panel(lab, "from gradlab import GradLab\nlab = GradLab(lecture=True, predict=True, depth=30)\nlab")
    lab.notebook.locator(".gradlab").evaluate("panel => panel.scrollIntoView(true)")
    below = lab.notebook.locator(".jp-WindowedPanel-outer").bounding_box()
    end = below["y"] + below["height"]
    box = settled(lab, picture)
    assert box["y"] + box["height"] <= end
    assert lab.button("Growing").bounding_box()["y"] < box["y"]
    lab.screenshot("predict-lecture")
    lab.button("Growing").click()
    lab.button("Reveal").click()
    score = lab.notebook.get_by_text("of 100 points. You said growing")
    expect(score).to_be_visible()
    settled(lab, picture)
    box = score.bounding_box()
    assert box["y"] + box["height"] <= end
    lab.screenshot("predict-lecture-revealed")
