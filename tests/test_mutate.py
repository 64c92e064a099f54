"""The table of planted faults keeps up with the code."""

import importlib.util
from pathlib import Path

spec = importlib.util.spec_from_file_location("mutate", Path(__file__).parent / "mutate.py")
mutate = importlib.util.module_from_spec(spec)
spec.loader.exec_module(mutate)


def test_every_fault_can_still_be_planted():
    assert mutate.misplaced() == []


def test_every_fault_names_tests_that_are_there():
    files = {test.split("::")[0] for fault in mutate.FAULTS for test in fault.tests.split()}
    assert [name for name in files if not (mutate.ROOT / "tests" / name).exists()] == []


def test_there_are_thirty_faults_with_names_of_their_own():
    names = [fault.name for fault in mutate.FAULTS]
    assert len(names) == len(set(names)) >= 30
