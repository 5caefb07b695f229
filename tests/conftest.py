"""What every test gets.

**Which environment runs what.** Rooms that need torch are collected where torch is importable (the engine environment),
everything else where it is not (the orchestrator): `ENGINE_ROOMS` is the list, and any folder named `engine` belongs
to it. `make test` runs both. Tests marked `engine` or `sft` in other rooms start commands in that environment; they run
from the orchestrator and are skipped where it is not set up. Tests marked `gpu` are skipped without an NVIDIA driver.
`tests/benchmarks` holds scripts, not tests.

**Isolation.** Before anything is imported, the session gets a home of its own (settings, caches and Prefect's database
go there, and away with it), no telemetry, no model hub, no cloud credentials and no server that the shell points to.

Shared helpers are modules of `tests` (`from tests.drafts import make_draft`).
"""

import importlib.util
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from appo_core import environments
from tests.s3_server import s3_server

__all__ = ["prefect_server", "s3_server", "shared"]

TESTS = Path(__file__).resolve().parent
ENGINE_ROOMS = (
    "appo_core/algorithm",
    "appo_core/bench",
    "appo_core/evaluation",
    "appo_core/merging",
    "appo_core/methods",
    "appo_core/rewards",
    "appo_core/rollout",
    "appo_core/tools",
    "appo_core/training",
    "gpu",
)
IN_ENGINE = importlib.util.find_spec("torch") is not None
HOME = Path(tempfile.mkdtemp(prefix="appo-tests-"))

QUIET = {
    "DO_NOT_TRACK": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "VLLM_NO_USAGE_STATS": "1",
}
LOCAL = {
    "AWS_EC2_METADATA_DISABLED": "true",
    "MPLBACKEND": "agg",
    "NO_PROXY": "127.0.0.1,localhost",
    # Two threads of torch on a busy two-core machine are slower than one.
    "OMP_NUM_THREADS": "1",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "TOKENIZERS_PARALLELISM": "false",
}
_FORGOTTEN = ("AWS_ACCESS_KEY", "AWS_SECRET", "AWS_SESSION", "AWS_PROFILE", "AWS_ENDPOINT_URL", "PREFECT_", "APPO_")
_KEPT = ("APPO_ACCELERATOR", "APPO_PYTHON_")


def _isolate() -> None:
    """Give this process, and all that it starts, the session's own home and settings."""
    real_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    for name in list(os.environ):
        if name.startswith(_FORGOTTEN) and not name.startswith(_KEPT):
            del os.environ[name]
    folders = {"XDG_CACHE_HOME": ".cache", "XDG_CONFIG_HOME": ".config", "XDG_DATA_HOME": ".local/share"}
    os.environ.update({name: str(HOME / folder) for name, folder in folders.items()})
    os.environ.update(HOME=str(HOME), PREFECT_HOME=str(HOME / ".prefect"), HF_HOME=str(HOME / ".cache/huggingface"))
    os.environ.setdefault("UV_CACHE_DIR", str(real_cache / "uv"))
    os.environ.update(QUIET)
    os.environ.update({name: value for name, value in LOCAL.items() if name not in os.environ or name == "NO_PROXY"})


_isolate()
# A shell that starts the tests in the background has interrupts ignored, and so would all that the tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
settings.register_profile("appo", deadline=None, max_examples=40, derandomize=bool(os.environ.get("CI")))
settings.load_profile("appo")


def is_engine_room(path: Path) -> bool:
    """Whether a test file or folder belongs to the engine environment."""
    relative = path.relative_to(TESTS)
    return "engine" in relative.parts or any(relative.is_relative_to(room) for room in ENGINE_ROOMS)


def pytest_report_header() -> str:
    """Say which half of the tests this environment runs."""
    return f"appo: {'engine' if IN_ENGINE else 'orchestrator'} environment; the other rooms are not collected"


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out the rooms of the other environment, and benchmark scripts."""
    if not collection_path.is_relative_to(TESTS):
        return None
    if collection_path.relative_to(TESTS).parts[:1] == ("benchmarks",):
        return True
    if collection_path.is_dir():
        return True if is_engine_room(collection_path) and not IN_ENGINE else None
    return True if is_engine_room(collection_path) != IN_ENGINE else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, with the reason, what this machine cannot run."""
    reasons = {
        name: f"needs the {name} environment: make setup"
        for name in ("engine", "sft")
        if not IN_ENGINE and not environments.python(name).exists()
    }
    if not environments.has_nvidia_driver():
        reasons["gpu"] = "needs an NVIDIA GPU"
    for item in items:
        for name, reason in reasons.items():
            if item.get_closest_marker(name):
                item.add_marker(pytest.mark.skip(reason=reason))


def pytest_unconfigure() -> None:
    """Remove the session's home."""
    shutil.rmtree(HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data beside the checkout; skips where it is absent."""
    folder = environments.ROOT.parent / "shared"
    if not (folder / "data").is_dir():
        pytest.skip(f"no reference data at {folder}")
    return folder


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """A Prefect server with a database of its own, shared by all tests that ask for it."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield
