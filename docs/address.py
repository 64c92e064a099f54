"""Say where this repository lives: ``python -m docs.address https://github.com/OWNER/NAME``.

Fills the address into ``pyproject.toml``, README, the guides and the notebooks' Binder badges; run again, it moves
them to another. Until then they say ORG/REPO.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILES = (
    "pyproject.toml",
    "README.md",
    "docs/**/*.md",
    "notebooks/*.ipynb",
    "tests/test_notebooks.py",
    "tests/browser/*.py",
)
BADGE = "[![Launch on Binder](https://mybinder.org/badge_logo.svg)]"
ASKS = re.compile(rf"{re.escape(BADGE)}\(https://mybinder\.org\)\n(?:.+\n)+")
OPENS = f"{BADGE}(https://mybinder.org/v2/gh/ORG/REPO/HEAD?urlpath=lab/tree/notebooks/00_start.ipynb)\n"


def current(root: Path) -> tuple[str, str]:
    """Return owner and name of the repository as ``pyproject.toml`` has them."""
    found = re.search(
        r'^Repository = "https://github\.com/([^/"]+)/([^/"]+)"$', (root / "pyproject.toml").read_text(), re.M
    )
    if found is None:
        raise ValueError("pyproject.toml has no Repository under [project.urls]")
    return found[1], found[2]


def fill(url: str, root: Path = ROOT) -> list[Path]:
    """Put the address everywhere, and return the files that changed.

    Raises
    ------
    ValueError
        If `url` is not the address of a repository on GitHub, which Binder, Pages and the badges count on.
    """
    given = re.fullmatch(r"https://github\.com/([\w.-]+)/([\w.-]+?)(?:\.git)?/?", url)
    if given is None:
        raise ValueError(f"{url!r}; expected https://github.com/OWNER/NAME")
    (old_owner, old_name), (owner, name) = current(root), given.groups()
    changed = []
    for path in (path for pattern in FILES for path in sorted(root.glob(pattern))):
        text = path.read_text(encoding="utf-8")
        new = (
            ASKS.sub(OPENS.replace("ORG/REPO", f"{old_owner}/{old_name}"), text) if path.name == "README.md" else text
        )
        new = new.replace(f"{old_owner}/{old_name}", f"{owner}/{name}")
        new = new.replace(f"{old_owner}.github.io/{old_name}", f"{owner}.github.io/{name}")
        if new != text:
            path.write_text(new, encoding="utf-8")
            changed.append(path)
    return changed


if __name__ == "__main__":
    try:
        (address,) = sys.argv[1:]
        for file in fill(address):
            sys.stdout.write(f"{file.relative_to(ROOT)}\n")
    except ValueError as error:
        sys.exit(str(error))
