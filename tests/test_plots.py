"""The pictures that matplotlib draws: what the artists hold, read back, against numbers put in by hand."""

import gc
import io

import numpy as np
import pytest
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure
from PIL import Image

from gradlab import PLOTS, Config, History, Trainer, draw
from gradlab.history import Mark
from gradlab.plots import DARK, View, draw_view, figure_png
from gradlab.plots.axes import sorted_logs
from gradlab.plots.picture import kinds_of
from gradlab.plots.stretches import step_limit
from gradlab.plots.style import KIND_COLOURS, RAMP, cell_colours
from tests.helpers.histories import history_of, record

TINY = float(np.finfo(np.float32).tiny)


def lines(figure, axis=-1):
    return {line.get_label(): line for line in figure.axes[axis].get_lines()}


def profile(history, **view):
    return draw_view(history, View(**{"measure": "grad_norm", **view}), ("profile",))


def points(figure, label):
    line = lines(figure)[label]
    x, y = (np.asarray(values, dtype=float) for values in line.get_data())
    return x[np.isfinite(y)].tolist(), y[np.isfinite(y)].tolist()


def test_equal_ratios_have_equal_heights_however_large_they_are():
    figure = profile(history_of([1e30, 1.0, 1e-10, 1e-40]))
    low, high = figure.axes[0].get_ylim()
    assert low < -40
    assert high > 30
    assert points(figure, "now") == ([1, 2, 3, 4], [30, 0, -10, -40])


def test_zero_underflow_non_finite_and_no_gradient_have_marks_of_their_own():
    row = [1.0, 0.0, 1e-42, np.inf, np.nan, np.nan]
    figure = profile(history_of(row, has_gradient=[1, 1, 1, 1, 1, 0]))
    assert points(figure, "now zero")[0] == [2]
    assert points(figure, "now underflow")[0] == [3]
    assert points(figure, "now nonfinite")[0] == [4, 5]
    assert points(figure, "now missing")[0] == [6]
    assert points(figure, "now")[0] == [1, 3]  # an underflow has a height: it is a number
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert {"underflow", "exactly 0", "inf or NaN", "no gradient"} <= set(labels)


def test_marks_lie_outside_the_decades_so_that_none_poses_as_a_value():
    figure = profile(history_of([0.0, np.inf, np.nan], has_gradient=[1, 1, 0]))
    ax = figure.axes[0]
    labels = [label.get_text() for label in ax.get_yticklabels()]
    decades = [t for t, label in zip(ax.get_yticks(), labels, strict=True) if label.startswith("1e")]
    low, high = ax.get_ylim()
    for kind in ("zero", "nonfinite", "missing"):
        (height,) = points(figure, f"now {kind}")[1]
        assert height < decades[0] or height > decades[-1]
        assert low < height < high


@pytest.mark.parametrize("value", [0.0, 1e-45, TINY / 2, TINY, 1.0, 1e38, np.inf, np.nan])
@pytest.mark.parametrize("has", [0.0, 1.0])
def test_every_value_is_exactly_one_kind(value, has):
    kinds = kinds_of(sorted_logs(np.array([value]), np.array([has]) == 0), TINY)
    plain = np.isfinite(value) and value >= TINY
    assert sum(bool(where[0]) for where in kinds.values()) + plain == 1


def test_the_ghost_is_step_0_and_the_dots_are_now():
    figure = profile(history_of([1.0, 1.0], [10.0, 100.0]))
    assert points(figure, "now")[1] == pytest.approx([1, 2])
    assert points(figure, "first")[1] == [0, 0]
    assert points(profile(history_of([1.0, 1.0], [10.0, 100.0]), at=0), "now")[1] == [0, 0]


def test_before_and_after_clipping_are_two_series():
    figure = profile(history_of([8.0, 4.0], clipped=[2.0, 1.0]), clip=True)
    assert points(figure, "after")[1] == pytest.approx(np.log10([2.0, 1.0]))
    assert points(figure, "now")[1] == pytest.approx(np.log10([8.0, 4.0]))
    assert "after" not in lines(profile(history_of([8.0, 4.0], clipped=[2.0, 1.0])))


def test_the_last_finite_step_stays_to_be_seen_when_the_run_is_lost():
    history = history_of([1.0, 1.0, 1.0], [1e30, 1e10, 1.0], [np.inf, np.nan, np.inf])
    figure = profile(history)
    assert points(figure, "last")[1] == [30, 10, 0]
    assert points(figure, "now nonfinite")[0] == [1, 2, 3]


def test_the_words_stand_in_a_corner_where_no_curve_is():
    for row in ([1e6, 1e4, 1e2, 1.0, 1.0], [1e-6, 1e-4, 1e-2, 1.0, 1.0]):
        figure = profile(history_of(row))
        ax = figure.axes[0]
        figure.canvas.draw()
        (note,) = ax.texts
        box = note.get_window_extent()
        xy = ax.transData.transform(np.stack([np.arange(1, 6), np.log10(row)], 1))
        assert not any(box.contains(*point) for point in xy)


def test_the_words_stand_clear_of_the_marks_of_what_is_infinite():
    figure = profile(history_of([1e6, 1e5, 1e4, 1e3, 1e2, 10.0], [np.inf] * 6))
    figure.canvas.draw()
    (note,) = figure.axes[0].texts
    (line,) = [line for line in figure.axes[0].lines if line.get_label() == "now nonfinite"]
    marks = figure.axes[0].transData.transform(line.get_xydata())
    box = note.get_window_extent()
    assert not any(box.contains(x, y + d) for x, y in marks for d in (-6, 0, 6))


def test_lane_a_and_a_pinned_run_are_named_and_drawn_beside():
    own, rival = history_of([1.0, 1.0, 1.0]), history_of([10.0, 10.0, 10.0])
    figure = draw_view(own, View(rival=rival, ghost=rival, ghost_name="gain 2"))
    assert points(figure, "rival")[1] == points(figure, "ghost")[1] == [1, 1, 1]
    assert any("gain 2" in text.get_text() for legend in figure.legends for text in legend.get_texts())


def test_a_cell_is_red_above_the_last_layer_blue_below_and_marks_what_is_no_number():
    cells = np.array([[3.0, -3.0, 0.0, np.inf, -np.inf, np.nan]])
    found = cell_colours(cells, 3)[0]
    assert np.allclose(found[:3], RAMP([1.0, 0.0, 0.5]))
    for colour, kind in zip(found[3:], ("nonfinite", "zero", "missing"), strict=True):
        assert colour[0] == pytest.approx(int(KIND_COLOURS[kind][1:3], 16) / 255)


def test_the_heat_map_leaves_no_gap_where_old_stretches_were_thinned():
    history = History(["layer 1"])
    for step in [0, 64, 128, 200, 201, 202, 203]:
        history.append(record(step, [1.0]))
    mesh = draw_view(history, View(), ("heatmap",)).axes[0].collections[0]
    edges = mesh.get_coordinates()[0, :, 0]
    assert edges[0] == 0
    assert edges[-1] == 204
    assert np.all(mesh.get_array()[..., 3] == 1)


def test_the_time_axis_grows_in_round_steps():
    found = [step_limit(n) for n in (0, 10, 11, 20, 21, 50, 51, 100, 101, 200, 500, 501, 1000, 1001)]
    assert found == [10, 10, 20, 20, 50, 50, 100, 100, 200, 200, 500, 1000, 1000, 2000]


def test_moved_knobs_and_failed_steps_stand_on_the_time_axis():
    history = history_of([1.0], [1.0], [1.0])
    history.mark(Mark(1, "knob", "lr 0.05 -> 0.1"))
    history.mark(Mark(2, "skipped", "Skipped step 2."))
    ax = draw_view(history, View(), ("loss",)).axes[0]
    upright = {
        c.get_label(): [s[0][0] for s in c.get_segments()] for c in ax.collections if hasattr(c, "get_segments")
    }
    assert upright == {"knob": [1.0], "clipped": [], "skipped": [2.0], "diverged": []}
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["knob moved", "skipped"]


def test_the_theme_colours_everything():
    figure = draw_view(history_of([1.0, 2.0]), View(theme=DARK))
    assert figure.get_facecolor() == pytest.approx((0x11 / 255,) * 3 + (1,))
    for ax in figure.axes:
        assert ax.title.get_color() == ax.xaxis.label.get_color() == DARK.ink


def test_draw_returns_a_figure_of_its_own_that_a_notebook_shows():
    figure = draw(Trainer(Config(depth=3, width=8)).run(2))
    assert isinstance(figure, Figure)
    assert Image.open(io.BytesIO(figure._repr_png_())).size == (2000, 860)
    assert repr(figure).startswith("<Figure")


def test_a_saved_picture_holds_no_pixels_until_garbage_is_collected():
    figure = draw(Trainer(Config(depth=3, width=8)).run(2))
    gc.disable()
    try:
        before = renderers()
        figure_png(figure)
        assert renderers() == before
    finally:
        gc.enable()


def renderers():
    return sum(type(thing) is RendererAgg for thing in gc.get_objects())


def test_an_own_plot_is_one_function_and_may_draw_plainly():
    @PLOTS.register("plain test plot", "Plain")
    def plain(ax, history):
        """Draw the loss with plain calls."""
        ax.plot(history.column("step"), history.column("loss"))

    figure = draw(history_of([1.0], [2.0]), plots=["plain test plot"])
    assert [len(line.get_xdata()) for line in figure.axes[0].get_lines()] == [2]


def test_an_unknown_plot_or_measure_is_refused_by_name():
    with pytest.raises(ValueError, match=r"plot='pie'; expected one of .*profile"):
        draw(history_of([1.0]), plots=["pie"])
    with pytest.raises(ValueError, match="measure='size'; expected one of both, delta_norm"):
        draw(history_of([1.0]), measure="size")


def test_the_profile_names_the_layers_of_a_real_network_as_far_as_there_is_room():
    def names(blocks):
        rows = [f"h.{i}.{part}.{m}" for i in range(blocks) for part in ("attn", "mlp") for m in ("fc", "proj")]
        history = History(rows)
        history.append(record(0, np.ones(len(rows))))
        return [tick.get_text() for tick in draw(history, ["profile"]).axes[0].get_xticklabels()]

    assert names(1) == ["h.0.attn.fc", "h.0.attn.proj", "h.0.mlp.fc", "h.0.mlp.proj"]
    assert names(2) == ["h.0.attn", "h.0.mlp", "h.1.attn", "h.1.mlp"]
    assert names(50)[:2] == ["h.0", "h.6"]
