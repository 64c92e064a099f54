"""What the gradient rules promise, over shapes, splits, zeros and scales from 1e-40 to 1e30, drawn by Hypothesis."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gradlab import ACCUMULATIONS, CARRY_OVERS, CLIPS
from gradlab.rules.norms import norms

DRAWS = settings(max_examples=100, deadline=None, derandomize=True, database=None)
ROUNDING = {torch.float32: 2.0**-22, torch.float64: 2.0**-50}
"""A factor and a product, each rounded: 2 ulps, and as much again for the reference's own."""
SMALLEST = {torch.float32: 3e-45, torch.float64: 1e-323}
"""Two of the smallest subnormal numbers: nothing can be nearer."""

shapes = st.lists(
    st.lists(st.integers(1, 4), min_size=0, max_size=3).map(tuple), min_size=1, max_size=4
)  # scalars, vectors, matrices, kernels
thresholds = st.integers(-6, 6).map(lambda e: 10.0**e)
scales = st.integers(-40, 30).map(lambda e: 10.0**e)  # integers: floats would be drawn around 0 nearly always
dtypes = st.sampled_from([torch.float32, torch.float64])


@st.composite
def gradients(draw, special=()):
    """Tensors whose entries are a scale of 1e-40 to 1e30 times normal numbers, or zeros, or what is special."""
    dtype = draw(dtypes)
    made = []
    for shape in draw(shapes):
        generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
        scale = draw(scales) if draw(st.integers(0, 9)) else 0.0
        tensor = (scale * torch.randn(shape, generator=generator, dtype=torch.float64)).to(dtype)
        if special and draw(st.booleans()):
            tensor.view(-1)[draw(st.integers(0, tensor.numel() - 1))] = draw(st.sampled_from(special))
        made.append(tensor)
    return made


def parameters(tensors, weight_scale=1.0):
    made = []
    for number, tensor in enumerate(tensors):
        generator = torch.Generator().manual_seed(number)
        weight = weight_scale * torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
        param = torch.nn.Parameter(weight.to(tensor.dtype))
        param.grad = tensor.clone()
        made.append(param)
    return made


def exact(tensors):
    return [t.detach().numpy().astype(np.float64) for t in tensors]


def length(arrays):
    """The 2-norm of all entries, scaled so that no square leaves float64's range."""
    entries = np.concatenate([np.abs(a).ravel() for a in arrays])
    top = entries.max()
    return top * math.sqrt(math.fsum((entries / top) ** 2)) if top > 0 else 0.0


def close(mine, reference, dtype):
    for a, b in zip(exact(mine), reference, strict=True):
        np.testing.assert_allclose(a, b, rtol=ROUNDING[dtype], atol=SMALLEST[dtype])


def clip(rule, tensors, threshold):
    params = parameters(tensors)
    CLIPS[rule](params, threshold)
    return [p.grad for p in params]


# ---------------------------------------------------------------------- norms
@DRAWS
@given(gradients())
def test_a_norm_is_0_only_of_zeros_and_finite_of_finite_entries(tensors):
    for norm, array in zip(norms(tensors), exact(tensors), strict=True):
        assert (norm == 0) == (not array.any())
        assert norm == pytest.approx(length([array]), rel=1e-13)  # a few dozen roundings of float64


@DRAWS
@given(gradients(special=(math.inf, -math.inf, math.nan)))
def test_a_norm_is_not_finite_exactly_where_an_entry_is_not(tensors):
    for norm, array in zip(norms(tensors), exact(tensors), strict=True):
        assert math.isfinite(norm) == bool(np.isfinite(array).all())


# ---------------------------------------------------------------------- clipping
@DRAWS
@given(gradients(), thresholds)
def test_clipping_by_value_is_a_clamp(tensors, c):
    dtype = tensors[0].dtype
    clipped = clip("value", tensors, c)
    bound = float(torch.tensor(c, dtype=dtype))
    for mine, array in zip(exact(clipped), exact(tensors), strict=True):
        assert np.abs(mine).max(initial=0) <= bound
        np.testing.assert_array_equal(mine, np.clip(array, -bound, bound))
    for once, twice in zip(clipped, clip("value", clipped, c), strict=True):
        assert torch.equal(once, twice)


@DRAWS
@given(gradients(), thresholds)
def test_clipping_by_global_norm_scales_all_entries_by_one_factor(tensors, c):
    arrays = exact(tensors)
    norm = length(arrays)
    factor = min(1.0, c / (norm + 1e-6))
    clipped = clip("global_norm", tensors, c)
    close(clipped, [factor * a for a in arrays], tensors[0].dtype)
    if factor < 1:
        assert length(exact(clipped)) <= c * (1 + ROUNDING[tensors[0].dtype]) + 100 * SMALLEST[tensors[0].dtype]
    else:
        assert all(torch.equal(a, b) for a, b in zip(clipped, tensors, strict=True))


@DRAWS
@given(gradients(), thresholds)
def test_clipping_by_layer_norm_scales_each_tensor_by_its_own_factor(tensors, c):
    arrays = exact(tensors)
    reference = [min(1.0, c / (length([a]) + 1e-6)) * a for a in arrays]
    close(clip("per_layer_norm", tensors, c), reference, tensors[0].dtype)


@DRAWS
@given(gradients(), thresholds, st.sampled_from([0.0, 1e-6, 1.0, 1e6]))
def test_adaptive_clipping_bounds_each_unit_by_its_weights(tensors, c, weight_scale):
    params = parameters(tensors, weight_scale)
    weights = exact(params)
    CLIPS["agc"](params, c)
    for weight, gradient, mine in zip(weights, exact(tensors), exact([p.grad for p in params]), strict=True):
        units = range(len(gradient)) if gradient.ndim > 1 else [...]
        for unit in units:
            limit = c * max(length([weight[unit]]), 1e-3)
            norm = length([gradient[unit]])
            expected = gradient[unit] if norm < limit else gradient[unit] * (limit / max(norm, 1e-6))
            rounding, smallest = ROUNDING[tensors[0].dtype], SMALLEST[tensors[0].dtype]
            if abs(norm - limit) < 1e-12 * limit:  # on the edge both are the same but for rounding
                expected = gradient[unit] * min(1.0, limit / max(norm, 1e-6))
            np.testing.assert_allclose(mine[unit], expected, rtol=rounding, atol=smallest)


@DRAWS
@given(gradients(), thresholds, st.sampled_from(list(CLIPS)))
def test_a_clip_never_enlarges_never_turns_a_sign_and_leaves_zeros(tensors, c, rule):
    for before, after in zip(tensors, clip(rule, tensors, c), strict=True):
        assert (after.abs() <= before.abs()).all()
        assert (after * before.sign() >= 0).all()
        assert (after[before == 0] == 0).all()


# ---------------------------------------------------------------------- accumulation
splits = st.lists(st.integers(1, 40), min_size=1, max_size=12)


@DRAWS
@given(splits, scales, st.integers(0, 2**31))
def test_the_mean_over_any_split_is_the_full_mean(sizes, scale, seed):
    """Each micro-batch's gradient is the mean over its samples; 6e-15 is what float64 allows."""
    rows = scale * np.random.default_rng(seed).normal(size=(sum(sizes), 5))
    parts = np.split(rows, np.cumsum(sizes)[:-1])
    mine = sum(w * part.mean(0) for w, part in zip(ACCUMULATIONS["mean"](sizes), parts, strict=True))
    assert np.abs(mine - rows.mean(0)).max() <= 6e-15 * np.abs(rows).max()


@DRAWS
@given(splits)
def test_the_weights_of_each_accumulation_are_those_of_its_formula(sizes):
    m, total = len(sizes), sum(sizes)
    assert ACCUMULATIONS["sum"](sizes) == [1.0] * m
    assert ACCUMULATIONS["naive_mean"](sizes) == pytest.approx([1 / m] * m, rel=1e-15)
    assert ACCUMULATIONS["mean"](sizes) == pytest.approx([n / total for n in sizes], rel=1e-15)
    assert math.fsum(ACCUMULATIONS["mean"](sizes)) == pytest.approx(1.0, rel=1e-14)
    if len(set(sizes)) == 1:  # of even micro-batches both means are one
        assert ACCUMULATIONS["naive_mean"](sizes) == pytest.approx(ACCUMULATIONS["mean"](sizes), rel=1e-14)


# ---------------------------------------------------------------------- carry-over
@st.composite
def sequences(draw):
    """Gradients of the same shapes for a few steps, float64, each step on a scale of its own."""
    sizes = draw(shapes)
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    factors = draw(st.lists(scales, min_size=1, max_size=6))
    return [[s * torch.randn(shape, generator=generator, dtype=torch.float64) for shape in sizes] for s in factors]


def carried(rule, steps):
    state, applied = {}, []
    for step in steps:
        working = [g.clone() for g in step]
        updates = CARRY_OVERS[rule](working, state)
        applied.append(working if updates else None)
    return applied


@DRAWS
@given(sequences())
def test_a_running_sum_applies_the_sum_so_far(steps):
    for t, applied in enumerate(carried("running_sum", steps)):
        for number, mine in enumerate(applied):
            reference = np.sum([step[number].numpy() for step in steps[: t + 1]], axis=0)
            largest = max(float(step[number].abs().max()) for step in steps[: t + 1])
            assert np.abs(mine.numpy() - reference).max() <= 1e-14 * largest  # six additions in another order


@DRAWS
@given(sequences())
def test_a_delay_applies_the_previous_gradient_and_nothing_at_first(steps):
    applied = carried("delayed", steps)
    assert applied[0] is None
    for mine, previous in zip(applied[1:], steps[:-1], strict=True):
        assert all(torch.equal(a, b) for a, b in zip(mine, previous, strict=True))


@DRAWS
@given(sequences())
def test_a_scalar_sum_fills_each_tensor_with_its_sum(steps):
    for step, applied in zip(steps, carried("scalar_sum", steps), strict=True):
        for gradient, mine in zip(step, applied, strict=True):
            total, size = math.fsum(gradient.flatten().tolist()), float(gradient.abs().sum())
            assert (mine == mine.flatten()[0]).all()
            assert abs(float(mine.flatten()[0]) - total) <= 1e-14 * size  # at most 64 additions
