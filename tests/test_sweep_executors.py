"""Sweeps beyond one process: the same results wherever they run, and nothing lost with a worker."""

import multiprocessing
import os
import signal
import threading
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
from torch.nn import functional as F

from gradlab import Config
from gradlab.sweep import MEASURES, Sweep, sweep

SMALL = Config(n_samples=48, batch_size=16, depth=3, width=6)
OVER = {"depth": [1, 2, 3], "lr": [0.05, 1e37]}


def assert_same(found, expected):
    assert found.finished
    assert found.how == expected.how
    assert found.errors == expected.errors
    for name in MEASURES:
        assert np.array_equal(found.column(name), expected.column(name), equal_nan=True), name


@pytest.fixture(scope="module")
def here():
    return sweep(SMALL, OVER, 5, 2, progress=False)


@pytest.fixture(scope="module")
def pool():
    """One worker, as each one started costs seconds; the last of the tests kills it."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        yield executor


def test_a_pool_of_processes_gives_bit_for_bit_the_same_results(pool, here):
    assert_same(sweep(SMALL, OVER, 5, 2, executor=pool, progress=False), here)


class Backwards(Executor):
    """Runs what it is given only when all of it has come, the last first."""

    def __init__(self, expected):
        self.expected, self.waiting = expected, []

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        self.waiting.append((future, fn, args))
        if len(self.waiting) == self.expected:
            for last, function, given in reversed(self.waiting):
                last.set_result(function(*given))
        return future


def test_the_order_in_which_tasks_finish_does_not_matter(here):
    assert_same(sweep(SMALL, OVER, 5, 2, executor=Backwards(3), progress=False), here)


def test_threads_work_too(here):
    with ThreadPoolExecutor(2) as executor:
        assert_same(sweep(SMALL, OVER, 5, 2, executor=executor, progress=False), here)


class Forgetful(Executor):
    """Loses the first task it is given, as a cluster loses a worker, and takes it the next time."""

    def __init__(self):
        self.seen = []

    def submit(self, fn, /, task):
        future = Future()
        self.seen.append(task.numbers)
        if len(self.seen) == 1:
            future.set_exception(ConnectionError("the worker is gone"))
        else:
            future.set_result(fn(task))
        return future


def test_what_a_lost_worker_had_is_handed_over_again(here):
    executor = Forgetful()
    found = sweep(SMALL, OVER, 5, 2, executor=executor, progress=False)
    assert_same(found, here)
    assert executor.seen.count(executor.seen[0]) == 2
    assert found.notes == ["a worker was lost (ConnectionError: the worker is gone); its networks ran again"]


def test_a_loss_that_cannot_be_pickled_runs_in_this_process_and_the_note_says_so(pool):
    def doubled(output, y):
        return 2 * F.cross_entropy(output, y)

    found = sweep(SMALL, {"gain": [1.0]}, 2, 1, executor=pool, progress=False, loss=doubled)
    assert found.finished
    assert not found.errors
    assert len(found.notes) == 1
    assert found.notes[0].startswith("the loss cannot be pickled (")
    assert found.notes[0].endswith("its networks ran in this process")


def test_stop_does_not_wait_for_the_workers():
    release = threading.Event()
    executor = ThreadPoolExecutor(1)
    executor.submit(release.wait)
    found = Sweep(SMALL, OVER, steps=5, seeds=2)
    threading.Timer(0.3, found.stop).start()
    found.run(executor, progress=False)
    assert not found.done.any()
    release.set()
    executor.shutdown()


def test_a_process_killed_half_way_loses_nothing(pool):
    """The pool is broken for good then: what it had, and all that was waiting, runs in this process."""
    over = {"depth": [1, 2, 3], "lr": [0.05, 0.1]}
    expected = sweep(SMALL, over, 80, 2, progress=False)
    found = Sweep(SMALL, over, steps=80, seeds=2)
    pid = pool.submit(os.getpid).result()
    found.run(pool, progress=False, callback=lambda s: os.kill(pid, signal.SIGKILL) if s.done.sum() == 4 else None)
    assert_same(found, expected)
    assert any("BrokenProcessPool" in note for note in found.notes)


# ---------------------------------------------------------------------- a real cluster
@pytest.fixture(scope="module")
def cluster():
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50) as local,
        Client(local) as client,
    ):
        yield client


def test_a_dask_cluster_gives_the_same_results_and_a_killed_worker_loses_nothing(cluster):
    over = {"depth": [1, 2, 3, 4, 5, 6], "lr": [0.05]}
    expected = sweep(SMALL, over, 100, 2, progress=False)
    pids = cluster.run(os.getpid)
    killed = []

    def kill_one(found):
        busy = [address for address, tasks in cluster.processing().items() if tasks]
        if busy and not killed:
            killed.append(pids[busy[0]])
            os.kill(killed[0], signal.SIGKILL)

    found = Sweep(SMALL, over, steps=100, seeds=2)
    found.run(cluster.get_executor(), progress=False, callback=kill_one)
    assert_same(found, expected)
    assert killed[0] not in cluster.run(os.getpid).values()
