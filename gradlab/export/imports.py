"""Import statements of a script, and what may be imported rather than copied."""

from __future__ import annotations

import inspect
import site
import sys
import sysconfig
from types import ModuleType
from typing import Any

from gradlab.export.surgery import PieceError

# the names under which a script knows the modules that it imports itself
USUAL = {"copy": "copy", "math": "math", "torch": "torch", "nn": "torch.nn", "F": "torch.nn.functional"}


class Imports:
    """The import statements a script needs, merged and sorted."""

    def __init__(self) -> None:
        self._plain: set[str] = set()
        self._members: dict[str, set[str]] = {}

    def need(self, *names: str) -> None:
        """Import modules of `USUAL` by their names there."""
        for name in names:
            self.module(USUAL[name], name)

    def module(self, module: str, alias: str) -> None:
        """Import the module of that dotted name under an alias."""
        parent, _, last = module.rpartition(".")
        if parent:
            self.member_of(parent, last, alias)
        else:
            self._plain.add(f"import {last}" if last == alias else f"import {last} as {alias}")

    def member_of(self, module: str, member: str, alias: str = "") -> None:
        """Import a member of a module, under an alias if there is one."""
        self._members.setdefault(module, set()).add(member if alias in ("", member) else f"{member} as {alias}")

    def member(self, value: Any, alias: str) -> None:
        """Import a function or class under a name.

        Raises
        ------
        PieceError
            If it is not to be found in its module.
        """
        name = getattr(value, "__name__", "")
        for module in (getattr(value, "__module__", None), "torch", "torch.nn.functional", "math"):
            if module and getattr(sys.modules.get(module), name, None) is value:
                self.member_of(module, name, alias)
                return
        raise PieceError(f"it uses {alias!r}, which cannot be imported")

    def text(self) -> str:
        """Return the statements: the standard library first, then the rest."""
        lines = [(line.split()[1], 0, line) for line in self._plain]
        lines += [
            (module, 1, f"from {module} import {', '.join(sorted(members, key=str.lower))}")
            for module, members in self._members.items()
        ]
        standard = [line for line in lines if line[0].split(".")[0] in sys.stdlib_module_names]
        others = [line for line in lines if line not in standard]
        groups = [
            "\n".join(line for _, _, line in sorted(group, key=lambda item: (item[1], item[0])))
            for group in (standard, others)
        ]
        return "\n\n".join(group for group in groups if group)


def is_own(value: Any) -> bool:
    """Whether `value` is gradlab's or the user's own, so that a script must carry a copy of it."""
    name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
    if not name or name.split(".")[0] in sys.stdlib_module_names - {"__main__"}:
        return False
    if name.split(".")[0] in ("gradlab", "__main__"):
        return True
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None) or _file_of(value)
    paths = sysconfig.get_paths()
    roots = (paths["purelib"], paths["platlib"], *site.getsitepackages(), site.getusersitepackages())
    return file is not None and not file.startswith(roots) and "site-packages" not in file


def _file_of(value: Any) -> str | None:
    try:
        return inspect.getsourcefile(value)
    except TypeError:
        return None
