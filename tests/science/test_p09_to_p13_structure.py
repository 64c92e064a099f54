"""P9 to P13: orthogonal weights, norms and residual blocks."""

import math

import numpy as np
import pytest
import torch

from gradlab import Config, Trainer
from gradlab.theory import predict


def test_p9_an_orthogonal_linear_net_keeps_the_backward_signal_exactly(compared):
    config = Config(activation="linear", init="orthogonal", width=64, depth=30, dtype="float64")
    x = torch.randn(8, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    delta = Trainer(config, data=(x, torch.arange(8) % 3)).step().delta_norm[:30]
    ratio = (delta[0] / delta[-1]) ** 2
    compared(ratio, 1.0)
    assert ratio == pytest.approx(1.0, abs=1e-10)
    assert predict(config).chi == pytest.approx(1.0, abs=1e-10)
    assert predict(config).delta_profile().log_norm == pytest.approx(0.0, abs=1e-10)


def test_p10_linear_batch_norm_of_eight_samples_grows_by_six_fifths(backward_signal, compared):
    config = Config(activation="linear", norm="batch", init="normal", depth=16)
    logs = backward_signal(config, 256.0, seeds=8, samples=8)
    rate = math.exp((logs[:, 3] - logs[:, 13]).mean() / 10)  # layers 4 to 14
    compared(rate, 1.2)
    assert rate == pytest.approx(1.2, rel=0.03)
    prediction = predict(config.replace(width=256, batch_size=8), 256, 16, 16.0)
    assert prediction.chi == pytest.approx(1.2, rel=1e-4)  # batch norm's eps is 1e-5


@pytest.mark.parametrize("sw2", [0.5, 1.0, 2.0, 4.0, 9.0])
def test_p11_the_rate_under_layer_norm_does_not_depend_on_the_gain(sw2, backward_signal, compared):
    config = Config(activation="tanh", norm="layer", init="normal", gain=math.sqrt(sw2), depth=20, width=256)
    logs = backward_signal(config, 256.0)
    rate = math.exp((logs[:, 1] - logs[:, -1]).mean() / 18)  # layer 1's norm divides by the data's size
    compared(rate, 1.177807)
    assert rate == pytest.approx(1.177807, rel=0.03)
    # layer norm adds 1e-5 to a variance of 0.394 sw^2
    assert predict(config).chi == pytest.approx(1.177807, rel=6e-5)


def test_p12_residual_relu_blocks_double_the_squared_gradient(backward_signal, compared):
    """With a skip dL/dh_l is dL/dz_l, so the trainer's delta_norm is |dL/dh|."""
    config = Config(activation="relu", init="kaiming", residual=True, depth=11, width=256)
    logs = backward_signal(config, 128.0, seeds=16)
    doublings = math.log2(np.exp(logs[:, 0] - logs[:, 10]).mean()) / 10
    compared(doublings, 1.0)
    assert doublings == pytest.approx(1.0, abs=0.06)
    prediction = predict(config, 256, 16, math.sqrt(128))
    assert prediction.chi == pytest.approx(2.0, rel=1e-9)
    assert prediction.delta_profile().log_norm[0] == pytest.approx(5 * math.log(2), rel=1e-9)  # a norm: half of 10


def test_p13_pre_norm_blocks_telescope(backward_signal, compared):
    config = Config(activation="relu", norm="layer", init="kaiming", residual=True, depth=16, width=256)
    logs = backward_signal(config, 128.0, seeds=16)  # q_1 = 2 |x|^2 / n = 1
    ratio = np.exp(logs[:, 0] - logs[:, 15]).mean()
    compared(ratio, 16.0)
    assert ratio == pytest.approx(16.0, rel=0.25)
    profile = predict(config, 256, 16, math.sqrt(128)).delta_profile()
    assert math.exp(2 * profile.log_norm[0]) == pytest.approx(16.0, rel=1e-4)  # layer norm's eps is 1e-5
