"""Lecture mode, and the choice of controls."""

import ipywidgets as widgets
import pytest

from gradlab import GradLab

SMALL = {"depth": 3, "width": 4}


def labels(widget):
    """The descriptions of everything that a person can use, in the order in which it stands there."""
    found = []
    for child in widget.children:
        if isinstance(child, widgets.Box):
            found += labels(child)
        elif getattr(child, "description", ""):
            found.append(child.description)
    return found


def test_show_leaves_the_controls_named_in_their_order_and_the_buttons_of_a_run(panel):
    lab = panel(show=["gain", "depth", "clip"])
    expected = ["Play", "Step", "Reset", "Back to step 0", "Gain", "Depth", "Clipping", "Rule", "Threshold"]
    assert [name for name in labels(lab) if not name.startswith("Try")] == expected
    lab.set(lr=0.5)  # what is not shown can still be set
    assert lab.config.lr == 0.5


def test_a_lecture_shows_few_controls_on_a_picture_with_large_type(panel):
    few, all_of_them = panel(lecture=True), panel()
    assert set(labels(few)) < set(labels(all_of_them))
    assert {"Preset", "Depth", "Init", "Gain", "Learning rate", "Accumulation", "Clipping"} <= set(labels(few))
    assert "Momentum" not in labels(few)
    assert "Momentum" in labels(all_of_them)
    assert few.run(2)[-1].step == 1


def test_show_chooses_the_controls_of_a_lecture_too(panel):
    assert "Momentum" in labels(panel(lecture=True, show=["momentum", "phase"]))


@pytest.mark.parametrize("show", [["gian"], "gain", 3, [["gain"]]])
def test_an_unknown_name_is_refused_with_what_there_is(show):
    with pytest.raises(ValueError, match=r"show.*(gian|gain|3).*expected"):
        GradLab(show=show)


@pytest.mark.parametrize("mode", ["predict", "lecture"])
def test_a_mode_is_on_or_off(mode):
    with pytest.raises(ValueError, match=f"{mode}='yes'; expected True or False"):
        GradLab(**{mode: "yes"})
