"""What the signal through time costs a fused recurrent module: `python -m tests.bench.bench_time`.

A plain training loop of nn.RNN, nn.GRU and nn.LSTM (T = 100, width 64, batch 32), and the same with d loss / d h_t of
every time step found by the recursion, at every step and at every fourth.
"""

import sys

import torch
from torch import nn
from torch.nn import functional as F

from gradlab.engine.time import TimeProbe
from tests.bench import report

STEPS, WIDTH, BATCH = 100, 64, 32


class Sequences(nn.Module):
    def __init__(self, kind, layers):
        super().__init__()
        self.rnn, self.head = kind(2, WIDTH, layers, batch_first=True), nn.Linear(WIDTH, 2)

    def forward(self, x):
        return self.head(self.rnn(x)[0][:, -1])


def loops(kind, layers, every):
    """Return a watched and a plain way of taking `every` steps; one of them is watched."""
    network = Sequences(kind, layers)
    optimizer = torch.optim.Adam(network.parameters())
    x, y = torch.randn(BATCH, STEPS, 2), torch.randint(2, (BATCH,))
    params, probe = list(network.parameters()), TimeProbe(network)

    def plain():
        for _ in range(every):
            optimizer.zero_grad()
            F.cross_entropy(network(x), y).backward()
            optimizer.step()

    def watched():
        probe.begin()
        loss = F.cross_entropy(network(x), y)
        edges = probe.end()
        found = torch.autograd.grad(loss, [*params, *edges], allow_unused=True)
        for p, g in zip(params, found, strict=False):
            p.grad = g
        torch.stack(probe.norms(found[len(params) :], BATCH)).tolist()
        optimizer.step()
        for _ in range(every - 1):
            optimizer.zero_grad()
            F.cross_entropy(network(x), y).backward()
            optimizer.step()

    return watched, plain


def main(arguments=None):
    options = report.options(__doc__.split("\n")[0], arguments, rounds=40)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows = []
    for kind in (nn.RNN, nn.GRU, nn.LSTM):
        for layers in (1, 2):
            for every in (1, 4):
                found = report.ratio(*loops(kind, layers, every), options.rounds)
                print(f"{kind.__name__:5} {layers} layer(s), every {every}: {found}")
                rows.append({"kind": kind.__name__, "layers": layers, "every": every, **found._asdict()})
    report.save("time", rows)


if __name__ == "__main__":
    main(sys.argv[1:])
