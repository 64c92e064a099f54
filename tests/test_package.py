"""What the package says of itself: its address, once it has one, and what an index shows."""

import re
import runpy
import shutil
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ADDRESS = runpy.run_path(str(ROOT / "docs" / "address.py"))
current, fill = ADDRESS["current"], ADDRESS["fill"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture
def copied(tmp_path):
    """A copy of what the address is filled into."""
    for name in ("pyproject.toml", "README.md", "docs/guide/lecturer.md", "notebooks/00_start.ipynb"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, tmp_path / name)
    return tmp_path


def test_one_command_fills_the_address_in_and_moves_it(copied):
    for url, owner in (("https://github.com/someone/lab.git", "someone"), ("https://github.com/other/lab2", "other")):
        changed = {path.name for path in fill(url, copied)}
        assert {"pyproject.toml", "README.md", "00_start.ipynb"} <= changed
        name = current(copied)[1]
        assert current(copied)[0] == owner
        texts = [path.read_text(encoding="utf-8") for path in copied.rglob("*.*") if path.is_file()]
        assert not any("ORG/REPO" in text or "ORG.github" in text for text in texts)
        readme = (copied / "README.md").read_text(encoding="utf-8")
        assert f"(https://mybinder.org/v2/gh/{owner}/{name}/HEAD?urlpath=lab/tree/notebooks/00_start.ipynb)" in readme
    assert fill("https://github.com/other/lab2", copied) == []


@pytest.mark.parametrize("url", ["", "ORG/REPO", "https://example.org/a/b", "https://github.com/only"])
def test_another_address_than_githubs_is_refused(copied, url):
    with pytest.raises(ValueError, match=r"expected https://github.com/OWNER/NAME"):
        fill(url, copied)


def test_on_an_index_every_link_and_picture_of_readme_leads_somewhere():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for rule in PROJECT["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]:
        text = re.sub(rule["pattern"], rule["replacement"], text)
    targets = re.findall(r"\]\(([^)]+)\)", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))
    assert len(targets) > 10
    assert [target for target in targets if not target.startswith(("https://", "#"))] == []
