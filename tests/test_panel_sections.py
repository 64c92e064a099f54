"""What opens beside the picture: exercises, a deeper look, the phase map, take home."""

import gc
import html
import json
import re
import weakref
from functools import partial

import pytest
import torch
from ipywidgets import Dropdown, Image
from panels import named, patched, stage_of, text_of, widgets_of
from torch import nn

from gradlab import EXERCISES, Config, Trainer, accumulation_equality, exercise, sharpness
from gradlab.inspect import through_time
from gradlab.stage.learned import Seldom

SMALL = {"depth": 3, "width": 8}
EVEN = {"n_samples": 128, "batch_size": 16, "accumulation_steps": 4}


@pytest.fixture
def opened(monkeypatch, panel):
    """A function that opens a section of a new panel."""
    browser = patched(monkeypatch)

    def make(title, **arguments):
        with browser.cell():
            lab = panel(**arguments)
        browser.show(lab)
        browser.set(named(lab, title), "value", True)
        return lab

    make.browser = browser
    return make


def words(lab):
    return html.unescape(re.sub("<style>.*?</style>|<.*?>", " ", text_of(lab), flags=re.DOTALL))


# ---------------------------------------------------------------------- exercises
def test_choosing_an_exercise_sets_the_knobs_and_check_says_what_is_wrong(opened):
    lab, browser, name = opened("Exercises"), opened.browser, next(iter(EXERCISES))
    task = exercise(name)
    menu = next(w for w in widgets_of(lab) if isinstance(w, Dropdown) and ("(choose one)", "") in w.options)
    browser.set(menu, "index", [value for _, value in menu.options].index(name))
    assert lab.config == task.config
    browser.press(named(lab, "Hint"))
    assert f"Hint 1 of {task.hints}" in words(lab)
    browser.press(named(lab, "Check"))
    assert task.check(lab.config).sentence in words(lab)
    lab.set(lr=0.5)
    browser.press(named(lab, "Start over"))
    assert lab.config == task.config


def test_a_panel_opened_at_an_exercise_stands_at_its_network_with_the_task_unfolded(panel):
    name = next(iter(EXERCISES))
    lab = panel(exercise=name, depth=exercise(name).config.depth, width=exercise(name).config.width)
    assert lab.config == exercise(name).config
    assert named(lab, "Exercises").value
    assert not named(lab, "Check").disabled
    with pytest.raises(ValueError, match="together with network"):
        panel(exercise=name, network=nn.Linear(2, 2))


def test_an_own_network_has_no_exercises(opened):
    with torch.random.fork_rng():
        lab = opened("Exercises", network=nn.Linear(2, 2))
    assert "Exercises need a built-in network and data." in words(lab)


# ---------------------------------------------------------------------- a deeper look
def test_the_badge_stands_while_gradients_are_accumulated_and_changes_sign_with_the_rule(opened):
    lab = opened("Look deeper", **EVEN)
    assert "one batch of 64" not in words(lab)
    lab.set(accumulation="mean")
    difference = re.search(r"= one batch of 64: difference (\S+)", words(lab))[1]
    assert float(difference) == pytest.approx(accumulation_equality(lab.trainer).relative_difference, rel=0.05)
    lab.set(accumulation="sum")
    said = "\N{NOT EQUAL TO} one batch of 64: difference 3 (a sum of 4, not divided: 4 times the mean)"
    assert said in words(lab)
    lab.set(accumulation="none")
    assert "one batch of 64" not in words(lab)


def test_a_network_that_takes_no_other_batch_size_leaves_a_panel_that_works(opened):
    class Sixteen(nn.Module):
        def __init__(self):
            super().__init__()
            self.only = nn.Linear(2, 2)

        def forward(self, x):
            if len(x) != 16:
                raise RuntimeError("sixteen at a time")
            return self.only(x)

    with torch.random.fork_rng():
        lab = opened("Look deeper", network=Sixteen(), accumulation="mean", **EVEN)
    lab.run(3)
    assert "? one batch of 64: not comparable (sixteen at a time)" in words(lab)
    assert lab.trainer.step_count == 3


def test_closer_looks_are_off_at_first_and_survive_a_ruined_network(opened):
    lab, browser = opened("Look deeper"), opened.browser
    images = [w for w in widgets_of(lab) if isinstance(w, Image)]
    lab.run(2)
    assert all(w.layout.display == "none" for w in images)
    for name in ("Gradient histogram", "Gradient noise", "Sharpness"):
        browser.set(named(lab, name), "value", True)
    looks = [w for w in images if w.layout.display != "none"]
    assert [bytes(w.value)[:4] for w in looks] == 3 * [b"\x89PNG"]
    assert [w.description for w in widgets_of(lab) if w.layout.display == "none" and hasattr(w, "description")] == [
        "Jacobian and gates"
    ]
    lab.set(init="fixed", gain=1e30)
    lab.run(1)
    assert all(bytes(w.value).startswith(b"\x89PNG") for w in looks) or "No closer look" in words(lab)
    assert lab.alert.startswith("Diverged")


def test_a_look_that_is_folded_away_measures_nothing(opened, monkeypatch):
    lab, measured = opened("Look deeper", **SMALL), []
    monkeypatch.setattr(
        "gradlab.panel.sections.deeper.sharpness", lambda *a, **k: measured.append(a) or sharpness(*a)
    )
    opened.browser.set(named(lab, "Sharpness"), "value", True)
    lab.step()
    assert len(measured) == 2
    opened.browser.set(named(lab, "Look deeper"), "value", False)
    lab.step()
    assert len(measured) == 2
    opened.browser.set(named(lab, "Look deeper"), "value", True)
    assert len(measured) == 3


def test_a_look_that_would_take_long_or_much_memory_says_so_or_what_it_found_by_then(opened, monkeypatch):
    lab = opened("Look deeper", **SMALL, **EVEN, accumulation="mean")
    for name in ("deeper._PATIENCE", "deeper._BYTES"):
        monkeypatch.setattr(f"gradlab.panel.sections.{name}", 0)
    monkeypatch.setattr("gradlab.panel.description._PATIENCE", 0)
    opened.browser.set(named(lab, "Sharpness"), "value", True)
    opened.browser.press(named(lab, "Check gradients"))
    lab.step()
    assert "one batch of 64: not comparable (that batch would take 0 MiB)" in words(lab)
    assert "no entry could be compared" in words(lab)
    assert lab.alert == ""


def test_the_spectrum_through_time_moves_twice_a_second_while_a_run_plays(opened, monkeypatch):
    now, looks = [0.0], []

    def look(trainer):
        looks.append(now[0])
        now[0] += 0.045  # what an LSTM's takes, with its picture
        return through_time(trainer)

    monkeypatch.setattr("gradlab.panel.sections.deeper.Seldom", partial(Seldom, clock=lambda: now[0]))
    monkeypatch.setattr("gradlab.panel.sections.deeper.through_time", look)
    lab = opened("Look deeper", architecture="rnn", dataset="latch", sequence_length=4, depth=1, width=4)
    opened.browser.set(named(lab, "Jacobian and gates"), "value", True)
    with opened.browser.cell():
        lab.play()
    looks.clear()
    until = now[0] + 5.0
    while now[0] < until:
        opened.browser.tick(lab)
        now[0] += 0.02
    assert len(looks) == pytest.approx(10, abs=1)


def test_the_gradient_check_is_made_when_it_is_asked_for(opened):
    lab = opened("Look deeper")
    lab.run(2)
    opened.browser.press(named(lab, "Check gradients"))
    assert "autograd and finite differences agree" in words(lab)
    assert lab.insight["Gradient check"].startswith("autograd")


# ---------------------------------------------------------------------- the phase map
def test_the_map_is_measured_row_by_row_as_the_browser_asks_and_a_cell_moves_the_knobs(opened):
    lab, browser = opened("Phase diagram", n_samples=64), opened.browser
    stage = stage_of(lab)
    browser.press(named(lab, "Map"))
    assert stage.working
    asked = 0
    while stage.working:
        assert browser.ask(lab, "work") == [{"kind": "done", "id": browser._ids}]
        asked += 1
        assert asked < 200
    assert asked > 3
    assert browser.dropped == 0
    measured = int(re.search(r"Measured (\d+) of", words(lab))[1])
    cells = [w for w in widgets_of(lab) if "gradlab-cell" in getattr(w, "_dom_classes", ())]
    assert len(cells) == measured
    assert "theory" in words(lab)
    other = next(cell for cell in cells if "depth 5" in cell.tooltip.replace(",", ""))
    browser.press(other)
    assert lab.config.depth == 5
    assert sum(cell.tabbable for cell in cells) in (3, 4, 5)
    lab.set(activation="tanh")
    assert "activation relu" in words(lab)  # the map is of other settings by now


def test_mapping_stops_when_asked_and_keeps_what_is_there(opened):
    lab, browser = opened("Phase diagram", n_samples=64), opened.browser
    browser.press(named(lab, "Map"))
    browser.ask(lab, "work")
    browser.press(named(lab, "Stop"))
    assert not stage_of(lab).working
    assert re.search(r"[1-9]\d* of", words(lab))


def test_a_map_of_networks_too_large_is_refused_in_words(opened):
    lab = opened("Phase diagram", depth=60, width=300, batch_size=512)
    opened.browser.press(named(lab, "Map"))
    assert "batch_size=512: a step of it takes" in lab.alert
    assert not stage_of(lab).working


def test_an_own_network_has_no_map(opened):
    with torch.random.fork_rng():
        lab = opened("Phase diagram", network=nn.Linear(2, 2))
    assert named(lab, "Map").disabled


# ---------------------------------------------------------------------- take home
def sent(browser, kind):
    return [(d["content"], b) for _, d, b in browser.heard if d.get("content", {}).get("kind") == kind]


def test_the_code_copied_prints_the_losses_shown(opened, capsys):
    lab, browser = opened("Take home"), opened.browser
    lab.run(3)
    browser.press(named(lab, "Copy code"))
    ((message, _),) = sent(browser, "copy")
    exec(message["text"], {"__name__": "__main__"})
    printed = [float(line.split()[-1]) for line in capsys.readouterr().out.splitlines()]
    assert printed == pytest.approx(lab.history.column("loss").tolist(), rel=1e-4)
    browser.send(stage_of(lab), {"method": "custom", "content": {"kind": "copied", "id": message["id"], "error": ""}})
    assert "Copied: " in words(lab)


def test_a_refused_clipboard_leaves_the_text_to_be_copied_by_hand(opened):
    lab, browser = opened("Take home"), opened.browser
    browser.press(named(lab, "Copy JSON"))
    ((message, _),) = sent(browser, "copy")
    assert Config(**json.loads(message["text"])) == lab.config
    browser.send(stage_of(lab), {"method": "custom", "content": {"kind": "copied", "error": "not allowed"}})
    assert "not allowed" in words(lab)
    assert '"depth": 3' in words(lab)


@pytest.mark.parametrize(
    ("button", "name", "start"),
    [
        ("CSV", "gradlab.csv", b"step"),
        ("PNG", "gradlab.png", b"\x89PNG"),
        ("SVG", "gradlab.svg", b"<?xml"),
        ("Replay", "gradlab-replay.html", b"<!doctype html>"),
    ],
)
def test_files_are_saved_by_the_browser(opened, button, name, start):
    lab, browser = opened("Take home"), opened.browser
    lab.run(3)
    browser.press(named(lab, button))
    ((message, (content,)),) = sent(browser, "download")
    assert message["name"] == name
    assert bytes(content).lower().startswith(start.lower())
    assert name in words(lab)


def test_what_cannot_be_taken_home_is_said(opened):
    with torch.random.fork_rng():
        lab = opened("Take home", network=nn.Linear(2, 2))
    opened.browser.press(named(lab, "Copy code"))
    assert sent(opened.browser, "copy") == []
    assert "network" in words(lab)
    opened.browser.press(named(lab, "CSV"))
    assert sent(opened.browser, "download") == []


def test_the_run_is_the_same_whatever_was_looked_at(opened):
    lab, browser = opened("Look deeper", accumulation="mean"), opened.browser
    for name in ("Gradient histogram", "Gradient noise", "Sharpness"):
        browser.set(named(lab, name), "value", True)
    lab.run(4)
    plain = Trainer(Config(**SMALL, accumulation="mean")).run(4)
    assert lab.history.column("loss").tolist() == plain.column("loss").tolist()


# ---------------------------------------------------------------------- memory
def test_a_new_start_lets_the_run_before_go_whatever_was_looked_at(opened):
    lab, browser = opened("Look deeper"), opened.browser
    for switch in [w for w in widgets_of(lab) if getattr(w, "value", None) is False and hasattr(w, "indent")]:
        if switch.description in ("Theory", "Sharpness"):
            browser.set(switch, "value", True)
    browser.press(named(lab, "Check gradients"))
    lab.run(3)
    before = weakref.ref(lab.trainer)
    lab.set(gain=1.5)
    gc.collect()
    assert before() is None
