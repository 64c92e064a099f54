"""What measuring every layer at every step costs: `python -m tests.bench.bench_step`."""

import argparse
import statistics
import time
from itertools import cycle, pairwise

import torch
from torch import nn

from gradlab import Config, Trainer

DEPTHS, ROUNDS = (5, 20, 50), 200


def plain_step(trainer):
    """Return one step of the same network, data and optimizer as a function, with nothing measured."""
    config = trainer.config
    sizes = [2, *[config.width] * config.depth]
    hidden = [m for a, b in pairwise(sizes) for m in (nn.Linear(a, b), nn.ReLU())]
    network = nn.Sequential(*hidden, nn.Linear(config.width, 2))
    optimizer = torch.optim.SGD(network.parameters(), lr=config.lr)
    batches = cycle(torch.arange(trainer.data.n).split(config.batch_size))

    def step():
        rows = next(batches)
        loss = nn.functional.cross_entropy(network(trainer.data.x[rows]), trainer.data.y[rows])
        optimizer.zero_grad()
        loss.backward()
        if config.clip == "global_norm":
            torch.nn.utils.clip_grad_norm_(network.parameters(), config.clip_threshold)
        optimizer.step()
        return loss.item()

    return step


def seconds(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def measure(config, rounds):
    """Return the median seconds of a measured and of a plain step, timed in turn."""
    trainer = Trainer(config)
    plain = plain_step(trainer)
    for _ in range(20):
        trainer.step()
        plain()
    pairs = [(seconds(trainer.step), seconds(plain)) for _ in range(rounds)]
    return tuple(statistics.median(side) for side in zip(*pairs, strict=True))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for clip in ("none", "global_norm"):
        for depth in DEPTHS:
            config = Config(depth=depth, width=64, batch_size=64, lr=1e-3, clip=clip)
            measured, plain = measure(config, options.rounds)
            print(
                f"clip {clip}, depth {depth}, width 64, batch 64, median of {options.rounds}: gradlab "
                f"{1e3 * measured:.2f} ms, plain {1e3 * plain:.2f} ms, ratio {measured / plain:.2f}"
            )
    trainer = Trainer(Config(depth=10, width=32))
    trainer.run(50)
    rates = [200 / seconds(lambda: trainer.run(200)) for _ in range(5)]
    print(f"headless, depth 10, width 32, batch 32: {statistics.median(rates):.0f} steps/s (median of 5 times 200)")


if __name__ == "__main__":
    main()
