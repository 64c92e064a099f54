"""The fast lane of a built network gives the bits of autograd, and steps aside for whatever it does not know."""

import copy
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from gradlab import ACTIVATIONS, Config, Trainer
from gradlab.engine.fused import KERNELS, LOSS_KERNELS, FusedNetwork
from gradlab.history import PER_LAYER, SCALARS
from tests import golden

SHAPES = [
    {"depth": 1, "width": 1, "batch_size": 1},
    {"depth": 3, "width": 7, "batch_size": 5},
    {"depth": 4, "width": 33, "batch_size": 50, "norm": "batch"},
    {"depth": 4, "width": 64, "batch_size": 64},
    {"depth": 6, "width": 33, "batch_size": 50, "accumulation": "mean", "accumulation_steps": 3, "residual": True},
    {"depth": 4, "width": 16, "batch_size": 30, "dataset": "regression", "optimizer": "adam", "norm": "layer"},
    {"depth": 4, "width": 16, "clip": "global_norm", "clip_order": "each_micro_batch", "accumulation": "sum"},
    {"depth": 4, "width": 16, "norm": "batch", "residual": True, "accumulation": "mean"},
    {"depth": 12, "width": 16, "gain": 3.0, "init": "fixed", "batch_size": 16},
]


def autograd_lane(trainer):
    """Hang a hook that does nothing on a layer: then the network is called and autograd runs."""
    trainer.network.linears[0].register_forward_hook(lambda *_: None)
    return trainer


def assert_same_bits(one, other):
    for a, b in zip(one.network.state_dict().values(), other.network.state_dict().values(), strict=True):
        assert a.numpy().tobytes() == b.numpy().tobytes()
    for name in (*SCALARS, *PER_LAYER):
        if name != "seconds":
            np.testing.assert_array_equal(one.history.column(name), other.history.column(name), err_msg=name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_gives_the_bits_of_autograd(activation, shape, dtype):
    config = Config(activation=activation, dtype=dtype, n_samples=170, nonfinite="continue", **shape)
    fast, slow = Trainer(config), autograd_lane(Trainer(config))
    assert fast.fast_lane
    assert not slow.fast_lane
    fast.run(15)
    slow.run(15)
    assert_same_bits(fast, slow)


@pytest.mark.parametrize("width", [1, 3, 5, 7, 16, 31, 33, 50, 64, 65])
@pytest.mark.parametrize("batch", [1, 5, 32, 50])
def test_a_run_has_the_bits_of_a_plain_loop_at_every_width(width, batch):
    trainer = Trainer(Config(depth=4, width=width, batch_size=batch, n_samples=200, lr=0.1, nonfinite="continue"))
    linears = [copy.deepcopy(linear) for linear in trainer.network.linears]
    for p in (p for linear in linears for p in linear.parameters()):
        p.data = p.data.clone()  # memory of its own, as in any plain network
    plain = nn.Sequential(*[m for linear in linears[:-1] for m in (linear, nn.ReLU())], linears[-1])
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.1)
    for _ in range(20):
        (rows,) = trainer.next_window().micro_batches
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(plain(trainer.data.x[rows]), trainer.data.y[rows])
        loss.backward()
        optimizer.step()
        assert trainer.step().loss == loss.item()
    for a, b in zip(trainer.network.parameters(), plain.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_hook_hung_on_a_layer_is_called():
    trainer, seen = Trainer(Config(depth=3, width=8)), []
    trainer.run(2)
    handle = trainer.network.activations[1].register_forward_hook(lambda m, args, out: seen.append(out.shape))
    trainer.run(2)
    handle.remove()
    trainer.run(2)
    assert seen == [(32, 8), (32, 8)]


def test_a_hook_hung_on_a_parameter_changes_its_gradient():
    trainer = Trainer(Config(depth=3, width=8))
    trainer.network.linears[1].weight.register_hook(torch.zeros_like)
    norms = trainer.step().grad_norm
    assert norms[1] == 0
    assert (norms[[0, 2, 3]] > 0).all()


@pytest.mark.parametrize("knobs", [{}, {"norm": "layer"}], ids=str)
def test_a_weight_frozen_between_steps_rests_and_the_others_go_on_as_in_plain_pytorch(knobs):
    trainer = Trainer(Config(depth=3, width=8, momentum=0.9, weight_decay=0.1, **knobs))
    plain = copy.deepcopy(trainer.network)
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.05, momentum=0.9, weight_decay=0.1)
    for step in range(6):
        if step == 3:
            for network in (trainer.network, plain):
                network.linears[1].weight.requires_grad_(False)
        (rows,) = trainer.next_window().micro_batches
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(plain(trainer.data.x[rows]), trainer.data.y[rows])
        loss.backward()
        optimizer.step()
        record = trainer.step()
        assert record.loss == loss.item()
        assert record.has_gradient.tolist() == [1, step < 3, 1, 1]
    for a, b in zip(trainer.network.parameters(), plain.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_part_swapped_between_steps_is_used():
    config = Config(depth=3, width=8, activation="relu")
    trainer, other = Trainer(config), Trainer(config.replace(activation="tanh"))
    for k in range(3):
        trainer.network.activations[k] = nn.Tanh()
    assert trainer.step().loss == other.step().loss


def test_batch_norm_in_evaluation_mode_is_trained_on_its_running_statistics():
    trainer, slow = (Trainer(Config(depth=3, width=8, norm="batch")) for _ in range(2))
    autograd_lane(slow)
    for one in (trainer, slow):
        one.run(3)
        one.network.eval()
        one.run(3)
    assert not trainer.fast_lane
    assert_same_bits(trainer, slow)


def test_a_loss_of_ones_own_may_reach_for_the_weights():
    data = (torch.randn(40, 3, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 2)
    lab = {}

    def decayed(output, y):
        network = lab["trainer"].network if lab else None  # there is none yet when the loss is tried on an output
        decay = 0.0 if network is None else network.linears[1].weight.square().sum()
        return nn.functional.cross_entropy(output, y) + decay

    lab["trainer"] = trainer = Trainer(Config(depth=2, width=8), data=data, loss=decayed)
    plain = Trainer(Config(depth=2, width=8), data=data)
    weight = trainer.network.linears[1].weight.detach().clone()
    (rows,) = trainer.next_window().micro_batches
    output = trainer.network(trainer.data.x[rows])
    expected = torch.autograd.grad(decayed(output, trainer.data.y[rows]), trainer.network.linears[1].weight)[0]
    assert trainer.step().grad_norm[1] == pytest.approx(float(expected.norm()), rel=1e-6)  # float32 norm
    assert plain.step().grad_norm[1] != pytest.approx(float(expected.norm()), rel=1e-2)
    assert not torch.equal(trainer.network.linears[1].weight, weight)


def test_what_the_optimizer_remembers_is_one_number_per_weight():
    trainer = Trainer(Config(depth=3, width=7, optimizer="adam"))  # 7: the parameters do not fill whole cache lines
    trainer.step()
    weights = sum(p.numel() for p in trainer.network.parameters())
    assert trainer.optimizer_state()["exp_avg"].shape == (weights,)


def refuse(*_):
    raise RuntimeError("this torch has no such kernel")


def one_bit_off(m, delta, h):
    KERNELS_AS_SHIPPED.backward(m, delta, h)
    delta.view(-1).view(torch.int32)[0] ^= 1


def only_for_ten(m, z, h):
    KERNELS_AS_SHIPPED.forward(m, z, h)
    if len(h) == 10:
        h[0, 0] += 1e-3


KERNELS_AS_SHIPPED = KERNELS[nn.ReLU]
WRONG = {
    "a backward kernel one bit off": {"backward": one_bit_off},
    "a forward kernel that rounds": {"forward": lambda m, z, h: h.relu_().mul_(1 + 2e-7)},
    "a kernel that raises": {"forward": refuse},
    "a backward kernel that raises": {"backward": refuse},
    "a kernel wrong for the short micro-batch at the end of an epoch": {"forward": only_for_ten},
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_machine_whose_kernels_differ_from_autograd_runs_autograd(wrong, monkeypatch):
    config = Config(depth=4, width=16, batch_size=32, n_samples=170, init="kaiming")
    slow = autograd_lane(Trainer(config))
    monkeypatch.setitem(KERNELS, nn.ReLU, KERNELS_AS_SHIPPED._replace(**WRONG[wrong]))
    trainer = Trainer(config)
    trainer.run(15)
    slow.run(15)
    assert not trainer.fast_lane
    assert_same_bits(trainer, slow)


def test_a_loss_whose_kernel_differs_from_autograd_runs_autograd(monkeypatch):
    config = Config(depth=3, width=8, activation="tanh")
    judge = LOSS_KERNELS[nn.functional.cross_entropy]
    monkeypatch.setitem(
        LOSS_KERNELS, nn.functional.cross_entropy, judge._replace(backward=lambda *args: judge.backward(*args) * 2)
    )
    trainer, slow = Trainer(config), autograd_lane(Trainer(config))
    trainer.run(5)
    slow.run(5)
    assert not trainer.fast_lane
    assert_same_bits(trainer, slow)


@pytest.mark.parametrize("init", [{"init": "fixed", "gain": 1e-30}, {"init": "fixed", "gain": 1e30}], ids=str)
def test_a_wrong_kernel_is_found_although_the_gradient_has_vanished_or_is_nan(init, monkeypatch):
    monkeypatch.setitem(KERNELS, nn.ReLU, KERNELS_AS_SHIPPED._replace(backward=one_bit_off))
    assert not Trainer(Config(depth=12, width=16, nonfinite="continue", **init)).fast_lane


def test_trying_the_lanes_moves_nothing():
    before = torch.random.get_rng_state()
    config = Config(depth=3, width=9, n_samples=100, batch_size=30)  # a shape that no other test uses
    trainer, again = Trainer(config), Trainer(config)
    assert torch.equal(torch.random.get_rng_state(), before)
    for p, q in zip(trainer.network.parameters(), again.network.parameters(), strict=True):
        assert torch.equal(p, q)
    assert torch.equal(trainer.next_window().micro_batches[0], again.next_window().micro_batches[0])
    assert trainer.optimizer_state().keys() == again.optimizer_state().keys()
    assert all(p.grad is None for p in trainer.network.parameters())


SHAKING = """
import torch
from gradlab import OPTIMIZERS, Config, Trainer

class Shaking(torch.optim.SGD):
    def step(self):  # writes to more than the weights, where those have gaps between
        super().step()
        self.param_groups[0]["params"][0].add_(0.5)

@OPTIMIZERS.register("shaking", "Shaking")
def shaking(params, lr, momentum, weight_decay):
    "Gradient descent that drifts."
    return Shaking(params, lr=lr)

trainer = Trainer(Config(depth=3, width=7, optimizer="shaking", nonfinite="continue"))
trainer.run(3)
before = [m.weight.detach().clone() for m in trainer.network.linears]
found = trainer.step()
for number, (old, m) in enumerate(zip(before, trainer.network.linears)):
    norm = old.double().norm()
    print(float(found.weight_norm[number] / norm), float(found.update_ratio[number] * norm / (m.weight - old).norm()))
"""


def test_norms_are_of_the_weights_alone_whatever_an_optimizer_of_ones_own_writes():
    done = subprocess.run([sys.executable, "-c", SHAKING], capture_output=True, text=True, check=True)
    quotients = [float(word) for word in done.stdout.split()]
    assert quotients == pytest.approx([1.0] * 8, rel=1e-6)  # one of the norms of changes here is float32's


def test_every_config_of_the_golden_set_has_the_same_bits_with_and_without_this_lane(monkeypatch):
    fused = 0
    for knobs in golden.cases():
        config = Config(**{**golden.SMALL, **knobs})
        with monkeypatch.context() as patch:
            patch.setattr(FusedNetwork, "offer", lambda *args: None)
            slow = Trainer(config)
        fast = Trainer(config)
        assert not slow.fast_lane
        if not fast.fast_lane:  # RMS norm, no hidden layer: autograd's either way
            continue
        fused += 1
        for trainer in (fast, slow):
            trainer.run(3)
        assert_same_bits(fast, slow)
        assert fast.history.marks == slow.history.marks
    assert fused > 170
