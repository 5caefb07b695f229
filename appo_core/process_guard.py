"""Guard of one command: ends every process the command started once the command, or whoever asked for it, is gone.

Run by `appo_core.processes` as ``python process_guard.py LIFE_FD argv...`` in a new session. The read end of a pipe
(LIFE_FD) ties it to its parent: a line with a number asks for a stop with that grace in seconds; end of file means
that the parent is gone, by whatever cause (a pipe, unlike PR_SET_PDEATHSIG, does not care which thread forked).
The guard is a *child subreaper*, so descendants that start sessions of their own (torchrun's ranks, vLLM's engine)
are found and ended too. Standard library only; Linux.
"""

import contextlib
import ctypes
import os
import resource
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
ORPHAN_GRACE_S = 3.0
"""Grace of SIGTERM when the parent vanished or the command left processes behind."""
POLL_S = 1.0
EXIT_NOT_STARTED = 127


def descendants(root: int) -> list[int]:
    """Process ids below `root`, zombies left out."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                if state != "Z":
                    children.setdefault(int(parent), []).append(int(entry.name))
    found, frontier = [], [root]
    while frontier:
        frontier = [child for pid in frontier for child in children.get(pid, [])]
        found += frontier
    return found


def _signal_all(pids: list[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


class Guard:
    """Runs one command and outlives everything it started."""

    def __init__(self, life_fd: int) -> None:
        self.life_fd = life_fd
        self.status: int | None = None
        self.pid = 0
        self.parent = os.getppid()
        self.wake_read, self.wake_write = os.pipe()
        os.set_blocking(self.wake_write, False)
        os.set_blocking(self.wake_read, False)

    def start(self, argv: list[str]) -> None:
        """Start the command; it dies with the guard. Raises OSError when it cannot be started."""
        libc = ctypes.CDLL(None)
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(self.wake_write, warn_on_full_buffer=False)
        # Kept, for a collected Popen would reap the command unseen. preexec_fn is safe: this process has one thread.
        self.popen = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0),
        )
        self.pid = self.popen.pid

    def reap(self) -> None:
        """Collect ended children, adopted ones included; keep the command's own status."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if pid == self.pid:
                    self.status = status

    def watch(self) -> float:
        """Wait for the command's end or a reason to stop it; the grace in seconds for what still runs."""
        while True:
            ready, _, _ = select.select([self.life_fd, self.wake_read], [], [], POLL_S)
            signals = os.read(self.wake_read, 4096) if self.wake_read in ready else b""
            self.reap()
            if self.status is not None or os.getppid() != self.parent:
                return ORPHAN_GRACE_S
            if self.life_fd in ready:
                return float(os.read(self.life_fd, 64).split(b"\n")[0] or ORPHAN_GRACE_S)
            if signals.strip(bytes([signal.SIGCHLD])):
                return ORPHAN_GRACE_S

    def end(self, grace_s: float) -> None:
        """SIGTERM to all descendants (not with a grace of 0), SIGKILL after the grace, until none is left."""
        deadline = time.monotonic() + grace_s
        if grace_s > 0:
            _signal_all(descendants(os.getpid()), signal.SIGTERM)
        while alive := descendants(os.getpid()):
            if time.monotonic() >= deadline:
                _signal_all(alive, signal.SIGKILL)
            time.sleep(0.02)
            self.reap()
        self.reap()
        if self.status is None:  # ended, but not to be collected before the last of its threads is gone
            with contextlib.suppress(ChildProcessError):
                self.status = os.waitpid(self.pid, 0)[1]


def exit_like(status: int) -> None:
    """Exit as the command did: same code, or killed by the same signal."""
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def main() -> None:
    """Entry point: LIFE_FD argv..."""
    guard = Guard(int(sys.argv[1]))
    try:
        guard.start(sys.argv[2:])
    except OSError as error:
        sys.stderr.write(f"cannot start {sys.argv[2]}: {error.strerror}\n")
        sys.exit(EXIT_NOT_STARTED)
    guard.end(guard.watch())
    exit_like(signal.SIGKILL if guard.status is None else guard.status)


if __name__ == "__main__":
    main()
