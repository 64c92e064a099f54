"""Adaptive gradient clipping against timm's, loaded by its file: timm itself would import torchvision."""

import importlib.metadata
import importlib.util

import numpy as np
import pytest
import torch

from gradlab import CLIPS, Config, Trainer


@pytest.fixture(scope="module")
def adaptive_clip_grad():
    if importlib.util.find_spec("timm") is None:
        pytest.skip("timm is not installed; it comes with pip install '.[oracles]'")
    path = importlib.metadata.distribution("timm").locate_file("timm/utils/agc.py")
    spec = importlib.util.spec_from_file_location("timm_agc", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.adaptive_clip_grad


def parameters(pairs, dtype):
    made = [torch.nn.Parameter(torch.tensor(weight, dtype=dtype)) for weight, _ in pairs]
    for param, (_, gradient) in zip(made, pairs, strict=True):
        param.grad = torch.tensor(gradient, dtype=dtype)
    return made


@pytest.mark.parametrize("name", ["ordinary", "tiny", "huge", "zero"])
@pytest.mark.parametrize("threshold", [1e-3, 0.01, 1.0])
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float64, 1e-14), (torch.float32, 1e-6)],  # a few roundings: of 1e-16, of 6e-8
    ids=["float64", "float32"],
)
def test_agc_is_timms(adaptive_clip_grad, gradient_sets, name, threshold, dtype, tolerance, worst):
    pairs = gradient_sets[name]
    mine, theirs = parameters(pairs, dtype), parameters(pairs, dtype)
    CLIPS["agc"](mine, threshold)
    adaptive_clip_grad(theirs, clip_factor=threshold, eps=1e-3)
    for a, b in zip(mine, theirs, strict=True):
        assert worst(a.grad, b.grad) <= tolerance


def test_agc_leaves_small_weights_the_room_that_timm_leaves(adaptive_clip_grad, worst):
    """Below a norm of 1e-3 the weight counts as 1e-3, or a unit at 0 could never move."""
    pairs = [(np.zeros((3, 4)), np.ones((3, 4))), (np.full((2, 2), 1e-5), np.eye(2)), (np.zeros(3), np.ones(3))]
    mine, theirs = parameters(pairs, torch.float64), parameters(pairs, torch.float64)
    CLIPS["agc"](mine, 0.02)
    adaptive_clip_grad(theirs, clip_factor=0.02, eps=1e-3)
    for a, b in zip(mine, theirs, strict=True):
        assert worst(a.grad, b.grad) <= 1e-14  # a few roundings


def test_the_trainers_agc_step_is_timms_on_all_but_the_output_layer(adaptive_clip_grad, worst):
    config = Config(clip="agc", clip_threshold=0.01, lr=1.0, dtype="float64", depth=3, batch_size=512)
    trainer = Trainer(config)
    copied = Trainer(config).network
    copied.zero_grad()
    trainer.data.loss(copied(trainer.data.x), trainer.data.y).backward()
    output = set(copied.linears[-1].parameters())
    adaptive_clip_grad([p for p in copied.parameters() if p not in output], clip_factor=0.01, eps=1e-3)
    trainer.step()
    for a, b in zip(trainer.network.parameters(), copied.parameters(), strict=True):
        assert worst(a.detach(), (b - b.grad).detach()) <= 1e-13  # sums over 512 samples, in another order
