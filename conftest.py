"""How ``pytest -n 2`` shares the tests out: a file stays whole, and the browser tests share one JupyterLab."""

from typing import Any

import pytest


@pytest.hookimpl(optionalhook=True)  # nobody asks for it without pytest-xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Return a scheduler whose units are files, since module fixtures and a notebook's kernel belong to a file."""
    from xdist.scheduler import LoadFileScheduling

    class ByFile(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "tests/browser" if nodeid.startswith("tests/browser/") else super()._split_scope(nodeid)

    config.option.loadscopereorder = False  # as collected: what takes longest, notebooks and browser, comes first
    return ByFile(config, log)
