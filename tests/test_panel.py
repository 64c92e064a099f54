"""The panel without a browser: a front end that asks, code and words. The mouse is tested in tests/browser."""

import contextlib
import gc
import inspect
import math
import pydoc
import subprocess
import sys
import threading
import weakref
from types import SimpleNamespace

import ipywidgets as widgets
import psutil
import pytest
import torch
from jupyter_client.manager import start_new_kernel
from panels import field, named, patched, stage_of, text_of, widgets_of

import gradlab
from gradlab import Config, GradLab, Trainer
from gradlab.growth import number_words
from gradlab.locale import Text
from gradlab.panel.controller import Controller
from gradlab.stage.learned import LearnedLooks

SMALL = {"depth": 3, "width": 8}


@pytest.fixture
def browser(monkeypatch):
    """A front end; it must stand before `panel` in a test's arguments."""
    return patched(monkeypatch)


@pytest.fixture
def without_collections():
    """Garbage that references go round in is not collected; what nobody holds goes all the same."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def losses(lab):
    return lab.history.column("loss").tolist()


# ---------------------------------------------------------------------- code
def test_run_is_the_trainers_run_bit_for_bit(panel):
    lab = panel()
    lab.run(7)
    lab.step(3)
    assert losses(lab) == Trainer(Config(**SMALL)).run(10).column("loss").tolist()


def test_a_recurrent_network_opens_with_the_signal_through_time_and_a_chosen_measure_stays(panel):
    lab = panel(architecture="rnn", dataset="latch")
    shown = [lab._controller.measure]
    lab._controller.measure = "grad_norm"
    lab.set(width=6)
    shown.append(lab._controller.measure)
    lab.set(architecture="mlp")
    lab.set(architecture="rnn")
    assert [*shown, lab._controller.measure] == ["time_norm", "grad_norm", "time_norm"]


def test_a_live_knob_keeps_the_run_and_another_starts_it_again(panel):
    lab = panel()
    lab.run(5)
    lab.set(lr=0.3)
    assert (len(lab.history), lab.config.lr) == (5, 0.3)
    assert [mark.text for mark in lab.history.marks] == ["lr 0.05 -> 0.3"]
    lab.set(depth=4)
    assert (len(lab.history), len(lab.trainer.layer_names)) == (0, 5)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"lr": -1}, "lr=-1; expected a finite number >= 0"),
        ({"clip": "nrom"}, "clip='nrom'; expected one of none, value, global_norm"),
        ({"speed": 3}, "speed=3: no such field; expected one of dataset"),
        ({"dataset": "article_literal"}, "label 3 is outside"),
    ],
)
def test_bad_input_is_explained_and_nothing_is_lost(panel, knobs, message):
    lab = panel()
    lab.run(4)
    before = lab.history
    with pytest.raises(ValueError, match=message.replace("[", r"\[")):
        lab.set(**knobs)
    assert lab.history is before
    assert message in lab.alert
    lab.run(1)
    assert len(lab.history) == 5


@pytest.mark.parametrize("steps", [-1, 1.5, True, "3"])
def test_a_number_of_steps_that_is_none_is_refused(panel, steps):
    with pytest.raises(ValueError, match=f"n={steps!r}; expected a whole number >= 0"):
        panel().run(steps)


def test_a_constructor_refuses_what_it_cannot_build():
    with pytest.raises(ValueError, match="depth='deep'; expected a whole number"):
        GradLab(depth="deep")
    with pytest.raises(ValueError, match="preset='nope'; expected one of healthy"):
        GradLab(preset="nope")
    with pytest.raises(ValueError, match="lang='tlh'; expected one of en, zh"):
        GradLab(lang="tlh")
    with pytest.raises(ValueError, match="expected one of the two"):
        GradLab(Config(), preset="article")


def test_the_article_as_printed_says_why_it_cannot_be_trained(panel):
    lab = GradLab(preset="article_literal")
    assert "label 3 is outside [0, 1)" in lab.alert
    assert lab.run(1)[0].loss > 0
    lab.close()


def test_a_divergence_is_said_in_words_and_rewind_leads_back_without_an_alarm(panel):
    lab = panel(lr=0.1)
    lab.run(6)
    lab.set(lr=1e12)
    lab.run(10)
    diverged = lab.history.diverged
    assert lab.alert.startswith(f"Diverged at step {diverged.step}: ")
    assert "The step was not applied" in lab.alert
    lab.rewind(6)
    assert (lab.history.diverged, len(lab.history), lab.trainer.step_count) == (None, 6, 6)
    assert (lab.alert, lab.status) == ("", "Back. Steps: 6.")
    lab.set(lr=0.1)
    assert len(lab.run(2)) == 8
    assert "Back" not in lab.status


def test_a_skipped_step_is_said(panel):
    lab = panel(lr=1e12, nonfinite="skip")
    lab.run(4)
    assert lab.alert.startswith("Skipped step 3. Diverged at step 3")


def test_reset_starts_again_from_the_same_seeds(panel):
    lab = panel()
    lab.run(5)
    first = losses(lab)
    lab.reset()
    assert len(lab.history) == 0
    lab.run(5)
    assert losses(lab) == first


def test_an_older_step_is_looked_at_and_the_network_stays_where_it_is(panel):
    lab = panel()
    lab.run(20)
    lab.show_step(4)
    assert lab.words.startswith("After 5 steps")
    assert lab.trainer.step_count == 20
    lab.show_step(None)
    assert lab.words.startswith("After 20 steps")
    lab.show_step(4)
    lab.run(1)  # the run moves on: the latest is shown again
    assert lab.words.startswith("After 21 steps")
    with pytest.raises(ValueError, match=r"step=22; expected None or a whole number from 0 to 21"):
        lab.show_step(22)


def test_the_words_of_a_signal_through_time_count_time_steps(panel):
    lab = panel(architecture="rnn", dataset="latch", sequence_length=6, depth=2)
    lab.step()
    found = [math.log10(norm) for norm in lab.history.row("time_norm", 0)[-1]]
    decades = f"{abs(found[0] - found[-1]):.1f} decades {'above' if found[0] >= found[-1] else 'below'}"
    assert f"time step 1 is {decades} time step 6." in lab.words


def test_a_closed_panel_takes_no_step_and_says_so(panel):
    lab = panel()
    lab.close()
    lab.close()
    assert lab.closed
    with pytest.raises(RuntimeError, match="closed"):
        lab.run(1)


def test_the_global_random_state_is_neither_used_nor_touched(panel):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    panel().run(3)
    assert torch.equal(torch.get_rng_state(), before)


def test_own_network_and_data_train_in_the_panel_and_grey_what_describes_others(panel):
    x = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    network = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Tanh(), torch.nn.Linear(6, 3))
    lab = panel(network=network, data=(x, torch.arange(60) % 3))
    assert len(lab.run(5)) == 5
    assert lab.trainer.layer_names == ("0", "2")
    before = [p.clone() for p in network.parameters()]
    lab.reset()
    lab.run(2)
    assert all(torch.equal(p, q) for p, q in zip(network.parameters(), before, strict=True))
    assert [named(lab, name).disabled for name in ("Depth", "Gain", "Activation", "Init")] == [True] * 4
    assert field(lab, "Depth").disabled
    assert not named(lab, "Learning rate").disabled


def test_theory_and_diagnosis_speak_and_the_gradient_check_waits_to_be_asked(panel):
    lab = panel(depth=30, width=64, activation="tanh", init="normal", gain=2.0, lr=0.02)
    lab.run(3)
    said = lab.insight
    assert "grows" in said["Diagnosis"]
    assert said["Theory"].startswith("Exploding: ")
    assert said["Gradient check"] == ""


# ---------------------------------------------------------------------- ticks
def test_playing_gives_the_same_numbers_as_running(browser, panel):
    with browser.cell():
        lab = panel()
    browser.show(lab)
    browser.set(stage_of(lab), "playing", True)
    for _ in range(5):
        answer = browser.tick(lab, steps=4)
        assert answer["kind"] == "packet"
    browser.set(stage_of(lab), "playing", False)
    browser.tick(lab, steps=4)  # was under way when Pause was pressed
    assert lab.trainer.step_count == 20
    assert losses(lab) == Trainer(Config(**SMALL)).run(20).column("loss").tolist()


def test_nobody_asks_nothing_trains_and_no_thread_is_started(browser, panel):
    before = threading.enumerate()
    with browser.cell():
        lab = panel()
        lab.play()
    assert lab.playing
    assert lab.trainer.step_count == 0
    assert threading.enumerate() == before


def test_every_message_answers_one_so_that_a_front_end_that_drops_others_sees_the_run(browser, panel):
    with browser.cell():
        lab = panel()
        lab.play()
    browser.show(lab)
    numbers = [browser.tick(lab, steps=3)["number"] for _ in range(10)]
    browser.set(named(lab, "Learning rate"), "index", 3)
    browser.set(stage_of(lab), "playing", False)
    browser.command(lab, "step", 1)
    assert browser.dropped == 0
    assert numbers == list(range(numbers[0], numbers[0] + 10))  # none is missing between
    assert lab.trainer.step_count == 31


def test_a_tick_lasts_as_long_as_it_was_asked_to_and_never_long(monkeypatch):
    now = [0.0]
    step = Trainer.step

    def timed(trainer):
        now[0] += 1 / 128  # of a second, exactly
        return step(trainer)

    monkeypatch.setattr(Trainer, "step", timed)
    controller = controller_of(clock=lambda: now[0])
    controller.playing = True
    taken = []
    for milliseconds in (35, 5, 10_000, None):
        before = controller.trainer.step_count
        controller.tick(None, milliseconds)
        taken.append(controller.trainer.step_count - before)
    assert taken == [5, 1, 8, 8]  # 60 ms at most; one step at least


@contextlib.contextmanager
def told(waits):
    yield waits


def test_a_question_for_several_pictures_is_answered_one_after_the_other_until_something_waits(monkeypatch):
    now = [0.0]
    step = Trainer.step

    def timed(trainer):
        now[0] += 1 / 128
        return step(trainer)

    monkeypatch.setattr(Trainer, "step", timed)
    controller = controller_of(clock=lambda: now[0])
    controller.playing = True
    taken = lambda: controller.trainer.step_count  # noqa: E731
    for waits, left, steps in [
        (lambda: False, [3, 2, 1, 0], 20),  # 35 ms each
        (lambda: taken() >= 27, [3, 0], 28),  # 20 ms at least: other panels' questions wait, too
        (lambda: True, [0], 31),
        (None, [0], 36),  # where the kernel does not show it
    ]:
        controller.inbox.open = lambda waits=waits: told(waits)
        assert (list(controller.ticks(None, 35, 4)), taken()) == (left, steps)


def test_a_question_for_several_pictures_ends_for_a_thread_that_waits_for_the_panel(monkeypatch):
    controller = controller_of()
    controller.playing, done = True, []
    controller.inbox.open = lambda: told(lambda: False)
    other = threading.Thread(target=controller.act, args=(lambda: done.append(controller.trainer.step_count),))
    with controller.lock:
        pictures = controller.ticks(1, None, 100_000)
        next(pictures)
        other.start()
        assert sum(1 for _ in pictures) < 99_000
    other.join()
    assert done == [controller.trainer.step_count]


def test_every_picture_of_a_question_answers_it(browser, panel, monkeypatch):
    monkeypatch.setattr("gradlab.panel.start.Inbox.open", lambda self: told(lambda: False))
    with browser.cell():
        lab = panel()
        lab.play()
    browser.show(lab)
    answers = browser.ask(lab, "tick", run=browser.run_of(lab), steps=2, ms=None, pictures=3)
    assert [answer["left"] for answer in answers] == [2, 1, 0]
    assert [lane["steps"] for answer in answers for lane in answer["lanes"]] == [2, 4, 6]
    assert browser.dropped == 0


def test_the_pace_is_measured_over_half_a_second_and_forgotten_with_a_new_start():
    now = [0.0]
    controller = controller_of(clock=lambda: now[0])
    controller.playing = True
    for _ in range(8):
        now[0] += 0.1
        controller.tick(2, None)
    assert controller.rate == pytest.approx(20, rel=0.2)
    controller.restart()
    assert controller.rate is None


def test_a_click_tries_what_the_diagnosis_suggests(browser, panel):
    with browser.cell():
        lab = panel(depth=10, width=32, activation="sigmoid", init="xavier")
    browser.show(lab)
    browser.command(lab, "step", 5)
    (offer,) = [w for w in widgets_of(lab) if getattr(w, "description", "").startswith("Try ")]
    suggestion = gradlab.diagnose(lab.history, lab.config).suggestion
    assert offer.description == "Try " + ", ".join(f"{name}={value}" for name, value in suggestion.items())
    assert suggestion
    before = lab.config
    browser.press(offer)
    assert lab.config == before.replace(**suggestion)


def playing(on):
    return {"method": "update", "state": {"playing": on}, "buffer_paths": []}


def test_in_a_kernel_that_takes_one_message_after_another_a_panel_waits_while_a_cell_runs():
    """As ipykernel 6 does, and 7 where the front end opens no subshell for widgets."""
    manager, client = start_new_kernel()
    try:
        heard = []
        hear = {"output_hook": heard.append, "timeout": 120}
        client.execute_interactive("from gradlab import GradLab\nlab = GradLab(depth=2, width=4)", **hear)
        opened = [m["content"] for m in heard if m["header"]["msg_type"] == "comm_open"]
        stage = next(c["comm_id"] for c in opened if "controls_width" in c["data"]["state"])
        what = {"kind": "command", "id": 1, "name": "step", "value": 1}
        client.execute("import time\ntime.sleep(1)\nprint(lab.trainer.step_count)")
        sent = {"comm_id": stage, "data": {"method": "custom", "content": what}}
        client.shell_channel.send(client.session.msg("comm_msg", sent))
        printed, answered = [], False
        while not answered:
            message = client.get_iopub_msg(timeout=120)
            content = message["content"]
            printed += [content["text"]] if message["header"]["msg_type"] == "stream" else []
            answered = content.get("comm_id") == stage and content["data"].get("content", {}).get("id") == 1
        assert printed == ["0\n"]

        # and a question for as many pictures as take minutes ends when Pause waits
        def send(data):
            client.shell_channel.send(client.session.msg("comm_msg", {"comm_id": stage, "data": data}))

        def left():
            while True:
                content = client.get_iopub_msg(timeout=120)["content"]
                said = content.get("data", {}).get("content", {}) if content.get("comm_id") == stage else {}
                if "left" in said:
                    return said["left"]

        send(playing(True))
        for pictures in (1, 1, 10_000):
            what = {"kind": "tick", "id": 2, "run": content["data"]["content"]["run"], "ms": 20, "pictures": pictures}
            send({"method": "custom", "content": what})
            assert left() == pictures - 1
        send(playing(False))
        assert any(left() == 0 for _ in range(1000))
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_threads_that_wait_for_one_another_are_told_with_what_to_do(browser, panel, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr("gradlab.panel.controller.time.thread_time", lambda: 0.0)  # it computes nothing, and waits
    with browser.cell():
        lab = panel()
        lab.play()
    browser.show(lab)
    browser.tick(lab)
    assert "100% of the time torch's 2 threads wait for one another" in lab.said["Threads"]
    assert "torch.set_num_threads(1)" in lab.said["Threads"]
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert not lab.said.get("Threads")


def test_playing_stops_at_a_divergence_and_the_browser_hears_it(browser, panel):
    with browser.cell():
        lab = panel(lr=1e12)
        lab.play()
    browser.show(lab)
    for _ in range(5):
        browser.tick(lab)
    assert not lab.playing
    assert lab.alert.startswith("Diverged at step 1")
    states = [d["state"] for m, d, _ in browser.heard if m == stage_of(lab).model_id and d.get("method") == "update"]
    assert {"playing": False} in states


@pytest.mark.parametrize("error", [RuntimeError("the coffee is cold"), KeyboardInterrupt(), SystemExit(3)])
def test_an_exception_in_a_tick_is_its_answer_and_pauses(browser, panel, error):
    class Fails(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.calls = torch.nn.Linear(2, 2), 0

        def forward(self, x):
            self.calls += 1
            if self.calls > 25:
                raise error
            return self.linear(x)

    with browser.cell():
        lab = panel(network=Fails())
        lab.play()
    browser.show(lab)
    answers = [browser.tick(lab, steps=5) for _ in range(8)]
    failed = next(answer for answer in answers if answer["kind"] == "error")
    said = f"Stopped by an error: {type(error).__name__}"
    assert failed["sentence"].startswith(
        "The kernel was interrupted" if isinstance(error, KeyboardInterrupt) else said
    )
    assert "in forward" in failed["trace"]
    assert not lab.playing
    assert lab.alert == failed["sentence"]


def test_a_question_of_another_run_gets_its_answer_without_a_step(browser, panel):
    with browser.cell():
        lab = panel()
        lab.play()
    browser.show(lab)
    (answer,) = browser.ask(lab, "tick", run=-7, steps=5, ms=None)
    assert answer["kind"] == "packet"
    assert lab.trainer.step_count == 0


def test_a_view_gone_for_good_stops_the_run(browser, panel):
    with browser.cell():
        lab = panel()
        lab.play()
    browser.show(lab)
    browser.tick(lab)
    browser.set(lab, "_view_count", 0)
    assert not lab.playing


def test_a_packet_holds_only_what_is_new_and_all_is_sent_when_asked(browser, panel):
    with browser.cell():
        lab = panel(depth=49)
        lab.play()
    browser.show(lab)
    browser.tick(lab, steps=200)
    sizes = []
    for _ in range(5):
        browser.tick(lab, steps=3)
        data, buffers = next(
            (d, b) for _, d, b in reversed(browser.heard) if d.get("content", {}).get("kind") == "packet"
        )
        sizes.append(len(str(data)) + sum(len(bytes(b)) for b in buffers))
    assert max(sizes) < 4096
    (everything,) = browser.ask(lab, "all", run=1)
    assert everything["full"]


# ---------------------------------------------------------------------- knobs
def test_a_slider_and_code_reach_the_same_knob_and_the_packet_answers_the_slider(browser, panel):
    with browser.cell():
        lab = panel()
    browser.show(lab)
    slider = named(lab, "Learning rate")
    values = [number for _, number in slider.options]
    before = lab.frames[0]
    browser.set(slider, "index", values.index(0.5))
    assert (lab.config.lr, field(lab, "Learning rate").value) == (0.5, "0.5")
    assert lab.frames[0] == before + 1
    with browser.cell():
        lab.set(lr=0.3)
    assert (slider.value, field(lab, "Learning rate").value) == (0.3, "0.3")
    assert browser.dropped == 0


def controller_of(clock=lambda: 0.0, **knobs):
    own = dict.fromkeys(("network", "data", "loss"))
    return Controller(Trainer(Config(**SMALL | knobs)), own, Text("en"), clock=clock)


def test_of_knobs_that_pile_up_while_a_tick_runs_the_last_counts():
    controller = controller_of()
    controller.trainer.run(2)
    for lr in (0.5, 0.1, 0.2):
        controller.wait({"lr": lr})
    controller.wait({"momentum": 0.9})
    controller.playing = True
    controller.tick(1, None)
    assert (controller.trainer.config.lr, controller.trainer.config.momentum) == (0.2, 0.9)
    assert [mark.text for mark in controller.trainer.history.marks] == ["lr 0.05 -> 0.2, momentum 0.0 -> 0.9"]


def test_a_tick_ends_early_for_a_knob_and_for_pause(monkeypatch):
    controller = controller_of()
    step, happens = Trainer.step, []

    def stepped(trainer):
        record = step(trainer)
        happens[record.step]()
        return record

    monkeypatch.setattr(Trainer, "step", stepped)
    happens[:] = [
        lambda: None,
        lambda: controller.wait({"lr": 0.2}),
        lambda: None,
        lambda: setattr(controller, "playing", False),
    ]
    controller.playing = True
    controller.tick(10, None)
    assert (controller.trainer.step_count, controller.trainer.config.lr) == (2, 0.05)
    controller.tick(10, None)
    assert (controller.trainer.step_count, controller.trainer.config.lr) == (4, 0.2)


def test_what_was_refused_is_said_until_something_is_accepted_also_while_the_panel_plays(browser, panel):
    with browser.cell():
        lab = panel()
    browser.show(lab)
    lab.play()
    browser.tick(lab)
    browser.set(field(lab, "Learning rate"), "value", "-1")
    for _ in range(3):
        before = lab.trainer.step_count
        browser.tick(lab)
        assert lab.trainer.step_count > before
        assert "lr=-1" in lab.alert
    browser.set(field(lab, "Learning rate"), "value", "0.01")
    assert lab.alert == ""


def test_a_step_taken_by_hand_forgets_what_was_refused(panel):
    lab = panel()
    with pytest.raises(ValueError, match="lr=-1"):
        lab.set(lr=-1)
    assert "lr=-1" in lab.alert
    lab.step()
    assert lab.alert == ""


def test_two_hands_at_once_are_one_after_the_other(panel):
    lab = panel()
    hands = [threading.Thread(target=lab.set, kwargs={"lr": lr}) for lr in (0.1, 0.2, 0.3, 0.4)]
    for hand in hands:
        hand.start()
    for hand in hands:
        hand.join(30)
    assert lab.config.lr in (0.1, 0.2, 0.3, 0.4)
    assert f"{field(lab, 'Learning rate').value}" == f"{lab.config.lr:g}"


def test_what_is_typed_is_taken_or_refused_in_words_and_left_standing(browser, panel):
    with browser.cell():
        lab = panel()
    browser.show(lab)
    typed = field(lab, "Learning rate")
    browser.set(typed, "value", "1e-12")  # beyond the slider, which shows its end
    assert (lab.config.lr, named(lab, "Learning rate").value) == (1e-12, 1e-5)
    for words, expected in (("0,3", "lr='0,3'"), ("-1", "lr=-1"), ("nan", "lr=nan")):
        browser.set(typed, "value", words)
        assert lab.config.lr == 1e-12
        assert typed.value == words
        assert "gradlab-refused" in typed._dom_classes
        assert expected in lab.alert
    browser.set(typed, "value", "0.25")
    assert (lab.config.lr, lab.alert) == (0.25, "")
    assert "gradlab-refused" not in typed._dom_classes
    browser.set(field(lab, "Depth"), "value", "3.5")
    assert "depth=3.5; expected a whole number" in lab.alert
    assert lab.config.depth == 3


def test_a_switch_shows_on_and_off_and_dims_what_it_governs(browser, panel):
    with browser.cell():
        lab = panel()
    browser.show(lab)
    switch = named(lab, "Clipping")
    card = next(w for w in widgets_of(lab) if switch in getattr(w, "children", ()))
    assert "gradlab-off" in card._dom_classes
    browser.set(switch, "value", True)
    assert lab.config.clip == "global_norm"
    assert "gradlab-off" not in card._dom_classes
    rule = next(w for w in card.children if isinstance(w, widgets.Dropdown))
    browser.set(rule, "index", [value for _, value in rule.options].index("value"))
    assert lab.config.clip == "value"
    with browser.cell():
        lab.set(clip="none")
    browser.set(rule, "index", [value for _, value in rule.options].index("agc"))
    assert (switch.value, lab.config.clip) == (False, "none")  # the menu of a switch that is off changes nothing
    browser.set(switch, "value", True)
    assert lab.config.clip == "agc"


def test_a_config_beyond_a_slider_shows_its_nearest_end_and_its_own_number(panel):
    lab = panel(depth=300, width=8, gain=2.0, lr=1e-12)
    assert (named(lab, "Depth").value, field(lab, "Depth").value) == (100, "300")
    assert (named(lab, "Learning rate").value, field(lab, "Learning rate").value) == (1e-5, "1e-12")
    assert named(lab, "Gain").value == 2.0


def test_an_entry_registered_in_a_cell_appears_in_its_menu(panel):
    @gradlab.ACTIVATIONS.register("panel_test_softsign", "Softsign (test)")
    def softsign():
        """A softer tanh: z over one plus its size."""
        return torch.nn.Softsign()

    assert ("Softsign (test)", "panel_test_softsign") in named(panel(), "Activation").options


@pytest.mark.parametrize("name", [name for name in gradlab.PRESETS if name != "article_literal"])
def test_a_preset_always_starts_anew_whatever_differs(browser, panel, name):
    with browser.cell():
        lab = panel(gradlab.PRESETS[name].replace(lr=0.011))  # a live knob: no new start by itself
        lab.run(2)
    browser.show(lab)
    run = browser.run_of(lab)
    answer = browser.command(lab, "preset", name)
    assert lab.trainer.step_count == 0
    assert lab.config == gradlab.PRESETS[name]
    assert answer["run"] != run
    assert answer["full"]
    assert answer["preset"] == name
    assert answer["lesson"]
    browser.command(lab, "step", 1)
    browser.command(lab, "preset", name)
    assert lab.trainer.step_count == 0


def test_a_knob_moved_after_a_preset_leaves_the_preset(browser, panel):
    with browser.cell():
        lab = panel(preset="healthy", depth=8, width=32)
    browser.show(lab)
    browser.command(lab, "preset", "healthy")
    browser.set(field(lab, "Learning rate"), "value", "0.07")
    (answer,) = browser.ask(lab, "all", run=-1)
    assert answer["preset"] == ""


def test_the_seed_of_the_bar_is_all_three_seeds(browser, panel):
    with browser.cell():
        lab = panel()
    browser.show(lab)
    browser.command(lab, "seed", 7)
    assert (lab.config.weight_seed, lab.config.data_seed, lab.config.batch_seed) == (7, 7, 7)
    browser.command(lab, "seed", -1)
    assert "weight_seed=-1" in lab.alert


MOST_FILES = 7


def test_a_live_knob_reaches_the_optimizer_through_few_files(browser, panel):
    with browser.cell():
        lab = panel()
        lab.run(1)
    browser.show(lab)
    slider = named(lab, "Learning rate")
    index = [number for _, number in slider.options].index(0.5)
    house, files = gradlab.__file__.removesuffix("__init__.py"), set()

    def follow(frame, event, _):
        name = frame.f_code.co_filename
        if lab.config.lr == 0.5:
            sys.setprofile(None)
        elif event == "call" and name.startswith(house):
            files.add(name.removeprefix(house))

    sys.setprofile(follow)
    try:
        browser.set(slider, "index", index)
    finally:
        sys.setprofile(None)
    assert lab.config.lr == 0.5
    assert len(files) <= MOST_FILES, sorted(files)


# ---------------------------------------------------------------------- its end
def alive():
    gc.collect()
    found = [thing for thing in gc.get_objects() if issubclass(type(thing), widgets.Widget)]
    return {id(widget) for widget in found if widget.comm is not None}


def open_all(browser, lab):
    for title in ("More", "Exercises", "Slow motion", "Look deeper", "Phase diagram", "Take home"):
        browser.set(named(lab, title), "value", True)


def test_a_panel_opens_with_one_message_a_widget_and_few_more(browser):
    with browser.cell():
        lab = GradLab(**SMALL)
    again = [tuple(data["state"]) for _, data, _ in browser.heard if data.get("method") == "update"]
    assert ("_dom_classes",) not in again
    assert len(again) < 12
    lab.close()


def test_closing_a_panel_leaves_no_widget_behind(browser, panel):
    before = alive()
    with browser.cell():
        lab = panel(predict=True)
    open_all(browser, lab)
    assert len(alive()) > len(before) + 100
    lab.close()
    assert alive() <= before


@pytest.mark.parametrize(
    "knobs",
    [
        {},
        {"architecture": "conv", "dataset": "digits"},
        {"architecture": "lstm", "dataset": "latch"},
        {"architecture": "transformer", "dataset": "copy_memory"},
    ],
    ids=["mlp", "conv", "lstm", "transformer"],
)
def test_a_closed_panel_that_nobody_holds_is_forgotten_at_once_with_all_it_had(browser, without_collections, knobs):
    with browser.cell():
        lab = GradLab(Config(**SMALL | knobs))
        lab.run(2)
        lab.play()
    open_all(browser, lab)
    browser.show(lab)
    browser.tick(lab)
    lab.compare(lr=0.2)
    trainers = [lab.trainer, lab.rival]
    tensors = [tensor for trainer in trainers for tensor in (*trainer.network.parameters(), trainer.data.x)]
    kept = [lab, *trainers, lab.trainer.network, lab.history, stage_of(lab), *tensors]
    held = [weakref.ref(thing) for thing in kept]
    lab.close()
    browser.heard.clear()
    del lab, trainers, tensors, kept
    assert [reference() for reference in held] == [None] * len(held), "circles of references keep it"


def test_a_script_that_ends_with_an_open_panel_prints_nothing():
    script = "import gradlab\nlab = gradlab.GradLab(depth=2, width=4)\nlab.run(2)\nlab.play()"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_repr_is_short_and_a_picture_travels_with_the_widget(panel):
    lab = panel(gain=2.0)
    lab.run(2)
    bundle = lab._repr_mimebundle_()
    assert bundle["text/plain"] == "<GradLab(depth=3, width=8, gain=2.0), 2 steps>"
    assert bundle["image/png"].startswith("iVBORw0KGgo")
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert "text/html" not in bundle


@pytest.mark.parametrize(("software", "alive"), [("nbclient", False), ("voila/0.5.13", True)])
def test_a_page_that_a_program_makes_keeps_the_picture_alone_unless_it_is_voilas(panel, monkeypatch, software, alive):
    lab = panel()
    kernel = SimpleNamespace(get_parent=lambda: {"content": {"allow_stdin": False}})
    monkeypatch.setattr("gradlab.panel.start.get_ipython", lambda: SimpleNamespace(kernel=kernel))
    monkeypatch.setenv("SERVER_SOFTWARE", software)
    bundle = lab._repr_mimebundle_()
    assert "image/png" in bundle
    assert ("application/vnd.jupyter.widget-view+json" in bundle) == alive


def test_a_panel_with_a_replay_keeps_its_run_in_the_notebook(panel):
    lab = panel(replay=True)
    assert "text/html" not in lab._repr_mimebundle_(), "nothing has run"
    lab.run(2)
    assert "<iframe srcdoc=" in lab._repr_mimebundle_()["text/html"]


def test_in_colab_the_bundle_names_the_manager_that_knows_anywidget(panel, monkeypatch):
    output = SimpleNamespace(
        _widgets=SimpleNamespace(_installed_url="https://manager"), enable_custom_widget_manager=lambda: None
    )
    monkeypatch.setitem(sys.modules, "google.colab.output", output)
    data, metadata = panel()._repr_mimebundle_()
    assert "image/png" in data
    said = metadata["application/vnd.jupyter.widget-view+json"]["colab"]
    assert said == {"custom_widget_manager": {"url": "https://manager"}}


def test_help_and_a_notebooks_completion_name_every_knob_first():
    head, _ = pydoc.plain(pydoc.render_doc(GradLab)).split(GradLab.__doc__.splitlines()[0], 1)
    assert all(f"{name}: " in head for name in Config.knobs())
    assert {"steps", *Config.knobs()} > set(inspect.signature(GradLab.compare).parameters) - {"self"}
    assert inspect.signature(GradLab.set).parameters["lr"].default is inspect.Parameter.empty


def test_marimo_is_given_the_stage_alone(panel):
    shown = panel()._display_()
    assert (shown._model_name, shown.controls_width) == ("AnyModel", 0)


def test_no_picture_is_drawn_by_matplotlib_while_it_plays(browser, panel, monkeypatch):
    with browser.cell():
        lab = panel()
        lab.play()
    browser.show(lab)
    monkeypatch.setattr("gradlab.panel.lab.draw_view", lambda *_: pytest.fail("drawn"))
    for _ in range(5):
        browser.tick(lab)


def test_where_the_module_cannot_load_words_and_still_pictures_take_its_place(browser, panel):
    with browser.cell():
        lab = panel()
    assert "could not be loaded here" in text_of(lab)
    image = next(w for w in widgets_of(lab) if isinstance(w, widgets.Image))
    assert image.layout.display == "none"
    browser.press(named(lab, "100 steps"))
    assert lab.trainer.step_count == 100
    assert bytes(image.value).startswith(b"\x89PNG")
    assert image.layout.display == ""
    first = bytes(image.value)
    with browser.cell():
        lab.run(50)
    assert bytes(image.value) != first


# ---------------------------------------------------------------------- what is shown
def labels(lab):
    """The descriptions of everything in the column that a person can use, in the order in which it stands there."""
    return [
        w.description for w in widgets_of(lab) if getattr(w, "description", "") and not isinstance(w, widgets.HTML)
    ]


def test_show_leaves_the_controls_named_in_their_order(panel):
    lab = panel(show=["gain", "depth", "clip"])
    shown = [
        name for name in labels(lab) if name in ("Gain", "Depth", "Clipping", "Rule", "Threshold", "Init", "Measure")
    ]
    assert shown == ["Gain", "Depth", "Clipping", "Rule", "Threshold"]
    lab.set(lr=0.5)  # what is not shown can still be set
    assert lab.config.lr == 0.5


def test_a_lecture_shows_few_controls_in_large_type(panel):
    few, all_of_them = panel(lecture=True), panel()
    assert {"Depth", "Init", "Gain", "Learning rate", "Accumulation", "Clipping"} <= set(labels(few))
    assert "More" not in labels(few)
    assert "More" in labels(all_of_them)
    assert (stage_of(few).look["lecture"], stage_of(few).look["theme"]) == (True, "contrast")
    assert stage_of(few).controls_width > stage_of(all_of_them).controls_width
    assert few.run(2)[-1].step == 1


@pytest.mark.parametrize("show", [["gian"], "gain", 3, [["gain"]]])
def test_an_unknown_name_is_refused_with_what_there_is(show):
    with pytest.raises(ValueError, match=r"show.*(gian|gain|3).*expected"):
        GradLab(show=show)


@pytest.mark.parametrize("mode", ["predict", "lecture"])
def test_a_mode_is_on_or_off(mode):
    with pytest.raises(ValueError, match=f"{mode}='yes'; expected True or False"):
        GradLab(**{mode: "yes"})


def test_a_section_opens_in_the_place_of_the_knobs_and_the_picture_makes_room(browser, panel):
    with browser.cell():
        lab = panel()
    narrow = stage_of(lab).controls_width
    browser.set(named(lab, "Slow motion"), "value", True)
    assert stage_of(lab).controls_width > narrow
    browser.set(named(lab, "Take home"), "value", True)
    assert not named(lab, "Slow motion").value
    browser.set(named(lab, "Take home"), "value", False)
    assert stage_of(lab).controls_width == narrow


def test_the_other_knobs_follow_the_run_too(browser, panel):
    with browser.cell():
        lab = panel()
    browser.set(named(lab, "More"), "value", True)
    browser.set(field(lab, "Width"), "value", "12")
    assert lab.config.width == 12
    lab.set(momentum=0.5)
    assert field(lab, "Momentum").value == "0.5"
    assert named(lab, "Heads").disabled  # a multilayer perceptron has none


def test_of_a_costly_network_so_many_samples_are_looked_at_as_take_half_a_second(browser, panel, monkeypatch):
    lab, browser = panel(depth=2, width=8, n_samples=1000), browser
    assert "of" not in str(browser.show(lab)["lanes"][0]["learned"][-1][1])
    monkeypatch.setattr("gradlab.stage.learned._PRODUCTS", 0)
    lab.set(depth=3)
    (accuracy, loss) = browser.show(lab)["lanes"][0]["learned"]
    assert accuracy[1].endswith("% (of 160)")
    assert loss[1] == f"{number_words(lab.trainer.evaluate(160)['holdout_loss'])} (of 160)"


def test_a_large_network_that_is_let_go_leaves_its_memory_to_the_system(browser, panel):
    lab, size = panel(depth=2, width=4), psutil.Process().memory_info
    lab.set(dataset="latch", architecture="lstm", depth=4, width=64, sequence_length=60, batch_size=64)
    lab.step()
    held = size().rss
    lab.set(dataset="moons", architecture="mlp")
    assert size().rss < held - 32 * 2**20


def test_what_was_learned_stands_beside_what_was_held_out(browser, panel):
    with browser.cell():
        lab = panel()
        lab.run(3)
    lane = browser.show(lab)["lanes"][0]
    found = lab.trainer.evaluate()
    assert lane["learned"] == [
        ["right, held out", f"{found['holdout_accuracy']:.0%}"],
        ["loss, held out", f"{found['holdout_loss']:.3g}"],
    ]
    assert lane["classes"] == 2
    lab.set(dataset="digits", n_samples=200)
    samples = browser.ask(lab, "all", run=-1)[0]["lanes"][0]["samples"]
    assert [shape for shape, *_ in samples] == [[8, 8]] * len(samples)


def test_of_a_regression_the_stage_shows_answers_against_targets():
    trainer = Trainer(Config(dataset="regression", depth=2, n_samples=40))
    found = LearnedLooks(Text("en")).look(trainer, True)
    assert found is not None
    assert found.classes == 0
    with torch.no_grad():
        answers = trainer.network(trainer.data.x)
    low, high = found.extent[2:]
    for column, expected in ((0, trainer.data.y), (1, answers.clamp(low, high))):
        torch.testing.assert_close(torch.from_numpy(found.points[:, column]).float(), expected.reshape(-1))


def test_the_stage_is_told_across_which_time_steps_a_truncated_gradient_does_not_go():
    cut = GradLab(preset="truncated_too_short", truncate=7)
    cut.step()
    (lane,) = cut._description.shown().lanes
    norms = cut.history.row("time_norm", 0)[-1]
    assert lane.cuts[-1] == 30 - 7
    assert not norms[: lane.cuts[-1]].any()  # nothing is heard before the last cut
    assert norms[lane.cuts[-1] :].all()
    whole = GradLab(preset="rnn_orthogonal")
    assert whole._description.shown().lanes[0].cuts == ()


def test_a_linear_slider_stops_exactly_at_its_default():
    """Else the browser moves it to its nearest notch as soon as it is shown, and the run starts anew."""
    for name, knob in Config.knobs().items():
        default = getattr(Config(), name)
        if knob.slider and knob.slider[2] == "linear" and isinstance(default, float):
            low, high, _ = knob.slider
            notches = 100 * (default - low) / (high - low)
            assert notches == pytest.approx(round(notches), abs=1e-9), name
