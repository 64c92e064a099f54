"""Looking back and going back, without a browser; mouse and keyboard are tested in tests/browser."""

import dataclasses
import io
import math
import re
import time

import numpy as np
import pytest
from panels import wait_until
from PIL import Image

from gradlab import Config, Trainer
from gradlab.history import Mark
from gradlab.locale import Text
from gradlab.panel.bridge import Pointer
from gradlab.panel.words import happened
from gradlab.plots import LiveFigure, View
from gradlab.plots.pointing import step_at

SMALL = {"depth": 3, "width": 8, "n_samples": 64, "batch_size": 16}


def image_of(lab):
    return np.asarray(Image.open(io.BytesIO(bytes(next(w for w in lab.children if hasattr(w, "format")).value))))


def words_of_the_picture(lab):
    return next(w.value for w in lab.children if 'role="img"' in str(getattr(w, "value", "")))


def scrub(lab, row, done=True):
    """Do what the slider's view in the browser does."""
    lab.time.scrubber._handle_custom_msg({"kind": "moved", "row": row, "done": done}, [])


def state_of(trainer):
    return [t.tolist() for t in trainer.network.state_dict().values()]


# ---------------------------------------------------------------------- looking back


def test_showing_a_step_moves_picture_and_words_and_leaves_the_network_where_it_is(panel):
    lab = panel()
    lab.run(20)
    before, latest = state_of(lab.trainer), image_of(lab)
    lab.show_step(7)
    losses = lab.history.column("loss")
    assert (lab.time.shown_step, lab.trainer.step_count, len(lab.history)) == (7, 20, 20)
    assert lab.time.words.startswith(f"Step 7: loss {losses[7]:.4g} Looking back: the pictures show step 7;")
    assert "stay at step 20." in lab.time.words
    assert f"the loss is {losses[7]:.4g}" in words_of_the_picture(lab)
    assert not np.array_equal(image_of(lab), latest)
    lab.show_step(None)
    assert lab.time.words == f"Step 19: loss {losses[19]:.4g}"
    assert np.array_equal(image_of(lab), latest)
    assert state_of(lab.trainer) == before


def test_the_picture_of_an_earlier_step_is_the_one_drawn_with_its_row(panel):
    lab = panel()
    lab.run(20)
    lab.show_step(7)
    live = LiveFigure()
    live.update(lab.history, View(measure="both", at=7))
    profile = live.figure.axes[-1].lines
    shown = next(line for line in profile if line.get_marker() == "o")
    expected = np.log10(lab.history[7].grad_norm)
    slope = np.diff(shown.get_ydata()) / np.diff(expected)  # the axis is straight in log10 in its middle
    assert slope == pytest.approx(np.full(len(slope), 0.8 / 12))
    fresh = Image.open(io.BytesIO(live.render(lab.history, View(measure="both", at=7))))
    assert np.array_equal(image_of(lab), np.asarray(fresh))


def test_a_moved_slider_pauses_a_run_that_plays_and_says_so(panel):
    lab = panel()
    lab.play()
    wait_until(lambda: len(lab.history) > 10)
    scrub(lab, 3)
    wait_until(lambda: not lab.playing and lab.time.shown_step == 3)
    taken = lab.trainer.step_count
    wait_until(lambda: lab.alert == f"Paused after step {taken} to look back.")
    time.sleep(0.1)
    assert lab.trainer.step_count == taken
    lab.step()
    assert lab.time.shown_step is None
    assert lab.alert == ""


def test_touches_that_pile_up_are_answered_with_few_pictures_and_the_last_one_stands(panel):
    lab = panel()
    lab.run(60)
    frames = lab.frames[0]
    for row in range(50):
        scrub(lab, row, done=False)
    wait_until(lambda: lab.time.shown_step == 49 and lab.frames[0] > frames)
    time.sleep(0.3)
    assert lab.frames[0] - frames <= 5


def test_the_slider_ends_at_the_newest_row_and_follows_again_there(panel):
    lab = panel()
    assert (lab.time.scrubber.rows, lab.time.words) == (0, "No step recorded yet.")
    scrub(lab, 0)
    lab.run(5)
    assert (lab.time.scrubber.rows, lab.time.scrubber.row) == (5, 4)
    scrub(lab, 2)
    wait_until(lambda: lab.time.scrubber.row == 2)
    assert not lab.time.live.disabled
    scrub(lab, 4)
    wait_until(lambda: lab.time.shown_step is None)
    wait_until(lambda: lab.time.live.disabled and lab.time.latest.disabled)
    scrub(lab, 1)
    wait_until(lambda: lab.time.shown_step == 1)
    lab.time.latest.click()
    wait_until(lambda: lab.time.shown_step is None)


@pytest.mark.parametrize("step", [-1, 6, 2.0, True, "3"])
def test_a_step_that_was_not_taken_cannot_be_shown(panel, step):
    lab = panel()
    lab.run(5)
    with pytest.raises(ValueError, match=re.escape(f"step={step!r}; expected None or a whole number from 0 to 5")):
        lab.show_step(step)
    lab.show_step(5)  # the state that the last step left: nothing is recorded of it but the last row
    assert lab.time.shown_step is None


def test_a_view_that_opens_late_is_told_where_the_slider_stands(panel):
    lab = panel()
    lab.run(9)
    sent = []
    lab.time.scrubber.send = sent.append
    lab.time.scrubber._handle_custom_msg({"kind": "hello"}, [])
    assert [(m["rows"], m["row"], m["label"]) for m in sent] == [(9, 8, "Step shown")]
    assert sent[0]["says"].startswith("Step 8: loss ")


# ---------------------------------------------------------------------- going back


@pytest.mark.parametrize(
    "knobs", [{}, {"optimizer": "adam", "norm": "batch"}, {"carry_over": "running_sum", "lr": 0.001}]
)
def test_make_live_gives_the_state_of_the_step_shown_bit_for_bit(panel, knobs):
    lab, fresh = panel(**knobs), Trainer(Config(**{**SMALL, **knobs}))
    lab.run(30)
    losses = lab.history.column("loss").tolist()
    lab.show_step(17)
    lab.time.live.click()
    wait_until(lambda: lab.trainer.step_count == 17)
    wait_until(lambda: lab.alert == "Back at step 17.")
    fresh.run(17)
    assert state_of(lab.trainer) == state_of(fresh)
    assert lab.time.shown_step is None
    assert len(lab.history) == 17
    lab.run(13)
    assert lab.history.column("loss").tolist() == losses


def test_a_thinned_history_is_walked_row_by_row_and_every_step_can_be_made_live_again(panel, monkeypatch):
    monkeypatch.setattr("gradlab.history.history._FEWEST_ROWS", 32)
    monkeypatch.setattr("gradlab.history.history._BUDGET", 0)
    lab, fresh = panel(), Trainer(Config(**SMALL))
    monkeypatch.setattr(lab.history, "_rows", lab.history._rows[:32].copy())
    lab.run(100)
    steps = lab.history.column("step").astype(int).tolist()
    gone = next(step for step in range(20, 90) if step not in steps)
    lab.show_step(gone)
    kept = max(s for s in steps if s < gone)
    assert (lab.time.shown_step, lab.time.scrubber.row) == (kept, steps.index(kept))
    scrub(lab, steps.index(kept) + 1)
    wait_until(lambda: lab.time.shown_step == steps[steps.index(kept) + 1] > gone)
    lab.rewind(gone)
    fresh.run(gone)
    assert state_of(lab.trainer) == state_of(fresh)
    assert lab.history.column("step").tolist() == [s for s in steps if s < gone]


# ---------------------------------------------------------------------- what happened


def test_the_words_of_a_step_name_moved_knobs_clipping_and_failures(panel):
    lab = panel(clip="global_norm", clip_threshold=1e-3)
    lab.run(3)
    lab.set(lr=0.1)
    lab.run(3)
    share = lab.history[3].clip_coef
    lab.show_step(3)
    assert lab.time.words.startswith(
        f"Step 3: loss {lab.history[3].loss:.4g}; lr 0.05 -> 0.1; clipped x {share:.3g} Looking back"
    )
    assert share == pytest.approx(1e-3 / lab.history[3].total_norm, rel=1e-4)
    lab.show_step(4)
    assert "lr" not in lab.time.words.split("Looking")[0]


def test_a_skipped_and_a_diverged_step_are_named():
    trainer = Trainer(Config(**SMALL, nonfinite="skip", lr=1e30))
    trainer.run(4)
    skipped = [m.step for m in trainer.history.marks if m.kind == "skipped"]
    assert skipped
    assert "skipped" in happened(trainer.history, skipped[0], Text())
    trainer = Trainer(Config(**SMALL, lr=1e30))
    trainer.run(4)
    assert happened(trainer.history, -1, Text()).endswith("diverged here")


def test_clipped_skipped_and_diverged_steps_have_marks_of_their_own_with_a_legend():
    trainer = Trainer(Config(**SMALL, clip="global_norm", clip_threshold=0.2))
    trainer.run(12)
    history = trainer.history
    history.mark(Mark(3, "knob", "lr 0.05 -> 0.1"))
    history.mark(Mark(5, "skipped", "Skipped step 5."))
    history.mark(Mark(9, "diverged", "Diverged at step 9."))
    live = LiveFigure(("loss",), scale=1)
    live.update(history, View())
    (ax,) = live.figure.axes
    clipped = [step for step, coef in enumerate(history.column("clip_coef")) if coef < 1]
    assert len(clipped) > 0
    at = [[segment[0][0] for segment in marks.get_segments()] for marks in ax.collections]
    assert at == [[3.0], clipped, [5.0], [9.0]]
    low, high = ax.get_ylim()
    spans = [np.diff(marks.get_segments()[0][:, 1])[0] / (high - low) for marks in ax.collections]
    assert spans == pytest.approx([1, 0.07, 0.4, 1])
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["knob moved", "clipped", "skipped", "diverged"]


def test_ten_thousand_clipped_steps_cost_no_more_marks_than_the_axis_has_room_for():
    live = LiveFigure(("loss",), scale=1)
    trainer = Trainer(Config(**SMALL, clip="global_norm", clip_threshold=1e-6))
    trainer.run(1)
    record, history = trainer.history[0], trainer.history
    for step in range(1, 10_000):
        history.append(dataclasses.replace(record, step=step))
    live.update(history, View())
    segments = live.figure.axes[0].collections[1].get_segments()
    assert 100 < len(segments) <= 250


# ---------------------------------------------------------------------- pressing in the picture


def test_a_place_in_the_loss_or_the_heat_map_is_a_step_and_elsewhere_is_none():
    trainer = Trainer(Config(**SMALL))
    trainer.run(40)
    live = LiveFigure(scale=1)
    live.render(trainer.history, View())
    for ax in live.figure.axes[:2]:
        for step in (0, 12.5, 50):
            x, y = live.figure.transFigure.inverted().transform(
                ax.transData.transform((step, np.mean(ax.get_ylim())))
            )
            x = min(max(x, ax.get_position().x0 + 1e-9), ax.get_position().x1 - 1e-9)
            assert step_at(live, x, 1 - y) == pytest.approx(step, abs=1e-5)
    assert step_at(live, 0.7, 0.5) is None
    assert step_at(live, 0.7, 0.5, inside=False) == 50
    assert step_at(live, 0.0, 0.5, inside=False) == 0


def test_a_drag_over_the_loss_moves_the_pictures_and_a_press_beside_it_does_not(panel):
    lab = panel()
    lab.run(41)

    def touch(what, x, y=0.2):
        for told in lab.bridge.on_pointer:
            told(Pointer(what, x, y))

    left, width = 0.062, 0.42 - 0.072  # of the loss axis, whose end is step 50
    touch("down", left + width * 10.2 / 50)
    wait_until(lambda: lab.time.shown_step == 10)
    touch("move", left + width * 20.3 / 50, 0.9)  # below the axes: the button is still held
    wait_until(lambda: lab.time.shown_step == 20)
    touch("up", left + width * 20.3 / 50, 0.9)
    touch("move", left + width * 30 / 50)
    touch("down", 0.8)
    touch("move", left + width * 30 / 50)
    touch("up", left + width * 30 / 50)
    time.sleep(0.3)
    assert lab.time.shown_step == 20
    touch("down", left + width * 49 / 50)
    touch("up", left + width * 49 / 50)
    wait_until(lambda: lab.time.shown_step is None)  # behind the last step


def test_a_knob_moved_or_a_new_start_leads_back_to_the_latest_step(panel):
    lab = panel()
    lab.run(10)
    lab.show_step(4)
    lab.set(lr=0.1)  # live: nothing is taken back, and the step shown stays
    assert lab.time.shown_step == 4
    lab.step()
    assert lab.time.shown_step is None
    lab.show_step(4)
    lab.set(depth=2)
    assert (lab.time.shown_step, lab.time.scrubber.rows) == (None, 0)
    lab.run(10)
    lab.show_step(4)
    lab.reset()
    assert lab.time.shown_step is None
    assert not math.isnan(lab.run(1)[-1].loss)
