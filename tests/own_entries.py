"""What a user may register in a notebook; run, it prints each case's script and its trainer's losses as JSON."""

import json
import linecache
import math

import torch
from torch import nn

from gradlab import ACTIVATIONS, CARRY_OVERS, CLIPS, DATASETS, NORMS, OPTIMIZERS, Config, Trainer
from gradlab.rules.norms import norms

torch.set_num_threads(1)
BOUND = 3.0
ENDLESS = float("inf")


class Wobble(nn.Module):
    """A slope that is drawn when the module is made, and trained."""

    def __init__(self, scale: float = 0.5) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.rand(1) * scale)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return torch.where(z > 0, z, self.slope * z).clamp(max=min(BOUND, ENDLESS))


@ACTIVATIONS.register("wobble", "Wobble")
def wobble() -> nn.Module:
    """A slope of its own for each layer."""
    return Wobble(0.7)


@NORMS.register("double", "Double")
def double(width: int):
    """Twice the pre-activation, with a count of the passes."""

    class Double(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("passes", torch.zeros(()))

        def forward(self, z):
            self.passes += 1
            return 2 * z / (1 + self.passes / 100)

    return Double()


def halve(tensor, by: float = 2.0, *others: float, **more: int) -> None:
    tensor.div_(by)


def make_clip(factor):
    @CLIPS.register("mine", "Mine")
    def step(params, threshold: float = 1.0) -> None:
        """Divide every gradient — and add a little.

        A second paragraph, which the script leaves out.
        """
        for p, norm in zip(params, norms([p.grad for p in params]), strict=True):
            halve(p.grad, by=factor)  # a comment that stays – whatever its letters
            p.grad += threshold * math.pi * min(norm, 1.0)

    return step


make_clip(4.0)
ACTIVATIONS.register("mish", "Mish")(nn.Mish)


@CARRY_OVERS.register("every_other", "Every other step")
def every_other(gradients, state):
    """Skip every second update."""
    state["turn"] = [1 - turn for turn in state.get("turn", [torch.zeros(1)])]
    return bool(state["turn"][0])


@OPTIMIZERS.register("plain", "Plain")
@torch.no_grad()
def plain(params, lr, momentum, weight_decay):
    """Gradient descent, without the knobs."""
    return torch.optim.SGD(params, lr=lr)


@DATASETS.register("line", "Line")
def line(n, noise, generator):
    """Points on a line, as arrays, with a target of one dimension."""
    x = torch.rand(n, 1, 2, generator=generator)
    return x.numpy(), 2 * x[:, 0, 0].double()


shift = torch.ones(1)


@ACTIVATIONS.register("shifted", "Shifted")
def shifted():
    """Shifted by a tensor of the notebook."""

    class Shifted(nn.Module):
        def forward(self, z):
            return z + shift

    return Shifted()


nameless = lambda: nn.ReLU()  # noqa: E731  (the thing to be refused)
nameless.__doc__ = "A lambda."
ACTIVATIONS.register("nameless", "Nameless")(nameless)
sourceless = {}
exec('def made():\n    "Made by other code."\n    return __import__("torch").nn.ReLU()', sourceless)
ACTIVATIONS.register("sourceless", "Sourceless")(sourceless["made"])

CELL = """
class Cell(nn.Module):
    def forward(self, z):
        return z.sin()


@ACTIVATIONS.register("cell", "Cell")
def cell():
    'A class of a notebook cell.'
    return Cell()
"""
linecache.cache["<cell>"] = (len(CELL), None, CELL.splitlines(keepends=True), "<cell>")  # what IPython does
exec(compile(CELL, "<cell>", "exec"))

HARM = '"""; print("PWNED"); """\nprint("PWNED")'


@CLIPS.register(HARM, "Harm")
def harmless(params, threshold):
    """Nothing at all."""


CASES = [
    {"activation": "wobble"},
    {"activation": "wobble", "residual": True, "norm": "double"},
    {"norm": "double", "nonfinite": "skip", "lr": 1e37},
    {"clip": "mine", "clip_threshold": 1e-3, "accumulation": "mean"},
    {"activation": "mish"},
    {"carry_over": "every_other", "optimizer": "plain"},
    {"dataset": "line"},
    {"activation": "cell"},
    {"clip": HARM},
    {"activation": "shifted"},
    {"activation": "nameless"},
    {"activation": "sourceless"},
]
found = []
for case in CASES:
    config = Config(n_samples=75, depth=3, width=7, batch_size=16, **case)
    losses = "".join(f"step {r.step} loss {r.loss!r}\n" for r in Trainer(config).run(8))
    try:
        found.append([config.to_code(steps=8), losses])
    except ValueError as error:
        found.append(["", str(error)])
print(json.dumps(found))
