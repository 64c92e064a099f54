"""The browser harness itself, on a notebook of plain ipywidgets."""

import pytest
from lab_server import require_chromium
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

WIDGETS = """
import threading
import ipywidgets as W
rate = W.FloatSlider(description="Rate", min=0, max=1, step=0.01, value=0.1)
decoy = W.FloatSlider(description="Rate of another", min=0, max=1, value=0.5)
rule = W.Dropdown(description="Rule", options=[("Off", "none"), ("By norm", "norm")])
clip = W.ToggleButton(description="Clip", tooltip="Clip gradients")
step, fail = W.Button(description="Step"), W.Button(description="Step back")
line = W.HTML()
steps = 0
def show(_=None):
    line.value = f'<p role="status">rate={rate.value:.2f} rule={rule.value} clip={clip.value} steps={steps}</p>'
def one_step(_):
    global steps
    steps += 1
    show()
for control in (rate, rule, clip):
    control.observe(show, "value")
step.on_click(one_step)
show()
W.VBox([rate, decoy, rule, clip, step, fail, line])
"""
THREAD = "threading.Thread(target=time.sleep, args=(600,), name='worker under test', daemon=True).start()"


def test_mouse_keys_and_menus_reach_the_kernel_and_come_back(lab):
    lab.open(lab.write("widgets.ipynb", WIDGETS))
    assert lab.run_all()
    assert lab.errors() == []
    expect(lab.status()).to_have_text("rate=0.10 rule=none clip=False steps=0")

    lab.drag("Rate", 80)
    expect(lab.status()).not_to_contain_text("rate=0.10")
    dragged = float(lab.readout("Rate").inner_text())
    assert dragged > 0.2  # 80 px are more than a tenth of any slider
    lab.press("Rate", "ArrowRight", "ArrowRight")
    expect(lab.status()).to_contain_text(f"rate={dragged + 0.02:.2f}")
    lab.type_number("Rate", "0.33")
    expect(lab.status()).to_contain_text("rate=0.33")

    lab.select("Rule", "By norm")
    lab.toggle("Clip").click()
    lab.button("Step").click()
    expect(lab.status()).to_have_text("rate=0.33 rule=norm clip=True steps=1")
    assert lab.is_on("Clip")
    assert lab.evaluate("(rate.value, clip.value, steps)") == (0.33, True, 1)
    assert lab.console_errors == []


def test_an_exception_in_a_cell_is_seen(lab):
    lab.open(lab.write("error.ipynb", "1 + 1", "1 / 0"))
    assert not lab.run_all()
    assert lab.errors() == ["ZeroDivisionError: division by zero"]
    assert lab.run_cell(0)


def test_threads_and_memory_of_the_kernel_are_counted_and_a_restart_clears_them(lab):
    lab.open(lab.write("threads.ipynb", "import threading, time", "x = bytearray(64 * 2**20)", THREAD))
    before = lab.memory()
    assert "worker under test" not in lab.threads()
    assert lab.run_all()
    assert "worker under test" in lab.threads()
    assert lab.memory() > before + 60  # MiB; 64 were asked for
    lab.restart()
    assert "worker under test" not in lab.threads()
    with pytest.raises(RuntimeError, match="NameError"):
        lab.evaluate("x")


def test_a_screenshot_and_the_saved_notebook_can_be_looked_at(lab):
    lab.open(lab.write("saved.ipynb", "6 * 7"))
    lab.run_all()
    assert lab.save().cells[0].outputs[0].data["text/plain"] == "42"
    shot = lab.screenshot("harness")
    assert shot.read_bytes().startswith(b"\x89PNG")
    lab.close_tab()
    expect(lab.notebook).to_have_count(0)


@pytest.mark.parametrize(("ci", "outcome"), [({}, pytest.skip.Exception), ({"CI": "true"}, pytest.fail.Exception)])
def test_without_a_chromium_a_test_is_skipped_and_in_ci_it_fails(ci, outcome, tmp_path):
    with pytest.raises(outcome, match="apt-get install chromium"):
        require_chromium({"PATH": str(tmp_path), **ci})


def test_a_chromium_is_taken_from_the_variable_first_and_then_from_the_path(tmp_path):
    programs = [tmp_path / name for name in ("chosen", "chromium-browser", "google-chrome")]
    for program in programs:
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    chosen, first, _ = map(str, programs)
    assert require_chromium({"PATH": str(tmp_path), "CHROMIUM": chosen}) == chosen
    assert require_chromium({"PATH": str(tmp_path)}) == first
    with pytest.raises(pytest.fail.Exception, match="CHROMIUM='nowhere' is not a program"):
        require_chromium({"PATH": str(tmp_path), "CHROMIUM": "nowhere"})
