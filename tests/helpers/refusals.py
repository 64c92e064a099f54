"""What it means to refuse well: one line that names what was given and what is accepted, soon, and nothing lost."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

LONGEST = 700  # characters: the names of all fields of a Config fit
SECONDS = 20  # of processor time, as a busy machine takes its own
WAITING = 10  # times as long by the clock: what waits for ever uses no processor
TRIED = [0]
"""How many abuses were tried in this process."""


def refusal(act: Callable[[], Any], *words: str, kind: type[Exception] = ValueError) -> str:
    """Return the message with which `act` refuses; it is a line, has each of the words and says what is expected."""
    with in_time(), pytest.raises(kind) as caught:
        act()
    message = str(caught.value)
    assert "\n" not in message, message
    assert len(message) <= LONGEST, message[:LONGEST]
    for word in (*words, "expected"):
        assert word in message, message
    return message


@contextmanager
def in_time(seconds: float = SECONDS) -> Iterator[None]:
    """Raise TimeoutError in what computes longer, or waits `WAITING` times so long: a hang is a crash."""

    def late(*_: Any) -> None:
        raise TimeoutError(f"hung for {seconds} s")

    TRIED[0] += 1
    timers = ((signal.ITIMER_PROF, signal.SIGPROF, seconds), (signal.ITIMER_REAL, signal.SIGALRM, WAITING * seconds))
    before = [signal.signal(number, late) for _, number, _ in timers]
    for timer, _, longest in timers:
        signal.setitimer(timer, longest)
    try:
        yield
    finally:
        for (timer, number, _), handler in zip(timers, before, strict=True):
            signal.setitimer(timer, 0)
            signal.signal(number, handler)
