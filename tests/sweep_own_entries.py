"""What a user may register in a notebook, swept here and by a worker process; run, it prints the results as JSON."""

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import torch
from torch import nn

from gradlab import ACTIVATIONS, CLIPS, DATASETS, Config, Trainer
from gradlab.sweep import sweep

SMALL = Config(n_samples=48, batch_size=16, depth=3, width=6, dtype="float64")


class Slope(nn.Module):
    """A trained slope."""

    def __init__(self):
        super().__init__()
        self.slope = nn.Parameter(torch.ones(1))

    def forward(self, z):
        return z * self.slope


def halve(params, threshold):
    """Half of every gradient."""
    for p in params:
        p.grad.mul_(0.5)


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


def main():
    for name, make in {"slope": Slope, "mixing": mixing, "noisy": noisy, "clamped": clamped}.items():
        ACTIVATIONS.register(name, name)(make)
    CLIPS.register("halve", "Halve")(halve)
    DATASETS.register("growing", "Growing")(growing)
    over = {"clip": ["none", "halve"], "activation": ["relu", "slope", "mixing", "noisy", "clamped"]}
    found = sweep(SMALL, over, steps=3, seeds=2, progress=False)
    seeds = sweep(SMALL.replace(dataset="growing"), {"data_seed": [0, 1]}, steps=3, seeds=1, progress=False)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        there = sweep(SMALL, {"clip": ["halve"]}, steps=3, seeds=1, progress=False, executor=pool)
    answer = {
        "how": {"/".join(found.grid.point(found.grid.place(n)[0]).values()): how for n, how in found.how.items()},
        "errors": found.errors,
        "halved": found.column("final_loss")[1, 0, 0],
        "halved_by_trainer": Trainer(SMALL.replace(clip="halve")).run(3)[-1].loss,
        "seeds": [seeds.how, seeds.errors],
        "there": [there.errors, there.finished],
    }
    print(json.dumps(answer))


if __name__ == "__main__":  # a worker process imports this file too: what is registered above would be known to it
    main()
