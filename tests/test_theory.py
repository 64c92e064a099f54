"""`theory.predict`: chi and q* against closed forms, published numbers and an independent quadrature."""

import math
import re
from itertools import pairwise

import pytest
import torch
from scipy.integrate import quad
from scipy.special import erf

import gradlab
from gradlab import INITS, Config, build_network
from gradlab.theory import predict
from gradlab.theory.signal import weight_variance

QUADRATURE = 1e-6  # what a quadrature split at the kinks keeps to with ease: it has 13 digits


def wide(activation, gain, **knobs):
    return Config(activation=activation, init="normal", gain=gain, **knobs)


SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
SELU_CHI = SELU_SCALE**2 * (0.5 + SELU_ALPHA**2 * math.exp(2) * (1 - erf(math.sqrt(2))) / 2)
"""E selu'^2 at q = 1: half the axis has slope s, the other s alpha e^z, and E[e^2z; z < 0] = e^2 P(Z < -2)."""


@pytest.mark.parametrize(
    ("config", "chi"),
    [
        (wide("linear", 1.3), 1.69),
        (wide("relu", math.sqrt(2)), 1.0),
        (wide("relu", 2.0), 2.0),
        (wide("leaky_relu", 1.0), 0.52),  # (1 + 0.2^2) / 2
        (wide("selu", 1.0), SELU_CHI),
        (wide("tanh", 0.9), 0.81),  # q dies out and tanh is linear near 0
        (Config(init="kaiming"), 1.0),
        (Config(init="kaiming_uniform", gain=0.5), 0.25),
        (Config(init="xavier"), 0.5),  # square matrices: 2 / (n + n) = 1 / n
        (Config(init="xavier_uniform", gain=2.0), 2.0),
        (Config(init="orthogonal"), 0.5),
        (Config(init="pytorch"), 1 / 6),
        (Config(init="fixed", gain=0.5, width=32), 4.0),  # 32 * 0.25 / 2
    ],
    ids=lambda v: "" if isinstance(v, float) else f"{v.activation} {v.init} {v.gain:.3g}",
)
def test_chi_has_its_closed_form(config, chi):
    prediction = predict(config)
    assert prediction.chi == pytest.approx(chi, rel=QUADRATURE)
    assert prediction.growth_per_layer == pytest.approx(math.sqrt(chi), rel=QUADRATURE)
    assert prediction.reason == ""


@pytest.mark.parametrize(
    ("config", "chi", "q_star"),
    [
        (wide("tanh", 2.0), 1.362673, 2.121474),
        (wide("tanh", 0.9, bias_std=math.sqrt(0.05)), 0.653092, None),
        (wide("tanh", math.sqrt(1.760955), bias_std=math.sqrt(0.05)), 1.0, None),
        (wide("sigmoid", 1.0), 0.0557207, None),
        (wide("selu", 1.0), 1.071575, 1.0),
        (wide("tanh", 3.0, norm="layer"), 1.177807, None),
        (wide("tanh", 0.5, norm="rms"), 1.177807, None),
        (wide("sigmoid", 1.0, norm="layer"), 0.153, None),
        (wide("relu", 0.3, norm="layer"), 1.0, None),
    ],
    ids=lambda v: "" if not isinstance(v, Config) else f"{v.activation} {v.gain:.3g} {v.norm}",
)
def test_chi_is_the_published_number(config, chi, q_star):
    prediction = predict(config)
    # layer norm adds 1e-5 to the variance, which is 4e-5 of the smallest one here; 0.153 is given to 3 digits
    assert prediction.chi == pytest.approx(chi, rel=2e-3 if chi == 0.153 else 1e-4 if config.norm != "none" else 2e-6)
    if q_star is not None:
        assert prediction.q_star == pytest.approx(q_star, rel=QUADRATURE)


def gauss(function, q, kinks=()):
    """E function(sqrt(q) Z) by scipy's adaptive rule, piece by piece between the kinks."""
    ends = sorted({-12.0, 0.0, 12.0, *(k / math.sqrt(q) for k in kinks)})
    density = 1 / math.sqrt(2 * math.pi)
    return sum(
        quad(lambda z: function(math.sqrt(q) * z) * math.exp(-z * z / 2) * density, a, b, epsabs=0, epsrel=1e-11)[0]
        for a, b in pairwise(ends)
    )


@pytest.mark.parametrize("norm", ["none", "layer"])
@pytest.mark.parametrize(
    ("name", "phi", "slope"),
    [
        ("tanh", math.tanh, lambda x: 1 / math.cosh(x) ** 2),
        ("gelu", lambda x: x * (1 + erf(x / math.sqrt(2))) / 2, None),
        ("silu", lambda x: x / (1 + math.exp(-x)), None),
        ("sigmoid", lambda x: 1 / (1 + math.exp(-x)), None),
    ],
)
def test_chi_and_q_agree_with_scipys_quadrature(name, phi, slope, norm):
    sw2, sb2 = 1.5**2, 0.3
    h = 1e-5  # of a central difference, whose error is about h^2 = 1e-10
    slope = slope or (lambda x: (phi(x + h) - phi(x - h)) / (2 * h))
    prediction = predict(Config(activation=name, init="normal", gain=1.5, bias_std=math.sqrt(0.3), norm=norm))
    q = prediction.q_star
    if q is None:  # gelu and silu grow like a ReLU of half the slope: chi is sw^2 / 2
        assert prediction.chi == pytest.approx(sw2 / 2, rel=QUADRATURE)
        return
    at, scale = (q, 1.0) if norm == "none" else (q / (q + 1e-5), q + 1e-5)
    assert sw2 * gauss(lambda x: phi(x) ** 2, at) + sb2 == pytest.approx(q, rel=QUADRATURE)
    assert prediction.chi == pytest.approx(sw2 * gauss(lambda x: slope(x) ** 2, at) / scale, rel=QUADRATURE)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("relu", 0.5 / (0.5 - 1 / (2 * math.pi))),  # Yang et al. (2019)
        ("tanh", 1.178),
        ("linear", 1.0),
    ],
)
def test_large_batch_norm_has_the_published_rate(name, expected):
    prediction = predict(
        Config(activation=name, norm="batch", batch_size=1000, n_samples=1000, width=1000, depth=2), 2000, 2, 1.0
    )
    assert prediction.chi == pytest.approx(expected, rel=1.5e-3)  # (B - 2)/(B - 3) is 1.001 here


def test_linear_batch_norm_of_eight_samples_grows_by_six_fifths():
    prediction = predict(Config(activation="linear", norm="batch", batch_size=8, depth=2), 32, 1, 1.0)
    assert prediction.chi == pytest.approx(1.2, rel=1e-4)  # (B - 2)/(B - 3); batch norm's eps is 1e-5


@pytest.mark.parametrize(
    ("config", "regime"),
    [
        (wide("tanh", 2.0), "exploding"),
        (Config(init="pytorch"), "vanishing"),
        (Config(), "critical"),
        (wide("tanh", 1.0), "critical"),
        (Config(residual=True), "exploding"),
        (Config(residual=True, norm="layer"), "critical"),
    ],
)
def test_the_regime_is_told_by_chi(config, regime):
    prediction = predict(config)
    assert prediction.regime == regime
    assert prediction.sentence.lower().startswith(regime)


@pytest.mark.parametrize("activation", ["linear", "relu", "tanh"])
@pytest.mark.parametrize("near", [0.98, 0.999, 1.0, 1.001, 1.003, 1.02, 1.1])
def test_no_sentence_about_a_nearly_critical_network_contradicts_itself(activation, near):
    prediction = predict(wide(activation, near * (math.sqrt(2) if activation == "relu" else 1.0), depth=20))
    said = prediction.sentence
    rate = 1.0 if "keep its size" in said else float(re.search(r"x (\S+) per layer", said)[1])
    total = float(re.search(r"x (\S+) over", said)[1])
    word = said.split(":")[0]
    assert {"Exploding": rate > 1, "Vanishing": rate < 1, "Critical": rate == 1, "Nearly critical": rate == 1}[word]
    other_way = math.log(rate) * math.log(total) < 0 or (word == "Critical" and abs(math.log10(total)) > 0.06)
    assert "but" in said if other_way else "but" not in said or rate == 1


def test_the_depth_scale_is_the_layers_of_one_e_fold():
    assert predict(wide("relu", math.sqrt(2 * math.e))).depth_scale == pytest.approx(1.0, rel=QUADRATURE)
    assert predict(wide("linear", 1.0)).depth_scale > 1e9  # chi = 1 to rounding


def test_the_variance_settles_dies_out_or_grows_for_ever():
    assert predict(wide("relu", 1.0)).q_star == 0.0
    assert predict(wide("relu", 2.0)).q_star is None
    assert predict(wide("tanh", 1.0)).q_star == 0.0  # approached only polynomially
    assert predict(wide("linear", 0.5, bias_std=1.0)).q_star == pytest.approx(4 / 3, rel=QUADRATURE)  # 1/(1 - 1/4)


def test_a_critical_relu_keeps_the_variance_of_its_data():
    prediction = predict(Config(init="kaiming"), inputs=10, outputs=2, input_norm=3.0)
    assert prediction.q_star == pytest.approx(2 * 9 / 10, rel=QUADRATURE)  # 2/fan_in * |x|^2


@pytest.mark.parametrize("init", [name for name in gradlab.INITS if name not in ("zeros", "constant")])
@pytest.mark.parametrize(("inputs", "outputs"), [(60, 20), (20, 60)])
def test_each_inits_variance_is_that_of_the_weights_it_makes(init, inputs, outputs):
    """The step from the output to the last hidden layer of a linear net is fan_in times the readout's variance."""
    config = Config(activation="linear", init=init, gain=1.5, depth=1, width=60)
    readout = [
        build_network(config, inputs, outputs, torch.Generator().manual_seed(seed)).linears[-1].weight.detach()
        for seed in range(20)
    ]
    variance = float(torch.stack(readout).square().mean())
    profile = predict(config, inputs, outputs, 1.0).delta_profile()
    # 24,000 entries or more: a mean square to 1 %; 4 such
    assert math.exp(-2 * profile.log_norm[1]) == pytest.approx(60 * variance, rel=0.04)


@pytest.mark.parametrize("shape", [(32, 2), (2, 32), (8, 8), (5, 7)], ids=str)
def test_the_variance_of_an_orthogonal_weight_counts_the_longer_side_of_its_matrix(shape):
    weight = torch.empty(shape, dtype=torch.float64)
    INITS["orthogonal"](weight, 1.5, torch.Generator().manual_seed(0))
    # all singular values are 1.5, so the squared entries sum to 1.5^2 times the shorter side, in every draw
    assert weight_variance("orthogonal", 1.5, shape[1], shape[0]) == pytest.approx(float(weight.square().mean()))
