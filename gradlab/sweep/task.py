"""`Task`: networks that are trained together, planned here and run anywhere; it pickles."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from math import ceil, prod
from typing import Any

import torch

from gradlab.config import Config
from gradlab.data import DATASETS, Loss
from gradlab.network import NORMS
from gradlab.rules.carry_over import CARRY_OVERS
from gradlab.rules.clipping import CLIPS
from gradlab.sweep import stackoptim
from gradlab.sweep.alone import train_alone
from gradlab.sweep.blueprint import STACKED_NORMS, is_entrywise
from gradlab.sweep.feed import micro_batches
from gradlab.sweep.grid import Grid
from gradlab.sweep.outcome import Outcome
from gradlab.sweep.stack import EVALUATED_AT_ONCE, train_stacked
from gradlab.sweep.stackrules import STACKED_CARRY_OVERS, STACKED_CLIPS

Work = Generator[int, None, list[Outcome]]

MOST_STACKED = 128  # a larger stack is no faster, and results would come later
_LEAST_INPUTS = 64
_TABLES = ("dataset", "architecture", "activation", "norm", "init", "optimizer", "accumulation", "carry_over", "clip")


@dataclass(frozen=True, eq=False)
class Task:
    """Networks trained together, or one that is trained alone.

    Attributes
    ----------
    numbers : tuple of int
        The networks' numbers in the sweep's `Grid`.
    configs : tuple of Config
        One per network.
    steps : int
        Optimizer steps; 0 only measures the networks at init.
    learned_below : float
        Evaluation loss below which a network has learned.
    alone : str
        Why the network is not stacked; empty for a stack.
    refused : str
        Why the network has no config: values accepted one by one but not together.
    data, loss
        As `Trainer` takes them.
    process : int
        The process that planned it: elsewhere torch is held to one thread, so workers do not fight for cores.
    """

    numbers: tuple[int, ...]
    configs: tuple[Config, ...]
    steps: int
    learned_below: float
    alone: str = ""
    refused: str = ""
    data: Any = None
    loss: Loss | None = None
    process: int = 0

    @property
    def network_steps(self) -> int:
        """Steps times networks: the task's share of a progress bar."""
        return len(self.numbers) * max(self.steps, 1)


def run_here(task: Task) -> Work:
    """Train a task's networks; yield the network-steps done as they are done, return the outcomes.

    An exception is recorded in the network it belongs to. A stack that fails as a whole is trained network by
    network instead, which finds the one to blame.
    """
    why = task.alone
    if task.refused:
        return [failed(task.refused)]
    if not why:
        try:
            return (yield from train_stacked(task.configs, task.steps, task.learned_below, task.data))
        except Exception as error:
            why = f"the stack failed ({type(error).__name__}: {error})"
    outcomes = []
    for config in task.configs:
        outcomes.append((yield from _train_one(config, task, why)))
    return outcomes


def _train_one(config: Config, task: Task, why: str) -> Generator[int, None, Outcome]:
    try:
        return (yield from train_alone(config, task.steps, task.learned_below, task.data, task.loss, why))
    except Exception as error:
        return failed(f"{type(error).__name__}: {error}", why)


def run_in_worker(task: Task) -> list[Outcome]:
    """Train a task's networks to the end: what an executor is given."""
    if os.getpid() != task.process:
        torch.set_num_threads(1)
        if missing := next(filter(None, map(_unregistered, task.configs)), ""):
            return [failed(missing, task.alone)] * len(task.numbers)
    work = run_here(task)
    while True:
        try:
            next(work)
        except StopIteration as done:
            return done.value


def failed(error: str, why: str = "") -> Outcome:
    """Return the outcome of a network that an exception ended."""
    return Outcome(how=f"alone: {why}" if why else "stacked", error=error)


def _unregistered(config: Config) -> str:
    """Say which choice of a config is in no table of this process; empty if all are."""
    for name in _TABLES:
        choices, value = Config.knobs()[name].choices, getattr(config, name)
        if value not in (choices or ()):
            return (
                f"{name}={value!r} is not registered in the worker process, which has {', '.join(choices or ())}; "
                "register it in a module that the workers import too, or sweep with executor=None"
            )
    return ""


# ---------------------------------------------------------------------- planning
def plan(
    grid: Grid, wanted: Iterable[int], steps: int, learned_below: float, max_bytes: int, data: Any, loss: Loss | None
) -> list[Task]:
    """Divide the wanted networks of a grid into tasks, the same ones wherever they are run.

    Networks of one shape are stacked, as many at a time as fit into `max_bytes` and at most `MOST_STACKED`. A
    network whose config is not accepted gets a task that says so.
    """
    groups: dict[Any, list[tuple[int, Config]]] = {}
    tasks, common = [], (steps, learned_below)
    for number in wanted:
        try:
            config = grid.config_of(number)
        except ValueError as error:
            tasks.append(Task((number,), (), *common, refused=str(error)))
            continue
        groups.setdefault(stack_signature(config), []).append((number, config))
    for members in groups.values():
        first = members[0][1]
        most = min(MOST_STACKED, max_bytes // bytes_per_network(first, data))
        reason = why_alone(first, loss) or ("" if len(members) > 1 else "no other network of its shape")
        reason = reason or ("" if most > 1 else f"a stack of two would take more than max_bytes={max_bytes}")
        for part in _parts(members, 1 if reason else most):
            numbers, configs = zip(*part, strict=True)
            tasks.append(Task(numbers, configs, *common, reason, "", data, loss, os.getpid()))
    return sorted(tasks, key=lambda task: task.numbers[0])


def _parts(members: list[tuple[int, Config]], most: int) -> list[list[tuple[int, Config]]]:
    """Split into equal parts of at most `most`."""
    size = ceil(len(members) / ceil(len(members) / most))
    return [members[i : i + size] for i in range(0, len(members), size)]


def stack_signature(config: Config) -> tuple[Any, ...]:
    """Return what networks must have in common to be stacked."""
    clipped = (config.clip, config.clip_order) if config.clip != "none" else ("none", "")
    return (
        *(config.depth, config.width, config.activation, config.norm, config.residual, config.dtype),
        *(
            config.architecture,
            config.dataset,
            config.sequence_length,
            config.n_samples,
            config.batch_size,
            micro_batches(config),
        ),
        *(config.optimizer, *stackoptim.variant(config), config.carry_over, config.nonfinite, *clipped),
    )


def why_alone(config: Config, loss: Loss | None) -> str:
    """Say what keeps a network from being stacked; empty if nothing does."""
    if config.architecture != "mlp" or DATASETS[config.dataset].options.get("every_step"):
        return f"architecture={config.architecture!r} on dataset={config.dataset!r} has no stacked form"
    if config.warmup:
        return f"warmup={config.warmup} has no stacked form"
    if loss is not None:
        return "an own loss has no stacked form"
    if not is_entrywise(config.activation):
        return f"activation={config.activation!r} does not map each entry alone"
    if not stackoptim.is_stackable(config):
        return f"optimizer={config.optimizer!r} has no stacked form"
    for name, table, stacked in (
        ("norm", NORMS, STACKED_NORMS),
        ("clip", CLIPS, STACKED_CLIPS),
        ("carry_over", CARRY_OVERS, STACKED_CARRY_OVERS),
    ):
        if table[getattr(config, name)].function not in stacked:
            return f"{name}={getattr(config, name)!r} has no stacked form"
    return ""


def bytes_per_network(config: Config, data: Any = None) -> int:
    """Estimate the memory one stacked network takes while it trains: weights in their copies, and activations."""
    inputs = prod(data[0].shape[1:]) if data is not None else _LEAST_INPUTS
    weights = config.width * (inputs + config.depth * (config.width + 3))
    copies = 14 if config.nonfinite == "skip" else 10
    samples = max(config.batch_size, EVALUATED_AT_ONCE)
    tensors = 5 if config.norm == "none" else 9
    entries = copies * weights + samples * (tensors * config.width * (config.depth + 1) + 2 * inputs)
    return entries * config.torch_dtype.itemsize
