"""`Bridge`: what only the browser can do for a panel."""

from gradlab.panel.bridge.bridge import Bridge, Pointer, key

__all__ = ["Bridge", "Pointer", "key"]
