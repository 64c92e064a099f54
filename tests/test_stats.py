"""The measured numbers against numpy's float64, on numbers that float32's squares or one pass would lose."""

import math

import numpy as np
import pytest
import torch

from gradlab.engine.stats import LARGE, LayerStats, ListNorms, Scratch, norms_of, read, row_norms, shares_of, stacked

SHAPES = [(3, 6, 4), (1, 6, 2)]


def entries(tensors):
    return [entry for own in read(tensors) for entry in own]


def stacks(dtype=torch.float32, scale=1.0, shift=0.0):
    generator = torch.Generator().manual_seed(0)
    tensors = [
        (scale * torch.randn(shape, generator=generator, dtype=torch.float64) + shift).to(dtype) for shape in SHAPES
    ]
    return [((0, 1, 2), tensors[0], None), ((3,), tensors[1], None)]


def layers_of(found):
    return [layer.double().numpy().ravel() for _, stack, _ in found for layer in stack]


@pytest.mark.parametrize(
    ("dtype", "scale", "shift"),
    [
        (torch.float32, 1.0, 0.0),
        (torch.float32, 1e-30, 0.0),
        (torch.float32, 1e30, 0.0),
        (torch.float32, 1.0, 1e6),  # a spread that drowns in its mean
        (torch.float64, 1.0, 1e12),
        (torch.bfloat16, 1.0, 0.0),
        (torch.float16, 1.0, 0.0),
    ],
)
def test_spreads_are_numpys(dtype, scale, shift):
    found = stacks(dtype, scale, shift)
    stats = LayerStats(4)
    stats.see_activations(found)
    stats.read()
    # 24 numbers in float64; the mean of 1e12 is off by 1e-4, which counts squared in the spread
    assert stats.activation_std() == pytest.approx([x.std() for x in layers_of(found)], rel=1e-7)


def test_a_spread_beyond_float64s_squares_is_finite():
    found = [(layers, 1e200 * stack, bounds) for layers, stack, bounds in stacks(torch.float64)]
    stats = LayerStats(4)
    stats.see_activations(found)
    stats.read()
    expected = [1e200 * x.std() for x in layers_of(stacks(torch.float64))]
    assert stats.activation_std() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("shift", [0.0, 1e6])
def test_a_large_tensor_measured_in_parts_is_numpys(shift):
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(8, 3, 100, 100, generator=generator) + shift
    assert images.numel() > LARGE
    images[:, 1, 2, 3] = 0.0
    for tensor in (images, images.to(memory_format=torch.channels_last), images[:, :, :99, :99]):
        stats, wide = LayerStats(1), tensor.double().numpy()
        stats.see_activations(stacked([(0, tensor, (-1.0, 1.0))]))
        stats.see_deltas(stacked([(0, tensor, None)]), 1)
        stats.see_loss(torch.tensor(1.0), 1)
        stats.read()
        # float32 sums rows of 256 entries, and their rounding averages out over a thousand rows
        assert stats.activation_std() == pytest.approx([wide.std()], rel=1e-8)
        assert stats.delta_norm() == pytest.approx([np.linalg.norm(wide)], rel=1e-8)
        assert stats.saturated() == [np.mean(np.abs(tensor.numpy()) > np.float32(0.95))]
        assert stats.dead() == pytest.approx([1 / tensor[0].numel()], rel=1e-12)


def test_a_large_tensor_with_a_graph_is_measured_again_and_again_in_the_same_memory():
    tensor = torch.ones(2, LARGE, requires_grad=True) * torch.tensor([[1.0], [3.0]])
    stats = LayerStats(1, Scratch())
    for _ in range(3):
        stats.see_activations(stacked([(0, tensor, None)]))
    stats.read()
    assert stats.activation_std() == pytest.approx([1.0], rel=1e-12)


@pytest.mark.parametrize(
    ("dtype", "scale"),
    [(torch.float32, 1e-30), (torch.float32, 1e30), (torch.float64, 1e-200), (torch.float64, 1e200)],
)
def test_norms_are_numpys_also_where_squares_leave_the_range(dtype, scale):
    expected = [scale * np.linalg.norm(x) for x in layers_of(stacks(dtype))]
    found = [scale * stack for _, stack, _ in stacks(dtype)]
    # what float32 rounds of the scaled entries
    assert entries([row_norms(stack) for stack in found]) == pytest.approx(expected, rel=1e-6)


def test_the_norms_of_a_list_come_at_every_moment_whatever_the_shapes_and_dtypes():
    generator = torch.Generator().manual_seed(0)
    shapes = [(3, 4), (5,), (4, 3), (LARGE + 1,), (), (5,), (0,), (3, 4)]
    first = [torch.randn(shape, generator=generator) for shape in shapes]
    first[2] = first[2].bfloat16()
    second = [t + torch.randn(t.shape, generator=generator).to(t.dtype) for t in first]
    norms = ListNorms(first, 2)
    norms.take(0, first, keep=True)
    norms.change(1, 0, second)
    found = np.array(entries([norms.of([0, 1])])).reshape(2, -1)
    numbers = [t.double().numpy() for t in first]
    moved = [b.double().numpy() - a for a, b in zip(numbers, second, strict=True)]
    tolerance = [1e-8 if numbers[i].size > LARGE else 1e-12 for i in norms.order]  # rows of float32, averaged
    exact = np.array([np.linalg.norm(numbers[i]) for i in norms.order])
    assert (np.abs(found[0] - exact) <= tolerance * exact).all()
    assert found[1] == pytest.approx([np.linalg.norm(moved[i]) for i in norms.order], rel=1e-6)  # float32
    assert entries([norms.of([1])]) == found[1].tolist()
    assert entries([norms_of(first)]) == pytest.approx([np.linalg.norm(x) for x in numbers], rel=1e-12)


@pytest.mark.parametrize("scale", [1e-30, 1e-17, 1e-12, 1e12, 1e19, 1e30])
def test_a_large_float32_has_its_norm_and_spread_also_where_squares_leave_the_range_of_float32(scale):
    tensor = scale * torch.randn(1, 3, LARGE // 2 + 7, generator=torch.Generator().manual_seed(0))
    stats, wide = LayerStats(1), tensor.double().numpy()
    stats.see_activations(stacked([(0, tensor[0], None)]))
    stats.read()
    assert entries([row_norms(tensor, Scratch())]) == pytest.approx([np.linalg.norm(wide)], rel=1e-8)
    assert entries([row_norms(tensor)]) == pytest.approx([np.linalg.norm(wide)], rel=1e-12)
    assert stats.activation_std() == pytest.approx([wide.std()], rel=1e-8)
    tensor[0, 1, 5] = math.inf
    assert entries([row_norms(tensor, Scratch())]) == [math.inf]
    assert entries([row_norms(torch.zeros(1, LARGE + 1), Scratch())]) == [0.0]


@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e5m2"])
def test_float8_has_norms_and_moments_too(name):
    tensor = torch.tensor([[[1.0, -2.0], [4.0, 0.5]]]).to(getattr(torch, name))
    stats = LayerStats(1)
    stats.see_activations([((0,), tensor, None)])
    stats.read()
    assert stats.activation_std() == [pytest.approx(4.546875**0.5)]
    assert entries([row_norms(tensor)]) == [pytest.approx(21.25**0.5)]


def test_a_unit_is_dead_where_it_is_zero_for_every_sample_and_not_where_it_is_only_never_positive():
    found = stacks()
    hidden = found[0][1]
    hidden[1, :, 2] = 0.0
    hidden[2, :, 1] = -hidden[2, :, 1].abs()
    hidden[2, 0, 1] = 0.0
    stats = LayerStats(4)
    stats.see_activations(found)
    stats.read()
    assert stats.dead() == [0, 0.25, 0, 0]
    hidden[1, 3, 2] = 1.0  # it lives for a sample of the next micro-batch
    stats.see_activations(found)
    stats.read()
    assert stats.dead() == [0, 0, 0, 0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("share", [0.01, 0.5])
def test_a_unit_of_a_large_layer_whose_entries_sum_to_zero_is_not_dead(share, dtype):
    tensor = torch.randn(8, LARGE // 4, generator=torch.Generator().manual_seed(0)).to(dtype)
    dead, cancelled = int(share * LARGE / 4), LARGE // 4 - 7
    tensor[:, :dead] = 0.0
    tensor[:, cancelled:] = 0.0
    tensor[2, cancelled:], tensor[5, cancelled:] = 3.0, -3.0
    stats = LayerStats(1)
    stats.see_activations(stacked([(0, tensor, None)]))
    stats.read()
    assert stats.dead() == [dead / (LARGE // 4)]


def test_several_micro_batches_merge_to_the_statistics_of_all_their_samples():
    stats, parts = LayerStats(4), [stacks(), stacks(scale=3.0, shift=1.0)]
    for part, loss in zip(parts, (1.0, 3.0), strict=True):
        stats.see_loss(torch.tensor(loss), 6)
        stats.see_activations(part)
        stats.see_deltas(part, 6)
    stats.read()
    together = [np.concatenate(pair) for pair in zip(*map(layers_of, parts), strict=True)]
    assert stats.activation_std() == pytest.approx([x.std() for x in together], rel=1e-12)
    # 6 samples each: a sample's own gradient is 6 times its row, and the mean of 12 squares is taken
    expected = [6 * np.linalg.norm(x) / 12**0.5 for x in together]
    assert stats.delta_norm() == pytest.approx(expected, rel=1e-12)
    assert (stats.loss, stats.samples) == (2.0, 12)


def test_a_layer_seen_twice_in_one_pass_counts_with_all_its_entries():
    first, second = torch.arange(12.0).reshape(6, 2), torch.arange(12.0).reshape(6, 2) * 5
    stats = LayerStats(2)
    stats.see_activations(stacked([(0, first, None), (1, second, None), (0, second, None)]))
    stats.read()
    assert stats.activation_std()[0] == pytest.approx(np.std([*range(12), *range(0, 60, 5)]), rel=1e-12)


def test_what_is_not_finite_is_named_by_its_first_layer():
    for value in (float("inf"), float("nan")):
        found = stacks()
        found[0][1][1, 0, 0] = value
        found[1][1][0, 0, 0] = float("nan")
        stats = LayerStats(4)
        stats.see_activations(found)
        stats.read()
        assert stats.first_not_finite is not None
        assert stats.first_not_finite == (1, pytest.approx(value, nan_ok=True))


def test_nothing_seen_is_nan_and_zero():
    stats = LayerStats(2)
    assert stats.read() == []
    assert np.isnan(stats.delta_norm()).all()
    assert np.isnan(stats.activation_std()).all()
    assert stats.dead() == stats.saturated() == [0, 0]


def test_kept_memory_that_grew_in_between_gives_the_same_norms():
    scratch, small, large = Scratch(), torch.randn(2, 3, 4), torch.randn(3, 5, 70)
    for stack in (small, large, small, small.transpose(1, 2), large):
        expected = stack.double().flatten(1).pow(2).sum(1).sqrt().tolist()
        assert row_norms(stack, scratch).tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("narrow", [None, torch.float16])
def test_what_a_half_format_makes_of_entries_is_counted_tensor_by_tensor(narrow):
    generator = torch.Generator().manual_seed(0)
    shapes, found = [(3, 4), (5,), (3, 4), (LARGE + 9,), (), (2, 6)], []
    for number, shape in enumerate(shapes):
        tensor = (10.0 ** -torch.randint(0, 8, shape, generator=generator).float()).to(torch.float16)
        tensor.view(-1)[0] = (0.0, math.inf, math.nan)[number % 3]
        found.append(tensor if narrow is None else tensor.float())
    wide = [t.double().numpy() for t in found]
    expected = [[np.mean(x == 0), np.mean((np.abs(x) < 2.0**-14) & (x != 0)), np.mean(~np.isfinite(x))] for x in wide]
    np.testing.assert_allclose(shares_of(found, narrow).numpy(), expected, rtol=1e-12)
