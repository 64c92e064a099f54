"""The pictures: what the artists hold, read back, against numbers put in by hand."""

import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from gradlab import MEASURES, PLOTS, Config, History, Trainer, draw
from gradlab.history import Mark, StepRecord
from gradlab.measures import sort_kinds
from gradlab.plots import LiveFigure, View
from gradlab.plots.heatmap import COLOURS, KIND_COLOURS, colours
from gradlab.plots.view import step_limit

TINY = float(np.finfo(np.float32).tiny)


def record(step, grads, *, loss=0.5, clipped=None, has_gradient=None):
    grads = np.array(grads, dtype=float)
    ones = np.ones(len(grads))
    return StepRecord(
        step=step,
        epoch=0,
        samples=step + 1,
        micro_batches=step + 1,
        updates=step + 1,
        applied=True,
        loss=loss,
        seconds=0.0,
        total_norm=1.0,
        clipped_total_norm=1.0,
        clip_coef=1.0,
        clip_cosine=1.0,
        grad_norm=grads,
        clipped_norm=grads if clipped is None else np.array(clipped, dtype=float),
        weight_norm=ones,
        update_ratio=ones,
        delta_norm=grads,
        activation_std=ones,
        saturated=0 * ones,
        dead=0 * ones,
        has_gradient=ones if has_gradient is None else np.array(has_gradient, dtype=float),
    )


def history_of(*rows, **kwargs):
    history = History([f"layer {i + 1}" for i in range(len(rows[0]))])
    for step, row in enumerate(rows):
        history.append(record(step, row, **kwargs))
    return history


def lines(figure, axis=-1):
    return figure.axes[axis].get_lines()


def profile(history, **view):
    live = LiveFigure(("profile",), scale=1)
    live.update(history, View(measure="grad_norm", **view))
    return live.figure


def points(figure, marker):
    found = [line for line in lines(figure) if line.get_marker() == marker]
    assert found
    x, y = (
        np.concatenate([np.asarray(v, dtype=float) for v in side])
        for side in zip(*(f.get_data() for f in found), strict=True)
    )
    return x[np.isfinite(y)], y[np.isfinite(y)]


def test_the_axis_is_fixed_whatever_the_values():
    huge, small = (profile(history_of([value] * 4)).axes[0].get_ylim() for value in (1e30, 1e-30))
    assert huge == small


@pytest.mark.parametrize("measure", MEASURES.values(), ids=lambda m: m.name)
def test_the_axis_spans_80_decades_and_more_and_rises_strictly(measure):
    heights = measure.position(10.0 ** np.arange(-46, 41))
    assert list(heights[[0, -1]]) == [0, 1]
    assert np.all(np.diff(heights) > 0)


def test_within_the_middle_decades_equal_ratios_have_equal_heights():
    heights = MEASURES["grad_norm"].position(np.array([1e-3, 1e-2, 1e-1, 1.0, 10.0]))
    assert np.ptp(np.diff(heights)) < 1e-12  # rounding of a sum of float64 numbers near 1


def test_zero_underflow_non_finite_and_no_gradient_have_marks_of_their_own():
    row = [1.0, 0.0, 1e-42, np.inf, np.nan, np.nan]
    figure = profile(history_of(row, has_gradient=[1, 1, 1, 1, 1, 0]))
    assert list(points(figure, "x")[0]) == [2]
    assert list(points(figure, "v")[0]) == [3]
    assert list(points(figure, "*")[0]) == [4, 5]
    assert list(points(figure, "_")[0]) == [6]
    assert list(points(figure, "o")[0]) == [1, 3]  # an underflow has a height: it is a number
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert {"underflow", "exactly 0", "inf or NaN", "no gradient"} <= set(labels)


def test_marks_lie_outside_the_decades_so_that_none_poses_as_a_value():
    figure = profile(history_of([0.0, np.inf, np.nan], has_gradient=[1, 1, 0]))
    low, high = figure.axes[0].get_ylim()
    for marker in "x*_":
        _, heights = points(figure, marker)
        assert np.all((heights < 0) | (heights > 1))
        assert np.all((heights > low) & (heights < high))


@pytest.mark.parametrize("value", [0.0, 1e-45, TINY / 2, TINY, 1.0, 1e38, np.inf, np.nan])
@pytest.mark.parametrize("has", [0.0, 1.0])
def test_every_value_is_exactly_one_kind(value, has):
    kinds = sort_kinds(np.array([value]), TINY, np.array([has]))
    flags = [kinds.plain, kinds.underflow, kinds.zero, kinds.nonfinite, kinds.missing]
    assert sum(bool(flag[0]) for flag in flags) == 1


def test_the_ghost_is_step_0_and_the_dots_are_now():
    figure = profile(history_of([1.0, 1.0], [10.0, 100.0]))
    expected = MEASURES["grad_norm"].position(np.array([10.0, 100.0]))
    assert np.allclose(points(figure, "o")[1], expected)
    first = MEASURES["grad_norm"].position(np.array([1.0, 1.0]))
    assert any(np.array_equal(np.asarray(line.get_ydata()), first) for line in lines(figure))


def test_before_and_after_clipping_are_two_series():
    figure = profile(history_of([8.0, 4.0], clipped=[2.0, 1.0]), clip=True)
    assert np.allclose(points(figure, "s")[1], MEASURES["grad_norm"].position(np.array([2.0, 1.0])))
    assert np.allclose(points(figure, "o")[1], MEASURES["grad_norm"].position(np.array([8.0, 4.0])))
    assert len(points(profile(history_of([8.0, 4.0], clipped=[2.0, 1.0])), "s")[0]) == 0


def test_the_note_says_how_much_the_signal_grows_from_the_last_hidden_layer_to_the_first():
    figure = profile(history_of([1000.0, 100.0, 10.0, 1.0, 7.0]))
    notes = [text.get_text() for text in figure.axes[0].texts]
    assert "now x 1000, x 10 per layer" in notes


def note_heights(figure):
    """From the top of the first of both lines to the bottom of the last, in units of the axis."""
    bounds = [note.get_window_extent() for note in figure.axes[0].texts if note.get_text()]
    to_axis = figure.axes[0].transAxes.inverted()
    return min(to_axis.transform(b.p0)[1] for b in bounds), max(to_axis.transform(b.p1)[1] for b in bounds)


def in_axis_units(figure, heights):
    return [figure.axes[0].transLimits.transform((1.0, height))[1] for height in heights]


def test_the_notes_stand_where_no_curve_of_the_run_so_far_passed():
    for decade in range(-4, 4):
        level, exploded = [1.0] * 6, [10.0**decade] * 6
        figure = profile(history_of(level, exploded, level))  # the level one is in front again, and the notes stay
        low, high = note_heights(figure)
        for heights in (MEASURES["grad_norm"].position(np.array(row)) for row in (level, exploded)):
            assert not any(low < height < high for height in in_axis_units(figure, heights))


def test_the_notes_keep_clear_of_a_prediction():
    history = history_of([1.0] * 6)
    live = LiveFigure(("profile",), scale=1)
    for growth in (1.0, 1e3):
        live.update(history, View(measure="delta_norm", guess=growth))
        low, high = note_heights(live.figure)
        drawn = [line for line in lines(live.figure) if line.get_linewidth() == 2.6]
        x, y = (np.asarray(values) for values in drawn[0].get_data())
        assert not any(low < height < high for height in in_axis_units(live.figure, y[x > 2]))


def test_the_heat_map_uses_the_colour_of_the_largest_value_and_marks_what_is_no_number():
    rows = [[1.0, 0.0, np.inf], [100.0, 0.0, 1.0]]
    picture = colours(history_of(*rows), "grad_norm", limit=1.0)  # both steps in one column
    scale = (MEASURES["grad_norm"].position(np.array([100.0])) * 255).astype(int)
    assert np.allclose(picture[0, 0], COLOURS[scale[0]])
    for layer, kind in ((1, "zero"), (2, "nonfinite")):
        red = int(KIND_COLOURS[kind][1:3], 16) / 255
        assert picture[layer, 0, 0] == pytest.approx(red)


def test_the_heat_map_leaves_no_gap_where_old_stretches_were_thinned():
    history = History(["layer 1"])
    for step in [0, 64, 128, 200, 201, 202, 203]:
        history.append(record(step, [1.0]))
    picture = colours(history, "grad_norm", limit=250.0)
    assert np.all(picture[0, :204, 3] == 1)
    assert np.all(picture[0, 204:, 3] == 0)


def test_the_time_axis_grows_in_round_steps():
    assert [step_limit(n) for n in (0, 49, 50, 99, 100, 199, 200, 499, 500, 999, 1000)] == [
        *(50, 50, 100, 100, 200, 200, 500, 500, 1000, 1000, 2000)
    ]


def test_moved_knobs_and_failed_steps_stand_on_the_time_axis():
    history = history_of([1.0], [1.0], [1.0])
    history.mark(Mark(1, "knob", "lr 0.05 -> 0.1"))
    history.mark(Mark(2, "skipped", "Skipped step 2."))
    live = LiveFigure(("loss",), scale=1)
    live.update(history, View())
    at = [[segment[0][0] for segment in marks.get_segments()] for marks in live.figure.axes[0].collections]
    assert at == [[1.0], [], [2.0], []]  # knobs, clipped, skipped, diverged


def test_the_loss_axis_widens_in_whole_decades_and_never_shrinks():
    live = LiveFigure(("loss",), scale=1)
    limits = []
    for loss in (0.5, 3e7, 0.5):
        history = history_of([1.0], loss=loss)
        live.update(history, View())
        limits.append(live.figure.axes[0].get_ylim())
    assert limits == [(-2, 1), (-2, 8), (-2, 8)]


def test_a_live_frame_shows_the_same_as_a_figure_drawn_from_nothing():
    trainer = Trainer(Config(depth=6, width=8))
    trainer.run(5)
    live = LiveFigure(scale=1)
    live.render(trainer.history, View())
    trainer.run(10)
    frame = Image.open(io.BytesIO(live.render(trainer.history, View())))
    fresh = Image.open(io.BytesIO(LiveFigure(scale=1).render(trainer.history, View())))
    assert frame.size == (1000, 430)
    assert np.array_equal(np.asarray(frame.convert("RGB")), np.asarray(fresh.convert("RGB")))


def test_a_frame_keeps_its_colours():
    png = Image.open(io.BytesIO(LiveFigure(scale=1).render(history_of([1.0, 10.0]), View())))
    found = {colour for _, colour in png.convert("RGB").getcolors(1 << 24)}
    blue, white = (0x00, 0x72, 0xB2), (255, 255, 255)
    for wanted in (blue, white):
        assert min(max(abs(a - b) for a, b in zip(c, wanted, strict=True)) for c in found) <= 8  # 5 bits a channel


def test_draw_returns_a_figure_of_its_own_with_theory_and_ghost():
    from gradlab import theory

    config = Config(depth=10, activation="tanh", init="normal", gain=2.0, width=64)
    a, b = Trainer(config).run(2), Trainer(config.replace(gain=1.0)).run(2)
    figure = draw(a, ghost=b, theory=theory.predict(config), measure="delta_norm")
    assert isinstance(figure, Figure)
    assert Image.open(io.BytesIO(figure._repr_png_())).size == (2000, 860)  # what a notebook asks for
    dashed = [line for line in lines(figure) if line.get_linestyle() == "--" and len(line.get_xdata())]
    assert len(dashed) == 1
    predicted = np.asarray(dashed[0].get_ydata())
    measured = MEASURES["delta_norm"].position(a[0].delta_norm)
    assert np.abs(predicted - measured).max() < 0.05  # half a decade of the ten in the middle 80 % of the axis


def test_an_own_plot_is_one_function_and_may_draw_plainly():
    @PLOTS.register("plain test plot", "Plain")
    def plain(ax, history):
        """Draw the loss with plain calls."""
        ax.plot(history.column("step"), history.column("loss"))

    figure = draw(history_of([1.0], [2.0]), plots=["plain test plot"])
    assert [len(line.get_xdata()) for line in lines(figure)] == [2]


def test_an_unknown_plot_or_measure_is_refused_by_name():
    with pytest.raises(ValueError, match=r"plot='pie'; expected one of .*profile"):
        draw(history_of([1.0]), plots=["pie"])
    with pytest.raises(ValueError, match="measure='size'; expected one of both, delta_norm"):
        draw(history_of([1.0]), measure="size")
