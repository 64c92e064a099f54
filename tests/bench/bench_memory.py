"""What a student's session holds: `python -m tests.bench.bench_memory`."""

import time

import psutil
import torch

from gradlab import GradLab
from tests.bench import report


def megabytes():
    return psutil.Process().memory_info().rss / 2**20


def main(arguments=None):
    options = report.options(__doc__, arguments, seconds=20)
    torch.set_num_threads(1)
    imported = megabytes()
    labs = [GradLab(preset="exploding_tanh"), GradLab(preset="healthy")]
    for lab in labs:
        lab.play()
    time.sleep(options.seconds)
    for lab in labs:
        lab.pause()
    held = megabytes()
    print(f"after import {imported:.0f} MiB; two panels after {options.seconds} s of playing {held:.0f} MiB")
    for lab in labs:
        lab.close()
    report.save("bench_memory", [{"imported MiB": imported, "two panels MiB": held, "seconds": options.seconds}])


if __name__ == "__main__":
    main()
