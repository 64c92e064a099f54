"""`diagnose` on runs whose truth is known from signal propagation, stability limits, or by construction."""

from __future__ import annotations

import dataclasses
import math
import re
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gradlab import PRESETS, Config, History, Trainer
from gradlab.diagnosis import KINDS, diagnose, verdict
from gradlab.watch import watch


def config(**knobs):
    return Config(**knobs)


TANH = Config(depth=30, width=64, activation="tanh", init="normal", gain=2.0, lr=0.02)

# name: (config, steps, kind, why that is the truth)
RUNS = {
    # healthy: chi = 1 at init and a usual learning rate
    "relu, Kaiming": (config(), 40, "healthy"),
    "relu, Kaiming, 20 layers": (config(depth=20, width=64, lr=0.02), 40, "healthy"),
    "relu, Kaiming, 30 layers": (config(depth=30, width=64, lr=0.02), 40, "healthy"),
    "tanh, sw = 1": (config(activation="tanh", init="normal", lr=0.1), 40, "healthy"),
    "selu, sw = 1": (config(activation="selu", init="normal", lr=0.02), 40, "healthy"),
    "Adam": (config(optimizer="adam", lr=0.003), 40, "healthy"),
    "pre-LN residual, 20 blocks": (config(depth=20, norm="layer", residual=True), 40, "healthy"),
    "clipped now and then": (config(clip="global_norm", clip_threshold=3.0), 40, "healthy"),
    # exploding: chi > 1 over enough layers
    "tanh, sw = 2: chi = 1.36": (TANH, 12, "exploding"),
    "tanh, sw = 2, after it got through": (TANH, 40, "exploding"),
    "relu, sw^2 = 8: chi = 4, tiny steps": (
        config(depth=10, width=64, init="normal", gain=8**0.5, lr=1e-6),
        20,
        "exploding",
    ),
    "linear, sw = 1.5: chi = 2.25": (
        config(depth=20, activation="linear", init="normal", gain=1.5, lr=1e-5),
        20,
        "exploding",
    ),
    "residual relu, 20 blocks: 2^20": (config(depth=20, width=64, residual=True, lr=1e-4), 20, "exploding"),
    "std 1 whatever the fan, first step": (config(init="fixed"), 1, "exploding"),
    "relu, sw^2 = 4, kept alive by clipping": (
        config(depth=30, width=64, init="normal", gain=2.0, lr=0.02, clip="global_norm"),
        30,
        "exploding",
    ),
    # vanishing: chi < 1 over enough layers
    "sigmoid: chi = 0.056": (PRESETS["vanishing_sigmoid"], 20, "vanishing"),
    "sigmoid, 5 layers": (config(depth=5, activation="sigmoid", init="normal"), 20, "vanishing"),
    "relu at PyTorch's default: chi = 1/6": (config(init="pytorch"), 30, "vanishing"),
    "the same, 20 layers": (config(init="pytorch", depth=20), 30, "vanishing"),
    "tanh, sw = 0.5: chi = 0.25": (config(depth=12, activation="tanh", init="normal", gain=0.5), 20, "vanishing"),
    "std 0.01 whatever the fan": (config(init="fixed", gain=0.01), 20, "vanishing"),
    # diverged
    "std 1 whatever the fan": (config(init="fixed"), 20, "diverged"),
    "relu, sw^2 = 4, 30 layers": (config(depth=30, width=64, init="normal", gain=2.0, lr=0.02), 20, "diverged"),
    "a learning rate of 20": (config(lr=20.0), 20, "diverged"),
    "a linear net past its stability limit": (
        config(dataset="regression", depth=1, activation="linear", init="normal", lr=1.5),
        30,
        "diverged",
    ),
    "a learning rate of 20, bad steps skipped": (config(lr=20.0, nonfinite="skip"), 20, "diverged"),
    # dead
    "Adam at 0.5": (config(optimizer="adam", lr=0.5), 30, "dead"),
    "every gradient replaced by its sum": (config(carry_over="scalar_sum"), 40, "dead"),
    "the same in a net that explodes": (
        config(depth=30, width=64, init="normal", gain=2.5**0.5, lr=0.02, carry_over="scalar_sum"),
        40,
        "dead",
    ),
    # saturated: |z| far beyond 2 for most units
    "tanh, sw = 10": (config(depth=3, activation="tanh", init="normal", gain=10.0), 20, "saturated"),
    "tanh, biases of 10": (config(depth=4, activation="tanh", init="normal", bias_std=10.0), 20, "saturated"),
    "sigmoid, sw = 30": (config(depth=3, activation="sigmoid", init="normal", gain=30.0), 20, "saturated"),
    # steps too large for a network that starts soundly and cannot overflow
    "lr far past 2/sharpness, seen at once": (config(lr=2.0), 3, "step_too_large"),
    "one unlucky batch is no leap": (config(lr=0.5, weight_seed=1), 3, "unsure"),
    "tanh at lr 5": (config(activation="tanh", init="xavier", lr=5.0), 40, "step_too_large"),
    "tanh at lr 20": (config(depth=3, activation="tanh", init="xavier", lr=20.0), 40, "step_too_large"),
    "tanh, Adam at 0.5": (config(optimizer="adam", lr=0.5, activation="tanh"), 40, "step_too_large"),
    # clipped nearly always: thresholds far below the usual norm, which is about 1
    "global norm 1e-4": (config(clip="global_norm", clip_threshold=1e-4), 30, "clipped_always"),
    "norm per layer 1e-3": (config(clip="per_layer_norm", clip_threshold=1e-3), 30, "clipped_always"),
    "value 1e-5": (config(clip="value", clip_threshold=1e-5), 30, "clipped_always"),
    # what float16 does to the gradient of a network, which is not to blame
    "sigmoid in float16": (PRESETS["fp16_underflow"], 10, "underflow"),
    "sigmoid in float16, SGD": (
        config(depth=12, activation="sigmoid", init="xavier", precision="float16"),
        10,
        "underflow",
    ),
    "small tanh weights in float16": (
        config(depth=12, activation="tanh", init="normal", gain=0.25, precision="float16"),
        10,
        "underflow",
    ),
    "the loss times 2^26": (config(precision="float16", loss_scale=2.0**26), 2, "overflow"),
    "the loss times 2^24": (PRESETS["fp16_overflow"], 2, "overflow"),
    "the loss times 2^24, skipped": (PRESETS["fp16_overflow"].replace(nonfinite="skip"), 10, "overflow"),
    # stuck
    "all weights 0": (config(init="zeros"), 20, "stuck"),
    "all weights 0, sigmoid": (config(init="zeros", activation="sigmoid", depth=3), 20, "stuck"),
    "lr 0": (config(lr=0.0), 20, "stuck"),
    "lr 1e-9": (config(lr=1e-9), 20, "stuck"),
    "xor without a nonlinearity": (
        config(dataset="xor", activation="linear", init="normal", depth=2, n_samples=512, batch_size=512, lr=0.05),
        100,
        "stuck",
    ),
    # honest doubt
    "two steps": (config(), 2, "unsure"),
    "loss above guessing but falling": (config(depth=30, width=64, norm="layer"), 40, "unsure"),
}


@pytest.mark.parametrize("name", RUNS)
def test_the_verdict_on_a_run_of_known_truth(name):
    knobs, steps, kind = RUNS[name]
    diagnosis = diagnose(Trainer(knobs).run(steps), knobs)
    assert diagnosis.kind == kind, diagnosis
    knobs.replace(**diagnosis.suggestion)  # what is suggested is a valid config
    assert "nan" not in diagnosis.sentence
    assert diagnosis.sentence.endswith(".")
    assert not re.search(r"[.;] [A-Z]", diagnosis.sentence)  # one sentence


def test_every_verdict_is_tested_by_several_runs():
    kinds = [kind for _, _, kind in RUNS.values()]
    assert set(kinds) == set(KINDS) - {"uncleared"}  # which a Trainer cannot do, and a loop of one's own can
    assert len(kinds) >= 20
    assert all(kinds.count(kind) >= 2 for kind in set(kinds))


# ---------------------------------------------------------------------- cures
CURED = [
    "std 1 whatever the fan",
    "tanh, sw = 2: chi = 1.36",
    "sigmoid: chi = 0.056",
    "relu at PyTorch's default: chi = 1/6",
    "std 0.01 whatever the fan",
    "Adam at 0.5",
    "every gradient replaced by its sum",
    "tanh, sw = 10",
    "tanh, biases of 10",
    "tanh at lr 5",
    "global norm 1e-4",
    "all weights 0",
    "lr 0",
]


@pytest.mark.parametrize("name", CURED)
def test_the_suggested_experiment_cures_the_run(name):
    knobs, steps, _ = RUNS[name]
    suggestion = diagnose(Trainer(knobs).run(steps), knobs).suggestion
    assert suggestion
    cured = knobs.replace(**suggestion)
    trainer = Trainer(cured)
    assert diagnose(trainer.run(80), cured).kind == "healthy"
    assert trainer.evaluate()["loss"] < 0.5  # guessing is ln 2 = 0.69


def test_the_suggestion_names_the_knob_that_is_to_blame():
    def suggestion(knobs, steps=40):
        return dict(diagnose(Trainer(knobs).run(steps), knobs).suggestion)

    assert suggestion(config(carry_over="scalar_sum")) == {"carry_over": "none"}
    assert suggestion(config(lr=1.0, accumulation="sum", accumulation_steps=16)) == {"accumulation": "mean"}
    assert suggestion(config(init="pytorch")) == {"init": "kaiming"}
    assert suggestion(config(activation="tanh", init="xavier", lr=5.0)) == {"lr": 0.5}
    assert suggestion(config(depth=20, width=64, residual=True, lr=1e-4)) == {"norm": "layer"}
    assert suggestion(config()) == {}


# ---------------------------------------------------------------------- what is easy to get wrong
def test_an_old_run_that_exploded_and_now_vanishes_is_told_by_its_beginning():
    """By step 200 this run's signal shrinks toward the input: the saturated ruin of weights that were too large."""
    start = config(depth=30, activation="tanh", init="normal", gain=2.0)
    history = Trainer(start).run(250)
    lately = history.column("delta_norm")[-50:]
    assert np.median(lately[:, 0] / lately[:, -2]) < 1 < history[0].delta_norm[0] / history[0].delta_norm[-2]
    found = diagnose(history, start)
    assert found.kind == "exploding"
    assert found.suggestion["gain"] < 2.0


def test_a_signal_that_training_itself_shrank_is_not_said_to_vanish_at_step_0():
    sound = Trainer(config(depth=10, width=32, activation="tanh", init="normal")).run(250)
    shrunk = History(sound.layer_names)
    fall = 10.0 ** -np.linspace(4, 0, 11)  # four decades toward the input
    for record in sound:
        changed = {"delta_norm": fall, "loss": 0.7} if record.step > 10 else {"loss": 0.7}
        shrunk.append(dataclasses.replace(record, **changed))
    found = diagnose(shrunk, config(depth=10, width=32, activation="tanh", init="normal"))
    assert (found.kind, found.key) == ("vanishing", "vanishing_by_now")
    assert (
        "loses 3.6 decades over the 10 hidden layers" in found.sentence
    )  # nine tenths of four, between layers 10 and 1
    assert found.suggestion["lr"] < 0.05


def test_a_flat_weight_gradient_does_not_pass_for_health():
    knobs = config(depth=20, activation="linear", init="normal", gain=1.5, lr=1e-5)
    history = Trainer(knobs).run(5)
    weights = history.column("grad_norm")[0, :-1]
    assert weights[0] / weights[-1] < 10  # nothing to see in dL/dW
    diagnosis = diagnose(history, knobs)
    assert diagnosis.kind == "exploding"
    assert "dL/dW hides it" in diagnosis.sentence


def test_the_evidence_is_what_theory_predicts():
    knobs = config(depth=20, width=256, init="normal", gain=2.0, lr=0.0, n_samples=64, batch_size=64)
    evidence = diagnose(Trainer(knobs).run(1), knobs).evidence
    # chi = sw^2 / 2 = 2, so a norm grows by sqrt(2) per layer; at width 256 the log of the whole ratio spreads by
    # sqrt(5 * 19 / 256) / 2 = 0.3, a few per cent per layer
    assert evidence["rate"] == pytest.approx(math.sqrt(2), rel=0.06)
    assert evidence["decades_start"] == pytest.approx(19 * math.log10(2) / 2, abs=0.5)
    assert evidence["spread"] == pytest.approx(0.5 * math.sqrt(5 * 19 / 256) / math.log(10), rel=1e-12)
    assert evidence["chance"] == pytest.approx(math.log(2), rel=1e-12)
    # |dL/dW_l| = |delta_l| |h_(l-1)|: flat but for the first matrix, whose input is the data of two columns and
    # not |h_1| = sqrt(256 sw^2 / 4) |x| = 16 |x|, which leaves sqrt(2) / 16
    assert evidence["grad_decades_start"] == pytest.approx(math.log10(math.sqrt(2) / 16), abs=0.5)


def test_the_share_of_clipped_steps_is_counted():
    knobs = config(clip="global_norm", clip_threshold=1.0)
    history = Trainer(knobs).run(40)
    clipped = sum(record.total_norm > 1.0 for record in history) / 40
    assert 0 < clipped < 1
    assert diagnose(history, knobs).evidence["clipped_share"] == pytest.approx(clipped, abs=1e-12)


def test_a_finite_loss_at_ln_2_is_not_called_healthy():
    knobs = config(carry_over="scalar_sum")
    diagnosis = diagnose(Trainer(knobs).run(60), knobs)
    assert diagnosis.evidence["loss_now"] == pytest.approx(math.log(2), abs=0.02)
    assert diagnosis.kind == "dead"
    assert "nothing is learned" in diagnosis.sentence


def test_a_divergence_says_where_and_blames_the_init_or_the_step():
    sound = config(lr=20.0)
    history = Trainer(sound).run(20)
    diagnosis = diagnose(history, sound)
    assert diagnosis.sentence.startswith(f"Diverged at step {history.diverged.step}: the activation of layer ")
    assert diagnosis.key == "diverged_step"
    assert diagnosis.suggestion == {"lr": 2.0}
    unsound = config(init="fixed")
    diagnosis = diagnose(Trainer(unsound).run(20), unsound)
    assert diagnosis.key == "diverged_exploding"
    assert diagnosis.suggestion == {"init": "kaiming"}


@pytest.mark.parametrize(("lr", "kind"), [(0.9, "healthy"), (1.02, "step_too_large")])
def test_either_side_of_the_stability_limit_of_a_parabola(lr, kind):
    # L = (w - 1)^2 has curvature 2: gradient descent is stable below lr = 2/2 = 1
    network = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        network.weight.fill_(3.0)
    data = torch.ones(8, 1), torch.ones(8, 1)
    knobs = config(lr=lr, batch_size=8)
    assert diagnose(Trainer(knobs, network=network, data=data).run(40), knobs).kind == kind


# ---------------------------------------------------------------------- any network
def test_units_killed_by_their_biases_are_dead_from_the_start():
    torch_linear = [nn.utils.skip_init(nn.Linear, a, b) for a, b in ((2, 16), (16, 16), (16, 16), (16, 2))]
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for linear in torch_linear:
            linear.weight.normal_(0, 0.3, generator=generator)
            linear.bias.zero_()
        torch_linear[1].bias.fill_(-100.0)
    layers = [m for linear in torch_linear[:-1] for m in (linear, nn.ReLU())]
    network = nn.Sequential(*layers, torch_linear[-1])
    diagnosis = diagnose(Trainer(config(), network=network).run(10), config())
    assert diagnosis.kind == "dead"
    assert diagnosis.evidence["dead_layer"] == 2
    assert diagnosis.suggestion == {}  # the network is somebody's own: no knob of its layers is ours


@pytest.mark.parametrize(("gain", "kind"), [(1.0, "healthy"), (3.0, "exploding"), (0.3, "vanishing")])
def test_a_watched_network_is_diagnosed_without_a_config(gain, kind):
    generator = torch.Generator().manual_seed(0)
    sizes = [2, *[32] * 20, 2]
    layers = []
    for n_in, n_out in pairwise(sizes):
        linear = nn.utils.skip_init(nn.Linear, n_in, n_out)
        with torch.no_grad():
            linear.weight.normal_(0, gain / math.sqrt(n_in), generator=generator)
            linear.bias.zero_()
        layers += [linear, nn.Tanh()]
    network = nn.Sequential(*layers[:-1])
    x = torch.randn(64, 2, generator=generator)
    y = (x[:, 0] > 0).long()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
    with watch(network, optimizer) as history:
        for _ in range(40):
            optimizer.zero_grad()
            F.cross_entropy(network(x), y).backward()
            optimizer.step()
    diagnosis = diagnose(history)
    assert diagnosis.kind == kind, diagnosis
    assert diagnosis.suggestion == {}
    assert "chance" not in diagnosis.evidence


def test_a_knob_moved_during_the_run_counts_from_then_on():
    trainer = Trainer(config(clip="global_norm", clip_threshold=1e-4))
    trainer.run(20)
    assert diagnose(trainer.history, trainer.config).kind == "clipped_always"
    trainer.reconfigure(clip="none")
    trainer.run(60)
    assert diagnose(trainer.history, trainer.config).kind == "healthy"


def test_a_recurrent_network_whose_signal_dies_over_the_time_steps_is_never_healthy():
    knobs = config(dataset="latch", architecture="rnn", activation="linear", depth=1, width=16, recurrent_gain=0.5)
    history = Trainer(knobs).run(20)
    # a linear RNN with W = gain * orthogonal changes the signal by exactly gain per step, 31 times over 32 steps
    assert diagnose(history, knobs).evidence["through_time"] == pytest.approx(31 * math.log10(0.5), abs=1e-3)
    assert diagnose(history, knobs).kind == "vanishing"
    assert verdict(history, knobs).headline == "VANISHING THROUGH TIME"


# ---------------------------------------------------------------------- the sentences
@pytest.mark.parametrize("name", ["relu, Kaiming", "sigmoid: chi = 0.056", "std 1 whatever the fan"])
def test_a_diagnosis_in_chinese_is_the_same_diagnosis(name):
    knobs, steps, _ = RUNS[name]
    history = Trainer(knobs).run(steps)
    english, chinese = diagnose(history, knobs), diagnose(history, knobs, lang="zh")
    assert (english.kind, english.evidence, english.suggestion) == (
        chinese.kind,
        chinese.evidence,
        chinese.suggestion,
    )
    assert re.search("[\u4e00-\u9fff]", chinese.sentence)
    assert not re.search("[{}]", chinese.sentence)


def test_a_diagnosis_is_frozen_and_its_numbers_are_plain():
    knobs = config(depth=2)
    diagnosis = diagnose(Trainer(knobs).run(5), knobs)
    with pytest.raises(dataclasses.FrozenInstanceError):
        diagnosis.kind = "healthy"
    with pytest.raises(TypeError):
        diagnosis.evidence["rate"] = 1.0
    assert all(type(value) is float and not np.isnan(value) for value in diagnosis.evidence.values())


def test_an_empty_history_is_too_short_to_say():
    diagnosis = diagnose(History(["layer 1"]))
    assert diagnosis.kind == "unsure"
    assert diagnosis.sentence.startswith("Too short to say")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"history": [1, 2]}, "expected a History"),
        ({"config": {"lr": 1}}, "expected a Config or None"),
        ({"lang": "fr"}, "lang='fr'; expected one of en, zh"),
    ],
)
def test_bad_arguments_are_refused_by_name(arguments, message):
    given = {"history": History(["layer 1"])} | arguments
    with pytest.raises(ValueError, match=message):
        diagnose(**given)


# ---------------------------------------------------------------------- the verdict
def test_a_verdict_keeps_step_0_and_now_apart_and_never_calls_an_explosion_healthy():
    knobs = config(depth=30, width=64, activation="tanh", init="normal", gain=2.0, lr=0.02)
    history = Trainer(knobs).run(60)
    at_first = history[0].delta_norm[0] / history[0].delta_norm[-2]
    found = verdict(history, knobs)
    assert found.headline == f"EXPLODED x{at_first:.3g}, CAME THROUGH"
    assert found.start.startswith(f"Step 0: x{at_first:.3g} over 30 layers")
    assert found.now.startswith("Now: x")
    assert "the signal came down" in found.now
    assert found.tone == "good"
    assert found.kind == diagnose(history, knobs).kind == "exploding"


@pytest.mark.parametrize(
    ("name", "headline", "tone"),
    [
        ("relu, Kaiming", r"LEVEL x[\d.]+", "good"),
        ("sigmoid: chi = 0.056", r"VANISHING x\de-\d", "bad"),
        ("std 1 whatever the fan", "DIVERGED", "bad"),
        ("Adam at 0.5", r"DEAD: layer \d", "bad"),
        ("tanh at lr 20", "STEP TOO LARGE", "bad"),
        ("tanh, sw = 10", r"SATURATED \d+ %", "bad"),
        ("global norm 1e-4", "ALWAYS CLIPPED", "bad"),
        ("xor without a nonlinearity", "AT CHANCE", "bad"),
        ("two steps", r"LEVEL x[\d.]+", "unknown"),
    ],
)
def test_a_headline_is_short_and_says_what_it_is(name, headline, tone):
    knobs, steps, _ = RUNS[name]
    history = Trainer(knobs).run(steps)
    found = verdict(history, knobs)
    assert re.fullmatch(headline, found.headline)
    assert found.tone == tone
    assert len(found.headline) <= 32
    assert "nan" not in found.line
    assert re.search("[\u4e00-\u9fff]", verdict(history, knobs, lang="zh").line)


def test_before_the_first_step_there_is_no_verdict():
    assert (verdict(History(["layer 1"])).headline, verdict(History(["layer 1"])).tone) == ("", "unknown")


# ---------------------------------------------------------------------- through time
LATCH = {"architecture": "rnn", "dataset": "latch", "depth": 1, "width": 16, "init": "normal", "activation": "tanh"}
TIMES = {
    "vanishing_time": ({"recurrent_gain": 0.5}, "vanishing", {"recurrent_gain": 1.0}),
    "exploding_time": ({"recurrent_gain": 3.0, "lr": 0.5}, "exploding", {"clip": "global_norm"}),
    "vanishing_truncated": ({"truncate": 5}, "vanishing", {"truncate": 0}),
    "forget gate": ({"architecture": "lstm", "forget_bias": 0.0}, "vanishing", {"forget_bias": 1.0}),
}


@pytest.mark.parametrize("case", TIMES)
def test_a_signal_that_dies_or_grows_through_time_is_named_with_what_to_change(case):
    moved, kind, change = TIMES[case]
    knobs = config(**{**LATCH, "sequence_length": 30, "lr": 0.05, **moved})
    history = Trainer(knobs).run(30)
    found, shown = diagnose(history, knobs), verdict(history, knobs)
    assert found.kind == shown.kind == kind
    assert found.suggestion == change
    assert "TIME" in shown.headline
    norms = history[0].time_norm[0]
    if case == "vanishing_truncated":
        assert "the first 25 time steps" in found.sentence
    else:
        assert f"{abs(np.log10(norms[0] / norms[-1])):.1f} decades" in found.sentence


def test_a_recurrent_network_that_learns_is_not_called_ill_for_its_signal_through_time():
    knobs = config(**LATCH, sequence_length=8, optimizer="adam", lr=0.01, recurrent_gain=0.25)
    history = Trainer(knobs).run(200)
    assert history[0].time_norm[0, 0] < 1e-4 * history[0].time_norm[0, -1]
    assert diagnose(history, knobs).kind == "healthy"
    shown = verdict(history, knobs)
    assert re.fullmatch(r"THROUGH TIME x[\de.-]+", shown.headline)
    assert shown.start.endswith("over all time steps.")


DEEP = {"architecture": "transformer", "depth": 12, "heads": 2, "init": "xavier", "optimizer": "adam", "lr": 0.005}
SHUT = {
    "saturated_gates": {"architecture": "lstm", "gain": 20.0},
    "saturated_attention": {"architecture": "transformer", "gain": 8.0, "lr": 1e-4},
    "stuck_warmup": {**DEEP, "norm_position": "post", "sequence_length": 8, "n_samples": 512},
    "diverged_time": {"activation": "relu", "recurrent_gain": 2.0, "lr": 0.1},
}


def largest_attention(trainer):
    network, block = trainer.network, trainer.network.block1  # pre-LN
    read = block.qkv(block.attention_norm(network.embed(trainer.data.x) + network.place))
    q, k, _ = (part.unflatten(2, (block.heads, -1)).transpose(1, 2) for part in read.chunk(3, 2))
    return (q @ k.mT / q.shape[-1] ** 0.5).softmax(3).amax(3).mean()


@pytest.mark.parametrize(
    ("key", "change", "headline"),
    [
        ("saturated_gates", {"init": "xavier", "gain": 1.0}, r"SATURATED GATES \d\d %"),
        ("saturated_attention", {"init": "xavier", "gain": 1.0}, "SATURATED ATTENTION"),
        ("stuck_warmup", {"warmup": 100}, "AT CHANCE"),
        ("diverged_time", {"clip": "global_norm"}, "DIVERGED"),
    ],
)
def test_gates_attention_and_steps_that_stop_a_sequence_from_being_learned_are_named(key, change, headline):
    knobs = config(**{**LATCH, "sequence_length": 30, "n_samples": 64, **SHUT[key]})
    trainer = Trainer(knobs)
    history = trainer.run(60)
    found = diagnose(history, knobs)
    assert (found.key, found.suggestion) == (key, change)
    assert re.fullmatch(headline, verdict(history, knobs).headline)
    if key == "saturated_attention":  # which is what it says
        assert largest_attention(trainer) > 0.75 > 0.5 > largest_attention(Trainer(knobs.replace(**change)))


def test_the_gates_that_stand_at_their_ends_are_counted_as_torch_computes_them():
    knobs = config(
        **{**LATCH, "architecture": "lstm", "gain": 9.0, "sequence_length": 5, "batch_size": 64}, n_samples=64
    )
    trainer = Trainer(knobs)
    cell, x = trainer.network.cells[0], trainer.data.x
    h, c, shares = torch.zeros(64, 16), torch.zeros(64, 16), []
    with torch.no_grad():
        for t in range(5):
            z = cell.input(x[:, t]) + cell.recurrent(h)
            shares.append(((z.sigmoid() - 0.5).abs() > 0.475).float().mean().item())  # within 2.5 % of an end
            i, f, g, o = z.chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
    assert trainer.step().saturated[1] == pytest.approx(np.mean(shares), abs=1e-3)  # a rounding at the border
    assert diagnose(trainer.history, knobs).evidence["gates"] == trainer.history[0].saturated[1]


def test_a_transformer_whose_step_is_too_large_is_told_to_warm_up():
    knobs = config(architecture="transformer", dataset="latch", depth=4, width=16, sequence_length=12, lr=2.0)
    found = diagnose(Trainer(knobs).run(60), knobs)
    assert found.suggestion == {"warmup": 100}
