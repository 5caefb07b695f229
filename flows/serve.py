"""Flow: a model served over HTTP, for as long as somebody needs it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated
from uuid import UUID

from prefect import flow
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from pydantic import BaseModel, Field, PositiveFloat

from appo_core.artifacts import Store
from appo_core.config import ServeSettings
from flows.common import ENDED, Name, Ref, StoreUrl, open_store, pin
from flows.defaults import DEMO
from flows.dispatch import Execution, cancel, deployed, follow
from tasks.cancel import CancelWatch
from tasks.errors import StageError
from tasks.lease import LeaseWatch, held
from tasks.mailbox import ENDPOINT, clear, post, read
from tasks.serve import Endpoint, RunningServer, serving

TICK_S = 1.0
ENDING_S = 60.0
"""How long a released server may take to end before its flow run is cancelled."""


class Served(BaseModel):
    """What a serve flow has to show when it ends."""

    endpoint: Endpoint
    seconds: float
    why: str
    """Why it ended."""


@flow(name="serve", flow_run_name="serve {name}", on_failure=ENDED, on_cancellation=ENDED)
def serve_flow(
    name: Name = "demo",
    settings: ServeSettings = DEMO.serve,
    model: Ref = None,
    max_hours: Annotated[PositiveFloat, Field(description="The server stops by itself after this time")] = 24.0,
    leased: Annotated[bool, Field(description="Stop when the flow run that asked for the server is gone")] = False,
    store: StoreUrl = None,
) -> Served:
    """Serve a model with vLLM's OpenAI-compatible server until cancelled.

    Args:
        name: Name of the chain.
        settings: Port, context length, parallelism, memory.
        model: Model to serve; model/<name>@latest by default.
        max_hours: The server stops by itself after this time.
        leased: Stop when the flow run that asked for the server is gone.
        store: Artifact store.
    """
    place = open_store(store)
    run = str(flow_run.id)
    with serving(place, pin(place, model or f"model/{name}@latest"), settings) as server:
        post(place, run, ENDPOINT, server.endpoint.model_dump(mode="json"))
        try:
            why, seconds = _hold(server, LeaseWatch(place, run) if leased else None, max_hours * 3600)
        finally:
            clear(place, run)
    get_run_logger().info("stopped after %.0f s: %s", seconds, why)
    return Served(endpoint=server.endpoint, seconds=seconds, why=why)


def _hold(server: RunningServer, lease: LeaseWatch | None, most_s: float) -> tuple[str, float]:
    """Wait until the server is not needed any more; raises `StageError` when it ends by itself."""
    started, watch = time.monotonic(), CancelWatch()
    while True:
        time.sleep(TICK_S)
        watch()
        server.check()
        seconds = time.monotonic() - started
        why = lease.over() if lease else None
        if why or seconds > most_s:
            return why or "its time was over", seconds


@contextmanager
def served_model(
    execution: Execution, store: Store, name: str, model: str, settings: ServeSettings
) -> Iterator[Endpoint]:
    """The endpoint of a served model, in this process or on the serve deployment's pool; gone after the block."""
    if execution == "inline":
        with serving(store, model, settings) as server:
            yield server.endpoint
        return
    parameters = {"name": name, "settings": settings, "model": model, "leased": True, "store": store.url}
    with deployed("serve", parameters) as run:
        with held(store, str(run.id)):
            yield _announced(store, run.id)
        _ended(run.id)


def _announced(store: Store, run_id: UUID) -> Endpoint:
    """Wait for a serve flow run's endpoint; raises `StageError` when the run ends before."""
    started, watch = time.monotonic(), CancelWatch()
    while (note := read(store, str(run_id), ENDPOINT)) is None:
        run = follow(run_id, time.monotonic() - started)
        if run.state is not None and run.state.is_final():
            raise StageError(f"serve: {run.state.message or run.state.name}", remedy=f"see flow run {run_id}")
        time.sleep(TICK_S)
        watch()
    return Endpoint.model_validate(note)


def _ended(run_id: UUID) -> None:
    """Wait for a released serve flow run to end, so that its accelerator is free; else cancel it."""
    deadline = time.monotonic() + ENDING_S
    while time.monotonic() < deadline:
        state = follow(run_id).state
        if state is not None and state.is_final():
            return
        time.sleep(TICK_S)
    get_run_logger().warning("serve flow run %s did not end in %.0f s; cancelling it", run_id, ENDING_S)
    cancel(run_id)
