"""Clipping rules against torch where torch is right, hand calculation where it is not, and a reference for AGC."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gradlab import CLIPS, Config, Trainer

SHAPES = [(8, 3), (8,), (4, 8), (4,), (), (2, 4, 3, 3)]


def parameters(scale=1.0, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    made = []
    for shape in SHAPES:
        p = nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype))
        p.grad = (scale * torch.randn(shape, generator=generator, dtype=torch.float64)).to(dtype)
        made.append(p)
    return made


def gradients(params):
    return [p.grad for p in params]


def exact_norm(tensors):
    return math.sqrt(math.fsum(v * v for t in tensors for v in t.double().flatten().tolist()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("threshold", [0.01, 0.5, 3.0, 1e6])
def test_by_value_is_torchs_clip_grad_value(threshold, dtype):
    mine, plain = parameters(2.0, dtype), parameters(2.0, dtype)
    CLIPS["value"](mine, threshold)
    torch.nn.utils.clip_grad_value_(plain, threshold)
    assert all(map(torch.equal, gradients(mine), gradients(plain)))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 3e-7), (torch.float64, 1e-15)])
@pytest.mark.parametrize("threshold", [1e-3, 0.5, 3.0, 1e6])
def test_by_global_norm_is_torchs_clip_grad_norm_where_that_is_right(threshold, dtype, tolerance):
    mine, plain = parameters(2.0, dtype), parameters(2.0, dtype)
    CLIPS["global_norm"](mine, threshold)
    torch.nn.utils.clip_grad_norm_(plain, threshold)
    for a, b in zip(gradients(mine), gradients(plain), strict=True):
        # torch's factor has a relative error of a few roundings of the dtype, ours is exact
        torch.testing.assert_close(a, b, rtol=tolerance, atol=0)


def test_below_the_threshold_nothing_changes_by_a_bit():
    for name in ("value", "global_norm", "per_layer_norm"):
        mine, before = parameters(), gradients(parameters())
        CLIPS[name](mine, 1e3)
        assert all(map(torch.equal, gradients(mine), before))


@pytest.mark.parametrize("scale", [1e-40, 1e-30, 1e-20, 1e-10, 1.0, 1e10, 1e20, 1e30])
def test_by_global_norm_is_right_over_the_whole_range_of_float32(scale):
    """Expected: the entries in float64 times min(1, c / (norm + 1e-6)), then rounded.

    1e-6: the factor below float32's normal range is applied as two; three roundings of 6e-8. Subnormal entries
    know only their last bit, 1.4e-45.
    """
    params = parameters(scale)
    norm = exact_norm(gradients(params))
    for threshold in (0.5 * norm, 1e-3, 1.0):
        mine = copy.deepcopy(params)
        for p, q in zip(mine, params, strict=True):
            p.grad = q.grad.clone()
        CLIPS["global_norm"](mine, threshold)
        factor = min(1.0, threshold / (norm + 1e-6))
        for p, q in zip(mine, params, strict=True):
            torch.testing.assert_close(p.grad.double(), q.grad.double() * factor, rtol=1e-6, atol=1.4e-45)


def test_a_huge_finite_gradient_is_bounded_and_not_silently_zeroed():
    """3e30 in each of 48 entries: torch's float32 norm is inf, its factor 0 and the step lost."""
    mine, plain = [nn.Parameter(torch.zeros(6, 8))], [nn.Parameter(torch.zeros(6, 8))]
    for p in (*mine, *plain):
        p.grad = torch.full((6, 8), 3e30)
    torch.nn.utils.clip_grad_norm_(plain, 1.0)
    assert plain[0].grad.eq(0).all()
    CLIPS["global_norm"](mine, 1.0)
    torch.testing.assert_close(mine[0].grad, torch.full((6, 8), 1 / math.sqrt(48)), rtol=1e-6, atol=0)  # 2 roundings


def test_a_tiny_gradient_keeps_its_entries_although_its_float32_norm_is_zero():
    p = nn.Parameter(torch.zeros(6, 8))
    p.grad = torch.full((6, 8), 1e-30)
    assert torch.linalg.vector_norm(p.grad) == 0  # the trap
    CLIPS["global_norm"]([p], 1.0)
    assert torch.equal(p.grad, torch.full((6, 8), 1e-30))


@pytest.mark.parametrize("name", ["global_norm", "per_layer_norm", "agc"])
def test_a_float64_gradient_whose_square_overflows_is_bounded_too(name):
    p = nn.Parameter(torch.ones(1, 4, dtype=torch.float64))
    p.grad = torch.full((1, 4), 1e200, dtype=torch.float64)
    CLIPS[name]([p], 1.0)
    expected = {"agc": 2.0}.get(name, 1.0) / 2  # four equal entries; AGC's limit is |W| = 2
    torch.testing.assert_close(p.grad, torch.full_like(p.grad, expected), rtol=1e-14, atol=0)


@pytest.mark.parametrize("threshold", [1e-3, 0.5, 2.0, 1e6])
def test_per_layer_norm_treats_each_tensor_by_itself(threshold):
    mine, plain = parameters(2.0), parameters(2.0)
    CLIPS["per_layer_norm"](mine, threshold)
    for p in plain:
        torch.nn.utils.clip_grad_norm_([p], threshold)
    for a, b in zip(gradients(mine), gradients(plain), strict=True):
        torch.testing.assert_close(a, b, rtol=3e-7, atol=0)  # torch's float32 factor


def test_per_layer_norm_by_hand():
    """(3, 4) has norm 5, (0, 0.5) is below 1, (0, 0) stays: threshold 1 changes only the first, to (0.6, 0.8)."""
    params = [nn.Parameter(torch.zeros(2)) for _ in range(3)]
    for p, g in zip(params, ([3.0, 4.0], [0.0, 0.5], [0.0, 0.0]), strict=True):
        p.grad = torch.tensor(g)
    CLIPS["per_layer_norm"](params, 1.0)
    assert params[0].grad.tolist() == pytest.approx([0.6, 0.8], rel=1e-6)  # 1 / (5 + 1e-6)
    assert params[1].grad.tolist() == [0.0, 0.5]
    assert params[2].grad.tolist() == [0.0, 0.0]


def reference_agc(weight, gradient, clipping):
    """Adaptive gradient clipping as Brock et al. 2021 define it, unit by unit, in plain Python floats."""
    w, g = np.asarray(weight, dtype=np.float64), np.asarray(gradient, dtype=np.float64)
    units = [()] if w.ndim <= 1 else list(range(len(w)))
    out = g.copy()
    for unit in units:
        w_norm = max(math.sqrt(math.fsum(float(v) ** 2 for v in w[unit].flat)), 1e-3)
        g_norm = math.sqrt(math.fsum(float(v) ** 2 for v in g[unit].flat))
        if not g_norm < clipping * w_norm:
            out[unit] = g[unit] * (clipping * w_norm / max(g_norm, 1e-6))
    return out


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-13)])
@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1e-3, 1.0, 1e6, 1e25])
@pytest.mark.parametrize("threshold", [1e-3, 0.1, 1.0])
def test_agc_bounds_each_unit_by_its_weights(threshold, scale, dtype, tolerance):
    params = parameters(scale, dtype)
    expected = [reference_agc(p.detach().numpy(), p.grad.numpy(), threshold) for p in params]
    CLIPS["agc"](params, threshold)
    for p, e in zip(params, expected, strict=True):
        np.testing.assert_allclose(p.grad.double().numpy(), e, rtol=tolerance, atol=0)  # one rounding of the dtype


def test_agc_by_hand():
    """Rows of weight norm 5 and 0 (so 1e-3); threshold 0.1 makes the limits 0.5 and 1e-4."""
    p = nn.Parameter(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    p.grad = torch.tensor([[6.0, 8.0], [0.0, 2.0]])
    CLIPS["agc"]([p], 0.1)
    assert p.grad.flatten().tolist() == pytest.approx([0.3, 0.4, 0.0, 1e-4], rel=1e-6)  # float32


@pytest.mark.parametrize("name", CLIPS)
def test_a_rule_needs_no_gradient_and_no_parameter(name):
    CLIPS[name]([], 1.0)
    frozen = nn.Parameter(torch.ones(3))
    CLIPS[name]([frozen], 1.0)
    assert frozen.grad is None
    zero = nn.Parameter(torch.ones(2, 3))
    zero.grad = torch.zeros(2, 3)
    CLIPS[name]([zero, frozen], 1.0)
    assert torch.equal(zero.grad, torch.zeros(2, 3))


# ---------------------------------------------------------------------- in a run
LARGE_LR = 2.0**30  # a power of two: after one SGD step -lr * gradient is all there is in a weight


def applied_gradient(config, **own):
    trainer = Trainer(config.replace(lr=LARGE_LR), **own)
    before = copy.deepcopy(trainer.network)
    record = trainer.step()
    pairs = zip(trainer.network.parameters(), before.parameters(), strict=True)
    return [((q - p) / LARGE_LR).detach() for p, q in pairs], before, trainer, record


def plain_gradient(network, data, rows):
    loss = F.cross_entropy(network(data.x[rows]), data.y[rows])
    return [g.clone() for g in torch.autograd.grad(loss, list(network.parameters()))]


def order(n):
    return torch.randperm(n, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("clip", ["value", "global_norm", "per_layer_norm", "agc"])
def test_a_run_clips_once_a_window_after_accumulation_and_measures_both_sides(clip):
    threshold = {"value": 0.01, "global_norm": 0.1, "per_layer_norm": 0.05, "agc": 0.02}[clip]
    config = Config(
        n_samples=64,
        depth=3,
        batch_size=16,
        accumulation="mean",
        accumulation_steps=4,
        clip=clip,
        clip_threshold=threshold,
        dtype="float64",
    )
    found, network, trainer, record = applied_gradient(config)
    raw = plain_gradient(network, trainer.data, order(64))
    expected = [g.clone() for g in raw]
    if clip == "agc":
        hidden = zip(list(network.parameters())[:-2], expected[:-2], strict=True)  # the output layer is exempt
        expected[:-2] = [torch.tensor(reference_agc(p.detach().numpy(), g.numpy(), threshold)) for p, g in hidden]
    else:
        params = [nn.Parameter(torch.zeros_like(g)) for g in raw]
        for p, g in zip(params, expected, strict=True):
            p.grad = g
        if clip == "value":
            torch.nn.utils.clip_grad_value_(params, threshold)
        else:
            for group in [params] if clip == "global_norm" else [[p] for p in params]:
                torch.nn.utils.clip_grad_norm_(group, threshold)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-12)  # read back over weights of 0.3 / 2^30 = 3e-10 each
    flat, clipped = (torch.cat([g.flatten() for g in gs]) for gs in (raw, expected))
    weights = [i for i, g in enumerate(raw) if g.dim() == 2]
    assert record.total_norm == pytest.approx(float(flat.norm()), rel=1e-12)
    assert record.clipped_total_norm == pytest.approx(float(clipped.norm()), rel=1e-12)
    assert record.clip_coef == pytest.approx(float(clipped.norm() / flat.norm()), rel=1e-12)
    assert record.clip_cosine == pytest.approx(float(F.cosine_similarity(flat, clipped, dim=0)), rel=1e-12)
    assert record.grad_norm == pytest.approx([float(raw[i].norm()) for i in weights], rel=1e-12)
    assert record.clipped_norm == pytest.approx([float(expected[i].norm()) for i in weights], rel=1e-12)


def test_by_value_turns_the_direction_and_by_norm_does_not():
    by_value = Trainer(Config(clip="value", clip_threshold=0.01)).step()
    by_norm = Trainer(Config(clip="global_norm", clip_threshold=0.01)).step()
    assert by_value.clip_cosine < 0.95
    assert by_norm.clip_cosine == pytest.approx(1.0, abs=1e-6)  # float32 products of 7000 entries
    assert by_norm.clip_coef < 0.1


def test_without_clipping_the_coefficient_is_one():
    record = Trainer(Config()).step()
    assert (record.clip_coef, record.clip_cosine) == (1.0, 1.0)
    assert record.clipped_total_norm == record.total_norm
    np.testing.assert_array_equal(record.clipped_norm, record.grad_norm)


class Vector(nn.Module):
    """Two weights; the gradient of `loss` below is the target of the micro-batch."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(2))

    def forward(self, x):
        return self.w.expand(len(x), 2)


def linear_loss(w, g):
    return (w * g).sum(1).mean()


@pytest.mark.parametrize(
    ("clip_order", "expected"), [("after", (0.7071, 0.7071)), ("each_micro_batch", (0.4472, 0.8944))]
)
def test_clipping_the_running_gradient_after_each_micro_batch_gives_another_direction(clip_order, expected):
    """g = (2, 0), then (0, 2), threshold 1; PyTorch's .grad: (2, 2) -> (.71, .71), or (1, 2) -> (.45, .89)."""
    first_row = int(order(2)[0])
    targets = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
    if first_row == 1:
        targets = targets.flip(0)
    config = Config(
        lr=1.0,
        batch_size=1,
        accumulation="sum",
        accumulation_steps=2,
        clip="global_norm",
        clip_threshold=1.0,
        clip_order=clip_order,
    )
    trainer = Trainer(config, network=Vector(), data=(torch.zeros(2, 1), targets), loss=linear_loss)
    record = trainer.step()
    assert (-trainer.network.w).tolist() == pytest.approx(expected, abs=5e-5)  # four digits are given
    assert record.total_norm == pytest.approx(math.sqrt(8), rel=1e-6)  # float32; what no clipping would have left
    cosine = (expected[0] + expected[1]) / math.sqrt(2)
    assert record.clip_cosine == pytest.approx(cosine, abs=5e-5)
    assert record.clipped_total_norm == pytest.approx(1.0, rel=2e-6)  # c / (norm + 1e-6)


@pytest.mark.parametrize("clip", ["value", "global_norm", "per_layer_norm"])
def test_clipping_each_micro_batch_is_pytorchs_loop_with_the_clip_in_the_wrong_place(clip):
    config = Config(
        n_samples=61,
        depth=2,
        batch_size=16,
        accumulation="sum",
        accumulation_steps=4,
        clip=clip,
        clip_threshold=0.05,
        clip_order="each_micro_batch",
    )
    found, network, trainer, record = applied_gradient(config)
    unclipped = [
        sum(g) for g in zip(*(plain_gradient(network, trainer.data, r) for r in order(61).split(16)), strict=True)
    ]
    params = list(network.parameters())
    for rows in order(61).split(16):
        F.cross_entropy(network(trainer.data.x[rows]), trainer.data.y[rows]).backward()
        if clip == "value":
            torch.nn.utils.clip_grad_value_(params, 0.05)
        else:
            for group in [params] if clip == "global_norm" else [[p] for p in params]:
                torch.nn.utils.clip_grad_norm_(group, 0.05)
    for a, p in zip(found, params, strict=True):
        torch.testing.assert_close(a, p.grad, rtol=1e-5, atol=1e-8)  # float32 sums of four, read back from weights
    total = float(torch.cat([g.flatten() for g in unclipped]).norm())
    assert record.total_norm == pytest.approx(total, rel=1e-5)  # float32 sums of four gradients


def test_the_cosine_is_right_where_float32_products_would_underflow_or_overflow():
    for scale in (1e-25, 1e25):
        config = Config(lr=0.0, batch_size=1, clip="value", clip_threshold=3 * scale)
        data = torch.zeros(1, 1), torch.tensor([[3 * scale, 4 * scale]])
        record = Trainer(config, network=Vector(), data=data, loss=linear_loss).step()
        # (3, 4) clamped to (3, 3): cosine 21 / (5 * sqrt 18); the targets are float32
        assert record.clip_cosine == pytest.approx(21 / (5 * math.sqrt(18)), rel=1e-6)
        assert record.total_norm == pytest.approx(5 * scale, rel=1e-6)


def test_a_deep_relu_net_whose_norm_overflows_float32_still_trains_under_clipping():
    """N(0, 1) weights, 50 layers: the gradient is finite, its float32 norm is not, and the step must not be lost."""
    config = Config(depth=40, width=32, init="fixed", gain=0.9, clip="global_norm", clip_threshold=1.0, lr=1e-3)
    record = Trainer(config).step()
    assert record.total_norm > 1.9e19
    assert math.isfinite(record.total_norm)
    assert record.applied
    assert record.clipped_total_norm == pytest.approx(1.0, rel=1e-5)  # float32 entries
    assert record.update_ratio.max() > 0
