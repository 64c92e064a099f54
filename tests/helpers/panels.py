"""What tests of the panel share."""

import time


def wait_until(condition, seconds=60.0):
    """Wait for what a thread of the panel is to bring about; fail if it does not come."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert condition()
