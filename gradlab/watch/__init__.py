"""The same instrument on somebody's own training loop: `watch`."""

from gradlab.watch.watcher import Watcher, watch

__all__ = ["Watcher", "watch"]
