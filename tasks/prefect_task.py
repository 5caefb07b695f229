"""A stage as a Prefect task: versioned, cached on its stage key, retried only where a retry can help."""

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

from prefect import Task, task
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext

from appo_core.artifacts import ArtifactRef, Store
from tasks.errors import StageError
from tasks.run import reuse, run_stage
from tasks.stage import Stage, StageRequest, StageResult

RETRY_DELAYS_S = [5.0, 30.0]
StageTask = Task[[StageRequest], StageResult]


def stage_task(stage: Stage) -> StageTask:
    """The Prefect task that runs `stage`."""

    def run(request: StageRequest) -> StageResult:
        return run_stage(stage, request)

    run.__doc__ = f"Run the {stage.name} stage, or reuse its published result."
    made = task(
        name=stage.name,
        version=stage.version,
        task_run_name=f"{stage.name} {{request.name}}",
        cache_key_fn=_cache_key,
        cache_expiration=timedelta(days=30),
        persist_result=True,
        result_serializer="json",
        retries=len(RETRY_DELAYS_S),
        retry_delay_seconds=RETRY_DELAYS_S,
        retry_condition_fn=may_pass,
    )(run)
    return cast(StageTask, made)


def run_task(stage: Stage, stage_run: StageTask, request: StageRequest) -> StageResult:
    """Run a stage's task; a cached result counts only while the store still holds its artifacts."""
    state: State[StageResult] = stage_run(request, return_state=True)
    result: StageResult = state.result()
    if state.name != "Cached":
        return result
    store = Store.open(request.store)
    if all(store.exists(ArtifactRef.parse(ref)) for ref in result.outputs.values()):
        found = reuse(stage, request, store)
        if found is not None:
            return found
    return stage_run.with_options(refresh_cache=True)(request)


def _cache_key(_context: TaskRunContext, parameters: dict[str, Any]) -> str:
    """The stage key, and where its result is published: another store or name needs its own publication."""
    request: StageRequest = parameters["request"]
    return f"{request.key}-{request.name}-{request.store}"


def may_pass(_task: Task[Any, Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether the fault behind a state may pass by itself."""
    try:
        state.result()
    except StageError as error:
        return error.transient
    except Exception:  # noqa: BLE001 - whatever else it was, a retry would only repeat it
        return False
    return False


class _OneLine(logging.Filter):
    """Logs a `StageError` as its one line: the traceback tells a user nothing."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], StageError):
            record.msg, record.args = str(record.exc_info[1]), ()
            record.exc_info = record.exc_text = None
        return True


def _install(names: tuple[str, ...], make: Callable[[], logging.Filter] = _OneLine) -> None:
    for name in names:
        logging.getLogger(name).addFilter(make())


_install(("prefect.task_runs", "prefect.flow_runs", "prefect.task_engine", "prefect.flow_engine"))
