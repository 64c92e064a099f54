"""Take home without a browser: what each button hands to the bridge; the clicks are tested in tests/browser."""

import csv
import io
import os
import re
import subprocess
import sys
import time

import pytest
import torch
from PIL import Image

from gradlab import Config, GradLab

SMALL = {"depth": 3, "width": 8}


class Browser:
    """Stands for the browser's side of the bridge: notes what it is given, and says that it has copied."""

    def __init__(self, lab, refuses=""):
        self.lab, self.refuses, self.copied, self.saved = lab, refuses, [], []
        lab.bridge.copy, lab.bridge.download = self.copy, self.download

    def copy(self, text):
        self.copied.append(text)
        for told in self.lab.bridge.on_copied:
            told(self.refuses)

    def download(self, name, content, media_type):
        self.saved.append((name, content, media_type))


def press(lab, name):
    """Press a button of the section and return what it says when it is done."""
    lab.home.words = ""
    lab.home.buttons[name].click()
    deadline = time.monotonic() + 30
    while not re.match("Copied|Handed|Nothing|The browser|已", lab.home.words) and time.monotonic() < deadline:
        time.sleep(0.01)
    return lab.home.words


def printed_by(script, tmp_path):
    path = tmp_path / "script.py"
    path.write_text(script, encoding="utf-8")
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, check=True, cwd=tmp_path, env=env, timeout=120
    )
    return done.stdout


def lines_of(history):
    return "".join(f"step {record.step} loss {record.loss!r}\n" for record in history)


@pytest.mark.parametrize(
    ("knobs", "steps"),
    [
        ({}, 7),
        ({"accumulation": "mean", "clip": "global_norm", "clip_threshold": 0.1, "optimizer": "adam"}, 7),
        ({"lr": 1e6}, 20),  # diverges: the step that failed is printed too
    ],
)
def test_the_copied_script_prints_the_losses_of_the_panel_digit_for_digit(panel, tmp_path, knobs, steps):
    lab = panel(**knobs)
    browser = Browser(lab)
    lab.run(steps)
    said = press(lab, "code")
    (script,) = browser.copied
    assert said == f"Copied: {len(script.splitlines())} lines of PyTorch for {len(lab.history)} steps."
    assert "gradlab" not in re.sub(r'""".*?"""', "", script, flags=re.DOTALL)
    assert printed_by(script, tmp_path) == lines_of(lab.history)


def test_before_the_first_step_the_script_takes_one(panel, tmp_path):
    lab = panel()
    browser = Browser(lab)
    press(lab, "code")
    assert printed_by(browser.copied[0], tmp_path) == lines_of(lab.run(1))


def test_knobs_that_moved_on_the_way_are_named_with_the_code(panel):
    lab = panel()
    Browser(lab)
    lab.set(lr=0.1)  # before the first step: in force for the whole run
    lab.run(3)
    assert "Knobs moved" not in press(lab, "code")
    lab.set(lr=0.2)
    lab.run(2)
    lab.set(clip="value", momentum=0.5)
    said = press(lab, "code")
    assert "Knobs moved on the way (step 3: lr 0.1 -> 0.2; step 5: momentum 0.0 -> 0.5, clip none -> value)." in said
    assert "does not print the losses shown here" in said


def test_settings_are_copied_as_json_and_as_the_call(panel):
    lab = panel(gain=0.1 + 0.2)
    browser = Browser(lab)
    assert press(lab, "json") == f"Copied: {len(Config.knobs())} settings as JSON."
    assert press(lab, "call") == "Copied: GradLab(depth=3, width=8, gain=0.30000000000000004)."
    json, call = browser.copied
    assert Config.from_json(json) == eval(call, {"GradLab": Config}) == lab.config


def test_a_network_of_your_own_cannot_be_written_as_code_and_the_section_says_so(panel):
    x = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    network = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Tanh(), torch.nn.Linear(6, 3))
    lab = panel(network=network, data=(x, torch.arange(60) % 3))
    browser = Browser(lab)
    lab.run(2)
    said = press(lab, "code")
    assert said.startswith(
        "Nothing was copied or saved: a network, data or a loss of your own cannot be written down"
    )
    assert "(network, data)" in said
    assert browser.copied == []
    assert "Your own network, data is not part of it" in press(lab, "call")
    assert press(lab, "replay").startswith("Handed to the browser")
    assert b"GradLab(" not in browser.saved[0][1]  # the settings of a built-in network would mislead


def test_what_cannot_be_written_as_code_is_said_and_no_alarm_is_raised(panel, monkeypatch):
    def refuse(config, steps):
        raise ValueError("activation='mine': a lambda cannot be written down")

    monkeypatch.setattr("gradlab.panel.parcel.config_to_code", refuse)
    lab = panel()
    browser = Browser(lab)
    assert press(lab, "code") == "Nothing was copied or saved: activation='mine': a lambda cannot be written down"
    assert browser.copied == []
    assert lab.alert == ""


def test_the_table_holds_every_step(panel):
    lab = panel()
    browser = Browser(lab)
    lab.run(5)
    said = press(lab, "csv")
    ((name, content, media_type),) = browser.saved
    assert (name, media_type) == ("gradlab.csv", "text/csv")
    assert said == f"Handed to the browser to save: gradlab.csv, 5 recorded steps, {len(content) / 1000:.3g} kB."
    rows = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    assert [float(row["loss"]) for row in rows] == lab.history.column("loss").tolist()


@pytest.mark.parametrize("name", ["csv", "replay"])
def test_without_a_step_there_is_nothing_to_save(panel, name):
    lab = panel()
    browser = Browser(lab)
    assert press(lab, name) == "Nothing was copied or saved: no step was taken yet."
    assert browser.saved == []
    assert lab.alert == ""


def test_the_figure_is_saved_as_pixels_and_as_lines(panel):
    lab = panel()
    browser = Browser(lab)
    lab.run(5)
    press(lab, "png")
    press(lab, "svg")
    (png_name, png, _), (svg_name, svg, svg_type) = browser.saved
    assert (png_name, svg_name, svg_type) == ("gradlab.png", "gradlab.svg", "image/svg+xml")
    assert Image.open(io.BytesIO(png)).size == (2000, 860)
    assert b"<svg" in svg[:1000]
    press(lab, "svg")
    assert len(browser.saved[2][1]) == len(svg)


def test_the_replay_of_300_steps_is_one_page_under_five_megabytes(panel):
    lab = panel(depth=50)
    browser = Browser(lab)
    lab.run(310)
    said = press(lab, "replay")
    ((name, page, media_type),) = browser.saved
    assert (name, media_type) == ("gradlab-replay.html", "text/html")
    assert "gradlab-replay.html, " in said
    assert len(page) < 5e6
    assert b"GradLab(depth=50, width=8)" in page


def test_a_browser_that_refuses_is_said_and_the_text_stands_there_to_be_copied_by_hand(panel):
    lab = panel()
    Browser(lab, refuses="NotAllowedError")
    said = press(lab, "call")
    assert said.startswith("The browser did not let the panel copy (NotAllowedError).")
    shown = [child.value for child in lab.home.box.children[0].children if hasattr(child, "value")]
    assert any("<textarea readonly" in value and "GradLab(depth=3, width=8)" in value for value in shown)


def test_of_two_lanes_it_is_lane_b_that_goes_home_and_the_section_says_so(panel, tmp_path):
    lab = panel()
    browser = Browser(lab)
    lab.compare(lr=0.2)
    lab.run(3)
    assert press(lab, "code").endswith("It is lane B, the one that the controls move.")
    assert printed_by(browser.copied[0], tmp_path) == lines_of(lab.lanes.histories["B"])
    press(lab, "svg")
    assert browser.saved[0][1]


def test_playing_goes_on_while_things_are_saved(panel):
    lab = panel()
    browser = Browser(lab)
    lab.play()
    press(lab, "png")
    assert lab.playing
    lab.pause()
    assert len(browser.saved) == 1


def test_the_section_is_folded_and_speaks_chinese():
    lab = GradLab(**SMALL, lang="zh")
    browser = Browser(lab)
    assert (lab.home.box.titles, lab.home.box.selected_index) == (("带回家",), None)
    lab.run(2)
    assert press(lab, "code").startswith("已复制：")
    assert press(lab, "replay").startswith("已交给浏览器保存：")
    assert 'lang="zh"' in browser.saved[0][1].decode()
    lab.close()
