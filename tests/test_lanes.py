"""Pin and Compare without a browser; mouse and keyboard are tested in tests/browser."""

import gc
import re
import weakref

import numpy as np
import pytest
import torch
from ipywidgets import HTML
from panels import wait_until

from gradlab import Config, Trainer
from gradlab.plots import LiveFigure, View
from gradlab.plots.view import LIGHT, row_beside

SMALL = {"depth": 3, "width": 8}


def losses(history):
    return history.column("loss").tolist()


def alone(steps, **knobs):
    return losses(Trainer(Config(**{**SMALL, **knobs})).run(steps))


def shown(lab):
    """The sentences below the picture, and the picture in words."""
    texts = [widget.value for widget in widgets_of(lab) if isinstance(widget, HTML)]
    info = next(text for text in texts if "gradlab-info" in text and "<style>" not in text)
    words = next(text for text in texts if 'role="img"' in text)
    return re.sub("<[^>]*>", "", info), words


def widgets_of(box):
    for child in getattr(box, "children", ()):
        yield child
        yield from widgets_of(child)


def button(lab, name):
    return next(widget for widget in widgets_of(lab) if getattr(widget, "description", None) == name)


# ---------------------------------------------------------------------- lockstep
def test_each_lane_is_the_run_that_its_settings_give_alone_bit_for_bit(panel):
    lab = panel(lr=0.1)
    lab.run(5)
    lab.compare(lr=0.5)
    assert len(lab.history) == 0
    lab.run(12)
    assert losses(lab.lanes.histories["A"]) == alone(12, lr=0.1)
    assert losses(lab.lanes.histories["B"]) == losses(lab.history) == alone(12, lr=0.5)


def test_the_button_opens_lane_a_and_the_controls_move_lane_b_alone(panel):
    lab = panel()
    button(lab, "Compare").value = True
    wait_until(lambda: lab.lanes.rival is not None)
    lab.set(clip="global_norm")
    lab.set(gain=2.0)
    lab.run(4)
    assert (lab.config.gain, lab.lanes.rival.config.gain) == (2.0, 1.0)
    assert losses(lab.lanes.histories["A"]) == alone(4)
    button(lab, "Compare").value = False
    wait_until(lambda: lab.lanes.rival is None)
    assert lab.lanes.histories == {}
    assert losses(lab.history) == alone(4, clip="global_norm", gain=2.0)  # B went on


def test_both_lanes_go_back_and_start_again_together(panel):
    lab = panel()
    lab.compare(lr=0.2)
    lab.run(9)
    lab.rewind(4)
    assert [len(history) for history in lab.lanes.histories.values()] == [4, 4]
    lab.run(5)
    assert losses(lab.lanes.histories["A"]) == alone(9)
    lab.reset()
    assert [len(history) for history in lab.lanes.histories.values()] == [0, 0]
    lab.set(depth=2)
    lab.run(3)
    assert losses(lab.lanes.histories["A"]) == alone(3)
    assert losses(lab.history) == alone(3, lr=0.2, depth=2)


def test_a_seed_that_the_lanes_share_moves_in_both_and_one_that_differs_moves_alone(panel):
    lab = panel()
    lab.compare(lr=0.2)
    lab.set(weight_seed=5, data_seed=5, batch_seed=5)
    assert lab.lanes.rival.config == Config(**SMALL, weight_seed=5, data_seed=5, batch_seed=5)
    lab.compare(weight_seed=6)
    lab.set(weight_seed=7, batch_seed=7)
    a, b = lab.lanes.rival.config, lab.config
    assert (a.weight_seed, b.weight_seed, a.batch_seed, b.batch_seed) == (5, 7, 7, 7)


def test_a_lane_that_diverged_stays_where_it_ended_and_the_other_goes_on(panel):
    lab = panel(lr=1e6)
    lab.compare(lr=0.05)
    lab.run(30)
    ended = lab.lanes.rival.history.diverged.step
    assert 0 < ended < 29
    assert (lab.lanes.rival.step_count, len(lab.history)) == (ended, 30)
    info, _ = shown(lab)
    assert f"A diverged at step {ended}. A stays where it ended." in info
    lab.rewind(ended + 3)
    assert lab.lanes.rival.history.diverged is not None
    lab.rewind(ended)
    assert lab.lanes.rival.history.diverged is None
    lab.run(1)
    assert lab.lanes.rival.history.diverged.step == ended


def test_lane_a_waits_while_lane_b_has_diverged(panel):
    lab = panel()
    lab.compare(lr=1e6)
    lab.run(30)
    assert lab.lanes.rival.step_count == lab.trainer.step_count == lab.history.diverged.step
    lab.set(lr=0.05)
    lab.run(2)
    assert lab.lanes.rival.step_count == lab.trainer.step_count


def test_swap_exchanges_the_settings_and_starts_again(panel):
    lab = panel(lr=0.1)
    lab.compare(lr=0.5, weight_seed=3)
    lab.run(3)
    button(lab, "Swap").click()
    wait_until(lambda: lab.config.lr == 0.1)
    lab.run(4)
    assert losses(lab.history) == alone(4, lr=0.1)
    assert losses(lab.lanes.histories["A"]) == alone(4, lr=0.5, weight_seed=3)


def test_a_value_that_is_not_accepted_leaves_both_lanes_as_they_are(panel):
    lab = panel()
    lab.run(3)
    with pytest.raises(ValueError, match="lr=-1"):
        lab.compare(lr=-1)
    assert (lab.lanes.rival, len(lab.history), button(lab, "Compare").value) == (None, 3, False)
    lab.compare(lr=0.3)
    lab.run(3)
    rival = lab.lanes.rival
    with pytest.raises(ValueError, match="label 3 is outside"):
        lab.set(dataset="article_literal")
    assert lab.lanes.rival is rival
    assert [len(history) for history in lab.lanes.histories.values()] == [3, 3]


def test_playing_steps_both_lanes(panel):
    lab = panel()
    lab.compare(momentum=0.9)
    lab.play()
    wait_until(lambda: len(lab.history) > 20)
    lab.pause()
    steps = lab.trainer.step_count
    assert losses(lab.lanes.histories["A"]) == alone(steps)
    assert losses(lab.history) == alone(steps, momentum=0.9)


def test_own_networks_are_compared_on_copies(panel):
    x = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    network = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Tanh(), torch.nn.Linear(6, 3))
    data = (x, torch.arange(60) % 3)
    lab = panel(network=network, data=data)
    lab.compare(lr=0.5, depth=9)
    lab.run(5)
    same = Trainer(Config(), network=network, data=data).run(5)
    assert losses(lab.lanes.histories["A"]) == losses(same)
    info, _ = shown(lab)
    assert "Learning rate: A 0.05, B 0.5. Same first weights, same batches." in info
    assert "epth" not in info.split("A and B")[1]  # a depth that changes nothing is no difference


def test_closing_frees_lane_a(panel):
    lab = panel()
    lab.compare(lr=0.2)
    lab.run(2)
    rival = weakref.ref(lab.lanes.rival)
    lab.close()
    gc.collect()
    assert rival() is None


# ---------------------------------------------------------------------- words
def test_the_panel_says_which_knobs_differ_and_who_is_ahead(panel):
    lab = panel(lr=0.1)
    lab.compare(lr=0.0)
    info, words = shown(lab)
    assert "A and B: A (kept): depth 3, width 8, lr 0.1. B: the controls." in info
    assert "Learning rate: A 0.1, B 0.0. Same first weights, same batches. Too early to say" in info
    lab.run(200)
    info, words = shown(lab)
    assert "A is ahead: the difference to B" in info
    assert "The pictures show lane B, and beside it, dashed with diamonds, lane A: After 200 steps" in words


def test_looking_back_shows_both_lanes_at_the_same_step(panel):
    lab = panel()
    lab.compare(lr=0.5)
    lab.run(9)
    lab.time.show_step(3)
    _, words = shown(lab)
    assert f"After 4 steps the loss is {lab.history[3].loss:.4g}." in words
    assert f"lane A: After 4 steps the loss is {lab.lanes.rival.history[3].loss:.4g}." in words


def test_the_ghost_is_named_by_the_settings_that_differ_from_the_present_ones(panel):
    lab = panel()
    lab.run(4)
    lab.pin()
    info, words = shown(lab)
    loss = f"{lab.history[-1].loss:.4g}"
    assert f"Pinned: the run of these settings after 4 steps, loss {loss}." in info
    lab.set(gain=2.0, lr=0.2)
    info, words = shown(lab)
    said = f"the run of other settings (gain 1.0, lr 0.05) after 4 steps, loss {loss}."
    assert f"Pinned: {said}" in info
    assert f"dash-dotted in grey, is the pinned run: {said}" in words
    lab.pin()  # no step since the start: the ghost goes
    info, words = shown(lab)
    assert "pinned" not in (info + words).lower()


# ---------------------------------------------------------------------- the picture
def drawn(history, **shown):
    live = LiveFigure()
    live.update(history, View(measure="delta_norm", **shown))
    return live.figure


def legend(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_the_legend_names_lanes_and_ghost_only_where_they_are():
    history, other = Trainer(Config(**SMALL)).run(3), Trainer(Config(depth=5, width=8)).run(3)
    assert not {"A", "B", "pinned"} & set(legend(drawn(history)))
    assert legend(drawn(history, rival=other))[-2:] == ["A", "B"]
    assert legend(drawn(history, ghost=other))[-1] == "pinned"
    assert legend(drawn(history, ghost=other, ghost_name="depth 5"))[-1] == "pinned: depth 5"


def test_lane_a_is_drawn_on_the_same_axes_in_its_own_colour():
    history, rival = Trainer(Config(**SMALL)).run(3), Trainer(Config(depth=5, width=8, lr=0.5)).run(3)
    loss, heatmap, profile = drawn(history, rival=rival).axes
    curves = {line.get_color(): line for line in loss.lines if len(line.get_xdata()) == 3}
    assert curves[LIGHT.now].get_ydata() == pytest.approx(np.log10(history.column("loss")))
    assert curves[LIGHT.ink].get_ydata() == pytest.approx(np.log10(rival.column("loss")))
    assert curves[LIGHT.now].get_linestyle() != curves[LIGHT.ink].get_linestyle()
    layers = [line for line in profile.lines if line.get_color() == LIGHT.ink and len(line.get_xdata())]
    assert [len(line.get_xdata()) for line in layers] == [6]
    assert profile.get_xlim()[1] > 6  # room for the deeper lane
    assert heatmap.get_ylabel() == "layer (B)"


def test_a_lane_that_diverged_has_stars_in_its_colour():
    history, rival = Trainer(Config(**SMALL)).run(9), Trainer(Config(**SMALL, lr=1e8)).run(9)
    ended = rival.diverged.step
    loss, _, profile = drawn(history, rival=rival).axes
    stars = [line for line in loss.lines if line.get_marker() == "*" and line.get_color() == LIGHT.ink]
    assert [line.get_xdata().tolist() for line in stars] == [[ended]]
    odd = [line for line in profile.lines if line.get_marker() == "*" and line.get_color() == LIGHT.ink]
    assert len(odd[0].get_xdata()) == np.count_nonzero(~np.isfinite(rival[-1].delta_norm)) > 0


def test_lane_a_is_shown_at_the_step_that_is_looked_at():
    history, rival = Trainer(Config(**SMALL)).run(9), Trainer(Config(**SMALL, lr=0.5)).run(5)
    assert [row_beside(history, at, rival) for at in (None, 0, 3, 4, 8, -1)] == [-1, 0, 3, 4, 4, 4]
    _, _, profile = drawn(history, rival=rival, at=3).axes
    notes = [text.get_text() for text in profile.texts]
    growth = rival[3].delta_norm[0] / rival[3].delta_norm[2]  # from the last hidden layer to the first
    assert notes[1].startswith(f"A x {growth:.3g}, x ")
    assert notes[0].startswith("B x ")
