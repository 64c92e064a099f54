"""One background thread per panel: it runs commands in order and trains while playing."""

from __future__ import annotations

import contextvars
import queue
import threading
from collections.abc import Callable

Command = Callable[[], None]

_IDLE_SECONDS = 3.0


class Worker:
    """Runs queued commands, and `tick` again and again while `playing` says so.

    The thread is a daemon, starts with the first command and ends after a few idle seconds. Commands and
    ticks run under `lock`, which any other thread must hold to touch the same things.

    Parameters
    ----------
    tick : callable
        One piece of work while playing.
    playing : callable
        Whether to tick.
    failed : callable
        Told of an exception that a command or a tick raised; none is lost and none ends the thread.
    """

    def __init__(
        self, tick: Callable[[], None], playing: Callable[[], bool], failed: Callable[[BaseException], None]
    ) -> None:
        self._tick, self._playing, self._failed = tick, playing, failed
        self._commands: queue.Queue[Command] = queue.Queue()
        self._context = contextvars.copy_context()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._closed = False
        self.lock = threading.RLock()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        thread = self._thread
        return thread is not None and thread.is_alive()

    def submit(self, command: Command) -> None:
        """Queue a command, starting the thread if there is none; ignored once closed."""
        with self._starting:
            if self._closed:
                return
            self._commands.put(command)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._context.copy().run, args=(self._loop,), name="gradlab", daemon=True
                )
                self._thread.start()

    def close(self, timeout: float = 5.0) -> None:
        """End the thread and wait for it (unless it is the caller)."""
        with self._starting:
            self._closed = True
            thread = self._thread
            self._commands.put(lambda: None)
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def _loop(self) -> None:
        while not self._closed:
            try:
                if self._playing() and self._commands.empty():
                    self._guarded(self._tick)
                    continue
                command = self._commands.get(timeout=_IDLE_SECONDS)
            except queue.Empty:
                if self._end_if_idle():
                    return
            else:
                self._guarded(command)
        with self._starting:
            self._thread = None

    def _guarded(self, work: Command) -> None:
        try:
            with self.lock:
                if not self._closed:
                    work()
        except Exception as error:
            self._failed(error)

    def _end_if_idle(self) -> bool:
        with self._starting:
            if not self._commands.empty():
                return False
            self._thread = None
            return True
