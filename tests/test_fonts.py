"""Chinese in the pictures, where a font is installed and where none is."""

import re

import matplotlib
import pytest
from matplotlib import font_manager
from matplotlib.font_manager import FontEntry
from matplotlib.text import Text as Label

from gradlab import Config, Trainer, draw, sweep
from gradlab.inspect import gradient_histogram, gradient_noise, sharpness
from gradlab.locale import STRINGS, Text
from gradlab.plots import View, draw_closeups
from gradlab.plots.fonts import FAMILIES, can_draw, drawable, family_for
from gradlab.plots.phase import draw_sweep

CHINESE = re.compile(r"[\u4e00-\u9fff]")
SMALL = Config(depth=3, width=8, activation="tanh", init="normal")


@pytest.fixture
def installed(monkeypatch):
    """Let only the fonts named be installed, listed by matplotlib or not."""

    def install(*names, unlisted=()):
        listed = [FontEntry(fname=f"/nowhere/{name}.ttf", name=name) for name in ("DejaVu Sans", *names)]
        monkeypatch.setattr(font_manager.fontManager, "ttflist", listed)
        monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [f"/nowhere/{name}.ttf" for name in unlisted])

        def add(path):
            listed.append(FontEntry(fname=path, name=unlisted[path.removeprefix("/nowhere/").removesuffix(".ttf")]))

        monkeypatch.setattr(font_manager.fontManager, "addfont", add)
        family_for.cache_clear()

    yield install
    family_for.cache_clear()


@pytest.fixture(scope="module")
def trained():
    trainer = Trainer(SMALL)
    trainer.run(4)
    return trainer


def labels(figure):
    return [label.get_text() for label in figure.findobj(Label) if label.get_text()]


def in_chinese(figure):
    return [text for text in labels(figure) if CHINESE.search(text)]


def test_the_best_of_the_installed_families_is_taken(installed):
    installed("Arial", "SimHei", "Noto Sans CJK SC")
    assert family_for("zh") == "Noto Sans CJK SC"
    installed("Arial", "SimHei")
    assert family_for("zh") == "SimHei"


def test_english_needs_no_font(installed):
    installed()
    assert family_for("en") is None
    assert can_draw("en")
    assert drawable(Text("en")).lang == "en"


def test_without_a_font_pictures_fall_back_to_english(installed):
    installed("Arial", unlisted={"Comic": "Comic Sans"})
    assert not can_draw("zh")
    assert drawable(Text("zh")).lang == "en"


def test_a_font_installed_after_matplotlib_made_its_list_is_found(installed):
    installed("Arial", unlisted={"wqy-microhei": "WenQuanYi Micro Hei", "Comic": "Comic Sans"})
    assert family_for("zh") == "WenQuanYi Micro Hei"


def test_without_a_font_every_picture_is_drawn_in_english(trained, monkeypatch):
    monkeypatch.setattr("gradlab.plots.fonts.family_for", lambda lang: None)
    view = View(text=Text("zh"))
    figures = [draw(trained.history, lang="zh"), draw_closeups(noise=gradient_noise(trained), view=view)]
    figures.append(draw_sweep(sweep(SMALL, {"gain": [0.5, 2.0], "depth": [2, 3]}, 1, 1, progress=False), lang="zh"))
    for figure in figures:
        figure.canvas.draw()  # a glyph that is missing would be a warning, and so an error
        assert in_chinese(figure) == []


def test_where_a_font_is_installed_every_picture_is_in_chinese(trained):
    looks = gradient_histogram(trained), gradient_noise(trained), [sharpness(trained)]
    swept = sweep(SMALL, {"gain": [0.5, 2.0], "depth": [2, 3]}, 1, 1, progress=False)
    lines = sweep(SMALL, {"gain": [0.5, 2.0]}, 1, 1, progress=False)
    for figure, words in (
        (draw(trained.history, lang="zh"), ("损失", "层", "反向信号与梯度范数", "当前")),
        (draw_closeups(*looks, view=View(text=Text("zh"))), ("锐度", "梯度与梯度噪声", "dL/dW 各元素的大小")),
        (draw_sweep(swept, lang="zh"), ("增益", "深度")),
        (draw_sweep(lines, lang="zh"), ("增益", "所有种子")),
    ):
        figure.canvas.draw()
        assert set(words) <= set(labels(figure)) if can_draw("zh") else not in_chinese(figure)


def test_a_picture_leaves_the_rcparams_alone(trained):
    before = dict(matplotlib.rcParams)
    for lang in ("en", "zh", "en"):
        figure = draw(trained.history, lang=lang)
        figure.canvas.draw()
        assert bool(in_chinese(figure)) == (lang == "zh" and can_draw("zh"))
    assert dict(matplotlib.rcParams) == before


def test_ticks_have_the_font_too(trained):
    figure = draw(trained.history, lang="zh")
    figure.canvas.draw()
    family = family_for("zh")
    for label in figure.findobj(Label):
        assert family is None or family in label.get_fontfamily(), label


@pytest.mark.skipif(not can_draw("zh"), reason="no font with Chinese glyphs is installed here")
def test_the_font_has_every_glyph_of_every_string():
    path = font_manager.findfont(family_for("zh"), fallback_to_default=False)
    known = font_manager.get_font(path).get_charmap()
    missing = {c for text in STRINGS["zh"].values() for c in text if CHINESE.match(c) and ord(c) not in known}
    assert not missing


def test_a_language_with_fonts_is_one_there_is():
    assert set(FAMILIES) <= set(STRINGS)
