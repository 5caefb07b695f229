"""A model on its way to a running server, and the server's end."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from pydantic import BaseModel, ConfigDict

from appo_core.artifacts import Store, StoreError
from appo_core.config import ServeSettings
from appo_core.jobs.contract import JobError
from appo_core.local import cache, home
from appo_core.serving import ModelServer
from tasks.environments import environment_python
from tasks.errors import StageError
from tasks.prefect_task import RETRY_DELAYS_S, may_pass

ANY_HOST = ("0.0.0.0", "::")  # noqa: S104 - compared with, not bound
UNDECIDING = {"host", "port", "gpu_memory_utilization", "kv_cache_mb", "max_num_seqs", "start_timeout_s"}
"""Settings that change how fast and where answers come, not which."""


class Endpoint(BaseModel):
    """Where a model is served."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str
    """With `/v1`."""
    served_model: str
    model_ref: str
    seconds: float
    """How long the server took to be ready."""


class RunningServer:
    """A served model."""

    def __init__(self, server: ModelServer, endpoint: Endpoint, log: Path) -> None:
        self._server, self.endpoint, self._log = server, endpoint, log

    def check(self) -> None:
        """Raise `StageError` when the server has ended."""
        try:
            self._server.check()
        except JobError as error:
            raise _fault(error, self._log) from None


def deciding_settings(settings: ServeSettings) -> dict[str, Any]:
    """The server settings that decide what a model answers: part of an evaluation's stage key."""
    return settings.model_dump(mode="json", exclude=UNDECIDING)


@contextmanager
def serving(store: Store, model: str, settings: ServeSettings) -> Iterator[RunningServer]:
    """Serve the model that a pinned reference names; raises `StageError`. Nothing is left running afterwards.

    When the block fails and the server has ended, the server's end is the fault: the block saw only its silence.
    """
    log = home() / "logs" / f"serve-{uuid4().hex[:8]}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    server = start_server(store, model, settings, log)
    running = RunningServer(server, _endpoint(server, model, settings), log)
    try:
        yield running
    except StageError:
        running.check()
        raise
    finally:
        server.stop()
    log.unlink(missing_ok=True)


@task(
    name="serve",
    version="1",
    task_run_name="serve {model}",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=1,
    retry_delay_seconds=RETRY_DELAYS_S[0],
    retry_condition_fn=may_pass,
)
def start_server(store: Store, model: str, settings: ServeSettings, log: Path) -> ModelServer:
    """Fetch the model, start its server and wait until it serves the intended version."""
    try:
        manifest = store.find(model)
        folder = store.fetch(manifest, cache())
        python = environment_python("engine")
        server = ModelServer.start(folder, str(manifest.ref), settings, python=python, log=log)
    except StoreError as error:
        raise StageError.of(error) from None
    except JobError as error:
        raise _fault(error, log) from None
    get_run_logger().info("%s is served at %s after %.1f s", manifest.ref, server.base_url, server.started_in_s)
    return server


def _fault(error: JobError, log: Path) -> StageError:
    """A server's fault, with the place of its log."""
    remedy = error.remedy.replace("the server's log", str(log))
    return StageError.of(JobError(f"serve: {error.message}", remedy=remedy, exit_code=error.exit_code))


def _endpoint(server: ModelServer, model: str, settings: ServeSettings) -> Endpoint:
    """The address others use: a server on all interfaces is announced by this machine's name."""
    url = server.base_url
    if settings.host in ANY_HOST:
        url = url.replace(settings.host, os.environ.get("APPO_SERVE_HOST") or socket.getfqdn())
    return Endpoint(
        base_url=f"{url}/v1", served_model=server.served_name, model_ref=model, seconds=round(server.started_in_s, 1)
    )
