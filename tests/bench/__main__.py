"""Run every benchmark, one after the other: `python -m tests.bench [--quick] [--only NAME ...]`.

A benchmark is a module ``tests/bench/bench_*.py`` with ``main(arguments: list[str] | None)``. Each runs in an
own process, so that none slows the next one down.
"""

import argparse
import subprocess
import sys
from pathlib import Path


def names():
    return sorted(path.stem for path in Path(__file__).parent.glob("bench_*.py"))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds: a first impression")
    parser.add_argument("--only", nargs="+", choices=names(), default=names(), metavar="NAME")
    options = parser.parse_args(arguments)
    failed = []
    for name in options.only:
        print(f"\n--- {name}", flush=True)
        command = [sys.executable, "-m", f"tests.bench.{name}", *(["--quick"] if options.quick else [])]
        if subprocess.run(command).returncode:
            failed.append(name)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
