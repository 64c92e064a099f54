"""The 90 minutes of a lecture in one panel without a reload: with the mouse alone, then with the keyboard alone."""

import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

OPEN = "from gradlab import GradLab\nlab = GradLab(predict=True)\nlab"
BACK = re.compile(r"^Back to step \d+$")
WATCH = """() => {
  window.touched = 0;
  window.addEventListener('pointerdown', e => { window.touched += Boolean(e.target.closest('.gradlab')); }, true);
}"""
INSIDE = "() => Boolean(document.activeElement.closest('.gradlab'))"
FOCUS = """() => {
  const here = document.activeElement;
  const label = here.closest('.widget-inline-hbox')?.querySelector('.widget-label');
  const name = (here.matches('select, [role=slider]') && label ? label : here).innerText.trim();
  const { outlineStyle, outlineWidth } = getComputedStyle(here);
  return [Boolean(here.closest('.gradlab')), name, outlineStyle === 'none' ? 0 : parseFloat(outlineWidth)];
}"""
CHOSEN = "() => document.activeElement.selectedOptions[0].text.replaceAll('\\u00a0', ' ')"


class Mouse:
    """Whoever has a mouse and no keys."""

    def __init__(self, lab):
        self.lab = lab

    def press(self, name, letter=""):
        self.lab.button(name).click()

    def back(self):
        self.lab.notebook.get_by_role("button", name=BACK).click()

    def switch(self, name):
        self.lab.toggle(name).click()

    def choose(self, label, text, after=""):
        self.lab.control(label).first.locator("select").select_option(label=text)

    def deepen(self):
        self.lab.drag("Depth", 10)

    def unfold(self, title):
        self.lab.notebook.locator(".jupyter-widget-Collapse-header", has_text=title).click()


class Keyboard:
    """Whoever has keys and no mouse: Tab, Shift+Tab, arrows, letters, Enter, Space, and Alt with a letter."""

    def __init__(self, lab):
        self.page = lab.page
        self.page.evaluate(WATCH)

    def reach(self, name):
        """Press Tab until what has this name has the focus, and at the panel's end Shift+Tab."""
        for key in ("Tab", "Shift+Tab"):
            for _ in range(60):
                self.page.keyboard.press(key)
                inside, here, outline = self.page.evaluate(FOCUS)
                if inside and here == name:
                    assert outline >= 1
                    return
                if not inside and key == "Tab":
                    break
        raise AssertionError(f"no key leads to {name!r}")

    def press(self, name, letter=""):
        if letter:
            self.page.keyboard.press(f"Alt+{letter}")
        else:
            self.reach(name)
            self.page.keyboard.press("Enter")
        self.keeps_the_focus()

    def keeps_the_focus(self):
        self.page.wait_for_function(INSIDE)
        assert self.page.evaluate("() => window.touched") == 0

    def back(self):
        self.press("", "b")

    def switch(self, name):
        self.reach(name)
        self.page.keyboard.press("Space")

    def choose(self, label, text, after=""):
        """Type the first letter until the choice stands there, as a list of choices takes it."""
        if after:
            self.reach(after)
        self.reach(label)
        for _ in range(12):
            if self.page.evaluate(CHOSEN) == text:
                return
            self.page.keyboard.press(text[0].lower())
        raise AssertionError(f"{text!r} is not among the choices of {label!r}")

    def deepen(self):
        self.reach("Depth")
        self.page.keyboard.press("ArrowRight")
        self.page.keyboard.press("ArrowRight")

    def unfold(self, title):
        self.press(title)


def open_panel(lab):
    lab.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    lab.open(lab.write("path.ipynb", OPEN))
    assert lab.run_all()
    expect(lab.notebook.locator("img.gradlab-picture")).to_be_visible()
    lab.page.evaluate("() => { window.reloaded = false; }")


def wait_for_step(lab, at_least):
    lab.page.wait_for_function(
        "n => { const m = /step (\\d+)/.exec(document.querySelector('.gradlab-status')?.innerText ?? '');"
        " return m && Number(m[1]) >= n; }",
        arg=at_least,
    )


def predict(lab, hand, way):
    expect(lab.button("Play")).to_be_disabled()
    hand.press(way)
    expect(lab.notebook.get_by_text(f"Your prediction: {way.lower()}")).to_be_visible()
    expect(lab.button("Reveal")).to_be_enabled()
    hand.press("Reveal", "g")
    expect(lab.notebook.get_by_text(f"of 100 points. You said {way.lower()}")).to_be_visible()
    expect(lab.button("Play")).to_be_enabled()


def play(lab, hand, until):
    hand.press("Play", "p")
    wait_for_step(lab, until)
    hand.press("Pause", "p")
    expect(lab.button("Play")).to_be_visible()


def see_signals_grow_and_shrink(lab, hand):
    predict(lab, hand, "Flat")
    play(lab, hand, 20)
    hand.choose("Preset", "Vanishing: deep sigmoid")
    expect(lab.readout("Depth")).to_have_text("12")
    predict(lab, hand, "Shrinking")
    hand.deepen()
    expect(lab.readout("Depth")).to_have_text(re.compile(r"^(1[3-9]|[2-4]\d)$"))
    predict(lab, hand, "Shrinking")
    hand.choose("Init", "Xavier normal")
    predict(lab, hand, "Shrinking")
    assert lab.evaluate("(lab.config.activation, lab.config.init)") == ("sigmoid", "xavier")


def diverge_and_come_back(lab, hand):
    hand.choose("Preset", "Cured: clipping rescues an explosion")
    expect(lab.readout("Depth")).to_have_text("20")
    predict(lab, hand, "Growing")
    hand.switch("Clipping")
    hand.press("Play", "p")
    expect(lab.alert()).to_contain_text(re.compile(r"Diverged at step \d+: .* is (infinite|not a number)"))
    hand.back()
    expect(lab.alert()).to_contain_text("Back at step")
    hand.switch("Clipping")
    play(lab, hand, 20)
    expect(lab.alert()).to_have_count(0)


def accumulate(lab, hand):
    hand.choose("Preset", "A healthy network")
    expect(lab.readout("Depth")).to_have_text("8")
    predict(lab, hand, "Flat")
    hand.switch("Accumulation")
    expect(lab.notebook.locator(".gradlab-badge")).to_have_text(re.compile(r"^= one batch of 128: difference"))
    hand.press("Step", "s")
    expect(lab.notebook.locator(".gradlab-status")).to_contain_text("step 1 | updates 1 | micro-batches 4")


def repair_and_take_home(lab, hand):
    hand.unfold("Exercises")
    hand.choose("Exercise", "The forgotten division")
    expect(lab.notebook.locator(".gradlab-badge")).to_contain_text("a sum of 8, not divided")
    hand.press("Check")
    expect(lab.notebook.get_by_text("Check: Not yet. The run diverges")).to_be_visible()
    hand.choose("Rule", "Mean over samples", after="Accumulation")
    expect(lab.notebook.locator(".gradlab-badge")).to_have_text(re.compile("^= one batch of 256"))
    hand.press("Check")
    expect(lab.notebook.get_by_text("Check: Passed")).to_be_visible()
    predict(lab, hand, "Flat")
    play(lab, hand, 20)
    hand.unfold("Take home")
    hand.press("Copy code")
    expect(lab.notebook.locator(".gradlab-home-words")).to_contain_text("lines of PyTorch")
    assert "optimizer.step()" in lab.page.evaluate("navigator.clipboard.readText()")


def walk(lab, hand):
    see_signals_grow_and_shrink(lab, hand)
    diverge_and_come_back(lab, hand)
    accumulate(lab, hand)
    repair_and_take_home(lab, hand)
    assert lab.page.evaluate("() => window.reloaded === false")
    assert not lab.evaluate("lab.closed")
    assert lab.errors() == []
    assert lab.console_errors == []


def test_the_mouse_alone_walks_the_whole_lecture_in_one_panel(lab):
    open_panel(lab)
    walk(lab, Mouse(lab))


def test_the_keyboard_alone_walks_the_whole_lecture_and_its_focus_is_always_seen(lab):
    open_panel(lab)
    walk(lab, Keyboard(lab))
