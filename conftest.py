"""How ``pytest -n 2`` shares the tests out, and what is asked of a notebook beside what nbval compares."""

import gc
import tempfile
from itertools import groupby
from typing import Any

import pytest
from nbval.plugin import IPyNbCell, IPyNbFile

SECONDS = 60  # of one core, the kernel's start included; measured on a busy one: 4 to 40


class WholeNotebook(pytest.Item):
    """What nbval doesn't look at, in the same run: that pictures are there, and no view of a widget; the time."""

    def __init__(self, cells: list[IPyNbCell], **other: Any) -> None:
        super().__init__(**other)
        self.cells = cells

    def runtest(self) -> None:
        """Compare with what is committed, and read the kernel's clock."""
        for cell in self.cells:
            assert kinds(cell.test_outputs) == kinds(cell.cell.outputs), cell.name
        assert float(ask(self.cells[0], "__import__('time').process_time()")) < SECONDS


def kinds(outputs: list[Any]) -> list[list[str]]:
    """Return the formats that each output of a cell comes in."""
    return [sorted(output.get("data", {})) for output in outputs]


def ask(cell: IPyNbCell, expression: str) -> str:
    """Return what the kernel that runs a cell finds for an expression, its notebook none the wiser."""
    client = cell.parent.kernel.kc
    reply = client.execute("", silent=True, user_expressions={"it": expression}, reply=True, timeout=60)
    return reply["content"]["user_expressions"]["it"]["data"]["text/plain"]


@pytest.hookimpl(trylast=True)  # the kernel has started
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let a notebook run where nothing else lies, as one that was downloaded may."""
    if isinstance(item, IPyNbCell) and item.cell_num == 0:
        alone = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)  # Windows keeps one that a process is in
        item.parent.addfinalizer(alone.cleanup)
        ask(item, f"__import__('os').chdir({alone.name!r})")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put first what takes longest in one piece, the browser tests, then the notebooks; end each with its whole."""
    found = []
    for parent, group in groupby(items, key=lambda item: item.parent):
        cells = list(group)
        found += cells
        if isinstance(parent, IPyNbFile) and len(cells) == sum(cell.cell_type == "code" for cell in parent.nb.cells):
            found.append(WholeNotebook.from_parent(parent, cells=cells, name="as a whole"))
    items[:] = sorted(found, key=lambda item: not item.nodeid.startswith("tests/browser/"))


def pytest_collection_finish() -> None:
    """Leave what was imported out of garbage collections: to look through it takes each a third of a second."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)  # nobody asks for it without pytest-xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Return a scheduler whose units are files, since module fixtures and a notebook's kernel belong to a file."""
    from xdist.scheduler import LoadFileScheduling

    class ByFile(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "tests/browser" if nodeid.startswith("tests/browser/") else super()._split_scope(nodeid)

    config.option.loadscopereorder = False  # in the order of the items, not by their number
    return ByFile(config, log)
