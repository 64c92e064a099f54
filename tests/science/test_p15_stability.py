"""P15: the largest stable lr on a quadratic, 3 % to either side, for every rule that the engine offers."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from gradlab import Config, Trainer
from gradlab.watch import watch

STEPS, CURVATURE = 100, 2.5


class Point(nn.Module):
    """Returns its parameter for every sample: the loss is a quadratic in it, whatever the batch."""

    def __init__(self, start):
        super().__init__()
        self.w = nn.Parameter(torch.tensor(start, dtype=torch.float64))

    def forward(self, x):
        return self.w.expand(len(x), -1)


def quadratic(output, y):
    return CURVATURE / 2 * output.square().sum(1).mean()


def trained(s, start=(1.0,), samples=8, steps=STEPS, **knobs):
    """Return the trainer after the steps, at lr * curvature = s."""
    config = Config(lr=s / CURVATURE, dtype="float64", **{"batch_size": samples, **knobs})
    zeros = torch.zeros(samples, 1, dtype=torch.float64)
    trainer = Trainer(config, network=Point(start), data=(zeros, zeros), loss=quadratic)
    trainer.run(steps)
    return trainer


def run(s, **knobs):
    """Return w after the steps."""
    return trained(s, **knobs).network.w.detach().numpy()


def late_size(history):
    """The largest |w| of the last twelve steps: a delayed or heavy ball swings through 0."""
    return history.column("weight_norm")[-12:, 0].max()


LIMITS = [
    ("gradient descent", {}, 2.0),
    *[(f"mean over {k}", {"accumulation": "mean", "accumulation_steps": k, "batch_size": 1}, 2.0) for k in (2, 8)],
    *[
        (f"sum over {k}", {"accumulation": "sum", "accumulation_steps": k, "batch_size": 1}, 2.0 / k)
        for k in (2, 4, 8)
    ],
    *[(f"heavy ball {beta}", {"momentum": beta}, 2 * (1 + beta)) for beta in (0.5, 0.9)],
    ("delayed", {"carry_over": "delayed"}, 2 * math.sin(math.pi / 6)),
]


@pytest.mark.parametrize(("knobs", "limit"), [case[1:] for case in LIMITS], ids=[case[0] for case in LIMITS])
def test_p15_below_the_limit_it_converges_above_it_diverges(knobs, limit):
    """3 % beside the limit the slowest, the delay, multiplies |w| by sqrt(0.97) or sqrt(1.03) a step: 0.2 or 4.4."""
    samples = knobs.get("accumulation_steps", 8)  # one window is one epoch
    below, above = (late_size(trained(limit * f, samples=samples, **knobs).history) for f in (0.97, 1.03))
    assert below < 0.5
    assert above > 2.0


def test_p15_the_accumulated_mean_takes_the_steps_of_gradient_descent():
    plain = run(1.7, steps=20)
    accumulated = run(1.7, steps=20, accumulation="mean", accumulation_steps=8, batch_size=1)
    assert accumulated == pytest.approx(plain, rel=1e-13)  # 20 steps of a few roundings each


def test_p15_a_running_sum_swings_for_ever_below_4_and_diverges_above(compared):
    s = 1.3
    a = math.acos(1 - s / 2)
    closed = [math.cos((t + 0.5) * a) / math.cos(a / 2) for t in (1, 2, 10, 101)]
    measured = [run(s, carry_over="running_sum", steps=t)[0] for t in (1, 2, 10, 101)]
    compared(max(abs(m - c) for m, c in zip(measured, closed, strict=True)), 0.0)
    assert measured == pytest.approx(closed, abs=1e-12)  # a hundred roundings of numbers of size 1
    sizes = trained(4 * 0.97, carry_over="running_sum").history.column("weight_norm")[:, 0]
    assert sizes[-20:].max() > 0.5  # it never converges
    assert sizes.max() < (1 + 1e-9) / math.cos(math.acos(1 - 2 * 0.97) / 2)
    assert abs(run(4 * 1.03, carry_over="running_sum")[0]) > 1e6


@pytest.mark.parametrize("d", [2, 5])
def test_p15_scalar_sum_is_stable_below_2_over_d_and_moves_the_mean_direction_alone(d):
    start = tuple(float(i * i) for i in range(d))
    below, above = (run(2 / d * f, start=start, carry_over="scalar_sum") for f in (0.97, 1.03))
    assert abs(below.mean()) < 0.01 * np.mean(start)  # 0.94^100 is 0.002
    assert abs(above.mean()) > 100 * np.mean(start)  # 1.06^100 is 340
    deviations = np.array(start) - np.mean(start)
    assert below - below.mean() == pytest.approx(deviations, abs=1e-10)  # 100 roundings of numbers up to 16


@pytest.mark.parametrize("beta", [0.5, 0.9])
def test_p15_nesterovs_limit_holds_for_somebodys_own_loop(beta):
    """torch's Nesterov is not among the knobs: watched in a loop of one's own."""
    sizes = []
    for factor in (0.97, 1.03):
        lr = factor * 2 * (1 + beta) / (1 + 2 * beta) / CURVATURE
        network = Point((1.0,))
        optimizer = torch.optim.SGD(network.parameters(), lr=lr, momentum=beta, nesterov=True)
        x = torch.zeros(4, 1, dtype=torch.float64)
        with watch(network, optimizer) as history:
            for _ in range(STEPS):
                optimizer.zero_grad()
                quadratic(network(x), x).backward()
                optimizer.step()
        assert len(history) == STEPS
        sizes.append(late_size(history))
    assert sizes[0] < 0.5
    assert sizes[1] > 2.0
