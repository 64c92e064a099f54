"""Pictures of sweeps: read from the artists, not from the pixels."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from gradlab import Config
from gradlab.plots.critical import critical_lines
from gradlab.sweep import Sweep, sweep

SMALL = Config(n_samples=48, batch_size=16, depth=6, width=16)


def run(over, config=SMALL, **options):
    return sweep(config, over, progress=False, **{"steps": 0, "seeds": 2, **options})


def picture(figure):
    """Return the values of the heat map as (rows, columns), masked where there is none."""
    return figure.axes[0].collections[0].get_array()


def test_the_heat_map_shows_each_cells_number_with_x_across_and_y_up():
    found = run({"gain": [2.0, 0.5, 1.0], "depth": [4, 8]})  # unsorted on purpose: the axis is sorted
    figure = found.plot(theory=False)
    assert isinstance(figure, Figure)
    assert figure.axes[0].get_xlabel() == "gain"
    assert figure.axes[0].get_ylabel() == "depth"
    assert np.allclose(picture(figure), found.over_seeds("growth")[[1, 2, 0]].T)
    turned = found.plot(x="depth", y="gain", theory=False)
    assert np.allclose(picture(turned), picture(figure).T)


def test_colours_of_growth_are_fixed_so_that_pictures_can_be_compared():
    for gains in ([0.9, 1.1], [0.1, 10.0]):
        image = run({"gain": gains, "depth": [4, 8]}).plot(theory=False).axes[0].collections[0]
        assert (image.norm.vmin, image.norm.vmax) == (0.25, 4.0)


def test_cells_without_a_number_say_why():
    over = {"dataset": ["moons", "article_literal"], "lr": [0.1, 1e300]}
    found = run(over, SMALL.replace(dtype="float64"), steps=3)
    figure = found.plot("final_loss")
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["0.1", "1e+300"]  # too far apart for an axis
    labels = {text.get_text() for text in figure.axes[0].get_legend().get_texts()}
    assert labels == {"not finite", "failed"}
    assert picture(figure).mask.tolist() == [[False, True], [True, True]]
    waiting = Sweep(SMALL, {"gain": [0.5, 1.0], "depth": [4, 8]})
    assert [t.get_text() for t in waiting.plot(theory=False).axes[0].get_legend().get_texts()] == ["not yet run"]


def test_theorys_line_stands_at_gain_1_for_relu_at_kaiming_init():
    (line,) = critical_lines(Sweep(SMALL, {"gain": [0.3, 3.0], "depth": [4, 8]}), "gain", "depth")
    assert line[:, 0] == pytest.approx([1.0, 1.0], rel=1e-6)  # log chi is a straight line in log gain
    assert line[:, 1].tolist() == [4.0, 8.0]
    figure = Sweep(SMALL, {"gain": [0.3, 3.0], "depth": [4, 8]}).plot()
    drawn = [ln for ln in figure.axes[0].lines if ln.get_label() == "theory: chi = 1"]
    assert drawn[0].get_xdata() == pytest.approx([1.0, 1.0], rel=1e-6)


def test_theorys_line_for_tanh_follows_the_bias():
    """Critical for tanh: sw = 1 without bias; sw^2 = 1.760955 at sb^2 = 0.05 (Schoenholz et al. 2017)."""
    config = SMALL.replace(activation="tanh", init="normal")
    over = {"gain": [0.5, 3.0], "bias_std": [0.0, 0.05**0.5]}
    (line,) = critical_lines(Sweep(config, over), "gain", "bias_std")
    assert line[:, 0] == pytest.approx([1.0, 1.760955**0.5], rel=5e-3)  # seven halvings of a factor 1.6
    turned = critical_lines(Sweep(config, over), "bias_std", "gain")[0]
    assert np.array_equal(turned, line[:, ::-1])


@pytest.mark.parametrize(
    ("config", "over"),
    [
        (SMALL.replace(norm="layer"), {"gain": [0.5, 3.0], "depth": [4, 8]}),  # critical whatever the gain
        (SMALL, {"lr": [0.1, 1.0], "depth": [4, 8]}),  # chi does not move
        (SMALL, {"gain": [2.0, 3.0], "depth": [4, 8]}),  # exploding throughout
    ],
)
def test_no_line_is_drawn_where_theory_has_none(config, over):
    assert critical_lines(Sweep(config, over), *over) == []


def test_lines_over_one_knob_show_the_spread_of_the_seeds():
    found = run({"gain": [0.5, 1.0, 2.0]}, seeds=4)
    ax = found.plot(theory=False).axes[0]
    assert np.allclose(ax.lines[0].get_ydata(), found.over_seeds("growth"))
    band = ax.collections[0].get_paths()[0].vertices
    low, high = found.spread("growth")
    assert band[:, 1].min() == pytest.approx(low.min())
    assert band[:, 1].max() == pytest.approx(high.max())
    assert ax.get_yscale() == "log"


def test_a_line_marks_where_the_measure_is_not_finite():
    found = run({"lr": [0.05, 1e300]}, SMALL.replace(dtype="float64"), steps=3)
    ax = found.plot("final_loss", theory=False).axes[0]
    (mark,) = [line for line in ax.lines if line.get_label() == "not finite"]
    assert mark.get_xdata().tolist() == [1.0]


def test_words_on_an_axis_and_a_third_knob_held():
    found = run({"gain": [0.5, 1.0], "clip": ["none", "value"], "depth": [4, 8]})
    figure = found.plot(x="clip", y="gain", at={"depth": 1}, theory=False)
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["none", "value"]
    assert np.allclose(picture(figure), found.over_seeds("growth")[:, :, 1])


def test_the_network_at_hand_is_marked():
    figure = run({"gain": [0.5, 2.0], "depth": [4, 8]}).plot(mark=SMALL.replace(gain=0.7), theory=False)
    (star,) = [line for line in figure.axes[0].lines if line.get_label() == "this network"]
    assert star.get_xydata().tolist() == [[0.7, 6.0]]


def test_unknown_measures_and_axes_are_named():
    found = run({"gain": [0.5, 1.0]})
    with pytest.raises(ValueError, match="measure 'los'; expected one of growth"):
        found.plot("los")
    with pytest.raises(ValueError, match="axis 'lr'; expected one of the swept knobs gain"):
        found.plot(x="lr")
    with pytest.raises(ValueError, match="nothing is swept"):
        run({}).plot()
