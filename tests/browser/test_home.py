"""Take home, with mouse and keyboard, in real JupyterLab in a real Chromium."""

import csv
import os
import re
import subprocess
import sys

import pytest
from playwright.sync_api import expect

from gradlab import Config

pytestmark = pytest.mark.browser

OPEN = "from gradlab import GradLab\nlab = GradLab(depth=4, width=16, activation='tanh')\nlab\n"


def open_section(lab):
    lab.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    lab.open(lab.write("home.ipynb", OPEN))
    assert lab.run_all()
    expect(lab.button("Copy code")).not_to_be_visible()  # folded
    lab.notebook.get_by_text("Take home", exact=True).click()
    expect(lab.button("Copy code")).to_be_visible()


def words(lab):
    return lab.notebook.locator(".gradlab-home-words")


def clipboard(lab):
    return lab.page.evaluate("navigator.clipboard.readText()")


def step_to(lab, count):
    for number in range(1, count + 1):
        lab.button("Step").click()
        expect(lab.notebook.locator(".gradlab-status")).to_contain_text(re.compile(rf"step {number}\b"))


def save(lab, name, tmp_path):
    with lab.page.expect_download() as waiting:
        lab.button(name).click()
    path = tmp_path / waiting.value.suggested_filename
    waiting.value.save_as(path)
    expect(words(lab)).to_contain_text(f"Handed to the browser to save: {path.name}")
    return path


def test_the_code_on_the_clipboard_prints_the_losses_shown_digit_for_digit(lab, tmp_path):
    open_section(lab)
    step_to(lab, 5)
    lab.button("Copy code").click()
    expect(words(lab)).to_contain_text(re.compile(r"Copied: \d+ lines of PyTorch for 5 steps\."))
    script = tmp_path / "script.py"
    script.write_text(clipboard(lab), encoding="utf-8")
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ran = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=True, cwd=tmp_path, env=env
    )
    losses = lab.evaluate("lab.history.column('loss').tolist()")
    assert ran.stdout == "".join(f"step {step} loss {loss!r}\n" for step, loss in enumerate(losses))
    lab.press("Learning rate", "ArrowRight")
    lab.button("Step").click()
    expect(lab.notebook.locator(".gradlab-status")).to_contain_text("step 6")
    lab.button("Copy code").click()
    expect(words(lab)).to_contain_text("Knobs moved on the way (step 5: lr 0.05 -> ")
    words(lab).scroll_into_view_if_needed()
    lab.screenshot("home-light")
    lab.command("apputils:change-theme", theme="JupyterLab Dark")
    lab.page.wait_for_timeout(1000)
    lab.screenshot("home-dark")
    lab.command("apputils:change-theme", theme="JupyterLab Light")
    assert lab.console_errors == []


def test_the_keyboard_reaches_every_button_and_copies_the_settings(lab):
    open_section(lab)
    lab.button("Copy code").focus()
    lab.page.keyboard.press("Tab")
    assert lab.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    lab.page.keyboard.press("Enter")
    expect(words(lab)).to_contain_text("settings as JSON")
    assert Config.from_json(clipboard(lab)) == Config(depth=4, width=16, activation="tanh")
    lab.page.keyboard.press("Tab")
    lab.page.keyboard.press("Space")
    expect(words(lab)).to_contain_text("Copied: GradLab(depth=4, width=16, activation='tanh').")
    assert clipboard(lab) == "GradLab(depth=4, width=16, activation='tanh')"
    names = []
    for _ in range(4):
        lab.page.keyboard.press("Tab")
        names.append(lab.page.evaluate("document.activeElement.innerText.trim()"))
    assert names == ["CSV", "PNG", "SVG", "Replay"]
    lab.page.keyboard.press("Enter")
    expect(words(lab)).to_contain_text("Nothing was copied or saved: no step was taken yet.")
    assert lab.console_errors == []


def test_table_pictures_and_replay_are_saved_and_the_replay_plays_offline(lab, tmp_path):
    open_section(lab)
    step_to(lab, 6)
    with save(lab, "CSV", tmp_path).open(encoding="utf-8", newline="") as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert losses == lab.evaluate("lab.history.column('loss').tolist()")
    assert save(lab, "PNG", tmp_path).read_bytes().startswith(b"\x89PNG")
    assert "<svg" in save(lab, "SVG", tmp_path).read_text(encoding="utf-8")[:1000]
    replay = save(lab, "Replay", tmp_path)
    context = lab.page.context.browser.new_context(viewport={"width": 1280, "height": 720}, offline=True)
    page = context.new_page()
    complaints = []
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(replay.as_uri())
    expect(page.locator("#config")).to_have_text("GradLab(depth=4, width=16, activation='tanh')")
    page.get_by_role("button", name="Play").click()
    expect(page.locator("#now")).to_have_text("Step 5")
    expect(page.get_by_role("status")).to_contain_text(f"Step 5: loss {losses[5]:.4g}")
    page.screenshot(path=lab.shots / "home-replay.png")
    for kind in ("png", "svg"):
        page.goto((tmp_path / f"gradlab.{kind}").as_uri())
        page.screenshot(path=lab.shots / f"home-{kind}.png")
    context.close()
    assert complaints == []
    assert lab.console_errors == []
