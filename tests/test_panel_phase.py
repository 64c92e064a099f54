"""The panel's phase diagram without a browser; mouse and keyboard are tested in tests/browser."""

import math
import re
import threading

import numpy as np
import pytest
import torch
from panels import wait_until

import gradlab
from gradlab import Config, GradLab, Trainer
from gradlab.panel.cellgrid import nearest, place
from gradlab.plots.sweep_scale import growth_colours

SMALL = {"width": 16, "activation": "linear", "init": "normal", "n_samples": 64}
WORDS = re.compile(r"gain (\S+), depth (\d+): x (\S+) per layer, (\w+) \(x (\S+) in all\)")


@pytest.fixture(scope="module")
def mapped():
    """A panel with its whole map; a test that moves its knobs starts with `set`."""
    lab = GradLab(**SMALL, gain=1.0, depth=8)
    lab.phase.button.click()
    wait_until(lambda: lab.phase.grid.cells)
    wait_until(lambda: lab.phase.settled)
    yield lab
    lab.close()


def workers():
    return [thread for thread in threading.enumerate() if thread.name == "gradlab"]


def map_some(lab):
    """Map until at least a row of cells is there."""
    lab.phase.button.click()
    wait_until(lambda: "Measuring: " in lab.phase.words)
    return [button.tooltip for button in lab.phase.grid.cells.values()]


def here(lab):
    return [c for c, button in lab.phase.grid.cells.items() if "gradlab-phase-here" in button._dom_classes]


def test_the_section_is_folded_and_costs_no_cell_and_no_thread_before_map_is_pressed(panel):
    before = len(workers())
    lab = panel()
    phase = lab.phase
    assert phase.box in lab.children
    assert (phase.box.titles, phase.box.selected_index) == (("Phase diagram",), None)
    assert (phase.button.description, phase.button.disabled, phase.grid.cells) == ("Map", False, {})
    assert len(workers()) == before


def test_map_fills_a_grid_with_growth_in_words_and_in_the_heat_maps_colours(mapped):
    near = np.linspace(0.99, 1.01, 21)  # growth is told with 3 digits
    cells = mapped.phase.grid.cells
    gains, depths = {gain for gain, _ in cells}, {depth for _, depth in cells}
    assert len(cells) == len(gains) * len(depths) >= 20
    assert mapped.phase.button.description == "Map"
    assert mapped.phase.words.startswith(f"Measured {len(cells)} of {len(cells)} cells.")
    for (gain, depth), button in cells.items():
        said = WORDS.match(button.tooltip)
        assert (said[1], int(said[2])) == (f"{gain:g}", depth)
        growth = float(said[3])
        assert math.isclose(float(said[5]), growth ** (depth - 1), rel_tol=0.25)  # 0.5 % of rounding, 31 times
        assert button.style.button_color in growth_colours(growth * near)
        if depth >= 20 and not 0.6 < gain < 1.6:  # a linear network: chi = gain^2 (SCIENCE.md)
            assert said[4] == ("exploding" if gain > 1 else "vanishing")
            # 4 seeds of 16 units: the log of |delta| drifts by about -1/16 a layer and spreads less than that
            assert math.isclose(math.log(growth), math.log(gain), abs_tol=0.15)


def test_the_cell_nearest_the_network_is_marked_and_tab_stops_there_and_at_its_neighbours_only(mapped):
    mapped.set(gain=1.0, depth=8)
    cells = mapped.phase.grid.cells
    (cell,) = here(mapped)
    assert abs(math.log(cell[0])) == min(abs(math.log(gain)) for gain, _ in cells)
    assert abs(math.log(cell[1] / 8)) == min(abs(math.log(depth / 8)) for _, depth in cells)
    assert cells[cell].tooltip.endswith("(nearest to this network)")
    assert sum(button.tooltip.endswith("(nearest to this network)") for button in cells.values()) == 1
    stops = [c for c, button in cells.items() if button.tabbable]
    assert cell in stops
    assert len(stops) == 5
    mapped.set(gain=1000.0, depth=1)
    wait_until(lambda: here(mapped) == [(max(cells)[0], 2)])
    assert not cells[cell].tooltip.endswith("(nearest to this network)")
    assert len([c for c, button in cells.items() if button.tabbable]) == 3  # a corner has two neighbours


def test_a_click_on_a_cell_loads_its_config(mapped):
    mapped.set(gain=1.0, depth=8)
    mapped.run(2)
    cell = max(mapped.phase.grid.cells)
    mapped.phase.grid.cells[cell].click()
    wait_until(lambda: here(mapped) == [cell])
    wait_until(lambda: "Ready" in mapped.status)
    assert mapped.config == Config(**SMALL, gain=cell[0], depth=cell[1])
    assert mapped.alert == ""


def test_settings_that_would_give_another_map_are_named(mapped):
    mapped.set(gain=1.0, depth=8)
    measured = mapped.phase.words
    assert "press Map again" not in measured
    mapped.set(lr=0.5)
    mapped.set(activation="tanh", optimizer="adam")
    stale = f"{measured} This map is of other settings (activation linear): press Map again."
    wait_until(lambda: mapped.phase.words == stale)
    mapped.set(activation="linear", optimizer="sgd", lr=Config().lr)
    wait_until(lambda: mapped.phase.words == measured)


def test_theory_marks_its_critical_gain(mapped):
    assert mapped.phase.critical == pytest.approx([1.0], rel=2e-3)  # as near as the search goes


def test_the_line_stands_at_its_place_on_the_log_axis():
    assert place([0.5, 1.0, 2.0], 1.0) == pytest.approx((1, 0.5))
    assert place([0.5, 1.0, 2.0], math.sqrt(2)) == pytest.approx((2, 0.0))
    assert place([0.5, 1.0, 2.0], 3.0) is None
    assert nearest([0.5, 1.0, 2.0], [2, 8, 32], Config(gain=1.5, depth=15)) == (2.0, 8)
    assert nearest([0.5, 1.0, 2.0], [2, 8, 32], Config(gain=0.0, depth=17)) == (0.5, 32)


def test_stop_keeps_what_is_there(panel):
    lab = panel(width=256, n_samples=512, batch_size=256, depth=60)
    lab.phase.button.click()
    wait_until(lambda: lab.phase.grid.cells)
    assert lab.phase.button.description == "Stop"
    lab.phase.button.click()
    wait_until(lambda: lab.phase.settled)
    assert lab.phase.button.description == "Map"
    known, cells = re.match(r"Stopped: (\d+) of (\d+) cells are kept", lab.phase.words).groups()
    said = [bool(WORDS.match(button.tooltip)) for button in lab.phase.grid.cells.values()]
    assert (sum(said), len(said)) == (int(known), int(cells))
    assert 0 < sum(said) < len(said)


def test_training_goes_on_and_pauses_at_once_while_cells_are_measured(panel):
    lab = panel(depth=4)
    map_some(lab)
    lab.play()
    wait_until(lambda: len(lab.history) > 5)
    lab.pause()
    taken = lab.trainer.step_count
    expected = Trainer(Config(**SMALL, depth=4)).run(taken)
    assert lab.history.column("loss").tolist() == expected.column("loss").tolist()


def test_closing_the_panel_ends_the_thread_half_way(panel):
    lab = panel(width=256, n_samples=512, batch_size=256, depth=60)
    before = set(workers())
    map_some(lab)
    assert len(set(workers()) - before) == 1
    lab.close()
    assert set(workers()) <= before
    lab.phase.button.click()
    assert set(workers()) <= before


def test_an_own_network_is_told_that_the_diagram_needs_a_built_in_one(panel):
    lab = panel(network=torch.nn.Linear(2, 2))
    assert lab.phase.button.disabled
    assert lab.phase.words.startswith("The phase diagram needs a built-in network")


def test_own_data_are_what_the_map_is_measured_on(panel):
    x = torch.full((60, 4), 1e38)  # finite, but the first layer is not
    said = map_some(panel(data=(x, torch.arange(60) % 3), depth=3))
    assert any(words.split(": ")[1].startswith("not finite") for words in said)


def test_cells_without_a_number_say_why(panel):
    lab = panel(init="zeros")  # no signal comes back through matrices of zeros
    said = {words.split(": ")[1] for words in map_some(lab)}
    assert {words.removesuffix(" (nearest to this network)") for words in said} <= {"exactly 0", "not yet run"}


def test_an_exception_stands_in_the_section_in_words_and_map_can_be_pressed_again(panel):
    wet = [True]  # the table keeps the entry: later tests that go through it must find one that works

    @gradlab.INITS.register("phase_test_fails", "Fails on square matrices (test)")
    def fails(weight, gain, generator):
        """Refuse square matrices, of which a network of depth 1 has none."""
        if wet and weight.shape[0] == weight.shape[1]:
            raise RuntimeError("the chalk is wet")
        weight.normal_(0.0, gain, generator=generator)

    lab = panel(init="phase_test_fails", depth=1)
    lab.phase.button.click()
    wait_until(lambda: lab.phase.words == "No phase diagram: RuntimeError: the chalk is wet")
    assert lab.phase.button.description == "Map"
    wet.clear()
    lab.set(init="normal")
    assert any(WORDS.match(words) for words in map_some(lab))
    assert lab.run(2)[-1].step == 1
