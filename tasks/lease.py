"""Leases: a server that somebody else started for a while must not outlive the one who needs it."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from appo_core.artifacts import Store, StoreError
from tasks.mailbox import LEASE, post, read, stamp

LEASE_S = 120.0
"""A holder that has not renewed for this long is taken for dead."""
RENEWALS = 4
"""Renewals in one lease's time."""
_LOG = logging.getLogger(__name__)


@contextmanager
def held(store: Store, run: str, lease_s: float = LEASE_S) -> Iterator[None]:
    """Hold a lease on what flow run `run` offers; it is released at the end, or lapses when this process dies."""
    done = threading.Event()
    post(store, run, LEASE, {"released": False})
    thread = threading.Thread(target=_renew, args=(store, run, lease_s, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        post(store, run, LEASE, {"released": True})


def _renew(store: Store, run: str, lease_s: float, done: threading.Event) -> None:
    while not done.wait(lease_s / RENEWALS):
        try:
            post(store, run, LEASE, {"released": False})
        except StoreError as error:
            _LOG.warning("the lease on %s was not renewed: %s", run, error)


class LeaseWatch:
    """The other side: whether the holder is still there. Only this machine's clock is used."""

    def __init__(
        self, store: Store, run: str, lease_s: float = LEASE_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store, self._run, self._lease_s, self._clock = store, run, lease_s, clock
        self._stamp: str | None = None
        self._seen = clock()

    def over(self) -> str | None:
        """Why the server is not needed any more, or None while it is."""
        try:
            now = stamp(self._store, self._run, LEASE)
            note = read(self._store, self._run, LEASE) or {}
        except StoreError:
            now, note = self._stamp, {}
        if now != self._stamp:
            self._stamp, self._seen = now, self._clock()
        if note.get("released"):
            return "released"
        return "its holder has gone" if self._clock() - self._seen > self._lease_s else None
