"""The bubblewrap sandbox: one `bwrap` process per worker around a warm interpreter (see `guest.zygote`).

Covered: files (read-only interpreter and system libraries, private tmpfs), network, environment, processes,
CPU, address space, file size, open files, output, tracing, namespaces, privileges. Not covered: a guest may use
up to `MAX_PROCESSES` times its memory limit (a cgroup would be needed), and kernel bugs reachable by ordinary calls.
"""

import contextlib
import json
import os
import select
import shutil
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import IO

from appo_core.tools.sandbox import (
    ENVIRONMENT,
    GUEST_PACKAGE,
    CallLimits,
    Execution,
    SandboxBrokenError,
    SandboxUnavailableError,
    interpreter_command,
    readable_paths,
    scratch_folder,
)

GRACE_S = 15.0
"""The supervisor inside keeps the deadline; a sandbox that is this much later is replaced."""
_LARGEST_FRAME = 64 * 2**20
_CAPABILITIES = ("CAP_SYS_ADMIN", "CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP", "CAP_KILL")
_FIRST_UID = 0x70000000
_worker_numbers = count()


class BubblewrapWorker:
    """A `bwrap` process, started on first use and again after it broke."""

    def __init__(self, *, own_user: bool) -> None:
        """`own_user`: the real root user gives guests an unused uid; else a user namespace is made."""
        self._uid = _FIRST_UID + os.getpid() % 65536 * 256 + next(_worker_numbers) % 256 if own_user else None
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._closed = False

    def execute(self, code: str, limits: CallLimits) -> Execution:
        """Run code in a fresh process tree."""
        request = {"code": code, "timeout_s": limits.timeout_s, "memory_bytes": limits.memory_bytes}
        requests, responses = self._pipes()
        try:
            body = json.dumps(request).encode()
            requests.write(struct.pack(">I", len(body)) + body)
            requests.flush()
            response = json.loads(_read_frame(responses, time.monotonic() + limits.timeout_s + GRACE_S))
        except (OSError, EOFError, ValueError) as error:
            self._stop()
            raise SandboxBrokenError(
                f"the bubblewrap sandbox ended during a call ({error or 'end of file'})"
            ) from error
        if response["fault"]:
            raise SandboxUnavailableError(f"bubblewrap cannot isolate a call: {response['fault']}")
        return Execution(response["status"], response["out"], response["err"], response["ended"])

    def close(self) -> None:
        """End the sandbox; a call that runs in it fails."""
        self._closed = True
        self._stop()

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        with self._lock:
            if self._closed:
                raise SandboxBrokenError("the Python tool is closed")
            if self._process is None or self._process.poll() is not None:
                self._process = _start(self._uid)
            process = self._process
        if process.stdin is None or process.stdout is None:
            raise SandboxBrokenError("the sandbox has no pipes")
        return process.stdin, process.stdout

    def _stop(self) -> None:
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError, ValueError):
                    pipe.close() if pipe else None


def _start(uid: int | None) -> subprocess.Popen[bytes]:
    program = shutil.which("bwrap")
    if program is None:
        raise SandboxUnavailableError("bwrap is not installed (Debian, Ubuntu: apt install bubblewrap)")
    return subprocess.Popen(
        [program, *_arguments(uid)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={}
    )


def _arguments(uid: int | None) -> Iterator[str]:
    """The command line of `bwrap`."""
    if uid is None:
        yield from ("--unshare-user", "--uid", "1000", "--gid", "1000")
    yield from ("--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try")
    yield from ("--die-with-parent", "--new-session", "--hostname", "sandbox", "--clearenv", "--cap-drop", "ALL")
    for capability in _CAPABILITIES:
        yield from ("--cap-add", capability)
    scratch = scratch_folder()
    for name, value in (ENVIRONMENT | {"HOME": scratch, "TMPDIR": scratch}).items():
        yield from ("--setenv", name, value)
    for folder in sorted({folder for path in readable_paths() for folder in path.parents} - {Path("/")}):
        yield from ("--perms", "0755", "--dir", str(folder))
    for path in readable_paths():
        yield from ("--symlink", str(path.readlink()), str(path)) if path.is_symlink() else _read_only(path)
    for device in ("null", "zero", "random", "urandom"):
        yield from ("--dev-bind", f"/dev/{device}", f"/dev/{device}")
    yield from ("--dir", scratch, "--dir", "/dev/shm", "--ro-bind", str(GUEST_PACKAGE), "/sandbox/guest")  # noqa: S108
    yield from ("--remount-ro", "/", "--chdir", "/")
    yield from interpreter_command("/sandbox", f"from guest.zygote import serve; serve({uid})")


def _read_only(path: Path) -> tuple[str, str, str]:
    return "--ro-bind", str(path), str(path)


def _read_frame(source: IO[bytes], deadline: float) -> bytes:
    """One length-prefixed frame. Raises EOFError, TimeoutError, ValueError."""
    (length,) = struct.unpack(">I", _read_exactly(source, 4, deadline))
    if length > _LARGEST_FRAME:
        raise ValueError(f"a frame of {length} bytes")
    return _read_exactly(source, length, deadline)


def _read_exactly(source: IO[bytes], size: int, deadline: float) -> bytes:
    data = bytearray()
    while len(data) < size:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([source], [], [], left)[0]:
            raise TimeoutError("no answer in time")
        chunk = os.read(source.fileno(), size - len(data))
        if not chunk:
            raise EOFError
        data += chunk
    return bytes(data)
