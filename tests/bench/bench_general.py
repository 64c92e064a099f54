"""What measuring costs where autograd runs the network: batch norm, layer norm, residual blocks, one's own network.

`python -m tests.bench.bench_general`: each against a plain loop over the same layers, step by step and in turns.
"""

from itertools import cycle

import torch
from torch import nn
from torch.nn import functional as F

from gradlab import Config, Trainer
from tests.bench import report
from tests.bench.bench_step import BLOCK, many

DEPTH, ROUNDS, WANTED = 20, 300, 1.25
CASES = {"batch": {"norm": "batch"}, "layer": {"norm": "layer"}, "residual": {"residual": True, "gain": 0.2}}


class Plain(nn.Module):
    """The layers of a trainer's network, called as one would write it by hand."""

    def __init__(self, network):
        super().__init__()
        self.residual = network.residual
        self.linears = nn.ModuleList(nn.Linear(m.in_features, m.out_features) for m in network.linears)
        self.norms = nn.ModuleList(type(m)(64) for m in network.norms)
        self.load_state_dict(network.state_dict())

    def forward(self, x):
        for number, (linear, norm) in enumerate(zip(self.linears, self.norms, strict=False)):
            if not self.residual:
                x = torch.relu(norm(linear(x)))
            elif number == 0:
                x = linear(x)
            else:
                x = x + linear(torch.relu(norm(x)))
        return self.linears[-1](x)


def plain_step(trainer):
    """Return one step of a plain loop over the same layers, data and optimizer."""
    config, data, network = trainer.config, trainer.data, Plain(trainer.network)
    optimizer = torch.optim.SGD(network.parameters(), lr=config.lr)
    batches = cycle(torch.arange(data.n).split(config.batch_size))

    def step():
        rows = next(batches)
        loss = F.cross_entropy(network(data.x[rows]), data.y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def measure(name, rounds):
    knobs = CASES[name.removeprefix("own ")]
    trainer = Trainer(Config(depth=DEPTH, width=64, batch_size=64, lr=1e-3, **knobs))
    if name.startswith("own "):
        trainer = own(trainer)
    plain = plain_step(trainer)
    found = report.ratio(trainer.step, plain, rounds, warmup=20)
    blocks = report.ratio(many(trainer.step), many(plain), max(4, rounds // BLOCK))
    print(f"{name:14}  gradlab / plain loop {found} (wanted: {WANTED} or less)")
    print(f"{'':14}  in turns of {BLOCK} steps: {blocks.ratio:.2f}; processor time {blocks.cpu:.2f}", flush=True)
    return {"network": name, "wanted": WANTED, **found._asdict(), "in turns of many": blocks.cpu}


def own(trainer):
    """Return a trainer of the same layers as a network of one's own."""
    return Trainer(trainer.config, network=Plain(trainer.network), data=(trainer.data.x, trainer.data.y))


def main(arguments=None):
    options = report.options(__doc__, arguments, rounds=ROUNDS)
    torch.set_num_threads(1)
    print(f"depth {DEPTH}, width 64, batch 64, SGD, one thread, {options.rounds} rounds, medians")
    report.save("bench_general", [measure(name, options.rounds) for name in [*CASES, *map("own {}".format, CASES)]])


if __name__ == "__main__":
    main()
