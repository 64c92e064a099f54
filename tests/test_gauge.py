"""The gauge against numpy's float64, on numbers that float32's squares or one pass would lose."""

import numpy as np
import pytest
import torch

from gradlab.engine.gauge import Gauge, moments
from gradlab.engine.meter import Meter

SHAPES = [(3, 6, 4), (1, 6, 2)]


def stacks(dtype=torch.float32, scale=1.0, shift=0.0):
    generator = torch.Generator().manual_seed(0)
    return [
        (scale * torch.randn(shape, generator=generator, dtype=torch.float64) + shift).to(dtype) for shape in SHAPES
    ]


def by_numpy(found):
    layers = [layer.double().numpy().ravel() for stack in found for layer in stack]
    means = [layer.mean() for layer in layers]
    spreads = [np.linalg.norm(layer - layer.mean()) for layer in layers]
    return means, spreads


@pytest.mark.parametrize(
    ("dtype", "scale", "shift"),
    [
        (torch.float32, 1.0, 0.0),
        (torch.float32, 1e-30, 0.0),
        (torch.float32, 1e30, 0.0),
        (torch.float32, 1.0, 1e6),  # a spread that drowns in its mean
        (torch.float64, 1.0, 1e12),
    ],
)
def test_means_and_spreads_are_numpys(dtype, scale, shift):
    found = stacks(dtype, scale, shift)
    means, spreads, _ = Gauge(SHAPES, dtype).activations(found)
    expected = by_numpy(found)
    assert means == pytest.approx(expected[0], rel=1e-12)  # sums of 24 numbers in float64
    assert spreads == pytest.approx(expected[1], rel=1e-7)  # the mean of 1e12 is off by 1e-4, which counts squared


def test_a_spread_beyond_float64s_squares_is_finite():
    found = [1e200 * stack for stack in stacks(torch.float64)]
    _, spreads, _ = Gauge(SHAPES, torch.float64).activations(found)
    assert spreads == pytest.approx([1e200 * spread for spread in by_numpy(stacks(torch.float64))[1]], rel=1e-12)


def test_the_deltas_norms_are_numpys_also_where_float32_norms_are_zero_or_infinite():
    for dtype, scale in (
        (torch.float32, 1e-30),
        (torch.float32, 1e30),
        (torch.float64, 1e-200),
        (torch.float64, 1e200),
    ):
        found = stacks(dtype)
        expected = [scale * np.linalg.norm(layer.double().numpy()) for stack in found for layer in stack]
        measured = Gauge(SHAPES, dtype).deltas([scale * stack for stack in found])
        assert measured == pytest.approx(expected, rel=1e-6)  # what float32 rounds of the scaled entries


def test_a_unit_is_silent_where_it_is_zero_for_every_sample_and_not_where_it_is_only_never_positive():
    found = stacks()
    found[0][1, :, 2] = 0.0
    found[0][2, :, 1] = -found[0][2, :, 1].abs()
    found[0][2, 0, 1] = 0.0
    hidden, output = Gauge(SHAPES, torch.float32).activations(found)[2]
    assert np.argwhere(hidden).tolist() == [[1, 2]]
    assert output is None


def test_a_gauge_remembers_nothing_of_the_pass_before():
    gauge, ruined = Gauge(SHAPES, torch.float32), stacks()
    ruined[0][0, 0, 0] = float("nan")
    ruined[1].zero_()
    gauge.activations(ruined)
    means, spreads, silent = gauge.activations(stacks())
    expected = by_numpy(stacks())
    assert (means, spreads) == (pytest.approx(expected[0], rel=1e-12), pytest.approx(expected[1], rel=1e-9))
    assert silent == [None, None]


def test_several_micro_batches_merge_to_the_statistics_of_all_their_samples():
    meter, gauge, parts = Meter(4), Gauge(SHAPES, torch.float32), [stacks(), stacks(scale=3.0, shift=1.0)]
    for part in parts:
        meter.see_loss(1.0, 6)
        meter.see_stacks([((0, 1, 2), part[0], None), ((3,), part[1], None)], gauge)
    together = [torch.cat(layers, 1) for layers in zip(*parts, strict=True)]
    expected = [layer.double().numpy().std() for stack in together for layer in stack]
    assert meter.activation_std() == pytest.approx(expected, rel=1e-12)


def test_what_is_not_finite_is_named_by_its_first_layer():
    meter, part = Meter(4), stacks()
    part[0][1, 0, 0] = float("inf")
    part[1][0, 0, 0] = float("nan")
    meter.see_stacks([((0, 1, 2), part[0], None), ((3,), part[1], None)], Gauge(SHAPES, torch.float32))
    layer, value = meter.first_bad_activation
    assert (layer, np.isfinite(value)) == (1, False)


def test_the_general_way_finds_the_same():
    flat = stacks()[0].flatten(1)
    means, spreads = moments(flat)
    assert means == pytest.approx(flat.double().mean(1).tolist(), rel=1e-12)
    assert spreads == pytest.approx((flat.double().std(1, correction=0) * flat.shape[1] ** 0.5).tolist(), rel=1e-12)
