"""One description, two painters: the browser is told the numbers and words that matplotlib draws."""

import base64
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from gradlab import Config, Trainer, theory
from gradlab.history import History
from gradlab.locale import Text
from gradlab.plots import View, anchored, describe, draw_view
from gradlab.plots.axes import Decades
from gradlab.plots.stretches import CELL_MISSING, CELL_NONFINITE, CELL_ZERO, cell_codes, stretch_of, stretches
from gradlab.stage import Lane, Learned, PacketEncoder, Shown
from tests.helpers.histories import history_of, record

TOLD = Path(__file__).parent / "stage" / "told.mjs"
FLOAT32 = 2e-6  # relative: what is left of a log10 in four bytes


def told(packets, step=None):
    """Return what the browser knows after some packets."""
    plain = [[head, base64.b64encode(buffers[0]).decode()] for head, buffers in packets]
    node = shutil.which("node")
    assert node is not None, "node is not on PATH"
    text = json.dumps({"packets": plain, "step": step})
    done = subprocess.run([node, str(TOLD)], input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def numbers(values):
    return np.array(
        [float(v) if v not in ("Infinity", "-Infinity") else float(v.replace("inity", "")) for v in values]
    )


def played(config, view, sizes, extra=None):
    """Train in frames of some steps each and return the trainer and its packets."""
    trainer, encoder, packets = Trainer(config), PacketEncoder(), []
    for size in sizes:
        trainer.run(size)
        packets.append(encoder.new(Shown(1, (Lane(trainer.history, verdict=("level", "LEVEL", "")),), view)))
    return trainer, packets


CASES = {
    "healthy": (Config(depth=6, width=16), (1, 1, 7, 120, 90, 300)),
    "exploding": (Config(depth=20, gain=1.5), (1, 1, 1)),
    "vanishing": (Config(depth=30, width=8, activation="sigmoid", init="normal"), (1, 5, 40)),
    "clipped": (Config(depth=8, width=16, gain=1.5, clip="global_norm", clip_threshold=0.1), (1, 3, 60)),
    "zeros": (Config(depth=4, width=8, init="zeros"), (1, 4)),
}


@pytest.mark.parametrize("name", CASES)
def test_browser_and_matplotlib_show_the_same_series_marks_limits_and_words(name):
    config, sizes = CASES[name]
    view = View(measure="both", clip=True, units=True)
    trainer, packets = played(config, view, sizes)
    history = trainer.history
    found, picture = told(packets), describe(history, view)
    lane = found["lanes"][0]
    figure = draw_view(history, view)
    loss, heat, profile = figure.axes[0], figure.axes[1], figure.axes[-1]
    drawn = {line.get_label(): line for line in profile.get_lines()}

    by_role = {s.role: s.logs for s in picture.series}
    for role, values in (
        ("now", lane["row"]["now"]),
        ("second", lane["row"]["second"]),
        ("after", lane["row"]["after"]),
    ):
        assert np.allclose(numbers(values), by_role[role], rtol=FLOAT32, equal_nan=True)
    for role in ("now", "second", "after", "first"):
        artist = np.asarray(drawn[role].get_ydata())
        assert np.array_equal(artist, np.where(np.isfinite(by_role[role]), by_role[role], np.nan), equal_nan=True)
    assert np.allclose(numbers(lane["first"]), by_role["first"], rtol=FLOAT32, equal_nan=True)
    if "last" in by_role:
        assert np.allclose(numbers(lane["finite"]), by_role["last"], rtol=FLOAT32)

    assert found["limits"] == [*picture.limits.profile, *picture.limits.loss, picture.limits.span]
    assert loss.get_ylim() == picture.limits.loss
    low, high = picture.limits.profile
    decades = [
        float(t)
        for t, label in zip(profile.get_yticks(), profile.get_yticklabels(), strict=True)
        if label.get_text().startswith("1e")
    ]
    assert low == decades[0]
    assert decades[-1] <= high

    assert np.array_equal(lane["start"], picture.stretches.start)
    (median,) = [line for line in loss.get_lines() if line.get_label() == "median"]
    assert np.allclose(numbers(lane["median"]), picture.stretches.median, rtol=1e-5, equal_nan=True)
    assert np.array_equal(np.asarray(median.get_ydata()), picture.stretches.median, equal_nan=True)
    plain = np.isfinite(picture.stretches.cells)
    codes = np.array(lane["cells"])
    assert np.abs(codes / 100 - picture.stretches.cells)[plain].max(initial=0.0) <= 0.0051  # hundredths of a decade
    assert np.array_equal(codes == CELL_NONFINITE, np.isposinf(picture.stretches.cells))
    assert np.array_equal(codes == CELL_ZERO, np.isneginf(picture.stretches.cells))
    assert np.array_equal(codes == CELL_MISSING, np.isnan(picture.stretches.cells))
    assert heat.collections[0].get_array().shape[:2] == codes.T.shape

    upright = {
        c.get_label(): sorted(s[0][0] for s in c.get_segments())
        for c in loss.collections
        if hasattr(c, "get_segments")
    }
    assert upright["clipped"] == sorted(lane["clipped"]) == picture.marks["clipped"].tolist()
    assert upright["diverged"] == [m[0] for m in lane["marks"] if m[1] == "diverged"]
    assert found["titles"] == [Text()("measure.delta_norm"), Text()("measure.grad_norm")]
    assert picture.slope in {text.get_text() for text in profile.texts} | {""}


def test_the_words_on_the_slope_are_the_estimate_that_everything_else_quotes():
    history = history_of([1000.0, 100.0, 10.0, 1.0, 7.0])
    view = View(measure="delta_norm")
    assert describe(history, view).slope == "grows \N{MULTIPLICATION SIGN} 10 with every layer toward the input"
    found = told([PacketEncoder().new(Shown(1, (Lane(history),), view))])["lanes"][0]["row"]
    assert float(found["growth"]) == pytest.approx(3.0)
    assert found["spans"] == 3
    assert describe(history_of([1.0, 2.0, 1.0, 1.0, 9.0]), view).slope == "about level from layer to layer"
    steep = describe(history_of([9.0, 3.0, 1.0, 9.0]), view).slope  # within a decade in all
    assert steep == "grows \N{MULTIPLICATION SIGN} 3 with every layer toward the input"
    assert describe(history_of([0.0, 2.0, 1.0, 1.0, 9.0]), view).slope == "exactly 0 by the first layer"


def test_an_axis_starts_with_four_decades_and_widens_in_jumps_that_hold_the_value():
    first = Decades.first(0.0, 0.1)
    assert first.high - first.low == 4
    assert first.low < 0 < 0.1 < first.high
    assert first.holding(-0.5, 1.0) == first
    wider = first.holding(0.0, 31.5)
    assert wider.low == first.low
    assert wider.high >= 31.5
    assert (wider.high - first.high) % 3 == 0
    assert wider.holding(0.0, 0.1) == wider  # it never narrows
    assert Decades.first(np.inf, -np.inf) == (-2, 2)


def test_readmes_first_run_widens_its_axis_by_28_decades_in_one_step():
    trainer, packets = played(Config(depth=20, gain=1.5), View(measure="both"), (1, 1, 1))
    (before, after) = (packets[i][0]["limits"] for i in (0, 1))
    assert before[1] <= 6
    assert after[1] >= 31
    assert np.log10(trainer.history[1].loss) - np.log10(trainer.history[0].loss) > 28
    assert told(packets)["widened"][1] == ["profile", "loss", "span"]


def test_limits_do_not_depend_on_how_the_run_was_cut_into_frames():
    config, view = Config(depth=8, gain=1.3, lr=0.1), View(measure="both")
    ends = [told(played(config, view, sizes)[1])["limits"] for sizes in ((1,) * 40, (1, 39), (40,))]
    assert ends[0] == ends[1] == ends[2]


def test_a_loss_of_exactly_0_has_a_mark_of_its_own_and_is_neither_inf_nor_nan():
    history = history_of([1.0] * 3, [1.0] * 3, [1.0] * 3, losses=[0.5, 0.0, np.inf])
    found = stretches(history, "delta_norm")
    assert found.zero.tolist() == [False, True, False]
    assert found.nonfinite.tolist() == [False, False, True]
    assert np.isnan(found.median).tolist() == [False, True, True]
    lane = told([PacketEncoder().new(Shown(1, (Lane(history),), View()))])["lanes"][0]
    assert lane["odd"] == [0, 1, 2]
    marks = {
        line.get_label(): line.get_xdata().tolist() for line in draw_view(history, View(), ("loss",)).axes[0].lines
    }
    assert marks["zero"] == [1.0]
    assert marks["nonfinite"] == [2.0]


def test_the_median_and_range_of_a_stretch_are_those_of_its_steps():
    rng = np.random.default_rng(0)
    losses = 10.0 ** rng.normal(size=1000)
    history = history_of(*[[1.0, 1.0]] * 1000, losses=losses)
    found = stretches(history, "delta_norm")
    for start, end, low, median, high in zip(
        found.start.astype(int),
        [*found.start[1:].astype(int), 1000],
        found.low,
        found.median,
        found.high,
        strict=True,
    ):
        part = np.log10(losses[start:end])
        assert (low, median, high) == pytest.approx((part.min(), np.median(part), part.max()))


def test_stretches_are_few_and_the_first_steps_have_their_own():
    steps = np.arange(100_000.0)
    starts = np.unique(stretch_of(steps))
    assert starts[:128].tolist() == list(range(128))
    assert len(starts) < 128 + 64 * 10


def test_the_colour_of_a_cell_is_the_largest_ratio_to_the_last_layer_and_what_is_no_number_outshines_it():
    history = history_of(
        *[[1.0, 1.0, 1.0]] * 128, [1.0, 10.0, 10.0], [1e3, 10.0, 10.0], [np.inf, 0.0, 10.0], [1.0, 0.0, 10.0]
    )
    cells = stretches(history, "delta_norm").cells
    assert cells[128].tolist() == [2.0, 0.0, 0.0]  # steps 128 and 129
    assert np.isposinf(cells[129, 0])
    assert np.isneginf(cells[129, 1])
    assert cells[129, 2] == 0.0


def test_theory_ghost_and_prediction_reach_both():
    config = Config(depth=10, activation="tanh", init="normal", gain=2.0, width=64)
    a, b = Trainer(config).run(2), Trainer(config.replace(gain=1.0)).run(2)
    view = View(ghost=b, theory=anchored(theory.predict(config), a), guess=1.5)
    fixed = told([PacketEncoder().new(Shown(1, (Lane(a),), view))])["fixed"]
    artists = {
        line.get_label(): np.asarray(line.get_ydata()) for line in draw_view(a, view, ("profile",)).axes[0].lines
    }
    for role in ("theory", "ghost", "guess"):
        assert np.allclose(numbers(fixed[f"{role}.y"]), artists[role], rtol=FLOAT32, equal_nan=True)
    measured = np.log10(a[0].delta_norm)
    assert np.nanmax(np.abs(artists["theory"] - measured)) < 0.5  # decades


def test_what_waits_for_a_prediction_is_told_to_nobody():
    trainer = Trainer(Config(depth=6, width=8))
    trainer.run(1)
    learned = Learned(grid=bytes(1600), points=np.zeros((4, 3)), rows=(("right", "50 %"),))
    shown = Shown(1, (Lane(trainer.history, learned=learned),), View(hidden=True))
    encoder = PacketEncoder()
    head, buffers = encoder.new(shown)
    lane = told([(head, buffers)])["lanes"][0]
    assert lane["row"] is None
    assert lane["cells"] == []
    assert lane["grid"] is None
    assert lane["learned"] == []
    assert lane["given"] == pytest.approx(np.log10(trainer.history[0].delta_norm[-2]), rel=FLOAT32)
    opened = told([(head, buffers), encoder.new(Shown(1, shown.lanes, View()))])["lanes"][0]
    assert np.allclose(numbers(opened["row"]["now"]), np.log10(trainer.history[0].delta_norm), rtol=FLOAT32)


def test_after_a_rewind_the_browser_holds_what_the_history_holds():
    trainer, encoder = Trainer(Config(depth=3, width=8)), PacketEncoder()
    packets = []
    for act in (lambda: trainer.run(40), lambda: trainer.rewind(10), lambda: trainer.run(35)):
        act()
        packets.append(encoder.new(Shown(1, (Lane(trainer.history),), View())))
    lane = told(packets)["lanes"][0]
    assert lane["steps"] == 45
    assert lane["start"] == list(range(45))


def test_the_rows_of_recorded_steps_are_told_on_request():
    trainer, encoder = Trainer(Config(depth=3, width=8)), PacketEncoder()
    trainer.run(100)
    shown = Shown(1, (Lane(trainer.history),), View())
    found = told([encoder.new(shown), encoder.rows(shown, [37])], step=37)["lanes"][0]["row"]
    assert found["step"] == 37
    assert np.allclose(numbers(found["now"]), np.log10(trainer.history[37].delta_norm), rtol=FLOAT32)


def test_a_frame_of_50_layers_is_small():
    trainer, encoder = Trainer(Config(depth=49, width=16)), PacketEncoder()
    learned = Learned(grid=bytes(1600), points=np.zeros((4, 3)))
    view = View(measure="both", clip=True, units=True)
    sizes = []
    for turn in range(30):
        trainer.run(1 if turn < 20 else 40)
        grid = bytes([turn]) * 1600
        lane = Lane(trainer.history, learned=Learned(grid=grid, points=learned.points, held=learned.held))
        head, buffers = encoder.new(Shown(1, (lane,), view, rate=10.0))
        sizes.append(len(json.dumps(head)) + len(buffers[0]))
    assert np.mean(sizes[1:]) <= 4096


def test_an_empty_history_can_be_shown():
    history = History(["layer 1", "layer 2", "layer 3"])
    assert told([PacketEncoder().new(Shown(1, (Lane(history),), View()))])["lanes"][0]["steps"] == 0
    draw_view(history, View())


def test_a_recurrent_network_shows_the_signal_of_every_time_step_and_a_plain_one_its_layers():
    trainer = Trainer(Config(architecture="rnn", dataset="latch", depth=2, sequence_length=12))
    history, view = trainer.run(3), View(measure="time_norm", units=True)
    lane = told([PacketEncoder().new(Shown(1, (Lane(history),), view))])["lanes"][0]
    signal = history.column("time_norm")[-1, -1]  # of the last recurrent layer, at the last step
    assert lane["names"] == [f"t{i}" for i in range(1, 13)]
    assert np.allclose(numbers(lane["row"]["now"]), np.log10(signal), rtol=FLOAT32)
    assert float(lane["row"]["growth"]) == pytest.approx(np.log10(signal[0] / signal[-1]), rel=1e-5)
    drawn = {line.get_label(): line for line in draw_view(history, view, ("profile",)).axes[0].get_lines()}
    assert np.array_equal(drawn["now"].get_ydata(), np.log10(signal))
    plain = Trainer(Config(depth=3, width=8)).run(2)
    assert describe(plain, view).measure == "delta_norm"


def test_rows_of_biases_are_not_columns_of_the_picture():
    history = History(["a", "b", "c", "a.bias"], kinds=("weight", "weight", "weight", "bias"))
    history.append(record(0, [1.0, 10.0, 100.0, 5.0]))
    lane = told([PacketEncoder().new(Shown(1, (Lane(history),), View()))])["lanes"][0]
    assert lane["names"] == ["a", "b", "c"]
    assert numbers(lane["row"]["now"]).tolist() == [0, 1, 2]


def test_a_run_told_bit_by_bit_has_the_stretches_of_the_whole():
    rng = np.random.default_rng(0)
    odd = rng.choice([1.0, 0.0, np.inf, np.nan], (700, 3), p=[0.7, 0.1, 0.1, 0.1])
    rows = 10.0 ** rng.normal(size=(700, 3)) * odd
    whole, records = stretches(history_of(*rows), "delta_norm"), list(history_of(*rows))
    for size in (1, 3, 64):
        encoder, packets = PacketEncoder(), []
        history = history_of(*rows[:1])
        for start in range(1, 700, size):
            for row in records[start : start + size]:
                history.append(row)
            packets.append(encoder.new(Shown(1, (Lane(history),), View())))
        lane = told(packets)["lanes"][0]
        assert np.array_equal(lane["cells"], cell_codes(whole.cells))
        assert np.array_equal(numbers(lane["high"]), whole.high.astype("f4"), equal_nan=True)
