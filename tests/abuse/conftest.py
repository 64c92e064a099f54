"""How many abuses a test tries: what `python -m tests.abuse` adds up."""

import pytest
import refusals


@pytest.fixture(autouse=True)
def _counted(record_property):
    before = refusals.TRIED[0]
    yield
    record_property("abuses", max(refusals.TRIED[0] - before, 1))
