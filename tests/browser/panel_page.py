"""What a person does with a panel: verbs on top of `LabPage`."""

import re

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

STAGE = ".gl-stage"


def open_panel(lab, code, name="panel.ipynb"):
    """Open and run a notebook of one cell that ends in a panel, and wait until the stage has drawn."""
    lab.open(lab.write(name, code))
    _run(lab)


def make_panel(lab, code):
    """Do so in the notebook in front, whose cell it becomes, and in its kernel."""
    lab.retype(code)
    _run(lab)


def _run(lab):
    assert lab.run_all(), lab.errors()
    assert lab.errors() == []
    expect(stage(lab).first).to_be_visible()
    expect(lab.notebook.locator(".gl-status").first).not_to_be_empty()


def stage(lab):
    return lab.notebook.locator(STAGE)


def labelled(lab, box, label):
    exactly = re.compile(rf"^\s*{re.escape(label)}\s*$")
    return lab.notebook.locator(box).filter(has=lab.page.locator(".widget-label, label", has_text=exactly))


def handle(lab, label):
    """The handle of a knob's slider."""
    return labelled(lab, ".gradlab-knob", label).get_by_role("slider")


def number(lab, label):
    """The number field of a knob."""
    return labelled(lab, ".gradlab-knob", label).locator(".gradlab-number input")


def type_number(lab, label, text):
    number(lab, label).fill(text)
    number(lab, label).press("Enter")


def menu(lab, label):
    """The dropdown of a knob."""
    return labelled(lab, ".gradlab-choice", label).locator("select")


def switch(lab, label):
    """The switch of a rule or a knob."""
    return labelled(lab, ".gradlab-switch", label).locator("input")


def drag(lab, label, dx, moves=10):
    """Drag a slider's handle `dx` pixels to the right."""
    box = handle(lab, label).bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    lab.page.mouse.move(x, y)
    lab.page.mouse.down()
    lab.page.mouse.move(x + dx, y, steps=moves)
    lab.page.mouse.up()


def preset(lab, group, label):
    """Choose a lesson from the bar."""
    lab.notebook.get_by_role("button", name=group, exact=True).click()
    lab.notebook.get_by_role("menuitem", name=label, exact=True).click()


def speed(lab, name):
    lab.notebook.get_by_role("radio", name=name, exact=True).click()


def time_slider(lab):
    return lab.notebook.locator(".gl-track")


def step_shown(lab):
    return int(time_slider(lab).get_attribute("aria-valuenow"))


def wait_for_step(lab, at_least):
    """Wait until the newest step on the stage is that one or a later one; before step 0 it shows a preview of it."""
    if at_least == 0:
        lab.until("lab.trainer.step_count > 0", True)
    lab.page.wait_for_function(
        "n => Number(document.querySelector('.jp-NotebookPanel:not(.lm-mod-hidden) .gl-track')"
        "?.dataset.steps ?? 0) > n",
        arg=at_least,
    )


def boxes(lab, *selectors):
    """Where parts of the panel stand, rounded to whole pixels."""
    found = {}
    for selector in selectors:
        box = lab.notebook.locator(selector).first.bounding_box()
        found[selector] = box and tuple(round(box[k]) for k in ("x", "y", "width", "height"))
    return found


def violations(page, context=".gradlab", **options):
    """What axe-core finds within a part of the page: rule, place, and why."""
    options = {"resultTypes": ["violations"], "preload": False, **options}  # a page without a network fetches nothing
    found = Axe().run(page, context=context, options=options).response["violations"]
    return [f"{rule['id']}: {n['target']} {n['failureSummary']}" for rule in found for n in rule["nodes"]]
