"""Stages run as Prefect tasks, against a real server, with a real job."""

import contextvars
import json
import shutil
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prefect import flow, get_client
from prefect.artifacts import Artifact
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.runtime import flow_run
from prefect.states import Cancelling

from appo_core.artifacts import Store
from appo_core.local import home
from tasks import cancel, prefect_task
from tasks.errors import StageError
from tasks.prefect_task import run_task, stage_task
from tasks.stage import Output, Stage, StageResult, prepare

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]


@dataclass(frozen=True)
class ProbeStage(Stage):
    @property
    def module(self) -> str:
        return "tests.tasks.job_probe"


STAGE = ProbeStage(
    name="probe",
    version="1",
    environment="orchestrator",
    code=("tasks.errors",),
    outputs=(Output("main", "dataset"),),
)


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APPO_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(prefect_task, "RETRY_DELAYS_S", [0.0, 0.0])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(f"file://{tmp_path / 'store'}")


def run(store: Store, name: str = "demo", stage: Stage = STAGE, **settings: Any) -> StageResult:
    """The stage in a flow of its own."""

    @flow(name="probe-flow")
    def probe_flow() -> StageResult:
        return run_task(stage, stage_task(stage), prepare(stage, store, name=name, settings=settings))

    return probe_flow()


def work_folders() -> list[Path]:
    return [path for path in (home() / "work").glob("*") if path.is_dir()]


async def artifact(key: str) -> Artifact:
    wanted = ArtifactFilter(key=ArtifactFilterKey(any_=[key]))
    async with get_client() as client:
        found = await client.read_artifacts(artifact_filter=wanted)
    return max(found, key=lambda one: one.created)


def test_a_stage_is_published_with_its_producer_and_its_work_folder_goes(store: Store) -> None:
    result = run(store, value=7)
    assert result.status == "ran"
    manifest = store.find(result.ref("main"))
    assert manifest.metrics["value"] == 7
    assert store.read_file(manifest, "value.txt") == b"7"
    assert (manifest.producer.flow, manifest.producer.task, manifest.producer.task_version) == (
        "probe-flow",
        "probe",
        "1",
    )
    assert manifest.producer.settings == {"value": 7}
    assert manifest.producer.code_digest == STAGE.digest()
    assert not work_folders()


async def test_a_page_is_written_for_a_publication_and_for_a_reuse(store: Store) -> None:
    result = await run_async(store, value=11)
    page = await artifact("dataset-demo")
    assert result.ref("main") in page.data
    assert "```mermaid" in page.data
    assert "/v2/artifacts/key/dataset-demo" in page.data
    assert "Published by this run" in page.data
    await run_async(store, value=11)
    assert "Reused" in (await artifact("dataset-demo")).data
    table = json.loads((await artifact("dataset-demo-table")).data)
    assert {"fact": "digest", "value": store.find(result.ref("main")).digest} in table


async def run_async(store: Store, **settings: Any) -> StageResult:
    import anyio

    return await anyio.to_thread.run_sync(lambda: run(store, **settings))


def test_the_same_work_is_reused_and_a_changed_setting_is_not(store: Store) -> None:
    first = run(store, value=1)
    again = run(store, value=1)
    assert (again.status, again.outputs) == ("reused", first.outputs)
    assert run(store, value=2).status == "ran"


def test_a_result_that_the_store_lost_is_made_again(store: Store, tmp_path: Path) -> None:
    first = run(store, value=3)
    shutil.rmtree(tmp_path / "store")
    again = run(store, value=3)
    assert (again.status, again.outputs) == ("ran", first.outputs)


def test_another_store_gets_its_own_publication(store: Store, tmp_path: Path) -> None:
    run(store, value=4)
    other = Store.open(f"file://{tmp_path / 'other'}")
    assert run(other, value=4).status == "ran"
    assert other.exists(other.find("dataset/demo@latest").ref)


def test_a_passing_fault_is_retried_and_the_work_resumes(store: Store) -> None:
    result = run(store, end="transient-once")
    assert result.metrics["resumed"] is True


@pytest.mark.parametrize(("end", "tries"), [("bad-input", 1), ("unexpected", 1), ("transient", 3)])
def test_only_passing_faults_are_retried_and_nothing_is_published(store: Store, end: str, tries: int) -> None:
    with pytest.raises(StageError):
        run(store, end=end)
    (folder,) = work_folders()
    assert (folder / "job.log").read_text().count("an ordinary line") == tries
    assert not store.list()


def test_a_killed_job_is_tried_again_from_its_work_folder(store: Store) -> None:
    with pytest.raises(StageError, match="killed by signal 9"):
        run(store, end="killed")
    assert (work_folders()[0] / "work" / "progress").exists()


def test_a_store_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "blocked").write_text("a file where the store's folder should be")
    with pytest.raises(StageError) as caught:
        run(Store.open(f"file://{tmp_path / 'blocked'}"), value=5)
    assert "\n" not in str(caught.value)


def test_a_failing_check_publishes_nothing(store: Store) -> None:
    stage = ProbeStage("probe", "1", "orchestrator", ("tasks.errors",), (Output("main", "dataset", suites=("sft",)),))
    with pytest.raises(StageError, match=r"train\.jsonl"):
        run(store, stage=stage, value=6)
    assert not store.list()


def test_a_run_cancelled_on_the_server_ends_its_job(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancel, "LOOK_EVERY_S", 0.1)
    runs: list[str] = []

    @flow(name="probe-flow", on_failure=[cancel.mark_cancelled], on_cancellation=[cancel.mark_cancelled])
    def probe_flow() -> StageResult:
        runs.append(str(flow_run.id))
        return run_task(STAGE, stage_task(STAGE), prepare(STAGE, store, name="demo", settings={"end": "hang"}))

    def ask() -> None:
        while not list((home() / "work").rglob("pids")):
            time.sleep(0.05)
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(runs[0], Cancelling())

    thread = threading.Thread(target=contextvars.copy_context().run, args=(ask,))
    thread.start()
    with pytest.raises(StageError, match="cancelled on request"):
        probe_flow()
    thread.join()
    (pids,) = (home() / "work").rglob("pids")
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids.read_text().split())
    with get_client(sync_client=True) as client:
        assert client.read_flow_run(runs[0]).state.is_cancelled()
