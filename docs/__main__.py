"""``python -m docs [FOLDER]``: build the documentation site; a warning is an error."""

from __future__ import annotations

import sys
from pathlib import Path

from sphinx.cmd.build import main

HERE = Path(__file__).parent

if __name__ == "__main__":
    out = sys.argv[1] if len(sys.argv) > 1 else str(HERE / "_build")
    raise SystemExit(main(["--fail-on-warning", "--keep-going", "--quiet", str(HERE), out]))
