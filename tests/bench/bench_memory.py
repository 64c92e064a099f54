"""What a student's session holds, and what closed panels leave: `python -m tests.bench.bench_memory`.

A front end without a browser asks for steps as the stage does at full speed.
"""

import gc
import time

import comm
import psutil
import torch

from gradlab import GradLab
from tests.bench import report
from tests.helpers.panels import FrontEnd

WANTED = 10
TICK = 55  # milliseconds


def megabytes():
    gc.collect()
    return psutil.Process().memory_info().rss / 2**20


def opened(front_end, **arguments):
    """Return a panel that was displayed with its picture, is seen, and plays."""
    with front_end.cell():
        lab = GradLab(**arguments)
        lab._repr_mimebundle_()
        lab.play()
    front_end.show(lab)
    return lab


def played(front_end, seconds):
    """Return what a kernel with two panels holds after they have played for so long."""
    labs = [opened(front_end, preset=name) for name in ("exploding_tanh", "healthy")]
    runs, start = [front_end.run_of(lab) for lab in labs], time.perf_counter()
    while time.perf_counter() - start < seconds:
        for lab, run in zip(labs, runs, strict=True):
            front_end.ask(lab, "tick", run=run, steps=None, ms=TICK)
        front_end.heard.clear()
    taken = [lab.trainer.step_count for lab in labs]
    held = megabytes()
    for lab in labs:
        lab.close()
    return held, taken


def left_behind(front_end, panels):
    """Return how much more is held after so many panels were opened, played and closed."""
    for number in range(panels + 3):
        if number == 3:  # matplotlib has loaded its fonts, torch its optimizer
            before = megabytes()
        lab = opened(front_end, depth=10)
        for _ in range(5):
            front_end.tick(lab, 3)
        lab.close()
        front_end.heard.clear()
    return megabytes() - before


def main(arguments=None):
    options = report.options(__doc__, arguments, seconds=20, panels=50)
    torch.set_num_threads(1)
    front_end, imported = FrontEnd(), megabytes()
    comm.create_comm = front_end.make_comm
    more = left_behind(front_end, options.panels)
    held, taken = played(front_end, options.seconds)
    print(f"{options.panels} panels opened and closed: {more:+.1f} MiB, wanted {WANTED}")
    print(
        f"after import {imported:.0f} MiB; with two panels that played for {options.seconds} s ({taken[0]} and "
        f"{taken[1]} steps) {held:.0f} MiB"
    )
    report.save(
        "memory",
        [
            {"what": "closed panels", "MiB": more, "panels": options.panels, "wanted": WANTED},
            {"what": "two panels", "MiB": held, "imported MiB": imported, "steps": taken},
        ],
    )


if __name__ == "__main__":
    main()
