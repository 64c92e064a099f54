"""What `import gradlab` takes beside what it stands on: `python -m tests.bench.bench_import`."""

import subprocess
import sys

from tests.bench import report

ROUNDS = 15
OURS, THEIRS = "import gradlab", "import torch, ipywidgets, matplotlib.figure"


def fresh(code):
    return lambda: subprocess.run([sys.executable, "-c", code], check=True)


def main(arguments=None):
    options = report.options(__doc__, arguments, rounds=ROUNDS)
    found = report.ratio(fresh(OURS), fresh(THEIRS), options.rounds, warmup=1)
    print(
        f"a fresh interpreter each, {options.rounds} rounds: {OURS} against {THEIRS}: {found} (wanted: 1.15 or less)"
    )
    report.save("bench_import", [{"what": OURS, "against": THEIRS, **found._asdict()}])


if __name__ == "__main__":
    main()
