"""P14, P16, P17, P18 and P20: exact and statistical facts about gradients."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from gradlab import Config, Trainer, build_network


def gaussian(n, columns, seed=0):
    return torch.randn(n, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("sw2", [1 / 3, 1.0, 2.0, 4.0])
def test_p14_the_weight_gradient_of_a_relu_net_is_flat_whatever_the_gain(sw2, compared):
    """The net explodes or vanishes, as its backward signal tells, and its weight gradients do not."""
    config = Config(init="normal", gain=math.sqrt(sw2), width=256, depth=20, dtype="float64", batch_size=1)
    grads, deltas = [], []
    for seed in range(20):
        data = (gaussian(1, 256, seed), gaussian(1, 16, 100 + seed))
        trainer = Trainer(config.replace(weight_seed=seed), data=data, loss=lambda output, y: (output * y).sum())
        record = trainer.step()
        grads.append(2 * math.log(record.grad_norm[1] / record.grad_norm[19]) / 18)  # square matrices only
        deltas.append(2 * math.log(record.delta_norm[1] / record.delta_norm[19]) / 18)
    rate = math.exp(np.mean(grads))
    compared(rate, 1.0)
    assert rate == pytest.approx(1.0, abs=0.04)
    assert np.mean(deltas) == pytest.approx(math.log(sw2 / 2), abs=0.035)  # P1's tolerance and its drift of 0.01


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "linear"])
def test_p14_weights_times_gradients_sum_alike_in_every_layer(activation, compared):
    config = Config(activation=activation, width=24, depth=9, gain=1.3)
    network = build_network(config, 5, 3, torch.Generator().manual_seed(0), torch.float64)
    x, labels = gaussian(16, 5), torch.arange(16) % 3
    F.cross_entropy(network(x), labels).backward()
    sums = [float((linear.weight * linear.weight.grad).detach().sum()) for linear in network.linears]
    compared(max(abs(s - sums[0]) for s in sums) / abs(sums[0]), 0.0)
    assert sums == pytest.approx([sums[0]] * 10, rel=1e-10)


def full_gradient(trainer):
    """dL/dp over all the data, flat, by plain autograd."""
    network = trainer.network
    loss = F.cross_entropy(network(trainer.data.x), trainer.data.y)
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(network.parameters()))])


def weights(trainer):
    return torch.cat([p.detach().flatten() for p in trainer.network.parameters()])


@pytest.mark.parametrize("n", [128, 131], ids=["even", "uneven"])
@pytest.mark.parametrize("k", [2, 4, 8, 16, 32, 64])
def test_p16_the_mean_over_micro_batches_is_the_full_gradient(k, n, compared):
    """Read off one step of gradient descent at lr 1: the change of the weights is minus the gradient."""
    config = Config(
        activation="tanh", depth=3, width=16, dtype="float64", accumulation="mean", accumulation_steps=k,
        batch_size=math.ceil(n / k), lr=1.0,
    )  # fmt: skip
    trainer = Trainer(config, data=(gaussian(n, 5), torch.arange(n) % 3))
    gradient, before = full_gradient(trainer), weights(trainer)
    record = trainer.step()
    assert record.samples == n
    error = float((before - weights(trainer) - gradient).norm() / gradient.norm())
    compared(error, 0.0)
    assert error < 1e-12


def test_p17_accumulation_averages_noise_and_leaves_the_mean(compared):
    """E|g|^2 = |grad L|^2 + tr(Sigma) / (K b), Sigma the covariance of per-sample gradients (torch.func)."""
    k, b, draws = 4, 4, 300
    config = Config(
        activation="tanh", depth=3, width=16, dtype="float64", n_samples=4096, accumulation="mean",
        accumulation_steps=k, batch_size=b, lr=0.0,
    )  # fmt: skip
    trainer = Trainer(config)
    network, x, y = trainer.network, trainer.data.x, trainer.data.y
    params = {name: p.detach() for name, p in network.named_parameters()}

    def loss(p, sample, label):
        return F.cross_entropy(torch.func.functional_call(network, p, (sample[None],)), label[None])

    each = torch.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))(params, x, y)
    rows = torch.cat([g.flatten(1) for g in each.values()], dim=1)
    predicted = float(rows.mean(0).square().sum() + rows.var(0).sum() / (k * b))
    measured = float((trainer.run(draws).column("total_norm") ** 2).mean())
    compared(measured, predicted)
    # the windows are drawn without replacement: 16 of 4096 samples, a correction of 0.4 %
    assert measured == pytest.approx(predicted, rel=0.2)


@pytest.mark.parametrize("lr", [0.1, 1e-3])
def test_p18_adams_first_step_has_length_lr_times_the_root_of_the_parameters(lr, compared):
    trainer = Trainer(Config(activation="tanh", init="normal", optimizer="adam", lr=lr, depth=2, dtype="float64"))
    before = weights(trainer)
    trainer.step()
    length = float((weights(trainer) - before).norm())
    compared(length, lr * math.sqrt(len(before)))
    assert length == pytest.approx(lr * math.sqrt(len(before)), rel=1e-4)  # Adam's eps is 1e-8 of the gradients


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
def test_p20_for_one_sample_the_weight_gradient_factorises(activation, compared):
    """dL/dW_l is the outer product of delta_l and h_{l-1}."""
    config = Config(activation=activation, depth=6, width=32, dtype="float64", batch_size=1)
    trainer = Trainer(config, data=(gaussian(1, 7), torch.tensor([2])))
    with torch.no_grad():
        trace = trainer.network.trace(trainer.data.x)
    inputs = [trainer.data.x, *trace.activations[:-1]]
    record = trainer.step()
    product = record.delta_norm * [float(h.norm()) for h in inputs]
    compared(float(np.abs(record.grad_norm / product - 1).max()), 0.0)
    assert record.grad_norm == pytest.approx(product, rel=1e-12)
