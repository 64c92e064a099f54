"""The coordinate check: muP's slopes are 0 by theory, the standard ones are not (Yang et al. 2022)."""

import numpy as np
import pytest

from gradlab import Config, Trainer
from gradlab.inspect.widths import coordinate_check

SGD = Config(depth=3, n_samples=128)
ADAM = SGD.replace(optimizer="adam", lr=0.01)
TANH = SGD.replace(activation="tanh", init="normal", lr=0.1)


@pytest.mark.parametrize("config", [SGD, ADAM, TANH, TANH.replace(optimizer="adam", lr=0.003)])
def test_the_change_of_an_activation_has_slope_0_in_mup_and_not_in_the_standard_parametrization(config):
    found = coordinate_check(config, widths=(32, 64, 128, 256, 512), seeds=3)
    assert np.abs(found.slopes["mup"]).max() < 0.2
    assert found.slopes["standard"][-1] > 0.5


def test_at_the_base_width_both_parametrizations_are_one_network():
    found = coordinate_check(SGD, widths=(16, 32), seeds=2)
    assert found.change["standard"][0].tolist() == found.change["mup"][0].tolist()


def test_the_standard_change_is_what_a_trainer_on_one_batch_measures():
    config = SGD.replace(width=24, n_samples=32, batch_size=32)
    trainer = Trainer(config)
    before = trainer.network.trace(trainer.data.x).activations
    trainer.run(3)
    after = trainer.network.trace(trainer.data.x).activations
    moved = [float((a - b).detach().double().square().mean().sqrt()) for a, b in zip(after, before, strict=True)]
    found = coordinate_check(config, widths=(24, 48), steps=3, seeds=1)
    assert found.change["standard"][0] == pytest.approx(moved, rel=1e-4)  # the batch in another order


def test_a_diverged_run_has_no_slope():
    found = coordinate_check(SGD.replace(lr=1e30, gain=3.0), widths=(8, 16), seeds=1, steps=6)
    assert np.isnan(found.slopes["standard"]).all()


def test_rows_name_every_layer():
    found = coordinate_check(SGD, widths=(8, 16), seeds=1, steps=1)
    assert [row["layer"] for row in found.rows()] == ["layer 1", "layer 2", "layer 3", "layer 4"]
    assert found["layer"] == ["layer 1", "layer 2", "layer 3", "layer 4"]
    assert found["slope_mup"] == found.slopes["mup"].tolist()
    with pytest.raises(KeyError, match="column='slopes'; expected one of layer, slope_standard, slope_mup"):
        found["slopes"]


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"widths": [8]}, "widths=\\[8\\]; expected at least two"),
        ({"widths": [16, 8]}, "rising"),
        ({"steps": 0}, "steps=0; expected a whole number >= 1"),
        ({"config": SGD.replace(clip="value")}, "clip='value'; expected 'none'"),
    ],
)
def test_bad_input_is_named(bad, words):
    with pytest.raises(ValueError, match=words):
        coordinate_check(**bad)
