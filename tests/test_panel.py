"""The panel without a browser: code, threads and words. The mouse is tested in tests/browser."""

import gc
import threading
import time
import weakref

import ipywidgets as widgets
import pytest
import torch
from matplotlib.backends.backend_agg import RendererAgg
from panels import wait_until

import gradlab
from gradlab import Config, GradLab, Trainer
from gradlab.locale import Text
from gradlab.panel.closer import CloserLook
from gradlab.panel.controls import Controls
from gradlab.panel.kit import Kit
from gradlab.panel.worker import Worker
from gradlab.plots import View

SMALL = {"depth": 3, "width": 8}


def workers():
    return [thread for thread in threading.enumerate() if thread.name == "gradlab"]


def test_run_is_the_trainers_run_bit_for_bit(panel):
    lab = panel()
    lab.run(7)
    lab.step(3)
    expected = Trainer(Config(**SMALL)).run(10)
    assert lab.history.column("loss").tolist() == expected.column("loss").tolist()


def test_playing_gives_the_same_numbers_as_running(panel):
    lab = panel()
    lab.play()
    lab.play()
    wait_until(lambda: len(lab.history) > 20)
    assert len(workers()) == 1
    lab.pause()
    taken = lab.trainer.step_count
    time.sleep(0.05)
    assert lab.trainer.step_count == taken
    expected = Trainer(Config(**SMALL)).run(taken)
    assert lab.history.column("loss").tolist() == expected.column("loss").tolist()


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


def test_bad_input_reaches_the_caller_also_while_it_plays(panel):
    lab = panel()
    lab.play()
    with pytest.raises(ValueError, match="lr=-1"):
        lab.set(lr=-1)
    assert lab.playing
    lab.set(lr=0.2)
    assert lab.config.lr == 0.2


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


def test_the_article_as_printed_says_why_it_cannot_be_trained():
    lab = GradLab(preset="article_literal")
    assert "label 3 is outside [0, 1)" in lab.alert
    assert lab.run(1)[0].loss > 0
    lab.close()


def test_a_divergence_is_said_in_words_and_rewind_leads_back(panel):
    lab = panel(lr=0.1)
    lab.run(6)
    lab.set(lr=1e12)
    lab.run(10)
    diverged = lab.history.diverged
    assert lab.alert.startswith(f"Diverged at step {diverged.step}: ")
    assert "The step was not applied" in lab.alert
    lab.rewind(6)
    assert (lab.history.diverged, len(lab.history), lab.trainer.step_count) == (None, 6, 6)
    lab.set(lr=0.1)
    assert len(lab.run(2)) == 8


def test_playing_stops_at_a_divergence(panel):
    lab = panel(lr=1e12)
    lab.play()
    wait_until(lambda: not lab.playing)
    wait_until(lambda: "Diverged at step" in lab.alert)


def test_a_skipped_step_is_said(panel):
    lab = panel(lr=1e12, nonfinite="skip")
    lab.run(4)
    assert lab.alert.startswith("Skipped step 3. Diverged at step 3")


def test_reset_starts_again_from_the_same_seeds(panel):
    lab = panel()
    first = lab.run(5).column("loss").tolist()
    lab.reset()
    assert len(lab.history) == 0
    assert lab.run(5).column("loss").tolist() == first


def test_no_thread_outlives_its_panel(panel):
    labs = [panel() for _ in range(3)]
    for lab in labs:
        lab.play()
    wait_until(lambda: len(workers()) == 3)
    for lab in labs:
        lab.close()
        lab.close()
        assert lab.closed
    assert workers() == []
    with pytest.raises(RuntimeError, match="closed"):
        labs[0].run(1)


def test_an_idle_thread_ends_by_itself_and_play_starts_another(panel):
    lab = panel()
    lab.play()
    wait_until(lambda: len(lab.history) > 2)
    lab.pause()
    wait_until(lambda: workers() == [])
    lab.play()
    wait_until(lambda: len(workers()) == 1)


def test_an_exception_while_playing_pauses_and_stands_in_the_panel(panel):
    class Fails(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.calls = torch.nn.Linear(2, 2), 0

        def forward(self, x):
            self.calls += 1
            if self.calls > 12:
                raise RuntimeError("the coffee is cold")
            return self.linear(x)

    lab = panel(network=Fails())
    lab.play()
    wait_until(lambda: not lab.playing)
    wait_until(lambda: lab.alert == "Stopped by an error: RuntimeError: the coffee is cold")


def test_a_worker_runs_commands_in_order_and_loses_no_exception():
    seen, failures = [], []
    worker = Worker(lambda: None, lambda: False, failures.append)
    worker.submit(lambda: seen.append(1))
    worker.submit(lambda: 1 // 0)
    worker.submit(lambda: seen.append(2))
    wait_until(lambda: seen == [1, 2])
    worker.close()
    assert [type(error) for error in failures] == [ZeroDivisionError]
    worker.submit(lambda: seen.append(3))
    time.sleep(0.02)
    assert seen == [1, 2]


def test_the_global_random_state_is_neither_used_nor_touched(panel):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    panel().run(3)
    assert torch.equal(torch.get_rng_state(), before)


def test_controls_show_a_config_and_the_nearest_end_beyond_a_slider():
    told = []
    controls = Controls(kit := Kit(Text("en")), told.append)
    controls.show(Config(depth=300, lr=1e-12, gain=2.0, clip="agc", momentum=0.5, width=50))
    shown = {name: widget.value for name, widget in controls.by_name.items()}
    assert (shown["depth"], shown["lr"], shown["gain"], shown["momentum"], shown["width"]) == (
        100,
        1e-5,
        2.0,
        0.5,
        50,
    )
    assert (controls.toggles["clip"].value, controls.rules["clip"].value) == (True, "agc")
    assert told == []
    controls.by_name["lr"].value = 0.5
    controls.toggles["clip"].value = False
    controls.toggles["clip"].value = True
    assert told == [{"lr": 0.5}, {"clip": "none"}, {"clip": "agc"}]
    kit.close()


def test_an_entry_registered_in_a_cell_appears_in_its_dropdown():
    @gradlab.ACTIVATIONS.register("panel_test_softsign", "Softsign (test)")
    def softsign():
        """A softer tanh: z over one plus its size."""
        return torch.nn.Softsign()

    controls = Controls(kit := Kit(Text("en")), lambda knobs: None)
    assert ("Softsign (test)", "panel_test_softsign") in controls.by_name["activation"].options
    kit.close()


def test_own_network_and_data_play_in_the_panel(panel):
    x = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    network = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Tanh(), torch.nn.Linear(6, 3))
    lab = panel(network=network, data=(x, torch.arange(60) % 3))
    assert len(lab.run(5)) == 5
    assert lab.trainer.layer_names == ("0", "2")
    before = [p.clone() for p in network.parameters()]
    lab.reset()
    lab.run(2)
    assert all(torch.equal(p, q) for p, q in zip(network.parameters(), before, strict=True))


def test_closing_a_panel_leaves_no_widget_behind(panel):
    def alive():
        gc.collect()
        found = [thing for thing in gc.get_objects() if issubclass(type(thing), widgets.Widget)]
        return {id(widget) for widget in found if widget.comm is not None}

    before = alive()
    lab = panel(predict=True)
    lab.run(2)
    assert len(alive()) > len(before) + 100
    lab.close()
    assert alive() <= before


def test_a_closed_panel_that_nobody_holds_is_forgotten_with_all_it_had():
    lab = GradLab(Config(**SMALL), predict=True)
    lab.run(2)
    held = [weakref.ref(thing) for thing in (lab, lab.trainer, lab.trainer.network, lab.history)]
    lab.close()
    del lab
    gc.collect()
    assert [reference() for reference in held] == [None] * 4


def test_a_closed_panel_that_is_held_keeps_its_run_but_not_its_canvas(panel):
    lab = panel()
    lab.run(2)
    gc.collect()
    canvases = [thing for thing in gc.get_objects() if type(thing) is RendererAgg]
    before = weakref.WeakSet(canvases)
    del canvases
    drawn = len(before)
    lab.close()
    gc.collect()
    assert len(before) < drawn
    assert len(lab.history) == 2


def test_the_repr_is_short_and_stable_and_a_picture_travels_with_it(panel):
    lab = panel(gain=2.0)
    lab.run(2)
    bundle = lab._repr_mimebundle_()
    assert bundle["text/plain"] == "<GradLab(depth=3, width=8, gain=2.0), 2 steps>"
    assert bundle["image/png"].startswith("iVBORw0KGgo")


def test_theory_and_diagnosis_speak_and_the_gradient_check_waits_to_be_asked(panel):
    lab = panel(depth=30, width=64, activation="tanh", init="normal", gain=2.0, lr=0.02)
    lab.run(3)
    said = lab.insight
    assert said["Diagnosis"].startswith("Exploding gradient")
    assert said["Theory"].startswith("Exploding: ")
    assert said["Gradient check"] == ""


def test_looking_deeper_is_off_by_default_and_survives_a_ruined_network():
    kit = Kit(Text("en"))
    look, trainer = CloserLook(kit), Trainer(Config(**SMALL))
    look.update(trainer, View(), now=True)
    assert look.page.children[-1].value == b""
    for box in look.boxes.values():
        box.value = True
    trainer.run(2)
    look.update(trainer, View(), now=True)
    assert bytes(look.page.children[-1].value).startswith(b"\x89PNG")
    ruined = Trainer(Config(**SMALL, init="fixed", gain=1e30))
    look.update(ruined, View(), now=True)
    assert (
        bytes(look.page.children[-1].value).startswith(b"\x89PNG") or "No closer look" in look.page.children[1].value
    )
    kit.close()


def test_what_a_hand_moves_while_another_thread_shows_a_config_counts():
    moved, began, go_on = [], threading.Event(), threading.Event()
    controls = Controls(kit := Kit(Text("en")), moved.append)
    lr, depth = controls.by_name["lr"], controls.by_name["depth"]
    lr.observe(lambda _: (began.set(), go_on.wait(30)), "value")
    shower = threading.Thread(target=controls.show, args=(Config(lr=0.5),))
    shower.start()
    assert began.wait(30)
    depth.value = 11
    go_on.set()
    shower.join(30)
    kit.close()
    assert moved == [{"depth": 11}]
