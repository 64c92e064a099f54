"""How fast training plays, on a clock that the test moves."""

import pytest
import torch

from gradlab import Config, Trainer
from gradlab.locale import Text
from gradlab.panel import pace


class Clock:
    """Stands for the module `time` in `pace`."""

    def __init__(self):
        self.now = self.computed = 0.0

    def monotonic(self):
        return self.now

    def thread_time(self):
        return self.computed


@pytest.fixture
def played(monkeypatch):
    """Play 30 steps in two seconds, of which the thread computes so many, with so many threads; return the pace."""

    def play(computed, threads):
        clock, trainer, found = Clock(), Trainer(Config(depth=2, width=4)), pace.Pace()
        monkeypatch.setattr(pace, "time", clock)
        monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
        found.see(trainer, playing=True)
        trainer.run(30)
        clock.now, clock.computed = 2.0, computed
        found.see(trainer, playing=True)
        return found

    return play


def test_steps_per_second_are_those_of_the_time_that_passed(played):
    assert played(computed=1.0, threads=1).speed == 15.0


@pytest.mark.parametrize(("computed", "threads", "advised"), [(1.0, 2, True), (1.9, 2, False), (1.0, 1, False)])
def test_threads_that_wait_for_one_another_are_told_of(played, computed, threads, advised):
    advice = played(computed, threads).advice(Text("en"))
    assert ("50% of the time torch's 2 threads wait" in advice) if advised else advice == ""


def test_a_pause_does_not_count(monkeypatch):
    clock, trainer, found = Clock(), Trainer(Config(depth=2, width=4)), pace.Pace()
    monkeypatch.setattr(pace, "time", clock)
    found.see(trainer, playing=True)
    clock.now = 100.0
    found.see(trainer, playing=False)
    trainer.run(5)
    clock.now = 102.5
    found.see(trainer, playing=True)
    assert found.speed == 2.0
