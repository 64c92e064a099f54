"""Pin and Compare, with mouse and keyboard, in real JupyterLab in a real Chromium."""

import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

OPEN = "from gradlab import GradLab\nlab = GradLab(depth=10, width=16, activation='tanh', init='normal')\nlab\n"


def open_panel(lab):
    lab.open(lab.write("lanes.ipynb", OPEN))
    assert lab.run_all()
    expect(lab.notebook.locator("img.gradlab-picture")).to_be_visible()


def info(lab):
    return lab.notebook.locator(".gradlab-info")


def step_to(lab, count):
    status = lab.notebook.locator(".gradlab-status")
    for number in range(1, count + 1):
        lab.button("Step").click()
        expect(status).to_contain_text(re.compile(rf"step {number}\b"))


def fresh(steps, **knobs):
    made = ", ".join(f"{name}={value!r}" for name, value in knobs.items())
    base = "depth=10, width=16, activation='tanh', init='normal'"
    gradlab = "__import__('gradlab')"
    return f"{gradlab}.Trainer({gradlab}.Config({base}, {made})).run({steps}).column('loss').tolist()"


def test_two_lanes_train_in_lockstep_and_the_panel_says_what_differs_and_who_is_ahead(lab):
    open_panel(lab)
    expect(lab.button("Swap")).not_to_be_visible()
    lab.toggle("Compare").click()
    expect(info(lab)).to_contain_text("All lanes are equal")
    assert lab.is_on("Compare")
    lab.press("Learning rate", *["ArrowRight"] * 10)
    expect(info(lab)).to_contain_text("Learning rate: A 0.05, B 0.5. Same first weights, same batches.")
    lab.press("Gain", "ArrowRight")
    expect(info(lab)).to_contain_text(re.compile(r"Gain: A 1.0, B 1\.\d+\. .*First weights differ \(gain\)"))
    lab.button("Play").click()
    expect(info(lab)).to_contain_text(re.compile("[AB] is (ahead|lowest)"))
    lab.button("Pause").click()
    expect(lab.button("Play")).to_be_visible()
    lab.screenshot("lanes-light")
    lab.command("apputils:change-theme", theme="JupyterLab Dark")
    lab.page.wait_for_timeout(1000)
    lab.screenshot("lanes-dark")
    lab.command("apputils:change-theme", theme="JupyterLab Light")
    steps, a, b = lab.evaluate(
        "(len(lab.history), *[h.column('loss').tolist() for h in lab.lanes.histories.values()])"
    )
    assert a == lab.evaluate(fresh(steps))
    assert b == lab.evaluate(fresh(steps, lr=0.5, gain=lab.evaluate("lab.config.gain")))
    lab.button("Swap").click()
    expect(lab.readout("Learning rate")).to_have_text("0.05")
    assert lab.evaluate("lab.lanes.rival.config.lr") == 0.5
    lab.toggle("Compare").click()
    expect(info(lab)).not_to_contain_text("A (kept)")
    expect(lab.button("Swap")).not_to_be_visible()
    assert lab.console_errors == []


def test_the_keyboard_pins_a_run_and_opens_the_second_lane(lab):
    open_panel(lab)
    step_to(lab, 3)
    lab.page.keyboard.press("Alt+k")
    expect(info(lab)).to_contain_text("Pinned: the run of these settings after 3 steps")
    assert lab.page.evaluate("document.activeElement.innerText.trim()") == "Pin"
    lab.page.keyboard.press("Alt+c")
    expect(info(lab)).to_contain_text("A and B: A (kept): depth 10")
    assert lab.is_on("Compare")
    outline = lab.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    lab.type_number("Depth", "30")
    expect(info(lab)).to_contain_text("the run of other settings (depth 10) after 3 steps")
    words = lab.notebook.get_by_role("img", name=re.compile("The pictures show lane B"))
    expect(words).to_have_attribute("aria-label", re.compile(r"pinned run: the run of other settings \(depth 10\)"))
    step_to(lab, 2)
    lab.screenshot("lanes-keyboard")
    lab.page.keyboard.press("Alt+c")
    expect(info(lab)).not_to_contain_text("A (kept)")
    assert not lab.is_on("Compare")
    lab.page.keyboard.press("Alt+r")
    expect(lab.notebook.locator(".gradlab-status")).to_contain_text("Ready")
    lab.page.keyboard.press("Alt+k")  # no step taken: the ghost goes
    expect(info(lab)).not_to_contain_text("Pinned")
    assert lab.evaluate("lab.lanes.histories") == {}
    assert lab.console_errors == []
