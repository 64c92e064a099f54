"""The same instrument on somebody's own training loop: `watch`."""

from gradlab.watch.entry import watch
from gradlab.watch.rows import Logger, OnError
from gradlab.watch.watcher import STAGES, Watcher

__all__ = ["STAGES", "Logger", "OnError", "Watcher", "watch"]
