"""Asking other libraries: each in a process of its own, so that neither its threads nor its settings stay."""

import importlib.util
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

SHAPES = [(5, 3), (5,), (4, 5), (4,), (2, 3, 3, 2)]


def gradient_set(scale: float, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return pairs (weight, gradient) in float64, the second tensor's gradient ten times as large."""
    generator = np.random.default_rng(seed)
    factors = [1.0, 10.0, 1.0, 0.1, 1.0]
    return [
        (generator.normal(size=shape), scale * factor * generator.normal(size=shape))
        for shape, factor in zip(SHAPES, factors, strict=True)
    ]


@pytest.fixture(scope="session")
def gradient_sets() -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    """Weights and gradients, ordinary, tiny, huge and zero."""
    return {
        "ordinary": gradient_set(1.0, 0),
        "tiny": gradient_set(1e-12, 1),
        "huge": gradient_set(1e12, 2),
        "zero": gradient_set(0.0, 3),
    }


@pytest.fixture(scope="session")
def ask(tmp_path_factory) -> Callable[..., dict[str, np.ndarray]]:
    """Return a function that runs a script of this folder on arrays and settings and reads the arrays it wrote."""

    def run(script: str, arrays: dict[str, np.ndarray], settings: Any) -> dict[str, np.ndarray]:
        folder = tmp_path_factory.mktemp("oracle")
        np.savez(folder / "in.npz", **arrays)
        (folder / "settings.json").write_text(json.dumps(settings))
        done = subprocess.run(
            [sys.executable, str(Path(__file__).with_name(script)), str(folder)],
            env=os.environ | {"OMP_NUM_THREADS": "1", "KERAS_BACKEND": "torch", "KERAS_HOME": str(folder)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        with np.load(folder / "out.npz") as found:
            return dict(found)

    return run


@pytest.fixture
def installed() -> Callable[[str], None]:
    """Return a function that skips the test if a library of the extra `oracles` is not there."""

    def check(library: str) -> None:
        if importlib.util.find_spec(library) is None:
            pytest.skip(f"{library} is not installed; it comes with pip install '.[oracles]'")

    return check


@pytest.fixture
def worst(request) -> Callable[[Any, Any], float]:
    """Return a function giving the largest difference relative to the largest entry; it is logged at INFO."""

    def difference(mine: Any, theirs: Any) -> float:
        mine, theirs = np.asarray(mine, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
        assert mine.shape == theirs.shape
        scale = np.abs(theirs).max()
        found = float(np.abs(mine - theirs).max() / (scale if scale > 0 else 1.0))
        logging.getLogger("oracles").info("%s: largest difference %.2g", request.node.name, found)
        return found

    return difference


@pytest.fixture
def clipped() -> Callable[..., list[np.ndarray]]:
    """Return a function that applies a clipping rule of gradlab to a set of gradients."""
    from gradlab import CLIPS

    def clip(rule: str, pairs: list[tuple[np.ndarray, np.ndarray]], threshold: float) -> list[np.ndarray]:
        params = [torch.nn.Parameter(torch.tensor(weight)) for weight, _ in pairs]
        for param, (_, gradient) in zip(params, pairs, strict=True):
            param.grad = torch.tensor(gradient)
        CLIPS[rule](params, threshold)
        return [param.grad.numpy() for param in params if param.grad is not None]

    return clip
