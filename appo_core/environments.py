"""The virtual environments of this checkout: where they lie, which lock each follows, whether each is current.

Standard library only: set-up imports this before anything is installed, and `appo_core.doctor` reads it afterwards.
"""

import hashlib
import json
import os
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENTS = ("orchestrator", "engine", "sft")
GPU_ENVIRONMENTS = ("engine", "sft")
"""Environments with a second lock, `<name>-gpu.lock`, for machines with an NVIDIA driver."""
PYTHON_VERSION = (3, 11)
"""The Python release that the locks were resolved for."""
STAMP_NAME = "appo-setup.json"
_RECIPE = 1
"""Raise it when set-up installs differently from the same lock: every stamp is out of date then."""


def has_nvidia_driver() -> bool:
    """Whether an NVIDIA kernel driver is loaded, or its tool is on the path."""
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def accelerator() -> str:
    """`cuda` or `cpu`: `APPO_ACCELERATOR` where it is set, else what this machine has.

    Raises `ValueError` for any other value of the variable.
    """
    chosen = os.environ.get("APPO_ACCELERATOR", "")
    if chosen not in ("", "cpu", "cuda"):
        raise ValueError(f"APPO_ACCELERATOR={chosen}: unknown; set it to cpu or cuda, or unset it")
    return chosen or ("cuda" if has_nvidia_driver() else "cpu")


def folder(name: str, root: Path = ROOT) -> Path:
    """Where an environment lies."""
    return root / ".venvs" / name


def python(name: str, root: Path = ROOT) -> Path:
    """An environment's interpreter."""
    return folder(name, root) / "bin" / "python"


def lock_file(name: str, root: Path = ROOT) -> Path:
    """The lock that an environment follows on this machine."""
    gpu = name in GPU_ENVIRONMENTS and accelerator() == "cuda"
    return root / "infra" / "environments" / f"{name}{'-gpu' if gpu else ''}.lock"


def expected_stamp(name: str, root: Path = ROOT) -> dict[str, str | int]:
    """What a current environment's stamp says; raises `FileNotFoundError` without the lock."""
    lock = lock_file(name, root)
    return {
        "lock": lock.name,
        "sha256": hashlib.sha256(lock.read_bytes()).hexdigest(),
        "root": str(root),
        "recipe": _RECIPE,
    }


def read_stamp(name: str, root: Path = ROOT) -> dict[str, str | int] | None:
    """The stamp that a finished set-up left; None when there is none or it is damaged."""
    try:
        stamp = json.loads((folder(name, root) / STAMP_NAME).read_text())
    except (OSError, ValueError):
        return None
    return stamp if isinstance(stamp, dict) else None


def is_current(name: str, root: Path = ROOT) -> bool:
    """Whether an environment is whole and follows today's lock."""
    return python(name, root).exists() and read_stamp(name, root) == expected_stamp(name, root)
