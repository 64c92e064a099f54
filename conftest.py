"""How ``pytest -n 2`` shares the tests out: a file stays whole, and the browser tests share one JupyterLab."""

from typing import Any

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put first what takes longest in one piece: the browser tests, then the notebooks."""
    items.sort(key=lambda item: not item.nodeid.startswith("tests/browser/"))


@pytest.hookimpl(optionalhook=True)  # nobody asks for it without pytest-xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Return a scheduler whose units are files, since module fixtures and a notebook's kernel belong to a file."""
    from xdist.scheduler import LoadFileScheduling

    class ByFile(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "tests/browser" if nodeid.startswith("tests/browser/") else super()._split_scope(nodeid)

    config.option.loadscopereorder = False  # in the order of the items, not by their number
    return ByFile(config, log)
