"""How much faster stacked networks train than one Trainer after the other: `python -m tests.bench.bench_sweep`."""

import statistics

import torch

from gradlab import Config, Trainer
from gradlab.sweep import Sweep
from tests.bench import report

NETWORKS, STEPS, ROUNDS = 256, 50, 3
CASES = ((10, 16, 10.0), (20, 32, 3.0))  # depth, width, the ratio wanted


def one_after_the_other(configs, steps):
    for config in configs:
        trainer = Trainer(config)
        trainer.run(steps)
        trainer.evaluate()


def measure(depth, width, networks, steps, rounds):
    """Return the median seconds of both ways, building the networks and evaluating them included.

    The two alternate within one run, so that a busy machine slows both down.
    """
    config = Config(depth=depth, width=width, batch_size=32)
    gains = [0.8 + 0.4 * i / (networks // 4 - 1) for i in range(networks // 4)]
    alone, stacked = [], []
    for _ in range(rounds):
        sweep = Sweep(config, {"gain": gains}, steps=steps, seeds=4)
        configs = [sweep.grid.config_of(number) for number in range(sweep.grid.size)]
        stacked.append(report.seconds(lambda: sweep.run(progress=False)))  # noqa: B023  (called at once)
        assert set(sweep.how.values()) == {"stacked"}
        alone.append(report.seconds(lambda: one_after_the_other(configs, steps)))  # noqa: B023
    return statistics.median(alone), statistics.median(stacked)


def main(arguments=None):
    options = report.options(__doc__, arguments, networks=NETWORKS, steps=STEPS, rounds=ROUNDS)
    rows = []
    torch.set_num_threads(1)
    Trainer(Config()).run(1)  # torch loads what an optimizer needs with the first one
    for depth, width, wanted in CASES:
        alone, stacked = measure(depth, width, options.networks, options.steps, options.rounds)
        print(
            f"depth {depth}, width {width}, batch 32, {options.networks} networks, {options.steps} steps, "
            f"median of {options.rounds}: one after the other {alone:.2f} s, stacked {stacked:.2f} s, "
            f"ratio {alone / stacked:.1f} (wanted: at least {wanted:g})"
        )
        rows.append({"depth": depth, "width": width, "alone": alone, "stacked": stacked, "wanted": wanted})
    report.save("bench_sweep", rows)


if __name__ == "__main__":
    main()
