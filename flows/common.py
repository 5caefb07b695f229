"""What all flows share: the store, references with defaults, and a note of the result for whoever called."""

from collections.abc import Mapping
from typing import Annotated, Any

from prefect.flows import FlowStateHook
from prefect.runtime import flow_run
from pydantic import Field

from appo_core.artifacts import ArtifactRef, Store, StoreError
from appo_core.config.pipeline import ArtifactName
from appo_core.local import default_store
from tasks.cancel import mark_cancelled
from tasks.errors import StageError
from tasks.mailbox import RESULT, post
from tasks.prefect_task import StageTask, run_task
from tasks.stage import Stage, StageRequest, StageResult, prepare

ENDED: "list[FlowStateHook[..., Any]]" = [mark_cancelled]
"""Hooks of every flow that ended without success."""
Name = Annotated[ArtifactName, Field(description="Name of the chain: artifacts are called model/<name>, ...")]
StoreUrl = Annotated[
    str | None, Field(description="Artifact store: s3://bucket/prefix or file:///folder; the worker's own by default")
]
Ref = Annotated[str | None, Field(description="Artifact reference, kind/name@version or kind/name@latest")]


def open_store(url: str | None) -> Store:
    """The store of a flow; raises `StageError`."""
    try:
        return Store.open(url or default_store())
    except StoreError as error:
        raise StageError.of(error) from None


def request(
    stage: Stage,
    store: Store,
    name: str,
    settings: dict[str, object],
    inputs: dict[str, str],
    *,
    also: Mapping[str, object] | None = None,
) -> StageRequest:
    """A pinned request; raises `StageError` for an input that is not in the store."""
    try:
        return prepare(stage, store, name=name, settings=settings, inputs=inputs, also=also)
    except StoreError as error:
        raise StageError.of(error) from None


def existing(store: Store, refs: dict[str, str]) -> dict[str, str]:
    """Those of the references that are in the store: optional inputs."""
    try:
        return {role: ref for role, ref in refs.items() if store.exists(ArtifactRef.parse(ref))}
    except StoreError as error:
        raise StageError.of(error) from None


def finish(store: Store, stage: Stage, task: StageTask, wanted: StageRequest) -> StageResult:
    """Run a stage's task and leave its result where the calling flow finds it."""
    return report(store, run_task(stage, task, wanted))


def report(store: Store, result: StageResult) -> StageResult:
    """Leave a result where a calling flow, perhaps on another machine, finds it."""
    if flow_run.id:
        post(store, str(flow_run.id), RESULT, result.model_dump(mode="json"))
    return result


def pin(store: Store, ref: str) -> str:
    """A reference with its version; raises `StageError` when it is not in the store."""
    try:
        return str(store.find(ref).ref)
    except StoreError as error:
        raise StageError.of(error) from None
