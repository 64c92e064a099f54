"""`replay_html`: a run as one HTML file that plays in any browser, on the stage of the live panel."""

from __future__ import annotations

import base64
import html
import json
import os
import re
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from gradlab.config import Config
from gradlab.engine.check import check_count
from gradlab.export.script import to_call
from gradlab.history import History
from gradlab.locale import Text
from gradlab.plots.picture import BOTH, View
from gradlab.stage.packet import Packet, PacketEncoder
from gradlab.stage.shown import Lane, Shown
from gradlab.stage.source import stage_source, stage_words

_MEASURES = (BOTH, "update_ratio", "activation_std")


def replay_html(
    history: History,
    path: str | os.PathLike[str] | None = None,
    frames: int = 300,
    *,
    config: Config | None = None,
    title: str | None = None,
    lang: str = "en",
) -> str:
    """Return a run as one HTML page with a play button and a time slider; it needs no kernel and no network.

    The page holds the numbers, some 50 bytes for each layer and frame, and the stage that draws them: the network,
    the chosen measure of every layer, the loss, and layers x steps.

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
    text = Text(lang)
    look = {
        "theme": "auto",
        "lang": text.lang,
        "words": stage_words(text),
        "hide": ["top-left", "lesson", "learned", "rewind", "along"],
    }
    records = {
        name: [[head, base64.b64encode(buffers[0]).decode("ascii")] for head, buffers in packets]
        for name, packets in _record(history, frames, text).items()
    }
    title = text("replay.title") if title is None else title
    values = {
        "lang": text.lang,
        "title": html.escape(title),
        "config": "" if config is None else html.escape(to_call(config)),
        "measure": html.escape(text("control.measure")),
        "options": "".join(f'<option value="{n}">{html.escape(text(f"measure.{n}"))}</option>' for n in records),
        "data": _for_script({"look": look, "records": records}),
        "script": stage_source("recorded"),
    }
    template = resources.files("gradlab.stage").joinpath("replay.html").read_text(encoding="utf-8")
    page = re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], template)  # nothing is looked for inside a value
    if path is not None:
        Path(path).write_text(page, encoding="utf-8")
    return page


def pick_rows(history: History, frames: int) -> np.ndarray:
    """Return the numbers of the rows to show: all, or evenly spaced ones with the first and the last."""
    n = len(history)
    return np.unique(np.linspace(0, n - 1, min(n, frames)).round().astype(int)) if frames > 1 else np.array([n - 1])


def _record(history: History, frames: int, text: Text) -> dict[str, list[Packet]]:
    """Return, for every choice of measure, the packets that the run would have sent, one a frame."""
    so_far, done = History(history.layer_names, history.tiny), 0
    clip = bool(np.any(history.column("clip_coef") < 1))
    views = {name: View(measure=name, clip=clip, units=True, text=text) for name in _MEASURES}
    encoders = {name: PacketEncoder() for name in views}
    packets: dict[str, list[Packet]] = {name: [] for name in views}
    for row in pick_rows(history, frames):
        for index in range(done, int(row) + 1):
            so_far.append(history[index])
        done = int(row) + 1
        last = done == len(history)
        for mark in history.marks[len(so_far.marks) :]:
            if last or mark.step <= so_far.row("step", -1):
                so_far.mark(mark)
        so_far.diverged = history.diverged if last else None
        for name, view in views.items():
            packets[name].append(encoders[name].new(Shown(0, (Lane(so_far),), view)))
    return packets


def _for_script(value: Any) -> str:
    """Return JSON that cannot end the script element it stands in."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
