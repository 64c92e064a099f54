"""`watch` on every kind of loop: what it must survive, what it must not cost, and what it must not leave behind."""

import contextlib
import copy
import io
import math
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.modules import module as torch_module

from gradlab import diagnose, draw, watch
from gradlab.watch import watcher as watcher_module

EXACT = 1e-9  # norms in float64 of the same float32 gradients, computed in another order of operations


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def mlp(width=8, depth=3, dtype=torch.float32):
    layers = [nn.Linear(4, width), nn.ReLU()]
    for _ in range(depth - 1):
        layers += [nn.Linear(width, width), nn.LayerNorm(width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, 3)).to(dtype)


def points(n=12, dtype=torch.float32):
    return torch.randn(n, 4).to(dtype), torch.arange(n) % 3


def sgd(network, lr=0.1):
    return torch.optim.SGD(network.parameters(), lr=lr)


def step(network, optimizer, x, y):
    optimizer.zero_grad()
    loss = F.cross_entropy(network(x).float(), y)
    loss.backward()
    optimizer.step()
    return loss


def norm(tensors):
    return math.sqrt(sum(float((t.detach().double() ** 2).sum()) for t in tensors if t is not None))


def traces(network, optimizer):
    """Everything that an instrument could leave on a network, an optimizer or torch."""
    found = [len(torch_module._global_forward_hooks), len(torch_module._global_forward_pre_hooks)]
    found += [len(torch_module._global_forward_hooks_with_kwargs)]
    found += [len(torch_module._global_forward_hooks_always_called)]
    found += [len(optimizer._optimizer_step_pre_hooks), len(optimizer._optimizer_step_post_hooks)]
    for m in network.modules():
        found += [len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks), sorted(vars(m))]
    for p in network.parameters():
        found += [len(p._post_accumulate_grad_hooks or ()), len(p._backward_hooks or ())]
    return [*found, torch.autograd.backward, torch.amp.GradScaler.scale]


# ---------------------------------------------------------------------- rows
def test_the_rows_of_weights_biases_and_norms_add_up_to_the_total():
    network = mlp()
    optimizer = sgd(network)
    with watch(network, optimizer) as history:
        step(network, optimizer, *points())
    rows = history.column("grad_norm")
    np.testing.assert_allclose(np.sqrt((rows**2).sum(1)), history.column("total_norm"), rtol=1e-12)
    assert history.kinds.count("weight") == 4
    named = dict(network.named_parameters())
    for name, kind, value in zip(history.layer_names, history.kinds, rows[0], strict=True):
        if kind != "weight":
            assert value == pytest.approx(norm([named[name].grad]), rel=EXACT)
    delta = dict(zip(history.layer_names, history[0].delta_norm, strict=True))
    assert delta["0.bias"] == delta["0"]  # a bias is added at the layer's output
    assert delta["3.weight"] == delta["3.bias"] > 0  # the norm's own output
    assert np.isfinite(history.column("delta_norm")).all()


def test_the_picture_and_the_diagnosis_see_the_layers_alone():
    network = mlp()
    optimizer = sgd(network)
    with watch(network, optimizer) as history:
        for _ in range(5):
            step(network, optimizer, *points())
    assert draw(history) is not None
    assert diagnose(history).sentence == diagnose(history.of_weights()).sentence


# ---------------------------------------------------------------------- never the cause
@pytest.mark.parametrize("place", ["forward", "backward", "before", "after"])
def test_an_error_of_the_instrument_warns_once_and_the_loop_runs_on_as_if_unwatched(place, monkeypatch):
    network = mlp()
    twin = copy.deepcopy(network)
    optimizer, other = sgd(network), sgd(twin)
    batches = [points() for _ in range(3)]
    expected = [step(twin, other, *batch).item() for batch in batches]

    def broken(*args, **kwargs):
        raise ZeroDivisionError("planted")

    where = {
        "forward": (watcher_module.PassObserver, "_returned"),
        "backward": (watcher_module.PassObserver, "_come_to"),
        "before": (watcher_module.ParameterNorms, "weights"),
        "after": (watcher_module.ParameterNorms, "change"),
    }[place]
    monkeypatch.setattr(*where, broken)
    before = traces(network, optimizer)

    def loop():
        with watch(network, optimizer):
            return [step(network, optimizer, *batch).item() for batch in batches], traces(network, optimizer)

    with pytest.warns(UserWarning, match="the loop runs on without it: ZeroDivisionError: planted") as caught:
        found, inside = loop()
    assert found == expected
    assert len(caught) == 1
    assert inside == before == traces(network, optimizer)


def test_an_error_of_the_instrument_can_be_raised(monkeypatch):
    network = mlp()
    optimizer = sgd(network)

    def broken(*args):
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(watcher_module.ParameterNorms, "weights", broken)
    before = traces(network, optimizer)
    with pytest.raises(ZeroDivisionError), watch(network, optimizer, on_error="raise"):
        step(network, optimizer, *points())
    assert traces(network, optimizer) == before


def test_an_optimizer_that_cannot_be_hooked_leaves_no_hook_behind(monkeypatch):
    network = mlp()
    optimizer = sgd(network)
    before = traces(network, optimizer)

    def broken(hook):
        raise RuntimeError("no hooks here")

    monkeypatch.setattr(optimizer, "register_step_post_hook", broken)
    with pytest.raises(RuntimeError, match="no hooks here"), watch(network, optimizer):
        pass
    assert traces(network, optimizer) == before


def test_copies_and_files_made_inside_the_block_carry_nothing():
    network = mlp()
    optimizer = sgd(network)
    clean = traces(copy.deepcopy(network), copy.deepcopy(optimizer))
    with watch(network, optimizer) as history:
        step(network, optimizer, *points())
        file = io.BytesIO()
        torch.save(network, file)
        file.seek(0)
        twins = [copy.deepcopy(network), torch.load(file, weights_only=False), pickle.loads(pickle.dumps(network))]
        for twin in twins:  # an average of the weights, evaluated and trained by the way
            step(twin, sgd(twin), *points())
            assert traces(twin, copy.deepcopy(optimizer))[6:-2] == clean[6:-2]
        step(network, optimizer, *points())
    assert len(history) == 2
    assert history.column("samples").tolist() == [12, 24]
    exported = torch.export.export(network, (torch.randn(2, 4),))
    assert exported.module()(torch.randn(2, 4)).shape == (2, 3)


def test_an_exported_network_inside_the_block_is_the_network():
    network = mlp()
    optimizer = sgd(network)
    x = torch.randn(2, 4)
    with watch(network, optimizer) as history:
        exported = torch.export.export(network, (x,))
        step(network, optimizer, *points())
    assert exported.module()(x).shape == (2, 3)
    assert len(history) == 1


@pytest.mark.parametrize("seen", ["no step", "another network"])
def test_a_loop_in_which_nothing_was_seen_is_warned_of(seen):
    network, other = mlp(), mlp()
    optimizer = sgd(network)

    def loop():
        with watch(network, optimizer):
            if seen == "another network":
                F.cross_entropy(other(points()[0]), points()[1]).backward()
                optimizer.step()

    with pytest.warns(UserWarning, match="saw no step" if seen == "no step" else "saw no forward pass"):
        loop()


@pytest.mark.parametrize("before", [True, False])
def test_of_a_compiled_network_the_gradients_are_recorded_and_what_is_not_seen_is_said(before):
    torch.compiler.reset()
    network = torch.compile(mlp(), backend="aot_eager")
    optimizer = sgd(network)
    if before:
        step(network, optimizer, *points())

    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]

    def loop():
        with watch(network, optimizer) as history:
            for _ in range(2):
                step(network, optimizer, *points())
        return history

    with pytest.warns(UserWarning, match="compiled") as caught:
        history = loop()
    assert len(caught) == 1
    if before:  # and so it is not compiled anew
        assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == graphs
    torch.compiler.reset()
    assert history.layer_names[0] == "0"
    assert np.isfinite(history.column("grad_norm")).all()
    assert (history.of_weights().column("update_ratio") > 0).all()
    assert history.column("samples").tolist() == [12, 24]


# ---------------------------------------------------------------------- host reads and devices
@contextlib.contextmanager
def counted_reads():
    """Count every way in which Python can ask a tensor for its value, on what passes for a device."""
    names = ("item", "tolist", "numpy", "cpu", "__float__", "__bool__", "__int__", "__index__")
    reads, originals = [], {name: getattr(torch.Tensor, name) for name in names}

    def counting(name):
        def read(tensor, *args, **kwargs):
            reads.append(name)
            return originals[name](tensor, *args, **kwargs)

        return read

    for name in names:
        setattr(torch.Tensor, name, counting(name))
    torch.Tensor.is_cpu = False
    try:
        yield reads
    finally:
        del torch.Tensor.is_cpu
        for name, original in originals.items():
            setattr(torch.Tensor, name, original)


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("accumulate", [1, 4])
def test_a_recorded_step_reads_the_device_three_times_at_most(scaled, accumulate):
    network = mlp(depth=6)
    optimizer = sgd(network)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0) if scaled else None
    with watch(network, optimizer, scaler=scaler) as history:
        for _ in range(3):
            optimizer.zero_grad()
            with counted_reads() as reads:
                for _ in range(accumulate):
                    loss = F.cross_entropy(network(points()[0]), points()[1])
                    (scaler.scale(loss) if scaler else loss).backward()
                torch.nn.utils.clip_grad_norm_(network.parameters(), 0.5)
                optimizer.step()
            assert len(reads) <= 3, reads
    assert len(history) == 3


def test_a_step_that_is_not_recorded_reads_nothing():
    network = mlp()
    optimizer = sgd(network)
    with watch(network, optimizer, every=3) as history:
        for number in range(7):
            with counted_reads() as reads:
                step(network, optimizer, *points())
            assert len(reads) <= 1 if number % 3 == 0 else not reads
    assert history.column("step").tolist() == [0, 3, 6]
    assert history.column("updates").tolist() == [1, 4, 7]
    assert history.column("samples").tolist() == [12, 48, 84]
    assert history.column("micro_batches").tolist() == [1, 4, 7]


def test_everything_before_the_one_read_runs_without_values():
    from torch._subclasses.fake_tensor import FakeTensorMode

    from gradlab.engine.layers import LayerObserver, find_layers
    from gradlab.engine.stats import LayerStats, ListNorms, stacked

    with FakeTensorMode(), torch.no_grad():
        network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 200), nn.ReLU(), nn.Linear(200, 3))
        stats, layers = LayerStats(3), find_layers(network)
        observer = LayerObserver(network, layers, lambda layer, z: True)
        with observer:
            network(torch.randn(12, 4))
            stats.see_activations(stacked((s.layer, s.value, s.bounds) for s in observer.take()))
        norms = ListNorms(list(network.parameters()), 2)
        norms.take(0, list(network.parameters()), keep=True)
        norms.change(1, 0, list(network.parameters()))
        assert norms.of([0, 1]).shape == (2 * len(list(network.parameters())),)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_a_network_in_another_precision_is_recorded(dtype):
    network = mlp(dtype=dtype)
    optimizer = sgd(network)
    x, y = points(dtype=dtype)
    with watch(network, optimizer) as history:
        before = [p.detach().clone() for p in network.parameters()]
        step(network, optimizer, x, y)
    assert history[0].total_norm == pytest.approx(norm([p.grad for p in network.parameters()]), rel=EXACT)
    moved = [p.detach().double() - q.double() for p, q in zip(network.parameters(), before, strict=True)]
    ratio = norm([moved[0]]) / norm([before[0]])
    assert history[0].update_ratio[0] == pytest.approx(ratio, rel=1e-6)
    assert np.isfinite(history[0].activation_std[:4]).all()


def test_frozen_float8_weights_have_a_norm():
    class Quantized(nn.Module):
        def __init__(self):
            super().__init__()
            self.base = nn.Parameter(torch.randn(4, 4).to(torch.float8_e4m3fn), requires_grad=False)
            self.head = nn.Linear(4, 3)

        def forward(self, x):
            return self.head(x @ self.base.to(x.dtype))

    network = Quantized()
    optimizer = torch.optim.SGD(network.head.parameters(), lr=0.1)
    with watch(network, optimizer) as history:
        step(network, optimizer, *points())
    assert history[0].weight_norm[0] == pytest.approx(norm([network.base.float()]), rel=EXACT)


def test_an_embedding_with_sparse_gradients_is_recorded():
    network = nn.Sequential(nn.Embedding(7, 4, sparse=True), nn.Flatten(), nn.Linear(20, 3))
    optimizer = sgd(network)
    with watch(network, optimizer) as history:
        step(network, optimizer, torch.randint(0, 7, (6, 5)), torch.arange(6) % 3)
    grads = [network[0].weight.grad.to_dense(), *(p.grad for p in network[2].parameters())]
    assert history[0].total_norm == pytest.approx(norm(grads), rel=EXACT)


# ---------------------------------------------------------------------- any loop
def test_two_optimizers_that_step_together_make_one_record():
    network = mlp()
    halves = sgd(network[0]), torch.optim.AdamW(network[2:].parameters(), lr=1e-3)
    with watch(network, halves) as history:
        for _ in range(3):
            for optimizer in halves:
                optimizer.zero_grad()
            F.cross_entropy(network(points()[0]), points()[1]).backward()
            for optimizer in halves:
                optimizer.step()
    assert len(history) == 3
    assert history[0].total_norm == pytest.approx(history[0].clipped_total_norm, rel=1e-12)
    assert (history.column("update_ratio")[:, :4] > 0).all()


def test_two_optimizers_in_turn_make_a_record_each():
    class Gan(nn.Module):
        def __init__(self):
            super().__init__()
            self.maker, self.judge = nn.Linear(4, 4), nn.Linear(4, 1)

    network = Gan()
    make, judge = sgd(network.maker), sgd(network.judge)
    with watch(network, [make, judge]) as history:
        for _ in range(2):
            network.zero_grad()
            network.judge(network.maker(torch.randn(6, 4)).detach()).mean().backward()
            judge.step()
            network.zero_grad()
            network.judge(network.maker(torch.randn(6, 4))).mean().backward()
            make.step()
    names = history.layer_names
    assert len(history) == 4
    moved = history.column("update_ratio")[:, [names.index("maker"), names.index("judge")]] > 0
    assert moved.tolist() == [[False, True], [True, False]] * 2


def test_muon_for_matrices_beside_adamw_for_the_rest_makes_one_record_with_the_change_of_each():
    network, (x, y) = mlp(), points()
    matrices = [p for p in network.parameters() if p.dim() == 2]
    rest = [p for p in network.parameters() if p.dim() != 2]
    optimizers = [torch.optim.Muon(matrices, lr=0.02), torch.optim.AdamW(rest, lr=0.01)]
    with watch(network, optimizers) as history:
        for _ in range(2):
            before = [p.detach().clone() for p in network.parameters()]
            network.zero_grad()
            F.cross_entropy(network(x), y).backward()
            for optimizer in optimizers:
                optimizer.step()
    assert len(history) == 2
    rows = dict(zip(history.layer_names, history[1].update_ratio, strict=True))
    for (name, p), old in zip(network.named_parameters(), before, strict=True):
        ratio = norm([p.detach().double() - old.double()]) / norm([old])
        assert rows[name.removesuffix(".weight") if p.dim() == 2 else name] == pytest.approx(ratio, rel=1e-6)


def parts_of_a_recurrent_network():
    torch.manual_seed(0)
    return nn.ModuleList([nn.LSTM(3, 5, batch_first=True), nn.Linear(5, 2)])


@pytest.mark.parametrize("reentrant", [False, True])
def test_parts_called_one_by_one_show_the_signal_through_time_or_why_they_do_not(reentrant):
    from torch.utils.checkpoint import checkpoint

    class Whole(nn.Module):
        def __init__(self, parts):
            super().__init__()
            self.parts = parts

        def forward(self, x):
            return self.parts[1](self.parts[0](x)[0][:, -1])

    x, found = torch.randn(7, 9, 3), []
    for wrap in (Whole, lambda parts: parts):
        parts = parts_of_a_recurrent_network()
        network = wrap(parts)
        optimizer = sgd(network)
        with watch(network, optimizer) as history:
            if isinstance(network, Whole):
                output = network(x)
            elif reentrant:  # its first run has no graph
                output = parts[1](checkpoint(parts[0], x.requires_grad_(), use_reentrant=True)[0][:, -1])
            else:
                output = parts[1](parts[0](x)[0][:, -1])
            output.square().mean().backward()
            optimizer.step()
        found.append(history)
    whole, by_parts = found
    if reentrant:
        assert by_parts.column("time_norm").size == 0
        assert [mark.kind for mark in by_parts.marks] == ["untimed"]
    else:
        np.testing.assert_array_equal(by_parts.column("time_norm"), whole.column("time_norm"))
        assert whole.column("time_norm").shape == (1, 1, 9)


def test_optimizers_inside_the_backward_pass_make_one_record_of_it():
    network, twin = mlp(), None
    twin = copy.deepcopy(network)
    optimizers = {p: torch.optim.SGD([p], lr=0.1) for p in network.parameters()}

    def use(p):
        optimizers[p].step()
        optimizers[p].zero_grad()

    for p in network.parameters():
        p.register_post_accumulate_grad_hook(use)
    x, y = points()
    plain = F.cross_entropy(twin(x), y)
    plain.backward()
    with watch(network, list(optimizers.values())) as history:
        for _ in range(2):
            F.cross_entropy(network(x), y).backward()
    assert len(history) == 2
    assert history[0].total_norm == pytest.approx(norm([p.grad for p in twin.parameters()]), rel=EXACT)
    assert history[0].loss == pytest.approx(plain.item(), rel=1e-6)
    assert (history[0].update_ratio[:4] > 0).all()


def test_lbfgs_is_recorded_with_the_gradient_it_started_from():
    network = mlp()
    twin = copy.deepcopy(network)
    x, y = points()
    loss = F.cross_entropy(twin(x), y)
    loss.backward()
    optimizer = torch.optim.LBFGS(network.parameters(), lr=0.1, max_iter=5)
    calls = []

    def closure():
        calls.append(1)
        optimizer.zero_grad()
        loss = F.cross_entropy(network(x), y)
        loss.backward()
        return loss

    with watch(network, optimizer) as history:
        optimizer.step(closure)
        optimizer.step(closure)
    assert len(calls) > 4
    assert len(history) == 2
    assert history[0].loss == pytest.approx(loss.item(), rel=1e-6)
    assert history[0].total_norm == pytest.approx(norm([p.grad for p in twin.parameters()]), rel=EXACT)
    assert history.column("samples").tolist() == [12, 24]


def test_accelerates_wrapper_stands_for_its_optimizer():
    class Wrapper(torch.optim.Optimizer):
        def __init__(self, optimizer):
            self.optimizer = optimizer

        @property
        def param_groups(self):
            return self.optimizer.param_groups

        def step(self):
            self.optimizer.step()

    network = mlp()
    wrapped = Wrapper(sgd(network))
    with watch(network, wrapped) as history:
        F.cross_entropy(network(points()[0]), points()[1]).backward()
        wrapped.step()
    assert len(history) == 1


def test_layers_unfrozen_later_get_numbers_from_then_on():
    network = mlp()
    network[0].requires_grad_(False)
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    with watch(network, optimizer) as history:
        step(network, optimizer, *points())
        network[0].requires_grad_(True)
        optimizer.add_param_group({"params": list(network[0].parameters())})
        step(network, optimizer, *points())
    assert history.column("has_gradient")[:, 0].tolist() == [0, 1]
    assert history[1].grad_norm[0] == pytest.approx(norm([network[0].weight.grad]), rel=EXACT)
    assert history[1].update_ratio[0] > 0


def test_a_scaler_nobody_gave_is_found_when_it_scales_the_loss():
    network = mlp()
    plain = copy.deepcopy(network)
    x, y = points()
    F.cross_entropy(plain(x), y).backward()
    optimizer, scaler = sgd(network), torch.amp.GradScaler("cpu", init_scale=1024.0)
    with watch(network, optimizer) as history:
        scaler.scale(F.cross_entropy(network(x), y)).backward()
        scaler.step(optimizer)
        scaler.update()
    assert history[0].total_norm == pytest.approx(norm([p.grad for p in plain.parameters()]), rel=1e-5)
    assert history[0].loss == pytest.approx(F.cross_entropy(plain(x), y).item(), rel=1e-6)


@pytest.mark.parametrize("how", ["forgotten", "to none", "to zero"])
def test_gradients_that_nobody_cleared_are_marked(how):
    network = mlp()
    optimizer = sgd(network)
    with watch(network, optimizer) as history:
        for _ in range(3):
            if how != "forgotten":
                optimizer.zero_grad(set_to_none=how == "to none")
            F.cross_entropy(network(points()[0]), points()[1]).backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
    assert [m.kind for m in history.marks] == (["uncleared"] if how == "forgotten" else [])
    if how == "forgotten":
        assert "zero_grad" in history.marks[0].text


def test_gradients_clipped_behind_autograds_back_are_seen():
    network = mlp()
    optimizer = sgd(network)
    with watch(network, optimizer) as history:
        F.cross_entropy(network(points()[0]), points()[1]).backward()
        for p in network.parameters():
            p.grad.data.clamp_(-1e-3, 1e-3)
        expected = norm([p.grad for p in network.parameters()])
        optimizer.step()
    assert history[0].clipped_total_norm == pytest.approx(expected, rel=EXACT)
    assert history[0].total_norm > 2 * expected


@pytest.mark.filterwarnings("ignore:Using backward.. with create_graph=True")
@pytest.mark.parametrize("graph", [False, True])
def test_layers_too_large_to_be_copied_are_measured_also_where_their_gradients_have_a_graph(graph):
    network = nn.Sequential(nn.Linear(4, 600), nn.ReLU(), nn.Linear(600, 600), nn.ReLU(), nn.Linear(600, 3))
    optimizer, (x, y) = sgd(network, 1e-3), points(120)
    weight, outputs = network[2].weight, []
    network[3].register_forward_hook(lambda module, args, output: outputs.append(output.detach()))
    with watch(network, optimizer, on_error="raise") as history:
        before = weight.detach().clone()
        F.cross_entropy(network(x), y).backward(create_graph=graph)
        gradient = weight.grad
        optimizer.step()
        network.zero_grad()
    record = history[0]
    found = [record.grad_norm[1], record.weight_norm[1], record.update_ratio[1], record.activation_std[1]]
    expected = [norm([gradient]), norm([before]), norm([weight - before]) / norm([before]), outputs[0].double().std()]
    # sums of float32 along rows average out to 1e-8; the standard deviation is counted over n - 1 here
    assert found == pytest.approx([float(number) for number in expected], rel=1e-5)
    assert record.dead[1] == float((outputs[0] == 0).all(0).double().mean())


def test_a_functions_dead_units_are_seen():
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(4, 8), nn.Linear(8, 3)
            with torch.no_grad():
                self.first.bias.fill_(10.0)
                self.first.bias[:2] = -100.0

        def forward(self, x):
            return self.last(F.relu(self.first(x)))

    network = Functional()
    optimizer = sgd(network)
    with watch(network, optimizer) as history:
        step(network, optimizer, *points(64))
    assert history[0].dead[0] == 0.25


def distributed(network):
    return nn.parallel.DistributedDataParallel(network)


def sharded(network):
    from torch.distributed.fsdp import fully_shard

    return fully_shard(network, mesh=torch.distributed.device_mesh.init_device_mesh("cpu", (1,)))


@pytest.mark.parametrize("wrap", [distributed, sharded])
def test_of_one_process_a_distributed_and_a_sharded_network_show_what_the_network_does(wrap, tmp_path):
    network = mlp()
    batches = [points() for _ in range(2)]
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/peers", rank=0, world_size=1)
    try:
        histories = []
        for own in (copy.deepcopy(network), wrap(copy.deepcopy(network))):
            optimizer = sgd(own)
            with watch(own, optimizer, on_error="raise") as history:
                for batch in batches:
                    step(own, optimizer, *batch)
            histories.append(history)
    finally:
        torch.distributed.destroy_process_group()
    alone, together = histories
    assert together.layer_names == alone.layer_names
    for name in ("grad_norm", "delta_norm", "weight_norm", "update_ratio", "activation_std"):
        np.testing.assert_allclose(together.column(name), alone.column(name), rtol=1e-6, err_msg=name)


def test_only_the_process_of_rank_zero_records(monkeypatch):
    network = mlp()
    optimizer = sgd(network)
    before = traces(network, optimizer)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 1)
    with watch(network, optimizer) as history:
        assert traces(network, optimizer) == before
        step(network, optimizer, *points())
    assert len(history) == 0


def test_start_and_stop_do_what_a_block_does():
    network = mlp()
    optimizer = sgd(network)
    before = traces(network, optimizer)
    watcher = watch(network, optimizer)
    assert traces(network, optimizer) == before
    watcher.start()
    step(network, optimizer, *points())
    watcher.stop()
    assert traces(network, optimizer) == before
    watcher.start()
    step(network, optimizer, *points())
    watcher.stop()
    assert watcher.history.column("step").tolist() == [0, 1]
    assert np.isfinite(watcher.history.of_weights().column("delta_norm")).all()


def test_a_logger_gets_every_recorded_step():
    class Kept:
        def __init__(self):
            self.steps, self.closed = {}, False

        def log(self, numbers, step):
            self.steps[step] = numbers

        def close(self):
            self.closed = True

    network, kept = mlp(), Kept()
    optimizer = sgd(network)
    with watch(network, optimizer, every=2, loggers=[kept]) as history:
        for _ in range(4):
            step(network, optimizer, *points())
    assert list(kept.steps) == [0, 2]
    assert kept.steps[2]["gradlab/grad_norm/0"] == history[1].grad_norm[0]
    assert kept.steps[2]["gradlab/loss"] == history[1].loss
    assert kept.closed


def test_a_logger_that_fails_at_the_end_is_a_warning_and_the_next_is_closed():
    class Collector:
        closed = False

        def log(self, numbers, step):
            assert numbers["gradlab/loss"] > 0

        def close(self):
            self.closed = True

    class Broken(Collector):
        def close(self):
            raise OSError("no space left")

    network, last = mlp(), Collector()
    optimizer = sgd(network)
    with (
        pytest.warns(UserWarning, match=r"could not end: OSError: no space left"),
        watch(network, optimizer, loggers=[Broken(), last]) as history,
    ):
        step(network, optimizer, *points())
    assert (len(history), last.closed) == (1, True)
    assert watch(network, optimizer, loggers=last)  # one alone is a sequence of one


def test_the_learning_rate_of_each_step_is_recorded():
    network = mlp()
    optimizer = sgd(network)
    with watch(network, optimizer) as history:
        step(network, optimizer, *points())
        optimizer.param_groups[0]["lr"] = 0.01
        step(network, optimizer, *points())
        optimizer.param_groups[0]["lr"] = torch.tensor(0.5)
        step(network, optimizer, *points())
    assert history.column("lr").tolist() == [0.1, 0.01, 0.5]


def test_layers_that_come_later_have_rows_from_the_step_after_their_first():
    network = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    x, y, last = torch.randn(6, 4), torch.arange(6) % 2, []
    with watch(network, optimizer) as history:
        for step in range(6):
            if step == 2:
                late = nn.Linear(4, 4)
                network.insert(2, late)
                optimizer.add_param_group({"params": list(late.parameters())})
            optimizer.zero_grad()
            F.cross_entropy(network(x), y).backward()
            last.append(network[-1].weight.grad.norm().item())
            optimizer.step()
    norms = history.column("grad_norm")
    assert history.layer_names == ("0", "2", "3", "0.bias", "2.bias", "3.bias")
    assert np.isnan(norms[:3, 1]).all()
    assert history.column("has_gradient")[:, 1].tolist() == [0, 0, 0, 1, 1, 1]
    np.testing.assert_allclose(norms[:, 2], last, rtol=1e-6)  # what was row "2" goes on in row "3"
    assert norms[-1, 1] == pytest.approx(network[2].weight.grad.norm().item(), rel=1e-6)
    assert np.isfinite(history.column("delta_norm")[3:]).all()
    np.testing.assert_allclose(np.sqrt(np.nansum(norms**2, 1)), history.column("total_norm"))


class Planted(nn.Module):
    def __init__(self, where):
        super().__init__()
        self.first, self.last, self.where = nn.Linear(4, 8), nn.Linear(8, 2), where

    def forward(self, x):
        h = self.first(x)
        if self.where == "forward":
            h = torch.log(h)  # planted: forward
        if self.where == "backward":
            h = torch.sqrt(F.relu(h) * h)  # planted: backward
        mask = torch.zeros(8).masked_fill(torch.arange(8) < 2, -math.inf)  # infinite on purpose
        return self.last(torch.softmax(h + mask, -1) if self.where == "mask" else F.dropout(h, 0.1))


@pytest.mark.parametrize(
    ("where", "operation"),
    [
        *(("forward", "log in the forward"), ("backward", "div in the backward"), ("loss", "log in the forward")),
        *(
            ("data", "look at the data"),
            ("loss's gradient", "div in the backward"),
            ("update", "optimizer's own step"),
        ),
    ],
)
def test_a_trace_names_the_operation_that_made_what_is_not_finite_with_its_line(where, operation):
    network = Planted(where)
    optimizer = torch.optim.SGD(network.parameters(), lr=math.inf if where == "update" else 0.1)
    with watch(network, optimizer, on_divergence="trace", on_error="raise") as history:
        for step in range(3):
            x = torch.full((4, 4), math.nan if where == "data" and step == 1 else 1.0)
            optimizer.zero_grad()
            output = network(x)
            loss = output.square().mean()
            if where == "loss":
                loss = torch.log(loss - 10 * step).abs()  # planted: loss
            if where == "loss's gradient":
                loss = torch.sqrt((output - output.detach()).square().sum())  # planted: loss's gradient
            loss.backward()
            optimizer.step()
    (found,) = (mark.text for mark in history.marks if mark.kind == "traced")
    assert operation in found
    if where not in ("data", "update"):
        assert f"# planted: {where}" in found
        assert "test_watch_loops.py:" in found
    assert found in diagnose(history).sentence


def test_a_traced_loop_is_bit_for_bit_the_untraced_one_and_a_mask_of_minus_infinity_is_no_fault():
    results = []
    for mode in ("mark", "trace"):
        torch.manual_seed(1)
        network = Planted("mask")
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        with watch(network, optimizer, on_divergence=mode, on_error="raise") as history:
            for _ in range(3):
                optimizer.zero_grad()
                F.cross_entropy(network(torch.randn(4, 4)), torch.zeros(4, dtype=torch.long)).backward()
                optimizer.step()
        results.append((history.column("loss").tolist(), network.first.weight.tolist(), torch.rand(1).item()))
        assert not [mark for mark in history.marks if mark.kind == "traced"]
    assert results[0] == results[1]
    assert not torch.is_anomaly_enabled()
    assert not torch_module._global_forward_hooks
    assert not torch_module._global_forward_pre_hooks
    with pytest.raises(ValueError, match="every=1"):
        watch(network, optimizer, on_divergence="trace", every=2)
