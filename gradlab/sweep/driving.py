"""Running tasks: here, step by step, or through any `concurrent.futures.Executor`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, wait
from typing import NamedTuple

from gradlab.sweep.outcome import Outcome
from gradlab.sweep.task import Task, failed, run_here, run_in_worker

_POLL = 0.2  # seconds between looks at the stop flag
_TRIALS = 2
_GIVEN_UP = "KilledWorker"  # dask's word for a task that several workers died of


class Event(NamedTuple):
    """Something that happened in a running sweep.

    Attributes
    ----------
    network_steps : int
        Steps times networks done since the last event.
    task : Task or None
        The task that is finished, None while one goes on.
    outcomes : list of Outcome
        One per network of the finished task.
    note : str
        What went wrong without costing a result; empty as a rule.
    """

    network_steps: int
    task: Task | None = None
    outcomes: Sequence[Outcome] = ()
    note: str = ""


def drive(tasks: Sequence[Task], executor: Executor | None, stopped: Callable[[], bool]) -> Iterator[Event]:
    """Run tasks and yield what happens; a task cut short by `stopped` is dropped whole."""
    if executor is None:
        yield from _drive_here(tasks, stopped)
    else:
        yield from _drive_executor(tasks, executor, stopped)


def _drive_here(tasks: Sequence[Task], stopped: Callable[[], bool]) -> Iterator[Event]:
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


def _drive_executor(tasks: Sequence[Task], executor: Executor, stopped: Callable[[], bool]) -> Iterator[Event]:
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
                yield from _drive_here([left.pop(0)], stopped)
            for future in wait(running, timeout=_POLL, return_when=FIRST_COMPLETED).done:
                task = running.pop(future)
                event = _collect(future, task)
                if event.task is None:
                    left.append(task)
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
            return Event(task.network_steps, task, [failed(f"{_text(error)}")] * len(task.numbers))
        return Event(0, note=f"a worker was lost ({_text(error)}); its networks ran again")


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".strip()
