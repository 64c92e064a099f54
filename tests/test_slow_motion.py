"""Slow motion without a browser: the lines shown are run as PyTorch."""

import copy
import html
import re
import threading

import pytest
import torch
from panels import named, patched, widgets_of
from torch import nn
from torch.nn import functional as F

from gradlab import ACCUMULATIONS, CARRY_OVERS, CLIPS, OPTIMIZERS, Config, Trainer
from gradlab.export.lines import step_lines

SMALL = {"depth": 3, "width": 8, "activation": "tanh", "n_samples": 61, "batch_size": 16}
RULES = {table.function.__name__: table.function for table in [*CLIPS.values(), *CARRY_OVERS.values()]}


@pytest.fixture
def walker(monkeypatch, panel):
    """A function that opens a panel at its slow motion: the panel, and what presses a button of it."""
    browser = patched(monkeypatch)

    def make(**knobs):
        with browser.cell():
            lab = panel(**knobs)
        browser.show(lab)
        browser.set(named(lab, "Slow motion"), "value", True)
        return lab, lambda name, times=1: [browser.press(named(lab, name)) for _ in range(times)]

    make.browser = browser
    return make


def said(lab):
    """What the section says of the stage."""
    words = [w.value for w in widgets_of(lab) if "aria-live" in str(getattr(w, "value", ""))]
    return html.unescape(re.sub("<.*?>", "", words[-1]))


def marked(lab):
    code = html.unescape(next(w.value for w in widgets_of(lab) if 'role="group"' in str(getattr(w, "value", ""))))
    return [re.sub("<.*?>", "", line)[2:].strip() for line in re.findall(r"aria-current=.step.>(.*?)</div>", code)]


def on_the_strip(browser, lab):
    """The stage that plays on the strip, as the browser hears it."""
    (answer,) = browser.ask(lab, "all", run=-1)
    assert answer["slow"] is None or answer["slow"][1], "no line of PyTorch stands beside it"
    return answer["slow"] and answer["slow"][0]


# ---------------------------------------------------------------------- the lines


def train_as_shown(trainer, steps):
    """Run the lines shown on a copy of the network, with plain PyTorch; return its parameters."""
    config, network = trainer.config, copy.deepcopy(trainer.network)
    setup, *step = [line.text for line in step_lines(config, trainer.data.loss)]
    params = list(network.parameters())
    last = len(list(list(network.modules())[-1].parameters())) or 2
    scope = {"torch": torch, "F": F, "optim": torch.optim, **RULES, "network": network, "params": params, "carry": {}}
    scope |= {"x": trainer.data.x, "y": trainer.data.y, "clipped": params[:-last]}
    exec(setup, scope)
    for _ in range(steps):
        window = trainer.next_window().micro_batches
        scope |= {"micro_batches": window, "rows": window[0]}
        exec("\n".join(step), scope)
        trainer.step()
    return params


CASES = [
    *({"accumulation": rule} for rule in ACCUMULATIONS),
    *({"clip": rule, "clip_threshold": 0.02} for rule in CLIPS),
    *(
        {"accumulation": "mean", "clip": rule, "clip_threshold": 0.02, "clip_order": "each_micro_batch"}
        for rule in CLIPS
    ),
    *({"accumulation": "naive_mean", "carry_over": rule, "lr": 0.01} for rule in CARRY_OVERS),
    *({"optimizer": rule, "lr": 0.01, "momentum": 0.5, "weight_decay": 0.01} for rule in OPTIMIZERS),
]


@pytest.mark.parametrize("knobs", CASES, ids=lambda knobs: " ".join(map(str, knobs.values())))
def test_the_lines_shown_train_as_the_trainer_does_whatever_the_rules(knobs):
    trainer = Trainer(Config(**SMALL, dtype="float64", **knobs))
    params = train_as_shown(trainer, steps=3)
    for mine, theirs in zip(params, trainer.network.parameters(), strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-9, atol=1e-12)  # float64 rounds near 1e-16; Adam divides by |g|


def test_every_stage_of_a_step_has_lines():
    for knobs in CASES:
        lines = step_lines(Config(**SMALL, **knobs))
        belongs = {stage for line in lines for stage in line.stages}
        assert belongs == {"forward", "backward", "accumulate", "clip", "update"}


def test_pytorchs_own_names_stand_where_pytorch_has_the_rule():
    text = "\n".join(line.text for line in step_lines(Config(clip="global_norm", clip_threshold=0.5)))
    assert "torch.nn.utils.clip_grad_norm_(params, 0.5)" in text
    assert "loss = F.cross_entropy(network(x[rows]), y[rows])" in text
    assert "(loss * weight)" not in text


def test_an_entry_whose_source_cannot_be_written_is_called_by_its_place_in_the_table():
    lock = threading.Lock()

    @CLIPS.register("slow_motion_test_closure", "Closure (test)")
    def closure(params, threshold):
        """Take a lock that no script has."""
        with lock:
            return

    lines = [line.text for line in step_lines(Config(clip="slow_motion_test_closure"))]
    assert "CLIPS['slow_motion_test_closure'](params, 1.0)" in lines


# ---------------------------------------------------------------------- the walk


def test_next_stage_walks_forward_backward_accumulate_clip_update_and_then_the_step_counts(walker):
    lab, press = walker(accumulation="mean")
    fresh = Trainer(Config(**SMALL, accumulation="mean"))
    walked = []
    for _ in range(10):
        press("Next stage")
        walked.append(on_the_strip(walker.browser, lab))
        assert (lab.trainer.step_count, len(lab.history)) == (0, 0)
    assert walked == [*["forward", "backward"] * 4, "accumulate", "clip"]
    press("Next stage")
    assert on_the_strip(walker.browser, lab) is None
    assert lab.status.startswith("steps 1 |")
    fresh.step()
    for mine, theirs in zip(lab.trainer.network.parameters(), fresh.network.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    assert lab.history.column("loss").tolist() == fresh.history.column("loss").tolist()


def test_finish_goes_to_the_end_of_the_step_and_the_words_have_its_numbers(walker):
    lab, press = walker(accumulation="mean", clip="global_norm", clip_threshold=0.01)
    lab.run(3)
    press("Next stage", 2)
    assert said(lab).startswith("Backward, micro-batch 1 of 1: ") or f"times {16 / 61:.4g}" in said(lab)
    press("Finish step")
    record = lab.history[3]
    layer = int(record.update_ratio.argmax()) + 1
    assert said(lab).startswith("Update: step 3 is taken.")
    assert f"layer {layer}, {record.update_ratio.max():.2g} of its weights" in said(lab)
    assert lab.trainer.step_count == 4


def test_each_stage_marks_its_lines_and_only_them(walker):
    lab, press = walker(accumulation="mean", clip="global_norm")
    press("Next stage")
    assert marked(lab) == ["loss = F.cross_entropy(network(x[rows]), y[rows])"]
    press("Next stage")
    assert marked(lab) == ["(loss * weight).backward()  # adds to every p.grad"]
    press("Next stage", 7)
    assert marked(lab)[0].startswith("for rows, weight in zip(micro_batches, [n / sum(samples)")
    press("Next stage")
    assert marked(lab) == ["torch.nn.utils.clip_grad_norm_(params, 1.0)"]
    press("Next stage")
    assert marked(lab) == ["optimizer.step()"]


@pytest.mark.parametrize(
    "move",
    [
        lambda lab: lab.step(),
        lambda lab: lab.reset(),
        lambda lab: lab.set(lr=0.1),
        lambda lab: lab.set(depth=2),
        lambda lab: lab.rewind(1),
    ],
    ids=["step", "reset", "live knob", "restart knob", "rewind"],
)
def test_a_half_step_is_abandoned_without_a_trace_when_the_run_moves_on_and_the_section_says_so(walker, panel, move):
    walked, press = walker(accumulation="mean")
    plain = panel(accumulation="mean")
    for lab in (walked, plain):
        lab.run(2)
    press("Next stage", 5)
    for lab in (walked, plain):
        move(lab)
    assert said(walked).startswith("The half step is abandoned, without a trace")
    assert on_the_strip(walker.browser, walked) is None
    losses = [lab.history.column("loss").tolist() for lab in (walked, plain)]
    assert losses[0] == losses[1]
    press("Next stage")
    assert on_the_strip(walker.browser, walked) == "forward"


def test_next_stage_pauses_a_run_that_plays(walker):
    lab, press = walker()
    with walker.browser.cell():
        lab.play()
    walker.browser.tick(lab, steps=4)
    press("Next stage")
    assert not lab.playing
    walker.browser.tick(lab, steps=4)
    assert lab.trainer.step_count == 4


def test_a_step_that_is_not_finite_ends_there_and_a_stopped_run_says_so(walker):
    lab, press = walker(activation="relu", init="normal", gain=1e30)
    press("Finish step")
    assert said(lab).startswith("Not finite")
    assert "Diverged at step 0" in lab.alert
    press("Next stage")
    assert said(lab).startswith("The run has diverged")


def test_an_own_network_and_an_own_loss_can_be_walked_too(walker):
    with torch.random.fork_rng():
        network = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 2))
    lab, press = walker(network=network, accumulation="sum")
    press("Next stage", 2)
    assert "times 1," in said(lab)
    press("Finish step")
    assert lab.trainer.step_count == 1


def test_a_delayed_gradient_says_that_nothing_was_applied(walker):
    lab, press = walker(carry_over="delayed")
    press("Finish step")
    assert said(lab).startswith("Update: the carry-over keeps this gradient back; step 0")
    assert marked(lab)[-1] == "optimizer.step()"
