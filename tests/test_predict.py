"""Predict, then reveal."""

import math
import time

import ipywidgets as widgets
import numpy as np
import pytest

from gradlab import Config, GradLab, Trainer
from gradlab.guess import Score, line, measured_decades
from gradlab.measures import MEASURES

SMALL = {"predict": True}


def wait_until(condition, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert condition()


def buttons_of(widget):
    """Every button of a panel by its name."""
    found = {}
    for child in widget.children:
        if isinstance(child, widgets.Box):
            found |= buttons_of(child)
        elif isinstance(child, widgets.Button):
            found[child.description] = child
    return found


@pytest.mark.parametrize(
    ("guessed", "measured", "points"),
    [(-6.0, -6.0, 100), (-3.0, -6.0, 75), (3.0, -6.0, 0), (0.2, 0.4, 90), (0.0, -6.0, 0), (5.0, math.inf, 50)],
)
def test_points_are_half_for_the_direction_and_half_for_the_decades(guessed, measured, points):
    assert Score(guessed, measured, 12).points == points


def test_growth_is_measured_from_the_last_hidden_layer_to_the_first():
    assert measured_decades(np.array([1e-3, 1e-2, 1e-1, 7.0])) == pytest.approx(-2)
    assert measured_decades(np.array([0.0, 1e-2, 1e-1, 7.0])) == -math.inf
    assert measured_decades(np.array([1.0, 2.0, 7.0])) is None  # two hidden layers make no slope
    assert measured_decades(np.array([1.0, 1.0, 0.0, 7.0])) is None
    assert line(np.array([9.0, 9.0, 8.0, 1.0]), 0.5) == pytest.approx([2.0, 4.0, 8.0])


@pytest.mark.parametrize("value", [1e-45, 1e-20, 1e-9, 3e-4, 1.0, 1e3, 1e30])
def test_a_place_on_the_axis_reads_back_to_its_value(value):
    measure = MEASURES["delta_norm"]
    assert measure.value(float(measure.position(np.array(value)))) == pytest.approx(value, rel=1e-6)


def test_all_is_hidden_until_the_reveal_and_then_scored_by_the_measured_signal(panel):
    lab = panel(depth=12, activation="sigmoid", init="normal")
    signal = Trainer(lab.config).step().delta_norm
    truth = math.log10(signal[0]) - math.log10(signal[11])
    assert lab.predictor.hidden
    assert lab.predictor.reveal.disabled
    assert lab._repr_mimebundle_()["image/png"]  # a picture without the profile stands there
    assert "hidden" in lab.words
    assert lab.said == {}
    lab.predictor.predict(0.5)
    assert "/ 2 per layer" in lab.predictor.sentence
    lab.predictor.show_measured()
    assert not lab.predictor.hidden
    (score,) = lab.predictor.scores
    assert (score.guessed, score.measured) == (pytest.approx(11 * math.log10(0.5)), pytest.approx(truth))
    assert f"{score.points} of 100" in lab.said["Prediction"]
    assert "Backward signal" in lab.words


def test_play_and_step_wait_for_the_reveal_and_a_new_network_hides_again(panel):
    lab = panel(depth=5)
    buttons = buttons_of(lab)
    assert buttons["Play"].disabled
    assert buttons["Step"].disabled
    lab.predictor.predict(1.0)
    lab.predictor.show_measured()
    assert not buttons["Play"].disabled
    lab.reset()  # the same network: its profile is known
    assert not lab.predictor.hidden
    lab.set(lr=0.3)
    assert not lab.predictor.hidden
    lab.set(gain=1.5)
    assert lab.predictor.hidden
    assert lab.predictor.guess is None
    assert buttons["Step"].disabled


def test_a_network_too_shallow_for_a_slope_is_not_hidden(panel):
    lab = panel(depth=2)
    assert not lab.predictor.hidden
    assert "three hidden layers" in lab.predictor.sentence
    assert lab.run(2)[-1].step == 1


def test_without_predict_nothing_is_hidden():
    lab = GradLab(Config(depth=4))
    assert lab.predictor is None
    assert "Backward signal" in lab.words
    lab.close()


def test_slow_motion_waits_for_the_prediction_and_the_status_line_says_so(panel):
    lab = panel()
    assert lab.status == "First predict and reveal"
    lab.slow.next.click()
    wait_until(lambda: lab.slow.words == "First predict and reveal")
    assert lab.slow.stages == []
    lab.predictor.ways["flat"].click()
    lab.predictor.reveal.click()
    wait_until(lambda: lab.status.startswith("Ready"))
    lab.slow.next.click()
    wait_until(lambda: lab.slow.half_way)
