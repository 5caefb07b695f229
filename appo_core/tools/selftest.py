"""Finds a sandbox that works on this machine, by trying it; never a plain subprocess."""

import os
import socket
from collections.abc import Callable
from typing import Literal

from appo_core.tools.bubblewrap import BubblewrapWorker
from appo_core.tools.sandbox import CallLimits, SandboxBrokenError, SandboxUnavailableError, Worker
from appo_core.tools.sandlock_worker import SandlockWorker

Factory = Callable[[], Worker]
Backend = Literal["auto", "bubblewrap", "sandlock"]

_TRIAL_LIMITS = CallLimits(timeout_s=20.0, memory_bytes=512 * 2**20)
_TRIAL = """
import os, socket, time
faults = []
try:
    open("/etc/passwd").close(); faults.append("files of the host can be read")
except OSError: pass
try:
    socket.create_connection(("127.0.0.1", PORT), 1); faults.append("the host's network can be reached")
except OSError: pass
try:
    for _ in range(64):
        if os.fork() == 0:
            time.sleep(5); os._exit(0)
    faults.append("the number of processes is not limited")
except OSError: pass
"; ".join(faults) or "contained"
"""


def find_sandbox(backend: Backend) -> Factory:
    """A factory of sandbox workers. Raises `SandboxUnavailableError` that says what failed for each candidate."""
    reasons = []
    for name, factory in _candidates(backend):
        reason = _trial_fault(factory)
        if reason is None:
            return factory
        reasons.append(f"{name}: {reason}")
    raise SandboxUnavailableError(
        f"no sandbox for model-written Python works here ({'; '.join(reasons)}); install bubblewrap, allow user "
        "namespaces or a kernel with Landlock, or set tools.python.enabled to false"
    )


def _candidates(backend: Backend) -> list[tuple[str, Factory]]:
    """What to try, in order of preference."""
    found: list[tuple[str, Factory]] = []
    if backend in ("auto", "bubblewrap"):
        if os.getuid() == 0:
            found.append(("bubblewrap as root", lambda: BubblewrapWorker(own_user=True)))
        found.append(("bubblewrap with user namespaces", lambda: BubblewrapWorker(own_user=False)))
    if backend in ("auto", "sandlock"):
        found.append(("sandlock", SandlockWorker))
    return found


def _trial_fault(factory: Factory) -> str | None:
    """Why a sandbox is not to be trusted, or None: it must run code and contain the essentials."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        worker = factory()
        try:
            trial = worker.execute(_TRIAL.replace("PORT", str(server.getsockname()[1])), _TRIAL_LIMITS)
        except (SandboxUnavailableError, SandboxBrokenError) as error:
            return str(error)
        finally:
            worker.close()
    if trial.status == 0 and trial.out.strip() == "contained":
        return None
    return (trial.out or trial.err).strip()[-200:] or f"ended with status {trial.status}"
