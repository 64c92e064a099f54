"""What a user may register in a notebook, swept here and by a worker process; run, it prints the results as JSON."""

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import torch
from torch import nn

from gradlab import ACTIVATIONS, CARRY_OVERS, CLIPS, DATASETS, OPTIMIZERS, Config, Trainer
from gradlab.sweep import sweep

SMALL = Config(n_samples=48, batch_size=16, depth=3, width=6, dtype="float64")


class Slope(nn.Module):
    """A slope that is drawn and trained."""

    def __init__(self):
        super().__init__()
        self.slope = nn.Parameter(torch.rand(1))

    def forward(self, z):
        return z * self.slope


def halve(params, threshold):
    """Half of every gradient."""
    for p in params:
        p.grad.mul_(0.5)


def bounded(params, threshold):
    """Halved where it is large, which is a branch on a number."""
    for p in params:
        if p.grad.norm() > 1e-3:
            p.grad.mul_(0.5)


class Signs(torch.optim.Optimizer):
    """Steps by the gradient's sign, scaled by the largest weight of all."""

    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):  # pyright: ignore[reportIncompatibleMethodOverride]
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p -= group["lr"] * p.abs().max() * p.grad.sign()


def signs(params, lr, momentum, weight_decay):
    """An optimizer that is not torch's, and looks at all weights of a network."""
    return Signs(params, lr)


def fading(gradients, state):
    """Half of what was, and the new gradient."""
    for old, g in zip(state.get("old", []), gradients, strict=False):
        g += 0.5 * old
    state["old"] = [g.clone() for g in gradients]
    return True


def growing(n, noise, generator):
    """As many classes as the seed says."""
    classes = int(torch.randint(2, 50, (1,), generator=generator))
    return torch.randn(n, 2, generator=generator), torch.arange(n) % classes


def mixing():
    """Each sample's units against each other."""
    return nn.Softmax(-1)


def noisy():
    """Units left out by chance."""
    return nn.Dropout(0.5)


def clamped():
    """Entry by entry, as any activation of the package."""
    return nn.Hardtanh(-1.0, 1.0)


def compare(**knobs):
    config = SMALL.replace(**knobs)
    swept = sweep(config, {"lr": [0.01, 0.02]}, steps=4, seeds=1, progress=False)
    alone = [Trainer(config.replace(lr=lr)).run(4)[-1].loss for lr in (0.01, 0.02)]
    return swept.how[0], swept.column("final_loss").ravel().tolist(), alone


def main():
    for name, make in {"slope": Slope, "mixing": mixing, "noisy": noisy, "clamped": clamped}.items():
        ACTIVATIONS.register(name, name)(make)
    CLIPS.register("halve", "Halve")(halve)
    CLIPS.register("bounded", "Bounded")(bounded)
    OPTIMIZERS.register("signs", "Signs")(signs)
    CARRY_OVERS.register("fading", "Fading")(fading)
    DATASETS.register("growing", "Growing")(growing)
    over = {"clip": ["none", "halve", "bounded"], "activation": ["relu", "slope", "mixing", "noisy", "clamped"]}
    found = sweep(SMALL, over, steps=3, seeds=2, progress=False)
    seeds = sweep(SMALL.replace(dataset="growing"), {"data_seed": [0, 1]}, steps=3, seeds=1, progress=False)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        there = sweep(SMALL, {"clip": ["halve"]}, steps=3, seeds=1, progress=False, executor=pool)
    answer = {
        "how": {"/".join(found.grid.point(found.grid.place(n)[0]).values()): how for n, how in found.how.items()},
        "errors": found.errors,
        "halve": found.column("final_loss")[1, 0, 0],
        "halve_by_trainer": Trainer(SMALL.replace(clip="halve")).run(3)[-1].loss,
        "bounded": found.column("final_loss")[2, 0, 0],
        "bounded_by_trainer": Trainer(SMALL.replace(clip="bounded")).run(3)[-1].loss,
        "activations": {
            name: [
                found.column("final_loss")[0, i].tolist(),
                [Trainer(found.grid.config_at((0, i), seed)).run(3)[-1].loss for seed in (0, 1)],
            ]
            for i, name in enumerate(over["activation"])
        },
        "rules": [
            compare(optimizer="signs"),
            compare(carry_over="fading"),
            compare(carry_over="fading", nonfinite="skip"),
        ],
        "seeds": [seeds.how, seeds.errors],
        "there": [there.errors, there.finished],
    }
    print(json.dumps(answer))


if __name__ == "__main__":  # a worker process imports this file too: what is registered above would be known to it
    main()
