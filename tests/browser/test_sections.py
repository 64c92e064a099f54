"""The sections beside the stage: each opens in the column, and the picture stays on the screen."""

import re
import subprocess
import sys

import pytest
from panel_page import stage, wait_for_step
from playwright.sync_api import expect

from gradlab import Config

pytestmark = pytest.mark.browser

OPEN = "from gradlab import GradLab\nlab = GradLab(depth=4, width=16, activation='tanh')\nlab\n"


def section(lab, name):
    lab.toggle(name).click()
    expect(lab.notebook.locator(".gradlab-page")).to_be_visible()
    expect(lab.notebook.locator(".gl-picture canvas")).to_be_in_viewport()


def test_what_is_taken_home_prints_and_holds_what_was_shown(panel, tmp_path):
    lab = panel
    lab.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    for at in range(3):
        lab.button("Step").click()
        wait_for_step(lab, at)
    section(lab, "Take home")
    said = lab.notebook.locator(".gradlab-page .gradlab-words").last
    lab.button("Copy code").click()
    expect(said).to_contain_text(re.compile(r"Copied: \d+ lines of PyTorch for 3 steps\."))
    script = tmp_path / "script.py"
    script.write_text(lab.page.evaluate("navigator.clipboard.readText()"), encoding="utf-8")
    ran = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True, cwd=tmp_path)
    losses = [float(line.split()[-1]) for line in ran.stdout.splitlines() if line.strip()]
    assert losses[-3:] == pytest.approx(lab.evaluate("lab.history.column('loss').tolist()"), rel=1e-12)
    lab.button("Copy JSON").click()
    expect(said).to_contain_text("settings as JSON")
    config = lab.evaluate("lab.config.to_json()")
    assert Config.from_json(lab.page.evaluate("navigator.clipboard.readText()")) == Config.from_json(config)
    for name, begin in (("CSV", b"step,"), ("PNG", b"\x89PNG"), ("Replay", b"<!")):
        with lab.page.expect_download() as waiting:
            lab.button(name).click()
        waiting.value.save_as(tmp_path / name)
        assert (tmp_path / name).read_bytes().lower().startswith(begin.lower())
    assert lab.console_errors == []


def test_slow_motion_takes_one_step_stage_by_stage_on_the_strip(panel):
    lab = panel
    section(lab, "Slow motion")
    said = lab.notebook.locator(".gradlab-page")
    for words in ("Forward, micro-batch 1 of 1", "Backward, micro-batch 1 of 1"):
        lab.button("Next stage").click()
        expect(said).to_contain_text(words)
    expect(lab.notebook.locator(".gl-slow")).to_be_visible()
    expect(lab.notebook.locator(".gl-slow")).to_contain_text("backward")
    lab.screenshot("slow-motion")
    lab.button("Finish step").click()
    expect(said).to_contain_text("Update: step 0 is taken.")
    wait_for_step(lab, 0)
    assert lab.evaluate("lab.trainer.step_count") == 1


def test_a_cell_of_the_phase_diagram_loads_its_network(panel):
    lab = panel
    section(lab, "Phase diagram")
    lab.notebook.get_by_role("button", name="Map", exact=True).click()
    expect(lab.notebook.locator(".gradlab-page")).to_contain_text(re.compile(r"Measured \d+ of \d+ cells\."))
    cell = lab.notebook.locator(".gradlab-cell").last
    words = cell.get_attribute("title") or cell.get_attribute("aria-label")
    gain, depth = re.search(r"gain ([\d.]+), depth (\d+)", words).groups()
    cell.click()
    lab.until("(lab.config.gain, lab.config.depth)", (float(gain), int(depth)))


def test_an_exercise_sets_the_broken_network_and_checks_a_repair(panel):
    lab = panel
    section(lab, "Exercises")
    menu = lab.notebook.locator(".gradlab-page select")
    menu.select_option(index=1)
    lab.until("lab.config.depth > 4", True)
    said = lab.notebook.locator(".gradlab-page")
    lab.button("Check").click()
    expect(said).to_contain_text("Not yet. The run diverges", timeout=60_000)
    lab.button("Hint").click()
    expect(said).to_contain_text("Hint 1 of")
    lab.evaluate("lab.set(gain=1.0)")
    lab.button("Check").click()
    expect(said).to_contain_text("Changes: gain 3.0 -> 1.0", timeout=60_000)
    expect(said).to_contain_text("Passed")
    expect(stage(lab)).to_be_visible()
    assert lab.console_errors == []
