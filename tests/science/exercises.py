"""Who passes the exercises, counted: answers, guesses, wrong ideas. `python -m tests.science.exercises [NAME ...]`.

An exercise is fair if what is right passes from whatever seeds, what is guessed hardly ever, and what keeps the fault
never. Each attempt is trained from seeds that no exercise uses, and the share of sets of as many seeds as the check
takes on which it would pass is counted exactly (hypergeometric). A guess is a student's who moves as many of the free
controls as the rules allow, each to anywhere on its slider (or to any other choice), and reads nothing.
"""

import argparse
import os
import random
from itertools import islice
from math import comb, exp, log
from time import process_time
from types import SimpleNamespace

import torch

from gradlab import Config
from gradlab.config import SEEDS
from gradlab.exercise import EXERCISES, exercise
from gradlab.exercise.result import train
from gradlab.exercise.tasks import AT_INIT
from gradlab.sweep.grid import Training
from gradlab.sweep.schedule import Task, run_in_worker, stack_signature

FRESH = 1000  # the first seed; the exercises' own are below 100

ANSWERS = {
    "rescue-30": [{"gain": 1.0, "clip": "global_norm"}, {"gain": 1.0}],
    "deep-sigmoid": [{"residual": True, "lr": 0.05}, {"gain": 8.0, "lr": 0.05}],
    "dead-relus": [{"lr": 0.003}],
    "learning-rate": [{"lr": 0.0165}],
    "forgotten-division": [
        {"accumulation": "mean", "accumulation_steps": 8},
        {"accumulation": "naive_mean", "accumulation_steps": 8},
    ],
    "clip-order": [{"clip": "global_norm", "clip_order": "after"}],
    "batch-norm-depth": [{"residual": True, "lr": 0.03}],
    "no-clipping": [{"clip": "none", "gain": 1.0}],
    "two-changes": [{"init": "kaiming", "clip_threshold": 1.0}, {"init": "kaiming", "clip": "none"}],
    "remember-40": [{"recurrent_gain": 1.0, "gain": 0.3}],
    "choose-the-clip": [{"clip": "global_norm", "clip_threshold": 1.5}],
    "post-ln-12": [{"lr": 0.001, "warmup": 30}],
}
"""What is right, the reference first, then where the hints lead."""

WRONG = {
    "rescue-30": [
        {"init": "orthogonal"},
        {"init": "pytorch"},
        {"init": "xavier", "lr": 1e-3},
        {"clip": "global_norm", "lr": 1e-3},
        {"accumulation": "mean", "lr": 1e-5},
        {"carry_over": "running_sum"},
        {"carry_over": "delayed", "clip": "value"},
        {"accumulation": "mean", "clip": "global_norm", "carry_over": "scalar_sum"},
    ],
    "deep-sigmoid": [{"lr": 1.0}, {"lr": 10.0}, {"norm": "layer", "lr": 0.05}, {"init": "orthogonal", "lr": 0.3}],
    "dead-relus": [{"clip": "global_norm"}, {"gain": 0.1}, {"clip": "value"}, {"init": "orthogonal"}],
    "learning-rate": [{"lr": 0.1}, {"lr": 1e-3}],
    "forgotten-division": [
        {"accumulation": "mean"},
        {"accumulation_steps": 8},
        {"accumulation_steps": 8, "clip": "global_norm"},
        {"accumulation_steps": 1},
        {"clip": "global_norm", "clip_threshold": 0.1},
    ],
    "clip-order": [{"clip_order": "after"}, {"clip": "global_norm"}, {"clip": "none"}, {"clip": "value"}],
    "batch-norm-depth": [
        {"residual": True},
        {"lr": 0.1},
        {"gain": 0.5, "lr": 0.1},
        {"init": "orthogonal", "lr": 0.1},
    ],
    "no-clipping": [{"clip": "none"}, {"clip": "none", "lr": 1e-4}]
    + [{"clip": "none", "init": init} for init in ("orthogonal", "pytorch", "xavier", "normal")],
    "two-changes": [{"init": "kaiming"}, {"clip": "none"}, {"lr": 10.0}, {"lr": 10.0, "momentum": 0.9}],
    "remember-40": [
        {"recurrent_gain": 1.0},
        {"recurrent_gain": 1.0, "clip": "global_norm"},
        {"recurrent_gain": 1.0, "bias_std": 0.3},
        {"gain": 0.3},
        {"gain": 0.3, "bias_std": 0.3},
    ],
    "choose-the-clip": [
        {"clip": "global_norm"},
        {"clip": "global_norm", "clip_threshold": 1e-3},
        {"clip": "value", "clip_threshold": 1.0},
        {},
    ],
    "post-ln-12": [{"warmup": 30}, {"clip": "global_norm"}, {"residual_init": "zero"}, {"warmup": 500}],
}
"""What keeps the fault: the rules allow each, and none may pass on any set of seeds."""


def guess(name, draw):
    """Return the changes of a student who moves what may be moved at random."""
    setup = exercise(name).setup
    forced = [field for field, values in setup.only.items() if getattr(setup.config, field) not in values]
    others = [field for field in setup.may if field not in forced]
    most = len(setup.may) if setup.most_changes is None else setup.most_changes
    return {field: value_of(setup, field, draw) for field in [*forced, *draw.sample(others, most - len(forced))]}


def value_of(setup, field, draw):
    """Return anything on a control but where it stands."""
    knob, now = Config.knobs()[field], getattr(setup.config, field)
    if isinstance(now, bool):
        return not now
    if knob.choices is not None:
        shipped = [name for name in knob.choices if getattr(knob.choices, "shipped", lambda _: True)(name)]
        return draw.choice([value for value in setup.only.get(field, shipped) if value != now])
    low, high, scale = knob.slider
    value = draw.uniform(low, high) if scale == "linear" else exp(draw.uniform(log(low), log(high)))
    return round(value) if isinstance(now, int) else value


def stacked(configs, steps):
    """Return the outcome of each config, those of one shape trained together."""
    groups, found = {}, {}
    for number, config in enumerate(configs):
        groups.setdefault(stack_signature(config), []).append(number)
    for numbers in groups.values():
        task = Task(tuple(numbers), tuple(configs[n] for n in numbers), Training(steps, 0.0), process=os.getpid())
        found.update(zip(numbers, run_in_worker(task), strict=True))
    return [found[number] for number in range(len(configs))]


def reaching(setup, configs):
    """Return which configs, each with its seed, reach all goals: by what is known at init first, which is cheap."""
    before = [goal for goal in setup.goals if goal.measure in AT_INIT]
    after = [goal for goal in setup.goals if goal.measure not in AT_INIT]
    left = [n for n, config in enumerate(configs) if not before or met(before, config, 1)]
    limits = [goal.at_most for goal in after if goal.measure == "loss"]
    ends = stacked([configs[n] for n in left], setup.steps)
    left = [n for n, end in zip(left, ends, strict=True) if end.survived == 1 and end.eval_loss <= min(limits)]
    only_loss = all(goal.measure == "loss" for goal in after)
    return {n for n in left if only_loss or met(after, configs[n], setup.steps)}


def met(goals, config, steps):
    """Whether one network, trained alone, reaches some goals."""
    run = train(config, config.weight_seed, steps)
    return all(goal.met(getattr(run, goal.measure)) for goal in goals)


def seeded(config, seed):
    return config.replace(**dict.fromkeys(SEEDS, seed))


def share_passing(name, attempts, seeds):
    """Return, for each attempt, the share of sets of seeds on which the check would pass it.

    Two seeds first; who fails on both is given up, the others are trained from all the rest at once.
    """
    setup = exercise(name).setup
    config, n, few = setup.config, len(setup.seeds), len(setup.seeds) - setup.needed + 1
    right = [0] * len(attempts)

    def train_from(chosen, numbers):
        pairs = [(i, FRESH + number) for i in chosen for number in numbers]
        reached = reaching(setup, [seeded(config.replace(**attempts[i]), seed) for i, seed in pairs])
        for place in reached:
            right[pairs[place][0]] += 1

    train_from(range(len(attempts)), range(few))
    left = [i for i, reached in enumerate(right) if reached]
    train_from(left, range(few, seeds))
    return [share(right[i], seeds, n, setup.needed) if i in left else 0.0 for i in range(len(attempts))]


def share(right, tried, n, needed):
    """Return the share of sets of n of the tried seeds with at least `needed` right ones."""
    return sum(comb(right, k) * comb(tried - right, n - k) for k in range(needed, n + 1)) / comb(tried, n)


def allowed(config, changes):
    """Whether the values are accepted together."""
    try:
        config.replace(**changes)
    except ValueError:
        return False
    return True


def guesses(name, number, seed=0):
    """Return so many guesses that can be trained."""
    draw, config = random.Random(f"{name} {seed}"), exercise(name).config
    endless = (guess(name, draw) for _ in iter(int, 1))
    return list(islice((changes for changes in endless if allowed(config, changes)), number))


def count(name, seeds, number):
    """Return what passes of an exercise: the worst answer, the share of guesses, the best wrong idea."""
    answers = share_passing(name, ANSWERS[name], seeds)
    wrong = share_passing(name, WRONG[name], seeds)
    lucky = share_passing(name, guesses(name, number), len(exercise(name).setup.seeds))
    return SimpleNamespace(answers=answers, wrong=wrong, lucky=sum(lucky) / len(lucky))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(EXERCISES)}; all of them by default")
    parser.add_argument("--seeds", type=int, default=48)
    parser.add_argument("--guesses", type=int, default=200)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    print("| exercise | answers that pass, the worst | guesses | wrong ideas, the best | s |\n|---|---|---|---|---|")
    for name in options.names or EXERCISES:
        begun, found = process_time(), count(name, options.seeds, options.guesses)
        shares = f"{min(found.answers):.1%} | {found.lucky:.1%} | {max(found.wrong):.1%}"
        print(f"| {name} | {shares} | {process_time() - begun:.0f} |", flush=True)


if __name__ == "__main__":
    main()
