"""Child processes that never outlive their parent, with streamed output and an orderly stop.

Every command runs under a guard (`appo_core.process_guard`) in a session of its own. When the parent ends, even by
kill -9, or asks for a stop, the guard ends the command and all its descendants. Safe to use from any thread.
Not covered: a kill -9 of the guard itself leaves grandchildren that left the process group.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

from appo_core import process_guard

STOP_MARGIN_S = 10.0
"""How much longer than the grace the guard may take to end the group before it is killed."""
LEAKS = ("LD_PRELOAD", "VIRTUAL_ENV", "VIRTUAL_ENV_PROMPT", "PYTHONPATH", "PYTHONHOME", "__PYVENV_LAUNCHER__")
"""Variables that would carry one Python environment, or vLLM's allocator, into another."""


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without what belongs to its own Python environment, plus `extra`."""
    environment = {key: value for key, value in os.environ.items() if key not in LEAKS}
    own = {f"{prefix}/bin" for prefix in (os.environ.get("VIRTUAL_ENV"), sys.prefix) if prefix}
    if sys.prefix == sys.base_prefix:
        own.discard(f"{sys.prefix}/bin")
    path = [part for part in environment.get("PATH", os.defpath).split(os.pathsep) if part not in own]
    return environment | {"PATH": os.pathsep.join(path)} | dict(extra or {})


class Process:
    """One running command and everything it starts. Build it with `start`."""

    def __init__(self, popen: "subprocess.Popen[str]", life: int, argv: Sequence[str]) -> None:
        self.argv = tuple(argv)
        self._popen = popen
        self._life = life
        self._lock = threading.Lock()
        self._reader: threading.Thread | None = None
        self._fault: Exception | None = None

    @classmethod
    def start(
        cls,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        log: Path | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> "Process":
        """Start `argv` in its own session.

        Lines of standard output and error (also those ended by a carriage return) are appended to `log` and given to
        `on_line` in a reader thread; an exception there is raised again by `wait`. `env` replaces the environment;
        by default it is `clean_environment()`. A command that cannot be started exits with 127 and says why in its
        output. Raises OSError when `cwd` is missing or `log` cannot be written.
        """
        sink = log.open("a", encoding="utf-8", buffering=1) if log else None
        read_end, write_end = os.pipe()
        try:
            popen = subprocess.Popen(
                [sys.executable, "-I", "-S", process_guard.__file__, str(read_end), *argv],
                env=dict(clean_environment() if env is None else env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                pass_fds=(read_end,),
                start_new_session=True,
            )
        except OSError:
            os.close(write_end)
            if sink:
                sink.close()
            raise
        finally:
            os.close(read_end)
        process = cls(popen, write_end, argv)
        process._reader = threading.Thread(target=process._read, args=(sink, on_line), daemon=True)
        process._reader.start()
        return process

    @property
    def pid(self) -> int:
        """Process id of the guard, which leads the session."""
        return self._popen.pid

    def poll(self) -> int | None:
        """Exit code (negative: killed by that signal), or None while anything of it still runs."""
        code = self._popen.poll()
        if code is not None:
            self._release(code)
        return code

    def wait(self, timeout_s: float | None = None) -> int:
        """Wait until the command and all its descendants are gone and all output is read; the exit code.

        Raises `subprocess.TimeoutExpired`, or what `on_line` raised.
        """
        code = self._popen.wait(timeout_s)
        self._release(code)
        if self._reader is not None and self._reader is not threading.current_thread():
            self._reader.join(STOP_MARGIN_S)
        if self._fault is not None:
            raise self._fault
        return code

    def stop(self, grace_s: float = 10.0) -> int:
        """SIGTERM to every process of the command, SIGKILL after `grace_s` (at once for 0); the exit code."""
        with self._lock:
            if self._life >= 0:
                with contextlib.suppress(BrokenPipeError):
                    os.write(self._life, f"{max(grace_s, 0)}\n".encode())
        try:
            return self.wait(grace_s + STOP_MARGIN_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.pid, signal.SIGKILL)
            return self.wait()

    def _release(self, code: int) -> None:
        with self._lock:
            if self._life < 0:
                return
            os.close(self._life)
            self._life = -1
        if code == -signal.SIGKILL:  # perhaps the guard itself was killed: sweep what is left of its group
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def _read(self, sink: IO[str] | None, on_line: Callable[[str], None] | None) -> None:
        with self._popen.stdout or contextlib.nullcontext() as stream, sink or contextlib.nullcontext():
            for line in stream or ():
                if sink is not None:
                    sink.write(line if line.endswith("\n") else line + "\n")
                if on_line is not None and self._fault is None:
                    try:
                        on_line(line.rstrip("\n"))
                    except Exception as error:  # noqa: BLE001 - kept for wait(); a silent reader would block the child
                        self._fault = error

    def __enter__(self) -> "Process":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
