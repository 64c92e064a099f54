"""The Chinese panel in real JupyterLab: no English is left, and it can be played."""

import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

OPEN = "from gradlab import GradLab\nlab = GradLab(preset='exploding_tanh', lang='zh')\nlab\n"
NAMES = (
    "ReLU Leaky tanh Sigmoid sigmoid GELU SELU SiLU swish PyTorch SGD Adam AdamW RMSprop Kaiming Xavier XOR RMS AGC "
    "NaN nan inf Alt chi dL dz dW phi normal fan_in relu kaiming layer float True "
    "Config torch from_json JSON CSV PNG SVG HTML kB "
    "fonts noto cjk"  # what to install, said where no Chinese font is
)
SECTIONS = ("网络与数据", "训练", "细看", "慢动作", "带回家", "相图")


def open_panel(lab, code=OPEN):
    lab.open(lab.write("chinese.ipynb", code))
    assert lab.run_all()
    assert lab.errors() == []
    expect(lab.notebook.locator("img.gradlab-picture")).to_be_visible()


def english_left(lab):
    """Latin words of two letters or more that stand in the panel and are no names; nor may a glyph be missing."""
    assert not [out for cell in lab.cells() for out in cell["outputs"] if out["output_type"] == "stream"]
    seen = lab.notebook.locator(".gradlab").first.evaluate(
        "panel => [panel.innerText, ...[...panel.querySelectorAll('*')].flatMap(e => [e.getAttribute('title'),"
        " e.getAttribute('aria-label')])].filter(t => t && t !== 'null').join('\\n')"
    )
    return sorted(set(re.findall(r"[A-Za-z][A-Za-z_]+", seen)) - set(NAMES.split()) - fields(lab))


def fields(lab):
    return set(lab.evaluate("list(lab.config.to_dict())"))


def fold(lab, title):
    lab.notebook.get_by_text(title, exact=True).click()


def test_a_chinese_panel_shows_no_english_in_any_section(lab):
    open_panel(lab)
    for title in SECTIONS:
        expect(lab.notebook.get_by_text(title, exact=True)).to_be_visible()
    lab.notebook.get_by_role("checkbox", name="理论").check()
    for _ in range(3):
        lab.button("单步").click()
    expect(lab.notebook.locator(".gradlab-status")).to_contain_text("第 3 步")
    lab.button("检验梯度").click()
    expect(lab.notebook.locator(".gradlab-info")).to_contain_text("自动微分与有限差分一致", timeout=60_000)
    expect(lab.notebook.locator(".gradlab-info")).to_contain_text("梯度爆炸")
    lab.screenshot("chinese-top")
    assert english_left(lab) == []
    for title in SECTIONS[:2]:
        fold(lab, title)
        lab.notebook.get_by_text(title, exact=True).scroll_into_view_if_needed()
        lab.screenshot(f"chinese-{SECTIONS.index(title)}")
        assert english_left(lab) == []
    fold(lab, "细看")
    for name in ("梯度直方图", "梯度噪声", "锐度"):
        lab.notebook.get_by_role("checkbox", name=name).check()
    expect(lab.notebook.locator("img.gradlab-closeup")).to_be_visible(timeout=60_000)
    lab.notebook.locator("img.gradlab-closeup").scroll_into_view_if_needed()
    lab.screenshot("chinese-closeup")
    fold(lab, "相图")
    lab.button("绘制").click()
    expect(lab.notebook.locator(".gradlab-phase-legend")).to_contain_text("加框", timeout=60_000)
    expect(lab.button("绘制")).to_be_visible(timeout=120_000)
    lab.notebook.locator(".gradlab-phase-legend").scroll_into_view_if_needed()
    lab.screenshot("chinese-phase")
    assert english_left(lab) == []
    assert lab.console_errors == []


def test_a_divergence_is_said_in_chinese_and_the_keyboard_leads_back(lab):
    open_panel(lab, OPEN.replace("preset='exploding_tanh'", "lr=1e12, depth=4"))
    assert lab.command("apputils:change-theme", theme="JupyterLab Dark") in (True, False)
    lab.button("播放").focus()
    lab.page.keyboard.press("Alt+p")
    expect(lab.notebook.get_by_role("alert")).to_contain_text("这一步没有执行，训练已暂停。", timeout=60_000)
    expect(lab.notebook.get_by_role("alert")).to_contain_text("步发散：")
    lab.screenshot("chinese-dark")
    assert english_left(lab) == []
    lab.page.keyboard.press("Alt+b")
    expect(lab.notebook.get_by_role("alert")).to_contain_text("已回退到第")
    lab.command("apputils:change-theme", theme="JupyterLab Light")
    assert lab.console_errors == []


def test_two_lanes_and_a_moment_of_the_past_are_told_in_chinese(lab):
    open_panel(lab, OPEN.replace("preset='exploding_tanh'", "depth=4, width=16"))
    for _ in range(2):
        lab.button("单步").click()
    expect(lab.notebook.locator(".gradlab-status")).to_contain_text("第 2 步")
    lab.button("固定").click()
    lab.toggle("对比").click()
    expect(lab.notebook.locator(".gradlab-info")).to_contain_text("各组完全相同")
    lab.evaluate("lab.set(lr=0.5)")
    lab.evaluate("len(lab.run(20))")
    expect(lab.notebook.locator(".gradlab-info")).to_contain_text("学习率：A 0.05，B 0.5。")
    expect(lab.notebook.locator(".gradlab-info")).to_contain_text("最近 10 步的平均损失")
    lab.screenshot("chinese-lanes")
    assert english_left(lab) == []
    assert lab.console_errors == []


def test_a_lecture_in_chinese_fits_a_projector(lab):
    lab.page.set_viewport_size({"width": 1280, "height": 720})
    open_panel(lab, OPEN.replace("preset=", "lecture=True, preset="))
    lab.command("application:toggle-left-area")
    lab.evaluate("len(lab.run(30))")
    expect(lab.notebook.locator(".gradlab-status")).to_contain_text("第 30 步")
    lab.notebook.locator("img.gradlab-picture").scroll_into_view_if_needed()
    lab.screenshot("chinese-lecture")
    lab.command("application:toggle-left-area")
    assert english_left(lab) == []
    assert lab.console_errors == []
