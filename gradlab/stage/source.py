"""The stage's JavaScript as one text: its ES modules joined, without a build step."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from importlib import resources

from gradlab.locale import STRINGS, Text

_MODULES = (
    *("scales", "packet", "store", "palette", "layout", "labels", "strip", "lens", "profile", "charts", "learned"),
    *("shell", "words", "pointing", "transport", "stage", "keys"),
)
"""Each after those that it imports."""

_IMPORT = re.compile(r"^import [^;]*;\n", re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:const|function|class|let|async)\b)", re.MULTILINE)
_NAMES = re.compile(r"^export \{[^}]*\};\n", re.MULTILINE)
_UNSAID = re.compile(r"^[ \t]*(?://[^\n]*|/\*\*(?:[^*]|\*(?!/))*\*/[ \t]*)\n|^[ \t]+", re.MULTILINE)
"""Lines of comment, and what lines are indented by: a sixth of what every panel sends to the browser."""

_WAYS = ("larger", "smaller", "level", "short", "to_zero", "to_inf")
_WORDS = (
    *("axis.layer", "axis.layer_short", "axis.loss", "axis.step", "row.missing", "button.play", "button.pause"),
    *("button.step", "button.reset", "measure.grad_norm", "axis.time", "growth.toward", "info.colon"),
    *(f"growth.{along}{way}" for along in ("", "time.") for way in _WAYS),
    *("kind.plain", "kind.first", "kind.theory", "kind.ghost", "kind.guess", "kind.nonfinite"),
    *("kind.zero", "kind.underflow", "kind.missing", "predict.growing", "predict.flat", "predict.shrinking"),
    "predict.reveal",
)


@lru_cache
def stage_source(entry: str = "widget") -> str:
    """Return the stage as the text of one ES module; `entry` is the module that it ends with.

    A text and no path: anywidget watches a path for changes, and what watches keeps every panel ever made.
    """
    css = f"const STAGE_CSS = {json.dumps(_UNSAID.sub('', _read('stage.css')))};\n"
    body = "\n".join(_bare(_read(f"{name}.js")) for name in (*_MODULES, "style", entry))
    return css + body + ("\nexport default { render };\n" if entry == "widget" else "")


def stage_words(text: Text) -> dict[str, str]:
    """Return the words that the browser needs, in the language of `text`."""
    table = STRINGS[text.lang]
    return {key: table[key] for key in (*_WORDS, *(key for key in table if key.startswith("stage.")))}


def _bare(module: str) -> str:
    return _UNSAID.sub("", _NAMES.sub("", _EXPORT.sub("", _IMPORT.sub("", module))))


def _read(name: str) -> str:
    return resources.files("gradlab.stage").joinpath(name).read_text(encoding="utf-8")
