"""Runs a stage's flow: in this process, or as its deployment on that stage's work pool."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal
from uuid import UUID

from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_run_logger
from prefect.states import Cancelling
from pydantic import BaseModel

from appo_core.artifacts import Store
from tasks.cancel import CancelWatch
from tasks.errors import StageError
from tasks.mailbox import RESULT, read
from tasks.progress import announce
from tasks.stage import StageResult

Execution = Literal["inline", "deployments"]
POLL_S = 1.0
LONELY_S = 60.0
"""After this long without a worker, the log says which one is missing."""


def run_flow(execution: Execution, flow: Flow[Any, StageResult], store: Store, /, **parameters: Any) -> StageResult:
    """The result of a stage's flow; raises `StageError`."""
    if execution == "inline":
        return flow(**parameters, store=store.url)
    with deployed(flow.name, parameters | {"store": store.url}) as run:
        wait(run)
    note = read(store, str(run.id), RESULT)
    if note is None:
        raise StageError(
            f"{flow.name}: its flow run left no result in {store.url}", remedy="use one store for all workers"
        )
    return StageResult.model_validate(note)


@contextmanager
def deployed(name: str, parameters: dict[str, Any]) -> Iterator[FlowRun]:
    """A flow run of the deployment `<name>/<name>`, cancelled if the block ends before it does."""
    try:
        run: FlowRun = run_deployment(f"{name}/{name}", parameters=_plain(parameters), timeout=0)  # type: ignore[assignment]
    except ObjectNotFound:
        raise StageError(
            f"deployment {name}/{name} is not on this server", remedy="run `prefect --no-prompt deploy --all`"
        ) from None
    announce(name, f"flow run {run.name} waits for a worker of pool {run.work_pool_name}")
    try:
        yield run
    except BaseException:
        cancel(run.id)
        raise


def wait(run: FlowRun) -> None:
    """Wait for a flow run to end; raises `StageError` unless it completed."""
    started, watch = time.monotonic(), CancelWatch()
    while (current := follow(run.id, time.monotonic() - started)).state is None or not current.state.is_final():
        time.sleep(POLL_S)
        watch()
    if not current.state.is_completed():
        raise StageError(
            f"flow run {current.name}: {current.state.message or current.state.name}",
            remedy=f"see flow run {current.id}; run again to resume",
        )


def follow(run_id: UUID, waited_s: float | None = None) -> FlowRun:
    """The flow run as it is now; warns once in a while when no worker takes it."""
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(run_id)
    waiting = run.state is not None and run.state.type in (StateType.SCHEDULED, StateType.PENDING)
    if waiting and waited_s and waited_s > LONELY_S and int(waited_s) % int(LONELY_S) < POLL_S:
        get_run_logger().warning(
            "no worker has taken %s for %.0f s; start one: prefect worker start --pool %s",
            run.name,
            waited_s,
            run.work_pool_name,
        )
    return run


def cancel(run_id: UUID) -> None:
    """Ask the worker of a flow run to end it."""
    with get_client(sync_client=True) as client:
        state = client.read_flow_run(run_id).state
        if state is None or not state.is_final():
            client.set_flow_run_state(run_id, Cancelling())


def _plain(parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters as JSON: settings models become mappings."""
    return {
        key: value.model_dump(mode="json") if isinstance(value, BaseModel) else value
        for key, value in parameters.items()
    }
