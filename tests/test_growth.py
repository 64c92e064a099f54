"""The one estimate of growth: what it is, and that every place that shows a number shows this one."""

import math
import re

import numpy as np
import pytest

from gradlab import Config, Trainer, diagnose, draw, sweep
from gradlab.growth import Growth, growth, growth_per_layer, measured_decades, times, way

DEFAULT_RELU = Config(depth=20, init="pytorch")  # a fit said 0.383, the ends 0.390, for one run


def test_a_doubling_per_layer_is_found_and_the_output_layer_does_not_count():
    assert growth(np.array([16.0, 8.0, 4.0, 2.0, 100.0])) == Growth(pytest.approx(3 * math.log10(2)), 4)
    assert growth(np.array([16.0, 8.0, 4.0, 2.0, 100.0])).per_layer == pytest.approx(2)
    assert growth(np.array([16.0, 8.0, 4.0, 2.0, 100.0])).decades == pytest.approx(math.log10(8))


def test_layers_without_a_number_are_passed_over_and_keep_their_place():
    assert growth(np.array([math.nan, 8.0, math.nan, 2.0, 1.0])).per_layer == pytest.approx(2)
    assert growth(np.array([math.nan, math.nan, math.nan, 2.0, 1.0])) is None


def test_zero_and_infinity_at_the_first_layer_are_answers_and_at_the_last_hidden_one_are_none():
    assert growth(np.array([0.0, 1.0, 1.0, 1.0])).decades == -math.inf
    assert growth(np.array([0.0, 1.0, 1.0, 1.0])).per_layer == 0
    assert growth(np.array([math.inf, 1.0, 1.0, 1.0])).decades == math.inf
    assert growth(np.array([math.inf, 1.0, 1.0, 1.0])).per_layer == math.inf
    for last in (0.0, math.inf, math.nan):
        assert growth(np.array([1.0, last, 1.0])) is None


@pytest.mark.parametrize(("decades", "said"), [(1.5, "growing"), (0.9, "flat"), (-0.9, "flat"), (-1.5, "shrinking")])
def test_a_decade_in_all_makes_the_difference(decades, said):
    assert way(decades) == said


@pytest.mark.parametrize(
    ("decades", "words"),
    [
        (math.log10(95.46), "95.5"),
        (3.0, "1000"),
        (math.log10(0.64), "0.64"),
        (math.log10(5.8e-8), "6e-8"),
        (math.log10(9.7e27), "1e28"),
        (-math.inf, "0"),
        (math.inf, "inf"),
    ],
)
def test_a_factor_is_written_as_people_say_it(decades, words):
    assert times(decades) == words


def test_picture_diagnosis_prediction_exercise_and_sweep_show_one_number():
    trainer = Trainer(DEFAULT_RELU)
    history = trainer.run(1)
    signal = history[0].delta_norm
    expected = (signal[0] / signal[-2]) ** (1 / 19)
    shown = f"{expected:.3g}"
    texts = [t.get_text() for ax in draw(history).axes for t in (*ax.texts, *ax.artists) if hasattr(t, "get_text")]
    assert any(f"{shown} with every layer" in text for text in texts)
    assert re.search(rf"multiplied by {re.escape(shown)} per layer", diagnose(history, DEFAULT_RELU).sentence)
    assert 10 ** (measured_decades(signal) / 19) == pytest.approx(expected, rel=1e-12)
    assert float(growth_per_layer(signal[0], signal[-2], 20)) == pytest.approx(expected, rel=1e-12)
    swept = sweep(DEFAULT_RELU, over={"lr": [0.05]}, steps=0, seeds=1, progress=False).over_seeds("growth").item()
    assert swept == pytest.approx(expected, rel=1e-4)  # stacked: float32 products in another order
