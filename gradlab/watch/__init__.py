"""The same instrument on somebody's own training loop: `watch`."""

from gradlab.watch.watch import watch

__all__ = ["watch"]
