"""Fonts for languages whose glyphs matplotlib's own font lacks, without a touch of the notebook's rcParams."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.text import Text as Label

from gradlab.locale import Text

FAMILIES: dict[str, tuple[str, ...]] = {
    "zh": (
        *("Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN", "Microsoft YaHei"),
        *("PingFang SC", "Hiragino Sans GB", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "SimHei", "Heiti SC"),
        *("STHeiti", "Droid Sans Fallback", "Arial Unicode MS", "SimSun", "Songti SC", "AR PL UMing CN"),
        *("Noto Sans CJK JP", "Source Han Sans JP"),  # one file holds all of them, listed by its first name at times
    )
}
"""By language: the families that have its glyphs, the best first. A language that is not here needs none."""

PACKAGE = "fonts-noto-cjk"
"""What Debian and Ubuntu call a package with one of them."""

_FILES = ("notosanscjk", "notosanssc", "sourcehansans", "wqy", "msyh", "pingfang", "simhei", "droidsansfallback")


@lru_cache
def family_for(lang: str) -> str | None:
    """Return an installed family with the glyphs of a language, None if there is none or none is needed."""
    wanted = FAMILIES.get(lang, ())
    return _first(wanted) or (_first(wanted) if wanted and _add_unlisted() else None)


def _first(wanted: Iterable[str]) -> str | None:
    known = {entry.name for entry in font_manager.fontManager.ttflist}
    return next((name for name in wanted if name in known), None)


def _add_unlisted() -> bool:
    """Add fonts that were installed after matplotlib wrote its list of them; return whether there are any."""
    unlisted = {*font_manager.findSystemFonts()} - {entry.fname for entry in font_manager.fontManager.ttflist}
    found = [path for path in sorted(unlisted) if Path(path).name.lower().replace("-", "").startswith(_FILES)]
    for path in found:
        font_manager.fontManager.addfont(path)
    return bool(found)


def can_draw(lang: str) -> bool:
    """Return whether pictures can be in a language."""
    return lang not in FAMILIES or family_for(lang) is not None


def drawable(text: Text) -> Text:
    """Return the language that pictures can be in: English where the glyphs of `text` are missing."""
    return text if can_draw(text.lang) else Text("en")


@contextmanager
def any_weight() -> Iterator[None]:
    """Let a font stand in for the weights that it does not come in, without a line in the notebook for each."""
    logger = logging.getLogger(font_manager.__name__)

    def wanted(record: logging.LogRecord) -> bool:
        return "Failed to find font weight" not in record.getMessage()

    logger.addFilter(wanted)
    try:
        yield
    finally:
        logger.removeFilter(wanted)


def set_font(figure: Figure, text: Text) -> None:
    """Give every label in a figure, also of ticks to come, a fallback with the language's glyphs."""
    family = family_for(text.lang)
    if family is None:
        return
    for label in figure.findobj(Label):
        label.set(fontfamily=[*dict.fromkeys((*label.get_fontfamily(), family))])  # pyright: ignore[reportAttributeAccessIssue]
    for ax in figure.axes:
        both: Any = [*ax.xaxis.label.get_fontfamily()]
        ax.tick_params(labelfontfamily=both)
