"""What a long run holds: `python -m tests.bench.bench_long_run`.

Two things are measured, each as resident memory beside that after 10,000 steps. First a network of depth 20 that is
really trained, with its snapshots and a picture drawn at the end; narrow and with small micro-batches, since what is
kept of a step depends on the number of layers alone. 100,000 steps, past the point where old stretches are thinned;
`--steps 1000000` trains a million, in a quarter of an hour. Then a history of the same layers that is handed a
million records of made-up numbers, and must still hold its first and last as they were.
"""

import dataclasses
import gc
import time

import numpy as np
import psutil
import torch

from gradlab import Config, History, Trainer
from gradlab.plots import View
from gradlab.stage import Lane, PacketEncoder, Shown
from tests.bench import report

EARLY, STEPS, RECORDS, WANTED = 10_000, 100_000, 1_000_000, 64


def megabytes():
    gc.collect()
    return psutil.Process().memory_info().rss / 2**20


def true_at_both_ends(history, first, last):
    """Whether the history holds the first and the last step as they were measured, and each step once."""
    same = all(
        np.array_equal(getattr(record, name), getattr(history[i], name))
        for i, record in ((0, first), (-1, last))
        for name in ("step", "loss", "grad_norm", "delta_norm", "update_ratio")
    )
    return same and bool((np.diff(history.column("step")) > 0).all())


def trained(steps):
    """Train and draw; return the history, the first and the last record and both measures of memory."""
    trainer = Trainer(Config(depth=20, width=2, batch_size=4, n_samples=64, lr=1e-4))
    encoder, shown = PacketEncoder(), Shown(1, (Lane(trainer.history),), View(measure="both"))
    first = trainer.step()
    trainer.run(EARLY - 1)
    encoder.new(shown)
    early = megabytes()
    trainer.run(steps - EARLY - 1)
    last = trainer.step()
    encoder.new(shown)
    return trainer.history, first, last, early, megabytes()


def appended(steps):
    """Hand a history records that differ in step, loss and norms."""
    pattern = Trainer(Config(depth=20, width=2, batch_size=4)).step()
    history = History([f"layer {i + 1}" for i in range(21)])

    def made_up(step):
        return dataclasses.replace(pattern, step=step, loss=1 / (1 + step), grad_norm=pattern.grad_norm * (1 + step))

    early = 0.0
    for step in range(steps):
        history.append(made_up(step))
        early = megabytes() if step == EARLY else early
    return history, made_up(0), made_up(steps - 1), early, megabytes()


def measure(what, run, steps):
    start = time.perf_counter()
    history, first, last, early, late = run(steps)
    took, true = time.perf_counter() - start, true_at_both_ends(history, first, last)
    print(
        f"depth 20, {steps} steps {what}: {late - early:+.1f} MiB since step {EARLY} ({early:.0f} to {late:.0f}; "
        f"wanted: under {WANTED}); {len(history)} steps kept; first and last as measured: {true}; {took:.0f} s",
        flush=True,
    )
    row = {"what": what, "steps": steps, "early MiB": early, "late MiB": late, "kept": len(history)}
    return {**row, "true at both ends": true, "seconds": took, "wanted": WANTED}


def main(arguments=None):
    options = report.options(__doc__, arguments, steps=STEPS, records=RECORDS)
    torch.set_num_threads(1)
    rows = [
        measure("trained", trained, max(options.steps, 2 * EARLY)),
        measure("handed to a history", appended, max(options.records, 2 * EARLY)),
    ]
    report.save("bench_long_run", rows)


if __name__ == "__main__":
    main()
