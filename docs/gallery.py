"""The gallery: every preset trained, what its stage was told written down, and one page for each.

Used by conf.py while the site is built; the runs go where the pages find them without a kernel or a network.
"""

from __future__ import annotations

import base64
import html
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
from matplotlib.colors import to_hex
from PIL import Image

from gradlab import PRESETS, Config, History, Trainer, to_call
from gradlab.locale import Text
from gradlab.panel.controller import Controller
from gradlab.panel.description import Description
from gradlab.panel.start import first_trainer
from gradlab.plots.axes import columns_of, row_logs
from gradlab.plots.picture import last_finite
from gradlab.plots.style import cell_colours
from gradlab.stage import PacketEncoder, Shown, stage_source, stage_words

EACH = 40  # steps recorded one by one; later ones further and further apart
LATER = 28
MOST_BYTES = 600_000  # of a run; the stage, the page and its theme take 400,000 more, and a page stays under 1 MB
DECADES = 12.0  # from the middle of a thumbnail to its edge
OWN = {"network": None, "data": None, "loss": None}
HERO = "start"


@dataclass(frozen=True)
class Run:
    """A run as its page shows it."""

    packets: list[list[Any]]  # heads, and buffers in base64
    lanes: tuple[tuple[History, Config], ...]
    headline: str
    insight: dict[str, str]  # what theory and diagnosis say, by heading


def record(controller: Controller, steps: int, lesson: str = "") -> Run:
    """Train what a panel holds and return what its stage was told on the way."""
    description, encoder = Description(controller), PacketEncoder()
    packets = [packet(encoder, description.shown(), lesson)]
    done = 0
    for step in moments(steps):
        controller.take(step - done)
        done = step
        packets.append(packet(encoder, description.shown(), lesson))
        if all(t.stopped for t in (controller.trainer, controller.rival) if t is not None):
            break
    trainers = [t for t in (controller.rival, controller.trainer) if t is not None]
    shown = description.shown()
    lanes = tuple((description.history(t), t.config) for t in trainers)
    return Run(packets, lanes, shown.lanes[-1].verdict[1], description.insight())


def moments(steps: int) -> list[int]:
    """Return after how many steps something is recorded."""
    first = list(range(1, min(EACH, steps) + 1))
    later = np.geomspace(EACH, steps, LATER).round().astype(int).tolist() if steps > EACH else []
    return sorted({*first, *later})


def packet(encoder: PacketEncoder, shown: Shown, lesson: str) -> list[Any]:
    """Return one packet as JSON can hold it."""
    head, buffers = encoder.new(shown)
    if lesson and "lesson" in head:
        head["lesson"] = lesson
    return [head, base64.b64encode(buffers[0]).decode("ascii")]


def of_preset(name: str, steps: int) -> Run:
    """Return the run of a preset; one that cannot be trained says why over the default network."""
    text = Text("en")
    trainer, problem = first_trainer(PRESETS[name], OWN, name)
    controller = Controller(trainer, OWN, text)
    if problem is not None:
        controller.reject(problem)
        controller.preset = name
        return replace(record(controller, 0), insight={})  # it would be the default network's
    controller.choose(name)
    return record(controller, steps)


def of_start(steps: int) -> Run:
    """Return the start page's run: an explosion, and beside it the same network cured."""
    config = Config(depth=20, gain=1.5)
    controller = Controller(Trainer(config), OWN, Text("en"))
    controller.compare({"gain": 1.0})
    lesson = (
        "Twenty ReLU layers twice: weights half as large again explode, He's initialisation stays level and learns."
    )
    return record(controller, steps, lesson)


# ---------------------------------------------------------------------- files
def write(pages: Path, static: Path, steps: int) -> None:
    """Write the stage, the runs and the pages of the gallery."""
    runs = static / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    pages.mkdir(parents=True, exist_ok=True)
    words = json.dumps(stage_words(Text("en")))
    source = stage_source("recorded")
    script = f"(() => {{\n{source}\nwindow.gradlab = {{ showRecord, words: {words}, runs: {{}} }};\n}})();\n"
    (static / "stage.js").write_text(script, encoding="utf-8")
    save(runs, HERO, of_start(steps))
    found = {}
    for name in PRESETS:
        found[name] = of_preset(name, steps)
        save(runs, name, found[name])
    (static / "lab").mkdir(exist_ok=True)
    for name, run in found.items():
        (pages / f"{name}.md").write_text(page(name, run), encoding="utf-8")
        (static / "lab" / f"{name}.ipynb").write_text(notebook(name), encoding="utf-8")
    (pages / "index.md").write_text(index(found), encoding="utf-8")


def save(folder: Path, name: str, run: Run) -> None:
    """Write the packets of a run as a script that a page can load from a file, too."""
    packets = json.dumps(run.packets, separators=(",", ":"), allow_nan=False)
    if len(packets) > MOST_BYTES:
        raise ValueError(f"the run of {name} takes {len(packets)} bytes; expected at most {MOST_BYTES}")
    (folder / f"{name}.js").write_text(f"gradlab.runs[{json.dumps(name)}] = {packets};\n", encoding="utf-8")


def place(name: str, up: str, loop: bool = False) -> str:
    """Return the place of a stage in a page, with the scripts that fill it; `up` leads to the site's top."""
    files = ("stage.js", f"runs/{name}.js", "site.js")
    scripts = "".join(f'<script defer src="{up}_static/{file}"></script>' for file in files)
    without = "<noscript><p>The recorded run plays with JavaScript.</p></noscript>"
    again = ' data-loop="yes"' if loop else ""
    return f'<div class="gradlab-replay" data-run="{name}"{again}>{without}</div>\n{scripts}'


def failure(name: str) -> str:
    """Return the preset beside which one opens; empty for one about itself alone."""
    found = PRESETS.entry(name).options.get("failure", "")
    return found if isinstance(found, str) else ""


def page(name: str, run: Run) -> str:
    """Return the page of one preset, as MyST Markdown."""
    entry, config = PRESETS.entry(name), PRESETS[name]
    beside = failure(name)
    said = [f"- **{head}.** {escaped(sentence)}" for head, sentence in run.insight.items() if sentence]
    cures = [other for other in PRESETS if failure(other) == name]
    lines = [
        "---",
        "hide-toc: true",
        "myst: {html_meta: {description: " + json.dumps(entry.summary) + "}}",
        "---",
        f"# {entry.label}",
        "{.gradlab-lesson}",
        escaped(entry.summary),
        "",
        f"```{{gradlab-stage}} {name}",
        "```",
        "## In the lab",
        "```python",
        "import gradlab",
        "",
        f'lab = gradlab.GradLab(preset="{name}")',
        "lab",
        "```",
        "```{raw} html",
        f'<p><a href="../_static/lab/{name}.ipynb" download>Open it in the lab</a>: a notebook of this cell.</p>',
        "```",
        *(
            [f"It opens beside the failure it is about, [{PRESETS.entry(beside).label}]({beside}.md)."]
            if beside
            else []
        ),
        *(
            [f"What is tried against it: {', '.join(f'[{PRESETS.entry(c).label}]({c}.md)' for c in cures)}."]
            if cures
            else []
        ),
        "",
        *(
            ["Its settings are the defaults of `Config`."]
            if config == Config()
            else ["Written out, its settings are", "```python", *wrapped(to_call(config)), "```"]
        ),
        *(["## What theory and diagnosis say", *said] if said else []),
        *code(config),
    ]
    return "\n".join(lines) + "\n"


def notebook(name: str) -> str:
    """Return a notebook that opens a preset in the lab."""
    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    entry = PRESETS.entry(name)
    said = nbformat.v4.new_markdown_cell(f"# {entry.label}\n\n{entry.summary}", id="lesson")
    cell = nbformat.v4.new_code_cell(f'import gradlab\n\nlab = gradlab.GradLab(preset="{name}")\nlab', id="lab")
    return nbformat.writes(nbformat.v4.new_notebook(cells=[said, cell], metadata={"kernelspec": spec}))


def link(name: str) -> str:
    """Return a link to the page of a preset."""
    return f"[{PRESETS.entry(name).label}]({name}.md)"


def escaped(sentence: str) -> str:
    """Return a sentence in which nothing is markup."""
    return "".join(f"\\{c}" if c in "*_`<>|[]$" else c for c in sentence)


def wrapped(call: str) -> Iterator[str]:
    """Yield a call in lines that a page has room for."""
    if len(call) <= 88:
        yield call
        return
    head, arguments = call.split("(", 1)
    yield f"{head}("
    yield from (f"    {argument}," for argument in arguments.removesuffix(")").split(", "))
    yield ")"


def code(config: Config) -> list[str]:
    """Return the section with the run as plain PyTorch, or what is in the way."""
    try:
        script = config.to_code()
    except ValueError as error:
        return ["## The same run without gradlab", f"There is no script of it: {escaped(str(error))}."]
    say = "Plain PyTorch that prints the losses above, digit for digit: `config.to_code()`."
    fold, end = "<details><summary>The script</summary>", "</details>"
    return ["## The same run without gradlab", say, "", fold, "", "```python", script.rstrip(), "```", "", end]


def index(runs: dict[str, Run]) -> str:
    """Return the page that shows all presets."""
    text = Text("en")
    groups: dict[str, list[str]] = {}
    for name in PRESETS:
        groups.setdefault(str(PRESETS.entry(name).options.get("group", "more")), []).append(name)
    lines = ["---", "hide-toc: true", "---", "# Gallery", ""]
    lines += [
        "Every preset of the lab as a run to play, scrub and point at, recorded as this site was built: no kernel is "
        "needed. A small picture shows the backward signal of every layer, input at the left: dots at the first "
        "step, a line at the last, and beside it every layer at every step. Blue has vanished, red has exploded.",
    ]
    for group, names in groups.items():
        lines += ["", f"## {text(f'preset.group.{group}')}", "```{raw} html", '<ul class="gradlab-cards">']
        lines += [card(name, runs[name]) for name in names]
        lines += ["</ul>", "```"]
    ordered = [name for names in groups.values() for name in names]
    toc = ["", "```{toctree}", ":hidden:", "", *ordered, "```"]
    return "\n".join(lines + toc) + "\n"


def card(name: str, run: Run) -> str:
    """Return one preset of the index: its picture, name and lesson."""
    entry = PRESETS.entry(name)
    return (
        f'<li><a href="{name}.html">{thumbnail(run)}<strong>{html.escape(entry.label)}</strong>'
        f"<span>{html.escape(entry.summary)}</span></a></li>"
    )


# ---------------------------------------------------------------------- thumbnails
WIDE, HIGH, EDGE = 138.0, 104.0, 8.0  # of the curves; beside them stands the map of layers and steps
MAP, GAP, COLUMNS = 94.0, 8.0, 40
SPAN = 8.0  # decades from neutral to the end of the colours


def thumbnail(run: Run) -> str:
    """Return a small SVG: the backward signal of every layer against the last one's, and its map over the steps."""
    parts = [f'<line class="gradlab-axis" x1="0" x2="{WIDE}" y1="{HIGH / 2}" y2="{HIGH / 2}"/>']
    high = HIGH / len(run.lanes)
    for n, (history, _) in enumerate(run.lanes):
        measure = "time_norm" if history.time_names else "delta_norm"
        parts += curves(history, measure, muted=n < len(run.lanes) - 1)
        parts.append(
            f'<image x="{WIDE + GAP}" y="{n * high + n}" width="{MAP}" height="{high - n}" '
            f'preserveAspectRatio="none" href="{layers_by_steps(history, measure)}"/>'
        )
    wide = WIDE + GAP + MAP
    label = html.escape(run.headline)
    return f'<svg viewBox="0 0 {wide} {HIGH}" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def curves(history: History, measure: str, muted: bool) -> Iterator[str]:
    """Yield the dots of a run at the first step, and its curve at the last."""
    n = len(columns_of(history, measure))
    x = np.linspace(EDGE, WIDE - EDGE, max(n, 2))
    first, last = (relative(row_logs(history, measure, row)) for row in (0, newest_finite(history, measure)))
    if not muted:
        points = " ".join(f"{a:.1f},{height(b):.1f}" for a, b in zip(x, last, strict=False) if np.isfinite(b))
        yield f'<polyline class="gradlab-last" points="{points}"/>'
    radius = float(np.clip(45 / max(n, 1), 1.4, 4.0))
    colours = cell_colours(first, SPAN)
    for a, b, colour in zip(x, first, colours, strict=False):
        if np.isfinite(b):
            kind = ' class="gradlab-muted"' if muted else f' fill="{to_hex(colour)}"'
            yield f'<circle cx="{a:.1f}" cy="{height(b):.1f}" r="{radius:.1f}"{kind}/>'


def layers_by_steps(history: History, measure: str) -> str:
    """Return the map of layers (upward) and steps (to the right, later ones closer together) as a data URL."""
    steps = np.unique(np.geomspace(1, len(history), COLUMNS).round().astype(int)) - 1
    cells = np.stack([relative(row_logs(history, measure, int(row))) for row in steps], axis=1)[::-1]
    picture = Image.fromarray((cell_colours(cells, SPAN)[..., :3] * 255).round().astype(np.uint8))
    out = io.BytesIO()
    picture.resize((COLUMNS * 6, max(96, 2 * len(cells))), Image.Resampling.NEAREST).save(out, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode('ascii')}"


def newest_finite(history: History, measure: str) -> int:
    """Return the newest row without an infinite value; the first where there is none."""
    if not np.isposinf(row_logs(history, measure, -1)).any():
        return len(history) - 1
    return last_finite(history, measure, -1) or 0


def relative(logs: np.ndarray) -> np.ndarray:
    """Return decades against the last layer that has a finite value."""
    finite = logs[np.isfinite(logs)]
    return logs - (finite[-1] if len(finite) else 0.0)


def height(decades: float) -> float:
    """Return where a value stands in a thumbnail; what is outside stands at its edge."""
    return HIGH / 2 - float(np.clip(decades / DECADES, -1, 1)) * (HIGH / 2 - EDGE)


# ---------------------------------------------------------------------- the lecture notebooks
def lectures(notebooks: Path, pictures: Path, stories: str) -> str:
    """Return the notebooks as cards, each with its last picture and its story.

    `stories` is the Markdown in whose table each notebook stands with its story.
    """
    pictures.mkdir(parents=True, exist_ok=True)
    told = dict(re.findall(r"/(\d\d_\w+)\.ipynb\) \| (.+?) \|$", stories, re.M))
    cards = []
    for path in sorted(notebooks.glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        title = "".join(cells[0]["source"]).splitlines()[0].removeprefix("# ")
        image = last_picture(cells)
        image.thumbnail((560, 560))
        image.save(pictures / f"{path.stem}.webp", quality=80)
        story = html.escape(told[path.stem].replace("`", ""))
        story = re.sub(rf"^{re.escape(title.split(' · ')[-1])}: ", "", story, flags=re.IGNORECASE)
        shown = f'<img src="_static/lectures/{path.stem}.webp" alt="" loading="lazy">'
        cards.append(
            f'<li><a href="notebooks/{path.stem}.html">{shown}'
            f"<strong>{html.escape(title)}</strong><span>{story[0].upper()}{story[1:]}</span></a></li>"
        )
    return f'<ul class="gradlab-cards gradlab-lectures">{"".join(cards)}</ul>'


def last_picture(cells: list[dict[str, Any]]) -> Image.Image:
    """Return the last picture among a notebook's outputs: the first shows a panel before it has played."""
    found = [
        o["data"]["image/png"] for cell in cells for o in cell.get("outputs", []) if "image/png" in o.get("data", {})
    ]
    return Image.open(io.BytesIO(base64.b64decode(found[-1]))).convert("RGB")
