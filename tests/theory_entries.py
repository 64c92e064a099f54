"""Activations and inits that a user may register in a notebook; run, it prints what theory says of each as JSON."""

import json

import torch
from torch import nn

from gradlab import ACTIVATIONS, INITS, NORMS, Config
from gradlab.theory import predict

torch.set_num_threads(1)


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, z):
        return self.function(z)


def activation(name, function):
    def make():
        """One of the test's."""
        return Function(function)

    ACTIVATIONS.register(name, name)(make)


class Slope(nn.Module):
    def __init__(self):
        super().__init__()
        self.slope = nn.Parameter(torch.rand(1))

    def forward(self, z):
        return self.slope * z


@ACTIVATIONS.register("own_slope", "Own slope")
def own_slope():
    """A slope drawn for each layer."""
    return Slope()


@INITS.register("sparse", "Sparse")
def sparse(weight, gain, generator):
    """Signs, each with probability 1/2, else 0: variance gain^2 / (2 fan_in)."""
    keep = torch.rand(weight.shape, generator=generator, dtype=torch.float64) < 0.5
    signs = torch.rand(weight.shape, generator=generator, dtype=torch.float64).sub(0.5).sign()
    weight.copy_(gain * keep * signs / weight.shape[1] ** 0.5)


@INITS.register("positive", "Positive")
def positive(weight, gain, generator):
    """Uniform in [0, gain): a mean that is not 0."""
    weight.uniform_(0, gain, generator=generator)


@INITS.register("eye", "Identity")
def eye(weight, gain, generator):
    """The identity matrix."""
    nn.init.eye_(weight)


@NORMS.register("halve", "Halve")
def halve(width):
    """Half of it."""
    return Function(lambda z: z / 2)


activation("clipped", lambda z: z.clamp(-0.7, 1.3))
activation("clipped_in_place", lambda z: z.clamp_(-0.7, 1.3))
activation("shrink", lambda z: nn.functional.softshrink(z, 0.3))
activation("absolute", torch.abs)
activation("ripple", lambda z: torch.sin(3 * z))
activation("cube", lambda z: z**3)
activation("step", torch.sign)
activation("noisy", nn.functional.dropout)
activation("mixing", lambda z: nn.functional.softmax(z, -1))
activation("exponential", torch.exp)
activation("detached", lambda z: z.detach())
activation("buzz", lambda z: torch.sin(1e5 * z))

OWN = "clipped clipped_in_place shrink absolute ripple cube step noisy mixing exponential detached buzz own_slope"
before = torch.get_rng_state()
base = Config(init="normal", bias_std=0.5, depth=3)
found = {name: predict(base.replace(activation=name), 4, 1, 2.0) for name in OWN.split()}
found |= {name: predict(Config(init=name)) for name in ("sparse", "positive", "eye")}
found["halve"] = predict(Config(norm="halve"))
untouched = torch.equal(before, torch.get_rng_state())
told = {name: {"chi": p.chi, "q_star": p.q_star, "reason": p.reason} for name, p in found.items()}
print(json.dumps({"untouched": untouched, **told}))
