"""Which layers a network has, and what they hand on, against what one reads off by hand."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.modules import module as torch_module

from gradlab.engine.layers import LayerObserver, find_layers, layer_of


class Mixed(nn.Module):
    """Modules and functions, in place and not, between the layers."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 6)
        self.norm = nn.LayerNorm(6)
        self.second = nn.Linear(6, 6)
        self.third = nn.Linear(6, 6)
        self.act = nn.ReLU(inplace=True)
        self.last = nn.Linear(6, 2)

    def forward(self, x):
        self.kept = {}
        self.kept[0] = h = self.norm(self.first(x)).tanh()
        self.kept[1] = h = F.dropout(F.relu(self.second(h)), 0.5, self.training)
        self.kept[2] = h = self.act(self.third(h))
        self.kept[3] = self.last(h)
        return self.kept[3]


def observe(network, x):
    returned = []
    observer = LayerObserver(network, find_layers(network), lambda layer, z: returned.append((layer, z)) or True)
    with observer:
        network(x)
        return returned, observer.take()


def test_a_layer_is_a_module_with_a_matrix_and_its_biases_are_named():
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1, bias=False))
    layers = find_layers(network)
    assert [layer.name for layer in layers] == ["0", "2"]
    assert [list(layer.others) for layer in layers] == [["0.bias"], []]
    params = list(network.parameters())
    assert [layer_of(layers, params, i) for i in range(len(params))] == [0, 0, 0, 0, 1]


def test_the_wrappers_part_of_a_name_is_left_out():
    class Wrapped(nn.Module):
        def __init__(self, module):
            super().__init__()
            self.module = module

        def forward(self, x):
            return self.module(x)

    network = torch.compile(Wrapped(nn.ModuleDict({"h": nn.ModuleList([nn.Linear(2, 2)])})), backend="eager")
    assert [layer.name for layer in find_layers(network)] == ["h.0"]


def test_a_parametrized_weight_belongs_to_its_module():
    network = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(2, 3)), nn.Linear(3, 1))
    first, _ = find_layers(network)
    assert (first.name, sum(w.numel() for w in first.weights)) == ("0", 9)


@pytest.mark.parametrize("training", [True, False])
def test_an_activation_is_followed_through_modules_and_functions(training):
    network = Mixed().train(training)
    _, seen = observe(network, torch.randn(5, 4))
    assert [s.layer for s in seen] == [0, 1, 2, 3]
    assert all(torch.equal(s.value, network.kept[s.layer]) for s in seen)
    assert [s.bounds for s in seen] == [(-1.0, 1.0), None, None, None]


def test_a_bounded_module_tells_its_range():
    _, seen = observe(nn.Sequential(nn.Linear(2, 3), nn.Sigmoid(), nn.Linear(3, 1)), torch.randn(5, 2))
    assert seen[0].bounds == pytest.approx((0.0, 1.0))


def test_a_layer_called_twice_is_seen_twice():
    shared = nn.Linear(3, 3)
    returned, seen = observe(nn.Sequential(shared, nn.Tanh(), shared), torch.randn(5, 3))
    assert [layer for layer, _ in returned] == [0, 0]
    assert len(seen) == 2


def test_a_frozen_network_without_a_graph_is_observed_too():
    network = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)).requires_grad_(False)
    _, seen = observe(network, torch.randn(5, 2))
    assert [s.layer for s in seen] == [0, 1]


def test_a_copy_and_a_pickle_made_while_observed_carry_nothing():
    network = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    hooks = dict(torch_module._global_forward_hooks)
    calls = []
    with LayerObserver(network, find_layers(network), lambda layer, z: not calls.append(layer)):
        for twin in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
            twin(torch.randn(5, 2))
            assert not any(m._forward_hooks or m._forward_pre_hooks for m in twin.modules())
        assert calls == []
        network(torch.randn(5, 2))
        assert calls == [0, 1]
    assert dict(torch_module._global_forward_hooks) == hooks
    network(torch.randn(5, 2))
    assert calls == [0, 1]


def test_the_end_of_a_forward_pass_is_told_also_when_it_raises():
    network, ends = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)), []
    with LayerObserver(
        network, find_layers(network), lambda layer, z: True, lambda args, kwargs, out: ends.append(out is None)
    ):
        network(torch.randn(5, 2))
        with pytest.raises(RuntimeError):
            network(torch.randn(5, 9))
    assert ends == [False, True]


def test_replaced_forwards_see_what_hooks_see_and_leave_nothing_behind():
    x, found = torch.randn(5, 4), []
    for alone in (False, True):
        torch.manual_seed(0)
        network = Mixed()
        observer = LayerObserver(network, find_layers(network), lambda layer, z: True, alone=alone)
        with observer:
            assert alone is ("forward" in vars(network.first))
            network(x)
            found.append([(s.layer, s.bounds, s.value.tolist()) for s in observer.take()])
        assert not any("forward" in vars(m) for m in network.modules())
    assert found[0] == found[1]


def test_a_copy_made_while_forwards_are_replaced_runs_its_own_layers_unseen():
    network, seen = Mixed(), []
    with LayerObserver(network, find_layers(network), lambda layer, z: seen.append(layer) or True, alone=True):
        copied = copy.deepcopy(network)
        nn.init.zeros_(copied.last.weight)
        output = copied.eval()(torch.randn(3, 4))
    assert torch.equal(output, copied.last.bias.expand(3, 2))
    assert seen == []


def test_a_module_with_a_forward_of_its_own_is_seen_by_a_hook():
    network, seen = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)), []
    first = network[0]
    observer = LayerObserver(network, find_layers(network), lambda layer, z: seen.append(layer) or True, alone=True)
    first.forward = lambda x: 0 * nn.Linear.forward(first, x)
    with observer:
        output = network(torch.randn(5, 4))
    assert seen == [0, 1]
    assert torch.equal(output, network[1].bias.expand(5, 2))
