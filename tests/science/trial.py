"""Every treatment of notebook 7 at its own best: `python -m tests.science.trial`.

Each of the nine treatments has the same number of tries, six settings, on eight seeds and 4,608 samples; the setting
with which most networks learn is then tried on 24 fresh seeds. A minute or so per court and core.
"""

import sys

import numpy as np
import torch

from gradlab import Config, sweep

ILL = Config(depth=20, width=64, lr=0.03, batch_size=16)
COURTS = {
    "mild": ILL.replace(gain=1.2),
    "severe": ILL.replace(gain=1.5),
    "chaotic": ILL.replace(activation="tanh", init="normal", gain=3.0),
}
TREATMENTS = {
    "nothing": {},
    "accumulate: mean of 4": {"accumulation": "mean"},
    "one batch of 64": {"batch_size": 64},
    "accumulate: sum of 4": {"accumulation": "sum"},
    "running sum": {"carry_over": "running_sum"},
    "previous gradient": {"carry_over": "delayed"},
    "sum of entries": {"carry_over": "scalar_sum"},
    "clip": {"clip": "global_norm"},
    "init: gain 1": {"gain": 1.0},
}
SAMPLES = 4608


def tried(config, over, seeds):
    """Return how many of the seeds learn and survive at each setting."""
    per_step = config.batch_size * (config.accumulation_steps if config.accumulation != "none" else 1)
    found = sweep(config, over=over, steps=SAMPLES // per_step, seeds=seeds, learned_below=0.5, progress=False)
    return [(len(seeds) * found.over_seeds(name)).round().astype(int) for name in ("learned", "survived")]


def judged(config, clipped):
    """Return the best of six settings on eight seeds, what all six gave, and the best on 24 fresh seeds."""
    over = {"lr": [0.01, 0.03, 0.1], "clip_threshold": [10.0, 100.0]}
    if not clipped:
        over = {"lr": [0.001, 0.003, 0.01, 0.03, 0.1, 0.3]}
    learned, survived = tried(config, over, range(8))
    place = np.unravel_index(np.argmax(8.5 * learned + survived), learned.shape)
    best = {knob: values[i] for (knob, values), i in zip(over.items(), place, strict=True)}
    fresh = tried(config, {knob: [value] for knob, value in best.items()}, range(8, 32))
    return best, learned.ravel().tolist(), [int(count.item()) for count in fresh]


def main(courts):
    torch.set_num_threads(1)
    for court in courts or COURTS:
        print(f"{court}: treatment, learned of 8 per setting, best setting, of 24 fresh seeds learned and alive")
        for name, knobs in TREATMENTS.items():
            best, learned, (able, alive) = judged(COURTS[court].replace(**knobs), name == "clip")
            print(f"  {name:22} {learned}  {best}  {able} learned, {alive} alive", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
