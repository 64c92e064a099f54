"""How the documentation site is built: ``python -m docs``, or ``sphinx-build -W docs docs/_build``.

Nothing is fetched while it is built or read: system fonts, formulas as MathML, no script from elsewhere.
"""

from __future__ import annotations

import inspect
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst.directives import flag
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path.insert(0, str(HERE))

import gallery  # noqa: E402  (docs/gallery.py)

import gradlab  # noqa: E402
from gradlab.registry import Registry  # noqa: E402

project = "gradlab"
author = "The gradlab authors"
copyright = "The gradlab authors, MIT licence"
version = release = gradlab.__version__
language = "en"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "gradlab"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = [("page.js", {"defer": "defer"})]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": False, "top_of_page_buttons": []}
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"

default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_param = False  # names that share a line of a docstring share one here
napoleon_custom_sections = [("Attributes", "params_style")]
napoleon_use_rtype = False

nb_execution_mode = "off"  # the notebooks stand as they are committed; a test compares what they say
nb_ipywidgets_js = {}
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]
nb_merge_streams = True
myst_enable_extensions = ["amsmath", "attrs_block", "dollarmath"]
myst_heading_anchors = 3
html_math_renderer = "mathml"


def make_pages(app: Sphinx) -> None:
    """Train the presets, write their pages, and lay the notebooks beside them."""
    gallery.write(HERE / "gallery", Path(app.outdir) / "_static", app.config.gradlab_steps)
    notebooks = HERE / "notebooks"
    notebooks.mkdir(exist_ok=True)
    for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
        (notebooks / notebook.name).write_text(notebook_page(notebook), encoding="utf-8")
    shutil.copy2(ROOT / "notebooks" / "glossary.md", notebooks)
    shutil.copy2(ROOT / "CHANGELOG.md", HERE / "changes.md")


def notebook_page(path: Path) -> str:
    """Return a notebook as the site shows it: one title, its file to download, and no picture from the network."""
    notebook, titles = json.loads(path.read_text(encoding="utf-8")), 0
    for cell in notebook["cells"]:
        if cell["cell_type"] != "markdown":
            continue
        text = "".join(cell["source"])
        text = re.sub(r"!\[([^]]*)\]\(https://mybinder\.org/badge_logo\.svg\)", r"\1", text)
        text = text.replace(f"[{path.name}]({path.name})", f"{{download}}`{path.name}`")
        cell["source"] = re.sub(r"^# ", "## ", text, flags=re.M) if titles else text
        titles += bool(re.search(r"^# ", text, re.M))
    return json.dumps(notebook)


def adapt_links(app: Sphinx, name: str, source: list[str]) -> None:
    """Let links to what lies outside ``docs`` lead to its page here, and put the tables where they belong."""
    text = source[0].replace("](../../notebooks/", "](../notebooks/")
    source[0] = re.sub(r"<!-- table: (\w+) -->", lambda found: table(found[1]), text)


def table(name: str) -> str:
    """Return a table of names as Markdown."""
    entries: Registry = getattr(gradlab, name)
    return entries.table()


class StageDirective(SphinxDirective):
    """``{gradlab-stage} NAME``: the stage, on which a recorded run plays; with ``:loop:`` again and again."""

    required_arguments = 1
    option_spec = {"loop": flag}  # noqa: RUF012  (as docutils wants it)

    def run(self) -> list[nodes.Node]:
        """Return the place of the stage."""
        up = "../" * self.env.docname.count("/")
        return [nodes.raw("", gallery.place(self.arguments[0], up, "loop" in self.options), format="html")]


def escape_bars(app: Sphinx, kind: str, name: str, it: object, options: object, lines: list[str]) -> None:
    """Let ``|x|`` in a docstring be the size of x, and no substitution."""
    lines[:] = [re.sub(r"\|(\S(?:[^|`]*\S)?)\|", r"\|\1\|", line) for line in lines]


def leave_out(app: Sphinx, kind: str, name: str, it: object, skip: bool, options: object) -> bool | None:
    """Leave out the fields of a named tuple, of which Python says that they are aliases of numbers."""
    return True if (getattr(it, "__doc__", None) or "").startswith("Alias for field number") else None


def own_signature(app: Sphinx, kind: str, name: str, it: Any, options: object, *said: str) -> tuple[str, str] | None:
    """Show what a class's own ``__init__`` takes where a metaclass says only ``*args, **kwargs``."""
    if kind != "class" or not (said[0] or "").startswith("(*args"):
        return None
    signature = inspect.signature(it.__init__)
    own = [p for p in signature.parameters.values() if p.name != "self"]
    return str(signature.replace(parameters=own, return_annotation=inspect.Signature.empty)).replace("'", ""), ""


class LecturesDirective(SphinxDirective):
    """``{gradlab-lectures}``: the lecture notebooks as cards."""

    def run(self) -> list[nodes.Node]:
        """Return the cards."""
        pictures = Path(self.env.app.outdir) / "_static" / "lectures"
        stories = (HERE / "guide" / "lecturer.md").read_text(encoding="utf-8")
        return [nodes.raw("", gallery.lectures(ROOT / "notebooks", pictures, stories), format="html")]


# ---------------------------------------------------------------------- formulas
TEX = (  # what MathJax understands and docutils does not
    (r"\\[Bb]igg?[lr]?(?![a-zA-Z])", ""),
    (r"\\dots(?![a-zA-Z])", r"\\ldots"),
    (r"\\([td]?frac)(\d)(\d)", r"\\\1{\2}{\3}"),
    ("°", r"^{\\circ}"),
    (r"(\\text\{[^}]*?)\\_", r"\1_"),
)


def mathml(node: nodes.Node, as_block: bool) -> str:
    """Return a formula as MathML, which browsers show without a script or a font of its own."""
    tex = node.astext()
    for theirs, ours in TEX:
        tex = re.sub(theirs, ours, tex)
    try:
        return tex2mathml(tex, as_block=as_block)
    except MathError as error:
        logging.getLogger(__name__).warning("formula %s: %s", node.astext(), error, location=node)
        return ""


def visit_math(self: Any, node: nodes.math) -> None:
    """Write a formula within a line as MathML."""
    self.body.append(mathml(node, as_block=False))
    raise nodes.SkipNode


def visit_math_block(self: Any, node: nodes.math_block) -> None:
    """Write a formula on lines of its own as MathML."""
    self.body.append(f'<div class="math">{mathml(node, as_block=True)}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Hang the pages that are made here into Sphinx."""
    app.add_config_value("gradlab_steps", 300, "env", int)
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    app.add_directive("gradlab-stage", StageDirective)
    app.add_directive("gradlab-lectures", LecturesDirective)
    app.connect("builder-inited", make_pages)
    app.connect("source-read", adapt_links)
    app.connect("autodoc-process-docstring", escape_bars)
    app.connect("autodoc-skip-member", leave_out)
    app.connect("autodoc-process-signature", own_signature)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
