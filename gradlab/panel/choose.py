"""Which controls and sections a panel shows: all of them, a lecture's few, or those asked for by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gradlab.config import Config

EXTRAS = ("preset", "new_seed", "seed", "measure", "theory", "check")
SECTIONS = ("time", "compare", "exercise", "slow", "home", "closeup", "phase")
LECTURE = (
    *("preset", "depth", "activation", "init", "gain", "lr", "accumulation", "clip"),
    *("measure", "theory", "time", "compare"),
)
_WITHIN = {"accumulation_steps": "accumulation", "clip_threshold": "clip"}  # stand beside their switch


def choices() -> tuple[str, ...]:
    """Return what ``show`` may name: knobs of `Config` and parts of the panel."""
    knobs = (name for name in Config.knobs() if not name.endswith("_seed") and name not in _WITHIN)
    return (*EXTRAS, *knobs, *SECTIONS)


def chosen(show: Any, lecture: bool) -> tuple[str, ...] | None:
    """Return what is to be shown, in the order asked for; None for everything.

    Raises
    ------
    ValueError
        If `show` is no list of names, or names something that there is not; the message lists what there is.
    """
    if show is None:
        return LECTURE if lecture else None
    if isinstance(show, str) or not isinstance(show, Iterable):
        raise ValueError(f"show={show!r:.60}; expected a list of names such as {list(LECTURE[:4])}")
    names = list(show)
    for name in names:
        if name not in choices():
            raise ValueError(f"show: {name!r}; expected names of {', '.join(choices())}")
    return tuple(dict.fromkeys(names))


def check_flag(name: str, value: Any) -> None:
    """Raise ValueError unless `value` is True or False."""
    if not isinstance(value, bool):
        raise ValueError(f"{name}={value!r:.60}; expected True or False")
