"""Open a panel in every front end there is, use it in Chromium, and print a table: `python -m tests.frontends`.

The front ends are installed in a throw-away virtual environment (the extra ``frontends``); with ``--env DIR`` it is
kept there for the next time. Where there is no network, a page is opened without one.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_raw_cell
from playwright.sync_api import sync_playwright

from tests.browser.lab_page import DROP_FINISHED
from tests.browser.lab_server import CHROMIUM_OPTIONS, require_chromium
from tests.frontends import environment

PANEL = "from gradlab import GradLab\nlab = GradLab(depth=4, width=16)\nlab"
RUN = "from gradlab import GradLab\nlab = GradLab(depth=4, width=16, replay={replay})\nlab.run(12)\nlab"
SECONDS = 4
MARIMO = """import marimo
app = marimo.App()

@app.cell
def _():
    from gradlab import GradLab
    lab = GradLab(depth=4, width=16)
    lab
    return
"""
SOLARA = """import solara
from gradlab import GradLab


@solara.component
def Page():
    solara.display(solara.use_memo(lambda: GradLab(depth=4, width=16), []))
"""
VSCODE = "() => { document.body.removeAttribute('data-jp-theme-light'); document.body.classList.add('vscode-dark'); }"
FRONTS = {}


def front(name, distribution):
    """Register how a front end is opened; what it returns is a row's middle."""

    def keep(function):
        FRONTS[name] = (distribution, function)
        return function

    return keep


class Desk:
    """What a driver works with: the environment's Python, a browser, an empty folder."""

    def __init__(self, python, browser, home):
        self.python, self.browser, self.home = python, browser, home

    def page(self, url, offline=False):
        context = self.browser.new_context(viewport={"width": 1400, "height": 1000}, offline=offline)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.goto(url)
        return page

    def notebook(self, *cells, title=None):
        path = self.home / "panel.ipynb"
        spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        title = title or new_markdown_cell("# A panel")
        nbformat.write(new_notebook(cells=[title, *map(new_code_cell, cells)], metadata={"kernelspec": spec}), path)
        return path

    def run(self, *command):
        subprocess.run(
            [self.python, "-m", *map(str, command)],
            cwd=self.home, env=environment.surroundings(self.home), check=True, capture_output=True, text=True,
        )  # fmt: skip


def use(page):
    """Play for a while, pause, and move a knob where there is one; return what was seen."""
    page.locator(".gl-stage").first.wait_for()
    page.locator(".gl-status:not(:empty)").first.wait_for()
    page.locator(".gl-play").first.click()
    page.wait_for_timeout(1000)  # the first step takes longer, on a busy machine much longer
    for _ in range(30):
        if (start := step(page)) < 1:
            page.wait_for_timeout(1000)
    page.wait_for_timeout(1000 * SECONDS)
    page.locator(".gl-play").first.click()
    page.wait_for_timeout(500)
    steps = step(page) - max(start, 0)
    depth = page.locator(".gradlab-knob .gradlab-number input").first
    moved = "from code"
    if depth.count():
        depth.fill("7")
        depth.press("Enter")
        page.wait_for_timeout(1500)
        moved = "yes" if step(page) <= 0 else "NO"
    return f"{steps} steps in {SECONDS} s" if steps > SECONDS else f"NO: {steps} steps", moved


def step(page):
    return int(page.locator(".gl-track").first.get_attribute("aria-valuemax") or -1)


# ---------------------------------------------------------------------- front ends with a kernel
def jupyter(desk, module, path, run, prepare="() => {}"):
    """Open a notebook in a Jupyter server's page, run it, and use the panel."""
    desk.notebook(PANEL)
    command = [desk.python, "-m", module, "--no-browser", "--allow-root", "--ip=127.0.0.1", "--port={port}"]
    command += ["--IdentityProvider.token=", "--ServerApp.disable_check_xsrf=True"]
    command += [] if module == "nbclassic" else ["--expose-app-in-browser"]
    with environment.server(command, desk.home, path) as url:
        page = desk.page(url)
        page.wait_for_function(f"() => {run[0]}")
        page.evaluate(f"async () => {{ {run[1]} }}")
        page.locator(".gl-stage").first.wait_for()
        page.evaluate(prepare)
        return page, use(page)


APP = (
    "window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'",
    "await window.jupyterapp.commands.execute('notebook:run-all-cells');",
)


@front("JupyterLab", "jupyterlab")
def jupyterlab(desk):
    return jupyter(desk, "jupyterlab", "/lab/tree/panel.ipynb", APP)[1]


@front("Notebook 7", "notebook")
def notebook(desk):
    return jupyter(desk, "notebook", "/notebooks/panel.ipynb", APP)[1]


@front("nbclassic", "nbclassic")
def nbclassic(desk):
    # a widget that comes while the page still asks a new kernel for those that it had is lost
    kernel = "window.Jupyter?.notebook?.kernel"
    ready = f"{kernel}?.widget_manager && {kernel}.info_reply?.protocol_version"
    ready = f"{ready} && performance.now() > (window.readySince ??= performance.now()) + 5000"
    run = (ready, "Jupyter.notebook.execute_all_cells();")
    return jupyter(desk, "nbclassic", "/nbclassic/notebooks/panel.ipynb", run)[1]


@front("Colab, emulated: messages of finished requests are dropped", "jupyterlab")
def colab(desk):
    page, seen = jupyter(desk, "jupyterlab", "/lab/tree/panel.ipynb", APP, DROP_FINISHED)
    return (*seen, f"{page.evaluate('window.dropped')} messages dropped")


@front("VS Code, emulated: its classes and no JupyterLab theme", "jupyterlab")
def vscode(desk):
    page, seen = jupyter(desk, "jupyterlab", "/lab/tree/panel.ipynb", APP, VSCODE)
    return (*seen, f"stage {page.locator('.gl-stage').first.get_attribute('data-theme')}")


@front("Voila", "voila")
def voila(desk):
    command = [desk.python, "-m", "voila", desk.notebook(PANEL), "--no-browser", "--port={port}"]
    with environment.server(command, desk.home) as url:
        return use(desk.page(url))


@front("Solara", "solara")
def solara(desk):
    (desk.home / "app.py").write_text(SOLARA)
    command = [
        desk.python,
        "-m",
        "solara",
        "run",
        "app.py",
        "--host=127.0.0.1",
        "--port={port}",
        "--no-open",
        "--production",
    ]
    with environment.server(command, desk.home) as url:
        return use(desk.page(url))


@front("marimo", "marimo")
def marimo(desk):
    (desk.home / "app.py").write_text(MARIMO)
    command = [desk.python, "-m", "marimo", "run", "app.py", "--headless", "--port={port}", "--no-token"]
    with environment.server(command, desk.home) as url:
        return (*use(desk.page(url)), "the stage alone")


# ---------------------------------------------------------------------- pages without a kernel
def exported(desk, path):
    """Look at a page that was made from an executed notebook, offline: a picture, and a replay that plays."""
    page = desk.page(path.as_uri(), offline=True)
    picture = page.locator("img[src^='data:image/png'], .nboutput img, .cell_output img").first
    wide = picture.evaluate("e => e.complete && e.naturalWidth") if picture.count() else 0
    frame = page.frame_locator("iframe")
    frame.get_by_role("radio", name="max", exact=True).click()
    frame.locator(".gl-play").click()
    page.wait_for_timeout(1500)
    played = int(frame.locator(".gl-track").get_attribute("aria-valuemax"))
    return f"the replay, {played + 1} steps", "without a kernel", "the picture" if wide > 500 else "NO picture"


@front("HTML by nbconvert, offline", "nbconvert")
def nbconvert(desk):
    path = desk.notebook(*(RUN.format(replay=replay) for replay in (False, True)))
    desk.run("nbconvert", "--to=html", "--execute", path)
    return exported(desk, path.with_suffix(".html"))


def sphinx(desk, conf, title=None):
    path = desk.notebook(*(RUN.format(replay=replay) for replay in (False, True)), title=title)
    (desk.home / "conf.py").write_text(conf)
    desk.run("sphinx", "-q", "-b", "html", "-D", f"root_doc={path.stem}", ".", "out")
    return exported(desk, desk.home / "out" / "panel.html")


@front("HTML by MyST-NB, offline", "myst-nb")
def myst_nb(desk):
    return sphinx(desk, "extensions = ['myst_nb']\nnb_execution_timeout = 300\n")


@front("HTML by nbsphinx, offline", "nbsphinx")
def nbsphinx(desk):
    # reStructuredText, for which no pandoc is needed
    title = new_raw_cell("A panel\n=======", metadata={"raw_mimetype": "text/restructuredtext"})
    return sphinx(desk, "extensions = ['nbsphinx']\nnbsphinx_timeout = 300\n", title)


# ---------------------------------------------------------------------- the table
def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--env", type=Path, help="where the environment is kept")
    parser.add_argument("--only", nargs="+", default=[], help="parts of names")
    parser.add_argument("--shots", type=Path, help="where to keep a picture of each")
    options = parser.parse_args()
    chromium = require_chromium(os.environ)
    names = [
        name for name in FRONTS if not options.only or any(part.lower() in name.lower() for part in options.only)
    ]
    failed = False
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as own, sync_playwright() as playwright:
        python = environment.make(options.env or Path(own) / "env")
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_OPTIONS)
        print("| front end | version | plays | a knob moves | and |\n|---|---|---|---|---|", flush=True)
        for i, name in enumerate(names):
            distribution, drive = FRONTS[name]
            home = Path(own) / str(i)
            home.mkdir()
            try:
                row = drive(Desk(python, browser, home))
            except Exception as error:
                if isinstance(error, subprocess.CalledProcessError):
                    print(error.stderr[-2000:], file=sys.stderr)
                traceback.print_exc()
                row = (f"NO: {type(error).__name__}",)
            for page in [page for context in browser.contexts for page in context.pages]:
                if options.shots:
                    options.shots.mkdir(parents=True, exist_ok=True)
                    page.screenshot(path=options.shots / f"{i}-{distribution}.png")
                page.context.close()
            failed |= any(cell.startswith("NO") for cell in row)
            cells = [name, environment.version(python, distribution), *row, *[""] * (3 - len(row))]
            print(f"| {' | '.join(cells)} |", flush=True)
            shutil.rmtree(home, ignore_errors=True)
        browser.close()
    sys.exit(failed)


if __name__ == "__main__":
    main()
