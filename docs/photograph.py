"""Make docs/panel.png, README's picture of the panel: a cure beside its failure, in a real JupyterLab.

Needs gradlab with its ``test`` extra and a Chromium; takes less than a minute::

    python docs/photograph.py [FILE]
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "browser"))

from lab_page import LabPage  # noqa: E402  (tests/browser)
from lab_server import CHROMIUM_OPTIONS, require_chromium, serve  # noqa: E402

CELL = 'from gradlab import GradLab\nlab = GradLab(preset="kaiming")\nlab.run(160)\nlab'
SIZE = {"width": 1366, "height": 900}


def main(path: Path) -> None:
    """Write the picture."""
    with contextlib.ExitStack() as stack:
        root = stack.enter_context(tempfile.TemporaryDirectory())
        playwright = stack.enter_context(sync_playwright())
        url = stack.enter_context(serve([sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={root}"]))
        browser = playwright.chromium.launch(executable_path=require_chromium(os.environ), args=CHROMIUM_OPTIONS)
        lab = LabPage(browser.new_page(viewport=SIZE), url, Path(root), Path(root))
        lab.open(lab.write("panel.ipynb", CELL))
        lab.command("application:toggle-left-area")
        if not lab.run_all():
            raise SystemExit(f"the cell failed: {lab.errors()}")
        panel = lab.notebook.locator(".gradlab").first
        panel.scroll_into_view_if_needed()
        lab.page.wait_for_timeout(2000)  # what it has learned follows the curves
        taken = Image.open(io.BytesIO(panel.screenshot())).convert("RGB")
        browser.close()
    taken.quantize(256).save(path, "PNG", optimize=True)
    sys.stdout.write(f"{path}: {taken.width} x {taken.height}, {path.stat().st_size} bytes\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("panel.png"))
