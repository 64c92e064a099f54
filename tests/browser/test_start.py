"""The command `gradlab` in a real browser."""

import sys

import pytest
from lab_server import serve

from gradlab import cli

pytestmark = pytest.mark.browser


def test_the_command_gradlab_opens_the_start_notebook_it_has_laid_out(browser, tmp_path):
    source, target = tmp_path / "source", tmp_path / "my lecture"
    source.mkdir()
    (source / cli.START).write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    program = f"from gradlab import cli; cli.notebooks = lambda: cli.Path({str(source)!r}); cli.main()"
    with serve([sys.executable, "-c", program, str(target)]) as url:
        page = browser.new_page()
        page.goto(url)
        page.wait_for_function("() => window.jupyterapp?.shell?.currentWidget?.context?.path === '00_start.ipynb'")
        page.close()
    assert (target / cli.START).is_file()
