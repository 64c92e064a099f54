"""What the benchmarks share: two ways of doing a thing timed in turn, a printed row, a JSON file per run."""

import argparse
import json
import platform
import resource
import statistics
import time
from pathlib import Path
from typing import NamedTuple

import torch

FOLDER = Path(__file__).parent


class Ratio(NamedTuple):
    """Two ways timed in turn: median seconds of each, their ratio, and the quartiles of the pairs' ratios.

    `cpu` is the ratio of the processor time, children included, which a busy machine disturbs less.
    """

    median_a: float
    median_b: float
    ratio: float
    spread: tuple[float, float]
    cpu: float

    def __str__(self):
        low, high = self.spread
        return (
            f"{1e3 * self.median_a:.3f} ms / {1e3 * self.median_b:.3f} ms = {self.ratio:.2f} "
            f"(half of the pairs {low:.2f} to {high:.2f}; of processor time {self.cpu:.2f})"
        )


def seconds(run):
    """Return the seconds that a call takes."""
    return timed(run)[0]


def timed(run):
    """Return the seconds that a call takes, and those of processor time."""
    cpu, start = processor_time(), time.perf_counter()
    run()
    return time.perf_counter() - start, processor_time() - cpu


def processor_time():
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def quartiles(values):
    """Return the first and the third quartile of at least one value."""
    first, _, third = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3
    return first, third


def of_pairs(pairs):
    """Make a `Ratio` of pairs (a, b), each side what `timed` returns, measured side by side."""
    wall = [(a[0], b[0]) for a, b in pairs]
    a, b = (statistics.median(side) for side in zip(*wall, strict=True))
    cpu = [statistics.median(side[1] for side in sides) for sides in zip(*pairs, strict=True)]
    return Ratio(a, b, a / b, quartiles([x / y for x, y in wall]), cpu[0] / max(cpu[1], 1e-9))


def ratio(run_a, run_b, rounds, warmup=3):
    """Time a and b in turn, so that a busy machine slows both down; the order changes every round."""
    for _ in range(warmup):
        run_a()
        run_b()
    pairs = []
    for number in range(rounds):
        if number % 2:
            b = timed(run_b)
            pairs.append((timed(run_a), b))
        else:
            a = timed(run_a)
            pairs.append((a, timed(run_b)))
    return of_pairs(pairs)


def save(name, rows):
    """Write ``tests/bench/<name>.json``: the rows (a list of dicts), when and on what they were measured."""
    about = {
        "when": time.strftime("%Y-%m-%d %H:%M:%S"),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }
    path = FOLDER / f"{name}.json"
    path.write_text(json.dumps({"name": name, **about, "rows": rows}, indent=2, default=str) + "\n")
    return path


def options(about, arguments, **defaults):
    """Parse ``--quick`` and one integer option per default; ``--quick`` divides the defaults by ten (at least 2)."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rounds: a first impression")
    for name, value in defaults.items():
        parser.add_argument(f"--{name}", type=int, help=f"default {value}")
    found = parser.parse_args(arguments)
    for name, value in defaults.items():
        if getattr(found, name) is None:
            setattr(found, name, max(min(value, 2), value // 10) if found.quick else value)
    return found
