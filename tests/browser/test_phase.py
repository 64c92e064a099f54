"""The panel's phase diagram, with mouse and keyboard, in real JupyterLab in a real Chromium."""

import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

OPEN = (
    "from gradlab import GradLab\n"
    "lab = GradLab(depth=5, width=32, activation='tanh', init='normal', gain=1.0, n_samples=64)\nlab\n"
)
CELL = re.compile(r"^gain \S+, depth \d+: x \S+ per layer, (exploding|vanishing|steady) ")


def map_whole(lab):
    lab.open(lab.write("phase.ipynb", OPEN))
    assert lab.run_all()
    expect(lab.button("Map")).not_to_be_visible()  # folded
    lab.notebook.get_by_text("Phase diagram", exact=True).click()
    lab.button("Map").click()
    expect(lab.button("Stop")).to_be_visible()
    expect(lab.button("Map")).to_be_visible()
    expect(lab.notebook.get_by_text("dashed: theory, chi = 1 at gain 1")).to_be_visible()


def cells(lab):
    return lab.notebook.get_by_role("button", name=CELL)


def marked(lab):
    """The words of the cell that stands framed."""
    frame = lab.notebook.locator(".gradlab-phase-here")
    expect(frame).to_have_count(1)
    assert frame.evaluate("e => getComputedStyle(e).outline").endswith("solid 3px")
    return frame.get_attribute("title")


def test_a_click_on_a_cell_of_the_map_loads_its_gain_and_depth(lab):
    map_whole(lab)
    count = lab.evaluate("len(lab.phase.grid.cells)")
    expect(cells(lab)).to_have_count(count)
    assert count >= 20  # a machine that is slow or busy has no time for finer grids
    gain, depth = lab.evaluate(
        "min(lab.phase.grid.cells, key=lambda c: max(c[0], 1 / c[0]) + 1e3 * max(c[1] / 5, 5 / c[1]))"
    )  # from gain 1 and depth 5, by ratios
    assert re.match(rf"gain {gain:g}, depth {depth}: .*nearest to this network", marked(lab))
    lab.button("Map").scroll_into_view_if_needed()
    lab.screenshot("phase-map")
    deepest = lab.evaluate("max(c for c in lab.phase.grid.cells if c[0] < 2.5)")
    lab.notebook.get_by_role("button", name=f"gain {deepest[0]:g}, depth {deepest[1]}: ").click()
    expect(lab.readout("Depth")).to_have_text(str(deepest[1]))
    expect(lab.readout("Gain")).to_have_text(f"{deepest[0]:g}")
    expect(lab.notebook.locator(".gradlab-status")).to_contain_text("Ready")
    expect(lab.notebook.locator(".gradlab-phase-here")).to_have_attribute(
        "title", re.compile(rf"^gain {re.escape(f'{deepest[0]:g}')}, depth {deepest[1]}: .* exploding .*nearest")
    )
    assert lab.evaluate("(lab.config.gain, lab.config.depth)") == deepest
    assert "exploding" in marked(lab)
    lab.screenshot("phase-clicked")
    assert lab.console_errors == []


def test_the_keyboard_walks_over_the_map(lab):
    map_whole(lab)
    before = lab.evaluate("(lab.config.gain, lab.config.depth)")
    lab.button("Map").focus()
    lab.page.keyboard.press("Tab")
    focused = lab.page.evaluate("document.activeElement.title")
    assert CELL.match(focused)
    lab.screenshot("phase-focus")
    lab.page.keyboard.press("Enter")
    expect(lab.notebook.locator(".gradlab-phase-here")).to_have_attribute(
        "title", re.compile("^" + re.escape(focused.split(":")[0]))
    )
    gain, depth = lab.evaluate("(lab.config.gain, lab.config.depth)")
    assert focused.startswith(f"gain {gain:g}, depth {depth}: ")
    assert depth > before[1]  # the first stop is the neighbour above
    assert lab.page.evaluate("document.activeElement.title").split(":")[0] == focused.split(":")[0]
    stops = lab.notebook.locator(".gradlab-phase-cell[tabindex='0']")
    expect(stops).to_have_count(5)
    assert lab.console_errors == []
