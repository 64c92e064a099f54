"""What it means to refuse well: one line that names what was given and what is accepted, soon, and nothing lost."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

LONGEST = 700  # characters: the names of all fields of a Config fit
SECONDS = 20
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
    """Raise TimeoutError in what takes longer: a hang falls short like a crash."""

    def late(*_: Any) -> None:
        raise TimeoutError(f"hung for {seconds} s")

    TRIED[0] += 1
    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
