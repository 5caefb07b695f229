"""Runs a stage: reuse what is published, else do the work, check it, publish it, show it."""

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from appo_core.artifacts import Draft, Manifest, Producer, Store, StoreError
from appo_core.jobs.contract import Job
from appo_core.local import cache
from tasks import cards
from tasks.cancel import CancelWatch
from tasks.checking import check_output
from tasks.command import run_command
from tasks.environments import environment_digest
from tasks.errors import StageError
from tasks.folders import work_folder
from tasks.progress import Progress
from tasks.stage import Stage, StageRequest, StageResult, parents_of, published


def run_stage(stage: Stage, request: StageRequest) -> StageResult:
    """The stage's published result, made now unless it exists; raises `StageError`."""
    try:
        return _run(stage, request)
    except StoreError as error:
        raise StageError.of(error) from None


def reuse(stage: Stage, request: StageRequest, store: Store) -> StageResult | None:
    """The result of work that is published already, with its pages shown; None if there is none."""
    found = published(stage, request, store)
    if found is None:
        return None
    get_run_logger().info("%s: reused %s", stage.name, ", ".join(str(one.ref) for one in found.values()))
    return _result(stage, store, found, reused=True, seconds=0.0)


def _run(stage: Stage, request: StageRequest) -> StageResult:
    started, store, log = time.monotonic(), Store.open(request.store), get_run_logger()
    if result := reuse(stage, request, store):
        return result
    with work_folder(
        stage.name, request.key, lambda: log.info("%s: another run has this work in hand; waiting", stage.name)
    ) as folder:
        if result := reuse(stage, request, store):
            return result
        store.require_writable()
        job = _job(stage, request, store, folder)
        metrics = _work(stage, request, job, folder)
        found = _publish(stage, request, store, job, metrics)
    return _result(stage, store, found, reused=False, seconds=time.monotonic() - started)


def _job(stage: Stage, request: StageRequest, store: Store, folder: Path) -> Job:
    """The job, its inputs fetched; an earlier attempt's output is dropped, its work folder kept."""
    missing = [role for role in stage.roles if role not in request.inputs]
    if missing:
        raise StageError(f"{stage.name}: input '{missing[0]}' is missing", remedy="name its artifact", bad_input=True)
    shutil.rmtree(folder / "output", ignore_errors=True)
    manifests = {role: store.find(ref) for role, ref in request.inputs.items()}
    return Job(
        settings=request.settings,
        inputs={role: store.fetch(manifest, cache()) for role, manifest in manifests.items()},
        output=folder / "output",
        work=folder / "work",
        context={"name": request.name, "inputs": request.inputs, "key": request.key, **request.context},
    )


def _work(stage: Stage, request: StageRequest, job: Job, folder: Path) -> dict[str, Any]:
    """Run the job, its progress shown; its result metrics."""
    title = f"{stage.name} {request.name}"
    progress = Progress(title, cards.slug(f"progress-{title}"), get_run_logger())
    try:
        return run_command(stage.module, stage.environment, job, folder=folder, listen=progress, tick=CancelWatch())
    finally:
        progress.close()


def _publish(
    stage: Stage, request: StageRequest, store: Store, job: Job, metrics: Mapping[str, Any]
) -> dict[str, Manifest]:
    """Check every output, then publish them; optional ones first, so that the others stand for a complete set."""
    present = [one for one in stage.outputs if not one.optional or (job.output / one.folder).is_dir()]
    checks = {one.role: check_output(stage, one, job) for one in present}
    parents, producer, origin = parents_of(request, store), _producer(stage, request), stage.origin(request.settings)
    return {
        one.role: store.publish(
            Draft(
                kind=one.kind,
                name=stage.artifact_name(one, request.name),
                stage_key=request.key,
                folder=job.output / one.folder,
                parents=parents,
                producer=producer,
                metrics={key: value for key, value in metrics.items() if key.startswith(one.metrics)},
                checks=checks[one.role],
                licence=origin.licence,
                source=origin.source,
            )
        )
        for one in sorted(present, key=lambda one: not one.optional)
    }


def _producer(stage: Stage, request: StageRequest) -> Producer:
    return Producer(
        flow=flow_run.flow_name or "",
        flow_run=str(flow_run.id or ""),
        task=stage.name,
        task_version=stage.version,
        code_digest=stage.digest(),
        environment_digest=environment_digest(stage.environment),
        settings=request.settings,
    )


def _result(stage: Stage, store: Store, found: Mapping[str, Manifest], *, reused: bool, seconds: float) -> StageResult:
    for manifest in found.values():
        cards.show(store, manifest, reused=reused)
    first = next(iter(found.values()))
    return StageResult(
        stage=stage.name,
        status="reused" if reused else "ran",
        seconds=round(seconds, 1),
        outputs={role: str(manifest.ref) for role, manifest in found.items()},
        metrics=dict(first.metrics),
    )
