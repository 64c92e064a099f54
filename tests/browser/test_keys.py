"""The panel's keys and the mouse over its picture, in real JupyterLab in a real Chromium."""

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

OPEN = """from gradlab import GradLab
lab = GradLab(depth=4, width=16)
seen = []
lab.bridge.on_pointer.append(seen.append)
lab"""


def test_alt_p_plays_and_pauses_and_no_other_key_reaches_the_notebook_around_the_panel(lab):
    lab.open(lab.write("keys.ipynb", OPEN))
    assert lab.run_all()
    picture = lab.notebook.locator("img.gradlab-picture")
    expect(picture).to_be_visible()
    width, height = (picture.bounding_box()[side] for side in ("width", "height"))
    expect(lab.button("Play")).to_have_attribute("aria-keyshortcuts", "Alt+P")  # only now the panel listens to keys
    picture.click(position={"x": width / 4, "y": height / 2})
    lab.page.keyboard.press("Alt+p")
    expect(lab.button("Pause")).to_be_visible()
    expect(lab.button("Pause")).to_have_attribute("aria-keyshortcuts", "Alt+P")
    for key in "ddax":  # to JupyterLab: delete the cell, insert one above, cut
        lab.page.keyboard.press(key)
    lab.page.keyboard.press("Alt+p")
    expect(lab.button("Play")).to_be_visible()
    assert len(lab.cells()) == 1
    assert [what for what, _, _ in lab.evaluate("[tuple(p) for p in seen]")] == ["down", "up"]
    assert lab.evaluate("tuple(seen[0])")[1:] == pytest.approx((0.25, 0.5), abs=0.01)
    assert lab.console_errors == []
