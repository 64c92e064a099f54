"""What the stage shows and what a person finds out by pointing at it."""

import re

import pytest
from panel_page import make_panel, stage, time_slider, wait_for_step
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

OPEN = """from gradlab import GradLab
lab = GradLab(depth=8, activation="tanh", init="normal", gain=1.5, clip="global_norm", clip_threshold=0.5)
lab.run(30)
lab.set(lr=0.1)
lab.run(12)
lab"""


@pytest.fixture
def panel(panel):
    wait_for_step(panel, 41)
    return panel


def choose(lab, name):
    """Choose a lesson, from its group or, where the bar is short, from the one menu of all."""
    item = lab.page.locator(f"[data-preset='{name}']")
    group = lab.notebook.locator(".gl-group:visible").filter(has=item)
    group.locator("button.gl-chip").click()
    group.locator(f"[data-preset='{name}']").click()


def cursor(lab):
    return lab.notebook.locator(".gl-cursor")


def painted(lab):
    """The picture's pixels, as text that differs when they do."""
    return lab.notebook.locator(".gl-picture canvas").evaluate("c => c.toDataURL()")


def wait_until_painted(lab, holds):
    for _ in range(300):
        if holds(painted(lab)):
            return
        lab.page.wait_for_timeout(100)
    raise AssertionError("the picture is not what it should be, after 30 s")


def test_pointing_at_a_layer_says_its_value_and_its_ratio_and_a_click_keeps_it(panel):
    lab = panel
    picture = lab.notebook.locator(".gl-picture")
    box = picture.bounding_box()
    picture.hover(position={"x": box["width"] * 0.5, "y": box["height"] * 0.1})
    expect(cursor(lab)).to_contain_text(re.compile(r"layer \d.*of the next layer", re.S))
    words = cursor(lab).inner_text()
    layer = int(re.search(r"layer (\d)", words)[1])
    profile = lab.evaluate(f"[float(v) for v in lab.history[-1].delta_norm[{layer - 1}:{layer + 1}]]")
    said = float(re.search(r": ([\d.e+-]+)", words)[1])
    assert said == pytest.approx(profile[0], rel=0.05)
    lab.page.mouse.down()
    lab.page.mouse.up()
    lab.notebook.locator(".gl-lesson").hover()
    expect(cursor(lab)).to_contain_text(f"layer {layer}")


def test_a_place_pinned_in_lane_b_stays_pinned_when_lane_a_is_dropped(panel):
    lab = panel
    lab.evaluate("lab.compare(lr=0.05)")
    lab.button("Step").click()
    wait_for_step(lab, 0)
    expect(stage(lab)).to_have_class(re.compile(r"\bgl-two\b"))
    picture = lab.notebook.locator(".gl-picture")
    box = picture.bounding_box()
    for y in range(5, int(box["height"] / 2), 12):
        picture.hover(position={"x": box["width"] * 0.3, "y": y})
        if cursor(lab).inner_text().startswith("B, "):
            break
    lab.page.mouse.down()
    lab.page.mouse.up()
    expect(cursor(lab)).to_contain_text(re.compile(r"^B, layer \d"))
    lab.evaluate("lab.uncompare()")
    expect(stage(lab)).not_to_have_class(re.compile(r"\bgl-two\b"))
    expect(cursor(lab)).to_contain_text(re.compile(r"^layer \d"))
    assert lab.console_errors == []


def test_the_arrow_keys_walk_the_same_cross_hair(panel):
    lab = panel
    lab.notebook.locator(".gl-picture").focus()
    lab.page.keyboard.press("ArrowRight")
    lab.page.keyboard.press("ArrowRight")
    expect(cursor(lab)).to_contain_text("layer 2")
    lab.page.keyboard.press("ArrowDown")
    expect(time_slider(lab)).to_have_attribute("aria-valuenow", "40")


def test_the_time_slider_reaches_every_step_by_keys_and_one_click_makes_a_step_live(panel):
    lab = panel
    latest = painted(lab)
    time_slider(lab).focus()
    for step in (40, 39, 38):
        lab.page.keyboard.press("ArrowLeft")
        expect(time_slider(lab)).to_have_attribute("aria-valuenow", str(step))
    lab.page.keyboard.press("Home")
    expect(time_slider(lab)).to_have_attribute("aria-valuenow", "0")
    wait_until_painted(lab, lambda now: now != latest)
    lab.page.keyboard.press("End")
    for _ in range(11):
        lab.page.keyboard.press("ArrowLeft")
    expect(time_slider(lab)).to_have_attribute("aria-valuenow", "30")
    lab.notebook.locator(".gl-time").get_by_role("button", name="rewind").click()
    expect(time_slider(lab)).to_have_attribute("aria-valuemax", "30")
    lab.wait_idle()
    assert lab.evaluate("(lab.trainer.step_count, lab.config.lr)") == (31, 0.1)
    assert "is-alarm" not in (lab.notebook.locator(".gl-alert").get_attribute("class") or "")
    lab.button("Step").click()
    wait_for_step(lab, 31)


def test_looking_back_pauses_nothing_and_play_follows_the_run_again(panel):
    lab = panel
    time_slider(lab).focus()
    lab.page.keyboard.press("Home")
    lab.button("Play").click()
    wait_for_step(lab, 45)
    lab.page.wait_for_function("() => Number(document.querySelector('.gl-track').getAttribute('aria-valuenow')) > 42")
    lab.button("Pause").click()
    assert lab.console_errors == []


def test_presets_start_anew_and_a_cure_opens_beside_its_failure(shared):
    lab = shared
    make_panel(lab, "from gradlab import GradLab, PRESETS\nlab = GradLab(preset='vanishing_sigmoid')\nlab\n")
    lab.button("Step").click()
    wait_for_step(lab, 0)
    expect(lab.notebook.locator(".gl-verdicts")).to_contain_text("VANISHING")
    items = lab.notebook.locator("[data-preset]")
    names = items.evaluate_all("nodes => nodes.map(n => n.dataset.preset)")
    assert set(names) == set(lab.evaluate("list(PRESETS)"))
    choose(lab, "clipping_rescues")
    expect(stage(lab)).to_have_class(re.compile(r"\bgl-two\b"))
    lab.button("Step").click()
    wait_for_step(lab, 0)
    lab.screenshot("compare")
    lab.button("Step").click()
    choose(lab, "kaiming")
    lab.until("len(lab.history)", 0)


def test_what_was_learned_is_drawn_and_held_out_numbers_stand_beside_it(panel):
    lab = panel
    expect(lab.notebook.locator(".gl-boards canvas")).to_be_visible()
    expect(lab.notebook.locator(".gl-numbers")).to_contain_text("%")


def test_a_lens_lays_the_range_of_a_number_format_over_the_profile(panel):
    lab = panel
    plain = painted(lab)
    lens = lab.notebook.get_by_label("Number format to look through")
    lens.select_option("float8_e4m3fn")
    expect(lens.locator("option:checked")).to_have_text("E4M3: 9.8e-4 … 448")
    wait_until_painted(lab, lambda now: now != plain)
    lens.select_option("")
    wait_until_painted(lab, lambda now: now == plain)


def test_an_explosion_widens_the_axis_and_names_where_it_ended(shared):
    lab = shared
    make_panel(lab, "from gradlab import GradLab\nlab = GradLab(depth=20, gain=1.5)\nlab\n")
    lab.button("Step").click()
    wait_for_step(lab, 0)
    lab.button("Step").click()
    expect(lab.notebook.locator(".gl-alert")).to_contain_text("1e3")  # announced: thirty decades
    lab.button("Step").click()
    expect(lab.notebook.locator(".gl-verdicts")).to_contain_text("DIVERGED")
    lab.screenshot("exploding")


def test_the_picture_is_told_in_words_for_a_screen_reader(panel):
    lab = panel
    words = lab.notebook.locator(".gl-stage [aria-live=polite]").first
    lab.button("Step").click()
    wait_for_step(lab, 42)
    expect(words).to_contain_text(re.compile(r"step 4[12]"))


def test_reduced_motion_stops_the_pulse(shared):
    lab = shared
    lab.page.emulate_media(reduced_motion="reduce")
    make_panel(lab, "from gradlab import GradLab\nlab = GradLab(depth=6)\nlab.run(3)\nlab\n")
    lab.button("Step").click()
    wait_for_step(lab, 3)
    lab.page.wait_for_timeout(100)
    one = painted(lab)
    lab.page.wait_for_timeout(150)
    assert painted(lab) == one
