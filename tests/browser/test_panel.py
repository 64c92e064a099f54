"""The panel, with mouse and keyboard, in real JupyterLab in a real Chromium."""

import re
import time

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

OPEN = "from gradlab import GradLab\nlab = GradLab(depth=4, width=16, activation='tanh', init='xavier')\nlab\n"
OPEN_LABELS = {"Preset", "Depth", "Init", "Gain", "Learning rate", "Micro-batches", "Threshold", "Measure"}
FOLDED_LABELS = {"Dataset", "Width", "Activation", "Norm", "Optimizer", "Batch size", "Carry-over", "Seed"}
FOLDED = ("Network and data", "Training")


def open_panel(lab, code=OPEN):
    lab.open(lab.write("panel.ipynb", code))
    assert lab.run_all()
    assert lab.errors() == []
    expect(lab.notebook.locator("img.gradlab-picture")).to_be_visible()


def labels_shown(lab):
    return {text.strip() for text in lab.notebook.locator(".widget-label:visible").all_inner_texts()}


def step_shown(lab):
    found = re.search(r"step (\d+)", lab.notebook.locator(".gradlab-status").inner_text())
    return int(found[1]) if found else 0


def wait_for_step(lab, at_least):
    lab.page.wait_for_function(
        "n => { const m = /step (\\d+)/.exec(document.querySelector('.gradlab-status')?.innerText ?? '');"
        " return m && Number(m[1]) >= n; }",
        arg=at_least,
    )


def gradlab_threads(lab):
    return [name for name in lab.threads() if name == "gradlab"]


def test_every_control_stands_there_with_its_label_and_the_buttons_have_exact_names(lab):
    open_panel(lab)
    for title in FOLDED:
        expect(lab.notebook.get_by_text(title, exact=True)).to_be_visible()
    assert labels_shown(lab) >= OPEN_LABELS
    assert not labels_shown(lab) & FOLDED_LABELS
    shown = set()
    for title in FOLDED:
        lab.notebook.get_by_text(title, exact=True).click()
        expect(lab.control("Dataset" if title == FOLDED[0] else "Optimizer")).to_be_visible()
        shown |= labels_shown(lab)
        if title == FOLDED[0]:
            expect(lab.notebook.get_by_role("checkbox", name="Residual")).to_be_visible()
        lab.screenshot("panel-" + title.split()[0].lower())
    assert shown >= FOLDED_LABELS
    for name in ("Play", "Step", "Reset", "New seed"):
        expect(lab.button(name)).to_be_visible()
    for name in ("Accumulation", "Clipping"):
        expect(lab.toggle(name)).to_be_visible()
    expect(lab.button("Pause")).to_have_count(0)
    assert lab.console_errors == []


def test_play_trains_a_drag_moves_the_learning_rate_live_and_pause_stops(lab):
    open_panel(lab)
    lab.button("Play").click()
    expect(lab.button("Pause")).to_be_visible()
    wait_for_step(lab, 5)
    lab.drag("Learning rate", 30)
    expect(lab.readout("Learning rate")).not_to_have_text("0.05")
    wait_for_step(lab, step_shown(lab) + 5)
    lab.button("Pause").click()
    expect(lab.button("Play")).to_be_visible()
    dragged = float(lab.readout("Learning rate").inner_text())
    assert dragged > 0.05
    lr, marks, first = lab.evaluate("(lab.config.lr, [m.text for m in lab.history.marks], lab.history[0].step)")
    assert lr == dragged
    assert first == 0  # the run went on: nothing was reset
    assert any(text.startswith("lr 0.05 -> ") for text in marks)
    stopped_at = step_shown(lab)
    time.sleep(0.5)
    assert step_shown(lab) == stopped_at == lab.evaluate("lab.trainer.step_count")
    assert lab.console_errors == []


def test_the_switches_of_accumulation_and_clipping_remember_the_rule_beside_them(lab):
    open_panel(lab)
    rules = lab.control("Rule")
    rules.nth(1).locator("select").select_option(label="By value")
    assert lab.evaluate("lab.config.clip") == "none"
    lab.toggle("Clipping").click()
    lab.toggle("Accumulation").click()
    lab.button("Step").click()
    expect(lab.notebook.locator(".gradlab-status")).to_contain_text("step 1 | updates 1 | micro-batches 4")
    assert lab.evaluate("(lab.config.clip, lab.config.accumulation)") == ("value", "mean")
    lab.toggle("Clipping").click()
    lab.button("Step").click()
    expect(lab.notebook.locator(".gradlab-status")).to_contain_text("step 2 | updates 2 | micro-batches 8")
    assert lab.evaluate("lab.config.clip") == "none"
    lab.toggle("Clipping").click()
    lab.button("Step").click()
    wait_for_step(lab, 3)
    assert lab.evaluate("lab.config.clip") == "value"


def test_step_reset_new_seed_and_a_restart_knob_start_from_the_same_seeds(lab):
    open_panel(lab)
    for _ in range(3):
        lab.button("Step").click()
    wait_for_step(lab, 3)
    losses = lab.evaluate("lab.history.column('loss').tolist()")
    lab.button("Reset").click()
    expect(lab.notebook.locator(".gradlab-status")).to_contain_text("Ready")
    for _ in range(3):
        lab.button("Step").click()
    wait_for_step(lab, 3)
    assert lab.evaluate("lab.history.column('loss').tolist()") == losses
    lab.button("New seed").click()
    expect(lab.notebook.locator(".gradlab-status")).to_contain_text("Ready")
    assert lab.evaluate("(lab.config.weight_seed, lab.config.data_seed, lab.config.batch_seed)") == (1, 1, 1)
    lab.press("Depth", "ArrowRight", "ArrowRight")
    expect(lab.readout("Depth")).to_have_text("6")
    lab.button("Step").click()
    wait_for_step(lab, 1)
    assert lab.evaluate("len(lab.trainer.layer_names)") == 7


def test_a_divergence_is_named_and_one_click_leads_back_to_the_last_finite_step(lab):
    open_panel(lab, OPEN.replace("activation='tanh', init='xavier'", "lr=0.1"))
    for _ in range(5):
        lab.button("Step").click()
    wait_for_step(lab, 5)
    lab.evaluate("lab.set(lr=1e8)")
    lab.button("Play").click()
    expect(lab.alert()).to_contain_text(re.compile(r"Diverged at step \d+: .*(layer \d+|the loss)"))
    expect(lab.button("Play")).to_be_visible()
    lab.screenshot("panel-diverged")
    back = lab.notebook.get_by_role("button", name=re.compile(r"^Back to step \d+$"))
    expect(back).to_be_visible()
    step = int(back.inner_text().split()[-1])
    back.click()
    expect(back).not_to_be_visible()
    expect(lab.alert()).to_contain_text(f"Back at step {step}")
    assert lab.evaluate("(lab.trainer.step_count, lab.history.diverged is None)") == (step, True)
    lab.evaluate("lab.set(lr=0.01)")
    lab.button("Step").click()
    wait_for_step(lab, step + 1)


def test_a_value_that_is_not_accepted_is_explained_and_nothing_is_lost(lab):
    open_panel(lab)
    lab.button("Step").click()
    wait_for_step(lab, 1)
    lab.select("Preset", "The article, as printed")
    expect(lab.alert()).to_contain_text("label 3 is outside [0, 1)")
    expect(lab.notebook.locator(".gradlab-status")).to_contain_text("step 1 ")
    assert lab.evaluate("(lab.config.dataset, len(lab.history))") == ("moons", 1)
    lab.select("Preset", "Exploding: tanh, gain 2")
    expect(lab.readout("Depth")).to_have_text("30")
    expect(lab.alert()).to_have_count(0)
    expect(lab.readout("Gain")).to_have_text("2")


def test_theory_agrees_on_screen_and_the_suggestion_is_one_click(lab):
    open_panel(lab, "from gradlab import GradLab\nlab = GradLab(preset='exploding_tanh')\nlab")
    lab.notebook.get_by_role("checkbox", name="Theory").check()
    expect(lab.notebook.locator(".gradlab-info")).to_contain_text("Theory: Exploding")
    lab.screenshot("panel-theory")
    lab.button("Step").click()
    expect(lab.notebook.locator(".gradlab-info")).to_contain_text("Diagnosis: Exploding gradient")
    lab.button("Check gradients").click()
    expect(lab.notebook.locator(".gradlab-info")).to_contain_text("autograd and finite differences agree")
    lab.notebook.get_by_role("button", name=re.compile(r"^Try gain=")).click()
    expect(lab.readout("Gain")).not_to_have_text("2")
    expect(lab.notebook.locator(".gradlab-status")).to_contain_text("Ready")


def test_looking_deeper_adds_a_second_picture_when_it_is_asked_for(lab):
    open_panel(lab)
    lab.notebook.get_by_text("Look deeper", exact=True).click()
    closeup = lab.notebook.locator("img.gradlab-closeup")
    expect(closeup).not_to_be_visible()
    for name in ("Dead and saturated units", "Gradient histogram", "Gradient noise", "Sharpness"):
        lab.notebook.get_by_role("checkbox", name=name).check()
    for _ in range(5):
        lab.button("Step").click()
    wait_for_step(lab, 5)
    expect(closeup).to_be_visible()
    closeup.scroll_into_view_if_needed()
    lab.screenshot("panel-closeup")


def test_running_the_cell_again_closes_the_old_panel_and_its_thread(lab):
    open_panel(lab)
    lab.button("Play").click()
    wait_for_step(lab, 3)
    lab.evaluate("globals().__setitem__('old', lab)")
    assert lab.run_cell(0)
    expect(lab.button("Play")).to_have_count(1)
    assert not lab.evaluate("old.playing")
    assert gradlab_threads(lab) == []
    assert lab.evaluate("old.closed and not lab.closed")


def test_two_panels_train_side_by_side_and_play_twice_is_play_once(lab):
    open_panel(lab, "from gradlab import GradLab\na, b = GradLab(depth=3), GradLab(depth=5)\na")
    lab.evaluate("[p.play() for p in (a, b, a, a, b)]")
    wait_for_step(lab, 20)
    assert gradlab_threads(lab) == ["gradlab", "gradlab"]
    lab.evaluate("[p.pause() for p in (a, b)]")
    losses = "[(p.trainer.step_count, p.history.column('loss').tolist()) for p in (a, b)]"
    for (steps, seen), depth in zip(lab.evaluate(losses), (3, 5), strict=True):
        fresh = f"__import__('gradlab').Trainer(__import__('gradlab').Config(depth={depth})).run({steps})"
        assert seen == lab.evaluate(f"{fresh}.column('loss').tolist()")


def test_closing_the_tab_pauses_and_the_thread_ends(lab):
    open_panel(lab)
    other = lab.write("other.ipynb", "1")
    lab.button("Play").click()
    wait_for_step(lab, 3)
    kernel = lab.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.model.id")
    lab.close_tab()
    lab.page.wait_for_timeout(13_000)  # 10 s without an acknowledged frame; a tab on the same kernel would answer
    lab.page.evaluate(
        "async ([path, id]) =>"
        " { await window.jupyterapp.commands.execute('docmanager:open', {path, kernel: {id}}); }",
        [other, kernel],
    )
    lab.wait_idle()
    deadline = time.monotonic() + 30  # an idle worker ends after 3 s; the machine may be busy
    while gradlab_threads(lab) and time.monotonic() < deadline:
        lab.page.wait_for_timeout(500)
    assert not lab.evaluate("lab.playing")
    assert gradlab_threads(lab) == []


def test_an_interrupted_run_leaves_a_panel_that_goes_on(lab):
    open_panel(lab)
    lab.page.evaluate(
        "() => { window.jupyterapp.shell.currentWidget.sessionContext.session.kernel"
        ".requestExecute({code: 'lab.run(10**7)'}); }"
    )
    wait_for_step(lab, 20)
    lab.interrupt()
    lab.wait_idle()
    steps = lab.evaluate("lab.trainer.step_count")
    assert lab.evaluate("len(lab.history)") == steps
    fresh = f"__import__('gradlab').Trainer(lab.config).run({steps}).column('loss').tolist()"
    assert lab.evaluate("lab.history.column('loss').tolist()") == lab.evaluate(fresh)
    lab.button("Step").click()
    wait_for_step(lab, steps + 1)


def test_a_restarted_kernel_has_no_thread_and_the_cell_runs_again(lab):
    open_panel(lab)
    lab.button("Play").click()
    wait_for_step(lab, 3)
    lab.restart()
    assert gradlab_threads(lab) == []
    assert lab.run_all()
    lab.button("Step").click()
    wait_for_step(lab, 1)


def test_the_saved_notebook_holds_a_picture_and_a_short_stable_text(lab):
    open_panel(lab, OPEN.replace("\nlab\n", "\nlab.run(30)\nlab\n"))
    data = lab.save().cells[0].outputs[0].data
    assert data["image/png"].startswith("iVBORw0KGgo")
    assert data["text/plain"] == "<GradLab(depth=4, width=16, activation='tanh', init='xavier'), 30 steps>"


def test_the_picture_is_said_in_words_and_numbers(lab):
    open_panel(lab, OPEN.replace("\nlab\n", "\nlab.run(30)\nlab\n"))
    words = lab.notebook.get_by_role("img", name=re.compile("Backward signal"))
    said = words.get_attribute("aria-label")
    assert re.search(r"After 30 steps the loss is 0\.\d+", said)
    assert re.search(r"largest in layer \d+ at [\d.e-]+, smallest in layer \d+", said)
    assert re.search(r"layer 1 is [\d.]+ decades (above|below) layer 5", said)
    expect(lab.notebook.locator("[aria-live=polite]", has_text="After 30 steps")).to_have_count(1)


def test_frames_wait_for_a_slow_connection_and_pause_answers_at_once(lab):
    open_panel(lab)
    session = lab.page.context.new_cdp_session(lab.page)
    session.send("Network.enable")
    slow = {"offline": False, "latency": 20, "downloadThroughput": 125_000, "uploadThroughput": 125_000}
    session.send("Network.emulateNetworkConditions", slow)
    lab.button("Play").click()
    wait_for_step(lab, 10)
    lab.page.wait_for_timeout(3000)
    lab.button("Pause").click()
    expect(lab.button("Play")).to_be_visible(timeout=10_000)  # 16 s where frames were not held back
    lab.page.wait_for_timeout(3000)
    frames, seen = lab.evaluate("lab.frames")
    assert frames == seen
