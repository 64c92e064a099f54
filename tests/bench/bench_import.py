"""What `import gradlab` takes beside what it stands on: `python -m tests.bench.bench_import`.

Both sides find their bytecode compiled, as after the first import of an installed package; it lies in a throw-away
folder, so that it is also so where Python is told to write none.
"""

import os
import subprocess
import sys
import tempfile

from tests.bench import report

ROUNDS = 15
OURS, THEIRS = "import gradlab", "import torch, ipywidgets, matplotlib.figure"


def fresh(code, bytecode):
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": bytecode}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return lambda: subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def main(arguments=None):
    options = report.options(__doc__, arguments, rounds=ROUNDS)
    with tempfile.TemporaryDirectory() as bytecode:
        found = report.ratio(fresh(OURS, bytecode), fresh(THEIRS, bytecode), options.rounds, warmup=1)
    print(
        f"a fresh interpreter each, {options.rounds} rounds: {OURS} against {THEIRS}: {found} (wanted: 1.15 or less)"
    )
    report.save("bench_import", [{"what": OURS, "against": THEIRS, **found._asdict()}])


if __name__ == "__main__":
    main()
