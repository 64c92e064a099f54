"""A panel and the life of its kernel, its page and its notebook."""

import pytest
from lab_page import DROP_FINISHED
from panel_page import make_panel, open_panel, speed, stage, step_shown, wait_for_step
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

OPEN = "from gradlab import GradLab\nlab = GradLab(depth=4, width=16)\nlab\n"
KERNEL = "window.jupyterapp.shell.currentWidget.sessionContext.session.kernel"


def test_where_messages_of_finished_requests_are_dropped_the_panel_plays(panel):
    lab = panel
    lab.page.evaluate(DROP_FINISHED)
    lab.button("Play").click()
    wait_for_step(lab, 12)
    speed(lab, "max")
    wait_for_step(lab, 300)
    lab.button("Pause").click()
    dropped, taken = lab.page.evaluate("[window.dropped, window.taken]")
    lab.page.evaluate(f"() => {{ delete {KERNEL}._handleCommMsg; }}")
    assert dropped == 0
    assert taken > 10


def test_running_the_cell_again_closes_its_panel_and_two_panels_play_at_once(panel):
    lab = panel
    lab.button("Play").click()
    wait_for_step(lab, 3)
    lab.evaluate("globals().update(old=lab)")
    assert lab.run_cell(0)
    expect(stage(lab)).to_have_count(1)
    assert lab.evaluate("(old.closed, lab.closed, lab.trainer.step_count)") == (True, False, 0)
    make_panel(
        lab,
        "from gradlab import GradLab\none, two = GradLab(depth=2), GradLab(depth=3)\n"
        "from ipywidgets import VBox\nVBox([one, two])\n",
    )
    for each in stage(lab).all():
        each.locator(".gl-play").click()
    lab.until("min(one.trainer.step_count, two.trainer.step_count) > 3", True)


def test_a_restarted_kernel_starts_afresh_and_a_closed_tab_stops_the_run(lab):
    open_panel(lab, OPEN)
    lab.button("Play").click()
    wait_for_step(lab, 3)
    lab.restart()
    assert lab.run_cell(0)
    expect(lab.button("Play").last).to_be_visible()
    lab.button("Play").last.click()
    wait_for_step(lab, 3)
    kernel = lab.page.evaluate(f"() => {KERNEL}.id")
    lab.close_tab()
    lab.open_beside(lab.write("other.ipynb", "1"), kernel)
    taken = lab.evaluate("lab.trainer.step_count")
    lab.page.wait_for_timeout(2500)  # one out of sight would ask once a second
    assert lab.evaluate("lab.trainer.step_count") == taken


def test_an_interrupt_in_a_cell_that_runs_leaves_a_whole_step_on_the_stage(panel):
    lab = panel
    lab.page.evaluate(f"() => {{ {KERNEL}.requestExecute({{code: 'lab.run(1_000_000)'}}); }}")
    wait_for_step(lab, 20)
    lab.interrupt()
    lab.wait_idle()
    steps = lab.evaluate("(lab.trainer.step_count, len(lab.history))")
    assert steps[0] == steps[1]
    lab.button("Step").click()
    wait_for_step(lab, steps[0])
    assert step_shown(lab) == steps[0]


def test_an_interrupt_while_playing_is_said_and_pauses(panel):
    lab = panel
    lab.button("Play").click()
    wait_for_step(lab, 3)
    lab.interrupt()
    expect(lab.notebook.locator(".gl-alert")).to_contain_text("The kernel was interrupted")
    expect(lab.button("Play")).to_be_visible()
    lab.button("Play").click()
    wait_for_step(lab, lab.evaluate("lab.trainer.step_count") + 3)
    lab.button("Pause").click()


def test_an_exception_while_playing_is_said_and_pauses(shared):
    lab = shared
    code = """import torch
from gradlab import GradLab, Config
calls = [0]
def loss(output, y):
    calls[0] += 1
    if calls[0] >= 30:
        raise RuntimeError("the data ran out")
    return torch.nn.functional.cross_entropy(output, y)
lab = GradLab(depth=2, data=(torch.randn(64, 2), torch.arange(64) % 2), loss=loss)
lab
"""
    make_panel(lab, code)
    lab.button("Play").click()
    expect(lab.notebook.locator(".gl-alert")).to_contain_text("the data ran out")
    expect(lab.button("Play")).to_be_visible()
    lab.button("Step").click()
    lab.until("lab.trainer.step_count == len(lab.history)", True)
