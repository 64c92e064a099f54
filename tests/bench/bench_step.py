"""What measuring every layer at every step costs against a plain loop: `python -m tests.bench.bench_step`."""

import statistics
from itertools import cycle, pairwise

import torch
from torch import nn

from gradlab import Config, Trainer
from tests.bench import report

DEPTHS, ROUNDS = (5, 20, 50), 400
BLOCK = 50
WANTED = {"none": 1.15, "global_norm": 1.0}


def plain_network(trainer):
    """Build the same network of torch's modules alone, with the same weights."""
    config, inputs = trainer.config, trainer.data.x.shape[1]
    sizes = [inputs, *[config.width] * config.depth]
    hidden = [m for a, b in pairwise(sizes) for m in (nn.Linear(a, b), nn.ReLU())]
    network = nn.Sequential(*hidden, nn.Linear(config.width, trainer.data.outputs))
    with torch.no_grad():
        for mine, its in zip(network.parameters(), trainer.network.parameters(), strict=True):
            mine.copy_(its)
    return network


def plain_step(trainer, look=lambda network: None):
    """Return one step of the same network, data and optimizer; `look` sees the network after the backward pass."""
    config, data = trainer.config, trainer.data
    network = plain_network(trainer)
    optimizer = torch.optim.SGD(network.parameters(), lr=config.lr)
    batches = cycle(torch.arange(data.n).split(config.batch_size))

    def step():
        rows = next(batches)
        loss = nn.functional.cross_entropy(network(data.x[rows]), data.y[rows])
        optimizer.zero_grad()
        loss.backward()
        look(network)
        if config.clip == "global_norm":
            torch.nn.utils.clip_grad_norm_(network.parameters(), config.clip_threshold)
        optimizer.step()
        return loss.item()

    return step


def measure(depth, clip, rounds):
    trainer = Trainer(Config(depth=depth, width=64, batch_size=64, lr=1e-3, clip=clip, clip_threshold=0.1))
    plain = plain_step(trainer)
    found = report.ratio(trainer.step, plain, rounds, warmup=20)
    # step by step each side finds the caches full of the other's data, which slows the quicker one down more
    blocks = report.ratio(many(trainer.step), many(plain), max(2, rounds // BLOCK))
    wanted = WANTED[clip]
    print(f"clip {clip:11}  depth {depth:2}  gradlab / plain loop {found} (wanted: {wanted} or less)")
    print(f"{'':26}  in turns of {BLOCK} steps: {blocks.ratio:.2f}; processor time {blocks.cpu:.2f}", flush=True)
    return {"clip": clip, "depth": depth, "wanted": wanted, **found._asdict(), "in turns of many": blocks.ratio}


def many(step):
    """Return a function that takes `BLOCK` steps."""

    def steps():
        for _ in range(BLOCK):
            step()

    return steps


def headless():
    trainer = Trainer(Config(depth=10, width=32))
    trainer.run(50)
    rates = [200 / report.seconds(lambda: trainer.run(200)) for _ in range(5)]
    print(f"headless, depth 10, width 32, batch 32: {statistics.median(rates):.0f} steps/s (median of 5 times 200)")
    return {"headless steps per second": statistics.median(rates)}


def main(arguments=None):
    options = report.options(__doc__, arguments, rounds=ROUNDS)
    torch.set_num_threads(1)
    print(f"MLP of width 64, batch 64, SGD, one thread, {options.rounds} rounds, medians")
    rows = [measure(depth, clip, options.rounds) for clip in WANTED for depth in DEPTHS]
    report.save("bench_step", [*rows, headless()])


if __name__ == "__main__":
    main()
