"""What a process holds: no thread or child by itself; copies that are whole or refused; a child that forked off."""

import copy
import os
import pickle
import subprocess
import sys
import threading

import pytest
import torch
from refusals import in_time, refusal
from torch import nn

from gradlab import Config, GradLab, Sweep, Trainer, compare, diagnose, exercise, replay_html, sweep, watch
from gradlab.exercise.result import Result

SMALL = Config(n_samples=24, batch_size=12, depth=2, width=4)
COPIES = {"copy": copy.copy, "deepcopy": copy.deepcopy, "pickle": lambda value: pickle.loads(pickle.dumps(value))}
each_copy = pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)


@pytest.mark.parametrize("knobs", [{}, {"architecture": "lstm", "dataset": "latch"}, {"optimizer": "adam"}], ids=str)
@each_copy
def test_a_trainer_says_what_to_use_instead_of_a_copy(copied, knobs):
    trainer = Trainer(SMALL.replace(**knobs))
    trainer.run(3)
    refusal(lambda: copied(trainer), "a Trainer cannot be copied", "trainer.history", kind=TypeError)
    again = Trainer(trainer.config).run(trainer.step_count)  # as the message says
    assert again.column("loss").tolist() == trainer.history.column("loss").tolist()
    assert trainer.step_count == 3


@each_copy
def test_a_panel_says_what_to_use_instead_of_a_copy(copied):
    lab = GradLab(SMALL)
    refusal(lambda: copied(lab), "a panel cannot be copied", kind=TypeError)
    lab.close()


@each_copy
def test_a_history_and_a_sweep_are_copied_whole(copied):
    history, found = Trainer(SMALL).run(3), sweep(SMALL, {"gain": [1.0, 2.0]}, steps=2, seeds=1, progress=False)
    lanes = compare({"plain": SMALL}, 2)
    with in_time():
        assert copied(history).column("grad_norm").tolist() == history.column("grad_norm").tolist()
        assert copied(found).column("final_loss").tolist() == found.column("final_loss").tolist()
        assert list(copied(lanes)) == ["plain"]
        again = copied(Sweep(SMALL, {"gain": [1.0, 2.0]}, steps=2, seeds=1)).run(progress=False)
    assert again.column("final_loss").tolist() == found.column("final_loss").tolist()
    assert copied(SMALL) == SMALL


@each_copy
def test_a_diagnosis_and_an_exercise_are_copied_whole_and_a_watcher_says_what_to_use(copied):
    found, task = diagnose(Trainer(SMALL).run(3), SMALL), exercise("rescue-30", lang="zh")
    with in_time():
        assert copied(found) == found
        assert repr(copied(task)) == repr(task)
        again = copied(result := Result("own", False, "no", ("no",), {"gain": (1.5, 1.0)}, ()))
    assert (again, dict(again.changes)) == (result, {"gain": (1.5, 1.0)})
    with pytest.raises(TypeError, match="does not support item assignment"):
        copied(found).suggestion["gain"] = 1.0
    network = nn.Linear(2, 2)
    watcher = watch(network, torch.optim.SGD(network.parameters(), 0.1))
    refusal(lambda: copied(watcher), "a Watcher cannot be copied", "watcher.history", kind=TypeError)


def test_a_child_that_forked_off_says_that_it_has_no_threads(monkeypatch):
    trainer = Trainer(SMALL)
    monkeypatch.setattr(os, "getpid", lambda: -1)  # a child has another number
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    for act in (lambda: Trainer(SMALL), trainer.step, trainer.preview, lambda: list(trainer.stages())):
        refusal(
            act, "a forked process has none of PyTorch's 4 threads", "torch.set_num_threads(1)", kind=RuntimeError
        )
    assert trainer.step_count == 0
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert len(trainer.run(2)) == 2


def test_a_child_that_forked_off_goes_on_by_itself_and_the_parent_too():
    trainer, lab = Trainer(SMALL), GradLab(SMALL)
    expected = Trainer(SMALL).run(6).column("loss").tolist()
    trainer.run(3)
    lab.run(3)
    child = os.fork()
    if child == 0:
        fine = trainer.run(3).column("loss").tolist() == lab.run(3).column("loss").tolist() == expected
        os._exit(0 if fine else 1)
    with in_time():
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert trainer.run(3).column("loss").tolist() == lab.run(3).column("loss").tolist() == expected
    lab.close()


@pytest.fixture
def alone(monkeypatch):
    """No thread and no process can be started."""

    def refuse(*given, **options):
        raise AssertionError("started by gradlab")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.setattr(os, "fork", refuse)


def test_a_panel_that_plays_starts_no_thread_and_no_process(alone):
    lab = GradLab(SMALL, lecture=True)
    lab.play()
    for work in (lab.step, lab.pin, lab.reset, lab.pause, lab.close):
        work()


def test_nothing_else_starts_a_thread_or_a_process_either(alone):
    trainer = Trainer(SMALL)
    replay_html(trainer.run(3))
    sweep(SMALL, {"gain": [1.0, 2.0]}, steps=1, seeds=2, progress=False)
    network = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    with watch(network, optimizer) as history:
        network(torch.ones(3, 2)).sum().backward()
        optimizer.step()
    assert len(history) == 1


def test_an_import_starts_no_thread_and_no_process_and_leaves_torchs_threads():
    program = (
        "import threading, subprocess, os, sys, torch, matplotlib.figure, ipywidgets, anywidget\n"
        "def refuse(*given, **options): raise AssertionError('started')\n"
        "threading.Thread.start = subprocess.Popen.__init__ = os.fork = refuse\n"
        "torch.set_num_threads(2)\n"
        "before = threading.active_count()\n"
        "import gradlab, gradlab.cli\n"
        "sys.exit((threading.active_count(), torch.get_num_threads()) != (before, 2))"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
