"""A frame that draws only what changed shows what one drawn from nothing shows, pixel for pixel."""

import dataclasses
import io

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from gradlab import Config, History, StepRecord, Trainer
from gradlab.history import Mark
from gradlab.plots import LiveFigure, View
from gradlab.plots.note import Note
from gradlab.plots.png import Encoder
from gradlab.plots.stretches import Curve, stretch_of
from gradlab.plots.view import DARK, LIGHT

LAYER_COLUMNS = ("grad_norm", "clipped_norm", "weight_norm", "update_ratio", "delta_norm", "activation_std")
LAYER_COLUMNS += ("saturated", "dead", "has_gradient")


def record(step, values, loss, has_gradient=None):
    numbers = {field.name: 1.0 for field in dataclasses.fields(StepRecord)}
    numbers |= dict.fromkeys(LAYER_COLUMNS, np.asarray(values)) | {
        "has_gradient": np.ones(len(values)) if has_gradient is None else has_gradient
    }
    return StepRecord(**numbers | {"step": step, "loss": loss})


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def random_row(generator, step, layers=6):
    values = 10.0 ** generator.uniform(-12, 5, layers)
    values[generator.random(layers) < 0.1] = generator.choice([0.0, 1e-42, np.inf, np.nan])
    loss = generator.choice([0.1, 1.0, 5.0, np.nan], p=[0.3, 0.4, 0.25, 0.05])
    return record(step, values, loss=loss, has_gradient=generator.random(layers) < 0.95)


def grow(history, generator, steps):
    start = int(history.column("step")[-1]) + 1 if len(history) else 0
    for step in range(start, start + steps):
        history.append(random_row(generator, step))
        if generator.random() < 0.02:
            history.mark(Mark(step, "knob", f"lr {step} -> {step + 1}"))


@pytest.mark.parametrize("measure", ["grad_norm", "both"])
def test_after_every_kind_of_change_a_frame_equals_one_drawn_from_nothing(measure):
    generator = np.random.default_rng(0)
    history, live = History([f"layer {i + 1}" for i in range(6)]), LiveFigure(scale=1)
    changes = [1, 1, 30, 30, "truncate", 5, 300, 1, "truncate", 700, 1]
    for change in changes:
        if change == "truncate":
            history.truncate(int(history.column("step")[-1]) * 2 // 3)
        else:
            grow(history, generator, change)
        view = View(measure=measure)
        assert np.array_equal(pixels(live.render(history, view)), pixels(LiveFigure(scale=1).render(history, view)))


def test_after_old_steps_were_thinned_a_frame_equals_one_drawn_from_nothing():
    generator = np.random.default_rng(1)
    history, live = History([f"layer {i + 1}" for i in range(6)]), LiveFigure(scale=1)
    grow(history, generator, 300)
    live.render(history, View(measure="grad_norm"))
    steps = len(history)
    while len(history) >= steps:
        steps = len(history)
        history.append(random_row(generator, int(history.row("step", -1)) + 1))
    view = View(measure="grad_norm")
    assert np.array_equal(pixels(live.render(history, view)), pixels(LiveFigure(scale=1).render(history, view)))


def test_another_run_measure_theme_or_scale_starts_the_picture_again():
    one, other = (Trainer(Config(depth=4, width=8, weight_seed=seed)).run(40) for seed in (0, 1))
    live = LiveFigure(scale=1)
    for history, view in (
        (one, View(measure="grad_norm")),
        (other, View(measure="grad_norm")),
        (other, View(measure="update_ratio")),
        (other, View(measure="update_ratio", theme=DARK)),
        (one, View(measure="both", ghost=other)),
        (one, View(measure="both", at=7)),
    ):
        assert np.array_equal(pixels(live.render(history, view)), pixels(LiveFigure(scale=1).render(history, view)))


def test_a_row_rewritten_after_a_rewind_is_shown_as_it_is_now():
    trainer, live = Trainer(Config(depth=4, width=8)), LiveFigure(scale=1)
    trainer.run(60)
    live.render(trainer.history, View())
    trainer.rewind(30)
    trainer.reconfigure(lr=0.3)
    trainer.run(30)  # as many steps as before, other numbers
    expected = LiveFigure(scale=1).render(trainer.history, View())
    assert np.array_equal(pixels(live.render(trainer.history, View())), pixels(expected))


def test_a_curve_holds_the_lowest_and_highest_point_of_each_stretch_and_both_ends():
    generator = np.random.default_rng(2)
    history, curve = History(["layer 1"]), Curve(50)
    losses = 10.0 ** generator.uniform(-3, 3, 1000)
    losses[[0, 5, 500]] = [np.inf, 0.0, np.nan]
    for step, loss in enumerate(losses):
        history.append(record(step, [1.0], loss=loss))
        if step % 7 == 0:
            curve.update(history, 1000.0)
    curve.update(history, 1000.0)
    points = dict(zip(curve.x, curve.y, strict=True))
    for stretch in np.arange(1000).reshape(50, 20):
        logs = {s: np.log10(losses[s]) for s in stretch if np.isfinite(losses[s]) and losses[s] > 0}
        shown = [points[s] for s in stretch if np.isfinite(points.get(s, np.nan))]
        assert (min(shown), max(shown)) == (min(logs.values()), max(logs.values()))
    assert list(curve.odd) == [0, 500]  # step 5 shares its stretch with step 0
    assert curve.x[[0, -1]].tolist() == [0, 999]
    assert len(curve.x) <= 3 * 50 + 2


def test_a_stretch_is_an_equal_part_of_the_axis_and_the_last_takes_its_end():
    assert stretch_of(np.array([0.0, 4.9, 5.0, 9.9, 10.0]), 2, 10.0).tolist() == [0, 0, 1, 1, 1]


def test_a_png_that_looked_up_only_what_changed_equals_one_encoded_alone():
    generator, encoder = np.random.default_rng(3), Encoder()
    picture = generator.integers(0, 256, (40, 60, 4), dtype=np.uint8)
    picture[..., 3] = 255
    for theme in (LIGHT, LIGHT, DARK, LIGHT):
        picture[generator.random((40, 60)) < 0.1, :3] = generator.integers(0, 256, 3)
        assert encoder.encode(picture.copy(), theme) == Encoder().encode(picture, theme)
    shown = pixels(Encoder().encode(picture, LIGHT)).astype(int)
    assert np.abs(shown - picture[..., :3]).mean() < 40  # a coarse cube: 64 colours are at most 43 a channel away


def test_a_picture_of_20_layers_at_twice_the_resolution_takes_less_than_60_kilobytes():
    history = Trainer(Config(depth=19, width=32, lr=0.01)).run(300)
    assert len(LiveFigure(size=(1000, 360)).render(history, View(measure="delta_norm"))) < 60_000


@pytest.mark.parametrize("words", ["now x 1000, x 10 per layer", "step 0 x 4.5"])
@pytest.mark.parametrize("dpi", [100, 137, 200])
def test_a_note_lies_where_text_of_matplotlib_lies(words, dpi):
    boxes = []
    for kind, given in ((Note, {}), (Text, {"ha": "right", "va": "top"})):
        figure = Figure(figsize=(4, 1), dpi=dpi)
        canvas = FigureCanvasAgg(figure)
        text = kind(0.9, 0.7, **given, fontsize=9, transform=figure.transFigure)
        text.set_text(words)
        figure.add_artist(text)
        canvas.draw()
        ink = np.argwhere(np.asarray(canvas.buffer_rgba())[..., 0] < 128)
        boxes.append([*ink.min(0), *ink.max(0)])
    # a character starts at a whole pixel, and kerning is left out: half a pixel for every few letters
    assert np.abs(np.subtract(*boxes)).max() <= 3


@pytest.mark.parametrize("width", [613, 960, 1183, 2400])
def test_a_picture_fits_the_screen_pixel_by_pixel_and_shows_the_same_as_one_drawn_so_wide(width):
    history = Trainer(Config(depth=4, width=8)).run(20)
    live, fresh = LiveFigure(), LiveFigure()
    live.render(history, View())
    assert live.fit(width)
    assert not live.fit(width)
    fresh.fit(width)
    picture = pixels(live.render(history, View()))
    assert picture.shape[1] == width
    assert np.array_equal(picture, pixels(fresh.render(history, View())))


def test_a_picture_stays_within_sizes_that_can_be_read_and_sent():
    live = LiveFigure(("profile",))
    assert live.fit(10)
    assert int(live.figure.bbox.width) == 600
    live.fit(100_000)
    assert int(live.figure.bbox.width) == 3000
