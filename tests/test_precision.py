"""Half precision: a network trained in float16 or bfloat16 with float32 master weights, and its loss scale."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import gradlab
from gradlab import PRESETS, Config, Trainer, diagnose
from gradlab.history import History
from gradlab.theory import floor_depth
from tests.helpers.histories import record

HALVES = {"float16": torch.float16, "bfloat16": torch.bfloat16}


def plain_half_loop(trainer, steps, scale=1.0, scaler=None):
    """Train the same network by a loop of plain PyTorch; return losses, scales, whether skipped, and the weights."""
    config, dtype = trainer.config, HALVES[trainer.config.precision]
    master = copy.deepcopy(trainer.network)
    optimizer = torch.optim.SGD(master.parameters(), lr=config.lr)
    half = copy.deepcopy(master).to(dtype)
    order, losses, scales, skipped = torch.Generator().manual_seed(config.batch_seed), [], [], []
    while len(losses) < steps:
        for rows in torch.randperm(trainer.data.n, generator=order).split(config.batch_size):
            with torch.no_grad():
                for mine, its in zip(half.parameters(), master.parameters(), strict=True):
                    mine.copy_(its)
            loss = F.cross_entropy(half(trainer.data.x[rows].to(dtype)).float(), trainer.data.y[rows])
            scales.append(scale if scaler is None else scaler.get_scale())
            grads = torch.autograd.grad(loss * scale if scaler is None else scaler.scale(loss), half.parameters())
            for p, g in zip(master.parameters(), grads, strict=True):
                p.grad = g.float() / scale
            before = [p.detach().clone() for p in master.parameters()]
            if scaler is None:
                optimizer.step()
            else:
                scaler.step(optimizer)
                scaler.update()
            skipped.append(all(map(torch.equal, before, master.parameters())))
            losses.append(loss.item())
            if len(losses) == steps:
                break
    return losses, scales, skipped, list(master.parameters())


@pytest.mark.parametrize("precision", HALVES)
@pytest.mark.parametrize("scale", [1.0, 1024.0])
def test_a_half_run_has_the_bits_of_a_plain_loop_with_master_weights(precision, scale):
    trainer = Trainer(Config(depth=4, precision=precision, loss_scale=scale))
    losses, _, _, weights = plain_half_loop(trainer, 25, scale)
    trainer.run(25)
    assert trainer.history.column("loss").tolist() == losses
    for mine, its in zip(trainer.network.parameters(), weights, strict=True):
        assert mine.dtype == torch.float32
        assert torch.equal(mine, its)


def test_a_dynamic_scale_moves_and_skips_as_torchs_scaler_does():
    # gradients of about 3 overflow float16 at 2^16: the scale comes down until they fit
    trainer = Trainer(Config(depth=4, gain=2.0, lr=1e-4, precision="float16", loss_scale="dynamic"))
    scaler = torch.amp.GradScaler("cpu")
    losses, scales, skipped, weights = plain_half_loop(trainer, 30, scaler=scaler)
    history = trainer.run(30)
    assert 1 <= sum(skipped) < 30, "the planted overflow did not happen"
    assert history.column("loss_scale").tolist() == scales
    assert (history.column("applied") == 0).tolist() == skipped
    assert history.column("loss").tolist() == losses
    assert all(map(torch.equal, trainer.network.parameters(), weights))
    assert [m.step for m in history.marks if m.kind == "skipped"] == [i for i, s in enumerate(skipped) if s]
    assert history.diverged is None


@pytest.mark.parametrize("nonfinite", ["stop", "continue"])
def test_an_overflow_is_skipped_whatever_a_clip_makes_of_it(nonfinite):
    config = Config(depth=4, gain=2.0, lr=1e-4, precision="float16", loss_scale="dynamic", nonfinite=nonfinite)
    trainer = Trainer(config.replace(clip="value"))  # which makes a number of what is infinite
    before = [p.detach().clone() for p in trainer.network.parameters()]
    assert not trainer.step().applied
    assert all(map(torch.equal, trainer.network.parameters(), before))


def test_two_thousand_good_steps_double_a_dynamic_scale_as_torchs_scaler_does():
    from gradlab.engine.precision import LossScale

    scaler, found = torch.amp.GradScaler("cpu"), LossScale.of("dynamic")
    p = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([p], lr=0.1)
    for step in range(2060):
        overflow = step in (3, 4, 30)
        scaler.scale(torch.zeros(()))
        p.grad = torch.full((1,), np.inf if overflow else 1.0)
        scaler.step(optimizer)
        scaler.update()
        found = found.after(overflow)
        assert found.scale == scaler.get_scale()
    assert found.scale == 2.0**14


def test_skips_and_scale_belong_to_the_state_that_rewinds():
    trainer = Trainer(Config(depth=4, gain=2.0, lr=1e-4, precision="float16", loss_scale="dynamic"))
    first = trainer.run(20).column("loss_scale").tolist()
    weights = [p.detach().clone() for p in trainer.network.parameters()]
    for step in (1, 5):
        trainer.rewind(step)
        assert trainer.run(20 - step).column("loss_scale").tolist() == first
        assert all(map(torch.equal, trainer.network.parameters(), weights))
    trainer.reconfigure(loss_scale=8.0)
    assert trainer.step().loss_scale == 8.0
    trainer.rewind(19)
    assert trainer.step().loss_scale == first[-1]


def test_what_overflows_at_a_fixed_scale_follows_the_rule_for_steps_that_are_not_finite():
    config = Config(depth=4, gain=2.0, lr=1e-4, precision="float16", loss_scale=2.0**16)
    stopped = Trainer(config).run(5)
    assert len(stopped) == 1
    assert stopped.diverged.tensor == "gradient"
    assert stopped.column("overflow_share")[0].max() > 0
    skipping = Trainer(config.replace(nonfinite="skip")).run(5)
    assert not skipping.column("applied").any()
    assert skipping.column("loss_scale").tolist() == [2.0**16] * 5


@pytest.mark.parametrize("knobs", [{"depth": 4}, {"architecture": "rnn", "dataset": "latch", "sequence_length": 5}])
def test_a_loss_scale_moves_no_gradient_that_is_recorded(knobs):
    plain, scaled = (Trainer(Config(loss_scale=s, **knobs)).run(10) for s in (1.0, 4096.0))
    for name in ("loss", "grad_norm", "delta_norm", "update_ratio", "time_norm"):
        assert np.array_equal(plain.column(name), scaled.column(name)), name


# ---------------------------------------------------------------------- shares
def test_shares_are_those_that_can_be_counted_by_hand():
    network = nn.Linear(4, 2, bias=False)
    with torch.no_grad():
        network.weight.zero_()
    x = torch.tensor([[4.0, 2.0**-20, 2.0**-26, 0.0]])
    # dL/dW of the sum of outputs is x in both rows: 2^-20 is subnormal in float16, 2^-26 rounds to zero
    trainer = Trainer(
        Config(precision="float16"), network=network, data=(x, torch.zeros(1, 2)), loss=lambda out, y: out.sum()
    )
    record = trainer.step()
    assert (record.zero_share[0], record.subnormal_share[0], record.overflow_share[0]) == (0.5, 0.25, 0.0)
    trainer.reconfigure(loss_scale=2.0**15)  # 4 becomes 2^17, past the largest; 2^-26 in x was zero before
    record = trainer.step()
    assert (record.zero_share[0], record.subnormal_share[0], record.overflow_share[0]) == (0.5, 0.0, 0.25)


def test_shares_of_a_float32_run_are_counted_in_float32():
    trainer = Trainer(Config(depth=30, activation="sigmoid", init="normal", gain=0.05, precision="full"))
    record, gradients = trainer.step(), []
    trainer.rewind(0)
    rows = trainer.next_window().micro_batches[0]
    loss = trainer.data.loss(trainer.network(trainer.data.x[rows]), trainer.data.y[rows])
    gradients = torch.autograd.grad(loss, [m.weight for m in trainer.network.linears])
    tiny = torch.finfo(torch.float32).tiny
    zero = [float((g == 0).double().mean()) for g in gradients]
    subnormal = [float(((g != 0) & (g.abs() < tiny)).double().mean()) for g in gradients]
    assert record.zero_share.tolist() == zero
    assert record.subnormal_share.tolist() == subnormal
    assert max(zero) == 1.0
    assert max(subnormal) > 0


def test_micro_batches_count_alike_in_the_shares_of_a_half_run():
    config = Config(depth=3, precision="float16", batch_size=16)
    together = Trainer(config.replace(accumulation="mean", accumulation_steps=2)).step()
    apart = Trainer(config.replace(lr=0.0)).run(2)
    assert together.zero_share == pytest.approx(apart.column("zero_share").mean(0))
    assert together.grad_norm == pytest.approx(
        Trainer(config.replace(batch_size=32)).step().grad_norm,
        rel=2e-3,  # eleven bits of a gradient
    )


# ---------------------------------------------------------------------- other networks, refusals
@pytest.mark.parametrize(
    "knobs",
    [
        {"norm": "batch", "depth": 3},
        {"norm": "layer", "residual": True, "depth": 3},
        {"architecture": "lstm", "dataset": "latch", "depth": 1, "activation": "tanh"},
        {"architecture": "transformer", "dataset": "latch", "depth": 1},
    ],
    ids=["batch norm", "layer norm", "lstm", "transformer"],
)
def test_every_kind_of_network_runs_in_half_near_its_float32_twin(knobs):
    half, full = (Trainer(Config(precision=p, **knobs)).step() for p in ("bfloat16", "full"))
    assert half.loss == pytest.approx(full.loss, rel=0.02)  # eight bits a number
    assert half.grad_norm == pytest.approx(full.grad_norm, rel=0.3)


def test_batch_norm_keeps_its_statistics_in_float32_and_they_rewind():
    trainer = Trainer(Config(depth=2, norm="batch", precision="float16"))
    means = [buffer.clone() for name, buffer in trainer.network.named_buffers() if name.endswith("mean")]
    trainer.run(3)
    moved = [buffer for name, buffer in trainer.network.named_buffers() if name.endswith("mean")]
    assert all(m.dtype == torch.float32 for m in moved)
    assert not any(map(torch.equal, means, moved))
    trainer.rewind(0)
    assert all(map(torch.equal, means, moved))


@pytest.mark.parametrize("precision", HALVES)
def test_a_network_given_in_half_is_trained_in_half(precision):
    torch.manual_seed(0)
    seen = []

    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(2, 8), nn.Linear(8, 2)

        def forward(self, x):
            seen.append(x.dtype)
            return self.last(torch.relu(self.first(x)))

    trainer = Trainer(Config(), network=Own().to(HALVES[precision]))
    history = trainer.run(3)
    assert set(seen) == {HALVES[precision]}
    assert trainer.config.precision == history.precision == precision
    assert {p.dtype for p in trainer.network.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("config", "dtypes", "words"),
    [
        ({"precision": "bfloat16"}, (torch.float16, torch.float16), "precision='bfloat16'"),
        ({"dtype": "float64"}, (torch.float16, torch.float16), "dtype='float64'"),
        ({}, (torch.float16, torch.bfloat16), "bfloat16, float16"),
    ],
)
def test_a_network_given_in_half_that_cannot_be_is_refused_in_words(config, dtypes, words):
    network = nn.Sequential(nn.Linear(2, 4).to(dtypes[0]), nn.Linear(4, 2).to(dtypes[1]))
    with pytest.raises(ValueError, match=words):
        Trainer(Config(**config), network=network)


def test_half_precision_with_float64_weights_is_refused():
    with pytest.raises(ValueError, match="precision='float16' with dtype='float64'; expected dtype='float32'"):
        Config(precision="float16", dtype="float64")


# ---------------------------------------------------------------------- presets
SEEDS = range(8)


def seeded(config, seed):
    return config.replace(weight_seed=seed, batch_seed=seed)


def test_without_a_loss_scale_the_first_layer_gets_exactly_nothing_on_every_seed():
    for seed in SEEDS:
        trainer = Trainer(seeded(PRESETS["fp16_underflow"], seed))
        first = trainer.network.linears[0].weight.detach().clone()
        history = trainer.run(10)
        assert (history.column("zero_share")[:, 0] == 1.0).all()
        assert torch.equal(first, trainer.network.linears[0].weight)


def test_with_a_loss_scale_the_same_weights_get_the_gradient_of_float32_on_every_seed():
    for seed in SEEDS:
        scaled, full = (
            Trainer(seeded(PRESETS["fp16_scaled"], seed).replace(**knobs)).preview()
            for knobs in ({}, {"precision": "full", "loss_scale": 1.0})
        )
        assert not scaled.zero_share.any()
        assert scaled.grad_norm == pytest.approx(full.grad_norm, rel=0.02)  # eleven bits, through ten layers
        assert scaled.loss_scale == 2.0**16


def test_a_scale_too_large_overflows_float16_at_once_and_no_float32_on_every_seed():
    for seed in SEEDS:
        config = seeded(PRESETS["fp16_overflow"], seed)
        history = Trainer(config).run(2)
        assert (len(history), history.diverged.tensor) == (1, "gradient")
        assert Trainer(config.replace(precision="full")).run(2).diverged is None


def test_a_dynamic_scale_skips_what_overflows_and_learns_on_every_seed():
    for seed in SEEDS:
        trainer = Trainer(seeded(PRESETS["fp16_dynamic"], seed))
        history = trainer.run(40)
        assert history.diverged is None
        assert (history.column("applied") == 0).sum() <= 4
        assert np.median(history.column("loss")[-5:]) < 0.45  # guessing costs 0.69


def test_steps_of_the_master_copy_are_below_half_an_ulp_of_most_bfloat16_weights_on_every_seed():
    for seed in SEEDS:
        trainer = Trainer(seeded(PRESETS["bf16_master"], seed))
        before = [m.weight.detach().clone() for m in trainer.network.linears]
        trainer.run(1)
        pairs = [(b, m.weight - b) for b, m in zip(before, trainer.network.linears, strict=True)]
        moving = [(b.bfloat16(), d.bfloat16()) for b, d in pairs]
        stuck = [float((w + d == w)[d != 0].double().mean()) for w, d in moving]
        assert min(stuck[1:-1]) > 0.75  # steps of 1e-4: half an ulp is larger from 1/16 on, |Z| > 1/4
        assert all((d != 0).any() for _, d in pairs)


# ---------------------------------------------------------------------- diagnosis and theory
@pytest.mark.parametrize(
    ("name", "steps", "kind", "suggestion"),
    [
        ("fp16_underflow", 30, "underflow", {"loss_scale": "dynamic"}),
        ("fp16_overflow", 2, "overflow", {"loss_scale": "dynamic"}),
        ("fp16_dynamic", 40, "healthy", {}),
        ("bf16_master", 60, "healthy", {}),
    ],
)
def test_what_the_format_did_is_not_blamed_on_the_weights(name, steps, kind, suggestion):
    config = PRESETS[name]
    found = diagnose(Trainer(config).run(steps), config)
    assert (found.kind, dict(found.suggestion)) == (kind, suggestion)
    assert kind == "healthy" or "float16" in found.sentence


def test_activations_beyond_float16_are_told_from_a_scale_that_is_too_large():
    x = torch.randn(64, 2, generator=torch.Generator().manual_seed(0)) * 1e5
    config = Config(precision="float16")
    found = diagnose(Trainer(config, data=(x, torch.arange(64) % 2)).run(3), config)
    assert (found.kind, found.key) == ("overflow", "overflow_forward")
    assert found.suggestion == {"precision": "bfloat16"}


def test_the_scale_to_try_leaves_one_percent_of_a_gaussian_gradient_at_zero():
    # of N(0, 2^-26) the share erf(2^-25 / (2^-26 sqrt 2)) = .9545 is zero; 1 % is left at 2^-18.7
    history = History([f"layer {i + 1}" for i in range(5)])
    history.precision = "float16"
    for step in range(6):
        shares = {"zero_share": np.full(5, 0.9545), "subnormal_share": np.full(5, 0.1)}
        history.append(dataclasses.replace(record(step, np.ones(5)), **shares))
    found = diagnose(history, Config(precision="float16", depth=4))
    assert found.kind == "underflow"
    assert found.suggestion == {"loss_scale": 256.0}  # 2 / .01253 = 159.6, the next power of two


def test_chi_says_at_which_depth_the_signal_reaches_the_floor_of_the_format():
    config = PRESETS["fp16_underflow"]
    depth = floor_depth(config)
    halves = []
    for seed in SEEDS:
        zero = Trainer(seeded(config, seed)).preview().zero_share
        halves.append(config.depth - int(np.flatnonzero(zero > 0.5)[-1] + 1))  # layers crossed below the last hidden
    assert depth == pytest.approx(np.mean(halves), abs=1.5)  # entries spread by a factor of about four
    scaled = floor_depth(config.replace(loss_scale=2.0**16))
    assert scaled - depth == pytest.approx(16 * np.log(2) / -np.log(np.sqrt(0.0557207)), rel=1e-3)
    assert floor_depth(Config(precision="float16")) == np.inf  # critical: chi = 1


# ---------------------------------------------------------------------- somebody else's loop
@pytest.mark.parametrize(("scale", "kind"), [(1.0, "underflow"), (2.0**16, ""), (2.0**40, "overflow")])
def test_a_watched_fp16_loop_shows_what_its_format_loses_before_it_blames_the_weights(scale, kind):
    torch.manual_seed(0)
    config = PRESETS["fp16_underflow"]
    network = Trainer(config.replace(precision="full")).network
    x = torch.randn(64, 2)
    y = (x[:, 0] > 0.3).long()  # uneven classes: equal ones cancel exactly where all outputs are alike
    optimizer, scaler = torch.optim.SGD(network.parameters(), lr=0.1), torch.amp.GradScaler("cpu", init_scale=scale)
    counted, scales = [], []
    with gradlab.watch(network, optimizer, scaler=scaler) as history:
        for _ in range(8):
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.float16):
                output = network(x)
            scaler.scale(F.cross_entropy(output.float(), y)).backward()
            grads = [layer.weight.grad for layer in network.linears]
            kinds = [(g == 0, (g != 0) & (g.abs() < 2.0**-14), ~torch.isfinite(g)) for g in grads]
            counted.append([[float(kind.double().mean()) for kind in own] for own in kinds])
            scales.append(scaler.get_scale())
            scaler.step(optimizer)
            scaler.update()
    wanted, layers = np.array(counted), len(network.linears)
    for k, name in enumerate(("zero_share", "subnormal_share", "overflow_share")):
        assert history.column(name)[:, :layers] == pytest.approx(wanted[:, :, k], abs=1e-12), name
    assert history.column("loss_scale").tolist() == scales
    found = diagnose(history, num_classes=2).kind
    assert found == kind if kind else found not in ("underflow", "overflow")
