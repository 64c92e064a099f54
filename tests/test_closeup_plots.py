"""The pictures of a closer look, read from their artists."""

import dataclasses

import numpy as np
import pytest
import torch

from gradlab import Config, Trainer
from gradlab.inspect import CoordinateCheck, clip_curve, gradient_histogram, gradient_noise, sharpness, through_time
from gradlab.plots import DARK, View, draw_closeups


@pytest.fixture(scope="module")
def looks():
    trainer = Trainer(Config(depth=4, width=8, activation="relu", lr=0.1))
    points = [sharpness(trainer)]
    trainer.run(3)
    points.append(sharpness(trainer))
    trainer.reconfigure(lr=0.2)
    trainer.run(3)
    points.append(sharpness(trainer))
    return gradient_histogram(trainer), gradient_noise(trainer), points


def lines(ax):
    return {line.get_label(): line for line in ax.get_lines() if not line.get_label().startswith("_")}


def test_whichever_looks_are_given_stand_in_one_row_of_1000_by_300_pixels(looks):
    histogram, noise, points = looks
    for given, expected in (((histogram, noise, points), 3), ((None, noise, None), 1), ((None, None, None), 0)):
        figure = draw_closeups(*given)
        assert len(figure.axes) == expected
        assert (figure.get_size_inches() * 100).tolist() == [1000, 300]
        assert figure.dpi == 200


def test_the_theme_colours_everything(looks):
    figure = draw_closeups(*looks, view=View(theme=DARK))
    assert figure.get_facecolor() == pytest.approx((0x11 / 255,) * 3 + (1,))
    for ax in figure.axes:
        assert ax.title.get_color() == ax.xaxis.label.get_color() == DARK.ink


def test_a_share_has_its_colour_and_zeros_a_row_of_their_own(looks):
    """A bin without an entry is transparent, one with entries opaque; half the entries of a ReLU net are often 0."""
    histogram = looks[0]
    ax = draw_closeups(histogram).axes[0]
    strip, zeros, nonfinite = ax.collections
    opaque = strip.get_array()[..., 3] == 1
    assert opaque.T.tolist() == (histogram.counts > 0).tolist()
    assert (zeros.get_array()[0, :, 3] == 1).tolist() == (histogram.zeros > 0).tolist()
    assert (nonfinite.get_array()[..., 3] == 0).all()
    filled = histogram.edges[:-1][histogram.counts.any(0)]
    assert (
        zeros.get_coordinates()[..., 1].max()
        < filled.min()
        < filled.max()
        < nonfinite.get_coordinates()[..., 1].min()
    )


def test_norm_spread_and_what_accumulation_leaves_lie_on_linear_decades(looks):
    noise = looks[1]
    ax = draw_closeups(noise=noise).axes[0]
    mean, spread, left = lines(ax).values()
    assert mean.get_ydata() == pytest.approx(np.log10(noise.mean_norm))
    assert spread.get_ydata() == pytest.approx(np.log10(noise.spread))
    assert left.get_ydata() == pytest.approx(np.log10(noise.spread / np.sqrt(8)))


def test_zero_non_finite_and_no_gradient_have_marks_of_their_own(looks):
    noise = looks[1]
    odd = dataclasses.replace(
        noise,
        mean_norm=np.array([0.0, np.inf, np.nan, 1.0, 1.0]),
        spread=np.array([0.0, np.inf, np.nan, 1.0, 1.0]),
        has_gradient=np.array([1.0, 1.0, 0.0, 1.0, 1.0]),
    )
    ax = draw_closeups(noise=odd).axes[0]
    marks = {line.get_marker(): line.get_xdata().tolist() for line in ax.get_lines() if line.get_markersize() == 7}
    assert marks == {"o": [1], "*": [2], "_": [3]}
    assert np.isfinite(lines(ax)["mean of 8"].get_ydata()).tolist() == [False, False, False, True, True]


def test_the_points_stand_at_their_steps_and_the_edge_moves_with_the_learning_rate(looks):
    points = looks[2]
    curve, edge = lines(draw_closeups(sharpness_points=points).axes[0]).values()
    assert curve.get_xdata().tolist() == [0, 3, 6]
    assert curve.get_ydata() == pytest.approx(np.log10([p.value for p in points]))
    assert edge.get_xdata().tolist() == [0, 3, 6, 10]
    assert 10 ** np.array(edge.get_ydata()) == pytest.approx([20, 20, 10, 10])


def test_points_without_a_preconditioner_are_not_compared_with_adams_edge():
    trainer = Trainer(Config(depth=1, width=8, optimizer="adam"))
    points = [sharpness(trainer)]
    ax = draw_closeups(sharpness_points=points).axes[0]
    assert list(lines(ax)) == ["largest eigenvalue"]
    assert points[0].reason in {text.get_text() for text in ax.texts}
    trainer.run(2)
    points.append(sharpness(trainer))
    ax = draw_closeups(sharpness_points=points).axes[0]
    assert list(lines(ax)) == ["preconditioned eigenvalue", "edge of stability"]
    assert lines(ax)["preconditioned eigenvalue"].get_xdata().tolist() == [2]


@pytest.mark.parametrize(("value", "marker"), [(0.0, "o"), (-3.0, "o"), (float("nan"), "*")])
def test_an_eigenvalue_without_a_logarithm_has_a_mark(looks, value, marker):
    point = dataclasses.replace(looks[2][0], value=value)
    ax = draw_closeups(sharpness_points=[point]).axes[0]
    marks = {line.get_marker(): len(line.get_xdata()) for line in ax.get_lines() if line.get_markersize() == 7}
    assert marks == {"o": 0, "*": 0} | {marker: 1}


def test_it_draws_what_exploded_without_a_warning():
    trainer = Trainer(Config(depth=30, activation="relu", init="normal", gain=30.0))
    draw_closeups(gradient_histogram(trainer), gradient_noise(trainer), [sharpness(trainer)]).canvas.draw()
    assert torch.isfinite(trainer.network.linears[0].weight).all()


def test_the_spectrum_through_time_stands_beside_the_gates_with_the_norm_of_w_hh():
    knobs = {
        "dataset": "latch",
        "sequence_length": 6,
        "depth": 1,
        "width": 4,
        "n_samples": 16,
        "activation": "linear",
    }
    look = through_time(Trainer(Config(architecture="rnn", recurrent_gain=0.5, **knobs)))
    (ax,) = draw_closeups(through_time=look).axes
    assert ax.get_lines()[1].get_ydata() == pytest.approx(np.full(4, 5 * np.log10(0.5)), abs=1e-6)  # float32 weights
    assert "rnn1: norm 0.5, radius 0.5" in [text.get_text() for text in ax.texts]
    look = through_time(
        Trainer(Config(architecture="lstm", forget_bias=2.0, recurrent_gain=0.0, init="zeros", **knobs))
    )
    gates = lines(draw_closeups(through_time=look).axes[1])
    assert list(gates) == ["i", "f", "o"]
    assert gates["f"].get_ydata() == pytest.approx(np.full(6, 1 / (1 + np.exp(-2))), rel=1e-6)
    with pytest.raises(ValueError, match="the network has no recurrent layer"):
        through_time(Trainer(Config(depth=1)))


def test_the_clip_curve_is_drawn_over_the_decades_with_the_present_threshold_marked():
    history = Trainer(Config(depth=3)).run(20)
    curve = clip_curve(history, present=1.0)
    ax = draw_closeups(clips=curve).axes[0]
    share, factor, hardest, present = ax.lines
    assert np.array_equal(share.get_ydata(), curve.share)
    assert np.array_equal(factor.get_ydata(), curve.factor)
    assert np.array_equal(hardest.get_ydata(), curve.hardest)
    assert share.get_xdata() == pytest.approx(np.log10(curve.thresholds))
    assert list(present.get_xdata()) == [0.0, 0.0]  # log10 of 1
    assert len(draw_closeups(clips=clip_curve(history)).axes[0].lines) == 3


def test_the_coordinate_check_is_drawn_with_and_without_mups_scaling():
    change = {"standard": np.array([[1.0, 1.0, 1.0], [1.0, 10.0, 100.0]]), "mup": np.full((2, 3), 2.0)}
    slopes = {"standard": np.array([0.0, 3.32, 6.64]), "mup": np.zeros(3)}
    ax = draw_closeups(coordinates=CoordinateCheck((32, 64), change, slopes, ("a", "b", "c"))).axes[0]
    lines = {line.get_label(): line for line in ax.lines}
    assert len(lines) == 6
    assert lines["standard, c: +6.64"].get_ydata().tolist() == [0.0, 2.0]
    assert lines["muP, c: +0.00"].get_ydata() == pytest.approx(np.log10([2.0, 2.0]))
    assert [text.get_text() for text in ax.get_xticklabels()] == ["32", "64"]
