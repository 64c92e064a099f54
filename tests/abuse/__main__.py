"""Try every abuse and count those that fall short: `python -m tests.abuse [--quick]`.

An abuse is one thing given that should be refused or survived. It falls short if it crashes without naming the field,
the value and what is accepted, if it hangs, loses state, or gives wrong numbers without a word.
"""

import argparse
import os
import sys
from collections import Counter
from pathlib import Path

import pytest

HERE = Path(__file__).parent


class Count:
    """Counts the abuses of each group, and those that fall short; the groups are the files."""

    def __init__(self) -> None:
        self.tried, self.short = Counter[str](), Counter[str]()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        group = Path(report.fspath).stem.removeprefix("test_").replace("_", " ")
        if report.when == "teardown":
            self.tried[group] += dict(report.user_properties).get("abuses", 1)
        self.short[group] += report.failed

    def table(self) -> str:
        rows = [*self.tried, "total"]
        self.tried["total"], self.short["total"] = self.tried.total(), self.short.total()
        return "\n".join(f"{group:24} tried {self.tried[group]:5}, short {self.short[group]:3}" for group in rows)


def main(arguments: list[str] | None = None) -> int:
    """Print the table and return 1 if anything fell short."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="as many as the tests of every day try")
    options, more = parser.parse_known_args(arguments)
    if not options.quick:
        os.environ["GRADLAB_ABUSES"] = "all"
    count = Count()
    pytest.main([str(HERE), "-q", "--tb=line", "--no-header", "-p", "no:cacheprovider", *more], plugins=[count])
    print(count.table())
    return int(count.short["total"] > 0 or count.tried["total"] == 0)


if __name__ == "__main__":
    sys.exit(main())
