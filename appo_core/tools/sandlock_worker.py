"""The sandlock sandbox: Landlock and seccomp, no namespaces, for machines (containers) that forbid bubblewrap.

Each call is a new interpreter with a private folder. Covered: files, network, environment, address space, CPU,
processes, file size, output, signals to others. Not covered: paths outside can be guessed at (not read), the
number of running processes of the machine can be seen, and a start takes several times as long as with bubblewrap.
"""

import os
import select
import signal
import tempfile
import time
from pathlib import Path
from typing import IO, Any, Literal

from appo_core.tools.guest.isolation import MAX_PROCESSES, TMP_MB
from appo_core.tools.guest.zygote import CAPTURE_BYTES, FLOOD_BYTES
from appo_core.tools.sandbox import (
    ENVIRONMENT,
    GUEST_PACKAGE,
    CallLimits,
    Execution,
    SandboxBrokenError,
    SandboxUnavailableError,
    interpreter_command,
    readable_paths,
)

Ended = Literal["timeout", "flood"] | None


class SandlockWorker:
    """Runs one call at a time in a sandlock process of its own."""

    def __init__(self) -> None:
        self._running: Any = None

    def execute(self, code: str, limits: CallLimits) -> Execution:
        """Run code in a fresh interpreter."""
        with tempfile.TemporaryDirectory(prefix="appo-sandlock-") as folder:
            source = Path(folder) / "code.py"
            source.write_text(code, encoding="utf-8", errors="surrogatepass")
            arguments = f"{str(source)!r}, {limits.memory_bytes}, {int(limits.timeout_s) + 2}"
            launch = f"from guest.execute import main; main({arguments})"
            sandbox = _sandbox(folder, limits)
            try:
                return self._run(sandbox, interpreter_command(GUEST_PACKAGE.parent, launch), limits.timeout_s)
            except (OSError, RuntimeError) as error:
                raise SandboxBrokenError(f"sandlock failed at a call ({error})") from error

    def close(self) -> None:
        """End the running call."""
        if self._running is not None:
            self._running.kill()

    def _run(self, sandbox: Any, command: list[str], timeout_s: float) -> Execution:
        from sandlock import StdioMode

        deadline = time.monotonic() + timeout_s
        with sandbox.popen(command, stdin=StdioMode.NULL, stdout=StdioMode.PIPED, stderr=StdioMode.PIPED) as process:
            self._running = process
            try:
                streams = {process.stdout: bytearray(), process.stderr: bytearray()}
                ended = _collect(process, streams, deadline)
                result = process.wait()
            finally:
                self._running = None
            out, err = (bytes(kept).decode(errors="replace") for kept in streams.values())
        return Execution(_status(result), out, err, ended)


def _status(result: Any) -> int:
    """Exit code, or the negative signal; sandlock names no signal where it ended the process itself (memory)."""
    if result.signal is not None and result.signal > 0:
        return -int(result.signal)
    return int(result.exit_code) if result.exit_code >= 0 else -signal.SIGKILL


def _sandbox(folder: str, limits: CallLimits) -> Any:
    """A sandlock sandbox without network that reads the interpreter and writes its own folder."""
    try:
        import sandlock
    except ImportError as error:
        raise SandboxUnavailableError("sandlock is not installed (pip install sandlock)") from error
    return sandlock.Sandbox(
        fs_readable=[str(path) for path in (*readable_paths(), GUEST_PACKAGE.parent, "/dev/null", "/dev/urandom")],
        fs_writable=[folder],
        clean_env=True,
        env=ENVIRONMENT | {"HOME": folder, "TMPDIR": folder},
        cwd=folder,
        max_memory=f"{limits.memory_bytes // 2**20 * 2}M",
        max_processes=MAX_PROCESSES,
        max_open_files=128,
        max_disk=f"{TMP_MB}M",
        no_coredump=True,
    )


def _collect(process: Any, streams: dict[IO[bytes], bytearray], deadline: float) -> Ended:
    """Read both streams until the process ends; `timeout` or `flood` where that takes too long or too much."""
    alive, seen = os.pidfd_open(process.pid), 0
    try:
        reading: list[Any] = [alive, *streams]
        while seen < FLOOD_BYTES:
            ready, _, _ = select.select(reading, [], [], max(0.0, deadline - time.monotonic()))
            if not ready or alive in ready:
                break
            for stream in ready:
                size = _read(stream, streams[stream])
                seen += size
                if not size:
                    reading.remove(stream)
    finally:
        os.close(alive)
    process.kill()
    if seen >= FLOOD_BYTES:
        return "flood"
    _drain(streams)
    return None if ready else "timeout"


def _read(stream: IO[bytes], kept: bytearray) -> int:
    """Keep what fits of what can be read now; returns how much was read, 0 at the end."""
    chunk = os.read(stream.fileno(), 65536)
    kept += chunk[: max(0, CAPTURE_BYTES - len(kept))]
    return len(chunk)


def _drain(streams: dict[IO[bytes], bytearray]) -> None:
    """What is left in the pipes, without waiting for a process that escaped and holds one open."""
    for stream, kept in streams.items():
        while select.select([stream], [], [], 0)[0] and _read(stream, kept):
            pass
