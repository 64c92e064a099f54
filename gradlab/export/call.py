"""`to_call`: a `Config` as the one line that opens the panel on it."""

from __future__ import annotations

from gradlab.config import Config


def to_call(config: Config) -> str:
    """Return a one-line ``GradLab(...)`` call that opens the panel with this config.

    Fields at their defaults are left out; the arguments that are given read back to the same values.
    """
    if not isinstance(config, Config):
        raise ValueError(f"config={config!r:.60}; expected a Config")
    moved = config.differences(Config())
    return f"GradLab({', '.join(f'{name}={here!r}' for name, (here, _) in moved.items())})"
