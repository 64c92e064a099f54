"""Point the Binder badges of a fork at the fork: `python binder/badge.py OWNER/REPO`, and commit what changed."""

import re
import sys
from pathlib import Path

PLACE = re.compile(r"(?<=mybinder\.org/v2/gh/)[\w.-]+/[\w.-]+(?=/HEAD)")


def fill(root: Path, place: str) -> list[str]:
    """Write OWNER/REPO into every badge below a directory and return the files that changed, by name."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", place):
        raise ValueError(f"{place!r}; expected OWNER/REPO")
    changed = []
    for path in sorted([*root.glob("*.md"), *root.glob("notebooks/*.ipynb"), *root.glob("docs/guide/*.md")]):
        text = path.read_text(encoding="utf-8")
        if (filled := PLACE.sub(place, text)) != text:
            path.write_text(filled, encoding="utf-8")
            changed.append(path.name)
    return changed


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.stdout.write("\n".join(fill(Path(__file__).parents[1], sys.argv[1])) + "\n")
