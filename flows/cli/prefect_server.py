"""The Prefect server behind a command: one that is there already, else one of our own for as long as it is needed.

Our own keeps its SQLite database under `.appo/prefect`, so `appo ui` later shows what `appo run` did.
"""

import json
import os
import socket
import sys
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appo_core.local import home
from appo_core.processes import Process, clean_environment
from flows.cli.faults import EXIT_TRANSIENT, CliError

HOST, PORT = "127.0.0.1", 4200
START_S = 180.0
DRAIN_S = 15.0
QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
}


@contextmanager
def prefect_api() -> Iterator[str]:
    """Point this process at a Prefect server, before Prefect is imported; the API's URL.

    `PREFECT_API_URL` decides; without it the active profile's server or a running `appo ui` is used if it answers,
    else a server is started and ended with the block. Raises `CliError` when none can be had.
    """
    os.environ.update(QUIET)
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "WARNING")
    chosen = os.environ.get("PREFECT_API_URL")
    if chosen:
        if not answers(chosen):
            raise CliError(
                f"the Prefect server at {chosen} (PREFECT_API_URL) does not answer; start it, or unset PREFECT_API_URL",
                EXIT_TRANSIENT,
            )
        yield chosen
        return
    known = next((url for url in (_profile_url(), _own_url()) if url and answers(url)), None)
    if known:
        _use(known, own=known == _own_url())
        yield known
        return
    with server(free_port(PORT)) as url:
        _use(url, own=True)
        try:
            yield url
        finally:
            _drain()


@contextmanager
def server(port: int) -> Iterator[str]:
    """Our own server on the loopback interface, over `.appo/prefect`; raises `CliError` when it does not start."""
    folder = home() / "prefect"
    folder.mkdir(parents=True, exist_ok=True)
    url, log = f"http://{HOST}:{port}/api", folder / "server.log"
    environment = clean_environment(QUIET | {"PREFECT_HOME": str(folder), "PREFECT_API_URL": url})
    argv = [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(port)]
    note = folder / "server.json"
    with Process.start(argv, env=environment, cwd=folder, log=log) as process:
        _wait(url, process, log)
        note.write_text(json.dumps({"url": url}))
        try:
            yield url
        finally:
            note.unlink(missing_ok=True)


def answers(url: str) -> bool:
    """Whether a Prefect API answers there."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url.rstrip('/')}/health", timeout=5) as reply:  # a user's own URL
            return bool(reply.status == 200)
    except (OSError, ValueError, urllib.error.URLError):
        return False


def port_is_free(port: int) -> bool:
    """Whether a server could listen on the loopback interface's port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port(wanted: int = 0) -> int:
    """`wanted` if it is free, so that links in logs work again under `appo ui`; else any free port."""
    if wanted and port_is_free(wanted):
        return wanted
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    return port


def _wait(url: str, process: Process, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while not answers(url):
        if process.poll() is not None:
            raise CliError(f"the Prefect server did not start; see {log}", EXIT_TRANSIENT)
        if time.monotonic() > deadline:
            raise CliError(f"the Prefect server did not answer within {START_S:g} s; see {log}", EXIT_TRANSIENT)
        time.sleep(0.2)


def _use(url: str, *, own: bool) -> None:
    os.environ["PREFECT_API_URL"] = url
    if own:
        os.environ["PREFECT_HOME"] = str(home() / "prefect")


def _own_url() -> str | None:
    """The server that `appo ui` says it runs."""
    try:
        url: str = json.loads((home() / "prefect" / "server.json").read_text())["url"]
    except (OSError, ValueError, LookupError):
        return None
    return url


def _profile_url() -> str | None:
    """The API URL of Prefect's active profile, read without importing Prefect."""
    folder = Path(os.environ.get("PREFECT_HOME", Path.home() / ".prefect"))
    path = Path(os.environ.get("PREFECT_PROFILES_PATH", folder / "profiles.toml"))
    try:
        profiles = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError):
        return None
    active = os.environ.get("PREFECT_PROFILE", profiles.get("active"))
    url = profiles.get("profiles", {}).get(active, {}).get("PREFECT_API_URL")
    return url if isinstance(url, str) else None


def _drain() -> None:
    """Send what Prefect still holds back: the states of task runs travel as events, in the background."""
    if "prefect" not in sys.modules:
        return
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for worker in (APILogWorker, EventsWorker):
        worker.drain_all(timeout=DRAIN_S)
