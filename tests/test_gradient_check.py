"""`Trainer.check_gradients`: a right backward pass passes, a wrong one is caught and named."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from gradlab import ACTIVATIONS, NORMS, Config, CumulativeGradient, Trainer

# Central differences in float64 with the best step err by about eps^(2/3) = 4e-11 of the loss; an entry whose
# gradient is a few thousandths of the loss is then known to about 1e-8.
RIGHT = 1e-6


class _WrongBackward(torch.autograd.Function):
    """tanh with the square of its derivative forgotten: 1 - h instead of 1 - h^2."""

    @staticmethod
    def forward(ctx, x):
        h = x.tanh()
        ctx.save_for_backward(h)
        return h

    @staticmethod
    def backward(ctx, *grads):
        (h,) = ctx.saved_tensors
        return grads[0] * (1 - h)


class _Wrong(nn.Module):
    def forward(self, x):
        return _WrongBackward.apply(x)


class _Scaled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, factor):
        ctx.factor = factor
        return x.clone()

    @staticmethod
    def backward(ctx, *grads):
        return grads[0] * ctx.factor, None


class _ScaledBackward(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return _Scaled.apply(x, self.factor)


def _data(n=32, features=2):
    generator = torch.Generator().manual_seed(3)
    return torch.randn(n, features, generator=generator), torch.arange(n) % 2


def _mlp(*between):
    torch_linear = [nn.utils.skip_init(nn.Linear, a, b) for a, b in ((2, 8), (8, 8), (8, 2))]
    generator = torch.Generator().manual_seed(1)
    for linear in torch_linear:
        nn.init.normal_(linear.weight, 0.0, 0.5, generator=generator)
        nn.init.normal_(linear.bias, 0.0, 0.5, generator=generator)
    first, second, third = torch_linear
    return nn.Sequential(first, nn.Tanh(), second, *between, third)


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
def test_autograd_of_every_activation_is_right(activation):
    check = Trainer(Config(depth=3, width=8, activation=activation, bias_std=0.1)).check_gradients()
    assert list(check) == ["layer 1", "layer 2", "layer 3", "layer 4"]
    assert check.worst < RIGHT
    assert all(check.compared)


@pytest.mark.parametrize("norm", list(NORMS))
@pytest.mark.parametrize("residual", [False, True])
def test_autograd_of_every_norm_is_right(norm, residual):
    config = Config(depth=3, width=8, norm=norm, residual=residual, activation="tanh", bias_std=0.1)
    assert Trainer(config).check_gradients().worst < RIGHT


def test_squared_error_is_checked_too():
    assert Trainer(Config(dataset="regression", depth=2, width=8)).check_gradients().worst < RIGHT


def test_a_wrong_backward_is_caught_in_the_layers_below_it_and_only_there():
    trainer = Trainer(Config(), network=_mlp(_Wrong()), data=_data())
    check = trainer.check_gradients()
    first, second, third = check.values()
    assert first > 0.05
    assert second > 0.05
    assert third < RIGHT
    assert "Worst relative error" in check.sentence


@pytest.mark.parametrize(
    ("factor", "error"), [(2.0, 0.5), (-1.0, 2.0), (0.5, 0.5), (0.0, 1.0), (1.001, 0.001 / 1.001)]
)
def test_a_backward_off_by_a_factor_shows_exactly_that_error(factor, error):
    check = Trainer(Config(), network=_mlp(_ScaledBackward(factor)), data=_data()).check_gradients()
    below = [check["0"], check["2"]]
    # |a f - a| / max(|a f|, |a|); the differences themselves are good to RIGHT
    assert below == pytest.approx([error, error], abs=RIGHT)
    assert check["4"] < RIGHT


def test_the_articles_layer_is_wrong_from_its_second_backward_on():
    network = _mlp(CumulativeGradient())
    check = Trainer(Config(), network=network, data=_data()).check_gradients()
    # the second backward passes on twice the gradient: |2g - g| / |2g|
    assert [check["0"], check["2"]] == pytest.approx([0.5, 0.5], abs=RIGHT)
    assert check["4"] < RIGHT


def test_the_articles_layer_can_be_checked_in_the_middle_of_training():
    trainer = Trainer(Config(batch_size=16), network=_mlp(CumulativeGradient()), data=_data())
    trainer.run(3)
    assert trainer.check_gradients(samples=8).worst == pytest.approx(0.5, abs=RIGHT)


def test_checking_leaves_the_run_bit_for_bit_as_it_was():
    config = Config(depth=3, width=8, norm="batch")
    watched, plain = Trainer(config), Trainer(config)
    for _ in range(3):
        watched.check_gradients()
        assert watched.step().loss == plain.step().loss
    for a, b in zip(watched.network.state_dict().values(), plain.network.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_a_unit_exactly_at_its_kink_is_left_out_and_counted():
    network = _mlp()
    network[2].weight.data.zero_()
    network[2].bias.data.zero_()
    with_relu = nn.Sequential(*network[:3], nn.ReLU(), network[3])
    check = Trainer(Config(), network=with_relu, data=_data()).check_gradients()
    assert check.kinks[1] > 0
    assert check.compared[1] == 0
    assert math.isnan(check["2"])
    assert check["4"] < RIGHT


def test_gradients_too_small_for_differences_are_called_unresolved_not_wrong():
    check = Trainer(Config(depth=16, width=8, activation="sigmoid", init="normal")).check_gradients(
        entries_per_layer=2
    )
    assert check.unresolved[0] > 0
    assert math.isnan(check["layer 1"])
    assert check.worst < 1e-3  # an entry that counts is known to 1e-4 of its size


def test_a_steep_network_is_resolved_with_smaller_steps():
    config = Config(depth=20, width=16, activation="tanh", init="normal", gain=2.0)
    check = Trainer(config).check_gradients(entries_per_layer=2)
    assert all(check.compared)
    assert check.worst < 1e-3


def test_dropout_is_compared_with_the_same_units_dropped():
    trainer = Trainer(Config(), network=_mlp(nn.Dropout(0.5)), data=_data())
    before = torch.get_rng_state()
    assert trainer.check_gradients().worst < RIGHT
    assert torch.equal(before, torch.get_rng_state())


def test_a_convolution_with_batch_norm_and_an_embedding_are_checked():
    convolution = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Tanh(), nn.Flatten(), nn.Linear(3 * 36, 2))
    x = torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert Trainer(Config(), network=convolution, data=(x, torch.arange(16) % 2)).check_gradients().worst < RIGHT
    words = nn.Sequential(nn.Embedding(5, 4), nn.Flatten(), nn.Linear(12, 2))
    ids = torch.arange(48).reshape(16, 3) % 5
    assert Trainer(Config(), network=words, data=(ids, torch.arange(16) % 2)).check_gradients().worst < RIGHT


def test_a_frozen_layer_is_not_checked():
    network = _mlp()
    network[0].requires_grad_(False)
    check = Trainer(Config(), network=network, data=_data()).check_gradients()
    assert math.isnan(check["0"])
    assert check.compared[0] == 0
    assert check["2"] < RIGHT


def test_once_the_time_is_over_no_further_entry_is_compared():
    assert sum(Trainer(Config(depth=3)).check_gradients(seconds=0).compared) == 0


@pytest.mark.parametrize("field", ["samples", "entries_per_layer"])
@pytest.mark.parametrize("value", [0, -1, 2.5, True])
def test_bad_numbers_are_refused_by_name(field, value):
    with pytest.raises(ValueError, match=f"{field}={value!r}; expected a whole number >= 1"):
        Trainer(Config(depth=1)).check_gradients(**{field: value})


def test_a_network_that_is_not_finite_is_refused():
    network = _mlp()
    network[0].weight.data.fill_(math.nan)
    trainer = Trainer(Config(), network=network, data=_data())
    with pytest.raises(ValueError, match="the loss is nan; expected finite weights"):
        trainer.check_gradients()
