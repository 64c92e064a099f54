"""Exercises in the panel."""

import pytest
from panels import wait_until
from torch import nn

import gradlab
from gradlab import EXERCISES, Config, GradLab


def press(lab, name):
    lab.tasks.buttons[name].click()


def test_choosing_an_exercise_sets_the_controls_to_its_broken_network_and_says_the_task(panel):
    lab = panel()
    lab.tasks.menu.value = "rescue-30"
    wait_until(lambda: lab.config == gradlab.exercise("rescue-30").config)
    assert not lab.tasks.buttons["check"].disabled
    assert {value for _, value in lab.tasks.menu.options} == {"", *EXERCISES}


def test_the_check_says_what_is_wrong_and_passes_a_repaired_network(panel):
    lab = panel(exercise="no-clipping")
    assert lab.config == gradlab.exercise("no-clipping").config
    press(lab, "check")
    expected = gradlab.exercise("no-clipping").check()
    wait_until(lambda: lab.tasks.words == f"Check: {expected.sentence}")
    lab.set(clip="none", gain=1.0)
    press(lab, "check")
    wait_until(lambda: lab.tasks.words.startswith("Check: Passed"))


def test_hints_come_one_by_one_and_start_over_brings_the_broken_network_back(panel):
    lab, task = panel(exercise="deep-sigmoid"), gradlab.exercise("deep-sigmoid")
    for n in (*range(1, task.hints + 1), 1):
        press(lab, "hint")
        wait_until(lambda n=n: lab.tasks.words == f"Hint {n} of {task.hints}: {task.hint(n)}")
    lab.set(gain=3.0)
    press(lab, "restart")
    wait_until(lambda: lab.config == task.config)


def test_a_trick_that_the_rules_forbid_does_not_pass_in_the_panel(panel):
    lab = panel(exercise="rescue-30", depth=1)
    press(lab, "check")
    wait_until(lambda: lab.tasks.words.startswith("Check: Not trained") and "depth" in lab.tasks.words)


def test_an_exercise_excludes_a_preset_and_an_unknown_one_is_refused():
    with pytest.raises(ValueError, match="preset='article' together with exercise='rescue-30'"):
        GradLab(preset="article", exercise="rescue-30")
    with pytest.raises(ValueError, match="exercise='rescue'; expected one of rescue-30"):
        GradLab(exercise="rescue")
    with pytest.raises(ValueError, match="exercise='rescue-30' together with network; Exercises need a built-in"):
        GradLab(exercise="rescue-30", network=nn.Linear(2, 2))


def test_the_lesson_of_a_preset_stands_below_the_picture_until_a_knob_moves(panel):
    lab = panel(preset="exploding_tanh")
    assert lab.said["Lesson"] == gradlab.PRESETS.entry("exploding_tanh").summary
    lab.set(gain=1.0)
    assert "Lesson" not in lab.said
    assert lab.config == Config(depth=30, width=64, activation="tanh", init="normal", gain=1.0, lr=0.02)
