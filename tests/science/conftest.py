"""How the validation cases are measured: by the trainer, on networks of width 256 in float64."""

import logging
from collections.abc import Callable

import numpy as np
import pytest
import torch

from gradlab import Config, Trainer

WIDTH, SEEDS = 256, 20


def contraction(output, cotangent):
    """A loss whose gradient at the output is the target: a random cotangent."""
    return (output * cotangent).sum(1).mean()


@pytest.fixture(scope="session")
def backward_signal() -> Callable[..., np.ndarray]:
    """Return log |delta_l|^2 at step 0 for layers 1 ... depth, one row a seed; one sample unless told."""

    def measure(config: Config, squared_norm: float, seeds: int = SEEDS, samples: int = 1) -> np.ndarray:
        config = config.replace(width=WIDTH, dtype="float64", batch_size=max(samples, 1))
        rows = []
        for seed in range(seeds):
            generator = torch.Generator().manual_seed(1000 + seed)
            x = torch.randn(samples, WIDTH, generator=generator, dtype=torch.float64)
            x = x * (squared_norm**0.5 / x.norm(dim=1, keepdim=True))
            cotangent = torch.randn(samples, 16, generator=generator, dtype=torch.float64)
            trainer = Trainer(config.replace(weight_seed=seed), data=(x, cotangent), loss=contraction)
            rows.append(2 * np.log(trainer.step().delta_norm[: config.depth]))
        return np.array(rows)

    return measure


@pytest.fixture
def compared(request) -> Callable[[float, float], None]:
    """Log what was measured and what was predicted; seen with ``pytest --log-cli-level=INFO tests/science``."""

    def log(measured: float, predicted: float) -> None:
        logging.getLogger("science").info("%s: measured %.6g, predicted %.6g", request.node.name, measured, predicted)

    return log
