"""Where theory is silent, and what it says of activations and inits registered in a notebook cell."""

import json
import math
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.special import erf

import gradlab
from gradlab import Config, Trainer
from gradlab.growth import times
from gradlab.theory import predict

QUADRATURE = 1e-6  # what a quadrature split at the kinks keeps to with ease: it has 13 digits


@pytest.mark.parametrize(
    ("knobs", "why"),
    [
        ({"init": "zeros"}, "all weights are 0"),
        ({"gain": 0.0}, "all weights are 0"),
        ({"init": "constant"}, "the same weights for every seed"),
        ({"depth": 0}, "no hidden layer"),
        ({"width": 4}, "a width of 4"),
        ({"norm": "batch", "batch_size": 8, "dataset": "regression"}, "8 samples"),
        ({"norm": "batch", "activation": "linear"}, "rank"),
        ({"norm": "batch", "residual": True}, "residual blocks"),
        ({"dataset": "article_literal"}, "cannot be trained"),
    ],
    ids=repr,
)
def test_where_theory_is_silent_it_says_why_and_nothing_else(knobs, why):
    prediction = predict(Config(**knobs))
    assert prediction.reason.startswith("no prediction, because ")
    assert why in prediction.reason
    assert prediction.sentence.startswith("No prediction, because ")
    fields = (
        prediction.chi,
        prediction.q_star,
        prediction.growth_per_layer,
        prediction.regime,
        prediction.depth_scale,
    )
    assert fields == (None,) * 5
    assert prediction.delta_profile() is None


def test_theory_is_silent_about_somebodys_own_network():
    network = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Linear(8, 2))
    prediction = predict(Config(), network=network)
    assert prediction.chi is None
    assert "your own" in prediction.reason


def test_batch_norm_on_a_plane_has_a_rate_but_no_profile():
    prediction = predict(Config(norm="batch", dataset="moons"))
    assert prediction.regime == "exploding"
    assert prediction.delta_profile() is None
    assert "2 columns" in prediction.reason


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"inputs": 3}, "outputs=None"),
        ({"inputs": 3, "outputs": 1}, "input_norm=None"),
        ({"inputs": 0, "outputs": 1, "input_norm": 1.0}, "inputs=0"),
        ({"inputs": 3, "outputs": 1.5, "input_norm": 1.0}, "outputs=1.5"),
        ({"inputs": 3, "outputs": 1, "input_norm": -1.0}, "input_norm=-1.0"),
        ({"inputs": 3, "outputs": 1, "input_norm": [[1.0]]}, "input_norm="),
        ({"inputs": 3, "outputs": 1, "input_norm": "one"}, "input_norm='one'"),
        ({"inputs": 3, "outputs": 1, "input_norm": []}, "input_norm="),
    ],
    ids=repr,
)
def test_a_wrong_argument_is_named(arguments, field):
    with pytest.raises(ValueError, match="expected") as caught:
        predict(Config(), **arguments)
    assert field in str(caught.value)


def test_a_config_is_wanted():
    with pytest.raises(ValueError, match="config='tanh'"):
        predict("tanh")


def test_what_the_config_says_of_its_data_is_what_the_trainer_reads():
    config = Config(dataset="regression", activation="tanh", init="normal", gain=2.0, depth=3)
    data = Trainer(config).data
    own = predict(config, data.x.shape[1], data.outputs, data.x.norm(dim=1).numpy())
    assert own.delta_profile().log_norm == pytest.approx(predict(config).delta_profile().log_norm, rel=1e-6)


def test_prediction_leaves_the_global_random_state(untouched_rng):
    predict(Config(dataset="regression", norm="batch"))


def test_every_registered_choice_has_a_prediction_or_a_reason():
    configs = [Config(activation=name, depth=2) for name in gradlab.ACTIVATIONS]
    configs += [Config(init=name, depth=2) for name in gradlab.INITS]
    configs += [Config(norm=name, residual=r, depth=2) for name in gradlab.NORMS for r in (False, True)]
    for config in configs:
        prediction = predict(config, 8, 2, 3.0)
        assert (prediction.chi is None) == bool(prediction.reason)
        assert (prediction.delta_profile() is None) == bool(prediction.reason)


def gauss(function, q, kinks=()):
    """E function(sqrt(q) Z) by scipy's adaptive rule, piece by piece between the kinks."""
    ends = sorted({-12.0, 0.0, 12.0, *(k / math.sqrt(q) for k in kinks)})
    density = 1 / math.sqrt(2 * math.pi)
    return sum(
        quad(lambda z: function(math.sqrt(q) * z) * math.exp(-z * z / 2) * density, a, b, epsabs=0, epsrel=1e-11)[0]
        for a, b in pairwise(ends)
    )


@pytest.fixture(scope="module")
def told(pytestconfig):
    script = Path(__file__).with_name("theory_entries.py")
    done = subprocess.run(
        [sys.executable, *(f"-W{rule}" for rule in pytestconfig.getini("filterwarnings")), str(script)],
        env=os.environ | {"PYTHONPATH": str(Path(gradlab.__file__).parents[1]), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def settled(second, q):
    """Iterate q = E phi^2 + 0.25 to its fixed point."""
    for _ in range(200):
        q = second(q) + 0.25
    return q


def test_an_own_activation_with_kinks_in_odd_places(told):
    low, high = -0.7, 1.3
    q = settled(lambda q: gauss(lambda x: min(max(x, low), high) ** 2, q, kinks=(low, high)), 0.5)
    chi = (erf(high / math.sqrt(2 * q)) - erf(low / math.sqrt(2 * q))) / 2  # P(low < z < high)
    for name in ("clipped", "clipped_in_place"):
        assert told[name]["q_star"] == pytest.approx(q, rel=QUADRATURE)
        assert told[name]["chi"] == pytest.approx(chi, rel=QUADRATURE)


def test_an_own_activation_that_is_flat_around_zero(told):
    q = settled(lambda q: gauss(lambda x: max(abs(x) - 0.3, 0) ** 2, q, kinks=(-0.3, 0.3)), 0.5)
    assert told["shrink"]["q_star"] == pytest.approx(q, rel=QUADRATURE)
    assert told["shrink"]["chi"] == pytest.approx(1 - erf(0.3 / math.sqrt(2 * q)), rel=QUADRATURE)


def test_an_own_activation_that_oscillates(told):
    """sin(3 z): E sin^2 = (1 - e^(-18 q)) / 2 and E (3 cos)^2 = 9 (1 + e^(-18 q)) / 2."""
    q = settled(lambda q: (1 - math.exp(-18 * q)) / 2, 0.5)
    assert told["ripple"]["q_star"] == pytest.approx(q, rel=QUADRATURE)
    assert told["ripple"]["chi"] == pytest.approx(4.5 * (1 + math.exp(-18 * q)), rel=QUADRATURE)


def test_an_own_activation_whose_signal_grows_for_ever(told):
    assert told["absolute"]["chi"] == pytest.approx(1.0, rel=QUADRATURE)  # slopes -1 and 1; q' = q + 0.25
    assert told["absolute"]["q_star"] is None


def test_an_own_init_is_measured(told):
    """Variance gain^2 / (2 fan_in) and half the units active: chi = 1/4; 200,000 draws know it to 0.3 %."""
    assert told["sparse"]["chi"] == pytest.approx(0.25, rel=0.01)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("step", "0 nearly everywhere"),
        ("cube", "changes without end"),
        ("noisy", "draws at random"),
        ("mixing", "mixes entries"),
        ("exponential", "not finite"),
        ("detached", "no derivative"),
        ("buzz", "too fast"),
        ("own_slope", "every layer has its own"),
        ("positive", "mean is not 0"),
        ("eye", "the same weights for every seed"),
        ("halve", "norm='halve'"),
    ],
)
def test_of_what_theory_cannot_average_it_is_silent(told, name, why):
    assert told[name]["chi"] is None
    assert why in told[name]["reason"]


def test_own_entries_do_not_move_the_global_random_state(told):
    assert told["untouched"]


# ---------------------------------------------------------------------- through time
def latch(**knobs):
    base = {"dataset": "latch", "architecture": "rnn", "depth": 1, "width": 64, "sequence_length": 6, "n_samples": 32}
    return Config(**{**base, "activation": "linear", "dtype": "float64", **knobs})


def measured(config, seed=0, last=-1):
    """Return the factor per time step back, from the first to the last (or an earlier) time step."""
    norms = Trainer(config.replace(weight_seed=seed)).preview().time_norm[0]
    return (norms[0] / norms[last]) ** (1 / (len(norms) + last))


def test_theory_through_time_is_what_is_measured_where_there_is_a_law():
    for gain in (0.5, 1.0, 1.5):
        exact = latch(recurrent_gain=gain)
        assert predict(exact).time_factor == gain
        assert measured(exact) == pytest.approx(gain, rel=1e-12)
        assert f"by exactly {gain:g}, x {times(5 * math.log10(gain))} over 5 steps" in str(predict(exact).sentence)
        mean = exact.replace(recurrent_init="normal")
        found = math.sqrt(np.mean([measured(mean, seed) ** 2 for seed in range(8)]))
        assert found == pytest.approx(predict(mean).time_factor, rel=0.1)  # eight seeds of width 64
        bound = exact.replace(activation="tanh")
        assert measured(bound) < predict(bound).time_factor == gain
    cell = latch(architecture="lstm", noise=0.0, recurrent_gain=0.0, forget_bias=2.0)  # nothing moves the gates
    assert measured(cell, last=-2) == pytest.approx(predict(cell).time_factor, rel=1e-12)


@pytest.mark.parametrize(
    "knobs",
    [
        {"architecture": "gru"},
        {"architecture": "transformer"},
        {"activation": "gelu"},
        {"activation": "tanh", "recurrent_init": "normal"},
    ],
)
def test_theory_through_time_is_silent_in_words_where_there_is_no_law(knobs):
    found = predict(latch(**knobs))
    assert (found.time_factor, found.chi) == (None, None)
    assert str(found.sentence).startswith("No prediction, because")
