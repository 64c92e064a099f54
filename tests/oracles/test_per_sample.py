"""delta_norm against torch.func's per-sample gradients of a network written again, by hand."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from gradlab import Config, Trainer

PHI = {"relu": F.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "gelu": F.gelu, "selu": F.selu}


def layer_norm(z):
    return (z - z.mean()) / (z.var(correction=0) + 1e-5).sqrt()


NORMS = {"none": lambda z: z, "layer": layer_norm}


def loss_of_shifted(config, matrices, shifts, x, label):
    """Loss of one sample where `shifts[l]` is added to z_l: its gradient at 0 is delta_l."""
    phi, norm = PHI[config.activation], NORMS[config.norm]
    h = x
    for number, ((w, b), shift) in enumerate(zip(matrices[:-1], shifts[:-1], strict=True)):
        if config.residual:
            branch = h if number == 0 else phi(norm(h))
            z = w @ branch + b + shift
            h = z if number == 0 else h + z
        else:
            h = phi(norm(w @ h + b + shift))
    w, b = matrices[-1]
    return F.cross_entropy((w @ h + b + shifts[-1])[None], label[None])


def per_sample_norms(trainer, rows):
    """Norms of d loss_i / d z_l, shape (samples, layers)."""
    config, data = trainer.config, trainer.data
    matrices = [(m.weight.detach(), m.bias.detach()) for m in trainer.network.linears]
    zeros = [torch.zeros_like(b) for _, b in matrices]

    def gradient(x, label):
        return torch.func.grad(lambda shifts: loss_of_shifted(config, matrices, shifts, x, label))(zeros)

    deltas = torch.vmap(gradient)(data.x[rows], data.y[rows])
    return torch.stack([d.norm(dim=1) for d in deltas], dim=1).numpy()


CONFIGS = [
    *[Config(activation=name, init="normal", gain=1.5, bias_std=0.1, depth=6) for name in PHI],
    Config(norm="layer", depth=6),
    Config(residual=True, depth=6),
    Config(residual=True, norm="layer", activation="tanh", depth=6),
]


@pytest.mark.parametrize("config", CONFIGS, ids=repr)
def test_delta_norm_is_the_root_mean_square_of_per_sample_gradients(config, worst):
    trainer = Trainer(config.replace(dtype="float64", n_samples=48, batch_size=48))
    deltas = per_sample_norms(trainer, torch.arange(48))
    mine = trainer.step().delta_norm
    relative = mine / np.sqrt((deltas**2).mean(0))
    assert worst(relative, np.ones_like(relative)) <= 1e-12  # sums in another order


@pytest.mark.parametrize(("accumulation", "steps"), [("mean", 4), ("sum", 4), ("naive_mean", 5)])
def test_micro_batching_does_not_change_delta_norm(accumulation, steps, worst):
    config = Config(
        dtype="float64", n_samples=50, batch_size=13, accumulation=accumulation, accumulation_steps=steps, depth=4
    )
    trainer = Trainer(config)
    deltas = per_sample_norms(trainer, torch.arange(50))
    record = trainer.step()
    assert record.samples == 50  # 13, 13, 13 and 11: the window is the data set
    relative = record.delta_norm / np.sqrt((deltas**2).mean(0))
    assert worst(relative, np.ones_like(relative)) <= 1e-12  # sums in another order


def test_a_float32_delta_norm_is_the_float64_one_rounded(worst):
    """Where a float32 norm would read 0: sigmoid layers whose signals are down to 1e-25."""
    config = Config(activation="sigmoid", init="normal", depth=40, n_samples=16, batch_size=16)
    exact = Trainer(config.replace(dtype="float64"))
    deltas = per_sample_norms(exact, torch.arange(16))
    mine = Trainer(config).step().delta_norm
    relative = mine / np.sqrt((deltas**2).mean(0))
    assert mine[0] < 1e-22
    assert worst(relative, np.ones_like(relative)) <= 1e-4  # forty layers of float32 products
