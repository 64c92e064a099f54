"""Clipping rules, and whole training runs, against JAX and optax."""

import importlib.util

import numpy as np
import pytest
import torch

from gradlab import Config, Trainer

SETS = ["ordinary", "tiny", "huge", "zero"]
THRESHOLDS = [1e-3, 1.0, 1e6]
UPDATES, BATCH, SAMPLES = 12, 8, 64

RUNS = {
    "plain": {},
    "momentum": {"momentum": 0.9},
    "adam": {"optimizer": "adam", "lr": 0.01},
    "adamw": {"optimizer": "adamw", "lr": 0.01, "weight_decay": 0.1},
    "rmsprop": {"optimizer": "rmsprop", "lr": 0.01},
    "global norm": {"clip": "global_norm", "clip_threshold": 0.05},
    "value": {"clip": "value", "clip_threshold": 0.01, "momentum": 0.5},
    "agc": {"clip": "agc", "clip_threshold": 0.01},
    "accumulate": {"accumulation": "mean", "accumulation_steps": 4},
    "running sum": {"carry_over": "running_sum", "lr": 0.01},
    "all at once": {
        "accumulation": "mean", "accumulation_steps": 4, "clip": "global_norm", "clip_threshold": 0.05,
        "carry_over": "running_sum", "optimizer": "adam", "lr": 0.003,
    },
}  # fmt: skip


def config(knobs):
    return Config(
        activation="tanh", init="normal", gain=1.5, bias_std=0.1, depth=4, width=12, dataset="blobs",
        n_samples=SAMPLES, batch_size=BATCH, dtype="float64", **{"lr": 0.1, **knobs},
    )  # fmt: skip


def batches(micro_batches):
    """The rows of each micro-batch: one seeded permutation an epoch, cut in eights."""
    generator, rows = torch.Generator().manual_seed(0), []
    while len(rows) < micro_batches:
        rows += torch.randperm(SAMPLES, generator=generator).split(BATCH)
    return np.stack([r.numpy() for r in rows[:micro_batches]])


@pytest.fixture(scope="module")
def answers(ask, gradient_sets):
    if importlib.util.find_spec("optax") is None:
        return {}
    trainer = Trainer(config({}))
    arrays = {f"weights|{i}": p.detach().numpy() for i, p in enumerate(trainer.network.parameters())}
    arrays |= {"x": trainer.data.x.numpy(), "y": trainer.data.y.numpy(), "batches": batches(4 * UPDATES)}
    for name, pairs in gradient_sets.items():
        arrays |= {f"w|{name}|{i}": w for i, (w, _) in enumerate(pairs)}
        arrays |= {f"g|{name}|{i}": g for i, (_, g) in enumerate(pairs)}
    clips = [(r, name, t) for r in ("global_norm", "value", "agc") for name in SETS for t in THRESHOLDS]
    runs = {label: full(knobs) for label, knobs in RUNS.items()}
    return ask("answer_optax.py", arrays, {"clips": clips, "runs": runs})


def full(knobs):
    accumulated = knobs.get("accumulation_steps", 1)
    return config(knobs).to_dict() | {"micro_batches": UPDATES * accumulated}


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("threshold", THRESHOLDS)
@pytest.mark.parametrize("rule", ["global_norm", "value", "agc"])
def test_clipping_is_that_of_optax(rule, threshold, name, installed, answers, gradient_sets, clipped, worst):
    installed("optax")
    norm = float(np.sqrt(sum((g**2).sum() for _, g in gradient_sets[name])))
    # gradlab, like torch, adds 1e-6 to the global norm it divides by; else a few roundings of float64
    allowed = 1e-6 / norm if rule == "global_norm" and norm > threshold else 0.0
    for i, gradient in enumerate(clipped(rule, gradient_sets[name], threshold)):
        assert worst(gradient, answers[f"{rule}|{name}|{threshold}|{i}"]) <= 1e-14 + allowed


@pytest.mark.parametrize("label", RUNS)
def test_twelve_updates_are_those_of_jax_and_optax(label, installed, answers, worst):
    installed("optax")
    trainer = Trainer(config(RUNS[label]))
    before = [p.detach().clone() for p in trainer.network.parameters()]
    trainer.run(UPDATES)
    assert trainer.history[-1].updates == UPDATES
    # torch's 1e-6 beside a norm of 0.05 or more is 2e-5 of a step; MultiSteps averages with a float32 factor, 6e-8,
    # of steps that partly cancel; else a hundred roundings of float64 through twelve updates
    allowed = {"global norm": 2e-5, "all at once": 2e-5, "accumulate": 1e-6}.get(label, 1e-12)
    for i, (param, start) in enumerate(zip(trainer.network.parameters(), before, strict=True)):
        moved = answers[f"run|{label}|{i}"] - start.numpy()
        assert worst((param.detach() - start).numpy(), moved) <= allowed
