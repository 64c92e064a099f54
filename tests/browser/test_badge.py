"""The badge beside the accumulation rule, in real JupyterLab in a real Chromium."""

import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

OPEN = "from gradlab import GradLab\nlab = GradLab(depth=4, width=16, activation='tanh', n_samples=200)\nlab"
UNEQUAL = "\N{NOT EQUAL TO}"


def test_mouse_and_keyboard_turn_accumulation_on_and_the_badge_follows_the_rule(lab):
    lab.open(lab.write("badge.ipynb", OPEN))
    assert lab.run_all()
    badge = lab.notebook.locator(".gradlab-badge")
    expect(lab.button("Step")).to_be_visible()
    expect(badge).to_have_count(0)
    lab.toggle("Accumulation").click()
    expect(badge).to_have_text(re.compile(r"^= one batch of 128: difference \d(\.\d)?e-0[789]$"))
    rule = lab.control("Rule").nth(0).locator("select")
    rule.focus()
    lab.page.keyboard.press("ArrowDown")
    expect(badge).to_contain_text(f"{UNEQUAL} one batch of 128: difference 3 (a sum of 4, not divided")
    lab.screenshot("badge-sum")
    lab.page.keyboard.press("ArrowDown")
    expect(badge).to_have_text(re.compile(r"^= one batch of 128"))
    lab.button("Step").click()  # 72 of 200 samples are left: 32, 32 and a tail of 8
    expect(badge).to_contain_text(re.compile(f"^{UNEQUAL} one batch of 72: .*different size"))
    lab.page.set_viewport_size({"width": 1280, "height": 720})
    lab.command("apputils:change-theme", theme="JupyterLab Dark")
    lab.page.wait_for_timeout(500)
    lab.screenshot("badge-dark-1280x720")
    lab.command("apputils:change-theme", theme="JupyterLab Light")
    lab.toggle("Accumulation").focus()
    lab.page.keyboard.press("Space")
    expect(badge).to_have_count(0)
    assert lab.console_errors == []
