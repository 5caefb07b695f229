"""What the two sandbox back ends of the Python tool share: the request, its outcome, their errors."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

GUEST_PACKAGE = Path(__file__).resolve().parent / "guest"
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "PYTHONDONTWRITEBYTECODE": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
"""All that guest code finds in its environment, besides HOME and TMPDIR."""


class SandboxUnavailableError(RuntimeError):
    """This sandbox does not work on this machine; the message says why and what would help."""


class SandboxBrokenError(RuntimeError):
    """The sandbox failed at one call; nothing is known about the code."""


@dataclass(frozen=True)
class CallLimits:
    """Limits of one call: wall-clock seconds, bytes of address space per process."""

    timeout_s: float
    memory_bytes: int


@dataclass(frozen=True)
class Execution:
    """How a call ended: exit code (negative: killed by that signal), both streams, and who ended it if not itself."""

    status: int
    out: str
    err: str
    ended: Literal["timeout", "flood"] | None = None


class Worker(Protocol):
    """One sandbox; runs one call at a time, each in fresh state."""

    def execute(self, code: str, limits: CallLimits) -> Execution:
        """Run code; blocks. Raises `SandboxBrokenError`, `SandboxUnavailableError`."""
        ...

    def close(self) -> None:
        """End every process of this sandbox, also from another thread."""
        ...


def readable_paths() -> list[Path]:
    """Host folders that the interpreter needs: its prefixes and the system's shared libraries."""
    system = [Path(path) for path in ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache")]
    prefixes = [Path(sys.base_prefix), Path(sys.executable).resolve().parents[1], Path(sys.prefix)]
    return list(dict.fromkeys(path for path in (*system, *prefixes) if path.exists()))


def scratch_folder() -> str:
    """Where model-written code may write: /tmp, or /var/tmp when the interpreter itself lies below /tmp."""
    inside = any(path.is_relative_to("/tmp") for path in readable_paths())  # noqa: S108
    return "/var/tmp" if inside else "/tmp"  # noqa: S108


def interpreter_command(root: Path | str, launch: str) -> list[str]:
    """Start the running interpreter, isolated from its user's settings, with the guest package found under `root`."""
    return [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(root)!r}); {launch}"]
