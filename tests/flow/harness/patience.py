"""Waiting for what has no event of its own."""

import os
import time

SLOW = 4 if os.environ.get("WEIR_SANITIZED") else 1


def patience(seconds):
    """How long to wait for what should come in `seconds`: a loaded machine gets more."""
    return 5 + seconds * 2 * SLOW


def eventually(ask, within=10, why=""):
    """The first true answer of ask(); fails the test if none comes in time."""
    end = time.monotonic() + within * SLOW
    while True:
        answer = ask()
        if answer:
            return answer
        assert time.monotonic() < end, why or "it did not come to be in time"
        time.sleep(0.005)
