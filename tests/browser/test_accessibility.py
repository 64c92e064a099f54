"""axe-core looks at the panel in every theme and state; keys alone reach everything; it zooms to twice its size."""

import re

import pytest
from panel_page import make_panel, stage, violations
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

SECTIONS = ("Exercises", "Slow motion", "Look deeper", "Phase diagram", "Take home", "More")
TWO = """from ipywidgets import VBox
from gradlab import GradLab
lab = GradLab(depth=6, activation="tanh")
lecture = GradLab(lecture=True, predict=True, depth=12)
lab.step()
VBox([lab, lecture])
"""
UNREACHED = """() => [...document.querySelectorAll(".gradlab :is(button, input, select, textarea, [role=slider])")]
  .filter((e) => e.offsetParent && !e.disabled && e.tabIndex < 0 && !e.matches("[role=radio], [role=menuitem]"))
  .map((e) => e.outerHTML.slice(0, 200))"""


def theme(lab, name, *shown):
    lab.command("apputils:change-theme", theme=f"JupyterLab {name}")
    for each, value in zip(stage(lab).all(), shown, strict=True):
        expect(each).to_have_attribute("data-theme", value)


def test_axe_finds_nothing_in_the_panel_in_light_dark_and_lecture_and_it_zooms(shared):
    lab = shared
    lab.page.set_viewport_size({"width": 1366, "height": 768})
    make_panel(lab, TWO)
    expect(stage(lab)).to_have_count(2)
    theme(lab, "Dark", "dark", "dark")
    found = {"asked": violations(lab.page)}
    for name in SECTIONS:
        lab.toggle(name).first.click()
        expect(lab.notebook.locator(".gradlab-pages h3").first).to_have_text(name)
        found[name] = violations(lab.page, ".gradlab:not(.gradlab-lecture)")
    theme(lab, "Light", "light", "contrast")
    lab.evaluate("(lecture.guess(2.0), lecture.reveal(), lecture.step())")
    found["more and scored"] = violations(lab.page)
    lab.toggle("More").first.click()
    lab.evaluate("lab.compare(gain=2.0)")
    lab.notebook.locator(".gl-chip:visible").first.click()
    expect(lab.toggle("Compare").first).to_have_class(re.compile("mod-active"))
    found["compare, a menu open"] = violations(lab.page, ".gradlab:not(.gradlab-lecture)")
    assert {state: said for state, said in found.items() if said} == {}
    assert lab.page.evaluate(UNREACHED) == []

    lab.page.set_viewport_size({"width": 683, "height": 384})  # 1366 x 768 at a zoom of 200 %
    lab.command("application:toggle-left-area")
    chips, buttons = (lab.notebook.locator(f"{part}:visible").first for part in (".gl-all", ".gl-right"))
    chips, buttons = chips.bounding_box(), buttons.bounding_box()
    assert chips["x"] + chips["width"] <= buttons["x"], "nothing lies upon another: the panel scrolls to the side"
    assert lab.notebook.locator(".gradlab").first.evaluate("e => e.scrollWidth > e.clientWidth")
    lessons = lab.notebook.locator(".gl-all").first
    lessons.locator(".gl-chip").press("Escape")
    lessons.locator(".gl-chip").click()
    groups = lessons.get_by_role("group").evaluate_all("all => all.map(group => group.ariaLabel)")
    assert len(groups) > 5
    assert "Explode" in groups
    wide = lessons.get_by_role("menu").evaluate("menu => menu.scrollWidth - menu.clientWidth")
    assert wide <= 1, "all lessons lie below one another"
    assert violations(lab.page, ".gl-all") == []
    lab.command("application:toggle-left-area")
