"""`Task`: networks that are trained together, planned here and run anywhere, by any executor; it pickles."""

from __future__ import annotations

import math
import os
import pickle
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, wait
from dataclasses import dataclass, field
from math import ceil, prod
from typing import Any, NamedTuple

import torch

from gradlab.config import Config
from gradlab.engine import Trainer
from gradlab.growth import growth_per_layer
from gradlab.history import StepRecord
from gradlab.network import ARCHITECTURES
from gradlab.registry import Registry
from gradlab.sweep.grid import Grid, Outcome, Training, is_learned
from gradlab.sweep.stack import EVALUATED_AT_ONCE, train_stacked

MOST_STACKED = 256  # a larger stack is hardly faster, and results would come later
_LEAST_INPUTS = 64
_POLL = 0.2  # seconds between looks at the stop flag
_TRIALS = 2
_GIVEN_UP = "KilledWorker"  # dask's word for a task that several workers died of


@dataclass(frozen=True, eq=False)
class Task:
    """Networks trained together, or one that is trained alone."""

    numbers: tuple[int, ...]  # the networks' numbers in the sweep's `Grid`
    configs: tuple[Config, ...]  # one per network
    training: Training
    alone: str = ""  # why the network is not stacked; empty for a stack
    refused: str = ""  # why the network has no config: values accepted one by one but not together
    # the process that planned it: elsewhere torch is held to one thread, so workers do not fight for cores
    process: int = field(default_factory=os.getpid)

    @property
    def network_steps(self) -> int:
        """Steps times networks: the task's share of a progress bar."""
        return len(self.numbers) * max(self.training.steps, 1)


# ---------------------------------------------------------------------- planning
def plan(grid: Grid, wanted: Iterable[int], training: Training, max_bytes: int) -> list[Task]:
    """Divide the wanted networks of a grid into tasks, the same ones wherever they are run.

    Networks of one shape are stacked, as many at a time as fit into `max_bytes` and at most `MOST_STACKED`. A
    network whose config is not accepted gets a task that says so.
    """
    groups: dict[Any, list[tuple[int, Config]]] = {}
    tasks = []
    for number in wanted:
        try:
            config = grid.config_of(number)
        except ValueError as error:
            tasks.append(Task((number,), (), training, refused=str(error)))
        else:
            groups.setdefault(stack_signature(config), []).append((number, config))
    for members in groups.values():
        most = min(MOST_STACKED, max_bytes // bytes_per_network(members[0][1], training.data))
        reason = "" if len(members) > 1 else "no other network of its shape"
        reason = reason or ("" if most > 1 else f"a stack of two would take more than max_bytes={max_bytes}")
        if not training.steps and ARCHITECTURES[members[0][1].architecture].options.get("recurrent"):
            reason = "at init its growth is that through time"
        reason = reason or why_alone([config for _, config in members], training)
        size = ceil(len(members) / ceil(len(members) / (1 if reason else most)))  # of equal parts
        for start in range(0, len(members), size):
            numbers, configs = zip(*members[start : start + size], strict=True)
            tasks.append(Task(numbers, configs, training, reason))
    return sorted(tasks, key=lambda task: task.numbers[0])


_MAY_DIFFER = (
    *("noise", "data_seed", "weight_seed", "batch_seed", "init", "gain", "bias_std"),
    *("recurrent_init", "recurrent_gain", "forget_bias", "residual_init"),
    *("lr", "momentum", "weight_decay", "clip_threshold", "accumulation", "accumulation_steps"),
)


def stack_signature(config: Config) -> tuple[Any, ...]:
    """Return what networks must have in common to be stacked: all but what each row may have of its own."""
    unused = {"clip_order": "after"} if config.clip == "none" else {}
    alike = {name: value for name, value in config.to_dict().items() if name not in _MAY_DIFFER}
    # torch leaves the terms of momentum and weight decay out where they are 0
    return (*(alike | unused).values(), config.micro_batches, config.momentum != 0.0, config.weight_decay != 0.0)


def why_alone(configs: Sequence[Config], training: Training) -> str:
    """Say what keeps networks of one shape from being stacked; empty if nothing does.

    The tables' own entries can be mapped over multilayer perceptrons. With others, a loss of somebody's own or
    another architecture, two networks are tried both ways.
    """
    tables = {name: knob.choices for name, knob in Config.knobs().items() if isinstance(knob.choices, Registry)}
    chosen = [(name, getattr(config, name)) for config in configs for name in tables]
    own = [f"{name}={value!r}" for name, value in dict.fromkeys(chosen) if not tables[name][value].shipped]
    own += [f"architecture={configs[0].architecture!r}"] * (configs[0].architecture != "mlp")
    own += ["an own loss"] * (training.loss is not None)
    if configs[0].half_dtype is not None or configs[0].loss_scale != 1.0:
        return "half precision and loss scales are not mapped over networks"
    if not own:
        return ""
    tried = [config.replace(nonfinite="continue") for config in (configs[0], configs[-1])]
    two_steps = training._replace(steps=2)
    try:
        stacked = _finish(train_stacked(tried, two_steps))
        alone = [_finish(train_alone(config, two_steps)) for config in tried]
    except Exception as error:
        return f"{' and '.join(own)} cannot be mapped over networks ({_text(error):.120})"
    same = all(map(_agree, stacked, alone))
    return "" if same else f"{' and '.join(own)} mapped over networks gives other numbers than alone"


def _agree(stacked: Outcome, alone: Outcome) -> bool:
    # rounding in float32 after two steps stays far below a thousandth, another rule does not
    names = ("first_loss", "first_norm", "first_delta", "final_loss", "final_norm", "eval_loss")
    pairs = [(getattr(stacked, name), getattr(alone, name)) for name in names]
    return all(math.isclose(a, b, rel_tol=1e-3, abs_tol=1e-12) or not math.isfinite(a + b) for a, b in pairs)


def bytes_per_network(config: Config, data: Any = None) -> int:
    """Estimate the memory one stacked network takes while it trains: weights in their copies, and activations."""
    inputs = prod(data[0].shape[1:]) if data is not None else _LEAST_INPUTS
    weights = config.width * (inputs + config.depth * (config.width + 3))
    copies = 14 if config.nonfinite == "skip" else 10
    samples = max(config.batch_size, EVALUATED_AT_ONCE)
    tensors = 5 if config.norm == "none" else 9
    if config.architecture != "mlp":  # several matrices a layer, at every time step or place of an image
        weights, tensors = 8 * weights, 8 * tensors * max(config.sequence_length, _LEAST_INPUTS)
    entries = copies * weights + samples * (tensors * config.width * (config.depth + 1) + 2 * inputs)
    return entries * config.torch_dtype.itemsize


# ---------------------------------------------------------------------- running one task
def run_here(task: Task) -> Generator[int, None, list[Outcome]]:
    """Train a task's networks; yield the network-steps done as they are done, return the outcomes.

    An exception is recorded in the network it belongs to. A stack that fails as a whole is trained network by
    network instead, which finds the one to blame.
    """
    why = task.alone
    if task.refused:
        return [_failed(task.refused)]
    if not why:
        try:
            return (yield from train_stacked(task.configs, task.training))
        except Exception as error:
            why = f"the stack failed ({type(error).__name__}: {error})"
    outcomes = []
    for config in task.configs:
        try:
            outcomes.append((yield from train_alone(config, task.training, why)))
        except Exception as error:
            outcomes.append(_failed(f"{type(error).__name__}: {error}", why))
    return outcomes


def run_in_worker(task: Task) -> list[Outcome]:
    """Train a task's networks to the end: what an executor is given."""
    if os.getpid() != task.process:
        torch.set_num_threads(1)
        if missing := next(filter(None, map(_unregistered, task.configs)), ""):
            return [_failed(missing, task.alone)] * len(task.numbers)
    return _finish(run_here(task))


def _finish(work: Generator[int, None, Any]) -> Any:
    """Run to the end and return what is returned."""
    while True:
        try:
            next(work)
        except StopIteration as done:
            return done.value


def _failed(error: str, why: str = "") -> Outcome:
    """Return the outcome of a network that an exception ended."""
    return Outcome(how=f"alone: {why}" if why else "stacked", error=error)


def _unregistered(config: Config) -> str:
    """Say which choice of a config is in no table of this process; empty if all are."""
    for name, knob in Config.knobs().items():
        choices, value = knob.choices, getattr(config, name)
        if choices is not None and value not in choices:
            return (
                f"{name}={value!r} is not registered in the worker process, which has {', '.join(choices)}; "
                "register it in a module that the workers import too, or sweep with executor=None"
            )
    return ""


# ---------------------------------------------------------------------- one network by a Trainer of its own
def train_alone(config: Config, training: Training, why: str = "") -> Generator[int, None, Outcome]:
    """Train one network; yield 1 after each step and return its `Outcome`.

    With 0 `steps` one step is taken only to measure the network as it was before it; of a recurrent one the growth
    is then that per time step, in the last layer.
    """
    steps, trainer = training.steps, Trainer(config, data=training.data, loss=training.loss)
    clipped, diverged_at = 0, math.nan
    for _ in range(max(steps, 1)):
        record = trainer.step()
        clipped += math.isfinite(record.clip_coef) and record.clip_coef != 1.0
        diverged_at = _trouble_at(trainer, record) if math.isnan(diverged_at) else diverged_at
        yield 1
        if trainer.stopped:
            break
    first, record = trainer.history[0], trainer.history[-1]
    if not steps:
        diverged_at = math.nan if _is_finite(record) else 0.0
    delta, last = first.delta_norm[0], first.delta_norm[max(config.depth - 1, 0)]
    growth = growth_per_layer(delta, last, config.depth)
    if not steps and first.time_norm.size:
        ends = first.time_norm[-1]
        growth = growth_per_layer(ends[0], ends[-1], len(ends))
    found = {"growth": float(growth)}
    found |= {"first_delta": float(delta), "first_norm": first.total_norm, "first_loss": first.loss}
    found |= {"final_delta": float(record.delta_norm[0]), "final_norm": record.total_norm, "final_loss": record.loss}
    found |= {"diverged_at": diverged_at, "steps": float(record.step + 1 if steps else 0)}
    if steps:
        found |= _at_end(trainer, record, training.learned_below) | {"clipped": clipped / (record.step + 1)}
    return Outcome(how=f"alone: {why}", **found)  # pyright: ignore[reportArgumentType]


def _at_end(trainer: Trainer, record: StepRecord, learned_below: float) -> dict[str, float]:
    found = trainer.evaluate()
    fine = _is_finite(record) and all(bool(torch.isfinite(p).all()) for p in trainer.network.parameters())
    survived = float(fine and not trainer.stopped and not _was_skipped(trainer, record))
    measures = {"eval_loss": found["loss"], "accuracy": found.get("accuracy", math.nan), "survived": survived}
    return measures | {"learned": is_learned(survived, found["loss"], learned_below)}


def _was_skipped(trainer: Trainer, record: StepRecord) -> bool:
    marks = trainer.history.marks
    return bool(marks) and (marks[-1].kind, marks[-1].step) == ("skipped", record.step)


def _trouble_at(trainer: Trainer, record: StepRecord) -> float:
    if trainer.history.diverged is not None:
        return float(trainer.history.diverged.step)
    return float(record.step) if _was_skipped(trainer, record) else math.nan


def _is_finite(record: StepRecord) -> bool:
    return all(map(math.isfinite, [record.loss, record.total_norm, *record.activation_std]))


# ---------------------------------------------------------------------- running all tasks
class Event(NamedTuple):
    """Something that happened in a running sweep."""

    network_steps: int  # steps times networks done since the last event
    task: Task | None = None  # the task that is finished, None while one goes on
    outcomes: Sequence[Outcome] = ()  # one per network of the finished task
    note: str = ""  # what went wrong without costing a result; empty as a rule


def run_tasks(tasks: Sequence[Task], executor: Executor | None, stopped: Callable[[], bool]) -> Iterator[Event]:
    """Run tasks and yield what happens; a task cut short by `stopped` is dropped whole."""
    return _run_tasks_here(tasks, stopped) if executor is None else _run_by_executor(tasks, executor, stopped)


def _run_tasks_here(tasks: Sequence[Task], stopped: Callable[[], bool]) -> Iterator[Event]:
    for task in tasks:
        work, done = run_here(task), 0
        try:
            while not stopped():
                try:
                    steps = next(work)
                except StopIteration as end:
                    yield Event(task.network_steps - done, task, end.value)
                    break
                done += steps
                yield Event(steps)
            else:
                return
        finally:
            work.close()


def _run_by_executor(tasks: Sequence[Task], executor: Executor, stopped: Callable[[], bool]) -> Iterator[Event]:
    """Hand tasks over; one that is lost is handed over once more, and then runs in this process."""
    running: dict[Future[list[Outcome]], Task] = {}
    left, trials = list(tasks), Counter[Task]()
    try:
        while (left or running) and not stopped():
            while left and trials[left[0]] < _TRIALS:
                trials[left[0]] += 1
                try:
                    running[executor.submit(run_in_worker, left[0])] = left[0]
                    del left[0]
                except Exception as error:
                    trials[left[0]] = _TRIALS
                    yield Event(0, note=f"the executor takes no more ({_text(error)}); the rest ran in this process")
            if left:
                yield from _run_tasks_here([left.pop(0)], stopped)
            for future in wait(running, timeout=_POLL, return_when=FIRST_COMPLETED).done:
                task = running.pop(future)
                event = _collect(future, task)
                if event.task is None:
                    left.append(task)
                    trials[task] = _TRIALS if _not_pickled(task) else trials[task]
                yield event
    finally:
        for future in running:
            future.cancel()


def _collect(future: Future[list[Outcome]], task: Task) -> Event:
    """Return a finished task's outcomes, or a note that it was lost: exceptions of a network are no loss."""
    try:
        return Event(task.network_steps, task, future.result())
    except (Exception, CancelledError) as error:
        if type(error).__name__ == _GIVEN_UP:
            return Event(task.network_steps, task, [_failed(_text(error))] * len(task.numbers))
        if what := _not_pickled(task):
            return Event(0, note=f"{what} cannot be pickled ({_text(error)}); its networks ran in this process")
        return Event(0, note=f"a worker was lost ({_text(error)}); its networks ran again")


def _not_pickled(task: Task) -> str:
    """Say what of a task cannot be sent to another process; empty if all can."""
    for what, part in (("the loss", task.training.loss), ("the data", task.training.data)):
        try:
            pickle.dumps(part)
        except Exception:  # whatever a __reduce__ of somebody's own raises
            return what
    return ""


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".strip()
