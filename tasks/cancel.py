"""Cancelling a run that no worker looks after: the run itself looks whether somebody asked for its end."""

import threading
import time
from typing import Any
from uuid import UUID

from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.runtime import flow_run as current
from prefect.states import Cancelled

from tasks.errors import StageError

LOOK_EVERY_S = 5.0
CANCELLED = "cancelled on request"
_STOP = threading.Event()


def stop_all() -> None:
    """End every stage at work in this process's threads: they see neither an interrupt nor an exception outside."""
    _STOP.set()


def forget_stop() -> None:
    """Let stages start again."""
    _STOP.clear()


class CancelWatch:
    """Called now and then by a stage at work; raises `StageError` once its flow run, or the one above, is cancelled.

    A worker ends the process of a cancelled flow run; a flow run started by `appo run` has none.
    """

    def __init__(self) -> None:
        self._runs = {UUID(str(one)) for one in (current.id, current.root_flow_run_id) if one}
        self._looked = time.monotonic()

    def __call__(self) -> None:
        """Look, at most every few seconds."""
        if _STOP.is_set():
            raise StageError(CANCELLED, remedy="run again to resume")
        if time.monotonic() - self._looked < LOOK_EVERY_S:
            return
        with get_client(sync_client=True) as client:
            states = [client.read_flow_run(one).state for one in self._runs]
        self._looked = time.monotonic()
        if any(state and (state.is_cancelling() or state.is_cancelled()) for state in states):
            raise StageError(CANCELLED, remedy="run again to resume")


def mark_cancelled(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:  # noqa: ARG001
    """A hook: a flow run that ended because somebody cancelled it, or the run above it, is shown as cancelled."""
    if state.is_cancelling() or CANCELLED in (state.message or ""):
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(flow_run.id, Cancelled(message="Cancelled on request."), force=True)
