"""Slow motion without a browser: the lines shown are run as PyTorch, the picture's artists are read."""

import copy
import html
import re
import threading
import time

import numpy as np
import pytest
import torch
from panels import wait_until
from torch import nn
from torch.nn import functional as F

from gradlab import ACCUMULATIONS, CARRY_OVERS, CLIPS, OPTIMIZERS, Config, Registry, Trainer
from gradlab.export.idiom import step_lines
from gradlab.measures import MEASURES
from gradlab.plots import View
from gradlab.plots.stages import draw_stages

SMALL = {"depth": 3, "width": 8, "activation": "tanh", "n_samples": 61, "batch_size": 16}
RULES = {table.function.__name__: table.function for table in [*CLIPS.values(), *CARRY_OVERS.values()]}


def press(lab, times=1):
    for _ in range(times):
        before = lab.slow.words
        lab.slow.next.click()
        wait_until(lambda before=before: lab.slow.words != before)


def names(lab):
    return [stage.name for stage in lab.slow.stages]


def code_of(lab):
    return html.unescape(lab.slow.box.children[0].children[3].value)


def marked(lab):
    return [
        re.sub("<.*?>", "", line)[2:].strip() for line in re.findall(r"aria-current=.step.>(.*?)</div>", code_of(lab))
    ]


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


def test_an_entry_whose_source_cannot_be_written_is_called_by_its_place_in_the_table(monkeypatch):
    table, lock = Registry("clip"), threading.Lock()

    @table.register("agc", "Closure (test)")
    def closure(params, threshold):
        """Take a lock that no script has."""
        lock.acquire()

    monkeypatch.setattr("gradlab.export.idiom.CLIPS", table)
    assert "CLIPS['agc'](params, 1.0)" in [line.text for line in step_lines(Config(clip="agc"))]


# ---------------------------------------------------------------------- the walk


def test_next_stage_walks_forward_backward_accumulate_clip_update_and_then_the_step_counts(panel):
    lab, fresh = panel(accumulation="mean"), Trainer(Config(**SMALL, accumulation="mean"))
    walked = []
    for _ in range(4):
        press(lab, 2)
        walked += names(lab)[-2:]
        assert (lab.trainer.step_count, len(lab.history)) == (0, 0)
        assert lab.slow.half_way
    press(lab, 3)
    assert walked == ["forward", "backward"] * 4
    assert names(lab)[-3:] == ["accumulate", "clip", "update"]
    wait_until(lambda: "step 1 |" in lab.status)
    assert not lab.slow.half_way
    fresh.step()
    for mine, theirs in zip(lab.trainer.network.parameters(), fresh.network.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    assert lab.history.column("loss").tolist() == fresh.history.column("loss").tolist()


def test_finish_goes_to_the_end_of_the_step_and_the_words_have_its_numbers(panel):
    lab = panel(accumulation="mean", clip="global_norm", clip_threshold=0.01)
    lab.run(3)
    press(lab, 2)
    losses = [stage.loss for stage in lab.slow.stages]
    assert lab.slow.words.startswith("Backward, micro-batch 1 of 1: ") or f"times {16 / 61:.4g}" in lab.slow.words
    assert losses[0] == losses[1]
    lab.slow.finish.click()
    wait_until(lambda: lab.trainer.step_count == 4)
    record = lab.history[3]
    layer = int(record.update_ratio.argmax()) + 1
    wait_until(lambda: lab.slow.words.startswith("Update: step 3 is taken."))
    assert f"layer {layer}, {record.update_ratio.max():.2g} of its weights" in lab.slow.words
    clip = next(stage for stage in lab.slow.stages if stage.name == "clip")
    assert clip.total_norm == pytest.approx(0.01, rel=1e-3)
    assert lab.slow.stages[-3].total_norm == pytest.approx(record.total_norm, rel=1e-12)


def test_each_stage_marks_its_lines_and_only_them(panel):
    lab = panel(accumulation="mean", clip="global_norm")
    press(lab)
    assert marked(lab) == ["loss = F.cross_entropy(network(x[rows]), y[rows])"]
    press(lab)
    assert marked(lab) == ["(loss * weight).backward()  # adds to every p.grad"]
    press(lab, 7)
    assert names(lab)[-1] == "accumulate"
    assert marked(lab)[0].startswith("for rows, weight in zip(micro_batches, [n / sum(samples)")
    press(lab)
    assert marked(lab) == ["torch.nn.utils.clip_grad_norm_(params, 1.0)"]
    press(lab)
    assert marked(lab) == ["optimizer.step()"]


@pytest.mark.parametrize(
    "move",
    [
        lambda lab: lab.step(),
        lambda lab: lab.reset(),
        lambda lab: lab.set(lr=0.1),
        lambda lab: lab.set(depth=2),
        lambda lab: lab.rewind(1),
        lambda lab: (lab.play(), wait_until(lambda: len(lab.history) > 5), lab.pause()),
    ],
    ids=["step", "reset", "live knob", "restart knob", "rewind", "play"],
)
def test_a_half_step_is_abandoned_without_a_trace_when_the_run_moves_on_and_the_section_says_so(panel, move):
    walked, plain = panel(accumulation="mean"), panel(accumulation="mean")
    for lab in (walked, plain):
        lab.run(2)
    press(walked, 5)
    for lab in (walked, plain):
        move(lab)
    assert walked.slow.words.startswith("The half step is abandoned, without a trace")
    assert (walked.slow.half_way, walked.slow.stages) == (False, [])
    taken = min(len(walked.history), len(plain.history))
    losses = [lab.history.column("loss")[:taken].tolist() for lab in (walked, plain)]
    assert losses[0] == losses[1]
    press(walked)
    assert names(walked) == ["forward"]


def test_next_stage_pauses_a_run_that_plays(panel):
    lab = panel()
    lab.play()
    wait_until(lambda: len(lab.history) > 3)
    lab.slow.next.click()
    wait_until(lambda: lab.slow.half_way)
    assert not lab.playing
    taken = lab.trainer.step_count
    time.sleep(0.1)
    assert lab.trainer.step_count == taken


def test_a_step_that_is_not_finite_ends_there_and_a_stopped_run_says_so(panel):
    lab = panel(activation="relu", init="normal", gain=1e30)
    lab.slow.finish.click()
    wait_until(lambda: lab.slow.words.startswith("Not finite"))
    wait_until(lambda: "Diverged at step 0" in lab.alert)
    press(lab)
    assert lab.slow.words.startswith("The run has diverged")
    assert names(lab)[-1] == "nonfinite"


def test_an_own_network_and_an_own_loss_can_be_walked_too(panel):
    with torch.random.fork_rng():
        lab = panel(network=nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 2)), accumulation="sum")
    press(lab, 2)
    assert "times 1," in lab.slow.words
    lab.slow.finish.click()
    wait_until(lambda: lab.trainer.step_count == 1)


def test_a_delayed_gradient_says_that_nothing_was_applied(panel):
    lab = panel(carry_over="delayed")
    lab.slow.finish.click()
    wait_until(lambda: lab.slow.words.startswith("Update: the carry-over keeps this gradient back; step 0"))
    assert marked(lab)[-1] == "optimizer.step()"


# ---------------------------------------------------------------------- the picture


def stages_of(config, last):
    trainer, seen = Trainer(config), []
    for stage in trainer.stages():
        seen.append(stage)
        if (stage.name, stage.micro_batch) == last:
            return trainer, seen
    raise AssertionError(last)


def test_the_sum_grows_bar_by_bar_to_the_norm_that_the_step_records():
    config = Config(**SMALL, accumulation="mean", clip="global_norm", clip_threshold=0.01)
    trainer, seen = stages_of(config, ("clip", 4))
    figure = draw_stages(seen, config, trainer.history.tiny, View())
    bars = [patch.get_height() for patch in figure.axes[2].patches]
    network, total = trainer.network, 0
    expected = []
    for rows in trainer.next_window().micro_batches:
        loss = F.cross_entropy(network(trainer.data.x[rows]), trainer.data.y[rows]) * len(rows) / 61
        total = [
            a + b
            for a, b in zip(torch.autograd.grad(loss, list(network.parameters())), total or [0] * 99, strict=False)
        ]
        expected.append(float(torch.cat([g.flatten() for g in total]).norm()))
    assert bars == pytest.approx([*expected, 0.01], rel=1e-4)
    (threshold,) = figure.axes[2].lines
    assert threshold.get_ydata()[0] == 0.01


def test_the_layers_show_this_micro_batch_the_sum_before_and_the_sum():
    config = Config(**SMALL, accumulation="sum")
    trainer, seen = stages_of(config, ("backward", 2))
    figure = draw_stages(seen, config, trainer.history.tiny, View())
    lines = {line.get_label(): line.get_ydata() for line in figure.axes[1].lines}
    measure = MEASURES["grad_norm"]
    first, second = (stage for stage in seen if stage.name == "backward")
    for label, values in (
        ("this micro-batch", second.grad_norm),
        ("before", first.partial_norm),
        ("sum so far", second.partial_norm),
    ):
        assert np.allclose(lines[label], measure.position(values))
    words = [text.get_text() for text in figure.axes[0].texts]
    assert words == ["forward", "backward", "accumulate", "clip", "update", "micro-batch 2 of 4"]
    assert [t.get_text() for t in figure.axes[0].texts if t.get_weight() == "bold"] == ["backward"]


def test_the_update_has_its_own_axis_and_is_to_come_until_then():
    config = Config(**SMALL, optimizer="adam")
    trainer, seen = stages_of(config, ("clip", 1))
    figure = draw_stages(seen, config, trainer.history.tiny, View())
    assert [text.get_text() for text in figure.axes[3].texts] == ["to come"]
    trainer, seen = stages_of(config, ("update", 1))
    figure = draw_stages(seen, config, trainer.history.tiny, View())
    assert list(figure.axes[3].texts) == []
    shown = figure.axes[3].lines[0].get_ydata()
    assert np.allclose(shown, MEASURES["update_ratio"].position(trainer.history[0].update_ratio))
