"""Whatever interrupts a run, it is as it was before or as it is after: weights, optimizer, order, history, knobs."""

import random
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import gradlab
from gradlab import Config, CumulativeGradient, StepRecord, Trainer

HERE = str(Path(gradlab.__file__).parent)
COLUMNS = [name for name in StepRecord.__dataclass_fields__ if name != "seconds"]
SMALL = {"n_samples": 40, "depth": 2, "width": 5, "batch_size": 6, "lr": 0.01}
WINDOW = {"accumulation": "mean", "accumulation_steps": 2}


class Interrupted(KeyboardInterrupt):
    """Raised by a test at a line of its choice."""


def interrupt_at(number, act):
    """Do something and raise at the `number`-th line of gradlab that it comes to; return whether there was one."""
    left = number

    def at_line(frame, event, arg):
        nonlocal left
        if event == "line":
            if left == 0:
                raise Interrupted
            left -= 1
        return at_line

    def at_call(frame, event, arg):
        return at_line if frame.f_code.co_filename.startswith(HERE) else None

    before = sys.gettrace()
    sys.settrace(at_call)
    try:
        act()
    except Interrupted:
        return True
    finally:
        sys.settrace(before)
    return False


def state(trainer):
    """Return everything of a run that its next step depends on, and what it says of the steps before, as text."""
    tensors = [*trainer.network.state_dict().values(), *trainer.next_window().micro_batches]
    known = trainer.optimizer_state()
    tensors += [value for value in known.values() if isinstance(value, torch.Tensor)]
    settings = {name: value for name, value in known.items() if not isinstance(value, torch.Tensor)}
    history = [trainer.history.column(name).tobytes() for name in COLUMNS]
    return str(
        [
            [value.detach().numpy().tobytes() for value in tensors],
            [repr(module) for module in trainer.network.modules()],
            [module.training for module in trainer.network.modules()],
            settings,
            history,
            trainer.history.marks,
            trainer.history.diverged,
            trainer.step_count,
            trainer.config,
        ]
    )


def assert_whole_at_every_line(trainer, act, limit=10_000):
    """Interrupt something at every line, over and over; each time it has happened wholly or not at all."""
    before = state(trainer)
    for number in range(limit):
        interrupted = interrupt_at(number, lambda: act(trainer))
        now = state(trainer)
        if not interrupted or now != before:
            break
    assert number > 20, "next to nothing was interrupted"
    return now


def assert_same_run(trainer, fresh):
    for name in COLUMNS:
        np.testing.assert_array_equal(trainer.history.column(name), fresh.history.column(name), err_msg=name)
    assert state(trainer) == state(fresh)


CONFIGS = {
    "sgd, one micro-batch": Config(**SMALL),
    "momentum": Config(**SMALL, momentum=0.9, accumulation="sum", accumulation_steps=2),
    "adam": Config(**SMALL, optimizer="adam", accumulation="naive_mean", accumulation_steps=2),
    "adamw": Config(**SMALL, optimizer="adamw", clip="agc", clip_threshold=0.01),
    "rmsprop": Config(**SMALL, optimizer="rmsprop", momentum=0.5, clip="global_norm", clip_threshold=0.01),
    "running sum": Config(**SMALL, **WINDOW, carry_over="running_sum", clip="value", clip_order="each_micro_batch"),
    "delayed": Config(**SMALL, **WINDOW, carry_over="delayed"),
    "scalar sum": Config(**SMALL, **WINDOW, carry_over="scalar_sum", clip="per_layer_norm"),
    "batch norm": Config(**SMALL, norm="batch", residual=True),
    "a step that is skipped": Config(**SMALL, nonfinite="skip", momentum=0.9, gain=1e30, init="fixed"),
    "a step that diverges": Config(**SMALL | {"lr": 3e37}),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_a_step_interrupted_at_any_line_is_taken_or_not(config):
    trainer, fresh = Trainer(config), Trainer(config)
    for one in (trainer, fresh):
        one.run(15)  # the next step is the one after which the run is copied
    interrupted = assert_whole_at_every_line(trainer, Trainer.step)
    fresh.step()
    assert interrupted == state(fresh)
    for one in (trainer, fresh):
        one.run(15)
    assert_same_run(trainer, fresh)


class Drawing(nn.Module):
    """A network of one's own with dropout, batch norm and a running total, a buffer that is replaced."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Linear(2, 4), nn.BatchNorm1d(4)
        self.drop, self.total, self.last = nn.Dropout(0.3), CumulativeGradient(), nn.Linear(4, 2)

    def forward(self, x):
        return self.last(self.total(self.drop(torch.relu(self.norm(self.first(x))))))


def own(config):
    torch.manual_seed(3)
    return Trainer(config, network=Drawing())


ACTS = {
    "a step of an own network": Trainer.step,
    "slow motion": lambda trainer: list(trainer.stages()),
    "a rewind": lambda trainer: trainer.rewind(17),
    "moved knobs": lambda trainer: trainer.reconfigure(lr=0.3, carry_over="delayed", clip="value"),
}


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_whatever_changes_a_run_is_done_wholly_or_not_at_all(act):
    config = Config(n_samples=42, batch_size=6, optimizer="adam", lr=0.01, carry_over="running_sum")
    trainer, fresh = own(config), own(config)
    for one in (trainer, fresh):
        one.run(9)
        one.reconfigure(momentum=0.5)
        one.run(10)
    interrupted = assert_whole_at_every_line(trainer, act)
    act(fresh)
    assert interrupted == state(fresh)
    for one in (trainer, fresh):
        one.run(15)
    assert_same_run(trainer, fresh)


LOOKS = {"preview": Trainer.preview, "evaluate": Trainer.evaluate, "next window": Trainer.next_window}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_a_look_interrupted_at_any_line_has_changed_nothing(look):
    trainer = own(Config(n_samples=42, batch_size=6, optimizer="adam", lr=0.01))
    trainer.run(3)
    before, drawn, number = state(trainer), torch.get_rng_state(), 0
    while interrupt_at(number, lambda: look(trainer)):
        assert state(trainer) == before
        assert torch.equal(torch.get_rng_state(), drawn)
        assert torch.is_grad_enabled()
        number += 1
    assert state(trainer) == before
    assert number > 5


def test_a_stopped_run_whose_new_start_is_interrupted_is_still_stopped():
    trainer = Trainer(CONFIGS["a step that diverges"])
    trainer.run(20)
    assert trainer.stopped
    interrupted = assert_whole_at_every_line(trainer, lambda t: t.reconfigure(lr=0.1))
    assert not trainer.stopped
    assert trainer.config.lr == 0.1
    assert interrupted == state(trainer)


def test_an_undoing_that_is_interrupted_itself_is_finished_by_whatever_comes_next():
    config = CONFIGS["batch norm"].replace(optimizer="adam", carry_over="running_sum")
    trainer, fresh = Trainer(config), Trainer(config)
    for one in (trainer, fresh):
        one.run(3)

    def twice(number):
        """Interrupt a step near its end, and the undoing of it at some line."""

        def act():
            original = trainer.history.append

            def append(record):
                sys.settrace(None)
                original(record)
                interrupt_at_later(number)
                raise Interrupted

            trainer.history.append = append
            try:
                trainer.step()
            finally:
                del trainer.history.append

        def interrupt_at_later(left):
            frame = sys._getframe(2)

            def at_line(frame, event, arg):
                nonlocal left
                if event == "line":
                    if left == 0:
                        sys.settrace(None)
                        raise Interrupted
                    left -= 1
                return at_line

            while frame is not None:
                if frame.f_code.co_filename.startswith(HERE):
                    frame.f_trace = at_line
                frame = frame.f_back
            sys.settrace(lambda frame, event, arg: at_line if frame.f_code.co_filename.startswith(HERE) else None)

        with pytest.raises(Interrupted):
            act()
        sys.settrace(None)

    for number in range(60):
        twice(number)
        trainer.step()
        fresh.step()
    assert_same_run(trainer, fresh)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # one that lands in a finaliser
def test_three_hundred_real_signals_leave_the_run_that_nobody_interrupted():
    config = Config(**SMALL, **WINDOW, optimizer="adam", norm="batch", carry_over="running_sum", clip="global_norm")
    trainer, fresh, draw = Trainer(config), Trainer(config), random.Random(0)
    trainer.run(20)
    arrived = 0

    def arrive(number, frame):
        nonlocal arrived
        arrived += 1
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, arrive)
    try:
        while arrived < 300:
            try:
                signal.setitimer(signal.ITIMER_REAL, draw.uniform(1e-4, 8e-3))
                while True:
                    trainer.run(draw.randrange(4))
                    if trainer.step_count > 30:
                        trainer.rewind(draw.randrange(10, 30))
            except KeyboardInterrupt:
                assert len(trainer.history) == trainer.step_count
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    trainer.run(15)
    fresh.run(trainer.step_count)
    assert_same_run(trainer, fresh)
