"""Predict, then reveal."""

import math

import numpy as np
import pytest
from panels import named, patched, stage_of

from gradlab import Trainer
from gradlab.growth import Score, guessed_line, measured_decades

SMALL = {"predict": True}


@pytest.mark.parametrize(
    ("guessed", "measured", "points"),
    [(-6.0, -6.0, 100), (-3.0, -6.0, 75), (3.0, -6.0, 0), (0.2, 0.4, 90), (0.0, -6.0, 0), (5.0, math.inf, 50)],
)
def test_points_are_half_for_the_direction_and_half_for_the_decades(guessed, measured, points):
    assert Score(guessed, measured).points == points


def test_growth_is_measured_from_the_last_hidden_layer_to_the_first():
    assert measured_decades(np.array([1e-3, 1e-2, 1e-1, 7.0])) == pytest.approx(-2)
    assert measured_decades(np.array([0.0, 1e-2, 1e-1, 7.0])) == -math.inf
    assert measured_decades(np.array([1.0, 2.0, 7.0])) is None  # two hidden layers make no slope
    assert measured_decades(np.array([1.0, 1.0, 0.0, 7.0])) is None
    assert guessed_line(np.array([9.0, 9.0, 8.0, 1.0]), 0.5) == pytest.approx([2.0, 4.0, 8.0])


@pytest.fixture
def browser(monkeypatch):
    """A front end; it must stand before `panel` in a test's arguments."""
    return patched(monkeypatch)


def test_all_is_hidden_until_the_reveal_and_then_scored_by_the_measured_signal(browser, panel):
    with browser.cell():
        lab = panel(depth=12, activation="sigmoid", init="normal")
    signal = Trainer(lab.config).step().delta_norm
    truth = math.log10(signal[0]) - math.log10(signal[11])
    answer = browser.show(lab)
    assert answer["hidden"]
    assert "layer 12" in answer["predict"]["question"]
    assert "now" not in {name for _, name, *_ in answer["parts"]}
    assert (answer["lesson"], answer["lanes"][0].get("learned")) == ("", None)
    assert "hidden" in lab.words
    assert lab.said == {}
    browser.command(lab, "reveal")  # nothing was predicted yet
    assert browser.ask(lab, "all", run=-1)[0]["hidden"]
    answer = browser.command(lab, "guess", 0.5)
    assert "/ 2 per layer" in answer["predict"]["said"]
    answer = browser.command(lab, "reveal")
    assert answer["hidden"] is False
    points = Score(11 * math.log10(0.5), truth).points
    assert f"{points} of 100" in lab.said["Prediction"]
    assert f"{points} of 100" in answer["predict"]["score"]
    assert "Backward signal" in lab.words


def test_play_and_step_wait_for_the_reveal_and_a_new_network_hides_again(browser, panel):
    with browser.cell():
        lab = panel(depth=5)
        lab.play()
        lab.run(3)
    assert (lab.playing, lab.trainer.step_count) == (False, 0)
    assert lab.status == "First predict and reveal"
    lab.guess(1.0)
    lab.reveal()
    assert lab.status.startswith("Ready")
    lab.run(3)
    lab.set(lr=0.2)  # the same network
    lab.reset()
    assert len(lab.run(2)) == 2
    lab.set(gain=2.0)  # another
    assert lab.status == "First predict and reveal"
    assert len(lab.run(2)) == 0


@pytest.mark.parametrize("growth", [0, -1, math.inf, math.nan, "2"])
def test_a_growth_that_is_none_is_refused(panel, growth):
    with pytest.raises(ValueError, match=r"growth=.*expected a finite number > 0"):
        panel(depth=5).guess(growth)


def test_the_names_of_presets_do_not_give_the_answer_away(panel):
    labels = [p["label"] for group in stage_of(panel(depth=5)).look["groups"] for p in group["presets"]]
    assert labels[:2] == ["8 ReLU layers", "50 tanh layers"]
    named_ones = [
        p["label"] for group in stage_of(panel(depth=5, predict=False)).look["groups"] for p in group["presets"]
    ]
    assert len(named_ones) == len(labels)
    assert not set(labels) & set(named_ones)


def test_without_predict_nothing_is_hidden(panel):
    assert "Backward signal" in panel(depth=4, predict=False).words


def test_slow_motion_waits_for_the_prediction(browser, panel):
    with browser.cell():
        lab = panel(depth=5)
    browser.show(lab)
    browser.set(named(lab, "Slow motion"), "value", True)
    browser.press(named(lab, "Next stage"))
    assert browser.ask(lab, "all", run=-1)[0]["slow"] is None
    browser.command(lab, "guess", 1.0)
    browser.command(lab, "reveal")
    browser.press(named(lab, "Next stage"))
    assert browser.ask(lab, "all", run=-1)[0]["slow"][0] == "forward"


def test_a_prediction_for_a_network_too_shallow_for_one_is_not_asked(panel):
    lab = panel(depth=2)
    assert len(lab.run(2)) == 2
