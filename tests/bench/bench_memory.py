"""What a student's session holds: `python -m tests.bench.bench_memory`."""

import time

import psutil
import torch

from gradlab import GradLab


def megabytes():
    return psutil.Process().memory_info().rss / 2**20


def main():
    torch.set_num_threads(1)
    imported = megabytes()
    labs = [GradLab(preset="exploding_tanh"), GradLab(preset="healthy")]
    for lab in labs:
        lab.play()
    time.sleep(20)
    for lab in labs:
        lab.pause()
    print(f"after import {imported:.0f} MiB; two panels after 20 s of playing {megabytes():.0f} MiB")
    for lab in labs:
        lab.close()


if __name__ == "__main__":
    main()
