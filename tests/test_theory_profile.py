"""The predicted profile of the backward signal against arithmetic, published spreads and measured networks."""

import math

import numpy as np
import pytest
import torch

from gradlab import Config, Trainer
from gradlab.theory import predict


def wide(activation, gain, **knobs):
    return Config(activation=activation, init="normal", gain=gain, **knobs)


def measured(config, seeds, data=None, loss=None):
    """log(|delta_l| / |delta_depth|) at step 0, one row a seed."""
    rows = [Trainer(config.replace(weight_seed=s), data=data, loss=loss).step().delta_norm for s in range(seeds)]
    logs = np.log(np.array(rows))
    return logs - logs[:, config.depth - 1 : config.depth]


def one_sample(n, norm):
    x = torch.randn(1, n, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    cotangent = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    data = (x * norm / x.norm(), torch.zeros(1, 3, dtype=torch.float64))
    return {"data": data, "loss": lambda output, y: (output * cotangent).sum()}


def test_the_profile_of_a_relu_net_is_a_straight_line_with_the_real_widths_at_its_ends():
    prediction = predict(Config(init="xavier", width=30, depth=5), inputs=6, outputs=10, input_norm=1.0)
    profile = prediction.delta_profile()
    assert profile.layers.tolist() == [1, 2, 3, 4, 5, 6]
    half = math.log(0.5) / 2  # chi of square matrices, as a norm
    out = math.log(30 * 2 / (30 + 10) * 0.5) / 2  # fan_in * 2/(fan_in + fan_out) * E phi'^2
    assert profile.log_norm == pytest.approx([4 * half, 3 * half, 2 * half, half, 0, -out], abs=1e-9)


def test_the_profile_follows_the_signal_before_it_has_settled():
    """tanh with gain 2 and tiny inputs is linear at first: chi = 4 there, 1.36 only where q has settled."""
    profile = predict(wide("tanh", 2.0, depth=60), inputs=4, outputs=1, input_norm=1e-6).delta_profile()
    per_layer = np.exp(2 * (profile.log_norm[:-2] - profile.log_norm[1:-1]))
    assert per_layer[0] == pytest.approx(4.0, rel=1e-6)
    assert per_layer[-1] == pytest.approx(1.362673, rel=1e-5)  # some 30 layers after it has left 0


def test_samples_of_different_norm_are_averaged_as_the_trainer_does():
    """Layer norm divides by each sample's own norm: |delta_1|^2 is the mean of 1/|x|^2 times what it is for 1."""
    config = Config(norm="layer", init="normal", gain=100.0, depth=3)  # so large that the eps is nothing
    norms = np.array([1.0, 2.0])
    both = predict(config, 4, 2, norms).delta_profile().log_norm[0]
    one = predict(config, 4, 2, 1.0).delta_profile().log_norm[0]
    assert both - one == pytest.approx(math.log(np.mean(1 / norms**2)) / 2, abs=1e-5)  # eps of 1e-5


def test_blocks_under_layer_norm_telescope():
    """|delta_1|^2 / |delta_L|^2 = (q_1 + s blocks) / q_1 with s = sw^2 / 2 and q_1 = sw^2 |x|^2 / inputs = 2."""
    config = Config(residual=True, norm="layer", depth=16, init="kaiming", dtype="float64")
    profile = predict(config, inputs=4, outputs=2, input_norm=2.0).delta_profile()
    assert math.exp(2 * profile.log_norm[0]) == pytest.approx((2 + 15) / 2, rel=1e-4)  # eps of 1e-5


@pytest.mark.parametrize(("activation", "slope"), [("relu", 5.0), ("linear", 2.0)])
def test_the_spread_is_the_published_one(activation, slope):
    """Var log|delta|^2 = 5 L / n (ReLU), 2 L / n (linear), Hanin & Nica (2019); std is that of log|delta|."""
    profile = predict(wide(activation, 1.0, depth=21, width=100)).delta_profile()
    assert 4 * profile.std[0] ** 2 == pytest.approx(slope * 20 / 100, rel=1e-9)
    assert profile.mean_log_norm[0] - profile.log_norm[0] == pytest.approx(-slope * 20 / 100 / 4, rel=1e-9)


def test_an_orthogonal_linear_network_has_no_spread():
    profile = predict(Config(activation="linear", init="orthogonal", depth=9)).delta_profile()
    assert profile.std == pytest.approx(0.0, abs=1e-7)  # the root of a rounded 0
    assert profile.log_low == pytest.approx(profile.log_high, abs=1e-6)


SPREADS = [
    Config(activation="relu", init="kaiming"),
    Config(activation="tanh", init="normal", gain=2.0),
    Config(activation="tanh", init="orthogonal", gain=2.0),
    Config(activation="sigmoid", init="normal", gain=2.0, bias_std=1.0),
    Config(activation="tanh", init="normal", gain=2.0, norm="layer"),
    Config(activation="relu", init="kaiming", gain=0.7, residual=True),
    Config(activation="relu", init="kaiming", residual=True, norm="layer"),
]


@pytest.mark.parametrize("config", SPREADS, ids=repr)
def test_mean_and_spread_of_the_log_are_those_of_networks_of_this_width(config):
    seeds, n, depth = 64, 64, 10
    config = config.replace(width=n, depth=depth, batch_size=1, dtype="float64")
    logs = measured(config, seeds, **one_sample(n, 8.0))[:, 0]
    profile = predict(config, inputs=n, outputs=3, input_norm=8.0).delta_profile()
    std = profile.std[0]
    # 4 standard errors of a mean, and a tenth of a deviation for terms of order 1 / width^2
    assert logs.mean() == pytest.approx(profile.mean_log_norm[0], abs=4 * std / math.sqrt(seeds) + 0.1 * std)
    # the deviation of 64 numbers is known to 1/sqrt(2 * 63) = 9 %; 3 such, and 10 % for the next order
    assert logs.std(ddof=1) == pytest.approx(std, rel=0.37)


SCREENS = [
    Config(depth=30, width=64, activation="tanh", init="normal", gain=2.0),
    Config(depth=12, width=64, init="pytorch"),
    Config(depth=12, activation="sigmoid", init="normal"),
    Config(depth=12, norm="layer"),
    Config(depth=12, residual=True, dataset="regression"),
    Config(depth=12, norm="batch", dataset="regression", batch_size=64),
]


@pytest.mark.parametrize("config", SCREENS, ids=repr)
def test_the_band_holds_the_measured_profile_of_the_data(config):
    profile = predict(config).delta_profile()
    logs = measured(config, seeds=10)
    inside = (logs >= profile.log_low) & (logs <= profile.log_high)
    known = np.isfinite(profile.log_norm)
    # two deviations hold 95 %, but the layers of one network move together: a network or two may be outside
    assert inside[:, known].mean() > 0.8
    assert np.abs(logs.mean(0) - profile.log_norm)[known].max() < 3 * np.nanmax(profile.std)
    assert known[1 : config.depth].all()


def test_a_profile_is_anchored_at_the_measured_norm_of_the_last_hidden_layer():
    config = Config(depth=6, init="pytorch")
    record = Trainer(config).step()
    profile = predict(config).delta_profile()
    band = profile.anchored(record.delta_norm[profile.anchor - 1])
    assert profile.anchor == 6
    assert band.expected[5] == band.low[5] == band.high[5] == pytest.approx(record.delta_norm[5], rel=1e-12)
    assert (band.low <= band.expected).all()
    assert (band.expected <= band.high).all()
    assert band.expected[0] == pytest.approx(record.delta_norm[5] * math.exp(profile.log_norm[0]), rel=1e-12)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_a_profile_is_not_anchored_at_a_norm_that_is_none(value):
    with pytest.raises(ValueError, match="value="):
        predict(Config()).delta_profile().anchored(value)


def test_a_profile_of_another_depth_can_be_asked_for():
    prediction = predict(Config(init="pytorch", depth=4), 3, 2, 1.0)
    deeper = prediction.delta_profile(9)
    assert len(deeper.layers) == 10
    assert deeper.log_norm[0] == pytest.approx(8 * math.log(1 / 6) / 2, rel=1e-9)
    with pytest.raises(ValueError, match="depth"):
        prediction.delta_profile(-1)


def test_a_thousand_layers_neither_overflow_nor_warn():
    profile = predict(wide("relu", 0.01, depth=1000)).delta_profile()
    assert profile.log_norm[0] == pytest.approx(999 * math.log(0.01**2 / 2) / 2, rel=1e-9)
    assert profile.anchored(1.0).expected[0] == 0.0  # 10^-2148 is 0 in float64
