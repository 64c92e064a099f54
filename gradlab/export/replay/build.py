"""The page of a replay: the numbers of a `History`, packed, in a page that draws them."""

from __future__ import annotations

import html
import json
import os
import re
from importlib import resources
from pathlib import Path
from typing import Any

from gradlab.config import Config
from gradlab.engine.check import check_count
from gradlab.export.call import to_call
from gradlab.export.replay.pack import pack_run
from gradlab.history import History
from gradlab.locale import STRINGS, Text
from gradlab.locale.replay import WORDS

_SHARED = (
    *("axis.step", "axis.layer", "axis.layer_short", "axis.loss", "button.play", "button.pause", "control.measure"),
    *("kind.plain", "kind.first", "kind.after", "kind.underflow", "kind.zero", "kind.nonfinite", "kind.missing"),
    *("row.zero", "row.missing", "row.nonfinite", "alt.profile", "alt.above", "alt.below", "alt.odd"),
)


def replay_html(
    history: History,
    path: str | os.PathLike[str] | None = None,
    frames: int = 300,
    *,
    config: Config | None = None,
    title: str | None = None,
    lang: str = "en",
) -> str:
    """Return a run as one HTML page with a play button and a scrubber; it needs no kernel and no network.

    The page holds the numbers, about 29 bytes for each layer and frame, and draws three pictures from them:
    the loss, the chosen measure of every layer, and layers x steps.

    Parameters
    ----------
    history : History
        The run; at least one step.
    path : path, optional
        Where to write the page, too.
    frames : int, default 300
        The most steps to show; of more, evenly spaced ones are taken, the first and last among them. The loss
        curve keeps its spikes.
    config : Config, optional
        Shown under the title.
    title : str, optional
        Heading of the page.
    lang : str, default "en"
        Language of the page.

    Returns
    -------
    str
        The page, UTF-8 when written.

    Raises
    ------
    ValueError
        If the history is empty, `frames` is not a positive whole number, or the language is not known.
    """
    check_count("frames", frames)
    if frames == 0 or not len(history):
        raise ValueError(f"frames={frames} of {len(history)} steps; expected at least one frame and one step")
    language = Text(lang).lang
    words = {**WORDS[language], **{key: STRINGS[language][key] for key in _SHARED}}
    title = words["title"] if title is None else title
    run = {"lang": language, "words": words, **pack_run(history, frames, STRINGS[language])}
    page = _fill(
        _read("page.html"),
        {
            "lang": language,
            "title": html.escape(title),
            "config": "" if config is None else html.escape(to_call(config)),
            "style": _read("page.css"),
            "data": _for_script(run),
            "script": "\n".join(_read(name) for name in ("axes.js", "pictures.js", "player.js")),
            **{f"word.{key}": html.escape(text) for key, text in words.items()},
        },
    )
    if path is not None:
        Path(path).write_text(page, encoding="utf-8")
    return page


def _read(name: str) -> str:
    return resources.files("gradlab.export.replay").joinpath(name).read_text(encoding="utf-8")


def _fill(template: str, values: dict[str, str]) -> str:
    """Put values into ``{{name}}`` in one pass, so that nothing is looked for inside a value."""
    return re.sub(r"\{\{([\w.]+)\}\}", lambda found: values[found[1]], template)


def _for_script(value: Any) -> str:
    """Return JSON that cannot end the script element it stands in."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
