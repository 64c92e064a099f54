"""Shared oracles: the same training written with plain PyTorch only."""

import os
import random
from collections.abc import Callable, Iterator
from itertools import pairwise

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import gradlab

torch.set_num_threads(1)  # two threads are many times slower on a busy machine, and need not round alike

PLAIN_ACTIVATIONS = {
    "linear": nn.Identity,
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(0.2),
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "gelu": nn.GELU,
    "selu": nn.SELU,
    "silu": nn.SiLU,
}


@pytest.fixture(scope="session")
def plain_network() -> Callable[[gradlab.Trainer], nn.Sequential]:
    """An nn.Sequential of Linear and activation with the trainer's present weights copied."""

    def build(trainer: gradlab.Trainer) -> nn.Sequential:
        config, state = trainer.config, trainer.network.state_dict()
        sizes = [trainer.data.x[0].numel(), *[config.width] * config.depth, trainer.data.outputs]
        modules: list[nn.Module] = [nn.Flatten()] if trainer.data.x.dim() > 2 else []
        for i, (n_in, n_out) in enumerate(pairwise(sizes)):
            linear = nn.utils.skip_init(nn.Linear, n_in, n_out, dtype=trainer.data.x.dtype)
            linear.load_state_dict({name: state[f"linears.{i}.{name}"] for name in ("weight", "bias")})
            modules.append(linear)
            if i < config.depth:
                modules.append(PLAIN_ACTIVATIONS[config.activation]())
        return nn.Sequential(*modules)

    return build


@pytest.fixture(scope="session")
def plain_batches() -> Callable[..., Iterator[Tensor]]:
    """Index tensors of micro-batches for ever: one seeded torch.randperm an epoch, the short tail kept."""

    def batches(n: int, batch_size: int, seed: int = 0) -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(seed)
        while True:
            yield from torch.randperm(n, generator=generator).split(batch_size)

    return batches


@pytest.fixture
def untouched_rng() -> Iterator[None]:
    """Fail the test if a global random state has moved by its end."""
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    yield
    after = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]


@pytest.fixture
def panel(request: pytest.FixtureRequest) -> Iterator[Callable[..., gradlab.GradLab]]:
    """A function that makes panels, closed after the test; knobs in the module's `SMALL` are its defaults."""
    made: list[gradlab.GradLab] = []
    small = getattr(request.module, "SMALL", {})

    def make(*args, **knobs):
        made.append(gradlab.GradLab(*args, **{**small, **knobs}))
        return made[-1]

    yield make
    for lab in made:
        lab.close()
