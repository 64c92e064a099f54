"""Knobs that were moved and wait for the worker."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from gradlab.panel.controls import OWN


class Waiting:
    """Moves of controls that pile up while the worker is busy become one: the last of each knob counts."""

    def __init__(self) -> None:
        self._knobs: dict[str, Any] = {}
        self._preset = OWN
        self._lock = threading.Lock()

    def add(self, knobs: Mapping[str, Any], preset: str) -> bool:
        """Add moves; True if none waited before, so that somebody must be told."""
        with self._lock:
            first = not self._knobs
            self._knobs |= knobs
            self._preset = preset
            return first

    def take(self) -> tuple[dict[str, Any], str]:
        """Take all moves away, with the preset that they came from."""
        with self._lock:
            knobs, self._knobs = self._knobs, {}
            return knobs, self._preset
