"""Divergence as data: each tensor provoked, named with step and layer, and stop, skip and continue."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gradlab import PRESETS, Config, Divergence, Trainer

X, Y = torch.linspace(-1, 1, 16).reshape(8, 2), torch.linspace(-1, 1, 8)[:, None]


class Poison(torch.autograd.Function):
    """Identity whose backward pass multiplies by a factor."""

    @staticmethod
    def forward(ctx, x, factor):
        ctx.factor = factor
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.factor, None


class Chain(nn.Module):
    """Four linear layers; the backward pass can go wrong at the output of any of them, from some call on."""

    def __init__(self, at=None, backward=1.0, healthy_calls=0):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))
        self.layers.append(nn.Linear(2, 1))
        generator = torch.Generator().manual_seed(0)
        for p in self.parameters():
            nn.init.normal_(p, std=0.5, generator=generator)
        self.at, self.factor, self.healthy_calls = at, backward, healthy_calls
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x):
        self.seen += 1
        for i, layer in enumerate(self.layers, start=1):
            x = layer(x)
            if i == self.at and self.seen > self.healthy_calls:
                x = Poison.apply(x, self.factor)
        return x


def diverge(n=5, config=None, **chain):
    trainer = Trainer(config or Config(batch_size=8, lr=0.01), network=Chain(**chain), data=(X, Y))
    trainer.run(n)
    return trainer


def assert_named(found, step, layer, tensor, value):
    assert (found.step, found.layer, found.tensor) == (step, layer, tensor)
    assert found.value == value or (math.isnan(found.value) and math.isnan(value))


@pytest.mark.parametrize("layer", [1, 2, 3, 4])
@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_an_activation_that_is_not_finite_is_named_with_the_first_such_layer(layer, value):
    """Layer l hands on inf or NaN in a built-in network: its biases are put there by hand."""
    trainer = Trainer(Config(depth=3, activation="linear"))
    trainer.run(2)
    with torch.no_grad():
        trainer.network.linears[layer - 1].bias.fill_(value)
    trainer.step()
    found = trainer.history.diverged
    assert (found.step, found.layer, found.tensor) == (2, layer, "activation")
    assert not math.isfinite(found.value)
    assert math.isnan(found.value) == math.isnan(value)


def test_an_activation_that_grows_out_of_float32_is_named_with_its_layer():
    """Weights of a constant 1e8, width 4, inputs near 1: 1e8, 4e16, 1.6e25, 6.4e33, then beyond 3.4e38."""
    trainer = Trainer(Config(depth=8, width=4, activation="linear", init="constant", gain=1e8))
    x = trainer.data.x[torch.randperm(512, generator=torch.Generator().manual_seed(0))[:32]]
    layer, h = 0, x
    while torch.isfinite(h).all():
        h, layer = h @ torch.full((h.shape[1], 4), 1e8), layer + 1
    record = trainer.step()
    found = trainer.history.diverged
    assert (found.step, found.layer, found.tensor) == (0, layer, "activation")
    assert found.sentence.startswith(f"Diverged at step 0: the activation of layer {layer} is ")
    assert not record.applied
    assert np.isfinite(record.activation_std[: layer - 1]).all()


def test_micro_batches_that_overflow_both_ways_are_measured_without_a_warning():
    """The means of one layer's activations are -inf in one micro-batch and inf in the next: together NaN."""
    x = torch.tensor([[-1e300, -1e300], [1e300, 1e300]], dtype=torch.float64)
    linear = nn.Linear(2, 1, dtype=torch.float64)
    nn.init.constant_(linear.weight, 1e100)
    config = Config(batch_size=1, accumulation="mean", accumulation_steps=2, dtype="float64")
    trainer = Trainer(config, network=linear, data=(x, torch.zeros(2)))
    trainer.run(1)
    found = trainer.history.diverged
    assert (found.step, found.layer, found.tensor) == (0, 1, "activation")
    assert math.isinf(found.value)


def test_the_largest_finite_activations_are_no_divergence():
    """Entries near +-3e38 are finite, although their float32 sum and the spread about their mean are not."""
    x = torch.tensor([[3e38], [3e38], [3e38], [-3e38]])
    network = nn.Linear(1, 1, bias=False)
    nn.init.ones_(network.weight)
    config = Config(batch_size=4, lr=0.0)
    trainer = Trainer(config, network=network, data=(x, torch.zeros(4)), loss=lambda out, y: (out * 1e-38).mean())
    record = trainer.step()
    assert trainer.history.diverged is None
    assert record.activation_std[0] == pytest.approx(3e38 * math.sqrt(3) / 2, rel=1e-6)  # float32 inputs


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_a_loss_that_is_not_finite_where_all_activations_are_is_the_loss(value):
    def loss(output, y):
        return F.mse_loss(output, y) + value

    trainer = Trainer(Config(batch_size=4, depth=1), data=(X, Y), loss=loss)
    trainer.step()
    assert_named(trainer.history.diverged, 0, None, "loss", value)
    assert trainer.history.diverged.layer_name == ""


@pytest.mark.parametrize("layer", [1, 2, 3, 4])
@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_a_gradient_that_is_not_finite_is_named_with_the_layer_where_the_backward_pass_met_it_first(layer, value):
    trainer = diverge(at=layer, backward=value)
    found = trainer.history.diverged
    assert (found.step, found.layer, found.tensor) == (0, layer, "gradient")
    assert found.layer_name == f"layers.{layer - 1}"
    assert not math.isfinite(found.value)


def test_a_gradient_that_turns_bad_later_names_that_step():
    trainer = diverge(n=9, at=2, backward=math.nan, healthy_calls=4)
    assert_named(trainer.history.diverged, 4, 2, "gradient", math.nan)
    assert len(trainer.history) == 5
    assert trainer.step_count == 4


@pytest.mark.parametrize("rule", ["stop", "skip", "continue"])
def test_a_weight_that_overflows_in_the_update_is_named_with_its_layer(rule):
    """Layer 2 gets a finite gradient of about 1e36, the others none to speak of; lr 1e4 takes it out of float32."""
    config = Config(batch_size=8, lr=1e4, nonfinite=rule, dtype="float32")
    scale = torch.tensor([1e-30, 1e36, 1e-30])

    class Three(nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = nn.ModuleList(nn.Linear(1, 1, bias=False) for _ in range(3))
            for part in self.parts:
                nn.init.ones_(part.weight)

        def forward(self, x):
            return torch.cat([part(x) for part in self.parts], 1)

    def loss(output, y):
        return (output * scale).mean()

    trainer = Trainer(config, network=Three(), data=(torch.ones(8, 1), torch.zeros(8)), loss=loss)
    before = copy.deepcopy(trainer.network.state_dict())
    record = trainer.step()
    where = trainer.history.diverged if rule != "skip" else None
    if where:
        assert (where.step, where.layer, where.tensor, where.layer_name) == (0, 2, "weight", "parts.1")
        assert math.isinf(where.value)
    else:
        assert "the weight of layer 2 (parts.1) is infinite" in trainer.history.marks[0].text
    kept = all(torch.equal(before[name], value) for name, value in trainer.network.state_dict().items())
    assert kept == (rule != "continue")
    assert record.applied == (rule == "continue")
    assert record.updates == (rule == "continue")
    assert math.isfinite(record.loss)
    assert math.isfinite(record.total_norm)


def test_an_enormous_learning_rate_shows_in_the_activations_of_the_next_step():
    """lr 1e30 on a ReLU net: the first update is finite, and what it does to the signal is not."""
    trainer = Trainer(Config(depth=3, lr=1e30))
    history = trainer.run(50)
    assert len(history) < 50
    assert isinstance(history.diverged, Divergence)
    assert history.diverged.tensor == "activation"
    assert history.marks[-1].kind == "diverged"
    assert history.marks[-1].text == history.diverged.sentence
    assert repr(history).endswith(f"{history.diverged.sentence})")


# ---------------------------------------------------------------------- stop
def test_a_stopped_run_stays_where_it_is():
    trainer = diverge(n=9, at=2, backward=math.nan, healthy_calls=3)
    assert trainer.stopped
    before = copy.deepcopy(trainer.network.state_dict())
    last = trainer.history[-1]
    assert not last.applied
    assert last.step == 3
    for _ in range(3):
        assert trainer.step().step == last.step
        assert list(trainer.stages()) == []
        assert len(trainer.run(5)) == 4
    after = trainer.network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_record_of_the_divergence_shows_what_was_measured():
    trainer = diverge(at=3, backward=math.inf)
    record = trainer.history[-1]
    assert math.isfinite(record.loss)
    assert not math.isfinite(record.total_norm)
    assert not np.isfinite(record.grad_norm[:3]).any()
    assert np.isfinite(record.grad_norm[3])
    assert (record.update_ratio == 0).all()


@pytest.mark.parametrize("clip", ["value", "global_norm", "per_layer_norm", "agc"])
@pytest.mark.parametrize("order", ["after", "each_micro_batch"])
def test_clipping_never_hides_a_gradient_that_is_not_finite(clip, order):
    for value in (math.inf, math.nan):
        config = Config(batch_size=2, accumulation="mean", clip=clip, clip_order=order, clip_threshold=0.1)
        trainer = diverge(config=config, at=2, backward=value)
        assert trainer.history.diverged.tensor == "gradient"
        assert all(torch.isfinite(p).all() for p in trainer.network.parameters())


def test_moving_a_knob_gives_a_stopped_run_a_new_start():
    trainer = Trainer(Config(depth=3, lr=1e30))
    trainer.run(50)
    stopped = trainer.step_count
    trainer.reconfigure(lr=0.01)
    assert trainer.history.diverged is None
    assert len(trainer.history) == stopped
    assert not trainer.stopped


# ---------------------------------------------------------------------- skip
@pytest.mark.parametrize("knobs", [{"momentum": 0.9}, {"optimizer": "adam"}, {"optimizer": "rmsprop"}], ids=str)
@pytest.mark.parametrize("carry_over", ["none", "running_sum", "delayed"])
def test_a_skipped_step_changes_neither_weights_nor_optimizer_nor_batch_norm_nor_what_is_carried(knobs, carry_over):
    """A poisoned target in one micro-batch: the run goes on as one that never saw that micro-batch."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.norm, self.last = nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)
            generator = torch.Generator().manual_seed(1)
            for p in self.parameters():
                nn.init.normal_(p, generator=generator)

        def forward(self, x):
            return self.last(torch.tanh(self.norm(self.first(x))))

    order = torch.randperm(24, generator=torch.Generator().manual_seed(0))
    x = torch.randn(24, 2, generator=torch.Generator().manual_seed(2))
    y = torch.randn(24, 1, generator=torch.Generator().manual_seed(3))
    poisoned = y.clone()
    poisoned[order[8]] = 1e30  # in the second micro-batch of eight: its square leaves float32
    config = Config(batch_size=8, lr=0.01, nonfinite="skip", carry_over=carry_over, **knobs)
    network = Net()
    trainer = Trainer(config, network=network, data=(x, poisoned))
    trainer.run(3)
    assert trainer.history.column("applied").tolist()[1] == 0
    # the oracle sees the first and the third micro-batch only
    good = torch.cat([order[:8], order[16:]])
    twin = copy.deepcopy(network)
    build = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "rmsprop": torch.optim.RMSprop}[config.optimizer]
    extra = {"momentum": config.momentum} if config.optimizer == "sgd" else {}
    optimizer = build(twin.parameters(), lr=0.01, **extra)
    total = previous = None
    for rows in good.split(8):
        optimizer.zero_grad()
        F.mse_loss(twin(x[rows]), y[rows]).backward()
        now = [p.grad.clone() for p in twin.parameters()]
        if carry_over == "running_sum":
            total = now if total is None else [t + g for t, g in zip(total, now, strict=True)]
            now = total
        elif carry_over == "delayed":
            now, previous = previous, now
        if now is None:
            continue
        for p, g in zip(twin.parameters(), now, strict=True):
            p.grad = g.clone()
        optimizer.step()
    for (name, mine), plain in zip(trainer.network.state_dict().items(), twin.state_dict().values(), strict=True):
        # float32: what is carried is added in another order
        torch.testing.assert_close(mine, plain, rtol=1e-6, atol=1e-7, msg=name)
    assert trainer.history.diverged is None
    (mark,) = trainer.history.marks
    assert (mark.step, mark.kind) == (1, "skipped")
    assert mark.text.startswith("Skipped step 1. Diverged at step 1: the ")


def test_an_update_that_overflows_is_taken_back_with_the_optimizers_state():
    """A gradient that is finite, 1e30, and an lr that is not its friend; afterwards all is well."""
    calm = torch.ones(4)

    def loss(output, y):
        return (output[:, 0] * y).mean()

    class One(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.ones(1, 1))

        def forward(self, x):
            return x @ self.w

    y = calm.clone()
    y[torch.randperm(4, generator=torch.Generator().manual_seed(0))[1]] = 1e36
    config = Config(batch_size=1, lr=1e3, momentum=0.5, nonfinite="skip")
    trainer = Trainer(config, network=One(), data=(torch.ones(4, 1), y), loss=loss)
    trainer.run(4)
    # w = 1, three steps with gradient 1: buffers 1, 1.5, 1.75
    assert trainer.network.w.item() == 1 - 1e3 * (1 + 1.5 + 1.75)
    assert trainer.history.column("applied").tolist() == [1, 0, 1, 1]
    assert trainer.history.column("updates").tolist() == [1, 1, 2, 3]


# ---------------------------------------------------------------------- continue
def test_continue_goes_on_and_names_the_first_trouble():
    trainer = diverge(
        n=6, config=Config(batch_size=8, nonfinite="continue"), at=2, backward=math.nan, healthy_calls=2
    )
    assert len(trainer.history) == 6
    assert not trainer.stopped
    assert_named(trainer.history.diverged, 2, 2, "gradient", math.nan)
    assert trainer.history[3].applied
    assert torch.isnan(trainer.network.layers[0].weight).all()


def test_continue_equals_plain_pytorch_which_never_looks(plain_network, plain_batches):
    config = Config(depth=2, lr=1e25, nonfinite="continue", n_samples=64)
    trainer = Trainer(config)
    network, data, batches = plain_network(trainer), trainer.data, plain_batches(64, 32)
    optimizer, losses = torch.optim.SGD(network.parameters(), lr=1e25), []
    for _ in range(6):
        rows = next(batches)
        optimizer.zero_grad()
        loss = F.cross_entropy(network(data.x[rows]), data.y[rows])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert not math.isfinite(losses[-1])
    np.testing.assert_array_equal(trainer.run(6).column("loss"), losses)


# ---------------------------------------------------------------------- stages and presets
def test_a_step_in_slow_motion_ends_where_it_is_not_finite():
    trainer = Trainer(Config(batch_size=8), network=Chain(at=2, backward=math.inf), data=(X, Y))
    stages = list(trainer.stages())
    assert [s.name for s in stages] == ["forward", "backward", "accumulate", "nonfinite"]
    assert not stages[-1].record.applied
    assert trainer.stopped


def test_the_articles_preset_is_the_articles_network_made_well_posed():
    config = PRESETS["article"]
    trainer = Trainer(config)
    shapes = [tuple(p.shape) for p in trainer.network.parameters()]
    assert shapes == [(64, 1), (64,), (4, 64), (4,)]
    assert (config.optimizer, config.lr, config.activation, config.batch_size) == ("adam", 0.1, "relu", 32)
    history = trainer.run(10)
    assert history.diverged is None
    assert history.column("samples")[-1] == 30  # three examples: one micro-batch an epoch, nothing to accumulate
    assert history.column("epoch").tolist() == list(range(10))


def test_the_article_as_printed_says_in_one_sentence_why_it_cannot_be_trained():
    with pytest.raises(ValueError, match=r"cannot be trained: label 3 is outside \[0, 1\)") as caught:
        Trainer(PRESETS["article_literal"])
    assert "\n" not in str(caught.value)
    assert "dataset='article'" in str(caught.value)


@pytest.mark.parametrize("name", [name for name in PRESETS if name != "article_literal"])
def test_every_preset_runs(name):
    assert Trainer(PRESETS[name]).step().applied == (name != "fp16_overflow")


def test_a_float64_gradient_whose_squares_vanish_has_a_norm():
    x, y = torch.linspace(0.5, 1, 8, dtype=torch.float64)[:, None], torch.zeros(8, 1, dtype=torch.float64)
    trainer = Trainer(
        Config(depth=1, width=3, batch_size=8, dtype="float64", activation="linear"),
        data=(x, y),
        loss=lambda output, y: 1e-200 * (output - y).mean(),
    )
    weights = [m.weight for m in trainer.network.linears]
    (rows,) = trainer.next_window().micro_batches
    loss = (trainer.network(x[rows]) - y[rows]).mean()
    expected = [float(g.norm()) for g in torch.autograd.grad(loss, weights)]
    assert min(expected) > 0.1
    assert trainer.step().grad_norm * 1e200 == pytest.approx(expected, rel=1e-12)  # float64 sums in another order
