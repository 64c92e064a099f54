"""The documentation site: built without a warning, every page opened in a real browser without a network."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from lab_server import CHROMIUM_OPTIONS, require_chromium
from panel_page import violations
from playwright.sync_api import expect, sync_playwright

import gradlab

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[1]
MOST_BYTES = 1_000_000  # of a page of the gallery, with all that it loads
OF_EACH_KIND = ("index", "gallery/index", "gallery/kaiming", "guide/grader", "notebooks/00_start", "reference/tables")
NO_CONTRAST = {"rules": {"color-contrast": {"enabled": False}}}  # takes most of the time: on a page of each kind


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=require_chromium(os.environ), args=CHROMIUM_OPTIONS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built with runs of a few steps from a copy, so that nothing is written beside the sources."""
    top = tmp_path_factory.mktemp("site")
    for name in ("docs", "notebooks"):
        left_out = shutil.ignore_patterns("_build", "gallery", "notebooks", "__pycache__", "*.webp")
        shutil.copytree(ROOT / name, top / name, ignore=left_out)
    shutil.copy2(ROOT / "CHANGELOG.md", top)
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--quiet", "-D", "gradlab_steps=3"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    built = subprocess.run([*command, "docs", "built"], cwd=top, env=environment, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    return top / "built"


@pytest.fixture
def open_page(browser, site):
    """Open pages in one tab; none may complain, fail to load a file, or ask for one that is not its own."""
    complaints, loaded = [], set()
    context = browser.new_context(viewport={"width": 1280, "height": 768}, offline=True)
    page = context.new_page()
    page.set_default_timeout(15_000)
    page.on("console", lambda message: complaints.append((page.url, message.text)))
    page.on("pageerror", lambda error: complaints.append((page.url, str(error))))
    page.on("requestfailed", lambda request: complaints.append((page.url, request.url)))
    page.on("request", lambda request: loaded.add(request.url))

    def go(path):
        loaded.clear()
        page.goto(path.as_uri())
        return page, loaded

    yield go
    context.close()
    assert complaints == []


def size(url):
    parts = urlsplit(url)
    assert parts.scheme in ("file", "data", "blob"), url
    return Path(unquote(parts.path)).stat().st_size if parts.scheme == "file" else 0


def test_every_page_opens_without_a_network_and_none_of_the_gallery_is_heavy(site, open_page):
    pages = sorted(site.rglob("*.html"))
    assert {f"{name}.html" for name in gradlab.PRESETS} <= {path.name for path in pages}
    for path in pages:
        page, loaded = open_page(path)
        bytes_loaded = sum(map(size, loaded))
        if path.parent.name == "gallery":
            assert bytes_loaded < MOST_BYTES, path.name
            for link in page.get_by_role("link", name="Open it in the lab").all():
                opens = path.parent / link.get_attribute("href")
                assert f'preset=\\"{path.stem}\\"' in opens.read_text(), path.name
        else:  # the gallery's are of one make, and two of them are looked at below
            assert violations(page, None, **NO_CONTRAST) == [], path.name
        assert page.locator("h1").count() == 1, path.name
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path.name
        for stage in page.locator(".gradlab-replay").all():
            expect(stage.locator("canvas").first).to_be_visible()


@pytest.mark.parametrize(("theme", "rules"), [("light", {}), ("dark", {"runOnly": ["color-contrast"]})])
def test_axe_finds_nothing_on_a_page_of_each_kind_whatever_its_theme(site, open_page, theme, rules):
    for name in OF_EACH_KIND:
        page, _ = open_page(site / f"{name}.html")
        page.evaluate("theme => { document.body.dataset.theme = theme; }", theme)
        assert violations(page, None, **rules) == [], name


def test_a_recorded_cure_plays_scrubs_and_is_pointed_at_beside_its_failure(site, open_page):
    page, _ = open_page(site / "gallery" / "kaiming.html")
    stage = page.locator(".gl-stage")
    expect(stage).to_contain_text(gradlab.PRESETS.entry("kaiming").summary)
    slider = page.get_by_role("slider", name="Step shown")
    expect(slider).to_have_attribute("aria-valuenow", "2")  # it began by itself
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
    slider.press("ArrowLeft")
    expect(slider).to_have_attribute("aria-valuenow", "1")
    expect(stage.locator(".gl-verdict")).to_have_count(2)
    box = stage.locator("canvas").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.45)
    expect(stage.locator(".gl-cursor")).to_contain_text("layer")


def test_the_longest_recorded_run_leaves_its_page_room(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    import gallery

    run = gallery.of_preset("clipping_cannot_cure_vanishing", 300)
    heads = len(str([head for head, _ in run.packets]))
    assert heads + sum(len(text) for _, text in run.packets) < gallery.MOST_BYTES


def test_every_public_name_has_its_place_in_the_reference(site):
    inventory = subprocess.run(
        [sys.executable, "-m", "sphinx.ext.intersphinx", str(site / "objects.inv")], capture_output=True, text=True
    ).stdout
    known = {word.rsplit(".", 1)[-1] for line in inventory.splitlines() for word in line.split()[:1]}
    assert set(gradlab.__all__) <= known
