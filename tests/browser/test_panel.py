"""The panel, with mouse and keyboard, in real JupyterLab in a real Chromium."""

import time

import pytest
from panel_page import (
    boxes,
    drag,
    handle,
    make_panel,
    menu,
    number,
    speed,
    stage,
    step_shown,
    switch,
    time_slider,
    type_number,
    wait_for_step,
)
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

OPEN = "from gradlab import GradLab\nlab = GradLab(depth=4, width=16, activation='tanh', init='xavier')\nlab\n"
PARTS = (".gl-top", ".gl-say", ".gl-picture", ".gl-track", ".gl-seen", ".gradlab-column")


def test_play_trains_a_drag_moves_the_learning_rate_live_and_pause_stops(panel):
    lab = panel
    lab.button("Play").click()
    expect(lab.button("Pause")).to_be_visible()
    wait_for_step(lab, 5)
    drag(lab, "Learning rate", 30)
    expect(number(lab, "Learning rate")).not_to_have_value("0.05")
    wait_for_step(lab, step_shown(lab) + 5)
    lab.button("Pause").click()
    expect(lab.button("Play")).to_be_visible()
    lab.wait_idle()
    dragged = float(number(lab, "Learning rate").input_value())
    lr, marks, first = lab.evaluate("(lab.config.lr, [m.text for m in lab.history.marks], lab.history[0].step)")
    assert lr == pytest.approx(dragged, rel=1e-5)
    assert lr > 0.05
    assert first == 0  # the run went on: nothing was reset
    assert any(text.startswith("lr 0.05 -> ") for text in marks)
    stopped_at = lab.evaluate("lab.trainer.step_count")
    time.sleep(0.5)
    assert lab.evaluate("lab.trainer.step_count") == stopped_at
    assert not [name for name in lab.threads() if "gradlab" in name.lower()]
    assert lab.console_errors == []


def test_paced_play_takes_ten_steps_a_second_and_the_fastest_pace_hundreds(panel):
    lab = panel
    speed(lab, "10")
    lab.button("Play").click()
    wait_for_step(lab, 2)
    before, start = lab.evaluate("lab.trainer.step_count"), time.perf_counter()
    lab.page.wait_for_timeout(2000)
    slow = (lab.evaluate("lab.trainer.step_count") - before) / (time.perf_counter() - start)
    assert slow < 14  # never faster; a busy machine may be slower
    speed(lab, "max")
    before = lab.evaluate("lab.trainer.step_count")
    wait_for_step(lab, before + 300)
    lab.button("Pause").click()
    expect(lab.button("Play")).to_be_visible()


def test_a_typed_number_is_taken_on_enter_or_refused_in_words_and_stays(panel):
    lab = panel
    type_number(lab, "Learning rate", "0.123")
    lab.until("lab.config.lr", 0.123)
    type_number(lab, "Learning rate", "-3")
    expect(lab.notebook.locator(".gl-alert")).to_contain_text("lr=-3")
    assert lab.evaluate("lab.config.lr") == 0.123
    expect(number(lab, "Learning rate")).to_have_value("-3")
    type_number(lab, "Depth", "7")
    expect(lab.notebook.locator(".gl-alert")).not_to_contain_text("lr=-3")
    lab.until("lab.config.depth", 7)


def test_sliders_are_long_and_every_knob_has_a_name(panel):
    lab = panel
    for label in ("Depth", "Gain", "Learning rate"):
        track = handle(lab, label).locator("xpath=ancestor::*[contains(@class, 'slider')][last()]")
        assert track.bounding_box()["width"] >= 150
        expect(number(lab, label)).to_be_visible()


def test_a_switch_turns_its_rule_on_and_dims_it_when_off(panel):
    lab = panel
    card = lab.notebook.locator(".gradlab-card.gradlab-off")
    expect(card).to_have_count(2)
    switch(lab, "Clipping").click()
    expect(card).to_have_count(1)
    lab.button("Step").click()
    wait_for_step(lab, 0)
    assert lab.evaluate("(lab.config.clip, lab.config.accumulation, lab.trainer.step_count)") == (
        "global_norm",
        "none",
        1,
    )
    switch(lab, "Accumulation").click()
    lab.button("Step").click()
    wait_for_step(lab, 1)
    assert lab.evaluate("(lab.config.accumulation, lab.history[-1].micro_batches)") == ("mean", 5)
    switch(lab, "Clipping").click()
    lab.until("lab.config.clip", "none")


def test_step_reset_and_a_restart_knob_start_from_the_same_seeds(panel):
    lab = panel
    for at in range(3):
        lab.button("Step").click()
        wait_for_step(lab, at)
    losses = lab.evaluate("lab.history.column('loss').tolist()")
    lab.button("Reset").click()
    expect(time_slider(lab)).to_have_attribute("aria-valuemax", "0")
    for at in range(3):
        lab.button("Step").click()
        wait_for_step(lab, at)
    assert lab.evaluate("lab.history.column('loss').tolist()") == losses
    menu(lab, "Activation").select_option(label="ReLU")
    expect(time_slider(lab)).to_have_attribute("aria-valuemax", "0")
    assert lab.evaluate("(lab.config.activation, len(lab.history))") == ("relu", 0)
    seed = lab.notebook.locator("input.gl-seed")
    seed.click()
    lab.page.keyboard.press("Control+a")
    lab.page.keyboard.type("3")
    lab.page.keyboard.press("Enter")
    lab.until("(lab.config.weight_seed, lab.config.data_seed, lab.config.batch_seed)", (3, 3, 3))


def test_alt_and_a_letter_press_buttons_and_jupyterlab_sees_no_other_key(panel):
    lab = panel
    lab.button("Step").click()
    wait_for_step(lab, 0)
    lab.page.keyboard.press("Alt+s")
    wait_for_step(lab, 1)
    lab.page.keyboard.press("d")
    lab.page.keyboard.press("d")  # in JupyterLab this deletes the cell
    lab.page.keyboard.press("Alt+p")
    expect(lab.button("Pause")).to_be_visible()
    lab.page.keyboard.press("Alt+p")
    expect(lab.button("Play")).to_be_visible()
    assert len(lab.cells()) == 1


@pytest.mark.parametrize("size", [(1280, 720), (1366, 768)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_nothing_scrolls_and_nothing_moves_when_words_come_and_go(shared, size):
    lab = shared
    lab.page.set_viewport_size({"width": size[0], "height": size[1]})
    make_panel(lab, "from gradlab import GradLab\nlab = GradLab(depth=20, gain=1.5)\nlab\n")
    lab.command("application:toggle-left-area")  # the notebook has the page to itself
    lab.notebook.locator(".gradlab").scroll_into_view_if_needed()
    lab.page.wait_for_timeout(500)
    place = lab.notebook.locator(".gradlab").bounding_box()
    view = lab.notebook.locator(".jp-WindowedPanel-outer").bounding_box()
    assert place["height"] <= view["height"]
    assert place["width"] <= view["width"]
    overflow = "e => [e.scrollHeight - e.clientHeight, e.scrollWidth - e.clientWidth]"
    assert max(stage(lab).evaluate(overflow)) <= 1
    before = boxes(lab, *PARTS)
    for at in range(3):
        lab.button("Step").click()
        wait_for_step(lab, at)
    expect(lab.notebook.locator(".gl-verdicts")).to_contain_text("DIVERGED")
    expect(lab.notebook.locator(".gl-alert")).not_to_be_empty()
    lab.screenshot(f"diverged-{size[0]}x{size[1]}")
    assert boxes(lab, *PARTS) == before
    lab.button("Reset").click()
    expect(lab.notebook.locator(".gl-alert")).to_be_empty()
    assert boxes(lab, *PARTS) == before
    assert lab.console_errors == []
    lab.command("application:toggle-left-area")
