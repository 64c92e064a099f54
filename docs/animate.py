"""Make docs/explosion.webp, README's animation: an explosion, and the same network cured.

Two runs are trained and drawn by the stage of the live panel, in a Chromium whose clock moves only when a frame was
taken. Needs gradlab with its ``test`` extra and a Chromium; takes about a minute::

    python docs/animate.py [FILE]
"""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from gradlab import Config, Trainer
from gradlab.locale import Text
from gradlab.panel.description import verdict_words
from gradlab.plots import View
from gradlab.stage import Lane, PacketEncoder, Shown, stage_source, stage_words
from gradlab.stage.learned import LearnedLooks

WIDTH, HEIGHT = 1000, 560
FRAME = 90  # milliseconds of a frame in which something moves
MOST_BYTES = 2_000_000

EXPLODES = (
    "20 ReLU layers, gain 1.5: the gradient grows with every layer toward the input. One step, and it is beyond 1e30."
)
CURED = "The same network from the same seed at gain 1, He's initialisation: level in every layer, and it learns."

PAGE = """<!doctype html><meta charset="utf-8">
<style>body { margin: 0; } #stage { --gl-height: %dpx; }</style><div id="stage"></div>
<script type="module">%s
const { stage } = showRecord(document.getElementById("stage"), { look: %s, packets: [] });
window.give = (head, text, follows) => {
  stage.packet({ ...head, id: undefined }, bytes(text));
  if (!follows) stage.pulse = null; // too fast for an eye
};
</script>"""

Moment = tuple[Shown, int, int]  # what is shown, milliseconds that it moves, milliseconds that it then rests


def explosion(text: Text) -> Iterator[Moment]:
    """Yield the steps of a run that is over at once: each moves while the signal goes through the network."""
    yield from play(
        Config(depth=20, gain=1.5), 1, EXPLODES, [(0, 0, 700), (1, 270, 1500), (1, 810, 1700), (1, 810, 2200)], text
    )


def cure(text: Text) -> Iterator[Moment]:
    """Yield the steps of a run that learns, faster and faster."""
    faster = np.diff(np.unique(np.geomspace(8, 200, 36).round().astype(int)))
    pace = [
        (0, 0, 700),
        (1, 270, 900),
        (1, 810, 200),
        *[(1, 1, 120)] * 6,
        *[(int(n), 1, 0) for n in faster],
        (1, 1, 3600),
    ]
    yield from play(Config(depth=20, gain=1.0), 2, CURED, pace, text)


def play(config: Config, run: int, lesson: str, pace: list[tuple[int, int, int]], text: Text) -> Iterator[Moment]:
    """Train by a list of (steps, milliseconds that they move, milliseconds of rest) and yield what is shown."""
    trainer, looks = Trainer(config), LearnedLooks(text)
    call = f"GradLab(depth={config.depth}, gain={config.gain})"
    for steps, moves, rests in pace:
        trainer.run(steps)
        said = verdict_words(trainer.history, config, text)
        lane = Lane(trainer.history, verdict=said, learned=looks.look(trainer, True))
        view = View(measure="delta_norm", units=True, text=text)
        yield Shown(run, (lane,), view, lesson=lesson, status=f"{call}   step {len(trainer.history)}"), moves, rests


def frames(page: Page, moments: Iterator[Moment], encoder: PacketEncoder) -> Iterator[tuple[Image.Image, int]]:
    """Yield pictures and how long each stands."""
    for shown, moves, rests in moments:
        head, buffers = encoder.new(shown)
        page.evaluate("asked => window.give(...asked)", [head, base64.b64encode(buffers[0]).decode(), moves > FRAME])
        for left in range(moves, 0, -FRAME):
            page.clock.run_for(FRAME)
            yield picture(page), FRAME + (rests if left <= FRAME else 0)
        if not moves:
            page.clock.run_for(FRAME)
            yield picture(page), rests


def picture(page: Page) -> Image.Image:
    """Return what the page shows."""
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


def main(path: Path) -> None:
    """Write the animation."""
    text = Text("en")
    look: dict[str, Any] = {"theme": "light", "lang": "en", "words": stage_words(text)}
    look["hide"] = ["top", "time", "along"]
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium)
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.clock.install(time=0)
        page.set_content(PAGE % (HEIGHT, stage_source("recorded"), json.dumps(look)))
        page.wait_for_function("() => window.give")
        page.clock.pause_at(60_000)
        encoder, taken = PacketEncoder(), []
        for moments in (explosion(text), cure(text)):
            taken += frames(page, moments, encoder)
        browser.close()
    pictures, stands = zip(*taken, strict=True)
    how = {"save_all": True, "append_images": pictures[1:], "duration": list(stands), "loop": 0}
    pictures[0].save(path, format="WEBP", quality=78, method=6, allow_mixed=True, **how)
    size = path.stat().st_size
    sys.stdout.write(f"{path}: {len(pictures)} frames, {sum(stands) / 1000:.1f} s, {size / 1e6:.2f} MB\n")
    if size > MOST_BYTES:
        raise SystemExit(f"larger than {MOST_BYTES} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("explosion.webp"))
