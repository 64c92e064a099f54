"""What `watch` measures and costs on an accelerator, against the processor: `python -m tests.gpu`.

Runs three small networks in float32 and bfloat16 on the device there is, compares the numbers of the first step with
those of the same network on the processor, and prints how many times the unwatched loop's step a watched one takes.
"""

import copy
import statistics
import sys
import time

import numpy as np
import torch
from torch.nn import functional as F

from gradlab import watch
from tests.bench.bench_watch import NETWORKS

MEASURES = ("grad_norm", "delta_norm", "weight_norm", "activation_std")
CLOSE = {torch.float32: 1e-3, torch.bfloat16: 0.1}  # other kernels round otherwise, and a network amplifies it


def device():
    """Return the accelerator of this machine, None without one."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps") if torch.backends.mps.is_available() else None


def step(network, optimizer, x, y):
    optimizer.zero_grad()
    F.cross_entropy(network(x).float().flatten(0, -2), y).backward()
    optimizer.step()


def on(where, network, x, y, dtype):
    network = copy.deepcopy(network).to(where, dtype)
    x = x.to(where, dtype) if x.is_floating_point() else x.to(where)
    return network, torch.optim.SGD(network.parameters(), lr=1e-3), x, y.to(where)


def compare(name, where, dtype):
    """Return the largest relative difference of each measure between the device and the processor."""
    torch.manual_seed(0)
    network, x, y = NETWORKS[name]()
    histories = []
    for place in (torch.device("cpu"), where):
        own, optimizer, *batch = on(place, network, x, y, dtype)
        with watch(own, optimizer, on_error="raise") as history:
            step(own, optimizer, *batch)
        histories.append(history.of_weights())
    found = {}
    for measure in MEASURES:
        a, b = (h.column(measure)[0] for h in histories)
        found[measure] = float(np.nanmax(np.abs(a - b) / np.maximum(np.abs(a), np.nanmax(np.abs(a)) * 1e-6)))
    return found


def cost(name, where, dtype, every, rounds=30):
    """Return how many times the unwatched loop's step a watched one takes, by the clock, blocks in turn."""
    torch.manual_seed(0)
    network, x, y = NETWORKS[name]()
    plain, watched = on(where, network, x, y, dtype), on(where, network, x, y, dtype)
    watcher, ratios = watch(*watched[:2], every=every, on_error="raise"), []
    for _ in range(rounds):
        times = []
        for own in (plain, watched):
            if own is watched:
                watcher.start()
            torch.accelerator.synchronize()
            start = time.perf_counter()
            for _ in range(20):
                step(*own)
            torch.accelerator.synchronize()
            times.append(time.perf_counter() - start)
            watcher.stop(quietly=True)
        ratios.append(times[1] / times[0])
    return statistics.median(ratios)


def main():
    where = device()
    if where is None:
        sys.exit("no accelerator here: nothing to compare")
    print(f"torch {torch.__version__}, {torch.cuda.get_device_name() if where.type == 'cuda' else where.type}")
    failed = False
    for name in NETWORKS:
        for dtype, close in CLOSE.items():
            found = compare(name, where, dtype)
            bad = {measure: value for measure, value in found.items() if not value <= close}
            failed |= bool(bad)
            print(f"{name:12} {dtype!s:15} {'DIFFERS' if bad else 'as on the processor'}: {found}")
        for every in (1, 10):
            print(
                f"{name:12} every={every:<3} {cost(name, where, torch.float32, every):.2f} times the unwatched loop"
            )
    sys.exit(failed)


if __name__ == "__main__":
    main()
