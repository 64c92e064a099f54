"""Networks, data, losses and loops of somebody's own: worked on, or refused in words before the first step."""

import sys
import warnings

import numpy as np
import pytest
import torch
from refusals import in_time, refusal
from torch import nn
from torch.nn import functional as F

from gradlab import Config, Trainer, watch

SMALL = Config(n_samples=24, batch_size=12, depth=1, width=4)
X, Y = torch.randn(24, 2, generator=torch.Generator().manual_seed(0)), torch.arange(24) % 2


class Own(nn.Module):
    def __init__(self, forward):
        super().__init__()
        self.linear, self.does = nn.Linear(2, 2), forward

    def forward(self, x):
        return self.does(self.linear, x)


def quietly(make):
    """torch warns of what is deprecated or in the making."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make()


def with_weight(change):
    linear = nn.Linear(2, 2)
    linear.weight = nn.Parameter(change(linear.weight.detach()))
    return linear


def itself():
    network = nn.Sequential(nn.Linear(2, 2))
    network.__dict__["_modules"]["again"] = network
    return network


def turned_off(linear, x):
    answer = linear(x)
    torch.set_grad_enabled(False)
    return answer


REFUSED_NETWORKS = {
    "scripted": lambda: torch.jit.script(nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 2))),
    "traced": lambda: torch.jit.trace(nn.Linear(2, 2), X),
    "meta": lambda: nn.Linear(2, 2, device="meta"),
    "sparse": lambda: with_weight(torch.Tensor.to_sparse),
    "complex": lambda: nn.Linear(2, 2, dtype=torch.complex64),
    "inside itself": itself,
    "a class": lambda: nn.Linear,
    "a scalar": lambda: Own(lambda linear, x: linear(x).sum()),
    "a dict": lambda: Own(lambda linear, x: {"out": linear(x)}),
    "a tuple": lambda: Own(lambda linear, x: (linear(x), x)),
    "None": lambda: Own(lambda linear, x: None),
    "no samples": lambda: Own(lambda linear, x: linear(x).mean(0)),
    "an exception": lambda: Own(lambda linear, x: 1 / 0),
    "detached": lambda: Own(lambda linear, x: linear(x).detach()),
    "by numpy": lambda: Own(lambda linear, x: torch.tensor(linear(x).detach().numpy())),
    "without gradients": lambda: Own(lambda linear, x: torch.no_grad()(linear)(x)),
    "gradients turned off": lambda: Own(turned_off),
    "another weight each time": lambda: Own(
        lambda linear, x: F.linear(x, linear.weight.detach().clone(), linear.bias)
    ),
    "too few outputs": lambda: nn.Linear(2, 1),
    "whole numbers": lambda: Own(lambda linear, x: linear(x).long()),
}


@pytest.mark.parametrize("name", REFUSED_NETWORKS)
def test_a_network_that_cannot_be_trained(name):
    network = quietly(REFUSED_NETWORKS[name])
    refusal(lambda: Trainer(SMALL, network=network, data=(X, Y)))
    assert torch.is_grad_enabled()


def test_a_network_that_leaves_the_program_may():
    with in_time(), pytest.raises(SystemExit):
        Trainer(SMALL, network=Own(lambda linear, x: sys.exit(3)), data=(X, Y))


def plain():
    return nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 2))


WORKING_NETWORKS = {
    "input in place": lambda: Own(lambda linear, x: linear(x.mul_(2))),
    "output in place": lambda: Own(lambda linear, x: torch.relu_(linear(x))),
    "nothing but nan": lambda: Own(lambda linear, x: linear(x) * float("nan")),
    "a data parallel": lambda: nn.DataParallel(nn.Linear(2, 2)),
    "in evaluation mode": lambda: plain().eval(),
    "in half": lambda: nn.Linear(2, 2).half(),
}


@pytest.mark.parametrize("name", WORKING_NETWORKS)
def test_an_unusual_network_trains(name):
    with in_time():
        network = quietly(WORKING_NETWORKS[name])
        history = quietly(lambda: Trainer(SMALL, network=network, data=(X.clone(), Y)).run(3))
    assert len(history) == (1 if "nan" in name else 3)


REFUSED_DATA = {
    "sparse": lambda: (X.to_sparse(), Y),
    "sparse rows": lambda: (X.to_sparse_csr(), Y),
    "meta X": lambda: (X.to("meta"), Y),
    "meta y": lambda: (X, Y.to("meta")),
    "quantized": lambda: (torch.quantize_per_tensor(X, 0.1, 0, torch.qint8), Y),
    "nested": lambda: (torch.nested.nested_tensor([torch.randn(2), torch.randn(3)]), Y[:2]),
    "labels 2**40": lambda: (X, Y + 2**40),
    "ten million classes": lambda: (X, Y * 9_999_999),
    "ten million columns": lambda: (X[:2], torch.zeros(1).expand(2, 10_000_000)),
    "labels below 0": lambda: (X, Y - 1),
    "objects": lambda: (np.array([[object()] * 2] * 24), Y),
    "texts": lambda: (np.array([["a"] * 2] * 24), Y),
    "dates": lambda: (np.zeros((24, 2), "M8[s]"), Y),
    "no dimension": lambda: (torch.tensor(1.0), torch.tensor(1)),
    "no sample": lambda: (X[:0], Y[:0]),
    "no feature": lambda: (X[:, :0], Y),
    "ragged": lambda: ([[1.0, 2.0], [3.0]], [0, 1]),
    "two labels": lambda: (X, torch.stack([Y, Y], 1)),
    "infinite targets": lambda: (X, X[:, 0] / 0),
    "nan inputs": lambda: (X * float("nan"), Y),
    "too large for float32": lambda: (X.double() * 1e300, Y),
    "one part": lambda: (X,),
    "three parts": lambda: (X, Y, Y),
    "a generator": lambda: (i for i in range(2)),
}


@pytest.mark.parametrize("name", REFUSED_DATA)
def test_data_that_cannot_be_learned(name):
    data = quietly(REFUSED_DATA[name])
    refusal(lambda: Trainer(SMALL, data=data), "data")


WORKING_DATA = {
    "bytes as labels": lambda: (X, Y.to(torch.int8)),
    "unsigned labels": lambda: (X, Y.numpy().astype("uint64")),
    "truths": lambda: (X, Y.bool()),
    "half": lambda: (X.half(), Y),
    "one sample": lambda: (X[:1], Y[:1]),
    "one number repeated": lambda: (torch.zeros(1).expand(24, 2), Y),
    "numbers near the end": lambda: (X * 1e37, Y),
    "backwards": lambda: (X.numpy()[::-1], Y.numpy()[::-1]),
    "read only": lambda: (np.broadcast_to(np.float32(1), (24, 2)), Y),
}


@pytest.mark.parametrize("name", WORKING_DATA)
def test_unusual_data_are_learned(name):
    with in_time():
        assert len(quietly(lambda: Trainer(SMALL, data=WORKING_DATA[name]()).run(2))) >= 1


REFUSED_LOSSES = {
    "None": lambda output, y: None,
    "a number": lambda output, y: 1.0,
    "one per sample": lambda output, y: F.cross_entropy(output, y, reduction="none"),
    "complex": lambda output, y: output.sum() * 1j,
    "whole": lambda output, y: output.argmax(),
    "detached": lambda output, y: output.sum().detach(),
    "an exception": lambda output, y: 1 / 0,
    "another signature": lambda output: output.sum(),
}


@pytest.mark.parametrize("network", [None, plain()], ids=["built-in", "own"])
@pytest.mark.parametrize("name", REFUSED_LOSSES)
def test_a_loss_that_is_no_mean_loss(name, network):
    refusal(lambda: Trainer(SMALL, network=network, data=(X, Y), loss=REFUSED_LOSSES[name]), "loss")


def test_a_loss_that_fails_later_leaves_the_run_where_it_was():
    calls = []

    def loss(output, y):
        calls.append(1)
        if len(calls) == 9:
            raise KeyError("from the loss")
        return F.cross_entropy(output, y)

    trainer = Trainer(SMALL, data=(X, Y), loss=loss)
    with in_time(), pytest.raises(KeyError):
        trainer.run(30)
    taken = trainer.step_count
    assert len(trainer.history) == taken > 0
    expected = Trainer(SMALL, data=(X, Y)).run(taken + 3).column("loss").tolist()
    assert trainer.run(3).column("loss").tolist() == expected


WATCHED = {
    "a scalar": lambda linear, x: linear(x).sum(),
    "a dict": lambda linear, x: {"out": linear(x)},
    "a tuple in a list": lambda linear, x: [(linear(x), None)],
    "a text beside it": lambda linear, x: (linear(x), "text"),
    "its input in place": lambda linear, x: linear(x.mul_(2)),
    "its output in place": lambda linear, x: torch.relu_(linear(x)),
    "twice": lambda linear, x: linear(linear(x)),
    "in a view": lambda linear, x: linear(x).view(-1)[::2],
    "without gradients at first": lambda linear, x: linear(torch.no_grad()(linear)(x)),
}


def tensor_in(answer):
    while not isinstance(answer, torch.Tensor):
        answer = next(iter(answer.values() if isinstance(answer, dict) else answer))
    return answer


@pytest.mark.parametrize("name", WATCHED)
def test_a_loop_with_an_unusual_network_is_the_same_watched(name):
    def train(watched):
        torch.manual_seed(0)
        network = Own(WATCHED[name])
        optimizer = torch.optim.SGD(network.parameters(), 0.1)
        watcher = watch(network, optimizer, on_error="raise")
        if watched:
            watcher.start()
        for _ in range(3):
            optimizer.zero_grad()
            tensor_in(network(X.clone())).square().mean().backward()
            optimizer.step()
        if watched:
            watcher.stop()
            assert len(watcher.history) == 3
            assert np.isfinite(watcher.history.column("grad_norm")).all()
        return network.linear.weight.detach()

    with in_time():
        assert torch.equal(train(True), train(False))
