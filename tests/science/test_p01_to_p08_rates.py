"""P1 to P8: growth of |delta|^2 per layer toward the input, plain networks of 20 layers (6: 8 layers)."""

import math

import pytest
import torch
from scipy.integrate import quad

from gradlab import Config, Trainer
from gradlab.theory import predict


def per_layer(logs):
    """Mean over seeds of log(|delta_1|^2 / |delta_L|^2) / (L - 1)."""
    return (logs[:, 0] - logs[:, -1]).mean() / (logs.shape[1] - 1)


def mean_log_of_a_relu_layer(n, sw2):
    """E log(sw^2/n * chi^2_K), K ~ Bin(n, 1/2) active units: log(2 sw^2/n) + E digamma(K/2)."""
    k = torch.arange(1, n + 1, dtype=torch.float64)
    log_p = math.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1) - n * math.log(2)
    return math.log(2 * sw2 / n) + float((log_p.exp() * torch.digamma(k / 2)).sum())


@pytest.mark.parametrize(("case", "sw2", "published"), [("P1", 2.0, -0.009829), ("P2", 4.0, 0.683319)])
def test_p1_p2_the_mean_log_rate_of_a_relu_net_has_its_finite_width_value(
    case, sw2, published, backward_signal, compared
):
    config = Config(activation="relu", init="normal", gain=math.sqrt(sw2), depth=20)
    measured = per_layer(backward_signal(config, 256.0))
    compared(measured, published)
    assert mean_log_of_a_relu_layer(256, sw2) == pytest.approx(published, abs=1e-6)  # six digits were given
    assert measured == pytest.approx(published, abs=0.025)  # the case's tolerance: 3 standard errors at 20 seeds
    profile = predict(config.replace(width=256), 256, 16, 16.0).delta_profile()
    slope = 2 * (profile.mean_log_norm[0] - profile.mean_log_norm[-2]) / 19
    assert slope == pytest.approx(published, abs=1e-4)  # theory's next term is 16 / (256^2 * 4)


def fixed_point(phi, sw2, sb2):
    q = 1.0
    for _ in range(300):
        root, density = math.sqrt(q), 1 / math.sqrt(2 * math.pi)
        new = sb2 + sw2 * density * quad(lambda z, r=root: phi(r * z) ** 2 * math.exp(-z * z / 2), -12, 12)[0]
        if abs(new - q) < 1e-9:
            return new
        q = new
    return q


@pytest.mark.parametrize(
    ("case", "activation", "phi", "sw2", "sb2", "depth", "published", "tolerance"),
    [
        ("P3", "tanh", math.tanh, 4.0, 0.0, 20, 1.362673, 0.03),
        ("P4", "tanh", math.tanh, 0.81, 0.05, 20, 0.653092, 0.03),
        ("P5", "tanh", math.tanh, 1.760955, 0.05, 20, 1.0, 0.03),
        ("P6", "sigmoid", lambda x: 1 / (1 + math.exp(-x)), 1.0, 0.0, 8, 0.0557207, 0.04),
    ],
    ids=lambda v: v if isinstance(v, str) and v.startswith("P") else "",
)
def test_p3_to_p6_the_rate_of_a_settled_net_is_chi(
    case, activation, phi, sw2, sb2, depth, published, tolerance, backward_signal, compared
):
    q = fixed_point(phi, sw2, sb2)
    config = Config(
        activation=activation, init="normal", gain=math.sqrt(sw2), bias_std=math.sqrt(sb2), depth=depth, width=256
    )
    rate = math.exp(per_layer(backward_signal(config, 256 * (q - sb2) / sw2)))
    compared(rate, published)
    assert rate == pytest.approx(published, rel=tolerance)
    prediction = predict(config)
    assert prediction.chi == pytest.approx(published, rel=2e-6)  # as many digits as were given
    assert prediction.q_star == pytest.approx(q, rel=1e-6)


def test_p3_the_variance_of_a_tanh_net_settles_at_q_star(backward_signal, compared):
    """q* = sw^2 E h^2, read off the spread of the activations of layers 5 to 20."""
    config = Config(activation="tanh", init="normal", gain=2.0, depth=20, width=256, dtype="float64", batch_size=64)
    x = torch.randn(64, 256, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    record = Trainer(config, data=(x, torch.zeros(64, 1, dtype=torch.float64))).step()
    measured = 4.0 * (record.activation_std[4:20] ** 2).mean()
    compared(measured, 2.121474)
    assert measured == pytest.approx(2.121474, rel=0.05)
    assert predict(config).q_star == pytest.approx(2.121474, rel=1e-6)


@pytest.mark.parametrize(
    ("case", "activation", "sw2", "published"),
    [("P7", "selu", 1.0, 1.071575), ("P8", "leaky_relu", 2 / 1.04, 1.0)],
)
def test_p7_p8_the_rate_of_a_scale_free_or_self_normalising_net_is_chi(
    case, activation, sw2, published, backward_signal, compared
):
    config = Config(activation=activation, init="normal", gain=math.sqrt(sw2), depth=20, width=256)
    rate = math.exp(per_layer(backward_signal(config, 256 / sw2)))  # q = 1
    compared(rate, published)
    assert rate == pytest.approx(published, rel=0.03)
    assert predict(config).chi == pytest.approx(published, rel=1e-6)
