"""Pin and Compare without a browser; mouse and keyboard are tested in tests/browser."""

import gc
import weakref

import pytest
import torch
from panels import named, patched

from gradlab import PRESETS, Config, Trainer

SMALL = {"depth": 3, "width": 8}


def losses(history):
    return history.column("loss").tolist()


def alone(steps, **knobs):
    return losses(Trainer(Config(**{**SMALL, **knobs})).run(steps))


def shown(lab):
    """The sentences about the run, and the picture in words."""
    return " ".join(f"{head}: {words}" for head, words in lab.said.items()), lab.words


def histories(lab):
    return {"A": lab.rival.history, "B": lab.history}


# ---------------------------------------------------------------------- lockstep
def test_each_lane_is_the_run_that_its_settings_give_alone_bit_for_bit(panel):
    lab = panel(lr=0.1)
    lab.run(5)
    lab.compare(lr=0.5)
    assert len(lab.history) == 0
    lab.run(12)
    assert losses(histories(lab)["A"]) == alone(12, lr=0.1)
    assert losses(histories(lab)["B"]) == losses(lab.history) == alone(12, lr=0.5)


def test_the_button_opens_lane_a_and_the_controls_move_lane_b_alone(panel):
    lab = panel()
    named(lab, "Compare").value = True
    lab.set(clip="global_norm")
    lab.set(gain=2.0)
    lab.run(4)
    assert (lab.config.gain, lab.rival.config.gain) == (2.0, 1.0)
    assert losses(histories(lab)["A"]) == alone(4)
    named(lab, "Compare").value = False
    assert lab.rival is None
    assert losses(lab.history) == alone(4, clip="global_norm", gain=2.0)  # B went on


def test_uncompare_drops_lane_a_and_lane_b_goes_on(panel):
    lab = panel()
    lab.compare(lr=0.2)
    lab.run(3)
    lab.uncompare()
    assert lab.rival is None
    lab.run(2)
    assert losses(lab.history) == alone(5, lr=0.2)


def test_both_lanes_go_back_and_start_again_together(panel):
    lab = panel()
    lab.compare(lr=0.2)
    lab.run(9)
    lab.rewind(4)
    assert [len(history) for history in histories(lab).values()] == [4, 4]
    lab.run(5)
    assert losses(histories(lab)["A"]) == alone(9)
    lab.reset()
    assert [len(history) for history in histories(lab).values()] == [0, 0]
    lab.set(depth=2)
    lab.run(3)
    assert losses(histories(lab)["A"]) == alone(3)
    assert losses(lab.history) == alone(3, lr=0.2, depth=2)


def test_a_seed_that_the_lanes_share_moves_in_both_and_one_that_differs_moves_alone(panel):
    lab = panel()
    lab.compare(lr=0.2)
    lab.set(weight_seed=5, data_seed=5, batch_seed=5)
    assert lab.rival.config == Config(**SMALL, weight_seed=5, data_seed=5, batch_seed=5)
    lab.compare(weight_seed=6)
    lab.set(weight_seed=7, batch_seed=7)
    a, b = lab.rival.config, lab.config
    assert (a.weight_seed, b.weight_seed, a.batch_seed, b.batch_seed) == (5, 7, 7, 7)


def test_a_lane_that_diverged_stays_where_it_ended_and_the_other_goes_on(panel):
    lab = panel(lr=1e6)
    lab.compare(lr=0.05)
    lab.run(30)
    ended = lab.rival.history.diverged.step
    assert 0 < ended < 29
    assert (lab.rival.step_count, len(lab.history)) == (ended, 30)
    info, _ = shown(lab)
    assert f"A diverged at step {ended}. A stays where it ended." in info
    lab.rewind(ended + 3)
    assert lab.rival.history.diverged is not None
    lab.rewind(ended)
    assert lab.rival.history.diverged is None
    lab.run(1)
    assert lab.rival.history.diverged.step == ended


def test_lane_a_takes_the_step_in_which_lane_b_diverges_and_waits(panel):
    lab = panel()
    lab.compare(lr=1e6)
    lab.run(30)
    assert lab.rival.step_count - 1 == lab.trainer.step_count == lab.history.diverged.step
    lab.set(lr=0.05)
    lab.run(2)
    assert len(lab.rival.history) == len(lab.history)


def test_swap_exchanges_the_settings_and_starts_again(panel):
    lab = panel(lr=0.1)
    lab.compare(lr=0.5, weight_seed=3)
    lab.run(3)
    named(lab, "Swap").click()
    lab.run(4)
    assert losses(lab.history) == alone(4, lr=0.1)
    assert losses(histories(lab)["A"]) == alone(4, lr=0.5, weight_seed=3)


def test_a_value_that_is_not_accepted_leaves_both_lanes_as_they_are(panel):
    lab = panel()
    lab.run(3)
    with pytest.raises(ValueError, match="lr=-1"):
        lab.compare(lr=-1)
    assert (lab.rival, len(lab.history), named(lab, "Compare").value) == (None, 3, False)
    lab.compare(lr=0.3)
    lab.run(3)
    rival = lab.rival
    with pytest.raises(ValueError, match="label 3 is outside"):
        lab.set(dataset="article_literal")
    assert lab.rival is rival
    assert [len(history) for history in histories(lab).values()] == [3, 3]


def test_playing_steps_both_lanes(monkeypatch, panel):
    browser = patched(monkeypatch)
    with browser.cell():
        lab = panel()
        lab.compare(momentum=0.9)
        lab.play()
    assert len(browser.show(lab)["lanes"]) == 2
    for _ in range(4):
        browser.tick(lab, steps=5)
    assert losses(histories(lab)["A"]) == alone(20)
    assert losses(lab.history) == alone(20, momentum=0.9)


def test_own_networks_are_compared_on_copies(panel):
    x = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    network = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Tanh(), torch.nn.Linear(6, 3))
    data = (x, torch.arange(60) % 3)
    lab = panel(network=network, data=data)
    lab.compare(lr=0.5, depth=9)
    lab.run(5)
    same = Trainer(Config(), network=network, data=data).run(5)
    assert losses(histories(lab)["A"]) == losses(same)
    info, _ = shown(lab)
    assert "Learning rate: A 0.05, B 0.5. Same first weights, same batches." in info
    assert "epth" not in info.split("A and B")[1]  # a depth that changes nothing is no difference


def test_closing_frees_lane_a(panel):
    lab = panel()
    lab.compare(lr=0.2)
    lab.run(2)
    rival = weakref.ref(lab.rival)
    lab.close()
    gc.collect()
    assert rival() is None


# ---------------------------------------------------------------------- words
def test_the_panel_says_which_knobs_differ_and_who_is_ahead(panel):
    lab = panel(lr=0.1)
    lab.compare(lr=0.0)
    info, words = shown(lab)
    assert "A and B: A (kept): depth 3, width 8, lr 0.1. B: the controls." in info
    assert "Learning rate: A 0.1, B 0.0. Same first weights, same batches. Too early to say" in info
    lab.run(200)
    info, words = shown(lab)
    assert "A is ahead: the difference to B" in info
    assert "The pictures show lane B, and beside it, dashed with diamonds, lane A: After 200 steps" in words


def test_looking_back_shows_both_lanes_at_the_same_step(panel):
    lab = panel()
    lab.compare(lr=0.5)
    lab.run(9)
    lab.show_step(3)
    _, words = shown(lab)
    assert f"After 4 steps the loss is {lab.history[3].loss:.4g}." in words
    assert f"lane A: After 4 steps the loss is {lab.rival.history[3].loss:.4g}." in words


def test_the_ghost_is_named_by_the_settings_that_differ_from_the_present_ones(panel):
    lab = panel()
    lab.run(4)
    lab.pin()
    info, words = shown(lab)
    loss = f"{lab.history[-1].loss:.4g}"
    assert f"Pinned: the run of these settings after 4 steps, loss {loss}." in info
    lab.set(gain=2.0, lr=0.2)
    info, words = shown(lab)
    said = f"the run of other settings (gain 1.0, lr 0.05) after 4 steps, loss {loss}."
    assert f"Pinned: {said}" in info
    assert f"dash-dotted in grey, is the pinned run: {said}" in words
    lab.pin()  # no step since the start: the ghost goes
    info, words = shown(lab)
    assert "pinned" not in (info + words).lower()


# ---------------------------------------------------------------------- presets
def test_a_cure_or_what_is_none_opens_beside_its_failure(monkeypatch, panel):
    browser = patched(monkeypatch)
    with browser.cell():
        lab = panel()
    browser.show(lab)
    for name in PRESETS:
        failure = PRESETS.entry(name).options.get("failure")
        if failure is not None:
            answer = browser.command(lab, "preset", name)
            failed = PRESETS[failure] if isinstance(failure, str) else PRESETS[name].replace(**failure)
            assert (lab.rival.config, lab.config) == (failed, PRESETS[name])
            assert answer["labels"][0][0] == "A"


def test_a_preset_without_a_failure_ends_a_comparison(monkeypatch, panel):
    browser = patched(monkeypatch)
    with browser.cell():
        lab = panel()
        lab.compare(lr=0.5)
    browser.show(lab)
    browser.command(lab, "preset", "healthy")
    assert lab.rival is None
    assert not named(lab, "Compare").value


def test_a_network_without_time_stands_beside_one_through_time_pinned_or_as_a_lane(panel):
    lab = panel()
    lab.run(2)
    lab.pin()
    lab.set(architecture="rnn", dataset="latch")
    lab.run(2)
    assert lab._repr_mimebundle_()["image/png"]
    lab.set(architecture="mlp")
    lab.compare(architecture="rnn")
    lab.run(2)
    assert lab._controller.measure == "time_norm"
    assert lab._repr_mimebundle_()["image/png"]
    lab.reset()
    assert len(lab.history) == 0
