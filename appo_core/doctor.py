"""What this machine has and lacks for running the chain, each finding with its remedy.

Standard library only, so that it answers at once, and on a machine where hardly anything is installed.
"""

import os
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from appo_core import environments

Status = Literal["ok", "missing", "warn"]

_GIB = 2**30
_MEMORY_GIB = 6
"""The demo's peak (a vLLM server beside an evaluation job), with some to spare."""
_DISK_GIB = 10
"""The CPU environments with room for the demo's artifacts."""
_PREFECT_PORT = 4200
_TIMEOUT_S = 60
_SANDBOX_TRIAL = (
    "from appo_core.tools.selftest import find_sandbox, SandboxUnavailableError\n"
    "try: print(type(find_sandbox('auto')()).__name__.removesuffix('Worker').lower())\n"
    "except SandboxUnavailableError as error: raise SystemExit(str(error))\n"
)


@dataclass(frozen=True)
class Finding:
    """One thing looked at: `missing` keeps the chain from running, `warn` limits it."""

    name: str
    status: Status
    detail: str
    remedy: str = ""


def diagnose(*, store: str | None = None, root: Path = environments.ROOT) -> list[Finding]:
    """Everything looked at, in the order in which to put it right; `store` defaults to `APPO_STORE`."""
    place = store or os.environ.get("APPO_STORE", "")
    findings = [check_python(), *(check_environment(name, root) for name in environments.ENVIRONMENTS)]
    findings += [check_sandbox(root), check_gpu(), check_memory(), check_disk(root), check_prefect()]
    return findings + (check_s3() if place.startswith("s3://") else [])


def check_python() -> Finding:
    """The release of the running interpreter; the locks are for one release."""
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] == environments.PYTHON_VERSION:
        return Finding("python", "ok", found)
    wanted = ".".join(map(str, environments.PYTHON_VERSION))
    return Finding("python", "warn", f"{found}; the locks are for {wanted}", f"make setup PYTHON=python{wanted}")


def check_environment(name: str, root: Path = environments.ROOT) -> Finding:
    """Whether a stage environment is there, whole and installed from today's lock."""
    label, chosen = f"environment {name}", os.environ.get(f"APPO_PYTHON_{name.upper()}")
    if chosen:
        return _chosen_environment(name, Path(chosen))
    try:
        lock = environments.lock_file(name, root)
        if environments.is_current(name, root):
            return Finding(label, "ok", f"follows {lock.name}")
    except FileNotFoundError:
        return Finding(label, "warn", "there is no lock to compare it with", "run from a checkout of the project")
    except ValueError as error:
        return Finding(label, "warn", str(error), "set APPO_ACCELERATOR to cpu or cuda, or unset it")
    if not environments.python(name, root).exists():
        return Finding(label, "missing", f"{environments.folder(name, root)} is not set up", "make setup")
    state = "differs from" if environments.read_stamp(name, root) else "was not set up completely from"
    return Finding(label, "warn", f"{state} {lock.name}", "make setup")


def _chosen_environment(name: str, python: Path) -> Finding:
    variable = f"APPO_PYTHON_{name.upper()}"
    if python.is_file():
        return Finding(f"environment {name}", "ok", f"{variable}={python}")
    return Finding(f"environment {name}", "missing", f"{variable}={python} does not exist", f"correct {variable}")


def check_sandbox(root: Path = environments.ROOT) -> Finding:
    """Whether model-written Python can be contained here: tries the sandboxes as the Python tool does."""
    python = Path(os.environ.get("APPO_PYTHON_ENGINE") or environments.python("engine", root))
    if not python.is_file():
        return Finding("sandbox", "warn", "not tried: it runs in the engine environment", "make setup")
    trial = _output([str(python), "-c", _SANDBOX_TRIAL], cwd=root)
    if trial.returncode == 0:
        return Finding("sandbox", "ok", f"{trial.stdout.strip()} contains model-written Python")
    reason = (trial.stderr.strip().splitlines() or ["no answer"])[-1]
    return Finding("sandbox", "missing", reason, "apt-get install bubblewrap, or a kernel with Landlock for sandlock")


def check_gpu() -> Finding:
    """NVIDIA GPUs as the driver reports them; without one, stages run on the CPU."""
    if not environments.has_nvidia_driver():
        return Finding("gpu", "ok", "no NVIDIA driver: stages run on the CPU")
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    answer = _output(query)
    if answer.returncode == 0 and answer.stdout.strip():
        return Finding("gpu", "ok", "; ".join(answer.stdout.strip().splitlines()))
    detail = "an NVIDIA driver is there, nvidia-smi lists no GPU"
    return Finding("gpu", "warn", detail, "check the driver, or set APPO_ACCELERATOR=cpu and run make setup")


def check_memory(meminfo: Path = Path("/proc/meminfo")) -> Finding:
    """Memory that new processes can have."""
    lines = meminfo.read_text().splitlines() if meminfo.exists() else []
    available = next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)
    if available is None:
        return Finding("memory", "warn", "could not be read", f"make sure that {_MEMORY_GIB} GiB are free")
    return _amount("memory", available, _MEMORY_GIB, "end other programs or take a larger machine")


def check_disk(root: Path = environments.ROOT) -> Finding:
    """Free space where environments and local artifacts lie."""
    return _amount("disk", shutil.disk_usage(root).free, _DISK_GIB, f"free space on the disk of {root}")


def _amount(name: str, free: int, wanted_gib: int, remedy: str) -> Finding:
    detail = f"{free / _GIB:.1f} GiB free"
    if free >= wanted_gib * _GIB:
        return Finding(name, "ok", detail)
    return Finding(name, "warn", f"{detail}, {wanted_gib} GiB wanted for the demo", remedy)


def check_prefect() -> Finding:
    """The Prefect server: the one named by PREFECT_API_URL, else whether one could listen on the usual port."""
    url = os.environ.get("PREFECT_API_URL", "").rstrip("/")
    if url:
        if _is_healthy(url):
            return Finding("prefect", "ok", f"server at {url}")
        remedy = "start it (prefect server start), correct PREFECT_API_URL, or unset it to run without a server"
        return Finding("prefect", "missing", f"no Prefect server answers at {url}", remedy)
    if not _in_use(_PREFECT_PORT):
        return Finding("prefect", "ok", f"no server named: runs keep their own; port {_PREFECT_PORT} is free")
    local = f"http://127.0.0.1:{_PREFECT_PORT}/api"
    if _is_healthy(local):
        return Finding("prefect", "ok", f"a server runs at {local}; set PREFECT_API_URL to use it")
    detail = f"port {_PREFECT_PORT} is taken by another program"
    return Finding("prefect", "warn", detail, "end it, or start the server with --port")


def _is_healthy(api: str) -> bool:
    try:
        with urllib.request.urlopen(f"{api}/health", timeout=5) as answer:  # noqa: S310 - the user's own server
            return bool(answer.status == 200)
    except (OSError, ValueError):
        return False


def _in_use(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def check_s3() -> list[Finding]:
    """Credentials for an S3 store, and whether the endpoint named in the environment answers."""
    return [*_credentials(), *_endpoint()]


def _credentials() -> Iterator[Finding]:
    key, secret = (bool(os.environ.get(name)) for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))
    file = Path(os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or Path.home() / ".aws" / "credentials")
    if key and secret:
        yield Finding("s3 credentials", "ok", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are set")
    elif key or secret:
        absent = "AWS_SECRET_ACCESS_KEY" if key else "AWS_ACCESS_KEY_ID"
        yield Finding("s3 credentials", "missing", f"{absent} is not set, its counterpart is", f"set {absent}")
    elif os.environ.get("AWS_PROFILE") or file.exists():
        yield Finding("s3 credentials", "ok", f"profile {os.environ.get('AWS_PROFILE') or 'default'} in {file}")
    else:
        remedy = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, unless the machine has a role of its own"
        yield Finding("s3 credentials", "warn", "none in the environment or in ~/.aws", remedy)


def _endpoint() -> Iterator[Finding]:
    variable = next((name for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL") if os.environ.get(name)), None)
    if variable is None:
        yield Finding("s3 endpoint", "ok", "Amazon S3 (AWS_ENDPOINT_URL is not set)")
        return
    url = os.environ[variable]
    if _is_reachable(url):
        yield Finding("s3 endpoint", "ok", url)
    else:
        yield Finding("s3 endpoint", "missing", f"nothing answers at {url}", f"start the server or correct {variable}")


def _is_reachable(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname or "", port), timeout=5).close()
    except (OSError, ValueError):
        return False
    return True


def _output(command: list[str], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """What a command prints; one that is absent or hangs counts as failed."""
    try:
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=_TIMEOUT_S, cwd=cwd)
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, stdout="", stderr=str(error))
