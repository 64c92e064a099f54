"""torch's optimizer, made when it is needed."""

import subprocess
import sys
import time

import pytest
import torch

from gradlab import Config, Trainer

ALONE = """
import sys
from gradlab import OPTIMIZERS, Config, GradLab, Trainer, sweep
lab = GradLab(depth=3, width=4)
assert lab._repr_mimebundle_()["image/png"]
lab.run(3)
lab.close()
for name in OPTIMIZERS:
    Trainer(Config(depth=2, optimizer=name, momentum=0.5)).run(2)
    sweep(Config(depth=2, optimizer=name), {"gain": [1.0, 2.0]}, steps=2, progress=False)
print([name for name in ("torch._dynamo", "sympy") if name in sys.modules])

@OPTIMIZERS.register("broken", "Broken")
def broken(params, lr, momentum, weight_decay):
    '''Refuses.'''
    raise ValueError("broken on purpose")

try:
    Trainer(Config(optimizer="broken"))
except ValueError as error:
    print(error)
"""
CONFIG = Config(depth=2, width=4, optimizer="adam")


@pytest.fixture(scope="module")
def told():
    """The lines that a process of its own prints: nothing is loaded there before, nothing registered stays."""
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_neither_a_panel_nor_a_run_nor_a_sweep_loads_torchs_compiler(told):
    assert told[:1] == ["[]"]


def test_knobs_moved_before_the_first_step_reach_the_optimizer():
    trainer = Trainer(CONFIG)
    trainer.reconfigure(lr=0.25, weight_decay=0.5)
    settings = trainer.optimizer_state()
    assert (settings["lr"], settings["weight_decay"]) == (0.25, 0.5)
    assert "exp_avg" not in settings


def test_back_at_step_0_the_optimizer_remembers_nothing_and_has_that_steps_knobs():
    trainer = Trainer(CONFIG)
    fresh = trainer.optimizer_state()
    trainer.run(2)
    trainer.reconfigure(lr=0.25)
    trainer.run(2)
    assert float(trainer.optimizer_state()["step"]) == 4
    trainer.rewind(0)
    assert trainer.optimizer_state() == fresh


def test_what_is_wrong_with_an_optimizer_of_ones_own_shows_when_the_trainer_is_made(told):
    (said,) = told[1:]
    assert said.startswith("optimizer='broken': fails (ValueError: broken on purpose); expected a torch.optim")


def test_the_first_optimizer_is_not_counted_as_the_first_steps_time(monkeypatch):
    made = []

    class Slow(torch.optim.Adam):
        __module__ = torch.optim.Adam.__module__

        def __init__(self, *args, **kwargs):
            time.sleep(1.5)
            super().__init__(*args, **kwargs)
            made.append(self)

    trainer = Trainer(CONFIG)
    monkeypatch.setattr(torch.optim, "Adam", Slow)
    assert trainer.step().seconds < 1.5
    assert len(made) == 1
