"""Progress lines, and faults with a remedy, for commands that run before anything is installed."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


class SetupError(Exception):
    """A fault of the machine or its configuration, shown in one line with what to do about it."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(f"{message}; {remedy}")


def say(message: str) -> None:
    """One line for people, at once."""
    print(f"[setup] {message}", flush=True)


def fail(error: Exception) -> int:
    """Show why a command failed; returns its exit code."""
    print(f"error: {error}", file=sys.stderr, flush=True)
    return 1


@contextmanager
def timed(message: str) -> Iterator[None]:
    """Say what begins, and how long it took once it is done."""
    say(f"{message} ...")
    start = time.monotonic()
    yield
    say(f"{message}: done in {time.monotonic() - start:.0f} s")
